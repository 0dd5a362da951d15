"""Providers and a mail server that fail in every way they know, and keep account of it.

What is refused was not done, unless the fault's name says "act". 401 ends the token that was used; a 409 or 410 that is
not true is only given where the client has to look again in any case.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, NoReturn

from aiohttp import web

from tests.sync.calendar_door import CalendarDoor
from tests.sync.stand_ins.google import GoogleStandIn
from tests.sync.stand_ins.microsoft import MicrosoftStandIn
from tests.sync.stand_ins.server import StandIn

ANYWHERE = (
    "429", "500", "503", "drop", "act and drop", "act and 500", "time out", "act and time out",
)  # fmt: skip
#: Longer than any client waits.
SILENCE_SECONDS = 15.0
CANARY = "canarychaos"


@dataclass
class Mood:
    """When one provider fails, and how. Rare faults are those that cost the owner a consent, or a job ten seconds."""

    name: str
    chance: Random
    #: Share of requests that fail.
    trouble: float
    #: How often each of the rare faults may happen.
    rare: int
    is_bad: bool = True
    injected: Counter[str] = field(default_factory=Counter)
    _down_until: float = 0.0

    RARE: ClassVar[tuple[str, ...]] = ("time out", "401 for good", "403 for good")

    def draw(self, possible: Iterable[str]) -> str | None:
        """A fault for a request, or None: the one that has happened least, so that all do."""
        if not self.is_bad:
            return None
        if time.monotonic() < self._down_until:
            self.injected["down"] += 1
            return "503"
        # The very first request fails, so that a short run knows every provider's failure.
        if self.injected and self.chance.random() >= self.trouble:
            return None
        open_to = [kind for kind in possible if not kind.endswith(self.RARE) or self.injected[kind] < self.rare]
        if not open_to:
            return None
        chosen = min(open_to, key=lambda kind: (self.injected[kind], self.chance.random()))
        self.injected[chosen] += 1
        return chosen

    def go_down(self, seconds: float) -> None:
        """Serve nobody for a while."""
        self._down_until = time.monotonic() + seconds


async def play(
    fault: str,
    request: web.Request,
    act: Callable[[], Awaitable[web.StreamResponse]],
    refuse: Callable[[int], web.StreamResponse],
) -> web.StreamResponse:
    """Answer with a fault. Who is not let in is told so: nothing was done, and a 410 would say that it was."""
    if fault.startswith("act and"):
        answer = await act()
        if answer.status == 401:
            return answer
    if fault.endswith("time out"):
        deadline = time.monotonic() + SILENCE_SECONDS
        while not _has_left(request) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
    if fault.endswith(("drop", "time out")):
        if request.transport is not None:
            request.transport.close()
        return web.Response()
    found = re.search(r"[45]\d\d", fault)
    assert found is not None
    answer = refuse(int(found[0]))
    if found[0] in ("429", "503"):
        answer.headers["Retry-After"] = "1"
    return answer


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


class MoodyStandIn(StandIn):
    """What the stand-ins for Google and Microsoft share."""

    mood: Mood

    def faults_of(self, request: web.Request) -> Iterable[str]:
        if request.path == self.token_path:
            yield from ("500", "503", "drop", "act and drop")
            return
        yield from ANYWHERE
        yield from ("401", "403 for good")
        if request.method == "POST":
            yield from ("act and 409", "409")
        elif request.method == "PATCH":
            yield from ("410", "412")
        elif request.method == "DELETE":
            yield "act and 410"

    async def _watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        fault = self.mood.draw(self.faults_of(request))
        if fault is None:
            return await super()._watch(request, handler)
        if fault == "401":
            self.access.pop(request.headers.get("Authorization", "").removeprefix("Bearer "), None)

        async def act() -> web.StreamResponse:
            return await super(MoodyStandIn, self)._watch(request, handler)

        def refuse(status: int) -> web.StreamResponse:
            if fault == "403":
                return self.refused(status, "rateLimitExceeded")
            return self.refused(status, "fullSyncRequired" if fault == "410" else CANARY)

        return await play(fault, request, act, refuse)


class MoodyGoogle(MoodyStandIn, GoogleStandIn):
    def __init__(self, mood: Mood) -> None:
        super().__init__()
        self.mood = mood

    def faults_of(self, request: web.Request) -> Iterable[str]:
        yield from super().faults_of(request)
        if request.path != self.token_path:
            yield "403"
            if "syncToken" in request.query:
                yield "410"


class MoodyMicrosoft(MoodyStandIn, MicrosoftStandIn):
    """Its refresh tokens are good for one use."""

    def __init__(self, mood: Mood) -> None:
        super().__init__()
        self.mood = mood
        self.rotates = True

    def faults_of(self, request: web.Request) -> Iterable[str]:
        if request.path == self.token_path:
            # A token that is spent and never arrives costs the consent.
            yield from ("500", "503", "drop")
            return
        yield from super().faults_of(request)
        if "$deltatoken" in request.query:
            yield "410"


class MoodyCalDav(CalendarDoor):
    """Stands before a real CalDAV server."""

    def __init__(self, mood: Mood, upstream: str) -> None:
        super().__init__(upstream)
        self.mood = mood
        self.requests = 0

    def faults_of(self, request: web.Request) -> Iterable[str]:
        yield from ANYWHERE
        yield from ("401 for good", "403 for good")
        if request.method == "PUT":
            yield from ("act and 409", "412")
        elif request.method == "DELETE":
            yield "act and 410"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = await request.read()

        async def act() -> web.StreamResponse:
            return await self.pass_on(request, body)

        def refuse(status: int) -> web.StreamResponse:
            # What a server says to a second copy of an event that it has (RFC 4791, 5.3.2.1).
            text = '<error xmlns="DAV:"><C:no-uid-conflict xmlns:C="urn:ietf:params:xml:ns:caldav"/></error>'
            return web.Response(status=status, text=text if status == 409 else CANARY)

        fault = self.mood.draw(self.faults_of(request))
        return await act() if fault is None else await play(fault, request, act, refuse)


@dataclass
class Copy:
    """One message that the mail server has taken."""

    message_id: str
    text: bytes
    at: float
    was_answered: bool = False


class MoodyMail:
    """A mail server; what it has taken without a word counts as taken."""

    STEPS: ClassVar[dict[str, tuple[str, ...]]] = {
        "CONNECT": ("421", "drop"), "MAIL": ("451", "drop"), "RCPT": ("450", "drop", "time out"),
        "DATA": ("451", "drop"), "END": ("452", "act and drop", "act and time out"),
    }  # fmt: skip

    def __init__(self, mood: Mood) -> None:
        self.mood = mood
        self.copies: list[Copy] = []
        self.port = 0
        self._talks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._listener.close()
        for task in tuple(self._talks):
            task.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def by_id(self) -> dict[str, list[Copy]]:
        found: dict[str, list[Copy]] = {}
        for copy in self.copies:
            found.setdefault(copy.message_id, []).append(copy)
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            self._talks.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(step: str, usual: str) -> bool:
            """Whether the step was taken; raises when the connection is dropped."""
            fault = self.mood.draw(f"{step} {kind}" for kind in self.STEPS.get(step, ()))
            if fault is not None and (fault == "503" or fault.endswith(("drop", "time out"))):
                await self._hang_up(fault, reader)
            writer.write(f"{fault.split()[1]} {CANARY}\r\n".encode() if fault else f"{usual}\r\n".encode())
            await writer.drain()
            return fault is None

        if not await say("CONNECT", "220 ready"):
            return
        while line := await reader.readline():
            word = line[:4].decode("ascii", "replace").upper()
            if word == "DATA":
                if await say("DATA", "354 go on"):
                    await self._take(reader, writer)
            elif word == "QUIT":
                await say("QUIT", "221 bye")
                return
            else:
                await say(word.strip(), "250 mail.test" if word == "EHLO" else "250 ok")

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = await reader.readuntil(b"\r\n.\r\n")
        fault = self.mood.draw(f"END {kind}" for kind in self.STEPS["END"])
        if fault in ("END 452", "503"):
            writer.write(f"452 {CANARY}\r\n".encode())
            await writer.drain()
            return
        found = re.search(rb"Message-ID: <([0-9a-f-]+)@", text)
        assert found is not None
        copy = Copy(found[1].decode(), text, time.monotonic())
        self.copies.append(copy)
        if fault is not None:
            await self._hang_up(fault, reader)
        writer.write(b"250 taken\r\n")
        await writer.drain()
        copy.was_answered = True

    async def _hang_up(self, fault: str, reader: asyncio.StreamReader) -> NoReturn:
        """At once, or when the client has lost patience."""
        if fault.endswith("time out"):
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), 2 * SILENCE_SECONDS)
        raise ConnectionResetError
