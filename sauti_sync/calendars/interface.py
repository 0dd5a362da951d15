"""What every calendar provider can do.

The contract, held by one conformance suite over all providers:
- `put` creates or updates; however often it is repeated, with or without `known`, there is one event;
- an event that its owner has deleted by hand is made again once, which is said (`recreated`), and then not any more;
- `remove` succeeds when the event is not there, whoever removed it;
- an event that somebody else has changed since is overwritten only after `lease.confirm()`, because the other one
  may be a worker that has taken over;
- `pull` gives what changed since its cursor, or everything when there is none or the provider has forgotten it;
- `watch` makes the provider tell an address of ours that something has changed, until a moment that it names;
  `unwatch` succeeds when it does so no more, whoever has ended it;
- credentials that are refused are Permanent `needs_reauth`, a missing calendar is Permanent `calendar_not_found`, 429
  and 5xx are Retryable and honour Retry-After.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sauti_sync.calendars.busy import Pulled, Window
from sauti_sync.events import Lease
from sauti_sync.ics import Entry, Wording


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """An event at the provider, as remembered in `calendar_events`."""

    external_event_id: str
    etag: str | None
    #: Told to `put`: it has been made again once, so a further deletion is to be respected.
    is_final: bool = False
    #: Told by `put`: its owner had deleted it, and it was made again.
    recreated: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """A channel that the provider has opened: its own name of what it watches, and when it stops by itself."""

    resource_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """Whose calendar it is, and what opens it."""

    user_id: str
    provider: str
    calendar_id: str = field(repr=False)
    secret: Mapping[str, Any] = field(repr=False)
    #: What `secret` was decrypted from: tells whether somebody has refreshed it since.
    ciphertext: str = field(default="", repr=False)
    #: None when the connection is gone; refreshed tokens are then kept nowhere.
    connection_id: str | None = None


class Calendar(Protocol):
    """One person's calendar."""

    async def put(
        self, appointment_id: str, entry: Entry, wording: Wording, known: RemoteEvent | None, full: bool, lease: Lease
    ) -> RemoteEvent | None:
        """Make the calendar show the entry; None when its owner wants it gone."""

    async def remove(self, appointment_id: str, known: RemoteEvent | None, lease: Lease) -> None:
        """Make the calendar show nothing."""

    async def pull(self, window: Window, cursor: str | None) -> Pulled:
        """What takes time within the window, or what changed of it since the cursor."""

    async def watch(self, channel_id: str, token: str, address: str) -> Watched:
        """Have changes told to the address, with the token; or raise Permanent `push_unsupported`."""

    async def unwatch(self, channel_id: str, resource_id: str) -> None:
        """End a channel."""

    async def revoke(self) -> None:
        """Give the access back to the provider, where it takes it."""

    async def close(self) -> None:
        """Give back connections."""


class Opener(Protocol):
    """Makes a calendar from decrypted credentials; raises Permanent when they or the address are not acceptable."""

    def __call__(self, account: Account) -> Calendar:
        """Open a calendar; nothing is sent yet."""
