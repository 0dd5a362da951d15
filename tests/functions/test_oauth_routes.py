"""Connecting Google and Microsoft, end to end: real functions under Deno, a real database, a stand-in provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest

from sauti_local.functions import FunctionServer
from sauti_local.stack import Addresses, Stack
from sauti_sync.credentials import TokenKeys
from tests.functions.callers import Caller, assert_refused, connections
from tests.support.loop_thread import LoopThread
from tests.sync.stand_ins.google import GoogleStandIn
from tests.sync.stand_ins.microsoft import MicrosoftStandIn
from tests.sync.stand_ins.server import StandIn

APP = "https://app.example/calendar"
SCOPES = {
    "google": "https://www.googleapis.com/auth/calendar.events",
    "microsoft": "offline_access https://graph.microsoft.com/Calendars.ReadWrite",
}
PATHS = {"google": "/o/oauth2/v2/auth", "microsoft": "/common/oauth2/v2.0/authorize"}


@dataclass(frozen=True)
class Served:
    """A stand-in, functions that are told of it, and their log."""

    provider: str
    server: StandIn
    url: str
    log: Path


@dataclass
class Door:
    """One provider's stand-in, and the functions that know where it is."""

    provider: str
    server: StandIn
    functions: str
    http: httpx.AsyncClient
    stack: Stack

    async def begin(self, caller: Caller | None) -> httpx.Response:
        headers = {"authorization": f"Bearer {caller.token}"} if caller else {}
        return await self.http.get(f"{self.functions}/api/auth/{self.provider}-calendar", headers=headers)

    async def consent(self, caller: Caller) -> dict[str, str]:
        """What stands in the address of the consent page."""
        answer = await self.begin(caller)
        assert answer.status_code == 200, answer.text
        url = urlsplit(answer.json()["url"])
        assert answer.json()["url"].startswith(self.server.url + PATHS[self.provider] + "?")
        return {name: values[0] for name, values in parse_qs(url.query).items()}

    def agree(self, caller: Caller, asked: dict[str, str], scope: str | None = None) -> str:
        """The person consents; gives back the code."""
        return self.server.grant_code(
            caller.id,
            code_challenge=asked["code_challenge"],
            redirect_uri=asked["redirect_uri"],
            scope=asked["scope"] if scope is None else scope,
        )

    async def come_back(self, **query: str) -> dict[str, str]:
        """The provider sends the browser back; what the app is told."""
        answer = await self.http.get(f"{self.functions}/api/auth/{self.provider}-calendar/callback", params=query)
        assert answer.status_code == 302, answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        address, _, told = answer.headers["location"].partition("?")
        assert address == APP
        return {name: values[0] for name, values in parse_qs(told).items()}

    def states(self) -> list[tuple[str, str]]:
        with psycopg.connect(self.stack.addresses.db_url) as connection:
            return connection.execute("select state_hash, verifier from private.oauth_states").fetchall()


