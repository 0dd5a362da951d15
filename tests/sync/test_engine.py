"""The engine: every claimed job is settled once, whatever the handler, the queue or the operator does."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from sauti_sync.backoff import Backoff
from sauti_sync.errors import LeaseLost, Permanent, QueueRefused, QueueUnavailable, Retryable
from sauti_sync.events import Job, Json, Lease
from sauti_sync.worker import Options, Worker
from tests.sync.memory_queue import MemoryQueue, failing
from tests.sync.waiting import until

OPTIONS = Options(
    worker_id="w", poll_seconds=0.05, concurrency=4, lease_seconds=2, grace_seconds=0.2, job_seconds=5,
    retries=Backoff(base=0.01, cap=0.02),
)  # fmt: skip


class Recorder:
    """A handler that does what it is told and remembers whom it served."""

    def __init__(self, behaviour: Callable[[Json, Lease], Awaitable[Json]] | None = None) -> None:
        self.behaviour = behaviour
        self.served: list[int] = []
        self.cancelled = 0
        self.at_once = 0
        self.most_at_once = 0

    async def handle(self, context: Json, lease: Lease) -> Json:
        self.served.append(lease.job.job_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.behaviour(context, lease) if self.behaviour else {"outcome": "sent"}
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1

    async def close(self) -> None:
        pass


@asynccontextmanager
async def running(queue: MemoryQueue, handler: Recorder, options: Options = OPTIONS) -> AsyncIterator[Worker]:
    worker = Worker(queue, {"work": handler}, options, rng=Random(1))
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, 10)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


async def raises(error: BaseException) -> Json:
    raise error


async def test_jobs_are_done_and_settled_with_their_result(queue: MemoryQueue) -> None:
    for _ in range(3):
        queue.add()
    async with running(queue, Recorder()):
        await until(lambda: queue.states() == ["done"] * 3)
    assert queue.rows[1].result == {"outcome": "sent"}


async def test_a_backlog_is_drained_without_waiting_for_the_poll(queue: MemoryQueue) -> None:
    for _ in range(200):
        queue.add()
    handler = Recorder(lambda *_: asyncio.sleep(0.001, {"outcome": "sent"}))
    async with running(queue, handler, replace(OPTIONS, poll_seconds=3600)):
        await until(lambda: queue.states() == ["done"] * 200)
    assert sorted(handler.served) == list(range(1, 201))
    assert handler.most_at_once == 4
    assert len(queue.claims) < 120, "claims are to come in batches"


async def test_a_ring_during_a_claim_is_not_lost_and_many_rings_are_one_claim(queue: MemoryQueue) -> None:
    async with running(queue, Recorder(), replace(OPTIONS, poll_seconds=3600)) as worker:
        await until(lambda: len(queue.claims) == 1)

        def ring_and_add() -> None:
            queue.before.pop("claim")
            queue.claims.append(-1)
            worker.ring()

        queue.before["claim"] = ring_and_add
        for _ in range(50):
            worker.ring()
        await until(lambda: queue.claims[:4] == [0, -1, 0, 0])
        await until(lambda: len(queue.claims) == 7)
        queue.add()
        worker.ring()
        await until(lambda: queue.states() == ["done"])


async def test_a_ring_that_came_before_its_jobs_could_be_seen_is_not_lost(queue: MemoryQueue) -> None:
    async with running(queue, Recorder(), replace(OPTIONS, poll_seconds=3600)) as worker:
        await until(lambda: len(queue.claims) == 1)
        for delay in (0.005, 0.1):
            claims = len(queue.claims)
            worker.ring()
            await until(lambda claims=claims: len(queue.claims) > claims)
            await asyncio.sleep(delay)
            queue.add()
            await until(lambda: set(queue.states()) == {"done"})
    assert len(queue.claims) <= 1 + 2 * 4, "and it does not make the worker poll"


async def test_obsolete_is_settled_without_the_handler_and_postponed_is_left(queue: MemoryQueue) -> None:
    queue.add(state="obsolete")
    queue.add(state="postponed")
    handler = Recorder()
    async with running(queue, handler):
        await until(lambda: queue.states() == ["done", "pending"])
    assert handler.served == []
    assert queue.rows[1].result == {"outcome": "obsolete"}


async def test_a_retryable_failure_comes_back_until_the_attempts_are_used_up(queue: MemoryQueue) -> None:
    queue.add(max_attempts=3)
    handler = Recorder(lambda *_: raises(Retryable("smtp_unavailable")))
    async with running(queue, handler):
        await until(lambda: queue.states() == ["dead"])
    assert handler.served == [1, 1, 1]
    assert queue.rows[1].last_error == "smtp_unavailable"


async def test_a_permanent_failure_is_dead_at_once(queue: MemoryQueue) -> None:
    queue.add(max_attempts=9)
    async with running(queue, Recorder(lambda *_: raises(Permanent("recipient_refused")))):
        await until(lambda: queue.states() == ["dead"])
    assert (queue.rows[1].attempts, queue.rows[1].retry_in) == (1, None)


async def test_retry_after_is_obeyed_and_bounded(queue: MemoryQueue) -> None:
    queue.add(after=120.0)
    queue.add(after=10.0**9)
    async with running(queue, Recorder(lambda context, _: raises(Retryable("busy", context["after"])))):
        await until(lambda: all(row.retry_in is not None for row in queue.rows.values()))
    first, second = (queue.rows[n].retry_in or 0 for n in (1, 2))
    assert 120 <= first <= 121
    assert second <= 6 * 3600 + 1


async def test_a_defect_costs_an_attempt_and_not_the_worker(queue: MemoryQueue, log_output: io.StringIO) -> None:
    queue.add(max_attempts=1)
    async with running(queue, Recorder(lambda *_: raises(KeyError("canary@example.org")))) as worker:
        await until(lambda: queue.states() == ["dead"])
        assert worker.health()[0]
    assert queue.rows[1].last_error == "handler_crashed"
    assert "canary" not in log_output.getvalue()


async def test_an_unknown_state_is_retried_since_the_database_may_be_newer(queue: MemoryQueue) -> None:
    queue.add(max_attempts=1, state="novel")
    async with running(queue, Recorder()):
        await until(lambda: queue.states() == ["dead"])
    assert queue.rows[1].last_error == "context_unknown"


async def test_a_handler_that_hangs_is_ended(queue: MemoryQueue) -> None:
    queue.add(max_attempts=1)
    handler = Recorder(lambda *_: asyncio.sleep(3600, {}))
    async with running(queue, handler, replace(OPTIONS, job_seconds=0.1)):
        await until(lambda: queue.states() == ["dead"])
    assert (queue.rows[1].last_error, handler.cancelled) == ("job_timeout", 1)


async def test_the_lease_is_extended_for_as_long_as_the_handler_runs(queue: MemoryQueue) -> None:
    queue.add()
    handler = Recorder(lambda *_: asyncio.sleep(1.6, {"outcome": "sent"}))
    async with running(queue, handler, replace(OPTIONS, lease_seconds=1)):
        await until(lambda: queue.states() == ["done"])
    assert handler.served == [1], "nobody else could claim it meanwhile"
    assert queue.calls.count("extend") >= 3


async def test_a_lost_lease_cancels_the_handler_and_settles_nothing(queue: MemoryQueue) -> None:
    queue.add()
    handler = Recorder(lambda *_: asyncio.sleep(3600, {}))
    async with running(queue, handler, replace(OPTIONS, lease_seconds=1)):
        await until(lambda: handler.served == [1])
        queue.steal(1)
        await until(lambda: handler.cancelled == 1)
    assert "complete" not in queue.calls
    assert "fail" not in queue.calls


async def test_a_silent_queue_costs_the_lease_before_it_has_run_out(queue: MemoryQueue) -> None:
    queue.add()
    handler = Recorder(lambda *_: asyncio.sleep(3600, {}))
    queue.before["extend"] = lambda: QueueUnavailable("queue_unavailable")
    started = time.monotonic()
    async with running(queue, handler, replace(OPTIONS, lease_seconds=1)):
        await until(lambda: handler.cancelled == 1)
        assert time.monotonic() - started < 1.2


async def test_a_stalled_worker_brings_nothing_about(queue: MemoryQueue) -> None:
    queue.add()
    effects: list[str] = []

    async def stall(_: Json, lease: Lease) -> Json:
        time.sleep(1.2)  # noqa: ASYNC251  # the whole process stands still, as under SIGSTOP
        lease.check()
        effects.append("sent")
        return {}

    handler = Recorder(stall)
    async with running(queue, handler, replace(OPTIONS, lease_seconds=1)):
        await until(lambda: handler.served == [1])
        await until(lambda: "claim" in queue.calls[queue.calls.index("context") :])
        handler.behaviour = None
        await until(lambda: queue.states() == ["done"])
    assert effects == []


async def test_a_stalled_workers_late_settlement_is_refused(queue: MemoryQueue) -> None:
    queue.add()

    async def slow(_: Json, lease: Lease) -> Json:
        queue.steal(lease.job.job_id)
        return {"outcome": "sent"}

    async with running(queue, Recorder(slow)):
        await until(lambda: "complete" in queue.calls)
    assert queue.states() == ["running"], "the job belongs to the other worker"


async def test_lease_confirm_tells_a_handler_that_another_worker_has_taken_over(queue: MemoryQueue) -> None:
    queue.add()
    told: list[bool] = []

    async def careful(_: Json, lease: Lease) -> Json:
        await lease.confirm()
        queue.steal(lease.job.job_id)
        try:
            await lease.confirm()
        except LeaseLost:
            told.append(True)
            raise
        return {}

    async with running(queue, Recorder(careful)):
        await until(lambda: told == [True])
    assert queue.states() == ["running"]


async def test_settling_is_repeated_until_it_arrives(queue: MemoryQueue) -> None:
    queue.add()
    queue.before["complete"] = failing(3)
    handler = Recorder()
    async with running(queue, handler):
        await until(lambda: queue.states() == ["done"])
    assert handler.served == [1], "the effect is not repeated"


async def test_a_settlement_whose_answer_was_lost_counts(queue: MemoryQueue) -> None:
    queue.add()
    queue.after["complete"] = failing(1)
    handler = Recorder()
    async with running(queue, handler):
        await until(lambda: queue.calls.count("complete") == 2)
    assert queue.states() == ["done"]
    assert handler.served == [1]


async def test_the_queue_may_be_away_for_a_while(queue: MemoryQueue) -> None:
    queue.add()
    queue.before["claim"] = failing(4)
    async with running(queue, Recorder(), replace(OPTIONS, poll_seconds=3600)):
        await until(lambda: queue.states() == ["done"])


async def test_a_refused_claim_does_not_end_the_worker(queue: MemoryQueue) -> None:
    refusals = [QueueRefused("queue_refused_401", 401)]
    queue.before["claim"] = lambda: refusals.pop() if refusals else None
    queue.add()
    async with running(queue, Recorder()):
        await until(lambda: queue.states() == ["done"])


async def test_a_stop_lets_running_jobs_finish(queue: MemoryQueue) -> None:
    queue.add()
    go = asyncio.Event()

    async def wait(*_: object) -> Json:
        await go.wait()
        return {"outcome": "sent"}

    handler = Recorder(wait)
    worker = Worker(queue, {"work": handler}, replace(OPTIONS, grace_seconds=10))
    task = asyncio.create_task(worker.run())
    await until(lambda: handler.served == [1])
    worker.stop()
    queue.add()
    assert not worker.health()[0]
    go.set()
    await asyncio.wait_for(task, 5)
    assert queue.states() == ["done", "pending"], "the first is finished, the second is not begun"


async def test_after_the_grace_period_jobs_are_handed_back(queue: MemoryQueue) -> None:
    queue.add()
    handler = Recorder(lambda *_: asyncio.sleep(3600, {}))
    async with running(queue, handler):
        await until(lambda: handler.served == [1])
    row = queue.rows[1]
    assert (row.state, row.last_error, row.retry_in, handler.cancelled) == ("pending", "worker_stopped", 0, 1)


async def test_a_second_stop_ends_the_grace_period(queue: MemoryQueue) -> None:
    queue.add()
    handler = Recorder(lambda *_: asyncio.sleep(3600, {}))
    worker = Worker(queue, {"work": handler}, replace(OPTIONS, grace_seconds=3600))
    task = asyncio.create_task(worker.run())
    await until(lambda: handler.served == [1])
    worker.stop()
    worker.stop()
    await asyncio.wait_for(task, 5)
    assert queue.states() == ["pending"]


async def test_nothing_is_left_running_after_the_end(queue: MemoryQueue) -> None:
    before = asyncio.all_tasks()
    for _ in range(5):
        queue.add()
    async with running(queue, Recorder(lambda *_: asyncio.sleep(3600, {}))):
        await until(lambda: "context" in queue.calls)
    assert asyncio.all_tasks() == before


async def test_due_timers_run_at_every_poll_even_when_all_slots_are_taken(queue: MemoryQueue) -> None:
    for _ in range(4):
        queue.add()
    async with running(queue, Recorder(lambda *_: asyncio.sleep(3600, {}))):
        await until(lambda: queue.calls.count("run_due_timers") >= 3)


async def test_only_kinds_with_a_handler_are_claimed(queue: MemoryQueue) -> None:
    queue.add(kind="sms")
    queue.add()
    async with running(queue, Recorder()):
        await until(lambda: queue.states() == ["pending", "done"])


async def test_each_attempt_is_one_line_and_one_count(queue: MemoryQueue, log_output: io.StringIO) -> None:
    queue.add()
    async with running(queue, Recorder()) as worker:
        await until(lambda: queue.states() == ["done"])
        await until(lambda: worker.health()[1]["running"] == 0)
        metrics = worker.metrics.expose().decode()
    assert 'sauti_attempts_total{kind="work",outcome="done"} 1.0' in metrics
    assert "sauti_attempt_seconds_bucket" in metrics
    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    (attempt,) = [line for line in lines if line["event"] == "attempt"]
    assert {"job_id": 1, "kind": "work", "attempt": 1, "outcome": "done"}.items() <= attempt.items()


async def test_a_keeper_that_overhears_its_cancellation_does_not_hold_its_job_for_ever(queue: MemoryQueue) -> None:
    """`asyncio.wait_for` of Python 3.11 swallows a cancellation that comes together with an answer."""
    extending, overheard = asyncio.Event(), asyncio.Event()
    extend = queue.extend

    async def deaf(job: Job, lease_seconds: int) -> None:
        extending.set()
        if not overheard.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                overheard.set()
        await extend(job, lease_seconds)

    async def work(context: Json, lease: Lease) -> Json:
        await extending.wait()
        return {"outcome": "sent"}

    queue.extend = deaf  # type: ignore[method-assign]
    queue.add()
    async with running(queue, Recorder(work), replace(OPTIONS, lease_seconds=1)):
        await until(lambda: queue.states() == ["done"], 5)
    assert overheard.is_set()


async def test_the_end_of_a_lease_ends_the_work_although_nobody_answers_whether_it_may_go_on(
    queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_ever = asyncio.Event()

    async def extend(job: Job, lease_seconds: int) -> None:
        await for_ever.wait()

    monkeypatch.setattr(queue, "extend", extend)
    queue.add()
    handler, began = Recorder(lambda *_: asyncio.sleep(60, {})), time.monotonic()
    async with running(queue, handler, replace(OPTIONS, lease_seconds=1, concurrency=1)):
        await until(lambda: handler.cancelled == 1)
        assert 0.9 < time.monotonic() - began < 5
