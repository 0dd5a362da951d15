"""What calendars keep in the database besides jobs: refreshed tokens, and when somebody is busy.

`Records` is the seam: the calendars know these functions, not the road to them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import httpx

from sauti_sync.config import ProjectSettings
from sauti_sync.errors import LeaseLost, QueueRefused, QueueUnavailable
from sauti_sync.events import Job, Json

_TIMEOUT = httpx.Timeout(15.0, connect=5.0)


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

    async def close(self) -> None:
        """Give back connections."""


class DataApiRecords:
    """The functions through PostgREST, with the service-role key."""

    def __init__(self, settings: ProjectSettings) -> None:
        key = settings.supabase_service_role_key.get_secret_value()
        self._http = httpx.AsyncClient(
            base_url=f"{settings.supabase_url}/rest/v1/rpc/",
            headers={"apikey": key, "Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=_TIMEOUT,
            # A proxy named in the environment is for the way out of this machine.
            trust_env=not settings.is_on_this_machine,
        )

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

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _call(self, function: str, **arguments: Any) -> Any:
        try:
            response = await self._http.post(function, content=json.dumps(arguments))
            body = response.json() if response.content else None
        except (httpx.HTTPError, ValueError):
            raise QueueUnavailable("queue_unavailable") from None
        if response.is_success:
            return body
        if response.status_code == 429 or response.status_code >= 500:
            raise QueueUnavailable("queue_unavailable")
        if response.status_code == 409 and isinstance(body, dict) and body.get("message") == "invalid_transition":
            raise LeaseLost
        raise QueueRefused(f"queue_refused_{response.status_code}", response.status_code)
