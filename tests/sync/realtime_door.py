"""A Realtime server of the test's own before the project that a worker knows: it can go away, and its time moves."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from sauti_local.gateway import GatewaySettings, gateway_application
from sauti_local.ports import LOOPBACK
from sauti_local.realtime import RealtimeServer, RealtimeSettings
from sauti_local.realtime.channel import Channel
from sauti_local.stack import Addresses


class RealtimeDoor:
    """Where Realtime is; its address stays, and hangs up, while no server is behind it."""

    def __init__(self, db_url: str, jwt_secret: str) -> None:
        #: Seconds by which its clock is ahead.
        self.ahead = 0.0
        self._settings = RealtimeSettings(db_url=db_url, jwt_secret=jwt_secret, clock=lambda: time.time() + self.ahead)
        self._server: RealtimeServer | None = None

    @property
    def is_there(self) -> bool:
        return self._server is not None

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/realtime/v1/websocket", self._websocket)]

    async def start(self) -> None:
        server = RealtimeServer(self._settings)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Close every connection and refuse new ones."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    def channels(self, topic: str = "sauti_sync") -> list[Channel]:
        """Who has joined a private topic."""
        if self._server is None:
            return []
        found = self._server._context.hub._topics.get((topic, True))
        return [member for member in found.members if isinstance(member, Channel)] if found else []

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if self._server is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=503)
        return await self._server.handle_websocket(request)


@asynccontextmanager
async def serving(settings: GatewaySettings, door: RealtimeDoor) -> AsyncIterator[str]:
    """Address of a gateway with this Realtime."""
    runner = web.AppRunner(gateway_application(settings, None, door), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await door.start()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await door.stop()
        await runner.cleanup()


@asynccontextmanager
async def before(project: Addresses) -> AsyncIterator[tuple[str, RealtimeDoor]]:
    """Address of a running stack with another Realtime, and that Realtime."""
    door = RealtimeDoor(project.db_url, project.jwt_secret)
    settings = GatewaySettings(
        anon_key=project.anon_key,
        service_role_key=project.service_role_key,
        jwt_secret=project.jwt_secret,
        rest_url=f"{project.api_url}/rest/v1",
    )
    async with serving(settings, door) as address:
        yield address, door
