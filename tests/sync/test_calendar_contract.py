"""What every calendar provider has to hold (sauti_sync/calendars/interface.py), against the real servers there are."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from icalendar import Calendar as ParsedCalendar
from icalendar import Event

from sauti_local.calendar import PASSWORD, CalendarServer
from sauti_sync import ics
from sauti_sync.calendars.caldav import CalDavCalendar
from sauti_sync.calendars.interface import Calendar, RemoteEvent
from sauti_sync.errors import LeaseLost, Permanent
from sauti_sync.events import Job, Lease
from tests.support.loop_thread import LoopThread

WORDS = ics.Wording(title="Appointment", case="Case", link="https://app.example")


@dataclass
class Shelf:
    """One person's calendar at a provider, seen by the worker and by its owner."""

    calendar: Calendar
    url: str
    owner: httpx.AsyncClient

    async def events(self) -> list[Event]:
        """What the owner sees."""
        answer = await self.owner.get(self.url)
        if answer.status_code == 404:
            return []
        parsed = ParsedCalendar.from_ical(answer.content)
        return [event for event in parsed.walk("VEVENT") if isinstance(event, Event)]

    async def overwrite(self, name: str, document: bytes) -> None:
        """The owner changes an event by hand."""
        headers = {"Content-Type": "text/calendar"}
        (await self.owner.put(self.url + name, content=document, headers=headers)).raise_for_status()

    async def delete(self, name: str) -> None:
        """The owner deletes an event by hand."""
        (await self.owner.delete(self.url + name)).raise_for_status()


@pytest.fixture(scope="session")
def radicale(loop_thread: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CalendarServer]:
    folder: Path = tmp_path_factory.mktemp("radicale")
    server = CalendarServer(folder / "calendars", folder / "radicale.log")
    loop_thread.run(server.start())
    yield server
    loop_thread.run(server.stop())


@pytest.fixture
async def shelf(radicale: CalendarServer) -> AsyncIterator[Shelf]:
    user = uuid.uuid4().hex
    url = f"{radicale.url}/{user}/appointments/"
    calendar = CalDavCalendar.opener(allow_private=True)({"url": url, "username": user, "password": PASSWORD})
    async with httpx.AsyncClient(auth=(user, PASSWORD), trust_env=False) as owner:
        yield Shelf(calendar, url, owner)
    await calendar.close()


@dataclass
class Confirmations:
    """A lease that counts how often it was confirmed, and may turn out to be lost."""

    count: int = 0
    lost: bool = False

    def lease(self, seconds: float = 60.0) -> Lease:
        async def confirm(_: Lease) -> None:
            self.count += 1
            if self.lost:
                raise LeaseLost

        job = Job(1, "calendar_event", 1, 12, "token", datetime.now(UTC))
        return Lease(job, time.monotonic() + seconds, confirm)


@pytest.fixture
def confirmations() -> Confirmations:
    return Confirmations()


@pytest.fixture
def lease(confirmations: Confirmations) -> Lease:
    return confirmations.lease()


@pytest.fixture
def appointment() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def entry(appointment: str) -> ics.Entry:
    start = datetime(2026, 12, 1, 9, tzinfo=UTC)
    return ics.Entry(
        f"{appointment}@sauti", start, start + timedelta(hours=1), 0, "confirmed", start, start, case_code="KAZI-417"
    )


def moved(entry: ics.Entry, sequence: int) -> ics.Entry:
    later = timedelta(days=sequence)
    return replace(entry, sequence=sequence, starts_at=entry.starts_at + later, ends_at=entry.ends_at + later)


async def test_an_event_is_created_as_it_is(shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease) -> None:
    await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    (event,) = await shelf.events()
    assert (event["UID"], event["SEQUENCE"], event["SUMMARY"]) == (entry.uid, 0, "Appointment")
    assert event.decoded("DTSTART") == entry.starts_at


async def test_creating_again_without_memory_leaves_one_event(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease, confirmations: Confirmations
) -> None:
    first = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    second = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    assert len(await shelf.events()) == 1
    assert second.external_event_id == first.external_event_id
    assert confirmations.count == 0, "nothing was overwritten"


