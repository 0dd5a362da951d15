"""The outbox as the worker meets it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from tests.support.cases import Cases, Row, Sql, call


@dataclass
class Jobs:
    """The queue functions, called with the service key."""

    cases: Cases
    worker: Sql

    def add(
        self,
        *,
        kind: str = "mail",
        due_in: timedelta = timedelta(),
        ordering_key: str | None = None,
        priority: int = 50,
        max_attempts: int = 12,
    ) -> int:
        """Queue a job that is about nothing; gives back its id."""
        job_id: int = self.cases.one(
            "insert into private.outbox_jobs (kind, dedupe_key, run_at, ordering_key, priority, max_attempts)"
            " values (%s, %s, private.clock() + %s, %s, %s, %s) returning id",
            kind,
            str(uuid.uuid4()),
            due_in,
            ordering_key,
            priority,
            max_attempts,
        )["id"]
        return job_id

    def clear(self) -> None:
        """Forget all jobs."""
        self.cases.sql.execute("delete from private.outbox_jobs")

    def claim(
        self, max_jobs: int = 100, lease_seconds: int = 60, kinds: list[str] | None = None, worker: str = "worker"
    ) -> list[Row]:
        """Claim jobs, in the order of their ids."""
        rows = self.worker.execute(
            "select * from public.claim_jobs(%s, %s, %s, %s)", (worker, max_jobs, lease_seconds, kinds)
        ).fetchall()
        return sorted(rows, key=lambda row: row["job_id"])

    def claim_one(self, **wanted: Any) -> Row:
        """Claim the only job there is to claim."""
        (row,) = self.claim(**wanted)
        return row

    def claimed_ids(self, **wanted: Any) -> list[int]:
        """Ids of what can be claimed."""
        return [row["job_id"] for row in self.claim(**wanted)]

    def context(self, job: Row) -> dict[str, Any]:
        """What the job means now."""
        context: dict[str, Any] = call(self.worker, "job_context", job["job_id"], job["lease_token"])
        return context

    def complete(self, job: Row, result: dict[str, Any] | None = None) -> None:
        """Settle as done."""
        call(self.worker, "complete_job", job["job_id"], job["lease_token"], None if result is None else Jsonb(result))

    def fail(self, job: Row, error: str | None = "smtp_unavailable", retry_in: float | None = None) -> str:
        """Settle as failed; gives back the new state."""
        delay = None if retry_in is None else Decimal(retry_in)
        state: str = call(self.worker, "fail_job", job["job_id"], job["lease_token"], error, delay)
        return state

    def extend(self, job: Row, seconds: int | None = 60) -> datetime:
        """Extend the lease; gives back its new end."""
        moment: datetime = call(self.worker, "extend_lease", job["job_id"], job["lease_token"], seconds)
        return moment

    def row(self, job_id: int) -> Row:
        """The job as it stands."""
        return self.cases.one("select * from private.outbox_jobs where id = %s", job_id)

    def state(self, job_id: int) -> str:
        """The job's state."""
        state: str = self.row(job_id)["state"]
        return state
