"""A worker whose Realtime goes away or throws it out: no job waits longer than a poll, and the doorbell comes back.

``SAUTI_OUTAGE_SECONDS=120 pytest tests/sync/test_realtime_outage.py -s`` is an outage of two minutes.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sauti_local.realtime.channel import Channel
from tests.sync.realtime_door import RealtimeDoor, before
from tests.sync.stage import Stage, WorkerProcess
from tests.sync.waiting import until

OUTAGE_SECONDS = float(os.environ.get("SAUTI_OUTAGE_SECONDS", "5"))
POLL_SECONDS = 2.0
#: What claiming and settling may take on a busy machine.
WORK_SECONDS = 1.0
#: The longest pause between two tries of the doorbell, and one try.
BACK_SECONDS = 16.0


class Jobs:
    """Jobs that come all the time, and how long each has waited to be done."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @asynccontextmanager
    async def coming(self, each: float = 0.2) -> AsyncIterator[None]:
        async def add() -> None:
            while True:
                self._stage.sql(
                    "insert into private.outbox_jobs (kind, dedupe_key, run_at)"
                    " values ('probe', gen_random_uuid()::text, private.clock())"
                )
                await asyncio.sleep(each)

        adding = asyncio.create_task(add())
        try:
            yield
        finally:
            adding.cancel()
            await asyncio.gather(adding, return_exceptions=True)
            await until(lambda: all(wait is not None for wait in self.waits()), POLL_SECONDS + 5, "all are done")

    def waits(self) -> list[float | None]:
        """Seconds from the making of each job to its end; None: not done."""
        rows = self._stage.sql(
            "select extract(epoch from finished_at - created_at)::float as seconds from private.outbox_jobs"
            " where kind = 'probe' order by id"
        )
        return [row["seconds"] for row in rows]

    def longest(self) -> float:
        return max(wait for wait in self.waits() if wait is not None)


@asynccontextmanager
async def listening(stage: Stage) -> AsyncIterator[tuple[RealtimeDoor, WorkerProcess]]:
    """A worker that hears its doorbell."""
    stage.sql("delete from private.outbox_jobs where kind = 'probe'")
    async with before(stage.stack.addresses) as (address, door):
        worker = stage.start_worker(SUPABASE_URL=address, SAUTI_POLL_SECONDS=str(POLL_SECONDS))
        await until(lambda: worker.lines("doorbell_up"), 20, worker.log())
        yield door, worker
        assert await worker.stop() == 0


async def back_again(worker: WorkerProcess, ups: int) -> float:
    """Seconds until the doorbell is up once more than `ups` times."""
    began = time.monotonic()
    await until(lambda: len(worker.lines("doorbell_up")) > ups, BACK_SECONDS + WORK_SECONDS, worker.log())
    return time.monotonic() - began


async def rings(stage: Stage, jobs: Jobs) -> None:
    """Jobs are taken long before a poll would take them."""
    stage.sql("delete from private.outbox_jobs where kind = 'probe'")
    async with jobs.coming():
        await asyncio.sleep(3 * POLL_SECONDS / 4)
    assert sorted(wait or 0.0 for wait in jobs.waits())[len(jobs.waits()) // 2] < POLL_SECONDS / 4


@pytest.mark.timeout(90 + OUTAGE_SECONDS)
async def test_an_outage_of_realtime_costs_a_job_one_poll_at_most(stage: Stage) -> None:
    async with listening(stage) as (door, worker):
        jobs = Jobs(stage)
        async with jobs.coming():
            await door.stop()
            await until(lambda: worker.lines("doorbell_down"), 5, worker.log())
            await asyncio.sleep(OUTAGE_SECONDS)  # the outage itself: nothing is waited for
            assert len(worker.lines("doorbell_up")) == 1
            await door.start()
            seconds = await back_again(worker, ups=1)
        count, longest = len(jobs.waits()), jobs.longest()
        await rings(stage, jobs)
    print(f"\noutage of {OUTAGE_SECONDS:.0f} s: {count} jobs, longest wait {longest:.2f} s, back after {seconds:.2f} s")
    assert longest <= POLL_SECONDS + WORK_SECONDS


def close(door: RealtimeDoor, channel: Channel) -> None:
    channel.close()


def fail(door: RealtimeDoor, channel: Channel) -> None:
    channel.fail()


def expire(door: RealtimeDoor, channel: Channel) -> None:
    """The token ends while it is in use; a moment later there are valid ones again."""
    door.ahead = 20 * 365 * 86_400.0
    channel._check_expiry()
    door.ahead = 0.0


@pytest.mark.parametrize(("trouble", "reason"), [(close, "phx_close"), (expire, "system_error"), (fail, "phx_error")])
async def test_a_channel_that_the_server_ends_is_joined_again_at_once(
    stage: Stage, trouble: Callable[[RealtimeDoor, Channel], None], reason: str
) -> None:
    async with listening(stage) as (door, worker):
        jobs = Jobs(stage)
        async with jobs.coming():
            (channel,) = door.channels()
            trouble(door, channel)
            seconds = await back_again(worker, ups=1)
        count, longest = len(jobs.waits()), jobs.longest()
        assert [line["reason"] for line in worker.lines("doorbell_down")] == [reason]
        await rings(stage, jobs)
    print(f"\n{reason}: {count} jobs, longest wait {longest:.2f} s, back after {seconds:.2f} s")
    assert longest <= POLL_SECONDS + WORK_SECONDS
    assert seconds < POLL_SECONDS + WORK_SECONDS
