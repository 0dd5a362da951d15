"""Visitors book through the function `api`: with real clients, with hostile input, as programs, and too often."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg
import pytest
from aiohttp import web
from supabase import AsyncClientOptions, acreate_client

from sauti_local.functions import FunctionServer
from sauti_local.stack import Addresses, Stack
from tests.functions.booking import BOOK, BookingPage, open_page
from tests.functions.callers import assert_refused
from tests.functions.deno import deno_with_packages
from tests.support.users import sign_up

VISITOR = Path(__file__).with_name("visitor.ts")


@pytest.fixture
def page(addresses: Addresses) -> BookingPage:
    return open_page(addresses)


@pytest.fixture(autouse=True)
def forgetful(addresses: Addresses) -> None:
    """All tests come from one address: nobody remembers how often."""
    with psycopg.connect(addresses.db_url) as connection:
        connection.execute("delete from private.booking_counters")


async def test_a_visitor_books_and_the_professional_sees_who(http: httpx.AsyncClient, page: BookingPage) -> None:
    response = await page.book(http, page.order())
    assert response.status_code == 200, response.text
    assert set(response.json()) == {"appointment_id", "manage_token"}
    appointment_id = response.json()["appointment_id"]
    rest = f"{page.addresses.api_url}/rest/v1"
    select = {"appointment_id": f"eq.{appointment_id}", "select": "*,appointment_clients(*)"}
    [row] = (await http.get(f"{rest}/appointments", params=select, headers=page.professional.headers)).json()
    assert (row["status"], row["created_via"], row["duration_minutes"]) == ("requested", "public_booking", 60)
    assert row["appointment_clients"]["client_name"] == "Zawadi Mwangi"
    again = await page.book(http, page.order())
    assert_refused(again, 409, "slot_taken")


async def test_what_is_left_out_is_an_hour_of_consultation(http: httpx.AsyncClient, page: BookingPage) -> None:
    response = await page.book(http, page.order(duration_minutes=None, appointment_type=None))
    assert response.status_code == 200, response.text


async def test_a_message_may_be_as_long_as_its_column_in_any_script(http: httpx.AsyncClient, page: BookingPage) -> None:
    client = page.order()["client"] | {"message": "\N{HERB}" * 4000}
    body = json.dumps(page.order(client=client))
    assert len(body) > 40_000
    url = f"{page.addresses.api_url}/functions/v1{BOOK}"
    response = await http.post(url, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text


async def test_a_signed_in_survivor_books_as_such(http: httpx.AsyncClient, page: BookingPage) -> None:
    survivor = sign_up(page.addresses)
    response = await page.book(http, page.order(client={"client_name": "Zawadi"}), survivor.access_token)
    assert response.status_code == 200, response.text
    assert page.rows(
        "select survivor_id::text from public.appointments where appointment_id = %s", response.json()["appointment_id"]
    ) == [(survivor.id,)]
    forged = survivor.access_token[:-4] + "AAAA"
    assert_refused(await page.book(http, page.order(3), forged), 401, "not_authenticated")


async def test_the_python_client_books_moves_and_cancels(addresses: Addresses, page: BookingPage) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        client = await acreate_client(
            addresses.api_url, addresses.anon_key, AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
        )
        answer = await client.functions.invoke(
            BOOK.removeprefix("/"), {"body": page.order(), "headers": {"content-type": "application/json"}}
        )
        token = json.loads(answer)["manage_token"]
        moved_to = (page.monday + timedelta(hours=4)).isoformat()

        async def call(function: str, **parameters: str) -> dict[str, Any]:
            return cast(dict[str, Any], (await client.rpc(function, {"token": token} | parameters).execute()).data)

        looked = await call("booking_by_token")
        moved = await call("reschedule_booking", starts_at=moved_to)
        cancelled = await call("cancel_booking", reason="Travelling")
    assert looked["status"] == "requested"
    assert moved["starts_at"] == moved_to
    assert (cancelled["status"], cancelled["sequence"]) == ("cancelled", moved["sequence"] + 1)


def test_the_javascript_client_books_moves_and_cancels(addresses: Addresses, page: BookingPage) -> None:
    plan = {
        "api_url": addresses.api_url,
        "anon_key": addresses.anon_key,
        "professional_id": page.professional.id,
        "booking_slug": page.slug,
        "from_date": page.monday.date().isoformat(),
        "to_date": page.monday.date().isoformat(),
    }
    seen = json.loads(deno_with_packages(VISITOR, json.dumps(plan)))
    assert seen["errors"] == [None] * 5
    assert set(seen["booked"]) == {"appointment_id", "manage_token"}
    assert (seen["looked"]["status"], seen["looked"]["starts_at"]) == ("requested", seen["slots"][0])
    assert seen["moved"]["starts_at"] == seen["slots"][1]
    assert seen["cancelled"]["status"] == "cancelled"


# Hostile and clumsy input

HOSTILE: dict[str, tuple[dict[str, Any], int, str]] = {
    "slug unknown": ({"booking_slug": "nobody-here"}, 404, "not_found"),
    "slug missing": ({"booking_slug": None}, 422, "invalid_input"),
    "slug with SQL": ({"booking_slug": "x' or '1'='1"}, 404, "not_found"),
    "slug with a line break": ({"booking_slug": "a\r\nb"}, 422, "invalid_input"),
    "slug long": ({"booking_slug": "a" * 10_000}, 422, "invalid_input"),
    "slug a list": ({"booking_slug": ["a"]}, 422, "invalid_input"),
    "start missing": ({"starts_at": None}, 422, "invalid_input"),
    "start far off": ({"starts_at": "2999-01-01T09:00:00Z"}, 422, "invalid_input"),
    "start long ago": ({"starts_at": "1970-01-01T00:00:00Z"}, 422, "in_the_past"),
    "start infinite": ({"starts_at": "infinity"}, 422, "invalid_input"),
    "start in words": ({"starts_at": "tomorrow"}, 422, "invalid_input"),
    "start without an offset": ({"starts_at": "2027-01-04T09:00:00"}, 422, "invalid_input"),
    "start a number": ({"starts_at": 1_800_000_000}, 422, "invalid_input"),
    "start no date": ({"starts_at": "2027-02-30T25:61:00Z"}, 422, "invalid_input"),
    "duration too short": ({"duration_minutes": 1}, 422, "invalid_duration"),
    "duration too long": ({"duration_minutes": 100_000}, 422, "invalid_duration"),
    "duration negative": ({"duration_minutes": -60}, 422, "invalid_duration"),
    "duration beyond integers": ({"duration_minutes": 10**12}, 422, "invalid_input"),
    "duration a fraction": ({"duration_minutes": 60.5}, 422, "invalid_input"),
    "duration a text": ({"duration_minutes": "60"}, 422, "invalid_input"),
    "type with a line break": ({"appointment_type": "a\nATTENDEE:x"}, 422, "invalid_input"),
    "type long": ({"appointment_type": "a" * 61}, 422, "invalid_input"),
    "client missing": ({"client": None}, 422, "invalid_input"),
    "client a list": ({"client": []}, 422, "invalid_input"),
    "client a text": ({"client": "Zawadi"}, 422, "invalid_input"),
}
HOSTILE_CLIENTS: dict[str, dict[str, Any]] = {
    "no name": {"client_name": None},
    "name empty": {"client_name": "  "},
    "name with a header": {"client_name": "Eve\r\nBcc: all@example.org"},
    "name with a line separator": {"client_name": "Eve\u2028x"},
    "name with NUL": {"client_name": "Eve\0"},
    "name half a surrogate pair": {"client_name": "Eve\ud800"},
    "name turned around": {"client_name": "Eve\u202egro.elpmaxe"},
    "name with HTML": {"client_name": "<script>alert(1)</script>"},
    "name long": {"client_name": "x" * 121},
    "name an object": {"client_name": {"$ne": ""}},
    "no mail": {"client_email": None},
    "mail without a domain": {"client_email": "zawadi"},
    "mail with a header": {"client_email": "a@example.org\r\nBcc: b@example.org"},
    "two mails": {"client_email": "a@example.org,b@example.org"},
    "mail with a name": {"client_email": "Eve <a@example.org>"},
    "mail quoted": {"client_email": '"a b"@example.org'},
    "phone with letters": {"client_phone": "call me"},
    "phone long": {"client_phone": "1" * 100},
    "message long": {"message": "x" * 4001},
    "message with control characters": {"message": "a\u001b[2J"},
    "zone unknown": {"time_zone": "Mars/Olympus"},
    "zone a path": {"time_zone": "../../etc/passwd"},
    "locale odd": {"locale": "en; drop table"},
    "a field that is none": {"appointment_id": "00000000-0000-4000-8000-000000000000"},
}


@pytest.mark.parametrize("changes, status, symbol", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_bad_booking_is_refused_and_leaves_nothing(
    http: httpx.AsyncClient, page: BookingPage, changes: dict[str, Any], status: int, symbol: str
) -> None:
    before = page.written()
    assert_refused(await page.book(http, page.order(**changes)), status, symbol)
    assert page.written() == before


@pytest.mark.parametrize("changes", HOSTILE_CLIENTS.values(), ids=HOSTILE_CLIENTS.keys())
async def test_a_bad_client_is_refused_and_leaves_nothing(
    http: httpx.AsyncClient, page: BookingPage, changes: dict[str, Any]
) -> None:
    before = page.written()
    order = page.order()
    # Escaped as ASCII: half a surrogate pair can be sent in no other way.
    body = json.dumps(order | {"client": order["client"] | changes})
    url = f"{page.addresses.api_url}/functions/v1{BOOK}"
    response = await http.post(url, content=body, headers={"content-type": "application/json"})
    assert_refused(response, 422, "invalid_input")
    assert page.written() == before


@pytest.mark.parametrize(
    "options",
    [
        {"content": b"x" * 1_000_000, "headers": {"content-type": "application/json"}},
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"content": b"[" * 16_000, "headers": {"content-type": "application/json"}},
        {"json": []},
        {"data": {"booking_slug": "x"}},
        {},
    ],
    ids=["a megabyte", "no JSON", "deep", "a list", "a form", "nothing"],
)
async def test_a_bad_body_is_refused_and_leaves_nothing(
    http: httpx.AsyncClient, page: BookingPage, options: dict[str, Any]
) -> None:
    before = page.written()
    response = await http.post(f"{page.addresses.api_url}/functions/v1{BOOK}", **options)
    assert_refused(response, 422, "invalid_input")
    assert page.written() == before


async def test_a_message_of_a_megabyte_is_not_read(http: httpx.AsyncClient, page: BookingPage) -> None:
    before = page.written()
    client = {"client_name": "Eve", "client_email": "eve@example.org", "message": "x" * 1_000_000}
    assert_refused(await page.book(http, page.order(client=client)), 422, "invalid_input")
    assert page.written() == before


async def test_a_private_page_and_none_are_the_same_answer(http: httpx.AsyncClient, page: BookingPage) -> None:
    page.rows(
        "update public.professionals set is_public_booking = false where id = %s returning id", page.professional.id
    )
    private = await page.book(http, page.order())
    missing = await page.book(http, page.order(booking_slug="nobody-here"))
    assert_refused(private, 404, "not_found")
    assert private.json() == missing.json()


async def test_a_program_that_fills_the_hidden_field_believes_it_booked(
    http: httpx.AsyncClient, page: BookingPage
) -> None:
    before = page.written()
    pretended = await page.book(http, page.order(website="https://buy.example"))
    assert pretended.status_code == 200
    assert page.written() == before
    real = await page.book(http, page.order(website=""))
    assert real.status_code == 200
    assert {name: len(value) for name, value in pretended.json().items()} == {
        name: len(value) for name, value in real.json().items()
    }


# Limits


@pytest.fixture
def one_an_hour(addresses: Addresses) -> Iterator[None]:
    with psycopg.connect(addresses.db_url, autocommit=True) as connection:
        connection.execute("update private.booking_settings set requester_hourly = 1")
        yield
        connection.execute("update private.booking_settings set requester_hourly = default")


@pytest.mark.usefixtures("one_an_hour")
async def test_one_address_cannot_book_again_and_again(http: httpx.AsyncClient, page: BookingPage) -> None:
    assert (await page.book(http, page.order())).status_code == 200
    before = page.written()
    elsewhere = {"x-forwarded-for": "203.0.113.9", "x-sauti-visitor-address": "203.0.113.9"}
    for headers in ({}, elsewhere):
        url = f"{page.addresses.api_url}/functions/v1{BOOK}"
        assert_refused(await http.post(url, json=page.order(2), headers=headers), 429, "too_many_requests")
    assert page.written() == before
    survivor = sign_up(page.addresses)
    assert (await page.book(http, page.order(2), survivor.access_token)).status_code == 200


# CAPTCHA


class Judge:
    """A stand-in for Turnstile: one token is good, once."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    async def verify(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        return web.json_response({"success": form["response"] == "solved" and len(self.asked) == 1})


