"""What calendars keep in the database besides jobs: refreshed tokens, when somebody is busy, who tells of changes.

`Records` is the seam: the calendars know these functions, not the road to them. The road is the queue's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from sauti_sync.calendars.interface import Watched
from sauti_sync.errors import QueueRefused
from sauti_sync.events import Caller, Job, Json


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether a worker may spend a refresh token now.

    `granted`: yes, under `lease`. `fresh`: somebody has; `credentials` is the new ciphertext. `busy`: somebody does.
    `gone`: there is no active connection any more.
    """

    state: Literal["granted", "fresh", "busy", "gone"]
    lease: str | None = None
    credentials: str | None = field(default=None, repr=False)


class Records(Protocol):
    """Every call raises QueueUnavailable or QueueRefused."""

    async def begin_refresh(self, connection_id: str, seen: str, lease_seconds: int) -> Turn:
        """Ask to spend the refresh token inside the ciphertext `seen`."""

    async def finish_refresh(self, connection_id: str, lease: str, credentials: str | None, error: str | None) -> None:
        """Store the new ciphertext, or say `needs_reauth`; raises LeaseLost when another has taken over."""

    async def store_busy(self, job: Job, pulled: Json) -> None:
        """Store one reading; raises LeaseLost."""

    async def begin_channel(self, job: Job, token_hash: str) -> str:
        """Make a channel for the calendar of a reading; its id. Raises LeaseLost."""

    async def settle_channel(self, job: Job, channel_id: str, watched: Watched | None) -> None:
        """A channel is open; or, with None, there is none of that id any more. Raises LeaseLost."""


class RpcRecords:
    """The functions, by the road that the worker's queue takes."""

    def __init__(self, call: Caller) -> None:
        self._call = call

    async def begin_refresh(self, connection_id: str, seen: str, lease_seconds: int) -> Turn:
        """Ask to spend the refresh token inside the ciphertext `seen`."""
        answer = await self._call(
            "begin_token_refresh", connection_id=connection_id, seen=seen, lease_seconds=lease_seconds
        )
        if not isinstance(answer, dict) or answer.get("state") not in ("granted", "fresh", "busy", "gone"):
            raise QueueRefused("malformed_answer", 200)
        return Turn(answer["state"], answer.get("lease"), answer.get("credentials"))

    async def finish_refresh(self, connection_id: str, lease: str, credentials: str | None, error: str | None) -> None:
        """Store the new ciphertext, or say `needs_reauth`; raises LeaseLost when another has taken over."""
        await self._call(
            "finish_token_refresh", connection_id=connection_id, lease=lease, credentials=credentials, error=error
        )

    async def store_busy(self, job: Job, pulled: Json) -> None:
        """Store one reading; raises LeaseLost."""
        await self._call("store_calendar_busy", job_id=job.job_id, lease_token=job.lease_token, pulled=dict(pulled))

    async def begin_channel(self, job: Job, token_hash: str) -> str:
        """Make a channel for the calendar of a reading; its id. Raises LeaseLost."""
        return str(
            await self._call(
                "begin_calendar_channel", job_id=job.job_id, lease_token=job.lease_token, token_hash=token_hash
            )
        )

    async def settle_channel(self, job: Job, channel_id: str, watched: Watched | None) -> None:
        """A channel is open; or, with None, there is none of that id any more. Raises LeaseLost."""
        await self._call(
            "settle_calendar_channel",
            job_id=job.job_id,
            lease_token=job.lease_token,
            channel_id=channel_id,
            resource_id=watched.resource_id if watched else None,
            expires_at=watched.expires_at if watched else None,
        )
