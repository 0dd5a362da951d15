"""What every calendar provider can do.

The contract, held by one conformance suite over all providers:
- `put` creates or updates; however often it is repeated, with or without `known`, there is one event;
- `remove` succeeds when the event is not there, whoever removed it;
- an event that somebody else has changed since is overwritten only after `lease.confirm()`, because the other one
  may be a worker that has taken over;
- 401 and 403 are Permanent `needs_reauth`, a missing calendar is Permanent `calendar_not_found`, 429 and 5xx are
  Retryable and honour Retry-After.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sauti_sync.events import Lease
from sauti_sync.ics import Entry, Wording


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """An event at the provider, as remembered in `calendar_events`."""

    external_event_id: str
    etag: str | None


class Calendar(Protocol):
    """One person's calendar."""

    async def put(
        self, appointment_id: str, entry: Entry, wording: Wording, known: RemoteEvent | None, full: bool, lease: Lease
    ) -> RemoteEvent:
        """Make the calendar show the entry."""

    async def remove(self, appointment_id: str, known: RemoteEvent | None, lease: Lease) -> None:
        """Make the calendar show nothing."""

    async def close(self) -> None:
        """Give back connections."""


class Opener(Protocol):
    """Makes a calendar from decrypted credentials; raises Permanent when they or the address are not acceptable."""

    def __call__(self, secret: Mapping[str, Any]) -> Calendar:
        """Open a calendar; nothing is sent yet."""
