"""`cal-com reconcile` against a stand-in of Cal.com's API v2 and the real database behind the Data API."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from aiohttp import web

from sauti_local.calendar import python_environment
from sauti_local.stack import Stack
from sauti_sync.commands.cal_com import events
from sauti_sync.errors import Permanent
from tests.support.users import User

Booking = dict[str, Any]
KEY = "cal_live_0123456789"
#: A Tuesday at nine, some months from now: bookings of the past are not asked for.
DAY = (datetime.now(UTC) + timedelta(days=120)).replace(hour=9, minute=0, second=0, microsecond=0)


class CalCom:
    """A small Cal.com: `GET /v2/bookings`, in pages, and whatever goes wrong on the way."""

    def __init__(self) -> None:
        self.bookings: list[Booking] = []
        self.asked: list[web.Request] = []
        #: Answers given before any other, first one first.
        self.troubles: list[web.Response] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if self.troubles:
            return self.troubles.pop(0)
        if (
            request.headers.get("Authorization") != f"Bearer {KEY}"
            or request.headers["cal-api-version"] != "2024-08-13"
        ):
            return web.json_response({"status": "error"}, status=401)
        skip, take = int(request.query["skip"]), int(request.query["take"])
        found = [one for one in self.bookings if one["start"] >= request.query["afterStart"]][skip : skip + take]
        return web.json_response({"status": "success", "data": found, "pagination": {"returnedItems": len(found)}})


@pytest.fixture
async def cal_com() -> AsyncIterator[CalCom]:
    server = CalCom()
    app = web.Application()
    app.router.add_get("/v2/bookings", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def booking(uid: str, hours: float = 0, status: str = "accepted", made: int = 0, **more: Any) -> Booking:
    start = DAY + timedelta(hours=hours)
    form = "%Y-%m-%dT%H:%M:%S.000Z"
    return {
        "id": 1,
        "uid": uid,
        "status": status,
        "start": start.strftime(form),
        "end": (start + timedelta(hours=1)).strftime(form),
        "duration": 60,
        "eventType": {"id": 3, "slug": "intro-call"},
        "meetingUrl": "https://app.cal.com/video/x",
        "location": "integrations:daily",
        "attendees": [
            {
                "name": "Zawadi",
                "email": "zawadi@example.org",
                "timeZone": "Africa/Nairobi",
                "language": "sw",
                "absent": False,
            }
        ],
        "createdAt": "2026-11-01T12:00:00.000Z",
        "updatedAt": f"2026-11-01T13:{made:02d}:00.000Z",
    } | more


class Command:
    """The command as a process, for one professional."""

    def __init__(self, stack: Stack, cal_com: CalCom, professional: User) -> None:
        self.stack, self.cal_com, self.professional = stack, cal_com, professional

    async def __call__(self, *arguments: str, key: str = KEY, professional_id: str = "") -> tuple[int, str, str]:
        environment = {
            "SUPABASE_URL": self.stack.addresses.api_url,
            "SUPABASE_SERVICE_ROLE_KEY": self.stack.addresses.service_role_key,
            "SAUTI_CAL_COM_API_URL": self.cal_com.url,
            "SAUTI_CAL_COM_API_KEY": key,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "sauti_sync", "cal-com", "reconcile",
            professional_id or self.professional.id, *arguments,
            env=python_environment() | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            output, errors = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode(), errors.decode()

    async def counts(self) -> dict[str, int]:
        status, output, errors = await self("--json")
        assert status == 0, errors
        counted: dict[str, int] = json.loads(output)
        return counted

    def live(self) -> list[tuple[float, str]]:
        with psycopg.connect(self.stack.addresses.db_url) as connection:
            rows = connection.execute(
                "select appointment_date, status::text from public.appointments"
                " where professional_id = %s and status <> 'cancelled' order by 1",
                [self.professional.id],
            ).fetchall()
        return [((moment - DAY) / timedelta(hours=1), status) for moment, status in rows]


@pytest.fixture
def command(stack: Stack, cal_com: CalCom, new_user: Callable[..., User]) -> Command:
    return Command(stack, cal_com, new_user("professional"))


async def test_missed_bookings_are_made_moved_and_cancelled_and_nothing_happens_twice(
    cal_com: CalCom, command: Command
) -> None:
    cal_com.bookings = [
        booking("a"),
        booking("b", 2, "pending"),
        booking("c", 4, "cancelled", cancellationReason="Travelling"),
        booking("d", 6, "rejected"),
    ]
    assert await command.counts() == {"bookings": 4, "applied": 4}
    assert command.live() == [(0, "confirmed"), (2, "requested")]
    assert await command.counts() == {"bookings": 4, "duplicate": 4}

    cal_com.bookings = [
        booking("a", 0, "cancelled", 5, rescheduledToUid="e"),
        booking("b", 2, "accepted", 5),
        booking("e", 8, "accepted", 5, rescheduledFromUid="a"),
    ]
    assert (await command.counts())["applied"] == 3
    assert command.live() == [(2, "confirmed"), (8, "confirmed")]
    with psycopg.connect(command.stack.addresses.db_url) as connection:
        (rows,) = connection.execute(
            "select count(*) from public.appointments where professional_id = %s", [command.professional.id]
        ).fetchall()
    assert rows == (2,), "a moved booking keeps its appointment"


async def test_many_bookings_come_in_pages(cal_com: CalCom, command: Command) -> None:
    cal_com.bookings = [booking(f"x{number}", 24 * number, "cancelled") for number in range(201)]
    assert (await command.counts())["bookings"] == 201
    assert [request.query["skip"] for request in cal_com.asked] == ["0", "100", "200"]


async def test_a_busy_server_is_asked_again(cal_com: CalCom, command: Command) -> None:
    cal_com.bookings = [booking("a")]
    cal_com.troubles = [web.Response(status=429, headers={"Retry-After": "0"}), web.Response(status=503)]
    assert await command.counts() == {"bookings": 1, "applied": 1}


async def test_a_refused_key_changes_nothing_and_is_not_printed(cal_com: CalCom, command: Command) -> None:
    cal_com.bookings = [booking("a")]
    status, output, errors = await command(key="cal_live_wrong")
    assert (status, output) == (1, "")
    assert errors == "sauti-sync cal-com: cal_com_key_refused\n"
    assert command.live() == []


@pytest.mark.parametrize("answer", ["[]", "{}", '{"data": [1]}', '{"data": [{"uid": "a"}]}', "<html>"])
async def test_an_answer_that_cannot_be_read_is_an_error_not_a_guess(
    cal_com: CalCom, command: Command, answer: str
) -> None:
    cal_com.troubles = [web.Response(text=answer, content_type="application/json")]
    status, _, errors = await command()
    assert (status, errors) == (1, "sauti-sync cal-com: cal_com_answer_unreadable\n")


async def test_whoever_is_no_professional_is_refused(cal_com: CalCom, command: Command) -> None:
    cal_com.bookings = [booking("a")]
    status, _, errors = await command(professional_id="00000000-0000-4000-8000-000000000000")
    assert (status, errors) == (1, "sauti-sync cal-com: database_refused_404\n")
    assert (await command(professional_id="amina"))[0] == 2


def test_absence_is_told_after_the_booking() -> None:
    one = booking("a")
    one["attendees"][0]["absent"] = True
    assert [event["triggerEvent"] for event in events([one])] == ["BOOKING_CREATED", "BOOKING_NO_SHOW_UPDATED"]


def test_successors_come_before_the_bookings_they_replace() -> None:
    found = list(events([booking("a", 0, "cancelled", rescheduledToUid="b"), booking("b", 2, rescheduledFromUid="a")]))
    assert [event["payload"]["uid"] for event in found] == ["b", "a"]
    assert found[0]["payload"]["rescheduleUid"] == "a"


def test_unknown_states_are_left_alone_and_broken_bookings_are_errors() -> None:
    assert list(events([booking("a", status="awaiting_host")])) == []
    with pytest.raises(Permanent, match="cal_com_answer_unreadable"):
        list(events([{"status": "accepted", "start": "x"}]))
