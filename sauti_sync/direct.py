"""The queue and its doorbell over connections to the database itself: for workers that run beside it.

Same functions, same rights (the role is `service_role`), fewer stops on the way; the doorbell is LISTEN, which a
commit rings only when it can be seen. It needs direct connections or a pooler in session mode.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import SecretStr

from sauti_sync import backoff
from sauti_sync.doorbell import TOPIC, DoorbellWatcher
from sauti_sync.errors import LeaseLost, QueueRefused, QueueUnavailable
from sauti_sync.outbox import RpcQueue

_CONNECT: dict[str, Any] = {"autocommit": True, "row_factory": dict_row, "connect_timeout": 5}
#: A dead server is noticed by the kernel after about 20 seconds; see tcp(7).
_CONNECT |= {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3, "application_name": "sauti_sync"}
_CALL_SECONDS = 10.0
_SILENCE_SECONDS = 20.0
_ROWS = frozenset({"take_jobs", "job_contexts", "complete_jobs"})


class DirectQueue(RpcQueue):
    """The queue functions over a small pool of connections."""

    def __init__(self, url: SecretStr, *, connections: int = 4) -> None:
        super().__init__()
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[dict[str, Any]]] = AsyncConnectionPool(
            url.get_secret_value(),
            kwargs=_CONNECT,
            min_size=1,
            max_size=connections,
            timeout=_CALL_SECONDS,
            configure=_become_worker,
            open=False,
        )

    async def open(self) -> None:
        """Begin to connect; calls wait for it."""
        await self._pool.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def call(self, function: str, /, **arguments: Any) -> Any:
        """Call a function with a statement."""
        values = {name: _parameter(value) for name, value in arguments.items()}
        # The deadline does not rest on cancelling: a cancelled statement waits for its server, which may be dead, and
        # the pool loses a cancellation that comes together with a connection (`asyncio.wait_for` of Python 3.11).
        work = asyncio.create_task(self._execute(_statement(function, tuple(values)), values))
        try:
            if not (await asyncio.wait({work}, timeout=_CALL_SECONDS))[0]:
                raise QueueUnavailable("queue_unavailable")
            rows = work.result()
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TimeoutError, OSError):
            raise QueueUnavailable("queue_unavailable") from None
        except psycopg.Error as error:
            # The message of our own errors is a symbol; anybody else's stays here.
            state = error.sqlstate or ""
            if state == "PT409" and error.diag.message_primary == "invalid_transition":
                raise LeaseLost from None
            if state.startswith(("40", "53", "55", "57")):
                raise QueueUnavailable("queue_unavailable") from None
            status = int(state[2:]) if state.startswith("PT") else 400
            raise QueueRefused(f"queue_refused_{status}", status) from None
        finally:
            work.cancel()
        return rows if function in _ROWS else rows[0]["answer"]

    async def _execute(self, statement: bytes, values: dict[str, Any]) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # nobody waits any more; a claim would take jobs that nobody does
            return await (await connection.execute(statement, values)).fetchall()


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
                async with await psycopg.AsyncConnection.connect(
                    self._url.get_secret_value(), **_CONNECT
                ) as connection:
                    await connection.execute(sql.SQL("listen {}").format(sql.Identifier(TOPIC)))
                    failures = 0
                    self._watcher.doorbell_up()
                    self._ring()
                    await self._serve(connection)
            except (psycopg.Error, OSError, TimeoutError):
                self._watcher.doorbell_down("connection")
            failures += 1
            await asyncio.sleep(backoff.DOORBELL.delay(failures, self._rng))

    async def _serve(self, connection: psycopg.AsyncConnection[Any]) -> None:
        connection.add_notify_handler(lambda _: self._ring())
        loop, socket = asyncio.get_running_loop(), connection.fileno()
        while True:
            over: asyncio.Future[None] = loop.create_future()
            # Straight from the socket: this is on the way of every job, and a generator would take longer than a claim.
            loop.add_reader(socket, self._read, connection.pgconn, over)
            try:
                await asyncio.wait({over}, timeout=_SILENCE_SECONDS)
            finally:
                loop.remove_reader(socket)
            if over.done():
                over.result()
            async with asyncio.timeout(_CALL_SECONDS):
                await connection.execute("select 1")

    def _read(self, pgconn: psycopg.pq.abc.PGconn, over: asyncio.Future[None]) -> None:
        """Ring if a notification has come; `over` gets the error of a connection that is lost."""
        try:
            pgconn.consume_input()
            heard = False
            while pgconn.notifies():
                heard = True
            if heard:
                self._ring()
        except psycopg.Error as error:
            if not over.done():
                over.set_exception(error)


async def _become_worker(connection: psycopg.AsyncConnection[Any]) -> None:
    """No more rights than over the Data API."""
    await connection.execute("set role service_role")
    await connection.execute("set search_path = ''")
    with suppress(psycopg.Error):
        await connection.execute("set statement_timeout = '8s'")


@lru_cache
def _statement(function: str, names: tuple[str, ...]) -> bytes:
    call = sql.SQL("{}({})").format(
        sql.Identifier("public", function),
        sql.SQL(", ").join(
            sql.SQL("{} => {}{}").format(sql.Identifier(name), sql.Placeholder(name), sql.SQL(_CASTS.get(name, "")))
            for name in names
        ),
    )
    columns = sql.SQL("*") if function in _ROWS else sql.SQL("{} as answer").format(call)
    source = sql.SQL(" from {}").format(call) if function in _ROWS else sql.SQL("")
    return sql.SQL("select {}{}").format(columns, source).as_bytes()


#: What PostgREST knows from the function's signature.
_CASTS = {
    "kinds": "::text[]", "lease_token": "::uuid", "job_id": "::bigint", "retry_in_seconds": "::numeric",
    "worker_id": "::text", "error": "::text",
}  # fmt: skip


def _parameter(value: Any) -> Any:
    """Objects and lists of objects travel as JSON; other lists are arrays."""
    is_json = isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))
    return Jsonb(value) if is_json else value
