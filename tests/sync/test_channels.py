"""Channels: one for each calendar, renewed before it ends, stopped when nobody wants it; no reading fails with them."""

import hashlib
import io
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from sauti_local.calendar import CalendarServer
from sauti_sync.calendars.channels import Channel, Channels
from sauti_sync.calendars.interface import Calendar
from sauti_sync.errors import LeaseLost, Permanent
from sauti_sync.events import Job, Lease
from tests.sync.shelves import CalDavShelf, GoogleShelf, MicrosoftShelf, StandInShelf
from tests.sync.waiting import until


class Ear:
    """Listens where the function `api` would, and echoes what Graph asks for."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/api/calendar/{provider}/changes", self._hear)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _hear(self, request: web.Request) -> web.Response:
        if "validationToken" in request.query:
            return web.Response(text=request.query["validationToken"])
        body = await request.json() if request.can_read_body else None
        self.heard.append((request.match_info["provider"], dict(request.headers), body))
        return web.Response(status=202)


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    built = Ear()
    await built.start()
    yield built
    await built.stop()


@pytest.fixture(params=[GoogleShelf, MicrosoftShelf], ids=lambda shelf: shelf.name)
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[StandInShelf]:
    built: StandInShelf = await request.param.build()
    yield built
    await built.close()


def lease() -> Lease:
    async def confirm(_: Lease) -> None: ...

    return Lease(Job(1, "calendar_pull", 1, 12, "token", datetime.now(UTC)), time.monotonic() + 60, confirm)


def channels(shelf: StandInShelf, ear: Ear | None) -> Channels:
    return Channels(shelf.records, ear.url if ear else None)


def known(shelf: StandInShelf, is_current: bool) -> list[Channel]:
    """What the database would tell of every channel that was settled."""
    return [
        Channel(channel_id, watched.resource_id, is_current)
        for channel_id, watched in shelf.records.channels.items()
        if watched is not None
    ]


async def test_one_channel_is_opened_with_a_token_that_the_database_does_not_hold(
    shelf: StandInShelf, ear: Ear
) -> None:
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    (open_channel,) = shelf.server.channels_of(shelf.user)
    ((channel_id, watched),) = shelf.records.channels.items()
    assert watched is not None
    assert (open_channel.name, open_channel.resource_id) == (channel_id, watched.resource_id)
    assert open_channel.address == f"{ear.url}/api/calendar/{shelf.name}/changes"
    assert shelf.records.begun[channel_id] == hashlib.sha256(open_channel.token.encode()).hexdigest()
    assert len(open_channel.token) == 43
    life = watched.expires_at - datetime.now(UTC)
    assert timedelta(days=2) < life <= timedelta(days=7)
    assert await shelf.server.tell(open_channel) == 202
    assert ear.heard[-1][0] == shelf.name
    assert open_channel.token in str(ear.heard[-1])


async def test_two_channels_have_two_tokens(shelf: StandInShelf, ear: Ear) -> None:
    for _ in range(2):
        await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    assert len({channel.token for channel in shelf.server.channels_of(shelf.user)}) == 2


async def test_a_channel_with_time_left_is_left_alone(shelf: StandInShelf, ear: Ear) -> None:
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    before = dict(shelf.server.channels)
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, known(shelf, is_current=True), lease())
    assert shelf.server.channels == before


async def test_a_channel_is_renewed_by_another_one_and_then_stopped(shelf: StandInShelf, ear: Ear) -> None:
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    (before,) = shelf.server.channels_of(shelf.user)
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, known(shelf, is_current=False), lease())
    (after,) = shelf.server.channels_of(shelf.user)
    assert after.name != before.name
    assert shelf.records.channels[before.name] is None
    assert shelf.records.channels[after.name] is not None


async def test_a_channel_that_cannot_be_renewed_is_kept_to_its_end(shelf: StandInShelf, ear: Ear) -> None:
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    shelf.server.fail(500, method="POST")
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, known(shelf, is_current=False), lease())
    assert len(shelf.server.channels_of(shelf.user)) == 1


async def test_without_an_address_open_channels_are_stopped(shelf: StandInShelf, ear: Ear) -> None:
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    await channels(shelf, None).keep(shelf.calendar, shelf.name, known(shelf, is_current=True), lease())
    assert shelf.server.channels == {}
    assert list(shelf.records.channels.values()) == [None]


async def test_a_channel_that_has_ended_by_itself_counts_as_stopped(shelf: StandInShelf, ear: Ear) -> None:
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    shelf.server.channels.clear()
    await channels(shelf, None).keep(shelf.calendar, shelf.name, known(shelf, is_current=False), lease())
    assert list(shelf.records.channels.values()) == [None]


async def test_a_late_worker_takes_its_channel_back(shelf: StandInShelf, ear: Ear) -> None:
    shelf.records.is_overtaken = True
    with pytest.raises(LeaseLost):
        await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    assert len(shelf.records.begun) == 1
    assert shelf.server.channels == {}


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_refusal_is_logged_without_its_words_and_leaves_nothing(
    shelf: StandInShelf, ear: Ear, status: int, log_output: io.StringIO
) -> None:
    shelf.server.fail(status, body={"error": {"message": "canary"}})
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    assert list(shelf.records.channels.values()) == [None]
    assert "channel_failed" in log_output.getvalue()
    assert "canary" not in log_output.getvalue()


@pytest.mark.parametrize("answer", [{}, {"resourceId": 7, "id": 7}, {"resourceId": "x", "expiration": "soon"}])
async def test_an_answer_that_names_no_channel_is_refused(shelf: StandInShelf, ear: Ear, answer: Any) -> None:
    shelf.server.fail(200 if shelf.name == "google" else 201, body=answer)
    with pytest.raises(Permanent, match=r"^calendar_answer_invalid$"):
        await shelf.calendar.watch(str(uuid.uuid4()), "t" * 43, ear.url)


async def test_a_calendar_that_tells_nobody_is_not_asked(radicale: CalendarServer, ear: Ear) -> None:
    shelf, helper = await CalDavShelf.build(radicale), await GoogleShelf.build()
    calendar: Calendar = shelf.calendar
    await channels(helper, ear).keep(calendar, "caldav", [], lease())
    assert helper.records.begun == {}
    with pytest.raises(Permanent, match=r"^push_unsupported$"):
        await calendar.watch(str(uuid.uuid4()), "t" * 43, ear.url)
    await shelf.close()
    await helper.close()


async def test_google_says_first_that_a_channel_is_open(ear: Ear) -> None:
    shelf = await GoogleShelf.build()
    await channels(shelf, ear).keep(shelf.calendar, shelf.name, [], lease())
    await until(lambda: bool(ear.heard))
    _, headers, body = ear.heard[0]
    assert (headers["X-Goog-Resource-State"], headers["X-Goog-Message-Number"], body) == ("sync", "1", None)
    await shelf.close()
