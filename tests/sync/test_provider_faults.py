"""Google and Microsoft on a bad day: every answer becomes a verdict without its words, and no effect is doubled."""

import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sauti_sync import ics
from sauti_sync.calendars.busy import Window
from sauti_sync.errors import Permanent, Retryable, SautiError
from sauti_sync.events import Job, Lease
from tests.sync.shelves import WORDS, GoogleShelf, MicrosoftShelf, StandInShelf

START = datetime(2026, 12, 1, 9, tzinfo=UTC)
APPOINTMENT = str(uuid.uuid4())
ENTRY = ics.Entry(
    f"{APPOINTMENT}@sauti", START, START + timedelta(hours=1), 0, "confirmed", START, START, time_zone="Africa/Nairobi"
)
WINDOW = Window(START - timedelta(days=9), START + timedelta(days=90))
CANARY = {"error": {"code": "canary", "message": "canary", "errors": [{"reason": "canary"}]}}


@pytest.fixture(params=[GoogleShelf, MicrosoftShelf], ids=lambda shelf: shelf.name)
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[StandInShelf]:
    built: StandInShelf = await request.param.build()
    yield built
    await built.close()


def lease(job_id: int = 1) -> Lease:
    async def confirm(_: Lease) -> None: ...

    return Lease(Job(job_id, "calendar_event", 1, 12, "token", datetime.now(UTC)), time.monotonic() + 60, confirm)


async def put(shelf: StandInShelf, job_id: int = 1) -> Any:
    return await shelf.calendar.put(APPOINTMENT, ENTRY, WORDS, None, False, lease(job_id))


@pytest.mark.parametrize(
    ("status", "kind", "symbol"),
    [
        (301, Permanent, "calendar_refused"),
        (400, Permanent, "calendar_refused"),
        (403, Permanent, "needs_reauth"),
        (404, Permanent, "calendar_not_found"),
        (429, Retryable, "calendar_rate_limited"),
        (500, Retryable, "calendar_unavailable"),
        (503, Retryable, "calendar_unavailable"),
    ],
)
async def test_an_answer_becomes_a_verdict_without_its_words(
    shelf: StandInShelf, status: int, kind: type[SautiError], symbol: str
) -> None:
    for attempt in (lambda: put(shelf), lambda: shelf.calendar.pull(WINDOW, None)):
        shelf.server.fail(status, body=CANARY, headers={"Location": "https://evil.example/", "Retry-After": "7"})
        with pytest.raises(kind, match=f"^{symbol}$") as verdict:
            await attempt()
        assert "canary" not in repr(verdict.value)
    assert await shelf.events() == []


async def test_a_creation_whose_answer_was_lost_is_recognised(shelf: StandInShelf) -> None:
    shelf.server.fail(500, method="POST", acts=True)
    with pytest.raises(Retryable):
        await put(shelf)
    await put(shelf)
    await put(shelf, job_id=2)
    assert len(await shelf.events()) == 1


async def test_a_refused_token_is_renewed_once_and_the_request_repeated(shelf: StandInShelf) -> None:
    shelf.server.access.clear()
    await put(shelf)
    assert shelf.server.refreshes == 1
    assert len(await shelf.events()) == 1


async def test_a_token_that_is_refused_again_and_again_asks_for_a_new_consent(shelf: StandInShelf) -> None:
    shelf.server.fail(401, times=100)
    with pytest.raises(Permanent, match=r"^needs_reauth$"):
        await put(shelf)
    assert shelf.server.refreshes == 1, "once, never in a loop"


async def test_an_answer_that_is_no_reading_is_refused(shelf: StandInShelf) -> None:
    shelf.server.fail(200, body={"value": [], "items": []})
    with pytest.raises(Permanent, match=r"^calendar_answer_invalid$"):
        await shelf.calendar.pull(WINDOW, None)


async def test_a_provider_that_is_away_is_asked_again_later(shelf: StandInShelf) -> None:
    await shelf.server.stop()
    with pytest.raises(Retryable, match=r"^calendar_unavailable$"):
        await put(shelf)


async def test_the_token_goes_to_our_address_alone() -> None:
    """Links in Graph's answers name other hosts; only their tokens are used."""
    shelf = await MicrosoftShelf.build()
    shelf.server.page = 1
    for _ in range(3):
        await shelf.add("x", START, START + timedelta(hours=1))
    pulled = await shelf.calendar.pull(WINDOW, None)
    assert len(pulled.changes) == 3
    assert pulled.cursor is not None
    assert "graph" not in pulled.cursor
    await shelf.close()


async def test_outlook_is_told_the_owners_zone_by_its_own_name_and_ids_that_last() -> None:
    shelf = await MicrosoftShelf.build()
    await put(shelf)
    (event,) = shelf.server.live(shelf.user)
    assert event["start"] == {"dateTime": "2026-12-01T12:00:00", "timeZone": "E. Africa Standard Time"}
    assert all('IdType="ImmutableId"' in asked.headers["Prefer"] for asked in shelf.server.asked)
    await shelf.close()
