"""Access tokens of Google and Microsoft: used while they last, refreshed by one worker at a time.

A refresh token may be good for one use only. So the right to spend it is a lease in the database, and the others
wait for what it brings; whoever dies with it loses it after `_LEASE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from sauti_sync import backoff
from sauti_sync.calendars.interface import Account
from sauti_sync.calendars.records import Records
from sauti_sync.credentials import TokenKeys
from sauti_sync.errors import LeaseLost, Outage, Permanent, QueueUnavailable, Retryable
from sauti_sync.messages.retry_after import seconds_to_wait

#: A token that ends sooner is not used: the request may take as long.
_MARGIN_SECONDS = 120.0
_LEASE_SECONDS = 30
#: For a whole request, since httpx limits each read only: half of the lease is left to store what it brings.
_REQUEST_SECONDS = 15.0
_WAIT_SECONDS = 20.0
_LOOK_SECONDS = 0.25
#: RFC 6749, 5.2, and Entra's own: the person has to consent again.
_FINAL = frozenset({"invalid_grant", "interaction_required", "consent_required", "login_required"})


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider gives and takes tokens."""

    token: str
    revoke: str | None = None

    @classmethod
    def google(cls, base: str | None) -> Endpoints:
        """Google's own hosts, or the paths below `base`."""
        hosts = base or "https://oauth2.googleapis.com"
        return cls(f"{hosts}/token", f"{hosts}/revoke")

    @classmethod
    def microsoft(cls, base: str | None) -> Endpoints:
        """Microsoft's own host, or the paths below `base`. Microsoft has no address that takes tokens back."""
        return cls(f"{base or 'https://login.microsoftonline.com'}/common/oauth2/v2.0/token")


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """This project, as registered with the provider; `keys` encrypt what it gets."""

    client_id: str
    client_secret: str = field(repr=False)
    endpoints: Endpoints
    keys: TokenKeys
    records: Records


