"""A professional with a calendar and a mailbox on the running stack, and worker processes to serve them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from icalendar import Calendar, Event
from psycopg.rows import dict_row

from sauti_local.calendar import PASSWORD
from sauti_local.stack import Stack
from sauti_sync.credentials import TokenKeys
from tests.support.users import User, sign_up

ROOT = Path(__file__).parent.parent.parent
#: For a worker that is to die or to stand still: its jobs are soon another's. Every other worker has the lease of
#: production, so that a machine that is busy for a second takes no job away from one that lives.
SHORT_LEASE = {"SAUTI_LEASE_SECONDS": "2"}


class WorkerProcess:
    """`sauti-sync worker` (or another module that runs it) as a process of its own; ended by its own id."""

    def __init__(self, environment: dict[str, str], log: Path, module: str = "sauti_sync", *arguments: str) -> None:
        self.log_path = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *(arguments or ("worker",))],
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def ended(self, seconds: float = 20.0) -> int:
        """Its exit status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"the worker still runs after {seconds} s:\n{self.log()}"
            await asyncio.sleep(0.01)
        return int(self.process.returncode)

    async def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    def kill(self) -> None:
        """SIGKILL; safe to repeat."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Log lines of one event."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@dataclass
class Stage:
    """One professional on the stack; everything a test may want to do or see."""

    stack: Stack
    folder: Path
    professional: User
    connection: psycopg.Connection[dict[str, Any]]
    workers: list[WorkerProcess] = field(default_factory=list)

    @classmethod
    def build(cls, stack: Stack, folder: Path, name: str = "Asha") -> "Stage":
        professional = sign_up(stack.addresses, "professional", display_name=name)
        connection = psycopg.connect(stack.addresses.db_url, autocommit=True, row_factory=dict_row)
        built = cls(stack, folder, professional, connection)
        built.clear_outbox()
        return built

    # The database

    def sql(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        cursor = self.connection.execute(query, arguments)
        return cursor.fetchall() if cursor.description else []

    def connect_calendar(self, url: str | None = None, **secret: str) -> None:
        """Connect the professional's calendar, as the Edge Function does."""
        collection = url or self.calendar_url
        content = {"url": collection, "username": self.calendar_user, "password": PASSWORD} | secret
        keys = TokenKeys.parse(self.stack.environment["SAUTI_TOKEN_KEYS"])
        key = self.stack.addresses.service_role_key
        httpx.post(
            f"{self.stack.addresses.api_url}/rest/v1/rpc/store_calendar_connection",
            headers={"apikey": key, "Authorization": f"Bearer {key}"},
            json={
                "user_id": self.professional.id,
                "provider": "caldav",
                "account_label": "mine",
                "calendar_id": collection,
                "credentials": keys.encrypt(content, self.professional.id, "caldav"),
            },
            trust_env=False,
            timeout=30,
        ).raise_for_status()
        # Readings are for the tests that ask for them.
        self.sql("update private.calendar_pulls set next_at = 'infinity'")

    def add_appointment(self, days: int = 1, **columns: object) -> str:
        """A confirmed appointment, with the notification, mail and calendar jobs that come with it."""
        row: dict[str, object] = {
            "professional_id": self.professional.id,
            "status": "confirmed",
            "created_via": "public_booking",
        } | columns
        names = ", ".join(row)
        marks = ", ".join(["%s"] * len(row))
        (added,) = self.sql(
            f"insert into public.appointments (appointment_date, {names})"
            f" values (date_trunc('hour', now()) + %s * interval '1 day', {marks}) returning appointment_id",
            days,
            *row.values(),
        )
        return str(added["appointment_id"])

    def jobs(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The jobs of this professional's appointments, oldest first, without those that look again later."""
        return self.sql(
            "select j.* from private.outbox_jobs as j"
            " left join public.notifications as n on n.id = j.notification_id"
            " left join public.calendar_connections as c on c.id = j.connection_id"
            " where coalesce(n.user_id, c.user_id) = %s and (%s::text is null or j.kind = %s) and not j.looks_again"
            " order by j.id",
            self.professional.id,
            kind,
            kind,
        )

    def looks(self) -> list[dict[str, Any]]:
        """The jobs that look into this professional's calendars again."""
        return self.sql(
            "select j.* from private.outbox_jobs as j join public.calendar_connections as c on c.id = j.connection_id"
            " where c.user_id = %s and j.looks_again order by j.id",
            self.professional.id,
        )

    def states(self, kind: str | None = None) -> list[str]:
        return [row["state"] for row in self.jobs(kind)]

    def are_done(self, kind: str | None = None) -> bool:
        states = self.states(kind)
        return bool(states) and set(states) == {"done"}

    # The outside world

    @property
    def calendar_user(self) -> str:
        return self.professional.id

    @property
    def calendar_url(self) -> str:
        return f"{self.stack.addresses.caldav_url}/{self.calendar_user}/sessions/"

    def mails(self) -> list[dict[str, Any]]:
        """The mails to this professional."""
        answer = httpx.get(f"{self.stack.addresses.mail_url}/messages.json", trust_env=False, timeout=30)
        answer.raise_for_status()
        return [mail for mail in answer.json() if mail["to"] == [self.professional.email]]

    def message_ids(self) -> list[str]:
        return [dict(mail["headers"])["Message-ID"] for mail in self.mails()]

    def events(self) -> list[Event]:
        """The events in this professional's calendar."""
        answer = httpx.get(self.calendar_url, auth=(self.calendar_user, PASSWORD), trust_env=False, timeout=30)
        if answer.status_code == 404:
            return []
        answer.raise_for_status()
        found = Calendar.from_ical(answer.content).walk("VEVENT")
        return [event for event in found if isinstance(event, Event)]

    # Workers

    def environment(self, **changes: str) -> dict[str, str]:
        """What a worker gets: impatient, so that tests are quick. An empty value takes a variable away."""
        impatient = {"SAUTI_POLL_SECONDS": "0.3", "SAUTI_GRACE_SECONDS": "5"}
        return self.stack.environment | impatient | changes

    def start_worker(self, *arguments: str, module: str = "sauti_sync", **changes: str) -> WorkerProcess:
        log = self.folder / f"worker-{len(self.workers)}-{uuid.uuid4().hex[:6]}.log"
        worker = WorkerProcess(self.environment(**changes), log, module, *arguments)
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        """End every worker, and leave no work to the next test's."""
        for worker in self.workers:
            worker.kill()
        self.clear_outbox()
        self.connection.close()

    def clear_outbox(self) -> None:
        """Take jobs of other tests, which share the stack, out of the way of this one's workers."""
        self.sql("delete from private.outbox_jobs where state in ('pending', 'running')")
