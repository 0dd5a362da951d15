"""What providers tell of changes, end to end: an address for the whole world that believes a channel's token alone."""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from sauti_local.stack import Addresses, Stack
from sauti_sync.credentials import TokenKeys
from tests.functions.callers import assert_refused
from tests.support.users import sign_up

NUMBERS = {"google": "X-Goog-Message-Number"}


@dataclass
class Door:
    """A professional's calendar with an open channel, and the address that its provider tells."""

    provider: str
    url: str
    connection: psycopg.Connection[tuple[Any, ...]]
    connection_id: str
    channel_id: str
    token: str
    number: int = 1

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode(), {"id": self.connection_id}).fetchall()

    def written(self) -> list[Any]:
        return [
            self.rows("select * from private.calendar_channels where connection_id = %(id)s"),
            self.rows("select * from private.calendar_pulls where connection_id = %(id)s"),
            self.readings(),
        ]

    def readings(self) -> list[str]:
        return [
            row[0]
            for row in self.rows(
                "select state from private.outbox_jobs where connection_id = %(id)s and kind = 'calendar_pull'"
            )
        ]

    def message(self, **changes: Any) -> dict[str, Any]:
        """Arguments of a request as the provider sends it."""
        given = {"channel": self.channel_id, "token": self.token, "resource": "resource", "state": "exists"} | changes
        self.number += 1
        if self.provider == "google":
            headers = {
                "X-Goog-Channel-ID": given["channel"],
                "X-Goog-Channel-Token": given["token"],
                "X-Goog-Resource-ID": given["resource"],
                "X-Goog-Resource-State": given["state"],
                "X-Goog-Message-Number": given.get("number", str(self.number)),
            }
            return {"headers": {name: value for name, value in headers.items() if value is not None}}
        news = {"changeType": "updated"} if given["state"] == "exists" else {"lifecycleEvent": given["state"]}
        value = {"subscriptionId": given["resource"], "clientState": f"{given['channel']}.{given['token']}"} | news
        return {"json": {"value": [value]}}

    async def tell(self, **options: Any) -> httpx.Response:
        """No key, no session: as the providers come."""
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            return await http.post(self.url, **options)


@pytest.fixture(params=["google", "microsoft"])
def door(request: pytest.FixtureRequest, stack: Stack, addresses: Addresses) -> Iterator[Door]:
    owner = sign_up(addresses, "professional")
    keys = TokenKeys.parse(stack.environment["SAUTI_TOKEN_KEYS"])
    key, token = addresses.service_role_key, secrets.token_urlsafe(32)
    stored = httpx.post(
        f"{addresses.api_url}/rest/v1/rpc/store_calendar_connection",
        headers={"apikey": key, "Authorization": f"Bearer {key}"},
        json={
            "user_id": owner.id, "provider": request.param, "account_label": "mine", "calendar_id": "primary",
            "credentials": keys.encrypt({"x": "y"}, owner.id, request.param),
        },
        trust_env=False,
        timeout=30,
    ).raise_for_status()  # fmt: skip
    connection_id = str(stored.json()["id"])
    with psycopg.connect(addresses.db_url, autocommit=True) as connection:
        connection.execute(
            "update private.calendar_pulls set next_at = '2100-01-01' where connection_id = %s", (connection_id,)
        )
        row = connection.execute(
            "insert into private.calendar_channels (connection_id, token_hash, resource_id, expires_at)"
            " values (%s, %s, 'resource', now() + interval '7 days') returning id::text",
            (connection_id, hashlib.sha256(token.encode()).hexdigest()),
        ).fetchone()
        assert row is not None
        url = f"{addresses.api_url}/functions/v1/api/calendar/{request.param}/changes"
        yield Door(request.param, url, connection, connection_id, row[0], token)
        connection.execute("delete from public.calendar_connections where id = %s", (connection_id,))
        connection.execute("delete from private.outbox_jobs where kind = 'calendar_disconnect'")


async def test_a_change_queues_one_reading_however_often_it_is_told(door: Door) -> None:
    for _ in range(3):
        answer = await door.tell(**door.message())
        assert answer.status_code == (204 if door.provider == "google" else 202)
    assert door.readings() == ["pending"]


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "A" * 43},
        {"token": ""},
        {"token": "short"},
        {"token": "A" * 5000},
        {"channel": str(uuid.UUID(int=1))},
        {"channel": "no-uuid"},
        {"channel": ""},
        {"resource": "another"},
        {"resource": ""},
        {"resource": "x" * 501},
    ],
    ids=lambda changes: "-".join(f"{name}-{len(value)}-{value[:7]}" for name, value in changes.items()),
)
async def test_what_is_not_believed_is_one_answer_and_writes_nothing(door: Door, changes: dict[str, Any]) -> None:
    before = door.written()
    refused = await door.tell(**door.message(**changes))
    assert_refused(refused, 404, "not_found")
    nowhere = await door.tell(**door.message(channel=str(uuid.uuid4())))
    assert refused.json() == nowhere.json()
    assert door.written() == before