async def test_creating_over_an_older_revision_brings_it_up_to_date(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.calendar.put(appointment, moved(entry, 1), WORDS, None, False, lease)
    (event,) = await shelf.events()
    assert event["SEQUENCE"] == 1


async def test_an_update_changes_the_event(shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    again = await shelf.calendar.put(appointment, moved(entry, 1), WORDS, known, False, lease)
    (event,) = await shelf.events()
    assert event.decoded("DTSTART") == moved(entry, 1).starts_at
    assert again.etag != known.etag


@pytest.mark.parametrize("etag", [None, '"stale"', 'W/"weak"', 'x"\r\ny'])
async def test_an_update_works_with_a_missing_or_stale_etag(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease, etag: str | None, confirmations: Confirmations
) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    known = RemoteEvent(known.external_event_id, etag)
    await shelf.calendar.put(appointment, moved(entry, 1), WORDS, known, False, lease)
    (event,) = await shelf.events()
    assert event["SEQUENCE"] == 1
    assert confirmations.count == 1, "the lease is confirmed before something unexpected is overwritten"


async def test_an_event_that_its_owner_moved_is_put_right(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    by_hand = replace(entry, starts_at=entry.starts_at - timedelta(hours=3))
    await shelf.overwrite(known.external_event_id, ics.render(by_hand, WORDS))
    await shelf.calendar.put(appointment, moved(entry, 1), WORDS, known, False, lease)
    (event,) = await shelf.events()
    assert event.decoded("DTSTART") == moved(entry, 1).starts_at


async def test_an_event_that_its_owner_deleted_is_made_again(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.delete(known.external_event_id)
    await shelf.calendar.put(appointment, moved(entry, 1), WORDS, known, False, lease)
    assert len(await shelf.events()) == 1


async def test_a_worker_that_lost_its_lease_does_not_overwrite_the_newer_revision(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    await shelf.calendar.put(appointment, moved(entry, 1), WORDS, None, False, lease)
    stale = Confirmations(lost=True).lease()
    with pytest.raises(LeaseLost):
        await shelf.calendar.put(appointment, entry, WORDS, None, False, stale)
    (event,) = await shelf.events()
    assert event["SEQUENCE"] == 1


async def test_a_worker_whose_time_is_over_sends_nothing(
    shelf: Shelf, appointment: str, entry: ics.Entry, confirmations: Confirmations
) -> None:
    with pytest.raises(LeaseLost):
        await shelf.calendar.put(appointment, entry, WORDS, None, False, confirmations.lease(-1))
    with pytest.raises(LeaseLost):
        await shelf.calendar.remove(appointment, None, confirmations.lease(-1))
    assert await shelf.events() == []


async def test_two_workers_at_once_make_one_event(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    await asyncio.gather(*(shelf.calendar.put(appointment, entry, WORDS, None, False, lease) for _ in range(8)))
    assert len(await shelf.events()) == 1


async def test_removal_is_complete_and_repeatable(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.calendar.remove(appointment, known, lease)
    assert await shelf.events() == []
    await shelf.calendar.remove(appointment, known, lease)
    await shelf.calendar.remove(appointment, None, lease)


async def test_an_event_made_by_a_worker_that_died_before_it_could_say_so_is_removed(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.calendar.remove(appointment, None, lease)
    assert await shelf.events() == []


async def test_an_appointment_that_was_imported_from_the_mail_becomes_the_event(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    await shelf.overwrite("imported-by-hand.ics", ics.render(entry, WORDS))
    remote = await shelf.calendar.put(appointment, moved(entry, 1), WORDS, None, False, lease)
    (event,) = await shelf.events()
    assert event["SEQUENCE"] == 1
    assert remote.external_event_id == "imported-by-hand.ics"
    await shelf.calendar.remove(appointment, None, lease)
    assert await shelf.events() == [], "also when the name could not be told"


async def test_other_events_are_left_alone(shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease) -> None:
    other = replace(entry, uid="dentist@elsewhere")
    await shelf.overwrite("dentist.ics", ics.render(other, WORDS))
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.calendar.remove(appointment, known, lease)
    assert [event["UID"] for event in await shelf.events()] == ["dentist@elsewhere"]


async def test_a_wrong_password_asks_for_a_new_one(
    radicale: CalendarServer, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    url = f"{radicale.url}/someone/appointments/"
    calendar = CalDavCalendar.opener(allow_private=True)({"url": url, "username": "someone", "password": "wrong"})
    with pytest.raises(Permanent, match="needs_reauth"):
        await calendar.put(appointment, entry, WORDS, None, False, lease)
    await calendar.close()
