"""The engine: claims jobs, runs their handlers, settles them.

    doorbell ─┐
    poll ─────┴─> claim a batch ─> context ─> handler ─> settle
                     └ leases are extended until the job is settled

What holds at every line, so that the process may die at any of them:
- a claim is a lease: it ends by itself, and the job is claimed again by whoever comes first;
- the context is read under the lease, right before the effect, so an outdated job has none;
- an effect is bound to an id of ours (Message-ID, UID), so that a second one is recognised as the same;
- settling needs the token of the lease, so a late worker cannot settle what another one is doing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sauti_sync import backoff
from sauti_sync.errors import LeaseLost, Outage, Permanent, QueueRefused, QueueUnavailable, Retryable, SautiError
from sauti_sync.events import Handler, Job, Json, Lease
from sauti_sync.lanes import Lanes
from sauti_sync.logs import logger, place_of
from sauti_sync.metrics import Metrics
from sauti_sync.outbox import Queue, is_ordered

#: A commit reaches the WAL, and so Realtime, a moment before other sessions can see it: a claim that follows a ring at
#: once may come too early to find its jobs. So a ring echoes, this many seconds after it.
_ECHOES = (0.02, 0.2, 1.0)
#: With a backlog and most slots busy, wait this long for more slots to fall free: one claim for several jobs.
_GATHER_SECONDS = 0.005
#: A provider may ask for patience, up to a point.
_LONGEST_RETRY_AFTER = 6 * 3600.0
_CANCEL_AGAIN_SECONDS = 1.0


class Outcome(StrEnum):
    """What became of an attempt."""

    DONE = "done"
    OBSOLETE = "obsolete"  # the reason has gone: settled without an effect
    POSTPONED = "postponed"  # the database has put it off
    RETRIED = "retried"
    DEAD = "dead"
    RELEASED = "released"  # handed back by a worker that stops
    PAUSED = "paused"  # handed back because the provider is down, or asked too often
    LEASE_LOST = "lease_lost"
    UNSETTLED = "unsettled"  # the effect may have happened, the database could not be told


@dataclass(frozen=True, slots=True)
class Options:
    """How much a worker takes on; all times in seconds."""

    worker_id: str
    poll_seconds: float = 5.0
    concurrency: int = 8
    batch_size: int = 32
    lease_seconds: int = 20
    grace_seconds: float = 20.0
    job_seconds: float = 120.0
    retries: backoff.Backoff = backoff.JOBS
    provider_rates: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class _Complete:
    outcome: Outcome
    result: Json


@dataclass(frozen=True, slots=True)
class _Fail:
    outcome: Outcome
    error: str
    retry_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Leave:
    outcome: Outcome


_Settlement = _Complete | _Fail | _Leave


class Worker:
    """Runs the jobs of the kinds it has handlers for. One instance, one `run`."""

    def __init__(
        self,
        queue: Queue,
        handlers: Mapping[str, Handler],
        options: Options,
        *,
        metrics: Metrics | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._queue = queue
        self._handlers = dict(handlers)
        self._options = options
        self.metrics = metrics or Metrics()
        self._rng = rng or backoff.jitter()
        self._kinds = tuple(self._handlers)
        self._lanes = Lanes(options.provider_rates)
        self._log = logger().bind()
        self._wake = asyncio.Event()
        self._stopping = False
        self._backlog = False
        self._echoes: list[float] = []
        self._hurry = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self.metrics.running.set_function(lambda: len(self._running))
        self._working: set[asyncio.Task[_Settlement]] = set()
        self._settling_ordered = 0
        self._beginning = 0
        self._started = time.monotonic()
        self._last_answer: float | None = None
        self._doorbell_up = False

    def ring(self) -> None:
        """There may soon be new jobs. Rings that come while a claim is under way count as one."""
        now = time.monotonic()
        self._echoes = [now + echo for echo in _ECHOES]
        self.ring_of_visible()

    def ring_of_visible(self) -> None:
        """There may be new jobs, and a claim finds them now: such a ring needs no echo."""
        self.metrics.rings.inc()
        self._wake.set()

    def stop(self) -> None:
        """Claim no more; `run` ends once running jobs have finished or the grace period is over.

        A second call ends the grace period.
        """
        if self._stopping:
            self._hurry.set()
        self._stopping = True
        self._wake.set()

    def doorbell_up(self) -> None:
        """Told by the doorbell."""
        self._doorbell_up = True
        self.metrics.doorbell.set(1)
        self._log.info("doorbell_up")

    def doorbell_down(self, reason: str) -> None:
        """Told by the doorbell."""
        if self._doorbell_up:
            self._log.warning("doorbell_down", reason=reason)
        self._doorbell_up = False
        self.metrics.doorbell.set(0)
        self.metrics.doorbell_losses.labels(reason).inc()

    def health(self) -> tuple[bool, Json]:
        """Healthy while claims are answered; a silent doorbell alone only makes it slower."""
        patience = max(30.0, 3 * self._options.poll_seconds)
        since = time.monotonic() - (self._last_answer if self._last_answer is not None else self._started)
        healthy = since <= patience and not self._stopping
        facts = {
            "status": "stopping" if self._stopping else "ok" if healthy else "queue_silent",
            "doorbell": self._doorbell_up,
            "running": len(self._running),
            "seconds_since_answer": round(since, 1),
        }
        return healthy, facts

    async def run(self) -> None:
        """Work until `stop`. Leaves no task behind."""
        timers = asyncio.create_task(self._keep_time(), name="timers")
        try:
            await self._pull()
        finally:
            self._stopping = True
            timers.cancel()
            with suppress(asyncio.CancelledError):
                await timers
            await self._drain()

    # Claiming

    async def _pull(self) -> None:
        failures = 0
        while not self._stopping:
            self._wake.clear()
            now = time.monotonic()
            self._echoes = [echo for echo in self._echoes if echo > now]
            try:
                more = await self._claim()
                failures = 0
            except SautiError as error:
                failures += 1
                more = False
                self.metrics.claims.labels("error").inc()
                self._log.warning("claim_failed", error=error.symbol, count=failures)
            if more:
                continue
            # Jitter keeps a fleet of workers from polling in step.
            pause = self._options.poll_seconds * self._rng.uniform(0.8, 1.0)
            if failures:
                pause = min(pause, backoff.SETTLE.delay(failures, self._rng) + 0.1)
            elif self._echoes:
                pause = min(pause, max(0.0, self._echoes[0] - time.monotonic()))
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            if self._backlog and len(self._working) > self._options.concurrency // 2:
                await asyncio.sleep(_GATHER_SECONDS)

    async def _claim(self) -> bool:
        """Take what there is room for; whether to ask again at once."""
        concurrency = self._options.concurrency
        # A job that is being settled takes no handler's time; yet a queue that is slow to settle is not asked for more.
        working, running = len(self._working) + self._beginning, len(self._running) + self._beginning
        room = min(concurrency - working, 2 * concurrency - running, self._options.batch_size)
        if room <= 0:
            self._backlog = True
            return False
        # What is being settled may hold up the next job of its ordering key: this claim may come too early.
        early = self._settling_ordered > 0
        asked_at = time.monotonic()
        # Never cancelled: the answer to a claim that nobody waits for would be jobs that nobody does.
        jobs = await self._queue.claim(self._options.worker_id, room, self._options.lease_seconds, self._kinds)
        self._answered()
        full = len(jobs) >= room
        self._backlog = full or early
        self.metrics.claimed("full" if full else "partial" if jobs else "empty")
        more = full and len(self._working) + len(jobs) < concurrency
        deadline = asked_at + self._options.lease_seconds
        if more:
            # They begin when the next claim has been sent: the database works on it meanwhile.
            self._beginning = len(jobs)
            asyncio.get_running_loop().call_soon(self._begin, jobs, deadline)
        else:
            self._begin(jobs, deadline)
        return more

    def _begin(self, jobs: Sequence[Job], deadline: float) -> None:
        self._beginning = 0
        for job in jobs:
            self._start(job, deadline)

    def _start(self, job: Job, deadline: float) -> None:
        lease = Lease(job, deadline, self._extend)
        work = asyncio.create_task(self._work(job, lease))
        self._working.add(work)
        task = asyncio.create_task(self._attempt(job, lease, work))
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._backlog:
            self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("attempt_crashed", type=type(error).__name__, place=place_of(error))

    # One attempt

    async def _attempt(self, job: Job, lease: Lease, work: asyncio.Task[_Settlement]) -> None:
        began = time.monotonic()
        keeper: asyncio.Task[None] | None = None
        # Most jobs need no keeper: they end before it would have anything to do.
        if not work.done():
            await asyncio.wait({work}, timeout=max(0.0, min(self._options.lease_seconds / 3, lease.remaining)))
        if not work.done():
            keeper = asyncio.create_task(self._keep(lease))
            # The keeper may hang in a question that the database does not answer; the lease ends all the same, and what
            # is under way with it: another worker may have the job from then on.
            while not (work.done() or keeper.done()) and lease.remaining > 0:
                await asyncio.wait({work, keeper}, timeout=lease.remaining, return_when=asyncio.FIRST_COMPLETED)
        settlement: _Settlement
        if not work.done():
            settlement = _Leave(Outcome.LEASE_LOST)
        elif work.cancelled():
            # Handed back: another worker can have it at once instead of after the lease.
            settlement = _Fail(Outcome.RELEASED, "worker_stopped", 0.0)
        else:
            settlement = work.result()
        await _end(work)
        # From here the lease is no longer extended, which bounds the tries to settle.
        if keeper is not None:
            await _end(keeper)
        self._working.discard(work)
        if self._backlog:
            # Its place is free before it is settled.
            self._wake.set()
        ordered = is_ordered(job) or not isinstance(settlement, _Complete)
        self._settling_ordered += ordered
        try:
            outcome = await self._settle(job, lease, settlement)
        finally:
            self._settling_ordered -= ordered
        self._report(job, settlement, outcome, began)

    async def _work(self, job: Job, lease: Lease) -> _Settlement:
        """Carry the job out; every failure becomes a settlement."""
        try:
            async with asyncio.timeout(self._options.job_seconds):
                context = job.context
                if context is None:
                    context = await self._queue.context(job)
                    self._answered()
                match context.get("state"):
                    case "obsolete":
                        return _Complete(Outcome.OBSOLETE, {"outcome": "obsolete"})
                    case "postponed":
                        return _Leave(Outcome.POSTPONED)
                    case "due":
                        return await self._perform(job, context, lease)
                    case _:
                        return self._failed(job, Retryable("context_unknown"))
        except LeaseLost:
            return _Leave(Outcome.LEASE_LOST)
        except (Retryable, Permanent, QueueRefused) as error:
            return self._failed(job, error)
        except TimeoutError:
            return self._failed(job, Retryable("job_timeout"))
        except Exception as error:  # a defect of ours must cost an attempt, not the worker
            self._log.error(
                "handler_crashed", job_id=job.job_id, kind=job.kind, type=type(error).__name__, place=place_of(error)
            )
            return self._failed(job, Retryable("handler_crashed"))

    async def _perform(self, job: Job, context: Json, lease: Lease) -> _Settlement:
        lane = self._lanes.of(job.kind, context)
        if lane is None:
            return await self._handle(job, context, lease)
        admission = lane.enter(time.monotonic())
        if not admission.is_open:
            # Spread out, so that they do not all come back in the same moment.
            delay = min(admission.seconds, _LONGEST_RETRY_AFTER) + self._rng.uniform(0.0, min(5.0, admission.seconds))
            return _Fail(Outcome.PAUSED, "provider_paused", delay)
        try:
            await asyncio.sleep(admission.seconds)
            settlement = await self._handle(job, context, lease)
        except Outage as outage:
            if lane.met_outage(time.monotonic(), outage.after):
                self._log.warning("provider_paused", provider=lane.provider, error=outage.symbol)
            raise
        except BaseException:
            lane.left()
            raise
        else:
            lane.passed()
            return settlement
        finally:
            self.metrics.paused.labels(lane.provider).set(self._lanes.closed(lane.provider))

    async def _handle(self, job: Job, context: Json, lease: Lease) -> _Settlement:
        lease.check()
        return _Complete(Outcome.DONE, await self._handlers[job.kind].handle(context, lease))

    def _failed(self, job: Job, error: SautiError) -> _Fail:
        if isinstance(error, Permanent):
            return _Fail(Outcome.DEAD, error.symbol, None)
        delay = self._options.retries.delay(job.attempt, self._rng)
        if isinstance(error, Retryable) and error.after is not None:
            # At least as long as the other side asked for; the jitter comes on top, or all would be back at once.
            delay += min(error.after, _LONGEST_RETRY_AFTER)
        return _Fail(Outcome.DEAD if job.is_last_attempt else Outcome.RETRIED, error.symbol, delay)

    async def _settle(self, job: Job, lease: Lease, settlement: _Settlement) -> Outcome:
        """Tell the database, as often as the lease allows: a settlement that is lost means a second effect."""
        if isinstance(settlement, _Leave):
            return settlement.outcome
        tries = 0
        while True:
            tries += 1
            try:
                if isinstance(settlement, _Complete):
                    await self._queue.complete(job, settlement.result)
                else:
                    await self._queue.fail(job, settlement.error, settlement.retry_in_seconds)
            except LeaseLost:
                # After an unanswered try this may mean that the try had arrived.
                return settlement.outcome if tries > 1 else Outcome.LEASE_LOST
            except QueueUnavailable:
                pause = backoff.SETTLE.delay(tries, self._rng)
                if lease.remaining <= pause:
                    return Outcome.UNSETTLED
                await asyncio.sleep(pause)
            except QueueRefused as error:
                self._log.error("settle_refused", job_id=job.job_id, kind=job.kind, error=error.symbol)
                return Outcome.UNSETTLED
            else:
                self._answered()
                return settlement.outcome

    def _report(self, job: Job, settlement: _Settlement, outcome: Outcome, began: float) -> None:
        seconds = time.monotonic() - began
        self.metrics.attempted(job.kind, outcome.value, seconds)
        lag = max(0.0, (datetime.now(UTC) - job.queued_at).total_seconds() - seconds)
        if job.attempt == 1:
            self.metrics.lagged(job.kind, lag)
        failed = settlement if isinstance(settlement, _Fail) else None
        self._log.info(
            "attempt",
            job_id=job.job_id,
            kind=job.kind,
            attempt=job.attempt,
            outcome=outcome.value,
            error=failed.error if failed else None,
            retry_in_seconds=round(failed.retry_in_seconds, 1) if failed and failed.retry_in_seconds else None,
            milliseconds=round(seconds * 1000, 1),
            lag_milliseconds=round(lag * 1000, 1),
        )

    # Leases

    async def _keep(self, lease: Lease) -> None:
        """Extend the lease now and at each third of its time; returns when it is lost."""
        while True:
            try:
                lease.check()
                await self._extend(lease)
            except LeaseLost:
                return
            except SautiError:
                # Unanswered is not lost: the next try comes soon, and the deadline ends it in any case.
                pause = self._options.lease_seconds / 10
            else:
                pause = self._options.lease_seconds / 3
            await asyncio.sleep(max(0.0, min(pause, lease.remaining)))

    async def _extend(self, lease: Lease) -> None:
        asked_at = time.monotonic()
        await self._queue.extend(lease.job, self._options.lease_seconds)
        self._answered()
        lease.deadline = asked_at + self._options.lease_seconds

    # Time and the end

    async def _keep_time(self) -> None:
        """Let the database run its due timers, and read the outbox's statistics, once a poll."""
        # Not in the moment of the first claims, and not by a whole fleet at once.
        await asyncio.sleep(min(1.0, self._options.poll_seconds) * self._rng.uniform(0.5, 1.0))
        while True:
            try:
                counts = await self._queue.run_due_timers()
                if any(type(count) is int and count > 0 for count in counts.values()):
                    self._wake.set()
                self.metrics.observe_outbox(await self._queue.statistics())
            except SautiError as error:
                self._log.warning("timers_failed", error=error.symbol)
            await asyncio.sleep(self._options.poll_seconds * self._rng.uniform(0.8, 1.0))

    async def _drain(self) -> None:
        """Wait for running jobs; after the grace period (or a second `stop`) they are handed back."""
        while self._beginning:
            await asyncio.sleep(0)
        if not self._running:
            return
        self._log.info("draining", count=len(self._running))
        hurry = asyncio.create_task(self._hurry.wait())
        deadline = time.monotonic() + self._options.grace_seconds
        while self._running and not hurry.done() and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait({*self._running, hurry}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        await _end(hurry)
        # Only the work is cancelled, never the attempt around it: that one still settles or hands back.
        for work in tuple(self._working):
            work.cancel()
        if self._running:
            await asyncio.wait(set(self._running))

    def _answered(self) -> None:
        self._last_answer = time.monotonic()


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel until it has ended, whatever the task still has to say."""
    # Once may not do: `asyncio.wait_for` of Python 3.11 swallows a cancellation that comes together with what it waits
    # for, and libraries use it. A keeper that goes on would hold its job for ever.
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()  # read, or the loop would complain of it