@pytest.fixture(scope="module", params=["google", "microsoft"])
def served(
    request: pytest.FixtureRequest, stack: Stack, loop_thread: LoopThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A stand-in, and functions that are told of it."""
    server: StandIn = GoogleStandIn() if request.param == "google" else MicrosoftStandIn()
    loop_thread.run(server.start())
    name = f"SAUTI_{request.param.upper()}"
    environment = stack.environment | {
        f"{name}_CLIENT_ID": "client",
        f"{name}_CLIENT_SECRET": "client-secret",
        f"{name}_OAUTH_URL": server.url,
        f"{name}_API_URL": server.url,
        "SAUTI_APP_URL": APP,
    }
    log: Path = tmp_path_factory.mktemp("functions") / "functions.log"
    functions = FunctionServer(environment, log)
    loop_thread.run(functions.start())
    yield Served(request.param, server, functions.url, log)
    loop_thread.run(functions.stop())
    loop_thread.run(server.stop())


@pytest.fixture
async def door(served: Served, stack: Stack) -> AsyncIterator[Door]:
    with psycopg.connect(stack.addresses.db_url, autocommit=True) as connection:
        connection.execute("delete from private.oauth_states")
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        yield Door(served.provider, served.server, served.url, http, stack)


async def test_a_person_who_consents_has_a_calendar_with_encrypted_tokens(
    door: Door, addresses: Addresses, stack: Stack, ada: Caller
) -> None:
    asked = await door.consent(ada)
    told = await door.come_back(state=asked["state"], code=door.agree(ada, asked))
    assert told == {"calendar": "connected"}
    [(_, provider, ciphertext)] = connections(addresses, ada)
    assert provider == door.provider
    tokens = TokenKeys.parse(stack.environment["SAUTI_TOKEN_KEYS"]).decrypt(ciphertext, ada.id, provider)
    assert set(tokens) == {"access_token", "refresh_token", "expires_at"}
    assert door.server.access[tokens["access_token"]] == ada.id
    with psycopg.connect(addresses.db_url) as connection:
        row = connection.execute(
            "select account_label, calendar_id, status from public.calendar_connections where user_id = %s", [ada.id]
        ).fetchone()
    assert row == (f"{ada.id}@example.org", "primary", "active")


async def test_the_consent_page_is_asked_for_the_least_with_proof_of_possession(door: Door, ada: Caller) -> None:
    asked = await door.consent(ada)
    assert asked["scope"] == SCOPES[door.provider]
    assert (asked["response_type"], asked["code_challenge_method"], asked["client_id"]) == ("code", "S256", "client")
    assert len(asked["code_challenge"]) == 43
    assert asked["redirect_uri"].endswith(f"/functions/v1/api/auth/{door.provider}-calendar/callback")
    if door.provider == "google":
        assert (asked["access_type"], asked["prompt"]) == ("offline", "consent")


async def test_neither_state_nor_verifier_is_readable_in_the_database(door: Door, ada: Caller) -> None:
    asked = await door.consent(ada)
    [(state_hash, verifier)] = door.states()
    assert asked["state"] not in state_hash
    assert len(state_hash) == 64
    assert verifier.startswith("v1.")


async def test_a_state_is_good_once(door: Door, addresses: Addresses, ada: Caller) -> None:
    asked = await door.consent(ada)
    assert (await door.come_back(state=asked["state"], code=door.agree(ada, asked)))["calendar"] == "connected"
    before = connections(addresses, ada)
    again = await door.come_back(state=asked["state"], code=door.agree(ada, asked))
    assert again == {"calendar": "error", "reason": "invalid_state"}
    assert connections(addresses, ada) == before


async def test_a_made_up_or_changed_or_foreign_state_connects_nothing(
    door: Door, addresses: Addresses, ada: Caller, ben: Caller
) -> None:
    asked = await door.consent(ada)
    user, nonce, signature = asked["state"].split(".")
    last = "A" if signature[0] != "A" else "B"
    for state in (
        "", "x", "..", asked["state"] + ".x", f"{ben.id}.{nonce}.{signature}", f"{user}.{'A' * 43}.{signature}",
        f"{user}.{nonce}.{last}{signature[1:]}", f"{user}.{nonce}.", f"{user}.{nonce}.%00",
    ):  # fmt: skip
        told = await door.come_back(state=state, code=door.agree(ada, asked))
        assert told == {"calendar": "error", "reason": "invalid_state"}, state
    assert connections(addresses, ada) == connections(addresses, ben) == []
    assert len(door.states()) == 1, "and uses nobody's state up"


async def test_an_old_state_connects_nothing(door: Door, addresses: Addresses, ada: Caller) -> None:
    asked = await door.consent(ada)
    with psycopg.connect(addresses.db_url, autocommit=True) as connection:
        connection.execute("update private.oauth_states set expires_at = now() - interval '1 second'")
    told = await door.come_back(state=asked["state"], code=door.agree(ada, asked))
    assert told == {"calendar": "error", "reason": "invalid_state"}


async def test_a_stolen_code_is_worth_nothing_in_another_persons_flow(
    door: Door, addresses: Addresses, ada: Caller, ben: Caller
) -> None:
    hers, his = await door.consent(ada), await door.consent(ben)
    told = await door.come_back(state=his["state"], code=door.agree(ada, hers))
    assert told == {"calendar": "error", "reason": "exchange_failed"}, "the verifier does not fit"
    assert connections(addresses, ben) == []


async def test_a_person_who_says_no_is_told_so_and_the_state_is_used_up(door: Door, ada: Caller) -> None:
    asked = await door.consent(ada)
    told = await door.come_back(state=asked["state"], error="access_denied", error_description="canary")
    assert told == {"calendar": "error", "reason": "access_denied"}
    assert door.states() == []


async def test_a_permission_that_was_unticked_is_noticed(door: Door, addresses: Addresses, ada: Caller) -> None:
    asked = await door.consent(ada)
    told = await door.come_back(state=asked["state"], code=door.agree(ada, asked, scope="openid"))
    assert told == {"calendar": "error", "reason": "scope_missing"}
    assert connections(addresses, ada) == []


async def test_the_browser_is_sent_to_the_app_alone(door: Door, ada: Caller) -> None:
    asked = await door.consent(ada)
    for name in ("redirect_to", "redirect_uri", "next", "url"):
        told = await door.come_back(state="x", **{name: "https://evil.example/"})
        assert told == {"calendar": "error", "reason": "invalid_state"}
    assert asked["redirect_uri"].startswith("http")


async def test_only_signed_in_users_go_to_the_consent_page(door: Door) -> None:
    assert_refused(await door.begin(None), 401, "not_authenticated")


async def test_nobody_fills_the_table_of_states(door: Door, ada: Caller) -> None:
    for _ in range(10):
        assert (await door.begin(ada)).status_code == 200
    assert_refused(await door.begin(ada), 429, "too_many_requests")


async def test_another_account_replaces_the_one_before_and_is_cleaned_up_after(
    door: Door, addresses: Addresses, ada: Caller
) -> None:
    asked = await door.consent(ada)
    await door.come_back(state=asked["state"], code=door.agree(ada, asked))
    [(before, _, _)] = connections(addresses, ada)
    with psycopg.connect(addresses.db_url, autocommit=True) as connection:
        connection.execute(
            "update public.calendar_connections set account_label = 'another' where user_id = %s", [ada.id]
        )
    asked = await door.consent(ada)
    await door.come_back(state=asked["state"], code=door.agree(ada, asked))
    [(after, _, _)] = connections(addresses, ada)
    assert after != before
    with psycopg.connect(addresses.db_url) as connection:
        left = connection.execute(
            "select account_label from private.calendar_retirements where user_id = %s", [ada.id]
        ).fetchall()
    assert left == [("another",)]


async def test_no_log_holds_a_token_a_code_or_a_providers_words(door: Door, served: Served, ada: Caller) -> None:
    asked = await door.consent(ada)
    await door.come_back(state=asked["state"], code="canary-code")
    door.server.fail(500, body={"error": "canary"}, times=1)
    asked = await door.consent(ada)
    code = door.agree(ada, asked)
    assert (await door.come_back(state=asked["state"], code=code))["reason"] == "unavailable"
    log = served.log.read_text(encoding="utf-8")
    for word in ("canary", "client-secret", asked["state"], code, *door.server.access, *door.server.refresh):
        assert word not in log


async def test_a_server_that_is_not_registered_says_so(stack: Stack, http: httpx.AsyncClient, ada: Caller) -> None:
    url = f"{stack.addresses.api_url}/functions/v1/api/auth/google-calendar"
    answer = await http.get(url, headers={"authorization": f"Bearer {ada.token}"})
    assert_refused(answer, 503, "unavailable")
