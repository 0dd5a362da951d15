"""Stands before a calendar provider and keeps what would create an event, as long as it is told to.

What it has kept arrives in the end, whether or not anybody still waits for the answer.
"""

import asyncio

import aiohttp
from aiohttp import web

PASSED = ("Authorization", "Content-Type", "Depth", "If-Match", "If-None-Match", "Prefer")


class SlowDoor:
    """Use: `start`, `keep`, wait for `kept`, `open`, wait for `arrived`, `stop`."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""
        self.kept = asyncio.Event()
        self.arrived = asyncio.Event()
        self._keeps = False
        self._opened = asyncio.Event()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession(auto_decompress=False)

    async def stop(self) -> None:
        self.open()
        await self._runner.cleanup()
        await self._session.close()

    def keep(self) -> None:
        """Let the next creation wait, that one alone."""
        self._keeps = True

    def open(self) -> None:
        self._opened.set()

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        is_late = self._keeps and request.method in ("POST", "PUT")
        if is_late:
            self._keeps = False
            self.kept.set()
            await self._opened.wait()
        headers = {name: request.headers[name] for name in PASSED if name in request.headers}
        async with self._session.request(
            request.method, self.upstream + request.raw_path, data=body or None, headers=headers
        ) as upstream:
            answer = web.Response(status=upstream.status, body=await upstream.read())
            for name in ("Content-Type", "ETag"):
                if name in upstream.headers:
                    answer.headers[name] = upstream.headers[name]
        if is_late:
            self.arrived.set()
        return answer
