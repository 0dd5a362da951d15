"""Three queues behind one interface: ours, procrastinate and PgQueuer, each as its own documentation runs it.

All are woken by LISTEN/NOTIFY, do nothing for a job, and keep what became of it. Each works in a schema of its own of
the same database, in this process, on the event loop of its own command: asyncio for procrastinate, uvloop for ours and
PgQueuer. All log errors only. A worker may have the jobs of two claims in hand; PgQueuer, which wants room for two,
bounds them not at all. Tables are logged, and what became of a job is on the disk before it counts as done.

What ours does besides: a claim is a lease with a token of its own, without which nobody settles; the same dedupe key is
queued once; jobs of one ordering key run one after the other; a claim of a kind that changes things outside is on the
disk before its job begins, which that of a no-op need not be. Under load many jobs are settled in one commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import asyncpg  # type: ignore[import-untyped]
import procrastinate
import psycopg
import structlog
from pgqueuer import AsyncpgDriver, Queries, QueueManager
from procrastinate import JobContext, PsycopgConnector
from pydantic import SecretStr

from sauti_sync.direct import DirectQueue, ListenDoorbell
from sauti_sync.events import Json, Lease
from sauti_sync.worker import Options, Worker

#: Told the id of each job that is done.
Done = Callable[[int], None]


class Bench(Protocol):
    """One queue."""

    name: str
    uses_uvloop: bool

    async def prepare(self, url: str) -> None:
        """Make tables and functions."""

    async def enqueue(self, url: str, count: int) -> None:
        """Add so many jobs with one commit."""

    def producer(self, url: str) -> AbstractAsyncContextManager[Callable[[], Any]]:
        """Something that commits one job for each call and gives back its id."""

    async def work(self, url: str, at_once: int, done: Done, stop: asyncio.Event) -> None:
        """Run a worker until told to stop: it claims so many at once, and may have two claims' jobs in hand."""

    unfinished: str


class Sauti:
    """Our worker over direct connections, with LISTEN for a doorbell."""

    name = "sauti"
    uses_uvloop = True
    unfinished = "select 1 from private.outbox_jobs where kind = 'probe' and state <> 'done' limit 1"
    _insert = (
        "insert into private.outbox_jobs (kind, dedupe_key, run_at)"
        " select 'probe', gen_random_uuid()::text, private.clock() from generate_series(1, $1::integer) returning id"
    )

    async def prepare(self, url: str) -> None:
        """The stack has made the tables; all workers listen, so nobody has to be rung over Realtime."""
        connection = await asyncpg.connect(url)
        await connection.execute("update private.message_settings set rings_realtime = false")
        await connection.close()

    async def enqueue(self, url: str, count: int) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("delete from private.outbox_jobs")
        await connection.execute(self._insert, count)
        await connection.execute("vacuum analyze private.outbox_jobs")
        await connection.close()

    @asynccontextmanager
    async def producer(self, url: str) -> AsyncIterator[Callable[[], Any]]:
        connection = await asyncpg.connect(url)

        async def add() -> int:
            return int(await connection.fetchval(self._insert, 1))

        yield add
        await connection.close()

    async def work(self, url: str, at_once: int, done: Done, stop: asyncio.Event) -> None:
        class Nothing:
            async def handle(self, context: Json, lease: Lease) -> Json:
                done(lease.job.job_id)
                return {"outcome": "seen"}

            async def close(self) -> None:
                pass

        queue = DirectQueue(SecretStr(url))
        options = Options(worker_id="bench", concurrency=2 * at_once, batch_size=at_once)
        worker = Worker(queue, {"probe": Nothing()}, options)
        bell = asyncio.create_task(ListenDoorbell(SecretStr(url), worker.ring_of_visible, worker).run())
        running = asyncio.create_task(worker.run())
        await stop.wait()
        worker.stop()
        await running
        bell.cancel()
        await asyncio.gather(bell, return_exceptions=True)
        await queue.close()


class Procrastinate:
    """Its worker with `listen_notify`; it fetches one job at a time, and runs `concurrency` of them."""

    name = "procrastinate"
    uses_uvloop = False
    unfinished = "select 1 from procrastinate_jobs where status <> 'succeeded' limit 1"

    def __init__(self) -> None:
        self._done: Done = lambda job_id: None

    def _app(self, url: str) -> tuple[procrastinate.App, Any]:
        app = procrastinate.App(connector=PsycopgConnector(conninfo=url))

        @app.task(name="noop", pass_context=True)
        async def noop(context: JobContext) -> None:
            self._done(int(context.job.id or 0))

        return app, noop

    async def prepare(self, url: str) -> None:
        app, _ = self._app(url)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    async def enqueue(self, url: str, count: int) -> None:
        app, noop = self._app(url)
        async with app.open_async():
            await noop.batch_defer_async(*[{} for _ in range(count)])
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("vacuum analyze procrastinate_jobs")

    @asynccontextmanager
    async def producer(self, url: str) -> AsyncIterator[Callable[[], Any]]:
        app, noop = self._app(url)
        async with app.open_async():
            yield noop.defer_async

    async def work(self, url: str, at_once: int, done: Done, stop: asyncio.Event) -> None:
        self._done = done
        app, _ = self._app(url)
        async with app.open_async():
            worker = asyncio.create_task(
                app.run_worker_async(concurrency=2 * at_once, listen_notify=True, install_signal_handlers=False)
            )
            await stop.wait()
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)


class PgQueuer:
    """Its QueueManager over asyncpg; it dequeues and logs in batches of `batch_size`."""

    name = "pgqueuer"
    uses_uvloop = True
    unfinished = "select 1 from pgqueuer limit 1"

    async def prepare(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    async def enqueue(self, url: str, count: int) -> None:
        connection = await asyncpg.connect(url)
        await Queries(AsyncpgDriver(connection)).enqueue(["noop"] * count, [None] * count, [0] * count)
        await connection.execute("vacuum analyze pgqueuer")
        await connection.close()

    @asynccontextmanager
    async def producer(self, url: str) -> AsyncIterator[Callable[[], Any]]:
        connection = await asyncpg.connect(url)
        queries = Queries(AsyncpgDriver(connection))

        async def add() -> int:
            (job_id,) = await queries.enqueue("noop", None)
            return int(job_id)

        yield add
        await connection.close()

    async def work(self, url: str, at_once: int, done: Done, stop: asyncio.Event) -> None:
        connection = await asyncpg.connect(url)
        manager = QueueManager(Queries(AsyncpgDriver(connection)))

        @manager.entrypoint("noop")
        async def noop(job: Any) -> None:
            done(int(job.id))

        running = asyncio.create_task(manager.run(batch_size=at_once))
        await stop.wait()
        manager.shutdown.set()
        await asyncio.gather(running, return_exceptions=True)
        await connection.close()


def quiet() -> None:
    """A line for each job would measure the terminal."""
    for name in ("procrastinate", "pgqueuer"):
        logging.getLogger(name).setLevel(logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
