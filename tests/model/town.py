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
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from sauti_local.calendar import PASSWORD
from sauti_local.stack import Addresses, Stack
from tests.model.canaries import Aviary, Place
from tests.support.api import Caller
from tests.support.users import sign_up

_OVER = "it is over"
#: Zones that nobody lives in but one person of a run.
_ZONES = ("Pacific/Chatham", "Antarctica/Troll", "Australia/Eucla", "Asia/Kathmandu", "America/St_Johns")
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
    #: Kind of help → the service.
    services: dict[str, str] = field(default_factory=dict)
    #: The calendar's folder, when one is connected.
    calendar_user: str = ""
    time_zone: str = ""
    #: The secret address of the subscription.
    feed: str = ""

    def hang_up(self) -> None:
        """Close the connections."""
        self.caller.close()
        if self.listener:
            self.listener.close()

    @property
    def answer(self) -> Place:
        """Where their answers are."""
        return ("answer", self.name)

    @property
    def frame(self) -> Place:
        """Where what they hear is."""
        return ("frame", self.name)

    @property
    def mail(self) -> Place:
        """Where mails to them are."""
        return ("mail", self.name)

    @property
    def calendar(self) -> Place:
        """Where their connected calendar is."""
        return ("calendar", self.name)

    @property
    def ics(self) -> Place:
        """Where their subscription is."""
        return ("ics", self.name)


