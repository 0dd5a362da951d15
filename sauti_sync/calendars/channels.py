"""Channels: the provider tells the function `api` that a calendar has changed, and the database queues a reading.

A channel is opened, renewed and ended by the readings of its calendar, which never overlap and are fenced by their
lease, so no two workers open one each. What goes wrong with a channel costs nothing: the calendar is read by the clock.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sauti_sync.calendars.interface import Calendar
from sauti_sync.calendars.records import Records
from sauti_sync.errors import LeaseLost, Permanent, SautiError
from sauti_sync.events import Lease
from sauti_sync.logs import logger

#: Who tells of changes.
_TELLING = frozenset({"google", "microsoft"})


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the database knows it; without a resource the provider has not answered yet."""

    channel_id: str
    resource_id: str | None
    is_current: bool


class Channels:
    """Keeps one channel for each calendar where there is an address to tell; none where there is not."""

    def __init__(self, records: Records, push_url: str | None = None) -> None:
        self._records = records
        self._push_url = push_url

    async def keep(self, calendar: Calendar, provider: str, known: Sequence[Channel], lease: Lease) -> None:
        """Open a channel when none has time left, and end the others. Raises LeaseLost and nothing else."""
        wanted = self._push_url is not None and provider in _TELLING
        outdated = [channel for channel in known if not (wanted and channel.is_current)]
        try:
            if wanted and len(outdated) == len(known):
                await self._open(calendar, f"{self._push_url}/api/calendar/{provider}/changes", lease)
            for channel in outdated:
                if channel.resource_id is not None:
                    lease.check()
                    await calendar.unwatch(channel.channel_id, channel.resource_id)
                    await self._records.settle_channel(lease.job, channel.channel_id, None)
        except LeaseLost:
            raise
        except SautiError as error:
            logger().warning("channel_failed", provider=provider, error=error.symbol)

    async def _open(self, calendar: Calendar, address: str, lease: Lease) -> None:
        token = secrets.token_urlsafe(32)
        channel_id = await self._records.begin_channel(lease.job, hashlib.sha256(token.encode()).hexdigest())
        lease.check()
        try:
            watched = await calendar.watch(channel_id, token, address)
        except Permanent:
            await self._records.settle_channel(lease.job, channel_id, None)
            raise
        try:
            await self._records.settle_channel(lease.job, channel_id, watched)
        except LeaseLost:
            # Whoever has taken over opens another.
            with suppress(SautiError):
                await calendar.unwatch(channel_id, watched.resource_id)
            raise
