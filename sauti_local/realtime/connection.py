"""One websocket: frames in, frames out, and the channels that live on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque

from aiohttp import WSCloseCode, WSMsgType, web

from sauti_local.realtime.channel import Channel, Context, JoinRefused
from sauti_local.realtime.frames import MalformedFrame, Message, Version, decode, encode_reply
from sauti_local.realtime.rates import Rate

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0


class ClientConnection:
    """A client that is connected. Frames are handled one after the other."""

    def __init__(
        self,
        context: Context,
        socket: web.WebSocketResponse,
        request: web.Request,
        version: Version,
        token: str,
        headers: str,
    ) -> None:
        self.version = version
        self.token = token
        self.headers = headers
        self._context = context
        self._socket = socket
        self._transport = request.transport
        self._channels: dict[str, Channel] = {}
        self._joins = Rate(context.settings.limits.joins_per_second)
        self._messages = Rate(context.settings.limits.messages_per_second)
        self._outbox: deque[str | bytes] = deque()
        self._outbox_size = 0
        self._outbox_filled = asyncio.Event()
        self._over = False

    def send(self, frame: str | bytes) -> None:
        """Queue a frame. A client that does not read fast enough is cut off: what waits for it is bounded."""
        if self._over:
            return
        self._outbox.append(frame)
        self._outbox_size += len(frame)
        if self._outbox_size > self._context.settings.limits.send_buffer_size:
            logger.warning("a client was cut off: it does not read")
            self._abort()
        self._outbox_filled.set()

    def closed(self, channel: Channel) -> None:
        """Forget a channel that has closed itself."""
        if self._channels.get(f"realtime:{channel.name}") is channel:
            del self._channels[f"realtime:{channel.name}"]

    async def serve(self) -> None:
        """Handle the client's frames until it goes away, is silent too long, or is cut off."""
        writer = asyncio.create_task(self._write())
        try:
            while not self._over:
                received = await self._socket.receive(self._context.settings.limits.idle_seconds)
                if received.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                await self._receive(received.data)
        except TimeoutError:
            await self.close(WSCloseCode.OK)
        finally:
            self._over = True
            for channel in list(self._channels.values()):
                channel.abandon()
            self._channels.clear()
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    async def close(self, code: WSCloseCode) -> None:
        """Close the websocket; a client that does not answer is cut off."""
        self._over = True
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._socket.close(code=code)
        except TimeoutError:
            self._abort()

    def _abort(self) -> None:
        self._over = True
        self._outbox.clear()
        if self._transport is not None:
            self._transport.abort()

    async def _write(self) -> None:
        while True:
            await self._outbox_filled.wait()
            self._outbox_filled.clear()
            while self._outbox:
                frame = self._outbox.popleft()
                try:
                    if isinstance(frame, str):
                        await self._socket.send_str(frame)
                    else:
                        await self._socket.send_bytes(frame)
                except (ConnectionError, RuntimeError):  # aiohttp's ways to say that the websocket is closing
                    self._over = True
                    return
                self._outbox_size -= len(frame)

    async def _receive(self, data: str | bytes) -> None:
        try:
            message = decode(data, self.version)
        except MalformedFrame as error:
            logger.debug("a frame was dropped: %s", error)
            return
        now = asyncio.get_running_loop().time()
        if message.event == "phx_join":
            await self._join(message, now)
        elif message.topic == "phoenix":
            if message.event == "heartbeat":
                self.send(encode_reply(self.version, message, "ok", {}))
        elif (channel := self._channels.get(message.topic)) is None:
            if message.event == "phx_leave":
                self.send(encode_reply(self.version, message, "ok", {}))
            else:
                self.send(encode_reply(self.version, message, "error", {"reason": "unmatched topic"}))
        elif message.join_ref is not None and str(message.join_ref) != str(channel.join_ref):
            pass  # meant for an earlier channel of the topic
        elif message.event == "phx_leave":
            self.send(encode_reply(self.version, message, "ok", {}))
            channel.close()
        elif not self._messages.allows(now):
            channel.shut_down("Too many messages per second")
        else:
            try:
                await channel.handle(message)
            except Exception:
                logger.exception("a channel failed")
                channel.fail()

    async def _join(self, message: Message, now: float) -> None:
        if not message.topic.startswith("realtime:") or not isinstance(message.payload, dict):
            self.send(encode_reply(self.version, message, "error", {"reason": "unmatched topic"}))
            return
        earlier = self._channels.get(message.topic)
        if earlier is not None:
            earlier.close()
        limits = self._context.settings.limits
        if not self._joins.allows(now):
            reason = "ClientJoinRateLimitReached: Too many joins per second"
        elif len(self._channels) >= limits.channels_per_client:
            reason = "ChannelRateLimitReached: Too many channels"
        else:
            try:
                self._channels[message.topic] = await Channel.join(self._context, self, message)
            except JoinRefused as error:
                reason = str(error)
            except Exception:
                logger.exception("a join failed")
                reason = "UnknownErrorOnChannel"
            else:
                return
        self.send(encode_reply(self.version, message, "error", {"reason": reason}))
