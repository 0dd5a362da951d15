"""What a reading stores: when others take the owner's time, what became of our own events, and no word of either."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sauti_local.calendar import CalendarServer
from sauti_sync import ics
from sauti_sync.calendars.busy import source_of
from sauti_sync.calendars.channels import Channels
from sauti_sync.calendars.interface import Account, Calendar
from sauti_sync.errors import LeaseLost, Retryable
from sauti_sync.events import Job, Json, Lease
from sauti_sync.handlers.calendar_pull import CalendarPullHandler
from sauti_sync.handlers.connection import Calendars
from tests.sync.shelves import KEYS, WORDS, CalDavShelf, GoogleShelf, MicrosoftShelf, Shelf
from tests.sync.stand_ins.records import MemoryRecords

CONNECTION = str(uuid.uuid4())
NOON = datetime(2026, 12, 7, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Borrowed:
    """The shelf's calendar, which stays open when a job closes it."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar

    def __getattr__(self, name: str) -> Any:
        return getattr(self._calendar, name)

    async def close(self) -> None:
        pass


class Reader:
    """Jobs of kind calendar_pull on a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.records = MemoryRecords()

        def borrow(account: Account) -> Calendar:
            assert account.connection_id == CONNECTION
            return Borrowed(shelf.calendar)  # type: ignore[return-value]  # it passes everything else on

        calendars = Calendars(KEYS, {"caldav": borrow})
        self.handler = CalendarPullHandler(calendars, self.records, Channels(self.records))

    async def read(self, own: dict[str, str], seconds: float = 60, **changes: Any) -> Json:
        """Read once; `own` are names at the provider by appointment. What was stored."""
        cursor = self.records.stored[-1]["cursor"] if self.records.stored else None
        context = {
            "connection": {
                "id": CONNECTION, "user_id": "u", "provider": "caldav",
                "credentials": KEYS.encrypt({}, "u", "caldav"), "time_zone": "Africa/Nairobi",
            },
            "pull": {
                "as_of": "2026-12-01T00:00:00Z", "from": "2026-11-20T00:00:00Z", "until": "2027-02-20T00:00:00Z",
                "cursor": cursor,
            },
            "own": [{"appointment_id": key, "external_event_id": name} for key, name in own.items()],
        }  # fmt: skip

        async def confirm(_: Lease) -> None: ...

        job = Job(1, "calendar_pull", 1, 12, "token", datetime.now(UTC))
        result = await self.handler.handle(context | changes, Lease(job, time.monotonic() + seconds, confirm))
        stored = self.records.stored[-1]
        assert result == {"outcome": "pulled", "is_full": stored["is_full"], "changes": len(stored["changes"])}
        return stored


@pytest.fixture(params=[CalDavShelf, GoogleShelf, MicrosoftShelf], ids=lambda shelf: shelf.name)
async def reader(request: pytest.FixtureRequest, radicale: CalendarServer) -> AsyncIterator[Reader]:
    built: Shelf = await request.param.build(radicale)
    yield Reader(built)
    await built.close()


async def put(reader: Reader, start: datetime = NOON) -> tuple[str, str]:
    """Write an event of ours; the appointment and its name at the provider."""
    appointment_id = str(uuid.uuid4())
    entry = ics.Entry(f"{appointment_id}@sauti", start, start + HOUR, 0, "confirmed", start, start)

    async def confirm(_: Lease) -> None: ...

    lease = Lease(Job(1, "calendar_event", 1, 12, "t", datetime.now(UTC)), time.monotonic() + 60, confirm)
    remote = await reader.shelf.calendar.put(appointment_id, entry, WORDS, None, False, lease)
    assert remote is not None
    return appointment_id, remote.external_event_id


def times(stored: Json, name: str) -> list[tuple[datetime, datetime]]:
    (change,) = [change for change in stored["changes"] if change["source"] == source_of(CONNECTION, name)]
    return [(datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in change["spans"]]


async def test_others_take_time_and_our_own_events_do_not(reader: Reader) -> None:
    mapped, unmapped = await put(reader), await put(reader, NOON + 5 * HOUR)
    dentist = await reader.shelf.add("Dentist canary", NOON, NOON + HOUR)
    stored = await reader.read({mapped[0]: mapped[1]})
    assert stored["is_full"]
    assert times(stored, dentist) == [(NOON, NOON + HOUR)]
    assert times(stored, unmapped[1]) == [], "of ours, by whichever way it came there"
    (own,) = stored["own"]
    assert (own["appointment_id"], own["gone"]) == (mapped[0], False)
    assert datetime.fromisoformat(own["starts_at"]) == NOON
    assert len(stored["changes"]) == 2
    assert "canary" not in json.dumps(stored["changes"])
    assert dentist not in json.dumps(stored["changes"])


async def test_what_the_owner_does_to_our_events_is_told_and_takes_no_time(reader: Reader) -> None:
    moved, deleted = await put(reader), await put(reader, NOON + 5 * HOUR)
    own = dict([moved, deleted])
    await reader.read(own)
    entry = ics.Entry(f"{moved[0]}@sauti", NOON, NOON + HOUR, 0, "confirmed", NOON, NOON)
    await reader.shelf.move(moved[1], entry, 2 * HOUR)
    await reader.shelf.delete(deleted[1])
    stored = await reader.read(own)
    assert not stored["is_full"]
    assert stored["changes"] == []
    told = {seen["appointment_id"]: seen for seen in stored["own"]}
    assert told[deleted[0]]["gone"]
    assert datetime.fromisoformat(told[moved[0]]["starts_at"]) == NOON + 2 * HOUR


async def test_a_whole_reading_names_what_it_knew_and_did_not_find_and_nothing_else(reader: Reader) -> None:
    kept, deleted, unknown = await put(reader), await put(reader, NOON + 3 * HOUR), await put(reader, NOON + 6 * HOUR)
    await reader.shelf.delete(deleted[1])
    stored = await reader.read(dict([kept, deleted]))
    assert stored["is_full"]
    told = {seen["appointment_id"]: seen for seen in stored["own"]}
    assert told.keys() == {kept[0], deleted[0]}
    assert told[deleted[0]] == {"appointment_id": deleted[0], "gone": True, "absent": True}
    assert not told[kept[0]]["gone"]
    assert unknown[0] not in told


async def test_a_time_outside_the_window_is_not_stored(reader: Reader) -> None:
    late = await reader.shelf.add("Late", NOON + timedelta(days=400), NOON + timedelta(days=400) + HOUR)
    stored = await reader.read({})
    assert all(change["spans"] == [] for change in stored["changes"]), late


async def test_a_worker_whose_lease_is_over_stores_nothing(reader: Reader) -> None:
    with pytest.raises(LeaseLost):
        await reader.read({}, seconds=-1)
    assert reader.records.stored == []


async def test_a_context_of_another_age_is_tried_again(reader: Reader) -> None:
    with pytest.raises(Retryable, match=r"^context_invalid$"):
        await reader.read({}, pull={"cursor": None})
