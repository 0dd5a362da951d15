"""The queue, as the worker sees it: the RPC functions of CONTRACT §5.

`Queue` is the seam. `RpcQueue` is what every road to these functions has in common; a road is a subclass that knows how
to call one: DataApiQueue here, over HTTP, and DirectQueue over a connection of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import httpx

from sauti_sync.coalesce import Coalescer
from sauti_sync.config import ProjectSettings
from sauti_sync.errors import LeaseLost, QueueRefused, QueueUnavailable
from sauti_sync.events import Job, Json

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
#: While claims that find a little are no further apart than this, jobs end one by one and soon after each other: what
#: is to be settled then waits until there are so many, or so long.
_BUSY_SECONDS = 0.03
_SETTLE_TOGETHER = 20
_SETTLE_PATIENCE_SECONDS = 0.01
#: Kinds that change nothing outside. What the others did is done twice if their worker dies before it has settled them.
_REPEATABLE = frozenset({"probe", "calendar_pull"})
#: JSON as every road writes it: a point in time is text.
to_json = json.JSONEncoder(default=datetime.isoformat).encode


class Queue(Protocol):
    """What the engine asks of the database. Every call raises QueueUnavailable or QueueRefused."""

    async def claim(self, worker_id: str, max_jobs: int, lease_seconds: int, kinds: Sequence[str]) -> list[Job]:
        """Lease up to `max_jobs` due jobs of these kinds."""

    async def context(self, job: Job) -> Json:
        """The present state behind a job; raises LeaseLost."""

    async def complete(self, job: Job, result: Json) -> None:
        """Settle as done; raises LeaseLost."""

    async def fail(self, job: Job, error: str, retry_in_seconds: float | None) -> None:
        """Settle as failed: again after the delay, or never (None); raises LeaseLost."""

    async def extend(self, job: Job, lease_seconds: int) -> None:
        """Hold the lease for that long from now; raises LeaseLost."""

    async def run_due_timers(self) -> Json:
        """Let the database do what has become due; counts by timer."""

    async def statistics(self) -> Json:
        """`pending`, `running`, `dead` (counts) and `oldest_pending_seconds`."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """One line of `jobs list`."""

    job_id: int
    kind: str
    state: str
    attempts: int
    max_attempts: int
    run_at: str
    last_error: str | None
    created_at: str
    finished_at: str | None


class RpcQueue:
    """The queue functions, wherever they are called. Contexts and settlements travel together when there are many."""

    def __init__(self) -> None:
        self._contexts = Coalescer(self._read_contexts)
        self._settlements = Coalescer(self._complete_all, patience=_SETTLE_PATIENCE_SECONDS, company=_SETTLE_TOGETHER)
        self._found_at = -_BUSY_SECONDS

    async def call(self, function: str, /, **arguments: Any) -> Any:
        """Call a function: rows as a list of objects, a scalar as itself.

        Arguments have the types of the database: a `datetime` where it wants a point in time. Ids are text.

        Raises QueueUnavailable, QueueRefused, LeaseLost.
        """
        raise NotImplementedError

    async def claim(self, worker_id: str, max_jobs: int, lease_seconds: int, kinds: Sequence[str]) -> list[Job]:
        """Lease up to `max_jobs` due jobs of these kinds, with their contexts."""
        rows = await self.call(
            "take_jobs", worker_id=worker_id, max_jobs=max_jobs, lease_seconds=lease_seconds, kinds=list(kinds)
        )
        found, now = len(rows or ()), time.monotonic()
        self._settlements.expects_more = 0 < found < max_jobs and now - self._found_at < _BUSY_SECONDS
        if found:
            self._found_at = now
        try:
            return [
                Job(
                    job_id=int(row["job_id"]),
                    kind=str(row["kind"]),
                    attempt=int(row["attempt"]),
                    max_attempts=int(row["max_attempts"]),
                    lease_token=str(row["lease_token"]),
                    queued_at=_moment(row["queued_at"]),
                    context=row["context"] if isinstance(row["context"], dict) else None,
                )
                for row in rows or ()
            ]
        except (LookupError, TypeError, ValueError):
            raise QueueRefused("malformed_answer", 200) from None

    async def context(self, job: Job) -> Json:
        """The present state behind a job; raises LeaseLost."""
        try:
            answer = await self._contexts(job)
        except QueueRefused:
            # One job of the list has broken it, or the database is older: alone, each gets its own answer.
            answer = await self.call("job_context", job_id=job.job_id, lease_token=job.lease_token)
        if not isinstance(answer, dict):
            raise QueueRefused("malformed_answer", 200)
        if answer.get("state") == "lost":
            raise LeaseLost
        return answer

    async def complete(self, job: Job, result: Json) -> None:
        """Settle as done; raises LeaseLost."""
        try:
            settled = await self._settlements((job, result), may_wait=job.kind in _REPEATABLE)
        except (QueueRefused, LeaseLost):
            # One job of the list has broken it: alone, each gets its own answer.
            await self.call("complete_job", job_id=job.job_id, lease_token=job.lease_token, result=dict(result))
            return
        if not settled:
            raise LeaseLost

    async def fail(self, job: Job, error: str, retry_in_seconds: float | None) -> None:
        """Settle as failed: again after the delay, or never (None); raises LeaseLost."""
        await self.call(
            "fail_job",
            job_id=job.job_id,
            lease_token=job.lease_token,
            error=error,
            retry_in_seconds=None if retry_in_seconds is None else round(retry_in_seconds, 3),
        )

    async def extend(self, job: Job, lease_seconds: int) -> None:
        """Hold the lease for that long from now; raises LeaseLost."""
        await self.call("extend_lease", job_id=job.job_id, lease_token=job.lease_token, lease_seconds=lease_seconds)

    async def run_due_timers(self) -> Json:
        """Let the database do what has become due; counts by timer."""
        answer = await self.call("run_due_timers")
        return answer if isinstance(answer, dict) else {}

    async def statistics(self) -> Json:
        """`pending`, `running`, `dead` (counts) and `oldest_pending_seconds`."""
        answer = await self.call("outbox_statistics")
        return answer if isinstance(answer, dict) else {}

    async def _read_contexts(self, jobs: Sequence[Job]) -> list[Any]:
        if len(jobs) == 1:
            return [await self.call("job_context", job_id=jobs[0].job_id, lease_token=jobs[0].lease_token)]
        leases = [{"job_id": job.job_id, "lease_token": job.lease_token} for job in jobs]
        return _by_lease(jobs, await self.call("job_contexts", leases=leases), "context")

    async def _complete_all(self, settlements: Sequence[tuple[Job, Json]]) -> list[bool]:
        jobs = [job for job, _ in settlements]
        return _by_lease(jobs, await self.call("complete_jobs", settlements=_settlements(settlements)), "is_settled")


class DataApiQueue(RpcQueue):
    """The queue functions through PostgREST, with the service-role key."""

    def __init__(self, settings: ProjectSettings, *, connections: int = 20) -> None:
        super().__init__()
        key = settings.supabase_service_role_key.get_secret_value()
        self._http = httpx.AsyncClient(
            base_url=f"{settings.supabase_url}/rest/v1/rpc/",
            headers={"apikey": key, "Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            # A proxy named in the environment is for the way out of this machine.
            trust_env=not settings.is_on_this_machine,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def list_jobs(self, state: str | None, max_jobs: int = 100) -> list[JobRow]:
        """The newest jobs, or those in one state."""
        rows = await self.call("list_jobs", state=state, max_jobs=max_jobs)
        return [JobRow(**{name: row[name] for name in JobRow.__dataclass_fields__}) for row in rows or ()]

    async def retry_jobs(self, job_ids: Sequence[int] | None) -> int:
        """Put dead jobs back (None: all of them); how many."""
        return int(await self.call("retry_jobs", job_ids=None if job_ids is None else list(job_ids)))

    async def call(self, function: str, /, **arguments: Any) -> Any:
        """Call a function over HTTP."""
        try:
            response = await self._http.post(function, content=to_json(arguments))
        except httpx.HTTPError:
            raise QueueUnavailable("queue_unavailable") from None
        if response.status_code == 204:
            return None
        try:
            body = response.json() if response.content else None
        except ValueError:
            body = None
        if response.is_success:
            return body
        if response.status_code == 429 or response.status_code >= 500:
            raise QueueUnavailable("queue_unavailable")
        message = body.get("message") if isinstance(body, dict) else None
        if response.status_code == 409 and message == "invalid_transition":
            raise LeaseLost
        raise QueueRefused(f"queue_refused_{response.status_code}", response.status_code)


def is_ordered(job: Job) -> bool:
    """Whether another job may wait for this one to be settled, being about the same appointment or calendar."""
    return job.kind.startswith("calendar")


def _settlements(settlements: Sequence[tuple[Job, Json]]) -> list[Json]:
    return [
        {"job_id": job.job_id, "lease_token": job.lease_token, "result": dict(result)} for job, result in settlements
    ]


def _moment(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _by_lease(jobs: Sequence[Job], rows: Any, column: str) -> list[Any]:
    """The answers in the order of the jobs; an old lease of a job may be asked about beside its present one."""
    try:
        found = {str(row["lease_token"]): row[column] for row in rows}
        return [found[job.lease_token] for job in jobs]
    except (LookupError, TypeError, ValueError):
        raise QueueRefused("malformed_answer", 200) from None
