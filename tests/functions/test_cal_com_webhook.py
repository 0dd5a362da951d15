"""Cal.com's deliveries end to end: gateway, Deno, PostgREST, Postgres; nothing without the right signature."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest

from sauti_local.stack import Addresses, Stack
from sauti_sync.credentials import TokenKeys
from tests.functions.callers import Caller, assert_refused, call
from tests.support.cal_com import CUSTOM_TEMPLATES, Story, a_tuesday, body_of, sign
from tests.support.users import sign_up

CONNECT = "/api/calendar/cal-com"
LINK = "https://cal.com/amina"
SECRET = "a webhook's secret"
WRITTEN = (
    "public.appointments", "public.appointment_clients", "private.cal_com_bookings", "private.cal_com_deliveries",
    "public.cal_com_conflicts",
)  # fmt: skip


@dataclass
class Page:
    """A professional's Cal.com account."""

    http: httpx.AsyncClient
    addresses: Addresses
    id: str
    token: str
    url: str = ""
    story: Story = field(default_factory=lambda: Story(a_tuesday()))

    async def connect(self, **changes: Any) -> httpx.Response:
        order = {"booking_link": LINK, "webhook_secret": SECRET} | changes
        content, headers = json.dumps(order), {"content-type": "application/json"}
        base = f"{self.addresses.api_url}/functions/v1"
        return await call(self.http, base, "POST", CONNECT, self.token, content=content, headers=headers)

    async def deliver(self, event: Any, signature: str | None = None, body: bytes | None = None) -> httpx.Response:
        """As Cal.com sends it: no key, no token. `signature` replaces the right one, "" leaves it out."""
        body = body_of(event) if body is None else body
        headers = {"content-type": "application/json", "x-cal-webhook-version": "2021-10-20"}
        if signature != "":
            headers["x-cal-signature-256"] = sign(body, SECRET) if signature is None else signature
        async with httpx.AsyncClient(timeout=30, trust_env=False) as cal_com:
            return await cal_com.post(self.url, content=body, headers=headers)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.addresses.db_url) as connection:
            return connection.execute(query.encode(), {"id": self.id}).fetchall()

    def written(self) -> list[int]:
        return [self.rows(f"select count(*) from {relation}")[0][0] for relation in WRITTEN]

    def live(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "select appointment_date, status::text from public.appointments"
            " where professional_id = %(id)s and status <> 'cancelled' order by 1"
        )


@pytest.fixture
async def page(http: httpx.AsyncClient, addresses: Addresses) -> Page:
    user = sign_up(addresses, "professional")
    page = Page(http, addresses, user.id, user.access_token)
    response = await page.connect()
    assert response.status_code == 200, response.text
    page.url = response.json()["webhook_url"]
    return page


async def test_connecting_gives_the_webhooks_address_and_stores_only_a_ciphertext(page: Page, stack: Stack) -> None:
    assert page.url == f"{page.addresses.api_url}/functions/v1/cal-com-webhook/{page.id}"
    [(link, status, ciphertext)] = page.rows(
        "select booking_link, status, ciphertext from public.cal_com_connections join private.cal_com_secrets"
        " using (professional_id) where professional_id = %(id)s"
    )
    assert (link, status) == (LINK, "active")
    assert SECRET not in ciphertext
    keys = TokenKeys.parse(stack.environment["SAUTI_TOKEN_KEYS"])
    assert keys.decrypt(ciphertext, page.id, "cal_com") == {"webhook_secret": SECRET}


async def test_a_new_secret_replaces_the_old_one(page: Page) -> None:
    assert (await page.connect(webhook_secret="another secret")).status_code == 200
    event = page.story.created("a")
    assert_refused(await page.deliver(event), 401, "not_authenticated")
    response = await page.deliver(event, sign(body_of(event), "another secret"))
    assert response.json() == {"outcome": "applied"}


@pytest.mark.parametrize(
    "changes",
    [
        {"booking_link": None},
        {"booking_link": "cal.com/amina"},
        {"booking_link": "http://cal.com/amina"},
        {"booking_link": "https://amina:secret@cal.com/"},
        {"booking_link": "https://cal.com/" + "a" * 500},
        {"webhook_secret": ""},
        {"webhook_secret": "a\nb"},
        {"webhook_secret": ["a"]},
        {"webhook_secret": "a" * 1001},
    ],
    ids=lambda changes: " ".join(f"{name}={str(value)[:20]!r}" for name, value in changes.items()),
)
async def test_a_bad_connection_is_not_stored(page: Page, changes: dict[str, Any]) -> None:
    before = page.rows("select * from private.cal_com_secrets where professional_id = %(id)s")
    assert_refused(await page.connect(**changes), 422, "invalid_input")
    assert page.rows("select * from private.cal_com_secrets where professional_id = %(id)s") == before


async def test_only_professionals_connect(http: httpx.AsyncClient, addresses: Addresses, ada: Caller) -> None:
    survivor = Page(http, addresses, ada.id, ada.token)
    assert_refused(await survivor.connect(), 403, "not_allowed")
    assert_refused(await Page(http, addresses, ada.id, "").connect(), 401, "not_authenticated")


