"""The queue and its doorbell over connections to the database itself: for workers that run beside it.

Same functions, same rights (the role is `service_role`), fewer stops on the way; the doorbell is LISTEN, which a
commit rings only when it can be seen. It needs direct connections or a pooler in session mode. The driver is asyncpg:
a claim is on the way of every job, and takes half as long with it as with psycopg's cursors and pool (ADR 9).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from pydantic import SecretStr

from sauti_sync import backoff
from sauti_sync.doorbell import TOPIC, DoorbellWatcher
from sauti_sync.errors import LeaseLost, QueueRefused, QueueUnavailable
from sauti_sync.outbox import RpcQueue, to_json

_CONNECT_SECONDS = 5.0
_CALL_SECONDS = 10.0
_SILENCE_SECONDS = 20.0
_ROWS = frozenset({"take_jobs", "job_contexts", "complete_jobs"})
_LOST = (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, TimeoutError, OSError)


class _Lane:
    """The connections of some functions."""

    def __init__(self, connections: int) -> None:
        self.slots = asyncio.Semaphore(connections)
        self.idle: list[asyncpg.Connection] = []


class DirectQueue(RpcQueue):
    """The queue functions over a few connections, made when they are needed.

    Claims and settlements have one each: they wait for nothing else, and for no server process that has yet to plan.
    """

    def __init__(self, url: SecretStr) -> None:
        super().__init__()
        self._url = url
        self._lanes = {"take_jobs": _Lane(1), "complete_jobs": _Lane(1)}
        self._other = _Lane(2)
        self._is_closed = False

    async def close(self) -> None:
        """Close the connections; those in use close with their call."""
        self._is_closed = True
        for lane in (*self._lanes.values(), self._other):
            while lane.idle:
                with suppress(*_LOST):
                    await lane.idle.pop().close(timeout=_CONNECT_SECONDS)

    async def call(self, function: str, /, **arguments: Any) -> Any:
        """Call a function with a statement."""
        if self._is_closed:
            raise QueueUnavailable("queue_unavailable")
        lane = self._lanes.get(function, self._other)
        try:
            # What is given up ends its connection: whether the server did what was asked, nobody will know.
            async with asyncio.timeout(_CALL_SECONDS), lane.slots:
                rows = await self._fetch(lane, _statement(function, tuple(arguments)), list(arguments.values()))
        except _LOST:
            raise QueueUnavailable("queue_unavailable") from None
        except asyncpg.PostgresError as error:
            # The message of our own errors is a symbol; anybody else's stays here.
            state = error.sqlstate or ""
            if state == "PT409" and error.message == "invalid_transition":
                raise LeaseLost from None
            if state.startswith(("28", "3D", "40", "53", "55", "57")):
                raise QueueUnavailable("queue_unavailable") from None
            status = int(state[2:]) if state.startswith("PT") else 400
            raise QueueRefused(f"queue_refused_{status}", status) from None
        return rows if function in _ROWS else rows[0]["answer"]

    async def _fetch(self, lane: _Lane, statement: str, values: list[Any]) -> list[Any]:
        connection = await self._connection(lane)
        is_whole = False
        try:
            rows: list[Any] = await connection.fetch(statement, *values)
            is_whole = True
        except asyncpg.PostgresError:
            is_whole = True
            raise
        finally:
            if is_whole and not (self._is_closed or connection.is_closed()):
                lane.idle.append(connection)
            else:
                connection.terminate()
        return rows

    async def _connection(self, lane: _Lane) -> asyncpg.Connection:
        while lane.idle:
            if not (connection := lane.idle.pop()).is_closed():
                return connection
        connection = await _connect(self._url)
        if (task := asyncio.current_task()) is not None and task.cancelling():
            # Libraries swallow a cancellation that comes together with what they wait for (`asyncio.wait_for` of Python
            # 3.11): nobody waits any more, and a claim would take jobs that nobody does.
            connection.terminate()
            raise asyncio.CancelledError
        return connection


class ListenDoorbell:
    """Keeps one connection that listens, and calls `ring` for every notification and once after connecting."""

    def __init__(
        self, url: SecretStr, ring: Callable[[], None], watcher: DoorbellWatcher, rng: random.Random | None = None
    ) -> None:
        self._url = url
        self._ring = ring
        self._watcher = watcher
        self._rng = rng or backoff.jitter()

    async def run(self) -> None:
        """Listen until cancelled."""
        failures = 0
        while True:
            try:
                connection = await _connect(self._url)
                try:
                    await connection.add_listener(TOPIC, self._heard)
                    failures = 0
                    self._watcher.doorbell_up()
                    self._ring()
                    await _until_lost(connection)
                finally:
                    connection.terminate()
            except (asyncpg.PostgresError, *_LOST):
                self._watcher.doorbell_down("connection")
            failures += 1
            await asyncio.sleep(backoff.DOORBELL.delay(failures, self._rng))

    def _heard(self, *_: object) -> None:
        self._ring()


async def _until_lost(connection: asyncpg.Connection) -> None:
    """Return or raise when the connection is lost; one that only seems to live is found by asking it now and then."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    while not connection.is_closed():
        with suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_SECONDS):
                await lost.wait()
        if not lost.is_set():
            await connection.execute("select 1", timeout=_CALL_SECONDS)
    raise ConnectionError


async def _connect(url: SecretStr) -> asyncpg.Connection:
    """A connection with no more rights than over the Data API."""
    connection = await asyncpg.connect(
        url.get_secret_value(), timeout=_CONNECT_SECONDS, server_settings={"application_name": "sauti_sync"}
    )
    try:
        await connection.execute(
            "set role service_role; set search_path = ''; set statement_timeout = '8s'", timeout=_CONNECT_SECONDS
        )
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=to_json, decoder=json.loads)
    except BaseException:
        connection.terminate()
        raise
    return connection


@lru_cache
def _statement(function: str, names: tuple[str, ...]) -> str:
    """The statement of a call; both names are ours."""
    arguments = ", ".join(f"{name} => ${place}" for place, name in enumerate(names, 1))
    call = f"public.{function}({arguments})"
    return f"select * from {call}" if function in _ROWS else f"select {call} as answer"  # noqa: S608
