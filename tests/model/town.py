"""A running stack with its worker, and people on it whose every personal field holds a canary."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
from psycopg import sql
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from sauti_local.calendar import PASSWORD
from sauti_local.stack import Addresses, Stack
from tests.model.canaries import Aviary, Place
from tests.support.api import Caller
from tests.support.users import sign_up

_OVER = "it is over"
#: Tables with published changes, which everybody listens to.
_LIVE = ("matched_services", "appointments", "notifications", "messages")


class Recorded(Caller):
    """A caller of whose answers every byte is kept."""

    texts: list[str]

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Any request."""
        answer = super().send(method, path, **request)
        self.__dict__.setdefault("texts", []).append(f"{answer.headers} {answer.text}")
        return answer


class Listener:
    """Somebody's app: the own topic and every published table, each frame kept."""

    def __init__(self, addresses: Addresses, user_id: str, token: str) -> None:
        url = addresses.api_url.replace("http", "ws", 1)
        address = f"{url}/realtime/v1/websocket?apikey={addresses.anon_key}&vsn=1.0.0"
        self._socket: ClientConnection = connect(address, proxy=None)
        self.frames: list[str] = []
        changes = [{"event": "*", "schema": "public", "table": table} for table in _LIVE]
        for number, (topic, private, wanted) in enumerate(
            [(f"user:{user_id}", True, []), (f"rows of {user_id}", False, changes)]
        ):
            config = {"broadcast": {"self": False}, "private": private, "postgres_changes": wanted}
            frame = {
                "topic": f"realtime:{topic}",
                "event": "phx_join",
                "payload": {"config": config, "access_token": token},
                "ref": str(number),
                "join_ref": str(number),
            }
            self._socket.send(json.dumps(frame))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for frame in self._socket:
                self.frames.append(frame if isinstance(frame, str) else frame.decode(errors="replace"))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
        self._thread.join(5)


@dataclass
class Citizen:
    """An actor of the run."""

    name: str
    caller: Recorded
    listener: Listener | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)

    @property
    def answer(self) -> Place:
        """Where their answers are."""
        return ("answer", self.name)

    @property
    def frame(self) -> Place:
        """Where what they hear is."""
        return ("frame", self.name)