@pytest.fixture
async def guarded(stack: Stack, tmp_path: Path) -> AsyncIterator[tuple[str, Judge]]:
    """The functions of an operator who asks for a CAPTCHA."""
    judge = Judge()
    app = web.Application()
    app.router.add_post("/siteverify", judge.verify)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/siteverify"
    environment = stack.environment | {"SAUTI_CAPTCHA_URL": url, "SAUTI_CAPTCHA_SECRET": "operator"}
    server = FunctionServer(environment, tmp_path / "functions.log")
    await server.start()
    yield server.url, judge
    await server.stop()
    await runner.cleanup()


async def test_where_a_captcha_is_asked_for_only_a_good_token_books(
    http: httpx.AsyncClient, page: BookingPage, guarded: tuple[str, Judge]
) -> None:
    url, judge = guarded
    before = page.written()
    missing = await http.post(url + BOOK, json=page.order())
    assert_refused(missing, 422, "invalid_input")
    assert judge.asked == []
    good = await http.post(url + BOOK, json=page.order(captcha_token="solved"))
    assert good.status_code == 200, good.text
    assert {name: judge.asked[0][name] for name in ("secret", "response")} == {
        "secret": "operator",
        "response": "solved",
    }
    after = page.written()
    assert after != before
    for token in ("guessed", "solved"):
        refused = await http.post(url + BOOK, json=page.order(2, captcha_token=token))
        assert_refused(refused, 422, "invalid_input")
    assert page.written() == after


def test_nobody_can_skip_the_function_and_name_another_address(addresses: Addresses, page: BookingPage) -> None:
    """On the Data API, the header that the function sends counts for nothing."""
    with psycopg.connect(addresses.db_url) as connection:
        rows = connection.execute(
            "select set_config('request.headers', %s, true), set_config('request.jwt.claims', %s, true),"
            " private.visitor_address()",
            [
                json.dumps({"x-sauti-visitor-address": "203.0.113.9", "x-forwarded-for": "192.0.2.1"}),
                '{"role": "anon"}',
            ],
        ).fetchall()
    assert rows[0][2] == "192.0.2.1"