async def test_a_booking_is_made_moved_and_cancelled(page: Page) -> None:
    story = page.story
    response = await page.deliver(story.created("a", form=".000Z"))
    assert (response.status_code, response.json()) == (200, {"outcome": "applied"})
    assert response.headers["cache-control"] == "no-store"
    assert page.live() == [(story.at(0), "confirmed")]
    await page.deliver(story.rescheduled("b", "a", 3, form="+00:00"))
    assert page.live() == [(story.at(3), "confirmed")]
    await page.deliver(story.meeting("MEETING_STARTED", "b", 3))
    await page.deliver(story.cancelled("b", 3))
    assert page.live() == []


async def test_the_same_delivery_again_is_answered_well_and_counts_once(page: Page) -> None:
    event = page.story.created("a")
    assert [(await page.deliver(event)).json()["outcome"] for _ in range(3)] == ["applied", "duplicate", "duplicate"]
    before = page.written()
    await page.deliver(page.story.created("b", 4))
    assert page.written() != before


async def test_a_conflict_is_no_reason_to_send_again(page: Page) -> None:
    await page.deliver(page.story.created("a"))
    response = await page.deliver(page.story.created("b", 0.5))
    assert (response.status_code, response.json()) == (200, {"outcome": "conflict"})
    await page.deliver(page.story.cancelled("a"))
    assert page.live() == [(page.story.at(0.5), "confirmed")]


async def test_a_wrong_signature_writes_nothing(page: Page) -> None:
    await page.deliver(page.story.created("a"))
    before = page.written()
    event = page.story.cancelled("a")
    body = body_of(event)
    good = sign(body, SECRET)
    for signature in (
        "", "no-secret-provided", "0" * 64, good[:-1], good + "0", f"sha256={good}", good.upper(), sign(body, ""),
        sign(body, "wrong"), sign(body + b" ", SECRET), f"{good[:-1]}g",
    ):  # fmt: skip
        assert_refused(await page.deliver(event, signature), 401, "not_authenticated")
    changed = body.replace(b"Travelling", b"travelling")
    assert_refused(await page.deliver(event, good, changed), 401, "not_authenticated")
    assert page.written() == before
    assert page.rows("select status from public.cal_com_connections where professional_id = %(id)s") == [("active",)]


async def test_another_professional_and_nobody_are_the_same_answer(page: Page) -> None:
    event = page.story.created("a")
    wrong = await page.deliver(event, "0" * 64)
    before = page.written()
    other = sign_up(page.addresses, "professional")
    for professional_id in (other.id, "00000000-0000-4000-8000-000000000000", "x", "%00", f"{page.id}'--"):
        page.url = f"{page.addresses.api_url}/functions/v1/cal-com-webhook/{professional_id}"
        response = await page.deliver(event)
        assert_refused(response, 401, "not_authenticated")
        assert response.json() == wrong.json()
    assert page.written() == before


async def test_a_secret_copied_to_another_professional_opens_nothing(page: Page) -> None:
    other = sign_up(page.addresses, "professional")
    with psycopg.connect(page.addresses.db_url) as connection:
        connection.execute(
            "insert into public.cal_com_connections (professional_id, booking_link) values (%s, %s)", [other.id, LINK]
        )
        connection.execute(
            "insert into private.cal_com_secrets (professional_id, ciphertext)"
            " select %s, ciphertext from private.cal_com_secrets where professional_id = %s",
            [other.id, page.id],
        )
    page.url = page.url.replace(page.id, other.id)
    assert (await page.deliver(page.story.created("a"))).status_code == 500
    assert page.rows(f"select 1 from public.appointments where professional_id = '{other.id}'") == []


@pytest.mark.parametrize("event", CUSTOM_TEMPLATES.values(), ids=CUSTOM_TEMPLATES.keys())
async def test_a_custom_payload_is_refused_and_the_connection_says_so(page: Page, event: Any) -> None:
    before = page.written()
    response = await page.deliver(event)
    assert_refused(response, 422, "invalid_input")
    assert "template" in response.json()["hint"]
    assert page.written() == before
    state = "select status, last_error from public.cal_com_connections where professional_id = %(id)s"
    assert page.rows(state) == [("needs_attention", "custom_payload_template")]


async def test_a_body_that_is_no_json_is_a_custom_payload(page: Page) -> None:
    for body in (b"", b"New booking: Zawadi", b'{"triggerEvent":', b"\xff\xfe", b"[" * 1000):
        assert_refused(await page.deliver(None, body=body), 422, "invalid_input")
    state = "select status from public.cal_com_connections where professional_id = %(id)s"
    assert page.rows(state) == [("needs_attention",)]


async def test_a_body_without_end_is_not_read(page: Page) -> None:
    before = page.written()
    event = page.story.created("a", description="x" * 300_000)
    assert_refused(await page.deliver(event), 422, "invalid_input")
    assert page.written() == before


async def test_letters_that_cannot_be_stored_cost_no_booking(page: Page) -> None:
    attendee = {"name": "Za\0wa\ud800di", "email": "z@example.org", "timeZone": "Africa/Nairobi"}
    response = await page.deliver(page.story.created("a", attendees=[attendee]))
    assert (response.status_code, response.json()) == (200, {"outcome": "applied"})


async def test_only_posts_are_taken(page: Page) -> None:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        assert_refused(await client.get(page.url), 405, "method_not_allowed")
        assert_refused(await client.post(f"{page.url}/more", content=b"{}"), 404, "not_found")
