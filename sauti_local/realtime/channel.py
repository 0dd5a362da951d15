"""One topic on one connection, from its join to its close."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from sauti_local.realtime.bindings import Binding, BindingRefused, confirm, number_of
from sauti_local.realtime.changes import ChangeFeed
from sauti_local.realtime.database import Connection as Session
from sauti_local.realtime.database import Database, DatabaseUnavailable, Extension
from sauti_local.realtime.frames import Broadcast, Message, Ref, Version, encode, encode_reply, to_json
from sauti_local.realtime.hub import Hub, Topic
from sauti_local.realtime.settings import RealtimeSettings
from sauti_local.realtime.tokens import Identity, TokenRefused, read_token

logger = logging.getLogger(__name__)

_UNAVAILABLE = "Realtime was unable to connect to the project database"


class JoinRefused(Exception):
    """The channel is not opened; the message is the reason given to the client."""


@dataclass(frozen=True)
class Context:
    """What the channels of a server share."""

    settings: RealtimeSettings
    database: Database
    hub: Hub
    feed: ChangeFeed[Channel]
    streaming: asyncio.Event


class Client(Protocol):
    """The connection that a channel lives on."""

    version: Version
    token: str
    headers: str

    def send(self, frame: str | bytes) -> None:
        """Queue a frame."""

    def closed(self, channel: Channel) -> None:
        """Forget a channel that has closed itself."""


class Channel:
    """An open channel. Made by `join`."""

    def __init__(self, context: Context, client: Client, join: Message, identity: Identity) -> None:
        self._context = context
        self._client = client
        self._config = _Config.read(join.payload)
        self._wire_name = join.topic
        self.name = join.topic.removeprefix("realtime:")
        self.join_ref: Ref = join.join_ref if join.join_ref is not None else join.ref
        self.identity = identity
        self._readable: frozenset[Extension] = frozenset()
        self._asked: frozenset[Extension] = frozenset()
        self._writable: dict[Extension, bool] = {}
        self._topic: Topic | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._bindings: tuple[Binding, ...] = ()
        self.is_open = False

    @property
    def version(self) -> Version:
        """The protocol version of its connection."""
        return self._client.version

    @property
    def hears_broadcasts(self) -> bool:
        """Whether broadcasts are for it."""
        return not self._config.private or "broadcast" in self._readable

    @property
    def hears_presence(self) -> bool:
        """Whether changes of presence are for it."""
        return not self._config.private or "presence" in self._readable

    def send(self, frame: str | bytes) -> None:
        """Queue a frame for the client."""
        self._client.send(frame)

    @classmethod
    async def join(cls, context: Context, client: Client, message: Message) -> Channel:
        """Authorise and open a channel, and answer the join.

        Raises:
            JoinRefused: the token, a policy or the request does not allow it.
        """
        assert isinstance(message.payload, dict)
        name = message.topic.removeprefix("realtime:")
        if not name:
            raise JoinRefused("TopicNameRequired: You must provide a topic name")
        if len(_Config.read(message.payload).requests) > context.settings.limits.bindings_per_channel:
            raise JoinRefused("ChannelRateLimitReached: Too many postgres_changes bindings")
        try:
            identity = await _identify(context, _token_of(message.payload, client.token))
            channel = cls(context, client, message, identity)
            await channel._authorise()
        except TokenRefused as error:
            raise JoinRefused(str(error)) from None
        except DatabaseUnavailable:
            raise JoinRefused(f"UnableToConnectToProject: {_UNAVAILABLE}") from None
        try:
            await channel._open(message)
        except BaseException:
            channel.abandon()
            raise
        return channel

    async def handle(self, message: Message) -> None:
        """Act on a frame of the client's."""
        match message.event, message.payload:
            case "broadcast", payload:
                await self._broadcast(message, payload)
            case "presence", dict(payload):
                await self._presence(message, payload)
            case "access_token", {"access_token": str(token)}:
                await self._renew(token)
            case _:
                pass  # as the platform: an unknown event has no answer

    def close(self) -> None:
        """Leave the topic and tell the client. A closed channel: nothing happens."""
        if self._discard():
            self.send(encode(self.version, self._wire_name, "phx_close", "{}", self.join_ref, self.join_ref))
            self._client.closed(self)

    def fail(self) -> None:
        """Leave the topic and tell the client that it was our fault."""
        if self._discard():
            self.send(encode(self.version, self._wire_name, "phx_error", "{}", self.join_ref, self.join_ref))
            self._client.closed(self)

    def abandon(self) -> None:
        """Leave the topic; the client is gone."""
        self._discard()

    def deliver(self, ids: tuple[int, ...], data: str) -> None:
        """Send a row change."""
        if self.is_open:
            payload = f'{{"ids":{to_json(ids)},"data":{data}}}'
            self.send(encode(self.version, self._wire_name, "postgres_changes", payload))

    def shut_down(self, reason: str) -> None:
        """Tell the client why, then close."""
        if self.is_open:
            self._system("system", "error", reason)
            self.close()

    async def _authorise(self) -> None:
        """Ask the policies what may be read; public channels have none.

        Raises:
            TokenRefused: nothing may be.
        """
        if not self._config.private:
            return
        self._asked = frozenset(("broadcast", "presence") if self._config.presence else ("broadcast",))
        self._readable = await self._context.database.readable(
            self.identity, self.name, self._client.headers, self._asked
        )
        if not self._readable:
            raise TokenRefused(
                "Unauthorized", f"You do not have permissions to read from this Channel topic: {self.name}"
            )

    async def _open(self, message: Message) -> None:
        requests = self._config.requests
        refusal = await self._bind()
        if refusal is not None and self._config.wait_for_changes:
            raise JoinRefused(f"RealtimeDisabledForConfiguration: {refusal}")
        self.is_open = True
        self._topic = self._context.hub.enter(self.name, self._config.private, self)
        self._context.feed.add(self, self._bindings)
        self._watch_expiry()
        answer = [{**request, "id": number_of(request)} for request in requests]
        self.send(encode_reply(self.version, message, "ok", {"postgres_changes": answer}))
        if requests:
            self._system("postgres_changes", "error" if refusal else "ok", refusal or "Subscribed to PostgreSQL")
        if self._config.replication_ready and self._context.streaming.is_set():
            self._system("system", "ok", "Replication connection established")
        if self._config.presence and self.hears_presence:
            self._send_presence_state()

    async def _bind(self) -> str | None:
        """Confirm the requests for row changes; the reason when one is refused, which refuses all."""

        async def confirm_all(session: Session) -> tuple[Binding, ...]:
            return tuple([await confirm(session, request, self.identity) for request in self._config.requests])

        if not self._config.requests:
            return None
        try:
            self._bindings = await self._context.database.run(confirm_all)
        except BindingRefused as error:
            return str(error)
        except (DatabaseUnavailable, psycopg.Error) as error:
            logger.warning("a subscription to row changes failed: %s", type(error).__name__)
            return _UNAVAILABLE
        return None

    def _discard(self) -> bool:
        if not self.is_open:
            return False
        self.is_open = False
        if self._expiry is not None:
            self._expiry.cancel()
        self._context.feed.remove(self)
        self._context.hub.leave(self.name, self._config.private, self)
        return True

    def _watch_expiry(self) -> None:
        """Look again when the token ends, and now and then before: the clock may be moved."""
        if self._expiry is not None:
            self._expiry.cancel()
        left = self.identity.expires_at - self._context.settings.clock()
        delay = min(max(left, 0.0), self._context.settings.limits.token_check_seconds)
        self._expiry = asyncio.get_running_loop().call_later(delay, self._check_expiry)

    def _check_expiry(self) -> None:
        left = self.identity.expires_at - self._context.settings.clock()
        if left <= 0:
            self.shut_down(f"Token has expired {int(-left)} seconds ago")
        else:
            self._watch_expiry()

    async def _renew(self, token: str) -> None:
        """Take a new token; one that may read less than the old closes the channel."""
        if token == self.identity.token or token.startswith("sb_"):
            return
        before = self._readable
        try:
            self.identity = await _identify(self._context, token)
            self._writable.clear()
            await self._authorise()
        except TokenRefused as error:
            self.shut_down(error.reason)
            return
        except DatabaseUnavailable:
            self.shut_down(_UNAVAILABLE)
            return
        if not self.is_open:
            return
        if before - self._readable:
            self.shut_down(f"You no longer have permission to read from this Channel topic: {self.name}")
            return
        self._watch_expiry()
        if self._config.requests and self.is_open:
            refusal = await self._bind()
            if self.is_open:
                self._context.feed.remove(self)
                if refusal is None:
                    self._context.feed.add(self, self._bindings)
                self._system("postgres_changes", "error" if refusal else "ok", refusal or "Subscribed to PostgreSQL")

    async def _may_write(self, extension: Extension) -> bool:
        if not self._config.private:
            return True
        if extension not in self._writable:
            identity = self.identity
            allowed = await self._context.database.may_write(identity, self.name, self._client.headers, extension)
            if identity is not self.identity:
                return allowed
            self._writable[extension] = allowed
        return self._writable[extension]

    async def _broadcast(self, message: Message, payload: dict[str, Any] | Broadcast) -> None:
        try:
            if not await self._may_write("broadcast"):
                return
        except DatabaseUnavailable:
            return
        if self._topic is None or not self.is_open:
            return
        text = "" if isinstance(payload, Broadcast) else to_json(payload)
        size = len(payload.body) if isinstance(payload, Broadcast) else len(text)
        if size > self._context.settings.limits.payload_size:
            if self._config.ack:
                self._reply(message, "error", {"reason": "payload_size_exceeded"})
            return
        sender = None if self._config.to_self else self
        if isinstance(payload, Broadcast):
            self._topic.broadcast(payload, sender)
        else:
            self._topic.broadcast_json(text, sender)
        if self._config.ack:
            self._reply(message, "ok", {})

    async def _presence(self, message: Message, payload: dict[str, Any]) -> None:
        event, said = payload.get("event"), payload.get("payload", {})
        if not isinstance(event, str) or self._topic is None:
            return
        if event.lower() == "untrack":
            self._topic.announce(self._topic.presences.untrack(self))
        elif event.lower() == "track":
            if not isinstance(said, dict):
                self._reply(message, "error", {"reason": "Presence track payload must be a map"})
                return
            if len(to_json(said)) > self._context.settings.limits.payload_size:
                self.shut_down("Track message size exceeded")
                return
            try:
                allowed = await self._may_write("presence") and await self._enable_presence()
            except DatabaseUnavailable:
                allowed = False
            if not allowed or not self.is_open:
                self._reply(message, "error", {})
                return
            self._topic.announce(self._topic.presences.track(self, self._config.presence_key, said))
        else:
            self._reply(message, "error", {})
            return
        self._reply(message, "ok", {})

    async def _enable_presence(self) -> bool:
        """Whoever tracks takes part, though the join did not ask for presence: ask the policies now."""
        if self._config.private and "presence" not in self._asked:
            self._asked |= {"presence"}
            self._readable |= await self._context.database.readable(
                self.identity, self.name, self._client.headers, ["presence"]
            )
        return True

    def _send_presence_state(self) -> None:
        if self._topic is not None:
            self.send(encode(self.version, self._wire_name, "presence_state", to_json(self._topic.presences.state())))

    def _system(self, extension: str, status: str, message: str) -> None:
        payload = {"extension": extension, "status": status, "message": message, "channel": self.name}
        self.send(encode(self.version, self._wire_name, "system", to_json(payload)))

    def _reply(self, message: Message, status: Any, response: dict[str, Any]) -> None:
        self.send(encode_reply(self.version, message, status, response))


