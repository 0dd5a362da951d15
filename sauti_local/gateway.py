"""The one port of the stack: checks keys as the hosted gateway does and passes each request to its part."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

import aiohttp
import jwt
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NO_KEY = {
    "message": "No API key found in request",
    "hint": "No `apikey` request header or url param was found.",
}
_WRONG_KEY = {
    "message": "Invalid API key",
    "hint": "Double check your Supabase `anon` or `service_role` API key.",
}
# Reached by following links, so without a key.
_OPEN_PATHS = ("/auth/v1/verify", "/auth/v1/callback", "/auth/v1/authorize", "/auth/v1/.well-known/")
_FUNCTIONS = "/functions/v1"
_REST = "/rest/v1"
_METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS"
_DEFAULT_HEADERS = "authorization,x-client-info,apikey,content-type,prefer,accept-profile,content-profile,range"
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Realtime(Protocol):
    """The Realtime server."""

    def routes(self) -> list[web.RouteDef]:
        """Its websocket and its HTTP addresses."""


@dataclass(frozen=True)
class GatewaySettings:
    """What the gateway needs to know.

    Attributes:
        anon_key: The key of client apps.
        service_role_key: The key of the worker.
        jwt_secret: HS256 secret, for functions that want a JWT.
        rest_url: Where PostgREST listens.
        functions_url: Where Deno listens; empty: there are no functions.
        functions_without_jwt: Names of the functions that check their callers themselves.
    """

    anon_key: str = field(repr=False)
    service_role_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    rest_url: str
    functions_url: str = ""
    functions_without_jwt: frozenset[str] = frozenset()


def gateway_application(
    settings: GatewaySettings, auth: web.Application | None, realtime: Realtime | None
) -> web.Application:
    """The gateway with its parts mounted.

    Args:
        settings: See `GatewaySettings`.
        auth: Serves ``/auth/v1``.
        realtime: Serves ``/realtime/v1``.
    """
    gateway = _Gateway(settings)
    application = web.Application(middlewares=[gateway.allow_browsers, gateway.check_key], client_max_size=64 * 2**20)
    application.cleanup_ctx.append(gateway.client_session)
    application.router.add_route("*", _REST + "{path:(/.*)?}", gateway.to_rest)
    application.router.add_route("*", _FUNCTIONS + "/{function}{path:(/.*)?}", gateway.to_functions)
    if realtime is not None:
        application.add_routes(realtime.routes())
    if auth is not None:
        application.add_subapp("/auth/v1", auth)
    return application


class _Gateway:
    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def client_session(self, application: web.Application):  # type: ignore[no-untyped-def]
        """Keep connections to the parts open while the gateway runs."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=150)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
            self._session = session
            yield

    @web.middleware
    async def allow_browsers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer preflight requests and let pages of any origin read answers.

        The functions answer their own preflight requests, as on a hosted project.
        """
        if request.path.startswith(_FUNCTIONS + "/"):
            return await handler(request)
        if request.method == "OPTIONS" and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            response: web.StreamResponse = web.Response()
            response.headers["Access-Control-Allow-Methods"] = _METHODS
            response.headers["Access-Control-Allow-Headers"] = request.headers.get(
                hdrs.ACCESS_CONTROL_REQUEST_HEADERS, _DEFAULT_HEADERS
            )
            response.headers["Access-Control-Max-Age"] = "3600"
            response.headers["Access-Control-Allow-Origin"] = "*"
            return response
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers["Access-Control-Allow-Origin"] = "*"
            raise
        if not response.prepared:
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = "*"
        return response

    @web.middleware
    async def check_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests without a key of this project; the key speaks for callers who bring no token."""
        if request.path.startswith(_FUNCTIONS + "/") or request.path.startswith(_OPEN_PATHS):
            return await handler(request)
        key = request.headers.get("apikey") or request.query.get("apikey")
        if not key:
            return web.json_response(_NO_KEY, status=401)
        if not self._is_key(key):
            return web.json_response(_WRONG_KEY, status=401)
        if hdrs.AUTHORIZATION not in request.headers:
            headers = request.headers.copy()
            headers[hdrs.AUTHORIZATION] = f"Bearer {key}"
            request = request.clone(headers=headers)
        return await handler(request)

    async def to_rest(self, request: web.Request) -> web.StreamResponse:
        """Pass a request to PostgREST."""
        return await self._forward(request, self._settings.rest_url, _REST)

    async def to_functions(self, request: web.Request) -> web.StreamResponse:
        """Pass a request to a function, if the function takes it without a JWT or the JWT is good."""
        # Dots would be resolved by Deno, which then runs another function than the one whose rule is applied here.
        segments = re.split(r"[/\\]", unquote(request.raw_path.partition("?")[0]))
        if not self._settings.functions_url or {".", ".."} & set(segments):
            return web.json_response({"code": "NOT_FOUND", "message": "Requested function was not found"}, status=404)
        wants_jwt = request.match_info["function"] not in self._settings.functions_without_jwt
        if wants_jwt and request.method != "OPTIONS":
            authorization = request.headers.get(hdrs.AUTHORIZATION)
            if authorization is None:
                return web.json_response({"code": 401, "message": "Missing authorization header"}, status=401)
            if not self._is_token(authorization):
                return web.json_response({"code": 401, "message": "Invalid JWT"}, status=401)
        return await self._forward(request, self._settings.functions_url, _FUNCTIONS)

    def _is_key(self, key: str) -> bool:
        keys = (self._settings.anon_key, self._settings.service_role_key)
        return any(hmac.compare_digest(key.encode(), known.encode()) for known in keys)

    def _is_token(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        try:
            jwt.decode(token, self._settings.jwt_secret, algorithms=["HS256"], options={"verify_aud": False})
        except jwt.InvalidTokenError:
            return False
        return scheme.lower() == "bearer"

    async def _forward(self, request: web.Request, base: str, prefix: str) -> web.StreamResponse:
        """Pass the request on as it is, without `prefix` in its path, and stream the answer back."""
        assert self._session is not None
        target = URL(base + (request.raw_path.removeprefix(prefix) or "/"), encoded=True)
        headers = _end_to_end(request.headers)
        headers["X-Forwarded-For"] = request.remote or ""
        headers["X-Forwarded-Host"] = request.host
        headers["X-Forwarded-Proto"] = request.scheme
        body = request.content if request.body_exists else None
        try:
            async with self._session.request(
                request.method, target, headers=headers, data=body, allow_redirects=False, skip_auto_headers=("Accept",)
            ) as upstream:
                response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
                response.headers.extend(_without_cors(_end_to_end(upstream.headers), prefix))
                if prefix != _FUNCTIONS:
                    response.headers["Access-Control-Allow-Origin"] = "*"
                    response.headers["Access-Control-Expose-Headers"] = "*"
                await response.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientConnectionError, TimeoutError):
            if request.transport is None or request.transport.is_closing():
                # The client has gone. Nobody reads this, and raised it would be logged as an error of ours.
                return web.Response(status=499)
            return web.json_response(
                {"message": "An invalid response was received from the upstream server"}, status=502
            )


def _end_to_end(headers: CIMultiDict[str] | aiohttp.typedefs.LooseHeaders) -> CIMultiDict[str]:
    """The headers without those that belong to one connection."""
    kept = CIMultiDict(headers)
    named = {name.strip().lower() for name in kept.get(hdrs.CONNECTION, "").split(",")}
    for name in {name for name in kept if name.lower() in _HOP_BY_HOP | named}:
        del kept[name]
    return kept


def _without_cors(headers: CIMultiDict[str], prefix: str) -> CIMultiDict[str]:
    if prefix != _FUNCTIONS:
        for name in {name for name in headers if name.lower().startswith("access-control-")}:
            del headers[name]
    return headers
