"""What every calendar provider has to hold (sauti_sync/calendars/interface.py).

CalDAV is held against a real server, Google and Microsoft against stand-ins that speak their documented shapes.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from sauti_local.calendar import CalendarServer
from sauti_sync import ics
from sauti_sync.calendars.busy import Span, Window
from sauti_sync.calendars.interface import RemoteEvent
from sauti_sync.errors import LeaseLost, Permanent, Retryable
from sauti_sync.events import Job, Lease
from tests.sync.shelves import SHELVES, Shelf, StandInShelf

WORDS = ics.Wording(title="Appointment", case="Case", link="https://app.example")


@dataclass
class Confirmations:
    """A lease that counts how often it was confirmed, and may turn out to be lost."""

    count: int = 0
    lost: bool = False

    def lease(self, seconds: float = 60.0, job_id: int = 1) -> Lease:
        async def confirm(_: Lease) -> None:
            self.count += 1
            if self.lost:
                raise LeaseLost

        job = Job(job_id, "calendar_event", 1, 12, "token", datetime.now(UTC))
        return Lease(job, time.monotonic() + seconds, confirm)


@pytest.fixture(params=SHELVES, ids=lambda shelf: shelf.name)
async def shelf(request: pytest.FixtureRequest, radicale: CalendarServer) -> AsyncIterator[Shelf]:
    built: Shelf = await request.param.build(radicale)
    yield built
    await built.close()


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
    assert (event.title, event.starts_at, event.ends_at) == ("Appointment", entry.starts_at, entry.ends_at)
    assert event.is_private
    assert event.reminder_minutes == 60
    assert event.description == "Case: KAZI-417\nhttps://app.example"


@pytest.mark.parametrize("full", [False, True])
async def test_place_and_meeting_address_are_written_at_full_detail_only(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease, full: bool
) -> None:
    told = replace(entry, location="Clinic, 2nd floor", meeting_url="https://meet.example/abc")
    known = await shelf.calendar.put(appointment, told, WORDS, None, full, lease)
    (event,) = await shelf.events()
    assert ("Clinic" in event.text, "meet.example" in event.text) == (full, full)
    await shelf.calendar.put(appointment, replace(moved(told, 1)), WORDS, known, False, lease)
    (event,) = await shelf.events()
    assert "Clinic" not in event.text, "what was told before is taken back"
    assert "meet.example" not in event.text


async def test_a_request_is_tentative_until_it_is_confirmed(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    known = await shelf.calendar.put(appointment, replace(entry, status="requested"), WORDS, None, False, lease)
    assert [event.is_tentative for event in await shelf.events()] == [True]
    await shelf.calendar.put(appointment, entry, WORDS, known, False, lease)
    assert [event.is_tentative for event in await shelf.events()] == [False]


async def test_creating_again_without_memory_leaves_one_event(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease, confirmations: Confirmations
) -> None:
    first = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    second = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    assert len(await shelf.events()) == 1
    assert second.external_event_id == first.external_event_id


async def test_creating_over_an_older_revision_brings_it_up_to_date(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.calendar.put(appointment, moved(entry, 1), WORDS, None, False, lease)
    assert await shelf.starts() == [moved(entry, 1).starts_at]


async def test_an_update_changes_the_event(shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    again = await shelf.calendar.put(appointment, moved(entry, 1), WORDS, known, False, lease)
    assert await shelf.starts() == [moved(entry, 1).starts_at]
    assert again.etag != known.etag
    assert not again.recreated


@pytest.mark.parametrize("etag", [None, '"stale"', 'W/"weak"', 'x"\r\ny'])
async def test_an_update_works_with_a_missing_or_stale_etag(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease, etag: str | None, confirmations: Confirmations
) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    known = RemoteEvent(known.external_event_id, etag)
    await shelf.calendar.put(appointment, moved(entry, 1), WORDS, known, False, lease)
    assert await shelf.starts() == [moved(entry, 1).starts_at]
    assert confirmations.count == 1, "the lease is confirmed before something unexpected is overwritten"


async def test_an_event_that_its_owner_moved_follows_the_next_change(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.move(known.external_event_id, entry, timedelta(hours=-3))
    assert await shelf.starts() == [entry.starts_at - timedelta(hours=3)]
    await shelf.calendar.put(appointment, moved(entry, 1), WORDS, known, False, lease)
    assert await shelf.starts() == [moved(entry, 1).starts_at]


async def test_an_event_that_its_owner_deleted_is_made_again_once_and_then_stays_away(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.delete(known.external_event_id)
    again = await shelf.calendar.put(appointment, moved(entry, 1), WORDS, known, False, lease)
    assert await shelf.starts() == [moved(entry, 1).starts_at]
    assert again.recreated

    await shelf.delete(again.external_event_id)
    final = replace(again, is_final=True)  # type: ignore[type-var]  # not None, or the line before fails
    assert await shelf.calendar.put(appointment, moved(entry, 2), WORDS, final, False, lease) is None
    assert await shelf.events() == []


async def test_a_removed_event_can_come_back(
    shelf: Shelf, appointment: str, entry: ics.Entry, confirmations: Confirmations
) -> None:
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, confirmations.lease(job_id=1))
    await shelf.calendar.remove(appointment, known, confirmations.lease(job_id=2))
    back = await shelf.calendar.put(appointment, entry, WORDS, None, False, confirmations.lease(job_id=3))
    assert await shelf.starts() == [entry.starts_at]
    assert not back.recreated


async def test_a_worker_that_lost_its_lease_does_not_overwrite_the_newer_revision(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    await shelf.calendar.put(appointment, moved(entry, 1), WORDS, None, False, lease)
    stale = Confirmations(lost=True).lease()
    with pytest.raises(LeaseLost):
        await shelf.calendar.put(appointment, entry, WORDS, RemoteEvent(*await shelf.remote(), None), False, stale)
    assert await shelf.starts() == [moved(entry, 1).starts_at]


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


async def test_nothing_is_written_with_a_token_that_came_after_the_lease(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease, confirmations: Confirmations
) -> None:
    if not isinstance(shelf, StandInShelf):
        pytest.skip("a password needs no refreshing")
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    shelf.server.token_delay = 0.4
    late = shelf.open(shelf.server.issue(shelf.user, expires_in=-1))
    with pytest.raises(LeaseLost):
        await late.remove(appointment, known, confirmations.lease(seconds=0.3))
    await late.close()
    assert len(await shelf.events()) == 1


async def test_an_event_made_by_a_worker_that_died_before_it_could_say_so_is_removed(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.calendar.remove(appointment, None, lease)
    assert await shelf.events() == []


async def test_an_appointment_that_was_imported_from_the_mail_becomes_the_event(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    name = await shelf.import_mailed(entry)
    remote = await shelf.calendar.put(appointment, moved(entry, 1), WORDS, None, False, lease)
    assert await shelf.starts() == [moved(entry, 1).starts_at]
    assert remote.external_event_id == name
    await shelf.calendar.remove(appointment, None, lease)
    assert await shelf.events() == [], "also when the name could not be told"


async def test_other_events_are_left_alone(shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease) -> None:
    await shelf.add("Dentist", entry.starts_at, entry.ends_at)
    known = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    await shelf.calendar.remove(appointment, known, lease)
    assert [event.title for event in await shelf.events()] == ["Dentist"]


async def test_credentials_that_are_refused_ask_for_new_ones(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    stranger = shelf.stranger()
    with pytest.raises(Permanent, match=r"^needs_reauth$"):
        await stranger.put(appointment, entry, WORDS, None, False, lease)
    await stranger.close()


# Busy times

WINDOW = Window(datetime(2026, 11, 20, tzinfo=UTC), datetime(2027, 2, 20, tzinfo=UTC), "Africa/Nairobi")
NOON = datetime(2026, 12, 7, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_a_reading_gives_foreign_events_and_marks_our_own(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    remote = await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    name = await shelf.add("Dentist", NOON, NOON + HOUR)
    pulled = await shelf.calendar.pull(WINDOW, None)
    assert pulled.is_full
    changes = {change.external_event_id: change for change in pulled.changes}
    assert changes.keys() == {remote.external_event_id, name}
    assert changes[name].spans == (Span(NOON, NOON + HOUR),)
    assert not changes[name].is_own
    own = changes[remote.external_event_id]
    assert own.is_own
    assert own.spans == (Span(entry.starts_at, entry.ends_at),)


async def test_the_next_reading_gives_what_changed_since(shelf: Shelf) -> None:
    stays, goes = await shelf.add("A", NOON, NOON + HOUR), await shelf.add("B", NOON, NOON + HOUR)
    first = await shelf.calendar.pull(WINDOW, None)
    assert {change.external_event_id for change in first.changes} == {stays, goes}
    nothing = await shelf.calendar.pull(WINDOW, first.cursor)
    assert (nothing.is_full, nothing.changes) == (False, ())

    await shelf.delete(goes)
    comes = await shelf.add("C", NOON + HOUR, NOON + 2 * HOUR)
    second = await shelf.calendar.pull(WINDOW, nothing.cursor)
    assert not second.is_full
    assert {change.external_event_id: (change.is_gone, change.spans) for change in second.changes} == {
        goes: (True, ()),
        comes: (False, (Span(NOON + HOUR, NOON + 2 * HOUR),)),
    }


@pytest.mark.parametrize("kind", ["free", "declined"])
async def test_what_takes_no_time_is_named_without_times(shelf: Shelf, kind: str) -> None:
    name = await shelf.add("Maybe", NOON, NOON + HOUR, **{kind: True})
    (change,) = (await shelf.calendar.pull(WINDOW, None)).changes
    assert (change.external_event_id, change.spans, change.is_own) == (name, (), False)


async def test_a_forgotten_cursor_leads_to_a_full_reading(shelf: Shelf) -> None:
    name = await shelf.add("A", NOON, NOON + HOUR)
    cursor = (await shelf.calendar.pull(WINDOW, None)).cursor
    await shelf.add("B", NOON, NOON + HOUR)
    again = await shelf.calendar.pull(WINDOW, await shelf.forget(cursor))
    assert again.is_full
    assert name in {change.external_event_id for change in again.changes}


async def test_a_whole_day_is_a_day_of_its_owner(shelf: Shelf) -> None:
    await shelf.add_day("Holiday", NOON.date())
    (change,) = (await shelf.calendar.pull(WINDOW, None)).changes
    start = datetime(2026, 12, 6, 21, tzinfo=UTC)  # midnight in Nairobi
    assert change.spans == (Span(start, start + timedelta(days=1)),)


async def test_a_repeated_event_takes_each_of_its_times(shelf: Shelf) -> None:
    await shelf.add_weekly("Team", NOON, HOUR, count=3)
    changes = (await shelf.calendar.pull(WINDOW, None)).changes
    spans = sorted((span for change in changes for span in change.spans), key=lambda span: span.starts_at)
    assert spans == [Span(NOON + timedelta(weeks=week), NOON + timedelta(weeks=week) + HOUR) for week in range(3)]


async def test_a_busy_provider_is_asked_again_when_it_says(
    shelf: Shelf, appointment: str, entry: ics.Entry, lease: Lease
) -> None:
    if not shelf.can_fail:
        pytest.skip("a real server does not fail on demand; see test_caldav_faults.py")
    shelf.fail_with_rate_limit(retry_after=17)
    with pytest.raises(Retryable) as refusal:
        await shelf.calendar.put(appointment, entry, WORDS, None, False, lease)
    assert refusal.value.after == 17
