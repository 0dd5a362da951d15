"""The doorbell: a private Realtime channel on which the database says that there are jobs.

It is a hint, never the truth. One connection is one try: whatever makes it deaf (closed socket, `phx_close`,
`phx_error`, a refused join, an error from the server, a heartbeat without answer) ends the try, and the next one
starts after a jittered pause. The official client is not used because it stays deaf after `phx_close` and after
a longer outage, and does not look at the answers to its heartbeats.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from sauti_sync import backoff
from sauti_sync.config import ProjectSettings

TOPIC = "sauti_sync"
EVENT = "jobs"

_CHANNEL = f"realtime:{TOPIC}"
_MAX_MESSAGE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class DoorbellTimes:
    """Seconds. A dead server is noticed after `heartbeat + answer` at the latest."""

    join: float = 10.0
    heartbeat: float = 12.0
    answer: float = 8.0
    #: A channel that lived this long starts the back-off anew.
    proven: float = 30.0


class Deaf(Exception):
    """This connection will not ring any more; `reason` is one of a few fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DoorbellWatcher(Protocol):
    """Who wants to know about the doorbell's life."""

    def doorbell_up(self) -> None:
        """The channel is joined."""

    def doorbell_down(self, reason: str) -> None:
        """The channel is lost."""


class Doorbell:
    """Keeps one channel joined and calls `ring` for every broadcast, and once after every join.

    The ring after a join is for what was said while nobody listened.
    """

    def __init__(
        self,
        settings: ProjectSettings,
        ring: Callable[[], None],
        watcher: DoorbellWatcher,
        *,
        times: DoorbellTimes | None = None,
        rng: random.Random | None = None,
    ) -> None:
        key = settings.supabase_service_role_key.get_secret_value()
        base = settings.supabase_url.replace("http", "ws", 1)
        self._url = f"{base}/realtime/v1/websocket?{urlencode({'apikey': key, 'vsn': '1.0.0'})}"
        self._key = key
        self._loopback = settings.is_on_this_machine
        self._ring = ring
        self._watcher = watcher
        self._times = times or DoorbellTimes()
        self._rng = rng or backoff.jitter()

    async def run(self) -> None:
        """Listen until cancelled."""
        failures = 0
        while True:
            joined_at: float | None = None

            def joined() -> None:
                nonlocal joined_at
                joined_at = time.monotonic()
                self._watcher.doorbell_up()
                self._ring()

            try:
                await self._listen(joined)
            except Deaf as deaf:
                self._watcher.doorbell_down(deaf.reason)
            except (OSError, TimeoutError, WebSocketException, ValueError):
                self._watcher.doorbell_down("connection")
            proven = joined_at is not None and time.monotonic() - joined_at > self._times.proven
            failures = 1 if proven else failures + 1
            await asyncio.sleep(backoff.DOORBELL.delay(failures, self._rng))

    async def _listen(self, joined: Callable[[], None]) -> None:
        async with connect(
            self._url,
            open_timeout=self._times.join,
            close_timeout=1.0,
            # The Phoenix heartbeat below does this work, and also proves that the server still serves us.
            ping_interval=None,
            max_size=_MAX_MESSAGE_BYTES,
            compression=None,
            proxy=None if self._loopback else True,
        ) as socket:
            await self._join(socket)
            joined()
            await self._serve(socket)

    async def _join(self, socket: ClientConnection) -> None:
        payload: dict[str, Any] = {
            "config": {
                "broadcast": {"ack": False, "self": False},
                "presence": {"key": ""},
                "postgres_changes": [],
                "private": True,
            }
        }
        if self._key.count(".") == 2:  # keys of the newer kind (sb_secret_…) are no JWT: the gateway speaks for them
            payload["access_token"] = self._key
        await _send(socket, _CHANNEL, "phx_join", payload, ref="join")
        async with asyncio.timeout(self._times.join):
            while True:
                message = _parse(await socket.recv())
                if message.get("ref") == "join" and message.get("event") == "phx_reply":
                    if message["payload"].get("status") != "ok":
                        raise Deaf("join_refused")
                    return
                _raise_when_lost(message)

    async def _serve(self, socket: ClientConnection) -> None:
        beat = 0
        answered = True
        wake_at = time.monotonic() + self._times.heartbeat
        while True:
            try:
                async with asyncio.timeout(max(0.0, wake_at - time.monotonic())):
                    message = _parse(await socket.recv())
            except TimeoutError:
                if not answered:
                    raise Deaf("no_heartbeat") from None
                beat += 1
                answered = False
                await _send(socket, "phoenix", "heartbeat", {}, ref=f"beat{beat}")
                wake_at = time.monotonic() + self._times.answer
                continue
            if message.get("event") == "phx_reply" and message.get("ref") == f"beat{beat}":
                answered = True
                wake_at = time.monotonic() + self._times.heartbeat
            elif message.get("topic") == _CHANNEL:
                _raise_when_lost(message)
                if message.get("event") == "broadcast" and message["payload"].get("event") == EVENT:
                    self._ring()


async def _send(socket: ClientConnection, topic: str, event: str, payload: dict[str, Any], ref: str) -> None:
    join_ref = "join" if topic == _CHANNEL else None
    message = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
    await socket.send(json.dumps(message))


def _parse(raw: str | bytes) -> dict[str, Any]:
    message = json.loads(raw)
    if not isinstance(message, dict) or not isinstance(message.get("payload"), dict):
        raise Deaf("protocol")
    return message


def _raise_when_lost(message: dict[str, Any]) -> None:
    if message.get("topic") != _CHANNEL:
        return
    event = message.get("event")
    if event in ("phx_close", "phx_error"):
        raise Deaf(event)
    if event == "system" and message["payload"].get("status") == "error":
        raise Deaf("system_error")
