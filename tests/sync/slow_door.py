"""Stands before a calendar provider and keeps what would create an event, as long as it is told to.

What it has kept arrives in the end, whether or not anybody still waits for the answer.
"""

import asyncio

from aiohttp import web

from tests.sync.calendar_door import CalendarDoor


class SlowDoor(CalendarDoor):
    """Use: `start`, `keep`, wait for `kept`, `open`, wait for `arrived`, `stop`."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.kept = asyncio.Event()
        self.arrived = asyncio.Event()
        self._keeps = False
        self._opened = asyncio.Event()

    async def stop(self) -> None:
        self.open()
        await super().stop()

    def keep(self) -> None:
        """Let the next creation wait, that one alone."""
        self._keeps = True

    def open(self) -> None:
        self._opened.set()

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        is_late = self._keeps and request.method in ("POST", "PUT")
        if is_late:
            self._keeps = False
            self.kept.set()
            await self._opened.wait()
        answer = await self.pass_on(request, body)
        if is_late:
            self.arrived.set()
        return answer
