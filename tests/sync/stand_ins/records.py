"""The database's part of refreshing tokens, in memory: one lease for each connection."""

import uuid
from dataclasses import dataclass, field

from sauti_sync.calendars.interface import Watched
from sauti_sync.calendars.records import Turn
from sauti_sync.errors import LeaseLost
from sauti_sync.events import Job, Json


@dataclass
class MemoryRecords:
    #: Ciphertexts by connection.
    credentials: dict[str, str] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    stored: list[Json] = field(default_factory=list)
    #: Hashes of tokens by channel; and what became of it.
    begun: dict[str, str] = field(default_factory=dict)
    channels: dict[str, Watched | None] = field(default_factory=dict)
    #: Whether another worker takes the job over before a channel is settled.
    is_overtaken: bool = False

    async def begin_refresh(self, connection_id: str, seen: str, lease_seconds: int) -> Turn:
        if connection_id not in self.credentials or connection_id in self.errors:
            return Turn("gone")
        if self.credentials[connection_id] != seen:
            return Turn("fresh", credentials=self.credentials[connection_id])
        if connection_id in self.leases:
            return Turn("busy")
        self.leases[connection_id] = str(uuid.uuid4())
        return Turn("granted", lease=self.leases[connection_id])

    async def finish_refresh(self, connection_id: str, lease: str, credentials: str | None, error: str | None) -> None:
        if self.leases.get(connection_id) != lease:
            raise LeaseLost
        del self.leases[connection_id]
        if credentials is not None:
            self.credentials[connection_id] = credentials
        if error is not None:
            self.errors[connection_id] = error

    async def store_busy(self, job: Job, pulled: Json) -> None:
        self.stored.append(pulled)

    async def begin_channel(self, job: Job, token_hash: str) -> str:
        channel_id = str(uuid.uuid4())
        self.begun[channel_id] = token_hash
        return channel_id

    async def settle_channel(self, job: Job, channel_id: str, watched: Watched | None) -> None:
        if self.is_overtaken:
            raise LeaseLost
        self.channels[channel_id] = watched
