"""The secret feed: real calendar programs read it from creation to cancellation, and nobody else learns of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import psycopg
import pytest
from icalendar import Calendar

from sauti_local.stack import Addresses
from sauti_sync import ics
from tests.functions.booking import BookingPage, open_page
from tests.functions.callers import assert_refused
from tests.functions.deno import deno_with_packages
from tests.support.users import User

PARSER = Path(__file__).with_name("parse_calendars.ts")
LINK = "http://127.0.0.1:3000"


def in_javascript(*documents: str) -> list[dict[str, Any]]:
    """What ical.js reads."""
    seen: list[dict[str, Any]] = json.loads(deno_with_packages(PARSER, json.dumps(documents)))
    return seen


def in_python(document: str) -> list[dict[str, Any]]:
    """What icalendar reads; the same facts."""
    calendar = Calendar.from_ical(document)
    return [
        {
            "uid": str(event["uid"]),
            "sequence": int(event["sequence"]),
            "summary": str(event["summary"]),
            "starts_at": event.decoded("dtstart"),
            "ends_at": event.decoded("dtend"),
            "status": str(event["status"]),
        }
        for event in calendar.walk("VEVENT")
    ]


@dataclass
class Subscription:
    """A professional's feed, and a booking that changes."""

    http: httpx.AsyncClient
    page: BookingPage
    url: str = ""

    async def rotate(self) -> None:
        answer = await self.rpc("rotate_calendar_feed", self.page.professional)
        self.url = answer.json()

    async def rpc(self, function: str, user: User | None, **parameters: Any) -> httpx.Response:
        url = f"{self.page.addresses.api_url}/rest/v1/rpc/{function}"
        response = await self.http.post(url, json=parameters, headers=user.headers if user else {})
        assert response.is_success, response.text
        return response

    async def read(self) -> str:
        """As a calendar program does it: with the address and nothing else."""
        async with httpx.AsyncClient(timeout=30, trust_env=False) as program:
            response = await program.get(self.url)
        assert response.status_code == 200, response.text
        return response.text


@pytest.fixture
async def subscription(http: httpx.AsyncClient, addresses: Addresses) -> Subscription:
    with psycopg.connect(addresses.db_url) as connection:
        connection.execute("delete from private.booking_counters")
    subscription = Subscription(http, open_page(addresses))
    await subscription.rotate()
    return subscription


async def test_two_parsers_follow_an_appointment_from_request_to_cancellation(subscription: Subscription) -> None:
    page = subscription.page
    booked = (await page.book(subscription.http, page.order())).json()
    appointment_id, token = booked["appointment_id"], booked["manage_token"]
    documents = [await subscription.read()]
    await subscription.rpc("confirm_appointment", page.professional, appointment_id=appointment_id)
    documents.append(await subscription.read())
    moved_to = page.monday + timedelta(hours=3)
    await subscription.rpc("reschedule_booking", None, token=token, starts_at=moved_to.isoformat())
    documents.append(await subscription.read())
    await subscription.rpc("cancel_booking", None, token=token)
    documents.append(await subscription.read())

    starts = [page.monday, page.monday, moved_to, moved_to]
    states = ["TENTATIVE", "CONFIRMED", "TENTATIVE", "CANCELLED"]
    sequences: list[int] = []
    for document, seen, starts_at, status in zip(documents, in_javascript(*documents), starts, states, strict=True):
        (event,) = in_python(document)
        assert event["uid"] == f"{appointment_id}@sauti"
        assert (event["starts_at"], event["ends_at"]) == (starts_at, starts_at + timedelta(hours=1))
        assert (event["status"], event["summary"]) == (status, "Appointment")
        assert seen["method"] == "PUBLISH"
        assert seen["refresh"] == "PT1H"
        (other,) = seen["events"]
        for name in ("uid", "sequence", "summary", "status"):
            assert other[name] == event[name]
        assert datetime.fromisoformat(other["starts_at"]) == starts_at
        sequences.append(event["sequence"])
    assert sequences == sorted(set(sequences))


async def test_the_feed_says_nothing_but_time_state_and_link(subscription: Subscription) -> None:
    page = subscription.page
    client = {"client_name": "Zawadi Mwangi", "client_email": "zawadi@example.org", "message": "counseling"}
    await page.book(subscription.http, page.order(client=client))
    page.rows(
        "update public.appointments set meeting_url = 'https://meet.example/crisis', location = 'Shelter'"
        " where professional_id = %s returning 1",
        page.professional.id,
    )
    document = await subscription.read()
    for word in ("Zawadi", "example.org", "counseling", "consultation", "crisis", "Shelter", page.slug):
        assert word not in document
    (seen,) = in_javascript(document)
    (event,) = seen["events"]
    assert event["description"] == LINK
    assert set(event["properties"]) == {
        "uid", "sequence", "dtstamp", "created", "last-modified", "dtstart", "dtend", "status", "class", "transp",
        "summary", "description", "url",
    }  # fmt: skip


