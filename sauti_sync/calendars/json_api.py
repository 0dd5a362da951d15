"""JSON over HTTP with an access token: what Google and Microsoft have in common."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from sauti_sync.calendars.oauth import TokenSession
from sauti_sync.errors import Outage, Permanent
from sauti_sync.events import Lease
from sauti_sync.messages.retry_after import seconds_to_wait

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_REQUEST_SECONDS = 20.0
_ANSWER_BYTES = 8 * 1_048_576


def client() -> httpx.AsyncClient:
    """Follows no redirect: the token must not go to an address that nobody named."""
    return httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, headers={"User-Agent": "appointments/1"})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `body` is empty when it is no JSON object."""

    status: int
    retry_after: float | None
    body: Mapping[str, Any] = field(repr=False)

    @property
    def error(self) -> Mapping[str, Any]:
        """The object `error`, which both providers answer failures with."""
        error = self.body.get("error")
        return error if isinstance(error, dict) else {}


class JsonApi:
    """Requests below one address, as one account."""

    def __init__(self, base: str, session: TokenSession, http: httpx.AsyncClient) -> None:
        self._base = base
        self._session = session
        self._http = http

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        lease: Lease | None = None,
    ) -> Reply:
        """One request; a refused token is renewed once. Raises Permanent `needs_reauth` when that does not help.

        What changes something is given its lease: a token may take longer to come than the lease lasts.
        """
        for is_second in (False, True):
            token = await self._session.token()
            if lease is not None:
                lease.check()
            reply = await self._send(method, path, query, content, dict(headers or {}), token)
            if reply.status != 401:
                return reply
            if not is_second:
                await self._session.renew()
        raise Permanent("needs_reauth")

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        content: Mapping[str, Any] | None,
        headers: dict[str, str],
        token: str,
    ) -> Reply:
        headers |= {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        data = None
        if content is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(content).encode()
        body = bytearray()
        try:
            async with (
                asyncio.timeout(_REQUEST_SECONDS),
                self._http.stream(method, self._base + path, params=query, content=data, headers=headers) as response,
            ):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _ANSWER_BYTES:
                        raise Permanent("calendar_answer_invalid")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError):
            raise Outage("calendar_unavailable") from None
        try:
            parsed = json.loads(body) if body else {}
        except ValueError:
            parsed = {}
        wait = seconds_to_wait(response.headers.get("retry-after"), response.headers.get("date"))
        return Reply(response.status_code, wait, parsed if isinstance(parsed, dict) else {})
