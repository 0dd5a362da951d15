"""The server: its websocket and HTTP doors, and the stream of changes from the database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from aiohttp import WSCloseCode, web

from sauti_local.realtime.bindings import PUBLICATION
from sauti_local.realtime.changes import ChangeFeed
from sauti_local.realtime.channel import Channel, Context
from sauti_local.realtime.connection import ClientConnection
from sauti_local.realtime.database import Database, DatabaseUnavailable
from sauti_local.realtime.frames import Broadcast, MalformedFrame, Version, name, parse, to_json
from sauti_local.realtime.hub import Hub
from sauti_local.realtime.pgoutput import Change, Commit, Decoder, Relation
from sauti_local.realtime.replication import replicate
from sauti_local.realtime.settings import RealtimeSettings
from sauti_local.realtime.tokens import Identity, TokenRefused, read_token

logger = logging.getLogger(__name__)

MESSAGES_PUBLICATION: Final = "supabase_realtime_messages_publication"

_START_SECONDS = 20.0
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.05, 1.0
_QUEUED_BATCHES = 64
_BATCH_SIZE = 500
_HOUSEKEEPING_SECONDS = 3600.0
_MAX_MESSAGES = 1000


class RealtimeServer:
    """A Realtime server over one database. Use: `start`, mount `routes` (or the handlers), `stop`."""

    def __init__(self, settings: RealtimeSettings) -> None:
        database = Database(settings.db_url)
        self._context = Context(
            settings=settings,
            database=database,
            hub=Hub(),
            feed=ChangeFeed[Channel](database, settings.limits.change_size),
            streaming=asyncio.Event(),
        )
        self._connections: set[ClientConnection] = set()
        self._batches: asyncio.Queue[list[Change]] = asyncio.Queue(_QUEUED_BATCHES)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False

    @property
    def is_streaming(self) -> bool:
        """Whether what commits now will be heard."""
        return self._context.streaming.is_set()

    @property
    def connection_count(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def start(self) -> None:
        """Connect to the database and follow its changes; returns when what commits from now on is heard.

        Raises:
            DatabaseUnavailable: the database does not answer or does not replicate.
        """
        await self._context.database.open()
        self._is_open = True
        self._tasks = [
            asyncio.create_task(task, name=f"realtime-{name}")
            for name, task in (("stream", self._stream()), ("feed", self._feed()), ("upkeep", self._keep_house()))
        ]
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._context.streaming.wait()
        except TimeoutError:
            await self.stop()
            raise DatabaseUnavailable("replication did not start") from None

    async def stop(self) -> None:
        """Close every connection and leave the database; its slot goes with the session. Stopped: nothing to do."""
        self._is_open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._context.streaming.clear()
        await asyncio.gather(*(connection.close(WSCloseCode.GOING_AWAY) for connection in list(self._connections)))
        await self._context.database.close()

    def routes(self, prefix: str = "/realtime/v1") -> list[web.RouteDef]:
        """All doors, for an aiohttp application."""
        return [
            web.get(f"{prefix}/websocket", self.handle_websocket),
            web.post(f"{prefix}/api/broadcast", self.handle_broadcast),
            web.post(f"{prefix}/api/broadcast/{{topic}}/events/{{event}}", self.handle_event),
        ]

    async def handle_websocket(self, request: web.Request) -> web.StreamResponse:
        """The websocket: ``?apikey=…&vsn=1.0.0|2.0.0``."""
        if not self._is_open:
            return web.json_response({"error": "Error connecting to Realtime"}, status=503)
        token = request.headers.get("x-api-key") or request.query.get("apikey")
        if not token:
            return web.json_response({"error": "API key is missing"}, status=401)
        try:
            self._read(token)
        except TokenRefused as error:
            return web.json_response({"error": error.reason}, status=401)
        asked = request.query.get("vsn", "1.0.0")
        version: Version
        if asked == "1.0.0":
            version = "1.0.0"
        elif asked == "2.0.0":
            version = "2.0.0"
        else:
            return web.json_response({"error": "unsupported protocol version"}, status=403)
        socket = web.WebSocketResponse(
            max_msg_size=self._context.settings.limits.frame_size, compress=False, timeout=1.0
        )
        await socket.prepare(request)
        connection = ClientConnection(self._context, socket, request, version, token, _headers(request))
        if not self._is_open:  # stopped during the handshake
            await connection.close(WSCloseCode.GOING_AWAY)
            return socket
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
        return socket

    async def handle_broadcast(self, request: web.Request) -> web.Response:
        """HTTP broadcast of many: body ``{"messages": [{"topic", "event", "payload", "private"?}]}`` → 202."""
        try:
            identity = self._bearer(request)
        except TokenRefused:
            return _unauthorized()
        try:
            messages = _messages(parse(await request.read()), self._context.settings.limits.payload_size)
        except ValueError as error:
            return web.json_response({"errors": {"messages": [str(error)]}}, status=422)
        allowed: dict[str, bool] = {}
        for topic, private, broadcast in messages:
            if private and topic not in allowed:
                allowed[topic] = await self._may_write(identity, topic, request)
            if not private or allowed[topic]:
                self._context.hub.broadcast(topic, private, broadcast)
        return web.Response(status=202)

    async def handle_event(self, request: web.Request) -> web.Response:
        """HTTP broadcast of one: topic and event in the path, the body is the payload, ``?private=true`` → 202."""
        try:
            identity = self._bearer(request)
        except TokenRefused:
            return _unauthorized()
        private = request.query.get("private") == "true"
        body = await request.read()
        is_json = request.content_type != "application/octet-stream"
        if len(body) > self._context.settings.limits.payload_size:
            return web.json_response({"errors": {"payload": ["Payload size exceeds tenant limit"]}}, status=422)
        try:
            topic, event = name(request.match_info["topic"]), name(request.match_info["event"])
            broadcast = Broadcast(event, to_json(parse(body)).encode() if is_json else body, is_json)
        except MalformedFrame:
            return web.json_response({"errors": {"payload": ["is invalid"]}}, status=422)
        if private and not await self._may_write(identity, topic, request):
            return _unauthorized()
        self._context.hub.broadcast(topic, private, broadcast)
        return web.Response(status=202)

    def _read(self, token: str) -> Identity:
        return read_token(token, self._context.settings.jwt_secret, self._context.settings.clock())

    def _bearer(self, request: web.Request) -> Identity:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self._read(token.strip() if scheme.lower() == "bearer" else request.headers.get("apikey", ""))

    async def _may_write(self, identity: Identity, topic: str, request: web.Request) -> bool:
        database = self._context.database
        try:
            return await database.may_assume(identity.role) and await database.may_write(
                identity, topic, _headers(request), "broadcast"
            )
        except DatabaseUnavailable:
            return False

    async def _stream(self) -> None:
        """Follow the database for ever; when it goes away, try again until it is back."""
        delay = _FIRST_RETRY_SECONDS

        def ready() -> None:
            nonlocal delay
            delay = _FIRST_RETRY_SECONDS
            self._context.streaming.set()

        while True:
            try:
                await self._follow(ready)
            except psycopg.Error as error:
                logger.warning("the stream of changes broke: %s", str(error).partition("\n")[0])
            except Exception:
                logger.exception("the stream of changes failed")
            self._context.streaming.clear()
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LAST_RETRY_SECONDS)

    async def _follow(self, ready: Any) -> None:
        decoder = Decoder(self._wants)
        batch: list[Change] = []
        messages = replicate(self._context.settings.db_url, (PUBLICATION, MESSAGES_PUBLICATION), ready)
        async with contextlib.aclosing(messages):
            async for message in messages:
                decoded = decoder.decode(message)
                if isinstance(decoded, Change):
                    if _is_messages(decoded.relation):
                        self._broadcast_row(decoded)
                    else:
                        batch.append(decoded)
                if batch and (isinstance(decoded, Commit) or len(batch) >= _BATCH_SIZE):
                    await self._batches.put(batch)
                    batch = []

    def _wants(self, relation: Relation) -> bool:
        """Whether anybody could hear of a row. Requests share this event loop and would wait for its decoding."""
        if _is_messages(relation):
            return not self._context.hub.is_empty
        return self._context.feed.wants(relation.oid)

    def _broadcast_row(self, change: Change) -> None:
        """A row of `realtime.messages` is a broadcast. It has been authorised: it could be inserted."""
        row: Mapping[str, str | None] = change.new or {}
        topic, event, message_id = row.get("topic"), row.get("event"), row.get("id")
        payload, binary = row.get("payload"), row.get("binary_payload")
        if topic is None or event is None or (payload is None and binary is None):
            return
        body = payload.encode() if payload is not None else bytes.fromhex((binary or "")[2:])
        if len(body) <= self._context.settings.limits.payload_size:
            broadcast = Broadcast(event, body, payload is not None, message_id)
            self._context.hub.broadcast(topic, row.get("private") == "t", broadcast)

    async def _feed(self) -> None:
        """Evaluate changes apart from the stream, so that a slow policy does not hold up broadcasts."""
        while True:
            batch = await self._batches.get()
            while len(batch) < _BATCH_SIZE and not self._batches.empty():
                batch += self._batches.get_nowait()
            try:
                for delivery in await self._context.feed.evaluate(batch):
                    delivery.subscriber.deliver(delivery.ids, delivery.data)
            except DatabaseUnavailable:
                logger.warning("%d changes were dropped: the database is away", len(batch))
            except Exception:
                logger.exception("%d changes were dropped", len(batch))

    async def _keep_house(self) -> None:
        while True:
            with contextlib.suppress(DatabaseUnavailable, psycopg.Error):
                await self._context.database.forget_messages(self._context.settings.limits.stored_message_days)
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)


def _is_messages(relation: Relation) -> bool:
    return relation.schema == "realtime" and relation.name == "messages"


def _headers(request: web.Request) -> str:
    return to_json({key.lower(): value for key, value in request.headers.items() if key.lower().startswith("x-")})


def _unauthorized() -> web.Response:
    return web.json_response({"message": "Unauthorized"}, status=401)


def _messages(body: object, max_size: int) -> list[tuple[str, bool, Broadcast]]:
    """Topic, privacy and broadcast of each message.

    Raises:
        ValueError: the body is not a list of messages.
    """
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages or len(messages) > _MAX_MESSAGES:
        raise ValueError("can't be blank")
    read = []
    for message in messages:
        if not isinstance(message, dict):
            raise ValueError("is invalid")
        topic, event, payload = (message.get(key) for key in ("topic", "event", "payload"))
        if topic is None or event is None or not isinstance(payload, dict):
            raise ValueError("topic, payload and event can't be blank")
        text = to_json(payload).encode()
        if len(text) > max_size:
            raise ValueError("Payload size exceeds tenant limit")
        read.append((name(topic), message.get("private") is True, Broadcast(name(event), text)))
    return read