async def test_the_feed_is_not_kept_and_not_found_by_others(subscription: Subscription) -> None:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as program:
        for method in ("GET", "HEAD"):
            response = await program.request(method, subscription.url)
            assert response.status_code == 200
            assert response.headers["content-type"] == "text/calendar; charset=utf-8"
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["referrer-policy"] == "no-referrer"
            assert response.headers["x-robots-tag"] == "noindex"
        response = await program.post(subscription.url)
        assert_refused(response, 405, "method_not_allowed")


async def test_a_new_address_kills_the_old_one_and_all_wrong_ones_are_one_answer(subscription: Subscription) -> None:
    old = subscription.url
    assert re.fullmatch(r".+/functions/v1/calendar-feed/[\w-]{43}\.ics", old)
    await subscription.rotate()
    assert await subscription.read()
    base = old.rsplit("/", 1)[0]
    answers = []
    async with httpx.AsyncClient(timeout=30, trust_env=False) as program:
        for name in (
            old.rsplit("/", 1)[1], "A" * 43 + ".ics", "x.ics", ".ics", "%00.ics", "a%2fb.ics", "a" * 5000 + ".ics",
            subscription.url[-47:-4],
        ):  # fmt: skip
            response = await program.get(f"{base}/{name}")
            assert response.status_code == 404, (name, response.text)
            assert_refused(response, 404, "not_found")
            answers.append(response.json())
    assert all(answer == answers[0] for answer in answers)


async def test_radicale_keeps_every_entry_of_a_feed(subscription: Subscription, addresses: Addresses) -> None:
    page = subscription.page
    for hours in (0, 2, 4):
        assert (await page.book(subscription.http, page.order(hours))).status_code == 200
    document = await subscription.read()
    collection = f"{addresses.caldav_url}/{page.professional.id}/feed/"
    auth = (page.professional.id, "sauti")
    async with httpx.AsyncClient(timeout=30, trust_env=False, auth=auth) as program:
        for event in Calendar.from_ical(document).walk("VEVENT"):
            stored = _stored_as(event)
            url = f"{collection}{event['uid']}.ics"
            put = await program.put(
                url, content=stored, headers={"content-type": "text/calendar", "if-none-match": "*"}
            )
            assert put.status_code == 201, put.text
            kept = await program.get(url)
            assert in_python(kept.text) == in_python(stored.decode())
    assert len(in_python(document)) == 3


def _stored_as(event: Any) -> bytes:
    """A calendar object for one entry, as a calendar program stores it: without a method (RFC 4791)."""
    calendar = Calendar()
    calendar.add("prodid", "-//A calendar program//EN")
    calendar.add("version", "2.0")
    calendar.add_component(event)
    return bytes(calendar.to_ical())


async def test_two_parsers_read_every_invitation_and_the_link_to_one(
    subscription: Subscription, addresses: Addresses
) -> None:
    page = subscription.page
    booked = (await page.book(subscription.http, page.order())).json()
    looked = (await subscription.rpc("booking_by_token", None, token=booked["manage_token"])).json()
    linked = unquote(looked["calendar_links"]["ics"].split(",", 1)[1])
    entry = ics.Entry(
        uid=f"{booked['appointment_id']}@sauti",
        starts_at=page.monday,
        ends_at=page.monday + timedelta(hours=1),
        sequence=0,
        status="requested",
        revised_at=datetime.now(UTC),
        created_at=datetime.now(UTC),
        case_code="LUMO-KITA-42",
    )
    words = ics.Wording(title="Appointment", case="Case", link=LINK)
    mailed = [
        ics.render(entry, words, method=method, organizer="no-reply@example.org").decode() for method in ics.Method
    ]
    fed = await subscription.read()
    for document in (linked, *mailed, fed):
        (event,) = in_python(document)
        assert (event["uid"], event["sequence"]) == (entry.uid, 0)
        assert (event["starts_at"], event["ends_at"]) == (entry.starts_at, entry.ends_at)
        assert max(len(line.encode()) for line in document.split("\r\n")) <= 75
    for seen in in_javascript(linked, *mailed, fed):
        (event,) = seen["events"]
        assert (event["uid"], event["summary"]) == (entry.uid, "Appointment")
