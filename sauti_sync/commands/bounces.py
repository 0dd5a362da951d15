"""`sauti-sync bounces`: takes one delivery report on standard input, as a mail server's pipe hands it over.

Ends with 0 when there is nothing more to do, also for what is not a report or not ours: a mail server must not send
such mail back. Ends with 75 (EX_TEMPFAIL of sysexits.h) when it should be handed over again later.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import BinaryIO

from sauti_sync.config import BounceSettings
from sauti_sync.errors import ConfigurationError, SautiError
from sauti_sync.messages import bounces
from sauti_sync.messages.return_path import Reference, ReturnPath
from sauti_sync.outbox import DataApiQueue

LATER = 75


def take_bounce(recipient: str | None, source: BinaryIO) -> int:
    """Read, judge and record one report; the exit status. Prints one word and nothing of the report."""
    content = _read(source)
    try:
        settings = BounceSettings.from_environment()
    except ConfigurationError as error:
        for problem in error.problems:
            print(f"sauti-sync bounces: {problem}", file=sys.stderr)
        return LATER
    path = ReturnPath.of(settings.bounce_address, settings.supabase_service_role_key.get_secret_value())
    outcome = judge(content, recipient, path)
    if isinstance(outcome, Reference):
        try:
            outcome = asyncio.run(_record(settings, outcome))
        except SautiError as error:
            print(f"sauti-sync bounces: {error.symbol}", file=sys.stderr)
            return LATER
    print(outcome)
    return 0


def judge(content: bytes | None, recipient: str | None, path: ReturnPath) -> Reference | str:
    """The mail whose address does not work, or why nothing is recorded."""
    if content is None:
        return "too_large"
    message = bounces.parse(content)
    if message is None:
        return "no_report"
    reference = _first(path, [recipient] if recipient is not None else bounces.recipients(message))
    if reference is None:
        return "not_ours"
    statuses = bounces.statuses(message)
    if not statuses:
        return "no_report"
    return reference if any(map(bounces.is_about_address, statuses)) else "not_about_the_address"


def _first(path: ReturnPath, addresses: Iterable[str]) -> Reference | None:
    return next((found for address in addresses if (found := path.read(address)) is not None), None)


def _read(source: BinaryIO) -> bytes | None:
    """All of it; None when it is too large. It is read to its end, or the mail server would take that for a failure."""
    content = source.read(bounces.LONGEST + 1)
    while source.read(65_536):
        pass
    return content if len(content) <= bounces.LONGEST else None


async def _record(settings: BounceSettings, reference: Reference) -> str:
    queue = DataApiQueue(settings)
    try:
        return str(
            await queue.call("record_bounce", message_id=reference.message_id, address_digest=reference.address_digest)
        )
    finally:
        await queue.close()
