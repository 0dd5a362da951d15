"""A run of appointment changes during which everything fails: what stands at the end is compared with the database.

Three workers over direct connections, a Google stand-in and a mail server that fail at random and at times act without
answering, SIGKILL for workers and for PostgreSQL itself.
"""

import asyncio
import json
import os
import random
import re
import signal
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from aiohttp import web
from psycopg.rows import dict_row

from sauti_local.migrations import push_migrations
from sauti_local.ports import free_port
from sauti_local.postgres import SUPERUSER, Postgres
from sauti_sync.credentials import TokenKeys
from tests.sync.smtp_server import MailServer, mail_server
from tests.sync.stage import WorkerProcess
from tests.sync.stand_ins.google import GoogleStandIn
from tests.sync.waiting import until

PEOPLE = 4
WORKERS = 3
LEASE_SECONDS = 3
FAULTS = ("401", "403", "412", "429", "500", "503", "hang up", "act and hang up", "act and 500")
MOODS = ({"END": None}, {"RCPT": "450 canarychaos"}, {"CONNECT": "421 later"}, {"MAIL": "451 later"}, {"DATA": None})
#: Longest pause between two changes.
PACE_SECONDS = 0.2
#: Share of requests that fail.
TROUBLE = 0.12
CANARY = "canarychaos"
BASE = datetime(2030, 1, 7, 6, 0, tzinfo=UTC)


class MoodyGoogle(GoogleStandIn):
    """Fails at random while it is in a mood to."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.moody = True
        self.failures: Counter[str] = Counter()

    async def _watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not self.moody or self.chance.random() > TROUBLE:
            return await super()._watch(request, handler)
        fault = self.chance.choice(
            ["401", "403", "412", "429", "500", "503", "hang up", "act and hang up", "act and 500"]
        )
        self.failures[fault] += 1
        if fault.startswith("act"):
            await super()._watch(request, handler)
        if fault.endswith("hang up"):
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        status = int(fault[-3:])
        headers = {"Retry-After": "1"} if status in (429, 503) else {}
        answer = self.refused(status, "rateLimitExceeded" if status in (403, 429) else CANARY)
        answer.headers.update(headers)
        return answer


class MoodyMail:
    """Changes the mail server's answers all the time; some messages are taken without a word."""

    def __init__(self, server: MailServer, chance: random.Random) -> None:
        self.server = server
        self.chance = chance

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.01, 0.05))
            self.server.answers = {}
            if self.chance.random() < 3 * TROUBLE:
                self.server.answers = dict(self.chance.choice(MOODS))

    def message_ids(self) -> list[str]:
        found = [re.search(rb"Message-ID: <([0-9a-f-]+)@", text) for text in self.server.accepted]
        return [match[1].decode() for match in found if match]


