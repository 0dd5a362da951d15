"""The whole way with Google: a worker process, the real stack, a stand-in of the provider."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from sauti_local.stack import Stack
from sauti_sync.credentials import TokenKeys
from tests.sync.stage import Stage, WorkerProcess
from tests.sync.stand_ins.google import GoogleStandIn
from tests.sync.stand_ins.server import Asked
from tests.sync.waiting import until as wait_until

MOVE = (
    "update public.appointments set appointment_date = appointment_date + interval '2 hours' where appointment_id = %s"
)


async def until(condition: Callable[[], object], what: str) -> None:
    await wait_until(condition, 40, what)


@pytest.fixture
async def google() -> AsyncIterator[GoogleStandIn]:
    server = GoogleStandIn()
    await server.start()
    yield server
    await server.stop()


def keys(stack: Stack) -> TokenKeys:
    return TokenKeys.parse(stack.environment["SAUTI_TOKEN_KEYS"])


def connect(stage: Stage, secret: dict[str, Any], user_keys: TokenKeys | None = None) -> str:
    """Connect the professional's Google calendar, as the Edge Function does; gives back the connection."""
    key = stage.stack.addresses.service_role_key
    answer = httpx.post(
        f"{stage.stack.addresses.api_url}/rest/v1/rpc/store_calendar_connection",
        headers={"apikey": key, "Authorization": f"Bearer {key}"},
        json={
            "user_id": stage.professional.id,
            "provider": "google",
            "account_label": "mine",
            "calendar_id": "primary",
            "credentials": (user_keys or keys(stage.stack)).encrypt(secret, stage.professional.id, "google"),
        },
        trust_env=False,
        timeout=30,
    )
    answer.raise_for_status()
    return str(answer.json()["id"])


def start(stage: Stage, google: GoogleStandIn, **changes: str) -> WorkerProcess:
    registered = {
        "SAUTI_GOOGLE_CLIENT_ID": "client",
        "SAUTI_GOOGLE_CLIENT_SECRET": "client-secret",
        "SAUTI_GOOGLE_OAUTH_URL": google.url,
        "SAUTI_GOOGLE_API_URL": google.url,
    }
    return stage.start_worker(**(registered | changes))


def is_let_in(google: GoogleStandIn, asked: Asked) -> bool:
    """Whether it came with a token; calendars of other tests, on the same stack, have none."""
    return asked.headers.get("Authorization", "").removeprefix("Bearer ") in google.access


def pull_now(stage: Stage) -> None:
    stage.sql("update private.calendar_pulls set next_at = now() where true")


async def test_one_appointment_lives_in_one_event_from_its_making_to_the_disconnection(
    stage: Stage, google: GoogleStandIn
) -> None:
    user = stage.professional.id
    connection_id = connect(stage, google.issue(user, expires_in=-1))
    appointment_id = stage.add_appointment(days=3)
    workers = [start(stage, google), start(stage, google)]
    await until(lambda: len(google.live(user)) == 1, "the event is made")
    assert google.refreshes == 1, "by two workers"

    before = google.live(user)[0]["start"]
    stage.sql(MOVE, appointment_id)
    await until(lambda: google.live(user)[0]["start"] != before, "the event follows")

    # The owner's calendar fills up, over the appointment.
    (event,) = google.live(user)
    google.write(user, "dentist", summary="Dentist canary", start=event["start"], end=event["end"])
    pull_now(stage)
    await until(
        lambda: bool(stage.sql("select 1 from public.calendar_busy where connection_id = %s", connection_id)),
        "it is busy",
    )
    told = stage.sql("select user_id, appointment_id from public.notifications where kind = 'calendar_clash'")
    assert [(str(row["user_id"]), str(row["appointment_id"])) for row in told] == [(user, appointment_id)]

    # Deleted by hand: it comes back once.
    google.drop(user, event["id"])
    pull_now(stage)
    await until(lambda: len(google.live(user)) == 2, "the event comes back")
    await until(lambda: stage.are_done("calendar_event"), "the outbox is quiet")
    google.drop(user, event["id"])
    pull_now(stage)

    def dismissed() -> bool:
        return bool(
            stage.sql(
                "select 1 from public.calendar_events where sync_status = 'dismissed' and connection_id = %s",
                connection_id,
            )
        )

    await until(dismissed, "the owner is believed")
    assert [event["id"] for event in google.live(user)] == ["dentist"]

    second = stage.add_appointment(days=5)
    await until(lambda: len(google.live(user)) == 2, "others are written")
    await until(lambda: stage.are_done("calendar_event"), "and settled: what is in doubt would be waited for")
    stage.sql("delete from public.calendar_connections where id = %s", connection_id)
    await until(lambda: len(google.revoked) == 1, "the consent is given back")
    assert [event["id"] for event in google.live(user)] == ["dentist"]
    await until(
        lambda: not stage.sql("select 1 from private.calendar_retirements where user_id = %s", user), "all is forgotten"
    )
    assert second != appointment_id
    for worker in workers:
        assert await worker.stop() == 0
        for word in ("canary", "Dentist", user, *google.access, *google.refresh, *google.revoked):
            assert word not in worker.log()


