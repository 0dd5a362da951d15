"""A running Realtime server, and two kinds of clients: the real Python one, and bare websockets of either version."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
import jwt
import psycopg
from aiohttp.test_utils import TestServer
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates

from sauti_local.realtime import RealtimeServer

SECRET = "a secret of at least thirty-two characters"
SECONDS = 5.0
#: How long a test waits for what must not come. Whatever was sent before the mark that it waits behind has come.
MARK = "mark"


@dataclass
class Clock:
    """Seconds since the epoch that tests move by hand."""

    seconds: float

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Backend:
    """The server and its clients."""

    server: RealtimeServer
    http: TestServer
    clock: Clock
    db_url: str
    _closers: list[Callable[[], Awaitable[Any]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return str(self.http.make_url("/realtime/v1"))

    def token(self, user: str | None = None, role: str | None = None, seconds: float = 3600, **claims: Any) -> str:
        """A token of this server's: of a user, or of a bare role."""
        payload = {"role": role or ("authenticated" if user else "anon"), "exp": int(self.clock() + seconds)} | claims
        return jwt.encode(payload | ({"sub": user} if user else {}), SECRET, "HS256")

    async def client(self, user: str | None = None, role: str | None = None) -> AsyncRealtimeClient:
        """The real client, with that identity."""
        client = AsyncRealtimeClient(self.url, self.token(role="anon"), auto_reconnect=False)
        await client.set_auth(self.token(user, role))
        self._closers.append(client.close)
        return client

    async def wire(self, version: str = "1.0.0", query: str = "") -> Wire:
        """A bare websocket."""
        session = aiohttp.ClientSession()
        self._closers.append(session.close)
        address = f"{self.url}/websocket?apikey={self.token(role='anon')}&vsn={version}{query}"
        timeout = aiohttp.ClientWSTimeout(ws_close=1.0)
        wire = Wire(await session.ws_connect(address, max_msg_size=0, timeout=timeout), version)
        self._closers.append(wire.socket.close)
        return wire

    async def execute(self, statement: str, *parameters: object, user: str = "supabase_admin") -> list[tuple[Any, ...]]:
        """Run statements in one transaction."""
        async with await psycopg.AsyncConnection.connect(self.db_url, user=user) as connection:
            cursor = await connection.execute(statement.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def send(self, topic: str, event: str, payload: dict[str, Any] | None = None, private: bool = True) -> None:
        """Broadcast from the database, as a trigger of ours does."""
        await self.execute("select realtime.send(%s, %s, %s, %s)", json.dumps(payload or {}), event, topic, private)

    async def stop(self) -> None:
        for close in reversed(self._closers):
            await close()
        await self.server.stop()
        await self.http.close()


class Listener:
    """A subscribed channel of the real client, and what it heard, in order."""

    def __init__(self, channel: AsyncRealtimeChannel) -> None:
        self.channel = channel
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.states: asyncio.Queue[tuple[RealtimeSubscribeStates, str]] = asyncio.Queue()

    @classmethod
    async def join(
        cls,
        client: AsyncRealtimeClient,
        topic: str,
        *,
        private: bool = False,
        ack: bool = False,
        to_self: bool = False,
        changes: tuple[dict[str, Any], ...] = (),
    ) -> Self:
        """Subscribe and wait for the answer."""
        config = {"broadcast": {"ack": ack, "self": to_self}, "presence": {"key": "", "enabled": False}}
        listener = cls(client.channel(topic, {"config": {**config, "private": private}}))  # type: ignore[typeddict-item]
        listener.channel.on_broadcast("*", lambda payload: listener.heard.put_nowait(dict(payload)))
        for change in changes:
            listener.channel.on_postgres_changes(
                change.get("event", "*"),
                lambda payload: listener.heard.put_nowait(dict(payload)),
                table=change.get("table"),
                schema=change.get("schema", "public"),
                filter=change.get("filter"),
            )
        await listener.channel.subscribe(lambda state, error: listener.states.put_nowait((state, str(error))))
        return listener

    async def state(self) -> tuple[RealtimeSubscribeStates, str]:
        """The next change of state, with its error's text."""
        async with asyncio.timeout(SECONDS):
            return await self.states.get()

    async def joined(self) -> Self:
        """The same, having checked that it is subscribed."""
        state, error = await self.state()
        assert state == RealtimeSubscribeStates.SUBSCRIBED, error
        return self

    async def next(self) -> dict[str, Any]:
        """The next thing that it hears."""
        async with asyncio.timeout(SECONDS):
            return await self.heard.get()

    async def change(self) -> dict[str, Any]:
        """The `data` of the next row change that it hears."""
        data: dict[str, Any] = (await self.next())["data"]
        return data


class Wire:
    """A bare websocket. Frames are told as ``(topic, event, payload)``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, version: str) -> None:
        self.socket = socket
        self.version = version
        self._ref = 0
        self.join_refs: dict[str, str] = {}

    async def push(self, topic: str, event: str, payload: Any, ref: str | None = None) -> str:
        """Send a frame; gives its ref."""
        self._ref += 1
        ref = ref or str(self._ref)
        if event == "phx_join":
            self.join_refs[topic] = ref
        join_ref = self.join_refs.get(topic)
        frame: Any = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
        if self.version == "2.0.0":
            frame = [join_ref, ref, topic, event, payload]
        await self.socket.send_str(json.dumps(frame))
        return ref

    async def receive(self) -> tuple[str, str, Any]:
        """The next frame, decoded as its version has it."""
        async with asyncio.timeout(SECONDS):
            message = await self.socket.receive()
        if message.type == aiohttp.WSMsgType.BINARY:
            return read_broadcast(message.data)
        assert message.type == aiohttp.WSMsgType.TEXT, message
        frame = json.loads(message.data)
        if self.version == "2.0.0":
            return frame[2], frame[3], frame[4]
        return frame["topic"], frame["event"], frame["payload"]

    async def until(self, event: str) -> Any:
        """The payload of the next frame of that event; others are passed over."""
        while True:
            _, got, payload = await self.receive()
            if got == event:
                return payload

    async def join(self, topic: str, token: str | None = None, **config: Any) -> dict[str, Any]:
        """Join and give the reply's payload."""
        payload = {"config": config} | ({"access_token": token} if token else {})
        await self.push(topic, "phx_join", payload)
        reply: dict[str, Any] = await self.until("phx_reply")
        return reply

    async def alive(self) -> bool:
        """Whether the server answers a heartbeat, other frames passed over."""
        ref = f"alive-{uuid.uuid4().hex}"
        await self.push("phoenix", "heartbeat", {}, ref)
        while True:
            async with asyncio.timeout(SECONDS):
                message = await self.socket.receive()
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return False
            if message.type == aiohttp.WSMsgType.TEXT and ref in message.data:
                return True


def read_broadcast(data: bytes) -> tuple[str, str, Any]:
    """A binary frame of a broadcast: kind 4, sizes of topic, event and metadata, encoding; those; the body."""
    kind, *sizes, encoding = data[:5]
    assert kind == 4
    fields, offset = [], 5
    for size in sizes:
        fields.append(data[offset : offset + size].decode())
        offset += size
    topic, event, meta = fields
    payload: Any = {"event": event, "payload": json.loads(data[offset:]) if encoding else data[offset:]}
    return topic, "broadcast", payload | ({"meta": json.loads(meta)} if meta else {})


def push_broadcast(topic: str, event: str, body: bytes, *, is_json: bool, join_ref: str = "1", ref: str = "9") -> bytes:
    """A binary frame of a client's broadcast: kind 3."""
    fields = [field.encode() for field in (join_ref, ref, topic, event, "")]
    return bytes([3, *map(len, fields), int(is_json)]) + b"".join(fields) + body
