"""`sauti-sync worker`: the worker as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import structlog

from sauti_sync import backoff, event_loop, logs
from sauti_sync.config import WorkerSettings
from sauti_sync.direct import DirectQueue, ListenDoorbell
from sauti_sync.doorbell import Doorbell
from sauti_sync.errors import ConfigurationError
from sauti_sync.handlers import handlers_for
from sauti_sync.metrics import Metrics
from sauti_sync.outbox import DataApiQueue
from sauti_sync.status_server import StatusServer
from sauti_sync.worker import Options, Worker


def run_worker() -> int:
    """Run until SIGTERM or SIGINT; the exit status: 0 stopped, 1 crashed, 2 wrong environment."""
    logs.configure()
    try:
        event_loop.run(_run(WorkerSettings.from_environment()))
    except ConfigurationError as error:
        for problem in error.problems:
            print(f"sauti-sync worker: {problem}", file=sys.stderr)
        return 2
    except Exception as error:  # a traceback would print the values that an exception carries
        logs.logger().error("worker_crashed", type=type(error).__name__, place=logs.place_of(error))
        return 1
    return 0


async def _run(settings: WorkerSettings) -> None:
    structlog.contextvars.bind_contextvars(worker=settings.worker_id)
    async with _queue(settings) as queue:
        await _serve(settings, queue)
    logs.logger().info("worker_stopped")


@asynccontextmanager
async def _queue(settings: WorkerSettings) -> AsyncIterator[DataApiQueue | DirectQueue]:
    """The road that the settings choose."""
    if settings.db_url is None:
        queue: DataApiQueue | DirectQueue = DataApiQueue(settings, connections=settings.concurrency + 4)
    else:
        queue = DirectQueue(settings.db_url)
    try:
        yield queue
    finally:
        await queue.close()


async def _serve(settings: WorkerSettings, queue: DataApiQueue | DirectQueue) -> None:
    log = logs.logger()
    handlers = handlers_for(settings, queue.call)
    metrics = Metrics()
    worker = Worker(
        queue,
        handlers,
        Options(
            worker_id=settings.worker_id,
            poll_seconds=settings.poll_seconds,
            concurrency=settings.concurrency,
            batch_size=settings.batch_size,
            lease_seconds=settings.lease_seconds,
            grace_seconds=settings.grace_seconds,
            job_seconds=settings.job_seconds,
            retries=replace(backoff.JOBS, cap=settings.longest_retry_seconds),
            provider_rates=settings.provider_rates,
        ),
        metrics=metrics,
    )
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _log_loop_problem(context.get("exception")))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)

    status = StatusServer(worker.health, metrics.expose) if settings.metrics_port is not None else None
    try:
        port = await status.start(settings.metrics_host, settings.metrics_port or 0) if status else None
    except OSError:
        raise ConfigurationError(("SAUTI_METRICS_PORT: nothing can listen on this port",)) from None
    bell: Doorbell | ListenDoorbell
    if settings.db_url is not None:
        bell = ListenDoorbell(settings.db_url, worker.ring_of_visible, worker)
    else:
        bell = Doorbell(settings, worker.ring, worker)
    doorbell = asyncio.create_task(bell.run(), name="doorbell")
    log.info(
        "worker_started",
        kinds=sorted(handlers),
        concurrency=settings.concurrency,
        poll_seconds=settings.poll_seconds,
        lease_seconds=settings.lease_seconds,
        port=port,
    )
    try:
        await worker.run()
    finally:
        doorbell.cancel()
        with suppress(asyncio.CancelledError):
            await doorbell
        for handler in handlers.values():
            await handler.close()
        if status:
            await status.stop()


def _log_loop_problem(error: BaseException | None) -> None:
    place = logs.place_of(error) if error else "loop"
    logs.logger().error("task_crashed", type=type(error).__name__ if error else None, place=place)
