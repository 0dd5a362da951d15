"""What we send to Google, held against Google's own description of its API (calendar.v3.json of its client library)."""

import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest

from sauti_sync import ics
from sauti_sync.calendars.busy import Window
from sauti_sync.calendars.google import event_id_of
from sauti_sync.calendars.interface import RemoteEvent
from sauti_sync.errors import Outage, Permanent, Retryable
from sauti_sync.events import Job, Lease
from tests.sync.shelves import WORDS, GoogleShelf

API: dict[str, Any] = json.loads(
    files("googleapiclient").joinpath("discovery_cache", "documents", "calendar.v3.json").read_text(encoding="utf-8")
)
METHODS: dict[str, dict[str, Any]] = API["resources"]["events"]["methods"] | API["resources"]["channels"]["methods"]
#: What this project asks people to consent to.
SCOPE = "https://www.googleapis.com/auth/calendar.events"
START = datetime(2026, 12, 1, 9, tzinfo=UTC)
APPOINTMENT = str(uuid.uuid4())
ENTRY = ics.Entry(
    f"{APPOINTMENT}@sauti", START, START + timedelta(hours=1), 0, "confirmed", START, START, case_code="KAZI-417",
    location="Clinic", meeting_url="https://meet.example/abc", time_zone="Africa/Nairobi",
)  # fmt: skip
WINDOW = Window(START - timedelta(days=9), START + timedelta(days=90))


def breaches(value: Any, schema: dict[str, Any], place: str) -> list[str]:
    """Where a value is not what the description says; unknown and read-only fields included."""
    if "$ref" in schema:
        schema = API["schemas"][schema["$ref"]]
    kinds = {"string": str, "boolean": bool, "object": dict, "array": list, "integer": int}
    kind = kinds.get(schema.get("type", ""))
    if kind is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        return [f"{place}: {schema['type']}"]
    found: list[str] = []
    if isinstance(value, dict):
        for name, part in value.items():
            inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            found += breaches(part, inner, f"{place}.{name}") if inner else [f"{place}.{name}: unknown"]
            if inner and inner.get("readOnly"):
                found.append(f"{place}.{name}: read-only")
    elif isinstance(value, list):
        found += [line for part in value for line in breaches(part, schema["items"], f"{place}[]")]
    elif isinstance(value, str) and schema.get("format") == "date-time":
        try:
            assert datetime.fromisoformat(value).tzinfo is not None
        except (ValueError, AssertionError):
            found.append(f"{place}: date-time")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: enum")
    return found


def method_of(verb: str, path: str) -> dict[str, Any]:
    for method in METHODS.values():
        pattern = re.sub(r"\{\w+\}", "[^/]+", method["path"])
        if method["httpMethod"] == verb and re.fullmatch(f"/{API['servicePath']}{pattern}", path):
            return method
    raise AssertionError(f"Google has no {verb} {path}")


def lease() -> Lease:
    async def confirm(_: Lease) -> None: ...

    return Lease(Job(1, "calendar_event", 1, 12, "token", datetime.now(UTC)), time.monotonic() + 60, confirm)


@pytest.fixture
async def shelf() -> AsyncIterator[GoogleShelf]:
    built = await GoogleShelf.build()
    yield built
    await built.close()


@pytest.mark.parametrize("full", [False, True])
async def test_every_request_is_one_that_google_describes(shelf: GoogleShelf, full: bool) -> None:
    calendar, moved = shelf.calendar, replace(ENTRY, sequence=1, starts_at=START + timedelta(minutes=5))
    known = await calendar.put(APPOINTMENT, replace(ENTRY, status="requested"), WORDS, None, full, lease())
    await calendar.put(APPOINTMENT, moved, WORDS, known, full, lease())
    await calendar.put(
        APPOINTMENT, replace(moved, sequence=2), WORDS, RemoteEvent(known.external_event_id, None), full, lease()
    )
    shelf.server.page = 1
    await shelf.add("Other", START, START + timedelta(hours=1))
    pulled = await calendar.pull(WINDOW, None)
    await calendar.pull(WINDOW, pulled.cursor)
    await calendar.remove(APPOINTMENT, known, lease())
    await calendar.remove(APPOINTMENT, None, lease())
    watched = await calendar.watch(str(uuid.uuid4()), "x" * 43, "https://127.0.0.1:9/api/calendar/google/changes")
    await calendar.unwatch(next(iter(shelf.server.channels)), watched.resource_id)
    assert shelf.server.channels == {}

    used = set()
    for asked in shelf.server.asked:
        method = method_of(asked.method, asked.path)
        used.add(method["id"])
        assert SCOPE in method["scopes"], asked.path
        for name, value in asked.query.items():
            parameter = method["parameters"][name]
            assert value in parameter.get("enum", [value]), name
            if parameter["type"] == "integer":
                assert value.isdecimal()
                assert int(value) <= int(parameter.get("maximum", value))
        if asked.body:
            assert breaches(asked.body, method["request"], "event") == []
    assert {name.rpartition(".")[2] for name in used} == {
        "list", "insert", "patch", "get", "delete", "watch", "stop"
    }  # fmt: skip