class Town:
    """Everything of one run."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack = stack
        self.addresses = stack.addresses
        self.chance = random.Random(seed)
        self.aviary = Aviary()
        self.sql = psycopg.connect(self.addresses.db_url, autocommit=True)
        self.citizens: dict[str, Citizen] = {}
        keys = {"apikey": self.addresses.service_role_key, "Authorization": f"Bearer {self.addresses.service_role_key}"}
        self.service = Caller(self.addresses, keys)
        self.visitor = self._keep("visitor", Recorded(self.addresses, {"apikey": self.addresses.anon_key}))
        self.hours = 0

    # People

    def move_in(self, name: str, user_type: str, *, anonymous: bool = False) -> Citizen:
        """Somebody signs up and fills in a profile."""
        answer: Place = ("answer", name)
        everywhere_in_auth = [("table", f"auth.{table}") for table in ("users", "identities")]
        # The Auth server's own log names accounts by their address.
        log = ("table", "auth.audit_log_entries")
        email = self.aviary.address(f"{name}: account", answer, log, ("mail to", ""), *everywhere_in_auth)
        display = self.aviary.words(f"{name}: sign-up name", answer, ("table", "public.profiles"), *everywhere_in_auth)
        user = sign_up(
            self.addresses, user_type, email=None if anonymous else email, display_name=display, anonymous=anonymous
        )
        citizen = self._keep(name, Recorded(self.addresses, user.headers, user))
        citizen.listener = Listener(self.addresses, user.id, user.access_token)
        in_profile = (answer, ("table", "public.profiles"))
        profile = {
            "phone": self.aviary.phone(f"{name}: phone", *in_profile),
            "display_name": self.aviary.words(f"{name}: name", *in_profile),
        }
        self._change(citizen, "profiles", profile)
        return citizen

    def open_practice(self, citizen: Citizen, *kinds: str) -> None:
        """A verified professional with services, hours off, a calendar and a public page."""
        own = citizen.answer
        self._change(citizen, "professionals", {"is_public_booking": True})
        decided = {"verification_status": "verified"}
        self.service.send("PATCH", "/professionals", params={"id": f"eq.{citizen.caller.id}"}, json=decided)
        for kind in kinds:
            known = [("answer", name) for name in self.citizens if name.startswith(("survivor", "admin"))]
            row = {
                "name": "Help",
                "service_type": kind,
                "is_remote": True,
                "description": self.aviary.words("service", own, ("table", "public.support_services"), *known),
            }
            citizen.caller.write("support_services", row)
        self.service.send(
            "PATCH", "/support_services", params={"professional_id": f"eq.{citizen.caller.id}"}, json=decided
        )
        day = datetime.now(UTC).date() + timedelta(days=400)
        reason = self.aviary.words("absence", own, ("table", "public.availability_exceptions"))
        citizen.caller.write(
            "availability_exceptions",
            {"during": f"[{day},{day + timedelta(days=1)})", "kind": "blocked", "reason": reason},
        )

    def connect_calendar(self, citizen: Citizen) -> None:
        """A CalDAV calendar, through the Edge Function."""
        tables = [("table", f"public.{table}") for table in ("calendar_connections", "calendar_events")]
        login = self.aviary.words(f"{citizen.name}: calendar", citizen.answer, *tables)
        order = {"url": f"{self.addresses.caldav_url}/{login}/work/", "username": login, "password": PASSWORD}
        answer = httpx.post(
            f"{self.addresses.api_url}/functions/v1/api/calendar/caldav",
            json=order,
            headers=citizen.caller.user.headers if citizen.caller.user else {},
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        citizen.caller.texts.append(answer.text)

    def report(self, citizen: Citizen) -> None:
        """A report with a canary in every field that can hold one."""
        here = (citizen.answer, ("table", "public.reports"))
        aviary, name = self.aviary, citizen.name
        row = {
            "incident_type": "domestic_violence",
            "urgency": self.chance.choice(["low", "medium", "high"]),
            "required_services": self.chance.choice([["counseling"], ["legal_aid"], ["counseling", "legal_aid"]]),
            "incident_description": aviary.words(f"{name}: story", *here),
            "incident_date": aviary.day(f"{name}: date", *here),
            "survivor_name": aviary.words(f"{name}: name in report", *here),
            "contact_email": aviary.address(f"{name}: contact", *here, ("mail to", "")),
            "contact_phone": aviary.phone(f"{name}: contact phone", *here),
            "contact_preference": self.chance.choice(["email", "in_app", "phone_call"]),
            "emergency_contact": aviary.words(f"{name}: emergency", *here),
            "preferred_language": aviary.words(f"{name}: language", *here),
            "special_needs": [aviary.words(f"{name}: need", *here)],
            "consent_location": True,
            "latitude": aviary.degrees(f"{name}: latitude", *here),
            "longitude": aviary.degrees(f"{name}: longitude", *here),
            "consent_to_share": self.chance.random() < 0.8,
        }
        citizen.reports.append(citizen.caller.write("reports", row))

    def correct(self, citizen: Citizen) -> None:
        """Other canaries in an own report."""
        if not citizen.reports:
            return
        report = self.chance.choice(citizen.reports)
        here = (citizen.answer, ("table", "public.reports"))
        change = {"incident_description": self.aviary.words(f"{citizen.name}: corrected story", *here)}
        answer = self._patch(citizen, "reports", {"report_id": f"eq.{report['report_id']}"}, change)
        if answer.status_code == 200:
            report |= change

    def report_of(self, report_id: str) -> tuple[Citizen, dict[str, Any]]:
        """Whose it is, and the report."""
        return next(
            (citizen, report)
            for citizen in self.citizens.values()
            for report in citizen.reports
            if report["report_id"] == report_id
        )

    # Time and the outside world

    def pass_hours(self, hours: int) -> None:
        """Move the database's clock; the worker takes the steps that are due."""
        self.hours += hours
        self.sql.execute('update private.clock_offset set "offset" = %s', (timedelta(hours=self.hours),))

    def due_jobs(self) -> int:
        """What the worker has still to do now."""
        row = self.sql.execute(
            "select count(*) from private.outbox_jobs"
            " where state in ('pending', 'running') and run_at <= private.clock()"
        ).fetchone()
        return int(row[0]) if row else 0

    def say_that_it_is_over(self) -> None:
        """A last event for everybody: what was said before has come before."""
        for citizen in self.citizens.values():
            if citizen.listener:
                topic = f"user:{citizen.caller.id}"
                self.sql.execute("select realtime.send('{}', %s, %s, true)", (_OVER, topic))

    def all_have_heard(self) -> bool:
        """Whether the last event has come."""
        listeners = [citizen.listener for citizen in self.citizens.values() if citizen.listener]
        return all(any(_OVER in frame for frame in listener.frames) for listener in listeners)

    def seen(self) -> dict[Place, str]:
        """Every place in which a canary could be, as text."""
        places: dict[Place, str] = {}
        relations = [name for (name,) in self.sql.execute(_READABLE).fetchall()]
        for citizen in self.citizens.values():
            for relation in relations:
                citizen.caller.get(relation)
            places[citizen.answer] = "\n".join(citizen.caller.texts)
            if citizen.listener:
                places[citizen.frame] = "\n".join(citizen.listener.frames)
        for (table,) in self.sql.execute(_TABLES).fetchall():
            name = sql.SQL(".").join(map(sql.Identifier, table.split(".")))
            rows = self.sql.execute(sql.SQL("select coalesce(json_agg(t), '[]')::text from {} as t").format(name))
            places["table", table] = str((rows.fetchone() or ("",))[0])
        mails = httpx.get(f"{self.addresses.mail_url}/messages.json", trust_env=False).json()
        places["mail to", ""] = json.dumps([mail["to"] for mail in mails])
        for mail in mails:
            del mail["to"]
            mail["headers"] = [header for header in mail["headers"] if header[0].lower() != "to"]
        places["mail", ""] = json.dumps(mails)
        calendars = self.addresses.logs.parent / "calendars"
        entries = [path.read_text() for path in calendars.rglob("*.ics") if ".Radicale.cache" not in path.parts]
        places["calendar", ""] = "\n".join(entries)
        for path in self.addresses.logs.iterdir():
            # What the calendar's host writes into its own log is not ours.
            if path.name != "radicale.log":
                places["log", path.name] = path.read_text(errors="replace")
        return places

    def close(self) -> None:
        """Hang up everywhere."""
        for citizen in self.citizens.values():
            citizen.caller.close()
            if citizen.listener:
                citizen.listener.close()
        self.service.close()
        self.sql.close()

    def _keep(self, name: str, caller: Recorded) -> Citizen:
        self.citizens[name] = Citizen(name, caller)
        return self.citizens[name]

    def _change(self, citizen: Citizen, relation: str, change: dict[str, Any]) -> None:
        answer = self._patch(citizen, relation, {"id": f"eq.{citizen.caller.id}"}, change)
        assert answer.status_code == 200, answer.text

    def _patch(self, citizen: Citizen, relation: str, which: dict[str, str], change: dict[str, Any]) -> httpx.Response:
        preference = {"Prefer": "return=representation"}
        return citizen.caller.send("PATCH", f"/{relation}", params=which, json=change, headers=preference)


_READABLE = (
    "select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace"
    " and c.relkind in ('r', 'p', 'v', 'm') order by 1"
)
_TABLES = (
    "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where c.relkind in ('r', 'm') and n.nspname in ('public', 'private', 'auth', 'realtime', 'storage')"
    " and not c.relispartition or (c.relkind = 'p' and n.nspname = 'realtime') order by 1"
)


@contextlib.contextmanager
def town_on(stack: Stack, seed: int) -> Iterator[Town]:
    """A town for one run."""
    town = Town(stack, seed)
    try:
        yield town
    finally:
        town.close()