async def test_a_calendar_that_was_disconnected_is_nowhere(door: Door) -> None:
    door.connection.execute("update public.calendar_connections set status = 'disabled' where true")
    before = door.written()
    assert_refused(await door.tell(**door.message()), 404, "not_found")
    assert door.written() == before


async def test_another_provider_s_address_believes_no_token_of_this_one(door: Door) -> None:
    other = "microsoft" if door.provider == "google" else "google"
    before = door.written()
    twin = Door(other, door.url.replace(door.provider, other), door.connection, door.connection_id,
                door.channel_id, door.token)  # fmt: skip
    assert_refused(await twin.tell(**twin.message()), 404, "not_found")
    assert door.written() == before


async def test_only_post_is_taken(door: Door) -> None:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        assert_refused(await http.get(door.url), 405, "method_not_allowed")


async def test_no_log_holds_a_token(door: Door, stack: Stack) -> None:
    await door.tell(**door.message())
    await door.tell(**door.message(resource="another"))
    logs = list(stack.addresses.logs.rglob("*.log"))
    assert "functions.log" in [path.name for path in logs]
    assert not any(door.token in path.read_text(encoding="utf-8", errors="replace") for path in logs)


@pytest.mark.parametrize("door", ["google"], indirect=True)
class TestGoogle:
    async def test_the_first_message_is_no_change(self, door: Door) -> None:
        assert (await door.tell(**door.message(state="sync", number="1"))).status_code == 204
        assert door.readings() == []

    async def test_a_message_that_comes_again_is_not_believed(self, door: Door) -> None:
        message = door.message()
        assert (await door.tell(**message)).status_code == 204
        door.connection.execute("delete from private.outbox_jobs where connection_id = %s", (door.connection_id,))
        before = door.written()
        assert_refused(await door.tell(**message), 404, "not_found")
        assert_refused(await door.tell(**door.message(number="2")), 404, "not_found")
        assert door.written() == before

    @pytest.mark.parametrize("number", ["", "-1", "1e3", "9" * 16, "0x10", "1 or 1"])
    async def test_a_number_is_a_number(self, door: Door, number: str) -> None:
        before = door.written()
        assert_refused(await door.tell(**door.message(number=number)), 404, "not_found")
        assert door.written() == before

    async def test_an_unknown_state_is_no_message(self, door: Door) -> None:
        before = door.written()
        assert_refused(await door.tell(**door.message(state="canary")), 404, "not_found")
        assert door.written() == before


@pytest.mark.parametrize("door", ["microsoft"], indirect=True)
class TestMicrosoft:
    async def test_the_address_echoes_what_graph_asks_it_as_plain_text(self, door: Door) -> None:
        before = door.written()
        echo = "Validation: <script>alert(1)</script> +/&="
        answer = await door.tell(params={"validationToken": echo})
        assert (answer.status_code, answer.text) == (200, echo)
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
        for wrong in ("", "x" * 2049):
            assert_refused(await door.tell(params={"validationToken": wrong}), 404, "not_found")
        assert door.written() == before

    async def test_a_subscription_that_is_lost_is_believed_no_more_and_leads_to_a_reading(self, door: Door) -> None:
        assert (await door.tell(**door.message(state="subscriptionRemoved"))).status_code == 202
        assert door.readings() == ["pending"]
        assert_refused(await door.tell(**door.message()), 404, "not_found")

    async def test_one_good_message_among_strange_ones_is_believed(self, door: Door) -> None:
        good = door.message()["json"]["value"][0]
        strange = [None, 7, "x", [], {}, {"clientState": 1}, {"clientState": "a.b.c"}, good | {"clientState": "x"}]
        assert (await door.tell(json={"value": [*strange, good]})).status_code == 202
        assert door.readings() == ["pending"]

    @pytest.mark.parametrize(
        "body",
        [b"", b"null", b"[]", b'{"value": null}', b'{"value": {}}', b'{"value": []}', b"\xff", b"{" * 9000],
        ids=["nothing", "null", "list", "none", "object", "empty", "bytes", "deep"],
    )
    async def test_what_is_no_message_is_not_found(self, door: Door, body: bytes) -> None:
        before = door.written()
        assert_refused(await door.tell(content=body), 404, "not_found")
        assert door.written() == before

    async def test_a_body_without_end_is_not_read(self, door: Door) -> None:
        good = door.message()["json"]["value"][0]
        body = json.dumps({"value": [good | {"x": "y" * 70_000}]}).encode()
        assert_refused(await door.tell(content=body), 422, "invalid_input")
        assert door.readings() == []
