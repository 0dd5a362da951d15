"""A run of appointment changes during which everything fails; what stands at the end is compared with the database.

Three workers (two over the Data API with Realtime, one on a connection of its own), Google, Microsoft and CalDAV
calendars and a mail server that fail in every way they know, SIGKILL for workers and for PostgreSQL itself, a Realtime
that closes channels and goes away, and owners who give their consent again when it was lost.
"""

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sauti_local.calendar import PASSWORD, calendar_url
from sauti_sync.credentials import TokenKeys
from tests.sync.chaos_project import Project
from tests.sync.chaos_providers import CANARY, Mood, MoodyCalDav, MoodyGoogle, MoodyMail, MoodyMicrosoft
from tests.sync.stage import WorkerProcess
from tests.sync.waiting import until

#: Which calendars each professional has.
PEOPLE = (
    ("google", "microsoft"), ("microsoft", "caldav"), ("caldav", "google"),
    ("google", "caldav"), ("microsoft", "google"), ("caldav", "microsoft"),
)  # fmt: skip
#: By which road each worker reaches the database.
ROADS = ("data api", "data api", "direct")
LEASE_SECONDS = 4
POLL_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 8
#: Everything here takes a part of its usual time.
DOUBT_SECONDS = 10
#: Longest pause between two changes.
PACE_SECONDS = 0.2
#: Share of requests that fail.
TROUBLE = 0.15
LOST = "select user_id::text as user, provider::text from public.calendar_connections where status <> 'active'"
PROVIDERS = ("google", "microsoft", "caldav", "mail")


@dataclass(frozen=True)
class Hand:
    """One worker."""

    name: str
    road: str
    process: WorkerProcess

    @property
    def lives(self) -> bool:
        return self.process.process.poll() is None


@dataclass(frozen=True)
class Kill:
    """A worker that was killed, and the leases that it held."""

    at: float
    leases: frozenset[tuple[int, str]]


