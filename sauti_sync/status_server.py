"""`/healthz` and `/metrics` over HTTP, small enough to need no framework. Answers GET and HEAD, closes after each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from prometheus_client import CONTENT_TYPE_LATEST

from sauti_sync.events import Json

_REQUEST_SECONDS = 5.0
_REQUEST_BYTES = 8192


class StatusServer:
    """Serves what `health` and `metrics` give back; `health` gives (healthy, facts)."""

    def __init__(self, health: Callable[[], tuple[bool, Json]], metrics: Callable[[], bytes]) -> None:
        self._health = health
        self._metrics = metrics
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port (of use when 0 was asked for). Raises OSError when it is taken."""
        self._server = await asyncio.start_server(self._answer, host, port, limit=_REQUEST_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                method, target = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
                status, kind, body = self._route(method, target.partition("?")[0])
                length = len(body)
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
                    "Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode()
                )
                if method == "GET":
                    writer.write(body)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def _route(self, method: str, path: str) -> tuple[str, str, bytes]:
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", "text/plain", b""
        if path == "/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, self._metrics()
        if path == "/healthz":
            healthy, facts = self._health()
            status = "200 OK" if healthy else "503 Service Unavailable"
            return status, "application/json", json.dumps(dict(facts)).encode()
        return "404 Not Found", "text/plain", b""