async def test_a_withdrawn_consent_ends_in_one_notification(stage: Stage, google: GoogleStandIn) -> None:
    user = stage.professional.id
    connect(stage, google.issue(user, expires_in=-1))
    google.refresh.clear()
    for days in (1, 2, 3):
        stage.add_appointment(days=days)
    # The attempts that wait for the refused refresh lose their leases, so their jobs end when these have run out.
    start(stage, google, SAUTI_LEASE_SECONDS="10")

    def stopped() -> bool:
        return bool(
            stage.sql("select 1 from public.calendar_connections where status = 'needs_reauth' and user_id = %s", user)
        )

    await until(stopped, "the connection is stopped")
    await until(lambda: not {"pending", "running"} & set(stage.states("calendar_event")), "the jobs have ended")
    told = stage.sql("select 1 from public.notifications where kind = 'calendar_needs_reauth' and user_id = %s", user)
    assert len(told) == 1
    assert google.refreshes == 1, "never in a loop"


async def test_keys_are_rotated_while_old_ones_still_read(stage: Stage, google: GoogleStandIn) -> None:
    user, old = stage.professional.id, stage.stack.environment["SAUTI_TOKEN_KEYS"]
    secret = google.issue(user)
    connect(stage, secret)
    both = f"{TokenKeys.generate('next')},{old}"
    command = stage.start_worker("keys", "rotate", "--json", SAUTI_TOKEN_KEYS=both)
    status = await command.ended()
    printed = json.loads(command.log().strip().splitlines()[-1])
    (row,) = stage.sql(
        "select k.ciphertext from private.calendar_credentials as k"
        " join public.calendar_connections as c on c.id = k.connection_id where c.user_id = %s",
        user,
    )
    assert row["ciphertext"].startswith("v1.next.")
    assert TokenKeys.parse(both.partition(",")[0]).decrypt(row["ciphertext"], user, "google") == secret
    assert printed["rotated"] >= 1
    assert status == (1 if printed["unreadable"] else 0)
    # Back, for the tests that share the stack.
    back = stage.start_worker("keys", "rotate", SAUTI_TOKEN_KEYS=f"{old},{both.partition(',')[0]}")
    await back.ended()

    again = stage.start_worker("keys", "rotate", "--json", SAUTI_TOKEN_KEYS=TokenKeys.generate("lost"))
    assert await again.ended() == 1
    assert json.loads([line for line in again.log().splitlines() if line.startswith("{")][-1])["rotated"] == 0


async def test_two_workers_by_both_roads_spend_one_refresh_token(stage: Stage, google: GoogleStandIn) -> None:
    user = stage.professional.id
    # A token that is spent twice is refused by the provider, and the consent with it.
    google.rotates, google.token_delay = True, 0.5
    workers = [
        start(stage, google, SAUTI_CONCURRENCY="3"),
        start(stage, google, SAUTI_CONCURRENCY="3", SAUTI_DB_URL=stage.stack.addresses.db_url),
    ]
    await until(lambda: all(worker.lines("doorbell_up") for worker in workers), "both listen")
    for days in range(1, 7):
        stage.add_appointment(days=days)
    connect(stage, google.issue(user, expires_in=-1))
    await until(lambda: len(google.live(user)) == 6, "all is written")
    await until(lambda: stage.are_done("calendar_event"), "and settled")
    served = {row["worker_id"] for row in stage.jobs("calendar_event")}
    assert len(served) == 2, "both had a part in it"
    assert list(google.access.values()).count(user) == 2, "the first access token, and one more"
    assert not stage.sql("select 1 from public.calendar_connections where user_id = %s and status <> 'active'", user)


async def test_a_change_is_told_by_one_channel_that_is_renewed_and_stopped_in_the_end(
    stage: Stage, google: GoogleStandIn
) -> None:
    user, told_at = stage.professional.id, f"{stage.stack.addresses.api_url}/functions/v1"
    connection_id = connect(stage, google.issue(user))
    workers = [start(stage, google, SAUTI_PUSH_URL=told_at) for _ in range(2)]
    await until(lambda: google.answers == [204], "the first message is believed")
    await until(lambda: stage.are_done("calendar_pull"), "the calendar is read")
    (channel,) = google.channels_of(user)

    def readings() -> int:
        return len([asked for asked in google.asked if "syncToken" in asked.query])

    # The clock of the readings stands still: only a message can lead to one.
    stage.sql(
        "update private.calendar_pulls set next_at = '2100-01-01', queued_at = null where connection_id = %s",
        connection_id,
    )
    before = readings()
    assert await google.tell(channel) == 204
    await until(lambda: readings() > before, "what has changed is read")
    await until(lambda: stage.are_done("calendar_pull"), "and stored")

    # Its last quarter begins: the next reading opens another one.
    stage.sql("update private.calendar_channels set created_at = created_at - interval '60 days'")
    pull_now(stage)
    await until(lambda: [one.name for one in google.channels_of(user)] not in ([], [channel.name]), "it is renewed")
    await until(lambda: len(google.channels_of(user)) == 1, "and the old one stopped")
    assert await google.tell(channel) == 404, "whose token is worth nothing now"
    opened = [asked for asked in google.asked if asked.path.endswith("/watch") and is_let_in(google, asked)]
    assert len(opened) == 2, "by two workers"

    stage.sql("delete from public.calendar_connections where id = %s", connection_id)
    await until(lambda: not google.channels_of(user), "the channel goes with the connection")
    await until(lambda: len(google.revoked) == 1, "and the consent after it")
    for worker in workers:
        assert await worker.stop() == 0
        assert channel.token not in worker.log()