class TokenSession:
    """The tokens of one account, for the length of one job."""

    def __init__(
        self, client: OAuthClient, account: Account, http: httpx.AsyncClient, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._account = account
        self._http = http
        self._clock = clock
        self._ciphertext = account.ciphertext
        self._secret = _checked(dict(account.secret))

    async def token(self) -> str:
        """An access token with some life left; raises Permanent `needs_reauth` or Retryable."""
        if self._secret["expires_at"] - self._clock() < _MARGIN_SECONDS:
            await self.renew()
        return str(self._secret["access_token"])

    async def renew(self) -> None:
        """Get another access token, or take the one that another worker has got."""
        connection_id = self._account.connection_id
        if connection_id is None:
            self._secret = await self._refreshed()
            return
        deadline = time.monotonic() + _WAIT_SECONDS
        while (asked_at := time.monotonic()) < deadline:
            turn = await self._client.records.begin_refresh(connection_id, self._ciphertext, _LEASE_SECONDS)
            if turn.state == "gone":
                raise LeaseLost
            if turn.state == "fresh" and turn.credentials is not None:
                if self._adopt(turn.credentials):
                    return
            elif turn.state == "granted" and turn.lease is not None:
                await _to_its_end(self._spend(connection_id, turn.lease, asked_at + _LEASE_SECONDS))
                return
            else:
                await asyncio.sleep(_LOOK_SECONDS)
        raise Retryable("token_busy")

    async def revoke(self) -> None:
        """Give the consent back. An account that is closed already has nothing to give."""
        if self._client.endpoints.revoke is None:
            return
        answer = await self._post(self._client.endpoints.revoke, {"token": self._secret["refresh_token"]})
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Retryable("calendar_unavailable", _wait(answer))

    def _adopt(self, ciphertext: str) -> bool:
        """Take over what is stored; whether it is another access token (a rotation of keys changes only its wrap)."""
        before = self._secret["access_token"]
        self._secret = _checked(self._client.keys.decrypt(ciphertext, self._account.user_id, self._account.provider))
        self._ciphertext = ciphertext
        return bool(self._secret["access_token"] != before)

    async def _spend(self, connection_id: str, lease: str, deadline: float) -> None:
        try:
            secret = await self._refreshed()
        except Permanent as error:
            await self._finish(connection_id, lease, deadline, error=error.symbol)
            raise
        except Retryable:
            # Once will do: nothing would be lost, and the lease ends by itself.
            with suppress(QueueUnavailable):
                await self._client.records.finish_refresh(connection_id, lease, None, None)
            raise
        ciphertext = self._client.keys.encrypt(secret, self._account.user_id, self._account.provider)
        await self._finish(connection_id, lease, deadline, credentials=ciphertext)
        self._secret, self._ciphertext = secret, ciphertext

    async def _finish(
        self,
        connection_id: str,
        lease: str,
        deadline: float,
        *,
        credentials: str | None = None,
        error: str | None = None,
    ) -> None:
        """Tell the database, as often as the lease allows: the token before is spent, and no other worker has the new.

        Raises QueueUnavailable when the lease has ended.
        """
        tries = 0
        while True:
            tries += 1
            try:
                await self._client.records.finish_refresh(connection_id, lease, credentials, error)
            except LeaseLost:
                if tries == 1:
                    raise
                # Nobody else can have taken over yet: an unanswered try had arrived.
                return
            except QueueUnavailable:
                pause = backoff.SETTLE.delay(tries, backoff.jitter())
                if deadline - time.monotonic() <= pause:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _refreshed(self) -> dict[str, Any]:
        began = self._clock()
        answer = await self._post(
            self._client.endpoints.token,
            {
                "grant_type": "refresh_token",
                "refresh_token": self._secret["refresh_token"],
                "client_id": self._client.client_id,
                "client_secret": self._client.client_secret,
            },
        )
        body = _object(answer)
        if answer.status_code == 200 and isinstance(body.get("access_token"), str):
            seconds = body.get("expires_in")
            return self._secret | {
                "access_token": body["access_token"],
                # Microsoft gives another one each time, Google never.
                "refresh_token": body.get("refresh_token") or self._secret["refresh_token"],
                "expires_at": round(began + (seconds if isinstance(seconds, int | float) else 3600)),
            }
        if answer.status_code in (400, 401) and body.get("error") in _FINAL:
            raise Permanent("needs_reauth")
        if answer.status_code in (400, 401, 403) and body.get("error") in ("invalid_client", "unauthorized_client"):
            # Ours to correct: nobody has to connect again for that.
            raise Outage("oauth_client_refused", 300.0)
        raise (Outage if answer.status_code >= 500 else Retryable)("calendar_unavailable", _wait(answer))

    async def _post(self, url: str, fields: dict[str, Any]) -> httpx.Response:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                return await self._http.post(url, data=fields, headers={"Accept": "application/json"})
        except (httpx.HTTPError, TimeoutError):
            raise Outage("calendar_unavailable") from None


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """A job may be cancelled at any moment; a token that is being spent must still be stored, or it is lost.

    However often it is cancelled, it raises CancelledError only when the work has ended: the caller closes the HTTP
    client then.
    """
    task = asyncio.ensure_future(work)
    is_cancelled = False
    while not task.done():
        try:
            # Unlike `await task`, this leaves the task alone when it is cancelled itself.
            await asyncio.wait({task})
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        if not task.cancelled():
            task.exception()  # read, or the loop would complain of it
        raise asyncio.CancelledError
    task.result()


def _checked(secret: dict[str, Any]) -> dict[str, Any]:
    tokens = (secret.get("access_token"), secret.get("refresh_token"))
    if not all(isinstance(token, str) and token for token in tokens) or not isinstance(
        secret.get("expires_at"), int | float
    ):
        raise Permanent("credentials_unreadable")
    return secret


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _wait(answer: httpx.Response) -> float | None:
    return seconds_to_wait(answer.headers.get("retry-after"), answer.headers.get("date"))