@dataclass
class Chaos:
    """One run; `play` does it all and gives a report."""

    folder: Path
    changes: int
    seed: int = 1
    workers: list[WorkerProcess] = field(default_factory=list)
    rescues: list[float] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    people: list[str] = field(default_factory=list)
    slot: int = 0

    async def play(self) -> dict[str, Any]:
        self.chance = random.Random(self.seed)
        self.postgres = Postgres(self.folder / "postgres", free_port(), throwaway=True)
        self.google = MoodyGoogle(self.chance)
        await self.google.start()
        await self.postgres.start()
        try:
            await self.postgres.prepare()
            await push_migrations(self.postgres.url(), self.folder / "migrations.log", seed=False)
            async with mail_server() as server:
                self.mail = MoodyMail(server, self.chance)
                self._populate()
                return await self._run()
        finally:
            for worker in self.workers:
                worker.kill()
            await self.google.stop()
            await self.postgres.stop()

    async def _run(self) -> dict[str, Any]:
        began = time.monotonic()
        for _ in range(WORKERS):
            self._start_worker()
        await until(lambda: all(worker.lines("doorbell_up") for worker in self.workers), 40, what="the workers are up")
        mood = asyncio.create_task(self.mail.run())
        killers = [asyncio.create_task(self._kill_workers()), asyncio.create_task(self._kill_postgres())]
        try:
            await asyncio.to_thread(self._change_everything)
        finally:
            for task in (*killers, mood):
                task.cancel()
            await asyncio.gather(*killers, mood, return_exceptions=True)
        self.google.moody, self.mail.server.answers = False, {}
        await self._ensure_postgres()
        while len(self._living()) < WORKERS:
            self._start_worker()
        # Fails with what is left, if anything is.
        with suppress(AssertionError):
            await until(self._is_quiet, 60 + self.changes / 5)
        seconds = time.monotonic() - began
        for worker in self._living():
            await worker.stop()
        return self._report(seconds)

    # People and what they change

    def sql(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        url = self.postgres.url(user=SUPERUSER)
        with psycopg.connect(url, autocommit=True, row_factory=dict_row, connect_timeout=5) as connection:
            cursor = connection.execute(query.encode(), arguments)
            return cursor.fetchall() if cursor.description else []

    def _populate(self) -> None:
        self.keys = TokenKeys.generate("chaos")
        for number in range(PEOPLE):
            user = str(uuid.uuid4())
            self.people.append(user)
            self.sql(
                "insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data) values"
                " (%s, 'authenticated', 'authenticated', %s, '{}', '{\"user_type\": \"professional\"}')",
                user,
                f"{CANARY}{number}@example.org",
            )
            secret = TokenKeys.parse(self.keys).encrypt(self.google.issue(user), user, "google")
            self.sql("select public.store_calendar_connection(%s, 'google', 'mine', 'primary', %s)", user, secret)

    def _change_everything(self) -> None:
        """Each change in a transaction of its own; one that the server's death undoes is made again."""
        alive: list[str] = []
        made = 0
        while made < self.changes:
            kind = self.chance.choice(["make", "make", "move", "move", "cancel"]) if len(alive) > 3 else "make"
            with suppress(psycopg.Error):
                self._change(kind, alive)
                made += 1
            time.sleep(self.chance.uniform(0.0, PACE_SECONDS))

    def _change(self, kind: str, alive: list[str]) -> None:
        self.slot += 1
        moment = BASE + timedelta(hours=2 * self.slot)
        if kind == "make":
            (row,) = self.sql(
                "insert into public.appointments (professional_id, appointment_date, status, created_via)"
                " values (%s, %s, 'confirmed', 'public_booking') returning appointment_id",
                self.chance.choice(self.people),
                moment,
            )
            alive.append(str(row["appointment_id"]))
        elif kind == "move":
            # Twice within milliseconds.
            appointment = self.chance.choice(alive)
            for minutes in (0, 30):
                self.sql(
                    "update public.appointments set appointment_date = %s where appointment_id = %s",
                    moment + timedelta(minutes=minutes),
                    appointment,
                )
        else:
            appointment = alive.pop(self.chance.randrange(len(alive)))
            self.sql("update public.appointments set status = 'cancelled' where appointment_id = %s", appointment)

    # Death

    def _start_worker(self) -> None:
        environment = {
            "SUPABASE_URL": "http://127.0.0.1:9",
            "SUPABASE_SERVICE_ROLE_KEY": CANARY,
            "SAUTI_APP_URL": "https://app.example",
            "SAUTI_DB_URL": self.postgres.url(user=SUPERUSER),
            "SAUTI_SMTP_URL": f"smtp://127.0.0.1:{self.mail.server.port}",
            "SAUTI_MAIL_FROM": "no-reply@example.org",
            "SAUTI_TOKEN_KEYS": self.keys,
            "SAUTI_GOOGLE_CLIENT_ID": "client",
            "SAUTI_GOOGLE_CLIENT_SECRET": "client-secret",
            "SAUTI_GOOGLE_OAUTH_URL": self.google.url,
            "SAUTI_GOOGLE_API_URL": self.google.url,
            "SAUTI_PROVIDER_RATES": "google=0",
            "SAUTI_POLL_SECONDS": "0.5",
            "SAUTI_LEASE_SECONDS": str(LEASE_SECONDS),
            "SAUTI_JOB_SECONDS": "8",
            "SAUTI_WORKER_ID": f"worker-{len(self.workers)}",
        }
        self.workers.append(WorkerProcess(environment, self.folder / f"worker-{len(self.workers)}.log"))

    def _living(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.process.poll() is None]

    async def _kill_workers(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.5, 2.0))
            victim = self.chance.choice(self._living())
            victim.kill()
            died = time.monotonic()
            self.kills["worker"] += 1
            self._start_worker()
            name = f"worker-{self.workers.index(victim)}"
            await self._rescued(name, died)
            # Otherwise all would be dead before one is up.
            await until(lambda: self.workers[-1].lines("worker_started"), 30)

    async def _rescued(self, name: str, died: float) -> None:
        """How long the dead worker's jobs are held by nobody else."""
        query = "select 1 from private.outbox_jobs where state = 'running' and worker_id = %s"
        while True:
            with suppress(psycopg.Error):
                if not await asyncio.to_thread(self.sql, query, name):
                    self.rescues.append(time.monotonic() - died)
                    return
            await asyncio.sleep(0.05)

    async def _kill_postgres(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(3.0, 8.0))
            pid = self.postgres.pid
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                self.kills["postgres"] += 1
            await self._ensure_postgres()

    async def _ensure_postgres(self) -> None:
        """A server on the same data and port, whatever state the last one was left in."""
        deadline = time.monotonic() + 30
        while True:
            with suppress(psycopg.Error):
                await asyncio.to_thread(self.sql, "select 1")
                return
            assert time.monotonic() < deadline, "PostgreSQL comes back"
            old, self.postgres = self.postgres, Postgres(self.folder / "postgres", self.postgres.port, throwaway=True)
            with suppress(Exception):
                await old.stop()
            with suppress(Exception):
                await self.postgres.start()

    # What is left

    def _is_quiet(self) -> bool:
        with suppress(psycopg.Error):
            return not self.sql(
                "select 1 from private.outbox_jobs"
                " where state in ('pending', 'running') and kind in ('mail', 'calendar_event') limit 1"
            )
        return False

    def _report(self, seconds: float) -> dict[str, Any]:
        wrong: list[str] = []
        for person in self.people:
            wanted = Counter(
                row["appointment_date"]
                for row in self.sql(
                    "select appointment_date from public.appointments"
                    " where professional_id = %s and status in ('requested', 'confirmed')",
                    person,
                )
            )
            there = Counter(datetime.fromisoformat(event["start"]["dateTime"]) for event in self.google.live(person))
            if wanted != there:
                wrong.append(f"{len(wanted - there)} missing or stale, {len(there - wanted)} too many")
        jobs = self.sql("select * from private.outbox_jobs where kind in ('mail', 'calendar_event')")
        sent = {
            str(row["notification_id"])
            for row in jobs
            if row["kind"] == "mail" and row["result"] == {"outcome": "sent"}
        }
        ids = self.mail.message_ids()
        left = "".join(worker.log() for worker in self.workers)
        left += json.dumps(self.sql("select * from private.outbox_jobs"), default=str)
        secrets = [CANARY, self.keys.partition(":")[2], *self.google.access, *self.google.refresh]
        return {
            "changes": self.changes,
            "seconds": round(seconds, 1),
            "kills": dict(self.kills),
            "google_requests": len(self.google.asked),
            "google_faults": sum(self.google.failures.values()),
            "events": sum(len(self.google.live(person)) for person in self.people),
            "calendar_jobs": Counter(row["state"] for row in jobs if row["kind"] == "calendar_event"),
            "wrong_calendars": wrong,
            "dead_jobs": Counter(row["last_error"] for row in jobs if row["state"] == "dead"),
            "unsettled_jobs": [
                f"{row['kind']} {row['state']} {row['attempts']} {row['last_error']} {row['run_at']}"
                for row in jobs
                if row["state"] not in ("done", "dead")
            ],
            "mails_sent": len(sent),
            "mails_lost": len(sent - set(ids)),
            "mails_doubled": len(ids) - len(set(ids)),
            "longest_rescue": round(max(self.rescues, default=0.0), 1),
            "leaks": [f"secret {number}" for number, secret in enumerate(secrets) if secret in left],
        }