class Town:
    """Everything of one run."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack = stack
        self.addresses = stack.addresses
        self.chance = random.Random(seed)
        self.aviary = Aviary()
        self._zones = iter(_ZONES)
        self.sql = psycopg.connect(self.addresses.db_url, autocommit=True)
        self.citizens: dict[str, Citizen] = {}
        keys = {"apikey": self.addresses.service_role_key, "Authorization": f"Bearer {self.addresses.service_role_key}"}
        self.service = Caller(self.addresses, keys)
        self.visitor = self._keep("visitor", Recorded(self.addresses, {"apikey": self.addresses.anon_key}))
        self.hours = 0

    # People

    def move_in(self, name: str, user_type: str, *, anonymous: bool = False) -> Citizen:
        """Somebody signs up and fills in a profile."""
        aviary, answer, of = self.aviary, ("answer", name), [name]
        everywhere_in_auth = [("table", f"auth.{table}") for table in ("users", "identities")]
        # The Auth server's own log names accounts by their address.
        log = ("table", "auth.audit_log_entries")
        email = aviary.address("account", answer, log, ("mail to", ""), *everywhere_in_auth, of=of)
        display = aviary.words("sign-up name", answer, ("table", "public.profiles"), *everywhere_in_auth, of=of)
        user = sign_up(
            self.addresses, user_type, email=None if anonymous else email, display_name=display, anonymous=anonymous
        )
        citizen = self._keep(name, Recorded(self.addresses, user.headers, user))
        citizen.listener = Listener(self.addresses, user.id, user.access_token)
        in_profile = (answer, ("table", "public.profiles"))
        profile = {
            "phone": aviary.phone("phone", *in_profile, of=of),
            "display_name": aviary.words("name", *in_profile, of=of),
            "locale": aviary.locale("locale", *in_profile, of=of),
        }
        if user_type == "survivor":
            citizen.time_zone = aviary.keep(next(self._zones), "zone", *in_profile, citizen.mail, of=of)
            profile["time_zone"] = citizen.time_zone
        self.change(citizen, "profiles", profile)
        citizen.feed = citizen.caller.call("rotate_calendar_feed")
        aviary.keep(citizen.feed.rpartition("/")[2].removesuffix(".ics"), "token of the feed", answer, of=of)
        return citizen

    def open_practice(self, citizen: Citizen, admin: Citizen, *kinds: str) -> None:
        """A verified professional with services, papers, hours off and a public page."""
        aviary, own, of = self.aviary, citizen.answer, [citizen.name]
        # What a page shows to everybody.
        public = (("answer", "*"), ("table", "public.professionals"))
        card = {
            "is_public_booking": True,
            "booking_slug": aviary.words("slug", *public, of=of),
            "professional_title": aviary.words("title", *public, ("table", "public.hand_overs"), of=of),
            "bio": aviary.words("bio", *public, of=of),
            "avatar_url": aviary.link("picture", *public, of=of),
            "languages": [aviary.words("language", *public, ("table", "private.matching_lanes"), of=of)],
        }
        self.change(citizen, "professionals", card)
        known = [own, *(("answer", name) for name in self.citizens if name.startswith(("survivor", "admin")))]
        for kind in kinds:
            places = (("table", "public.support_services"), *known)
            lanes = ("table", "private.matching_lanes")
            row = {
                "name": aviary.words("service", *places, of=of),
                "service_type": kind,
                "is_remote": True,
                "description": aviary.words("description of a service", *places, of=of),
                "languages": [aviary.words("language of a service", *places, lanes, of=of)],
                "latitude": aviary.degrees("latitude of a service", *places, of=of),
                "longitude": aviary.degrees("longitude of a service", *places, of=of),
            }
            citizen.services[kind] = citizen.caller.write("support_services", row)["id"]
        papers = (own, admin.answer, ("table", "public.verification_documents"))
        paper = {
            "kind": "licence",
            "file_name": aviary.words("file", *papers, of=of),
            "media_type": "application/" + aviary.words("kind of file", *papers, of=of),
            "size_bytes": 1,
            "sha256": aviary.digest("digest of a file", *papers, of=of),
        }
        citizen.caller.write("verification_documents", paper)
        decided = (own, admin.answer, ("table", "public.verification_decisions"), ("table", "private.audit_log"))
        for function, key in [("verify_professional", "professional_id"), ("verify_service", "service_id")]:
            for one in [citizen.caller.id] if key == "professional_id" else citizen.services.values():
                note = aviary.words("note of a decision", *decided, of=of)
                admin.caller.call(function, **{key: one, "status": "verified", "note": note})
        day = datetime.now(UTC).date() + timedelta(days=400)
        exceptions = ("table", "public.availability_exceptions")
        absence = {
            "during": f"[{day},{day + timedelta(days=1)})",
            "kind": "blocked",
            "reason": aviary.words("absence", own, exceptions, of=of),
        }
        citizen.caller.write("availability_exceptions", absence)

    def offer_type(self, citizen: Citizen) -> str:
        """A type of appointment on the public page; gives back its name."""
        places = [("answer", "*"), ("frame", "*"), ("table", "public.appointment_types"), _APPOINTMENTS]
        name = self.aviary.words("type of appointment", *places, of=[citizen.name])
        citizen.caller.write("appointment_types", {"name": name, "duration_minutes": 60})
        return name

    def connect_calendar(self, citizen: Citizen, *, full: bool = False) -> None:
        """A CalDAV calendar, through the Edge Function, with an event of the owner's that nobody else may know."""
        tables = [("table", f"public.{table}") for table in ("calendar_connections", "calendar_events")]
        login = self.aviary.words("calendar", citizen.answer, *tables, of=[citizen.name])
        citizen.calendar_user = login
        url = f"{self.addresses.caldav_url}/{login}/sessions/"
        title = self.aviary.words("private event", citizen.calendar)
        start = datetime.now(UTC) + timedelta(days=3)
        event = (
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//x//EN\r\nBEGIN:VEVENT\r\nUID:mine@elsewhere\r\n"
            f"DTSTAMP:20260101T000000Z\r\nDTSTART:{start:%Y%m%dT%H%M%SZ}\r\nDURATION:PT1H\r\nSUMMARY:{title}\r\n"
            "END:VEVENT\r\nEND:VCALENDAR\r\n"
        )
        with httpx.Client(auth=(login, PASSWORD), trust_env=False, timeout=30) as owner:
            headers = {"Content-Type": "text/calendar"}
            owner.put(f"{url}mine.ics", content=event, headers=headers).raise_for_status()
        answer = self.post(citizen, "api/calendar/caldav", {"url": url, "username": login, "password": PASSWORD})
        if full:
            self._patch(citizen, "calendar_connections", {"id": f"eq.{answer['id']}"}, {"detail_level": "full"})

    def connect_cal_com(self, citizen: Citizen) -> tuple[str, str]:
        """An account there; gives back where it delivers to, and the secret."""
        link = self.aviary.link(
            "page at Cal.com", citizen.answer, ("table", "public.cal_com_connections"), of=[citizen.name]
        )
        secret = self.aviary.words("secret of a webhook", of=[citizen.name])
        answer = self.post(citizen, "api/calendar/cal-com", {"booking_link": link, "webhook_secret": secret})
        return str(answer["webhook_url"]), secret

    def report(self, citizen: Citizen) -> None:
        """A report with a canary in every field that can hold one."""
        here, of = (citizen.answer, ("table", "public.reports")), [citizen.name]
        aviary = self.aviary
        row = {
            "incident_type": "domestic_violence",
            "urgency": self.chance.choice(["low", "medium", "high"]),
            "required_services": self.chance.choice([["counseling"], ["legal_aid"], ["counseling", "legal_aid"]]),
            "incident_description": aviary.words("story", *here, of=of),
            "incident_date": aviary.day("date", *here, of=of),
            "survivor_name": aviary.words("name in a report", *here, of=of),
            "contact_email": aviary.address("contact", *here, ("mail to", ""), of=of),
            "contact_phone": aviary.phone("contact phone", *here, ("sms to", ""), of=of),
            "contact_preference": self.chance.choice(["email", "sms", "in_app", "phone_call"]),
            "safe_contact_from": aviary.time("00:00", "safe from", *here, of=of),
            "safe_contact_until": aviary.time("23:59", "safe until", *here, of=of),
            "emergency_contact": aviary.words("emergency", *here, of=of),
            "preferred_language": aviary.words("language of a report", *here, of=of),
            "special_needs": [aviary.words("need", *here, of=of)],
            "consent_location": True,
            "latitude": aviary.degrees("latitude", *here, of=of),
            "longitude": aviary.degrees("longitude", *here, of=of),
            "consent_to_share": self.chance.random() < 0.8,
        }
        report = citizen.caller.write("reports", row)
        neutral = (citizen.mail, citizen.calendar, citizen.ics)
        aviary.keep(report["case_code"], "case code", *here, *neutral, of=of)
        citizen.reports.append(report)

    def correct(self, citizen: Citizen) -> None:
        """Other canaries in an own report."""
        if not citizen.reports:
            return
        report = self.chance.choice(citizen.reports)
        here = (citizen.answer, ("table", "public.reports"))
        change = {"incident_description": self.aviary.words("corrected story", *here, of=[citizen.name])}
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

    def move_out(self, citizen: Citizen) -> None:
        """Somebody is not asked any more."""
        del self.citizens[citizen.name]
        citizen.hang_up()

    def reader_at(self, address: str) -> str:
        """Who reads mail at an address that was planted: a citizen, or the visitor who gave it with a booking."""
        (canary,) = [canary for canary in self.aviary.canaries if canary.text == address]
        return "visitor" if canary.what == "client's address" else min(canary.people)

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

    def close(self) -> None:
        """Hang up everywhere."""
        for citizen in self.citizens.values():
            citizen.hang_up()
        self.service.close()
        self.sql.close()

    def _keep(self, name: str, caller: Recorded) -> Citizen:
        self.citizens[name] = Citizen(name, caller)
        return self.citizens[name]

    def post(self, citizen: Citizen, path: str, order: dict[str, Any]) -> dict[str, Any]:
        """A request to an Edge Function, which must succeed."""
        answer = httpx.post(
            f"{self.addresses.api_url}/functions/v1/{path}",
            json=order,
            headers=citizen.caller.user.headers if citizen.caller.user else {},
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        citizen.caller.texts.append(answer.text)
        return dict(answer.json())

    def change(self, citizen: Citizen, relation: str, change: dict[str, Any]) -> None:
        """Change the own row of a relation."""
        answer = self._patch(citizen, relation, {"id": f"eq.{citizen.caller.id}"}, change)
        assert answer.status_code == 200, answer.text

    def _patch(self, citizen: Citizen, relation: str, which: dict[str, str], change: dict[str, Any]) -> httpx.Response:
        preference = {"Prefer": "return=representation"}
        return citizen.caller.send("PATCH", f"/{relation}", params=which, json=change, headers=preference)


_APPOINTMENTS: Place = ("table", "public.appointments")


@contextlib.contextmanager
def town_on(stack: Stack, seed: int) -> Iterator[Town]:
    """A town for one run."""
    town = Town(stack, seed)
    try:
        yield town
    finally:
        town.close()
