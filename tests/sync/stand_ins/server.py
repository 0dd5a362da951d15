"""What the stand-ins share: an HTTP server on a free port that logs what it was asked and can fail on purpose."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Fault:
    """Answers the next `times` requests that `matches` instead of the server; with `acts`, after it has acted."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    method: str | None = None
    acts: bool = False

    def matches(self, request: web.Request) -> bool:
        return self.times > 0 and self.method in (None, request.method)


@dataclass
class Channel:
    """Whom to tell that a user's calendar has changed; `name` is what the client calls it."""

    user: str
    name: str
    address: str
    token: str
    resource_id: str
    messages: int = 0


class StandIn:
    """An OAuth server and an API in one process. Tokens: `issue` hands out a pair, `expire` ends access tokens."""

    token_path = "/token"

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.access: dict[str, str] = {}
        self.refresh: dict[str, str] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.refreshes = 0
        self.revoked: list[str] = []
        #: Whether each refresh token is good for one use.
        self.rotates = False
        #: Seconds that the token endpoint takes.
        self.token_delay = 0.0
        self.url = ""
        #: Open channels by their id at the provider.
        self.channels: dict[str, Channel] = {}
        #: Statuses that messages of channels were answered with.
        self.answers: list[int] = []
        self._telling: set[asyncio.Task[int]] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        @web.middleware
        async def watch(request: web.Request, handler: Answer) -> web.StreamResponse:
            return await self._watch(request, handler)

        app = web.Application(middlewares=[watch])
        app.router.add_post(self.token_path, self._token)
        app.router.add_post("/revoke", self._revoke)
        self.add_routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        raise NotImplementedError

    def refused(self, status: int, reason: str) -> web.Response:
        """The provider's own shape of an error."""
        raise NotImplementedError

    def issue(self, user: str, *, expires_in: float = 3600.0) -> dict[str, Any]:
        """A pair of tokens, as they are kept in a connection's credentials."""
        access, refresh = f"access-{secrets.token_hex(12)}", f"refresh-{secrets.token_hex(12)}"
        self.access[access] = self.refresh[refresh] = user
        return {"access_token": access, "refresh_token": refresh, "expires_at": round(time.time() + expires_in)}

    def grant_code(self, user: str, **expected: str) -> str:
        """A code as the consent page gives it, for the challenge and address that were asked for."""
        code = secrets.token_hex(12)
        self.codes[code] = {"user": user} | expected
        return code

    def fail(
        self, status: int, *, times: int = 1, method: str | None = None, acts: bool = False, **options: Any
    ) -> None:
        self.faults.append(Fault(status, times=times, method=method, acts=acts, **options))

    async def tell(self, channel: Channel, state: str = "exists") -> int:
        """Send a message by a channel; the status of its answer."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            answer = await self.send(http, channel, state)
        self.answers.append(answer.status_code)
        return answer.status_code

    async def send(self, http: httpx.AsyncClient, channel: Channel, state: str) -> httpx.Response:
        """The provider's own form of a message."""
        raise NotImplementedError

    def tell_soon(self, channel: Channel, state: str) -> None:
        task = asyncio.ensure_future(self.tell(channel, state))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def channels_of(self, user: str) -> list[Channel]:
        return [channel for channel in self.channels.values() if channel.user == user]

    def user_of(self, request: web.Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.access.get(token) if scheme == "Bearer" else None

    async def _watch(self, request: web.Request, handler: Answer) -> web.StreamResponse:
        body: Any = await request.text()
        if request.content_type == "application/json" and body:
            body = await request.json()
        self.asked.append(Asked(request.method, request.path, dict(request.query), dict(request.headers), body))
        is_api = request.path not in (self.token_path, "/revoke")
        for fault in self.faults:
            if is_api and fault.matches(request):
                fault.times -= 1
                if fault.acts:
                    await handler(request)
                return web.json_response(fault.body, status=fault.status, headers=fault.headers)
        if is_api and self.user_of(request) is None:
            return self.refused(401, "authError")
        return await handler(request)

    async def _token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        if (form.get("client_id"), form.get("client_secret")) != ("client", "client-secret"):
            return web.json_response({"error": "invalid_client"}, status=401)
        if form.get("grant_type") == "authorization_code":
            return self._exchange(form)
        self.refreshes += 1
        await asyncio.sleep(self.token_delay)
        spent = form.get("refresh_token", "")
        user = self.refresh.get(spent)
        if form.get("grant_type") != "refresh_token" or user is None:
            return web.json_response({"error": "invalid_grant", "error_description": "canary"}, status=400)
        pair = self.issue(user)
        if self.rotates:
            del self.refresh[spent]
        else:
            del self.refresh[pair.pop("refresh_token")]
        return web.json_response({"token_type": "Bearer", "expires_in": 3600} | pair)

    def _exchange(self, form: dict[str, str]) -> web.Response:
        grant = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            grant is None
            or grant.get("code_challenge") != challenge
            or grant.get("redirect_uri") != form.get("redirect_uri")
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        pair = self.issue(grant["user"])
        return web.json_response(
            {"token_type": "Bearer", "expires_in": 3600, "scope": grant.get("scope", "")} | pair, status=200
        )

    async def _revoke(self, request: web.Request) -> web.Response:
        token = str((await request.post()).get("token", ""))
        self.revoked.append(token)
        user = self.refresh.pop(token, None)
        if user is None:
            return web.json_response({"error": "invalid_token"}, status=400)
        self.access = {access: owner for access, owner in self.access.items() if owner != user}
        return web.json_response({})
