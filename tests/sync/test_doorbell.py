"""The doorbell: whatever makes it deaf is noticed, and it comes back by itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from sauti_sync.config import ProjectSettings
from sauti_sync.doorbell import Doorbell, DoorbellTimes
from tests.sync.waiting import until

QUICK = DoorbellTimes(join=0.3, heartbeat=0.1, answer=0.1, proven=0.05)
CHANNEL = "realtime:sauti_sync"
Script = Callable[["Visit"], Awaitable[None]]


class Visit:
    """One connection of the worker, from the server's side."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        assert socket.request is not None
        self.path = socket.request.path
        self.join: dict[str, Any] = {}

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.socket.recv())
        return message

    async def send(self, event: str, payload: object, topic: str = CHANNEL, ref: str | None = None) -> None:
        await self.socket.send(json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref}))

    async def accept(self) -> None:
        self.join = await self.receive()
        await self.send("phx_reply", {"status": "ok", "response": {}}, ref=self.join["ref"])

    async def ring(self, event: str = "jobs") -> None:
        await self.send("broadcast", {"type": "broadcast", "event": event, "payload": {}})

    async def stay(self) -> None:
        """Answer heartbeats until the worker goes."""
        async for raw in self.socket:
            message = json.loads(raw)
            await self.send("phx_reply", {"status": "ok", "response": {}}, "phoenix", message["ref"])


class House:
    """A Realtime server that follows one script for each connection, the last one for ever, and its doorbell."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.visits: list[Visit] = []
        self.rings = 0
        self.ups = 0
        self.downs: list[str] = []

    async def serve(self, socket: ServerConnection) -> None:
        visit = Visit(socket)
        self.visits.append(visit)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        await script(visit)

    def ring(self) -> None:
        self.rings += 1

    def doorbell_up(self) -> None:
        self.ups += 1

    def doorbell_down(self, reason: str) -> None:
        self.downs.append(reason)


@asynccontextmanager
async def listening(house: House, key: str = "header.payload.signature") -> AsyncIterator[Server]:
    async with serve(house.serve, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        settings = ProjectSettings(supabase_url=f"http://127.0.0.1:{port}", supabase_service_role_key=key)  # type: ignore[arg-type]
        doorbell = Doorbell(settings, house.ring, house, times=QUICK, rng=Random(1))
        task = asyncio.create_task(doorbell.run())
        try:
            yield server
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def good(visit: Visit) -> None:
    await visit.accept()
    await visit.stay()


async def test_it_joins_the_private_topic_with_the_service_key() -> None:
    house = House(good)
    async with listening(house):
        await until(lambda: house.ups == 1)
    (visit,) = house.visits
    assert visit.path == "/realtime/v1/websocket?apikey=header.payload.signature&vsn=1.0.0"
    assert (visit.join["topic"], visit.join["event"]) == (CHANNEL, "phx_join")
    assert visit.join["payload"]["config"]["private"] is True
    assert visit.join["payload"]["access_token"] == "header.payload.signature"


async def test_a_key_that_is_no_token_is_not_sent_as_one() -> None:
    house = House(good)
    async with listening(house, "sb_secret_abc"):
        await until(lambda: house.ups == 1)
    assert "access_token" not in house.visits[0].join["payload"]


async def test_it_rings_at_every_join_for_what_was_missed_and_at_every_broadcast() -> None:
    async def ringing(visit: Visit) -> None:
        await visit.accept()
        await visit.ring()
        await visit.ring("other")
        await visit.ring()
        await visit.stay()

    house = House(ringing)
    async with listening(house):
        await until(lambda: house.rings == 3)


async def test_it_stays_while_heartbeats_are_answered() -> None:
    house = House(good)
    async with listening(house):
        await until(lambda: house.ups == 1)
        await asyncio.sleep(0.6)  # several heartbeats; nothing to poll for, since nothing may happen
    assert len(house.visits) == 1
    assert house.downs == []


async def close_channel(visit: Visit) -> None:
    await visit.accept()
    await visit.send("phx_close", {})
    await visit.stay()


async def error_on_channel(visit: Visit) -> None:
    await visit.accept()
    await visit.send("phx_error", {"reason": "canary"})
    await visit.stay()


async def token_expired(visit: Visit) -> None:
    await visit.accept()
    payload = {"extension": "system", "status": "error", "message": "canary token has expired", "channel": "sauti_sync"}
    await visit.send("system", payload)
    await visit.stay()


async def refuse(visit: Visit) -> None:
    join = await visit.receive()
    await visit.send("phx_reply", {"status": "error", "response": {"reason": "Unauthorized: canary"}}, ref=join["ref"])
    await visit.stay()


async def never_answer_the_join(visit: Visit) -> None:
    await visit.receive()
    await visit.socket.wait_closed()


async def ignore_heartbeats(visit: Visit) -> None:
    await visit.accept()
    await visit.socket.wait_closed()


async def hang_up(visit: Visit) -> None:
    await visit.accept()
    await visit.socket.close()


async def break_off(visit: Visit) -> None:
    await visit.accept()
    visit.socket.transport.abort()


async def gibberish(visit: Visit) -> None:
    await visit.accept()
    await visit.socket.send("not json {")
    await visit.socket.wait_closed()


async def too_large(visit: Visit) -> None:
    await visit.accept()
    await visit.socket.send("x" * 100_000)
    await visit.socket.wait_closed()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (close_channel, "phx_close"),
        (error_on_channel, "phx_error"),
        (token_expired, "system_error"),
        (refuse, "join_refused"),
        (never_answer_the_join, "connection"),
        (ignore_heartbeats, "no_heartbeat"),
        (hang_up, "connection"),
        (break_off, "connection"),
        (gibberish, "connection"),
        (too_large, "connection"),
    ],
)
async def test_it_is_rebuilt_whatever_made_it_deaf(script: Script, reason: str) -> None:
    house = House(script, good)
    async with listening(house):
        await until(lambda: len(house.visits) == 2 and house.ups >= 1, 5)
        await until(lambda: house.rings >= house.ups)
    assert house.downs == [reason]


async def test_it_comes_back_after_a_server_that_was_away() -> None:
    house = House(good)
    async with listening(house) as server:
        await until(lambda: house.ups == 1)
        port = next(iter(server.sockets)).getsockname()[1]
        server.close()
        await server.wait_closed()
        await until(lambda: len(house.downs) >= 3, 15)
        async with serve(house.serve, "127.0.0.1", port):
            await until(lambda: house.ups == 2, 10)
            assert house.rings == 2, "what was said meanwhile is asked for"
