"""A logical replication stream through libpq: messages arrive as the server writes them, nothing is polled."""

from __future__ import annotations

import asyncio
import os
import secrets
import struct
import time
from collections.abc import AsyncGenerator, Callable, Sequence

import psycopg
from psycopg import pq, sql

from sauti_local.realtime.pgoutput import POSTGRES_EPOCH

# Since version 16 a server process that goes to sleep just as WAL is written can miss it (it looks at the WAL before it
# joins the queue of those to be woken), and would sleep for half a minute. Any message of ours wakes it: a status soon
# after it was busy, when it is likeliest to go to sleep, and one now and then while nothing happens.
_STATUS_SECONDS_BUSY = 0.005
_STATUS_SECONDS_IDLE = 0.05
_BURST = 256
_WAL_DATA, _KEEPALIVE = 0x77, 0x6B  # w, k
_STATUS = struct.Struct("!cqqqqb")
_POSITION = struct.Struct("!q")
_CONNECT_SECONDS = 5
# How the server writes values as text; nothing may depend on the database's or the role's own settings.
_OPTIONS = "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex"


async def replicate(url: str, publications: Sequence[str], on_ready: Callable[[], None]) -> AsyncGenerator[bytes, None]:
    """Messages of `pgoutput` for everything committed from now on.

    The slot is temporary: the server drops it with the connection, however that ends.

    Args:
        url: libpq address, as a role that may replicate.
        publications: Names of the publications to follow.
        on_ready: Called when the stream has begun: what commits later will be seen.

    Raises:
        psycopg.Error: the connection is lost, or the server ended the stream.
    """
    connection = await psycopg.AsyncConnection.connect(
        url,
        autocommit=True,
        replication="database",
        options=_OPTIONS,
        application_name="sauti_realtime_stream",
        connect_timeout=_CONNECT_SECONDS,
    )
    try:
        slot = f"sauti_realtime_{os.getpid()}_{secrets.token_hex(4)}"
        # The replication grammar knows its keywords in upper case only.
        await connection.execute(
            sql.SQL("CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT").format(
                sql.Identifier(slot)
            )
        )
        names = ",".join(f'"{name}"' for name in publications)
        start = sql.SQL("START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names {})").format(
            sql.Identifier(slot), sql.Literal(names)
        )
        stream = _CopyBoth(connection.pgconn)
        await stream.begin(start.as_bytes(connection))
        on_ready()
        async for message in stream.messages():
            yield message
    finally:
        await connection.close()


class _CopyBoth:
    """The copy-both mode of a libpq connection, driven by the event loop."""

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        self._pgconn = pgconn
        self._socket = pgconn.socket
        self._received = 0

    async def begin(self, command: bytes) -> None:
        """Send the command that starts the stream."""
        self._pgconn.send_query(command)
        await self._flush()
        while self._pgconn.is_busy():
            await self._readable()
            self._pgconn.consume_input()
        result = self._pgconn.get_result()
        if result is None or result.status != pq.ExecStatus.COPY_BOTH:
            raise psycopg.OperationalError("replication did not start: " + _error_of(result))

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """What the server sends, confirmed as soon as it has been handed out."""
        loop = asyncio.get_running_loop()
        confirm_at = loop.time() + _STATUS_SECONDS_BUSY
        while True:
            burst = 0
            while True:
                size, data = self._pgconn.get_copy_data(1)
                if size <= 0:
                    break
                if data[0] == _WAL_DATA:
                    self._received = max(self._received, _POSITION.unpack_from(data, 1)[0])
                    yield bytes(data[25:])
                elif data[0] == _KEEPALIVE:
                    self._received = max(self._received, _POSITION.unpack_from(data, 1)[0])
                burst += 1
                if burst % _BURST == 0:  # a long transaction must not starve the other tasks
                    await asyncio.sleep(0)
            if size < 0:
                raise psycopg.OperationalError("replication ended: " + _error_of(self._pgconn.get_result()))
            now = loop.time()
            if now >= confirm_at:
                await self._confirm()
                confirm_at = now + (_STATUS_SECONDS_BUSY if burst else _STATUS_SECONDS_IDLE)
            elif burst:
                confirm_at = min(confirm_at, now + _STATUS_SECONDS_BUSY)
            try:
                async with asyncio.timeout_at(confirm_at):
                    await self._readable()
            except TimeoutError:
                continue
            self._pgconn.consume_input()

    async def _confirm(self) -> None:
        position = self._received
        clock = time.time_ns() // 1000 - POSTGRES_EPOCH
        self._pgconn.put_copy_data(_STATUS.pack(b"r", position, position, position, clock, 0))
        await self._flush()

    async def _flush(self) -> None:
        while self._pgconn.flush() == 1:
            await self._ready(writing=True)

    async def _readable(self) -> None:
        await self._ready(writing=False)

    async def _ready(self, *, writing: bool) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
        add(self._socket, wake)
        try:
            await ready
        finally:
            remove(self._socket)


def _error_of(result: pq.abc.PGresult | None) -> str:
    """The server's symbol for what went wrong: messages may quote data."""
    if result is None:
        return "no answer"
    state = result.error_field(pq.DiagnosticField.SQLSTATE)
    return f"SQLSTATE {state.decode()}" if state else f"status {result.status}"
