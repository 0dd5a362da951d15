"""Access tokens: refreshed before they end, by one worker at a time, and never again once the person has withdrawn."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from aiohttp import web

from sauti_sync.calendars import json_api, oauth
from sauti_sync.calendars.interface import Account
from sauti_sync.calendars.oauth import Endpoints, OAuthClient, TokenSession
from sauti_sync.errors import LeaseLost, Outage, Permanent, QueueUnavailable
from tests.sync.shelves import KEYS
from tests.sync.stand_ins.google import GoogleStandIn
from tests.sync.stand_ins.records import MemoryRecords
from tests.sync.waiting import until

USER = str(uuid.uuid4())


@dataclass
class FailingRecords(MemoryRecords):
    """The database does not answer the first `failures` times that a refresh is finished."""

    failures: int = 0
    #: Whether it does then what it is told.
    acts: bool = False
    tries: int = 0

    async def finish_refresh(self, connection_id: str, lease: str, credentials: str | None, error: str | None) -> None:
        self.tries += 1
        if self.tries > self.failures or self.acts:
            await super().finish_refresh(connection_id, lease, credentials, error)
        if self.tries <= self.failures:
            raise QueueUnavailable("queue_unavailable")


@pytest.fixture
async def server() -> AsyncIterator[GoogleStandIn]:
    built = GoogleStandIn()
    built.rotates = True
    await built.start()
    yield built
    await built.stop()


@pytest.fixture
def records() -> MemoryRecords:
    return MemoryRecords()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with json_api.client() as client:
        yield client


def session(
    server: GoogleStandIn,
    records: MemoryRecords,
    http: httpx.AsyncClient,
    secret: dict[str, Any],
    connection_id: str | None = "connection",
    client_secret: str = "client-secret",
) -> TokenSession:
    ciphertext = KEYS.encrypt(secret, USER, "google")
    if connection_id is not None:
        ciphertext = records.credentials.setdefault(connection_id, ciphertext)
    client = OAuthClient("client", client_secret, Endpoints.google(server.url), KEYS, records)
    return TokenSession(client, Account(USER, "google", "primary", secret, ciphertext, connection_id), http)


async def test_a_token_with_life_left_is_used(server: GoogleStandIn, records: MemoryRecords, http: Any) -> None:
    secret = server.issue("ada", expires_in=600)
    assert await session(server, records, http, secret).token() == secret["access_token"]
    assert server.refreshes == 0


async def test_a_token_that_ends_soon_is_refreshed_and_stored_encrypted(
    server: GoogleStandIn, records: MemoryRecords, http: Any
) -> None:
    secret = server.issue("ada", expires_in=60)
    token = await session(server, records, http, secret).token()
    assert server.access[token] == "ada"
    stored = KEYS.decrypt(records.credentials["connection"], USER, "google")
    assert stored["access_token"] == token
    assert stored["refresh_token"] != secret["refresh_token"], "the provider's new one is kept"
    assert stored["expires_at"] > time.time() + 3000
    assert records.leases == {}


async def test_eight_workers_at_once_spend_one_refresh_token(
    server: GoogleStandIn, records: MemoryRecords, http: Any
) -> None:
    secret = server.issue("ada", expires_in=-1)
    sessions = [session(server, records, http, secret) for _ in range(8)]
    tokens = await asyncio.gather(*(one.token() for one in sessions))
    assert server.refreshes == 1
    assert len(set(tokens)) == 1
    assert "connection" not in records.errors


async def test_a_job_that_is_cancelled_still_stores_what_it_has_spent(
    server: GoogleStandIn, records: MemoryRecords, http: Any
) -> None:
    server.token_delay = 0.2
    secret = server.issue("ada", expires_in=-1)
    work = asyncio.create_task(session(server, records, http, secret).token())
    await until(lambda: bool(server.asked))
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    stored = KEYS.decrypt(records.credentials["connection"], USER, "google")
    assert server.refresh == {stored["refresh_token"]: "ada"}
    assert records.leases == {}


async def test_a_job_that_is_cancelled_again_and_again_still_stores_what_it_has_spent(
    server: GoogleStandIn, records: MemoryRecords
) -> None:
    server.token_delay = 0.4
    secret = server.issue("ada", expires_in=-1)

    async def job() -> None:
        # As a handler does, it closes its client when it ends.
        async with json_api.client() as http:
            await session(server, records, http, secret).token()

    work = asyncio.create_task(job())
    await until(lambda: server.refreshes)
    cancellations = 0
    while not work.done():
        work.cancel()
        cancellations += 1
        await asyncio.wait({work}, timeout=0.05)
    assert work.cancelled(), "the cancellation is not swallowed"
    await until(lambda: secret["refresh_token"] not in server.refresh, what="spent")
    stored = KEYS.decrypt(records.credentials["connection"], USER, "google")
    assert server.refresh == {stored["refresh_token"]: "ada"}
    assert records.leases == {}
    assert cancellations > 2


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize("acts", [False, True], ids=["call is lost", "answer is lost"])
async def test_a_database_that_does_not_answer_at_once_is_told_again_what_was_spent(
    server: GoogleStandIn, http: Any, failures: int, *, acts: bool
) -> None:
    records = FailingRecords(failures=failures, acts=acts)
    token = await session(server, records, http, server.issue("ada", expires_in=-1)).token()
    stored = KEYS.decrypt(records.credentials["connection"], USER, "google")
    assert stored["access_token"] == token
    assert server.refresh == {stored["refresh_token"]: "ada"}
    assert records.leases == {}


async def test_a_job_that_is_cancelled_while_the_database_does_not_answer_stores_it_in_the_end(
    server: GoogleStandIn, http: Any
) -> None:
    records = FailingRecords(failures=2)
    work = asyncio.create_task(session(server, records, http, server.issue("ada", expires_in=-1)).token())
    await until(lambda: records.tries)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    stored = KEYS.decrypt(records.credentials["connection"], USER, "google")
    assert server.refresh == {stored["refresh_token"]: "ada"}


async def test_a_database_that_never_answers_is_told_for_as_long_as_the_lease_lasts(
    server: GoogleStandIn, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "_LEASE_SECONDS", 1)
    records = FailingRecords(failures=1_000_000)
    one = session(server, records, http, server.issue("ada", expires_in=-1))
    async with asyncio.timeout(3):
        with pytest.raises(QueueUnavailable):
            await one.token()
    assert records.tries > 1
    assert server.refreshes == 1


async def test_a_withdrawn_consent_is_told_again_when_the_database_does_not_answer(
    server: GoogleStandIn, http: Any
) -> None:
    records = FailingRecords(failures=1)
    secret = server.issue("ada", expires_in=-1)
    server.refresh.clear()
    with pytest.raises(Permanent, match=r"^needs_reauth$"):
        await session(server, records, http, secret).token()
    assert records.errors == {"connection": "needs_reauth"}


async def test_a_lease_that_cannot_be_given_back_does_not_hide_what_the_provider_said(
    server: GoogleStandIn, http: Any
) -> None:
    records = FailingRecords(failures=1_000_000)
    secret = server.issue("ada", expires_in=-1)
    with pytest.raises(Outage, match=r"^oauth_client_refused$"):
        await session(server, records, http, secret, client_secret="wrong").token()
    assert records.tries == 1, "it ends by itself"


async def test_an_answer_that_trickles_is_given_up_well_inside_the_lease(
    records: MemoryRecords, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Trickling(GoogleStandIn):
        async def _token(self, request: web.Request) -> web.Response:
            answer = web.StreamResponse()
            await answer.prepare(request)
            for _ in range(100):
                await answer.write(b" ")
                await asyncio.sleep(0.05)
            raise AssertionError("it was read to its end")

    assert oauth._REQUEST_SECONDS <= oauth._LEASE_SECONDS / 2
    monkeypatch.setattr(oauth, "_REQUEST_SECONDS", 0.3)
    server = Trickling()
    await server.start()
    try:
        async with asyncio.timeout(2):
            with pytest.raises(Outage, match=r"^calendar_unavailable$"):
                await session(server, records, http, server.issue("ada", expires_in=-1)).token()
    finally:
        await server.stop()
    assert records.leases == {}, "the right to spend is given back"


async def test_a_withdrawn_consent_stops_the_connection_and_is_not_asked_again(
    server: GoogleStandIn, records: MemoryRecords, http: Any
) -> None:
    secret = server.issue("ada", expires_in=-1)
    server.refresh.clear()
    with pytest.raises(Permanent, match=r"^needs_reauth$"):
        await session(server, records, http, secret).token()
    assert records.errors == {"connection": "needs_reauth"}
    with pytest.raises(LeaseLost):
        await session(server, records, http, secret).token()
    assert server.refreshes == 1


async def test_a_wrong_client_secret_is_ours_to_correct(
    server: GoogleStandIn, records: MemoryRecords, http: Any
) -> None:
    secret = server.issue("ada", expires_in=-1)
    with pytest.raises(Outage, match=r"^oauth_client_refused$"):
        await session(server, records, http, secret, client_secret="wrong").token()
    assert records.errors == {}
    assert records.leases == {}, "the right to spend is given back"
    assert server.refresh, "and nothing was spent"


async def test_a_rotation_of_keys_in_between_costs_no_second_refresh(
    server: GoogleStandIn, records: MemoryRecords, http: Any
) -> None:
    secret = server.issue("ada", expires_in=-1)
    one = session(server, records, http, secret)
    records.credentials["connection"] = KEYS.encrypt(secret, USER, "google")
    assert server.access[await one.token()] == "ada"
    assert server.refreshes == 1


async def test_a_connection_that_is_gone_refreshes_for_itself(
    server: GoogleStandIn, records: MemoryRecords, http: Any
) -> None:
    one = session(server, records, http, server.issue("ada", expires_in=-1), connection_id=None)
    assert server.access[await one.token()] == "ada"
    await one.revoke()
    assert server.access == {}
    assert len(server.revoked) == 1


@pytest.mark.parametrize("missing", ["access_token", "refresh_token", "expires_at"])
async def test_incomplete_credentials_are_refused(
    server: GoogleStandIn, records: MemoryRecords, http: Any, missing: str
) -> None:
    secret = {key: value for key, value in server.issue("ada").items() if key != missing}
    with pytest.raises(Permanent, match=r"^credentials_unreadable$"):
        session(server, records, http, secret)