def test_the_check_notices_what_google_would_refuse() -> None:
    event = {"$ref": "Event"}
    assert breaches({"summary": 1}, event, "event")
    assert breaches({"titel": "x"}, event, "event")
    assert breaches({"start": {"dateTime": "2026-12-01T09:00:00"}}, event, "event")
    assert breaches({"reminders": {"overrides": [{"minutes": "60"}]}}, event, "event")


async def test_the_event_is_in_the_owners_zone(shelf: GoogleShelf) -> None:
    await shelf.calendar.put(APPOINTMENT, ENTRY, WORDS, None, False, lease())
    (event,) = shelf.server.live(shelf.user)
    assert event["start"] == {"dateTime": "2026-12-01T12:00:00+03:00", "timeZone": "Africa/Nairobi"}


def test_an_id_has_only_the_characters_that_an_id_may_have() -> None:
    for _ in range(200):
        appointment_id = str(uuid.uuid4())
        assert re.fullmatch(r"[a-v0-9]{5,1024}", event_id_of(appointment_id))
    assert event_id_of(APPOINTMENT) == event_id_of(APPOINTMENT.upper())


async def test_a_deleted_id_stays_taken_and_is_written_back_to_life(shelf: GoogleShelf) -> None:
    known = await shelf.calendar.put(APPOINTMENT, ENTRY, WORDS, None, False, lease())
    shelf.server.drop(shelf.user, known.external_event_id)
    again = await shelf.calendar.put(APPOINTMENT, ENTRY, WORDS, known, False, lease())
    assert again.external_event_id == known.external_event_id
    (event,) = shelf.server.live(shelf.user)
    assert event["summary"] == "Appointment"


async def test_an_id_that_google_has_forgotten_is_inserted_again(shelf: GoogleShelf) -> None:
    known = await shelf.calendar.put(APPOINTMENT, ENTRY, WORDS, None, False, lease())
    shelf.server.purge(shelf.user, known.external_event_id)
    again = await shelf.calendar.put(APPOINTMENT, ENTRY, WORDS, known, False, lease())
    assert again.recreated
    assert len(shelf.server.live(shelf.user)) == 1


async def test_many_pages_are_one_reading(shelf: GoogleShelf) -> None:
    shelf.server.page = 2
    names = {await shelf.add("x", START, START + timedelta(hours=1)) for _ in range(5)}
    pulled = await shelf.calendar.pull(WINDOW, None)
    assert {change.external_event_id for change in pulled.changes} == names


async def test_a_calendar_without_permission_asks_for_a_new_consent(shelf: GoogleShelf) -> None:
    shelf.server.fail(403, body={"error": {"errors": [{"reason": "insufficientPermissions"}]}})
    with pytest.raises(Permanent, match=r"^needs_reauth$"):
        await shelf.calendar.pull(WINDOW, None)


async def test_an_api_that_is_switched_off_for_us_stops_nobodys_calendar(shelf: GoogleShelf) -> None:
    shelf.server.fail(403, body={"error": {"errors": [{"reason": "accessNotConfigured"}]}})
    with pytest.raises(Outage, match=r"^oauth_client_refused$"):
        await shelf.calendar.pull(WINDOW, None)


@pytest.mark.parametrize(
    "reason", ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"]
)
async def test_a_limit_that_comes_as_403_is_waited_for_as_long_as_asked(shelf: GoogleShelf, reason: str) -> None:
    shelf.server.fail(403, body={"error": {"errors": [{"reason": reason}]}}, headers={"Retry-After": "7"})
    with pytest.raises(Retryable, match=r"^calendar_rate_limited$") as verdict:
        await shelf.calendar.pull(WINDOW, None)
    assert verdict.value.after == 7
