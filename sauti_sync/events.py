"""What travels through the worker: a claimed job, its lease, and what the database says about it.

A job is ids only. Everything personal is in its context, read under the lease and dropped with the attempt; no repr
shows any of it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sauti_sync.errors import LeaseLost

#: A JSON object as the Data API gives and takes it.
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One claimed job; `attempt` counts from 1."""

    job_id: int
    kind: str
    attempt: int
    max_attempts: int
    lease_token: str
    queued_at: datetime
    #: What it meant when it was claimed; None: to be asked for.
    context: Json | None = field(default=None, repr=False)

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure now is final."""
        return self.attempt >= self.max_attempts


class Lease:
    """The right to act on a job, which ends by itself at `deadline` on the monotonic clock.

    The deadline is counted from before the claim (or extension) was asked for, so it is never later than the
    database's own.
    """

    def __init__(self, job: Job, deadline: float, extend: Callable[[Lease], Awaitable[None]]) -> None:
        self.job = job
        self.deadline = deadline
        self._extend = extend

    @property
    def remaining(self) -> float:
        """Seconds left; negative when over."""
        return self.deadline - time.monotonic()

    def check(self) -> None:
        """Raise LeaseLost when the time is over. Costs nothing: call it right before every effect."""
        if self.remaining <= 0:
            raise LeaseLost

    async def confirm(self) -> None:
        """Ask the database, and extend. Raises LeaseLost when another worker has taken over.

        What was read before a successful confirmation and is still unchanged (If-Match) may be overwritten safely.
        """
        await self._extend(self)


class Caller(Protocol):
    """Calls a function of the database, as `RpcQueue.call` does."""

    async def __call__(self, function: str, /, **arguments: Any) -> Any:
        """Raises QueueUnavailable, QueueRefused, LeaseLost."""


class Handler(Protocol):
    """Carries out jobs of one kind against the outside world."""

    async def handle(self, context: Json, lease: Lease) -> Json:
        """Bring the effect about and return the result to settle the job with.

        `context` is the answer of `job_context` in state `due`. Must be safe to repeat. Raises Retryable,
        Permanent or LeaseLost; anything else counts as a defect and is retried.
        """

    async def close(self) -> None:
        """Give back what the handler holds open."""
