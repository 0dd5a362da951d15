"""The queue in memory, with the leases and tokens of the real one, and faults on demand."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sauti_sync.errors import LeaseLost, QueueUnavailable, SautiError
from sauti_sync.events import Job, Json


@dataclass
class Row:
    job_id: int
    kind: str
    context: dict[str, Any]
    max_attempts: int
    state: str = "pending"
    attempts: int = 0
    run_at: float = 0.0
    token: str | None = None
    leased_until: float = 0.0
    last_error: str | None = None
    retry_in: float | None = None
    result: Json | None = None


@dataclass
class MemoryQueue:
    rows: dict[int, Row] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    claims: list[int] = field(default_factory=list)
    #: Called before each call is carried out, may raise; keys are method names.
    before: dict[str, Callable[[], SautiError | None]] = field(default_factory=dict)
    #: As `before`, after it was carried out: the answer is lost on the way.
    after: dict[str, Callable[[], SautiError | None]] = field(default_factory=dict)

    def add(self, kind: str = "work", max_attempts: int = 3, **context: Any) -> int:
        job_id = len(self.rows) + 1
        self.rows[job_id] = Row(job_id, kind, {"state": "due", "kind": kind} | context, max_attempts)
        return job_id

    async def claim(self, worker_id: str, max_jobs: int, lease_seconds: int, kinds: Sequence[str]) -> list[Job]:
        self._enter("claim")
        now = time.monotonic()
        jobs: list[Job] = []
        for row in self.rows.values():
            expired = row.state == "running" and row.leased_until <= now
            if (
                len(jobs) < max_jobs
                and row.kind in kinds
                and ((row.state == "pending" and row.run_at <= now) or expired)
            ):
                row.state, row.token, row.leased_until = "running", str(uuid.uuid4()), now + lease_seconds
                row.attempts += 1
                jobs.append(Job(row.job_id, row.kind, row.attempts, row.max_attempts, row.token, datetime.now(UTC)))
        self.claims.append(len(jobs))
        self._leave("claim")
        return jobs

    async def context(self, job: Job) -> Json:
        self._enter("context")
        row = self._leased(job)
        if row.context["state"] == "postponed":
            row.state, row.token, row.run_at = "pending", None, time.monotonic() + 3600
        return row.context

    async def complete(self, job: Job, result: Json) -> None:
        self._enter("complete")
        row = self._leased(job)
        row.state, row.result, row.token = "done", result, None
        self._leave("complete")

    async def fail(self, job: Job, error: str, retry_in_seconds: float | None) -> None:
        self._enter("fail")
        row = self._leased(job)
        final = retry_in_seconds is None or row.attempts >= row.max_attempts
        row.state, row.token, row.last_error, row.retry_in = (
            "dead" if final else "pending",
            None,
            error,
            retry_in_seconds,
        )
        row.run_at = time.monotonic() + (retry_in_seconds or 0)
        self._leave("fail")

    async def extend(self, job: Job, lease_seconds: int) -> None:
        self._enter("extend")
        self._leased(job).leased_until = time.monotonic() + lease_seconds

    async def run_due_timers(self) -> Json:
        self._enter("run_due_timers")
        return {}

    async def statistics(self) -> Json:
        self._enter("statistics")
        states = [row.state for row in self.rows.values()]
        return {state: states.count(state) for state in ("pending", "running", "dead")} | {"oldest_pending_seconds": 0}

    def steal(self, job_id: int) -> None:
        """Another worker claims the job, as after a lease that ran out."""
        self.rows[job_id].token = str(uuid.uuid4())
        self.rows[job_id].leased_until = time.monotonic() + 3600

    def states(self) -> list[str]:
        return [row.state for row in self.rows.values()]

    def _leased(self, job: Job) -> Row:
        row = self.rows[job.job_id]
        if row.state != "running" or row.token != job.lease_token:
            raise LeaseLost
        return row

    def _enter(self, call: str) -> None:
        self.calls.append(call)
        if call in self.before and (error := self.before[call]()):
            raise error

    def _leave(self, call: str) -> None:
        if call in self.after and (error := self.after[call]()):
            raise error


def failing(times: int) -> Callable[[], SautiError | None]:
    """A fault that passes after so many calls."""
    left = times

    def fault() -> SautiError | None:
        nonlocal left
        left -= 1
        return QueueUnavailable("queue_unavailable") if left >= 0 else None

    return fault