@dataclass
class Chaos:
    """One run; `play` does it all. What is left to judge is in its attributes until `close`."""

    folder: Path
    changes: int
    seed: int = 1
    made: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    workers: list[Hand] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    postgres_kills: list[float] = field(default_factory=list)
    rescues: list[float] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    seconds: float = 0.0
    is_quiet: bool = False

    async def play(self) -> None:
        self.chance = random.Random(self.seed)
        rare = max(1, self.changes // 100)
        self.moods = {name: Mood(name, self.chance, TROUBLE, rare) for name in PROVIDERS}
        # A mail has six steps that can fail; and its client waits twice as long for an answer.
        self.moods["mail"] = Mood("mail", self.chance, TROUBLE / 3, self.changes // 200)
        self.project = Project(self.folder)
        self.google, self.microsoft = MoodyGoogle(self.moods["google"]), MoodyMicrosoft(self.moods["microsoft"])
        self.mail = MoodyMail(self.moods["mail"])
        await asyncio.gather(self.project.start(), self.google.start(), self.microsoft.start(), self.mail.start())
        self.caldav = MoodyCalDav(self.moods["caldav"], self.project.calendar.url)
        await self.caldav.start()
        self._populate()
        began = time.monotonic()
        await self._run()
        self.seconds = time.monotonic() - began

    async def close(self) -> None:
        """End all; safe after a start that failed."""
        for worker in self.workers:
            worker.process.kill()
        for part in (self.caldav, self.google, self.microsoft, self.mail, self.project):
            await part.stop()

    async def _run(self) -> None:
        for road in ROADS:
            self._start_worker(road)
        await until(
            lambda: all(worker.process.lines("doorbell_up") for worker in self.workers), 60, what="the workers are up"
        )
        plagues: tuple[Callable[[], Awaitable[None]], ...] = (
            self._kill_workers, self._kill_postgres, self._trouble_realtime, self._take_providers_down,
            self._consent_again,
        )  # fmt: skip
        tasks = [asyncio.create_task(_for_ever(plague)) for plague in plagues]
        self.rescuers: set[asyncio.Task[None]] = set()
        try:
            await asyncio.to_thread(self._change_everything)
        finally:
            for task in tasks[:-1]:
                task.cancel()
            await asyncio.gather(*tasks[:-1], return_exceptions=True)
        await self._calm_down()
        with suppress(AssertionError):
            await until(lambda: asyncio.to_thread(self._has_settled), 60 + self.changes / 4)
            self.is_quiet = True
        tasks[-1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*self.rescuers)
        for task in tasks:
            if not task.cancelled():
                task.result()
        for worker in self._living():
            await worker.process.stop()

    async def _calm_down(self) -> None:
        for mood in self.moods.values():
            mood.is_bad = False
        await self.project.revive_postgres()
        await self._bring_realtime_back()
        missing = Counter(ROADS) - Counter(worker.road for worker in self._living())
        for road in missing.elements():
            self._start_worker(road)

    # People and what they change

    def _populate(self) -> None:
        self.keys = TokenKeys.generate("chaos")
        self.project.sql("update private.calendar_settings set doubt_seconds = %s", DOUBT_SECONDS)
        for number, providers in enumerate(PEOPLE):
            user = str(uuid.uuid4())
            self.people.append(user)
            self.project.sql(
                "insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data) values"
                " (%s, 'authenticated', 'authenticated', %s, '{}', '{\"user_type\": \"professional\"}')",
                user,
                f"{CANARY}{number}@example.org",
            )
            for provider in providers:
                self._connect_calendar(user, provider)

    def _connect_calendar(self, user: str, provider: str) -> None:
        calendar, secret = "primary", {}
        if provider == "caldav":
            calendar = calendar_url(self.caldav.url, user, "sessions")
            secret = {"url": calendar, "username": user, "password": PASSWORD}
        else:
            secret = (self.google if provider == "google" else self.microsoft).issue(user)
        ciphertext = TokenKeys.parse(self.keys).encrypt(secret, user, provider)
        self.project.sql(
            "select public.store_calendar_connection(%s, %s, 'mine', %s, %s)", user, provider, calendar, ciphertext
        )

    async def _consent_again(self) -> None:
        """Owners of calendars that were lost to a 401 or 403 connect them again."""
        await asyncio.sleep(1.0)
        with suppress(psycopg.Error):
            query = (
                "select user_id::text as user, provider::text from public.calendar_connections where status <> 'active'"
            )
            for row in await asyncio.to_thread(self.project.sql, query):
                await asyncio.to_thread(self._connect_calendar, row["user"], row["provider"])
                self.events["consents given again"] += 1

    def _change_everything(self) -> None:
        """Each change in a transaction of its own; one that the server's death undoes is made again."""
        changer = Changer(self.project.db_url, self.people, self.chance)
        for number in range(self.changes):
            while True:
                with suppress(psycopg.Error):
                    self.made[changer.change()] += 1
                    break
                time.sleep(0.05)
            if number % 25 == 0:
                with suppress(psycopg.Error):
                    changer.sql("update private.calendar_pulls set next_at = private.clock()")
            if not changer.is_in_a_hurry:
                time.sleep(self.chance.uniform(0.0, PACE_SECONDS))
        changer.close()

    # Death

    def _start_worker(self, road: str) -> None:
        environment = {
            "SUPABASE_URL": self.project.api_url,
            "SUPABASE_SERVICE_ROLE_KEY": self.project.keys.service_role_key,
            "SAUTI_APP_URL": "https://app.example",
            "SAUTI_SMTP_URL": f"smtp://127.0.0.1:{self.mail.port}",
            "SAUTI_MAIL_FROM": "no-reply@example.org",
            "SAUTI_TOKEN_KEYS": self.keys,
            "SAUTI_ALLOW_PRIVATE_CALDAV": "1",
            "SAUTI_GOOGLE_CLIENT_ID": "client",
            "SAUTI_GOOGLE_CLIENT_SECRET": "client-secret",
            "SAUTI_GOOGLE_OAUTH_URL": self.google.url,
            "SAUTI_GOOGLE_API_URL": self.google.url,
            "SAUTI_MICROSOFT_CLIENT_ID": "client",
            "SAUTI_MICROSOFT_CLIENT_SECRET": "client-secret",
            "SAUTI_MICROSOFT_OAUTH_URL": self.microsoft.url,
            "SAUTI_MICROSOFT_API_URL": self.microsoft.url,
            "SAUTI_PROVIDER_RATES": "google=0,microsoft=0",
            "SAUTI_POLL_SECONDS": str(POLL_SECONDS),
            "SAUTI_LEASE_SECONDS": str(LEASE_SECONDS),
            "SAUTI_LONGEST_RETRY_SECONDS": str(LONGEST_RETRY_SECONDS),
            "SAUTI_WORKER_ID": f"{road}-{len(self.workers)}",
        }
        if road == "direct":
            environment |= {"SAUTI_DB_URL": self.project.db_url, "SUPABASE_URL": "http://127.0.0.1:9"}
        name = environment["SAUTI_WORKER_ID"]
        log = self.folder / f"worker-{len(self.workers)}.log"
        self.workers.append(Hand(name, road, WorkerProcess(environment, log)))

    def _living(self) -> list[Hand]:
        return [worker for worker in self.workers if worker.lives]

    async def _kill_workers(self) -> None:
        await asyncio.sleep(self.chance.uniform(0.5, 2.5))
        victim = self.chance.choice(self._living())
        victim.process.kill()
        died = time.monotonic()
        self.events["workers killed"] += 1
        self._start_worker(victim.road)
        rescuer = asyncio.create_task(self._watch_rescue(victim.name, died))
        self.rescuers.add(rescuer)
        # Otherwise all would be dead before one is up.
        replacement = self.workers[-1].process
        await until(lambda: replacement.lines("worker_started"), 60)

    async def _watch_rescue(self, name: str, died: float) -> None:
        """Which leases the dead worker held, and until when nobody else had them."""
        held: frozenset[tuple[int, str]] | None = None
        query = (
            "select id, lease_token::text as token from private.outbox_jobs where state = 'running' and worker_id = %s"
        )
        while True:
            with suppress(psycopg.Error):
                rows = await asyncio.to_thread(self.project.sql, query, name)
                leases = frozenset((row["id"], row["token"]) for row in rows)
                if held is None:
                    held = leases
                    self.kills.append(Kill(died, held))
                if not leases & held:
                    if held:
                        self.rescues.append(time.monotonic() - died)
                    return
            await asyncio.sleep(0.1)

    async def _kill_postgres(self) -> None:
        # The first one early, so that a short run has one too.
        await asyncio.sleep(self.chance.uniform(4.0, 12.0) if self.postgres_kills else 2.0)
        self.project.kill_postgres()
        self.postgres_kills.append(time.monotonic())
        self.events["PostgreSQL killed"] += 1
        await self.project.revive_postgres()

    async def _trouble_realtime(self) -> None:
        await asyncio.sleep(self.chance.uniform(2.0, 6.0))
        trouble = self.chance.choice(["phx_close", "token expired", "phx_error", "outage"])
        self.events[f"Realtime: {trouble}"] += 1
        if trouble == "outage":
            await self.project.realtime.stop()
            await asyncio.sleep(self.chance.uniform(0.5, 3.0))
            await self._bring_realtime_back()
        for channel in self.project.realtime.channels():
            if trouble == "phx_close":
                channel.close()
            elif trouble == "phx_error":
                channel.fail()
            elif trouble == "token expired":
                channel.shut_down("Token has expired 0 seconds ago")

    async def _bring_realtime_back(self) -> None:
        while not self.project.realtime.is_there:
            with suppress(Exception):
                await self.project.realtime.start()

    async def _take_providers_down(self) -> None:
        await asyncio.sleep(self.chance.uniform(5.0, 15.0))
        name = self.chance.choice(PROVIDERS)
        self.moods[name].go_down(self.chance.uniform(1.0, 4.0))
        self.events["provider outages"] += 1

    def _has_settled(self) -> bool:
        with suppress(psycopg.Error):
            return not self.project.sql(
                "select 1 from private.outbox_jobs"
                " where state in ('pending', 'running') and kind in ('mail', 'calendar_event')"
                " union all select 1 from public.calendar_connections where status <> 'active' limit 1"
            )
        return False


class Changer:
    """Makes, moves and cancels appointments, as fast as it is let; now and then several within milliseconds."""

    def __init__(self, url: str, people: list[str], chance: random.Random) -> None:
        self._url = url
        self._people = people
        self._chance = chance
        self._connection: psycopg.Connection[dict[str, Any]] | None = None
        self._alive: list[str] = []
        self._again: str | None = None
        self._slot = 0
        self._first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=3)

    @property
    def is_in_a_hurry(self) -> bool:
        """Whether the next change is to come at once, to the same appointment."""
        return self._again is not None

    def sql(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Raises psycopg.Error, and connects again at the next call."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._url,
                    autocommit=True,
                    row_factory=dict_row,
                    connect_timeout=5,
                    options="-c statement_timeout=20s",
                )
            cursor = self._connection.execute(query.encode(), arguments)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def change(self) -> str:
        """Make one change; what it was."""
        kind = "create"
        if self._again is not None:
            kind = self._chance.choice(["move", "move", "cancel"])
        elif len(self._alive) > 3:
            kind = self._chance.choice(["create", "create", "move", "move", "cancel"])
        subject, self._again = self._again, None
        self._slot += 1
        # Every moment is used once, so no two appointments of anybody overlap.
        moment = self._first + timedelta(minutes=30 * self._slot)
        if kind == "create":
            (row,) = self.sql(
                "insert into public.appointments (professional_id, appointment_date, duration_minutes, status,"
                " created_via) values (%s, %s, 30, 'confirmed', 'public_booking') returning appointment_id",
                self._chance.choice(self._people),
                moment,
            )
            subject = str(row["appointment_id"])
            self._alive.append(subject)
        else:
            subject = subject or self._chance.choice(self._alive)
            if kind == "move":
                self.sql(
                    "update public.appointments set appointment_date = %s where appointment_id = %s", moment, subject
                )
            else:
                self.sql("update public.appointments set status = 'cancelled' where appointment_id = %s", subject)
                self._alive.remove(subject)
        if kind != "cancel" and self._chance.random() < 0.3:
            self._again = subject
        return kind


async def _for_ever(plague: Callable[[], Awaitable[None]]) -> None:
    while True:
        await plague()
