"""The queue beside procrastinate 3.10 and PgQueuer 1.6: jobs per second, and commit to handled."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import structlog

from benchmarks.measure import Result, median, percentile
from benchmarks.project import Project
from benchmarks.queues import Bench, PgQueuer, Procrastinate, Sauti, quiet
from sauti_sync import event_loop

_BATCH = 100
_LATENCY_AIM = 25.0
_SPACING_SECONDS = 0.02
_SETTLED_SECONDS = 1.5
_BURSTS = 3
_PATIENCE_SECONDS = 60.0


def run(project: Project, quick: bool) -> Iterator[Result]:
    """Throughput: a backlog is done until nothing is unfinished. Latency: from the return of the commit to the handler.

    "single" claims one job at a time, "batch" a hundred. "spaced" commits are 20 ms apart, "back to back" not at all.
    The queues take turns, so that none has the machine's better minutes. Commits back to back come in bursts of a
    sixth of a second, in which one core that the machine takes away for ten milliseconds decides the tail: each queue
    has many bursts, that no single one may.
    """
    quiet()
    rounds, bursts = (1, 1) if quick else (5, _BURSTS)
    rates: dict[str, dict[str, list[float]]] = {}
    waits: dict[str, dict[str, list[float]]] = {}
    paces: dict[str, list[float]] = {}
    try:
        benches: tuple[Bench, ...] = (Sauti(), Procrastinate(), PgQueuer())
        urls = {bench.name: _schema(project.db_url, bench.name) for bench in benches}
        for bench in benches:
            asyncio.run(bench.prepare(urls[bench.name]))
        for _, bench in itertools.product(range(rounds), benches):
            for what, at_once, count in (("single", 1, 300), ("batch", _BATCH, 1500 if quick else 5000)):
                rate = _throughput(bench, urls[bench.name], at_once, count)
                rates.setdefault(what, {}).setdefault(bench.name, []).append(rate)
            for what, count, spacing in (
                ("spaced", 60, _SPACING_SECONDS),
                *([("back to back", 100 if quick else 300, 0.0)] * bursts),
            ):
                latencies, pace = _latency(bench, urls[bench.name], count, spacing)
                waits.setdefault(what, {}).setdefault(bench.name, []).extend(latencies)
                if not spacing:
                    paces.setdefault(bench.name, []).append(pace)
    finally:
        structlog.reset_defaults()
    for what, measured in rates.items():
        by_name = {name: median(values) for name, values in measured.items()}
        yield from _compare(f"jobs per second, {what}", by_name, "/s", at_most=False)
    for what, samples in waits.items():
        medians = {name: median(values) for name, values in samples.items()}
        yield from _compare(f"commit to handled, {what}, p50", medians, "ms", at_most=True)
        tails = {name: percentile(values, 0.95) for name, values in samples.items()}
        yield from _compare(f"commit to handled, {what}, p95", tails, "ms", at_most=True, bound=_LATENCY_AIM)
    # Whose insert is faster gives its worker more to do in the same time.
    for name, values in paces.items():
        yield Result(f"commits per second, back to back: {name}", median(values), "/s")


def _compare(
    what: str, figures: dict[str, float], unit: str, *, at_most: bool, bound: float | None = None
) -> Iterator[Result]:
    """Ours with the best peer as the aim (and no worse than the bound), then the peers' own."""
    peers = [value for name, value in figures.items() if name != Sauti.name]
    aim = min([*peers, *([bound] if bound is not None else [])]) if at_most else max(peers)
    for name, value in figures.items():
        yield Result(f"{what}: {name}", value, unit, aim if name == Sauti.name else None, at_most)


def _schema(url: str, name: str) -> str:
    """Address of the stack's database for a peer, whose role finds its tables in a schema of its own."""
    if name == Sauti.name:
        return url
    role = f"bench_{name}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create role {role} login superuser password 'postgres'".encode())
        connection.execute(f"create schema {role} authorization {role}".encode())
        connection.execute(f"alter role {role} set search_path = {role}".encode())
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:postgres@{parts.netloc.rpartition('@')[2]}"))


def _run(bench: Bench, main: Coroutine[Any, Any, Any]) -> Any:
    return event_loop.run(main) if bench.uses_uvloop else asyncio.run(main)


def _throughput(bench: Bench, url: str, at_once: int, count: int) -> float:
    asyncio.run(bench.enqueue(url, count))

    async def drain() -> float:
        stop = asyncio.Event()
        first: list[float] = []
        handled = 0

        def done(_: int) -> None:
            nonlocal handled
            handled += 1
            if not first:
                first.append(time.perf_counter())

        worker = asyncio.create_task(bench.work(url, at_once, done, stop))
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while handled < count or await (await connection.execute(bench.unfinished.encode())).fetchone():
                assert not worker.done(), f"{bench.name} has ended"
                await asyncio.sleep(0.005)
        seconds = time.perf_counter() - first[0]
        stop.set()
        await worker
        return (count - 1) / seconds

    return float(_run(bench, drain()))


def _latency(bench: Bench, url: str, count: int, spacing: float) -> tuple[list[float], float]:
    """Milliseconds from each commit to its handler, and commits per second."""
    asyncio.run(bench.enqueue(url, 1))
    handled: dict[int, float] = {}
    committed: dict[int, float] = {}

    def done(job_id: int) -> None:
        handled[job_id] = time.perf_counter()

    async def listen() -> None:
        stop = asyncio.Event()
        worker = asyncio.create_task(bench.work(url, 10, done, stop))
        while not handled:  # the worker is up when it has done the job that waited for it
            await asyncio.sleep(0.01)
        # What the worker still does at its start is not to be measured.
        await asyncio.sleep(_SETTLED_SECONDS)
        committed.update(await asyncio.get_running_loop().run_in_executor(None, _commits, bench, url, count, spacing))
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(handled) <= count and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        stop.set()
        await worker

    _run(bench, listen())
    # The handler can be faster than the answer to the commit.
    latencies = [max(0.0, handled[job_id] - moment) * 1000 for job_id, moment in committed.items()]
    return latencies, (count - 1) / (max(committed.values()) - min(committed.values()))


def _commits(bench: Bench, url: str, count: int, spacing: float) -> dict[int, float]:
    """When each of so many commits had returned, by the id of its job.

    They come from a process of its own: a thread of the worker's would hold its interpreter.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_produce, type(bench), url, count, spacing).result(_PATIENCE_SECONDS)


def _produce(kind: type[Bench], url: str, count: int, spacing: float) -> dict[int, float]:
    bench = kind()

    async def produce() -> dict[int, float]:
        committed: dict[int, float] = {}
        async with bench.producer(url) as add:
            for _ in range(count):
                job_id = await add()
                committed[job_id] = time.perf_counter()
                await asyncio.sleep(spacing)
        return committed

    return dict(_run(bench, produce()))