@dataclass(frozen=True, slots=True)
class _Config:
    """The `config` of a join; whatever is not as it should be counts as not said."""

    private: bool
    ack: bool
    to_self: bool
    replication_ready: bool
    presence: bool
    presence_key: str
    requests: tuple[dict[str, Any], ...]
    wait_for_changes: bool

    @classmethod
    def read(cls, payload: Mapping[str, Any] | Broadcast) -> _Config:
        config = _object(payload.get("config") if isinstance(payload, Mapping) else None)
        broadcast, presence = _object(config.get("broadcast")), _object(config.get("presence"))
        requests, key = config.get("postgres_changes"), presence.get("key")
        return cls(
            private=_flag(config.get("private")),
            ack=_flag(broadcast.get("ack")),
            to_self=_flag(broadcast.get("self")),
            replication_ready=_flag(broadcast.get("replication_ready")),
            presence=_flag(presence.get("enabled")),
            presence_key=key if isinstance(key, str) and key else str(uuid.uuid4()),
            requests=tuple(item for item in requests if isinstance(item, dict)) if isinstance(requests, list) else (),
            wait_for_changes=_flag(_object(config.get("postgres_changes_options")).get("wait")),
        )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _flag(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _token_of(payload: Mapping[str, Any], fallback: str) -> str:
    """The join's own token; an API key of the newer kind stands for the connection's."""
    token = payload.get("access_token") or payload.get("user_token")
    return token if isinstance(token, str) and not token.startswith("sb_") else fallback


async def _identify(context: Context, token: str) -> Identity:
    identity = read_token(token, context.settings.jwt_secret, context.settings.clock())
    if not await context.database.may_assume(identity.role):
        raise TokenRefused("Unauthorized", "The role of the token is not one of the API's")
    return identity
