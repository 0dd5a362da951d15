"""`sauti-sync jobs list|dead|retry`: the outbox from outside."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from sauti_sync.config import ProjectSettings
from sauti_sync.errors import SautiError
from sauti_sync.outbox import DataApiQueue, JobRow

T = TypeVar("T")


def list_jobs(state: str | None = None, as_json: bool = False, max_jobs: int = 100) -> int:
    """Print the newest jobs, or those in one state (`dead`); gives the exit status."""

    async def read(queue: DataApiQueue) -> list[JobRow]:
        return await queue.list_jobs(state, max_jobs)

    rows = _ask(read)
    if rows is None:
        return 1
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    if not rows:
        Console().print(f"No {state or ''} jobs.".replace("  ", " "))
        return 0
    table = Table("job", "kind", "state", "attempts", "due", "last error")
    for row in rows:
        attempts = f"{row.attempts}/{row.max_attempts}"
        table.add_row(str(row.job_id), row.kind, row.state, attempts, row.run_at[:19], row.last_error or "")
    Console().print(table)
    return 0


def retry_jobs(ids: Sequence[int] | None = None, as_json: bool = False) -> int:
    """Put dead jobs back into the queue (none named: all of them); gives the exit status."""

    async def retry(queue: DataApiQueue) -> int:
        return await queue.retry_jobs(ids or None)

    count = _ask(retry)
    if count is None:
        return 1
    print(json.dumps({"retried": count}) if as_json else f"{count} job{'' if count == 1 else 's'} put back.")
    return 0


def _ask(question: Callable[[DataApiQueue], Awaitable[T]]) -> T | None:
    async def ask() -> T:
        queue = DataApiQueue(ProjectSettings.from_environment())
        try:
            return await question(queue)
        finally:
            await queue.close()

    try:
        return asyncio.run(ask())
    except SautiError as error:
        print(f"sauti-sync jobs: {error}", file=sys.stderr)
        return None
