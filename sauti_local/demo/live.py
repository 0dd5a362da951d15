"""What a person's app hears over Realtime, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from realtime import RealtimeSubscribeStates
from realtime.types import (
    BroadcastPayload,
    PostgresChangesPayload,
    RealtimeChannelOptions,
    RealtimePostgresChangesListenEvent,
)

from sauti_local.demo.people import Caller, Person, Row

_PRIVATE: RealtimeChannelOptions = {"config": {"broadcast": {}, "presence": None, "private": True}}


@dataclass(frozen=True)
class Heard:
    """One message.

    Attributes:
        kind: ``broadcast`` of the private topic, or ``change`` of a table.
        event: The broadcast's event, or INSERT, UPDATE, DELETE.
        row: The broadcast's payload, or the new row.
        heard_at: When it reached the client.
        committed_at: When the transaction was committed, for changes.
    """

    kind: Literal["broadcast", "change"]
    event: str
    row: Row
    heard_at: datetime
    committed_at: datetime | None = None


class Ear:
    """Listens on the private topic ``user:<id>`` of one person, and to changes of ``matched_services``."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.heard: list[Heard] = []
        self._something = asyncio.Event()

    async def open(self, seconds: float) -> None:
        """Join, and wait until the server says that changes are being listened to.

        Raises:
            LookupError: the join is refused.
            TimeoutError: it takes longer.
        """
        listening = asyncio.Event()
        channel = self.person.api.client.channel(f"user:{self.person.user_id}", _PRIVATE)
        channel.on_broadcast("*", self._take_broadcast)
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.All, self._take_change, table="matched_services", schema="public"
        )
        channel.on_system(lambda payload: listening.set() if payload.extension == "postgres_changes" else None)
        state, error = await _joined(self.person.api, channel.subscribe)
        if state != RealtimeSubscribeStates.SUBSCRIBED:
            raise LookupError(f"joining the own topic gave {state}: {error}")
        async with asyncio.timeout(seconds):
            await listening.wait()

    async def first(self, fits: Callable[[Heard], bool], seconds: float) -> Heard | None:
        """The first message that fits, or None when none came in time."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._something.clear()
                    found = next((heard for heard in self.heard if fits(heard)), None)
                    if found is not None:
                        return found
                    await self._something.wait()
        except TimeoutError:
            return None

    def _take_broadcast(self, payload: BroadcastPayload) -> None:
        self._take(Heard("broadcast", payload["event"], payload["payload"], datetime.now(UTC)))

    def _take_change(self, payload: PostgresChangesPayload) -> None:
        data: dict[str, Any] = dict(payload["data"])
        committed_at = datetime.fromisoformat(data["commit_timestamp"])
        self._take(Heard("change", data["type"].value, data.get("record") or {}, datetime.now(UTC), committed_at))

    def _take(self, heard: Heard) -> None:
        self.heard.append(heard)
        self._something.set()


async def refused_topic(person: Person, topic: str) -> str:
    """Why a private topic may not be joined; empty when it could be."""
    channel = person.api.client.channel(topic, _PRIVATE)
    state, error = await _joined(person.api, channel.subscribe)
    await person.api.client.remove_channel(channel)
    return "" if state == RealtimeSubscribeStates.SUBSCRIBED else str(error)


async def _joined(
    api: Caller, subscribe: Callable[..., Any]
) -> tuple[RealtimeSubscribeStates | None, Exception | None]:
    """Join a channel with the caller's present token; how that ended."""
    session = await api.client.auth.get_session()
    await api.client.realtime.set_auth(session.access_token if session else None)
    outcome: list[tuple[RealtimeSubscribeStates, Exception | None]] = []
    await subscribe(lambda state, error: outcome.append((state, error)))
    return outcome[0] if outcome else (None, None)
