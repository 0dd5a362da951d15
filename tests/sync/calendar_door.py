"""Stands before a calendar provider and passes on what it is asked."""

import aiohttp
from aiohttp import web


class CalendarDoor:
    """A door of its own kind says in `serve` what it does before or after it passes a request on."""

    PASSED = ("Authorization", "Content-Type", "Depth", "If-Match", "If-None-Match", "Prefer")

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession(auto_decompress=False)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            await self._session.close()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def pass_on(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: request.headers[name] for name in self.PASSED if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        async with self._session.request(
            request.method, self.upstream + request.raw_path, data=body or None, headers=headers
        ) as upstream:
            kept = {name: upstream.headers[name] for name in ("ETag", "DAV") if name in upstream.headers}
            kept["Content-Type"] = upstream.headers.get("Content-Type", "text/plain")
            return web.Response(status=upstream.status, headers=kept, body=await upstream.read())
