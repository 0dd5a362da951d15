"""What a worker has sent may arrive after another one has emptied the calendar: it is looked for again, and removed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sauti_local.calendar import PASSWORD
from sauti_sync.credentials import TokenKeys
from tests.sync.slow_door import SlowDoor
from tests.sync.stage import SHORT_LEASE, Stage, WorkerProcess
from tests.sync.stand_ins.google import GoogleStandIn
from tests.sync.stand_ins.microsoft import MicrosoftStandIn
from tests.sync.waiting import until

CANCEL = "update public.appointments set status = 'cancelled' where appointment_id = %s"
MOVE = (
    "update public.appointments set appointment_date = appointment_date + interval '2 hours' where appointment_id = %s"
)


@dataclass
class Desk:
    """One calendar of the professional's, behind a slow door."""

    stage: Stage
    provider: str
    server: GoogleStandIn | MicrosoftStandIn | None
    door: SlowDoor

    def connect(self) -> None:
        user, calendar = self.stage.professional.id, "primary"
        if self.server is not None:
            secret: dict[str, Any] = self.server.issue(user)
        else:
            calendar = f"{self.door.url}/{user}/sessions/"
            secret = {"url": calendar, "username": user, "password": PASSWORD}
        keys = TokenKeys.parse(self.stage.stack.environment["SAUTI_TOKEN_KEYS"])
        key = self.stage.stack.addresses.service_role_key
        httpx.post(
            f"{self.stage.stack.addresses.api_url}/rest/v1/rpc/store_calendar_connection",
            headers={"apikey": key, "Authorization": f"Bearer {key}"},
            json={
                "user_id": user,
                "provider": self.provider,
                "account_label": "mine",
                "calendar_id": calendar,
                "credentials": keys.encrypt(secret, user, self.provider),
            },
            trust_env=False,
            timeout=30,
        ).raise_for_status()
        self.stage.sql("update private.calendar_pulls set next_at = 'infinity'")

    def start_worker(self, **changes: str) -> WorkerProcess:
        registered = {"SAUTI_SMTP_URL": "", "SAUTI_ALLOW_PRIVATE_CALDAV": "1"}
        if self.server is not None:
            name = self.provider.upper()
            registered |= {
                f"SAUTI_{name}_CLIENT_ID": "client",
                f"SAUTI_{name}_CLIENT_SECRET": "client-secret",
                f"SAUTI_{name}_OAUTH_URL": self.server.url,
                f"SAUTI_{name}_API_URL": self.door.url,
            }
        return self.stage.start_worker(**(registered | changes))

    def events(self) -> int:
        if self.server is not None:
            return len(self.server.live(self.stage.professional.id))
        return len(self.stage.events())


@pytest.fixture(params=["caldav", "google", "microsoft"])
async def desk(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Desk]:
    server = {"google": GoogleStandIn, "microsoft": MicrosoftStandIn}.get(request.param, lambda: None)()
    if server is not None:
        await server.start()
    door = SlowDoor(server.url if server is not None else stage.stack.addresses.caldav_url)
    await door.start()
    yield Desk(stage, request.param, server, door)
    for worker in stage.workers:
        worker.kill()
    await door.stop()
    if server is not None:
        await server.stop()


async def test_an_event_that_arrives_after_its_removal_does_not_stay(stage: Stage, desk: Desk) -> None:
    desk.connect()
    desk.door.keep()
    appointment = stage.add_appointment(days=3)
    first = desk.start_worker(**SHORT_LEASE)
    await until(desk.door.kept.is_set, 20, first.log())
    first.kill()
    stage.sql(CANCEL, appointment)
    second = desk.start_worker()

    def is_removed() -> bool:
        query = "select 1 from public.calendar_events where appointment_id = %s and sync_status = 'removed'"
        return bool(stage.sql(query, appointment))

    await until(is_removed, 20, second.log())
    await until(lambda: stage.are_done("calendar_event"), 20, second.log())
    assert desk.events() == 0
    desk.door.open()
    await until(desk.door.arrived.is_set, 20, "what was kept arrives")
    assert desk.events() == 1, "too late"

    (look,) = stage.looks()
    assert look["state"] == "pending"
    assert look["run_at"] > datetime.now(UTC) + timedelta(seconds=30), "longer than any request takes"
    stage.sql("update private.outbox_jobs set run_at = now() where id = %s", look["id"])
    await until(lambda: [job["state"] for job in stage.looks()] == ["done"], 20, second.log())
    assert desk.events() == 0
    assert is_removed()


# What the database does of it


@pytest.fixture
def doubtful(stage: Stage) -> str:
    """A cancelled appointment that an attempt of a dead worker may yet write into the calendar."""
    stage.connect_calendar()
    appointment = stage.add_appointment(days=3)
    stage.sql(CANCEL, appointment)
    first, second = stage.jobs("calendar_event")
    settle(stage, first["id"], attempts=2)
    settle(stage, second["id"], attempts=1)
    stage.sql(
        "update public.calendar_events set sync_status = 'removed', synced_sequence = 1 where appointment_id = %s",
        appointment,
    )
    return appointment


def settle(stage: Stage, job_id: int, attempts: int, outcome: str = "removed") -> None:
    """End a job as complete_job does."""
    stage.sql(
        "update private.outbox_jobs set state = 'running', attempts = %s, lease_token = gen_random_uuid(),"
        " leased_until = now() + interval '1 minute' where id = %s",
        attempts,
        job_id,
    )
    stage.sql(
        "select public.complete_job(j.id, j.lease_token, jsonb_build_object('outcome', %s::text, 'sequence', 1))"
        " from private.outbox_jobs as j, set_config('request.jwt.claims', '{\"role\": \"service_role\"}', false)"
        " where j.id = %s",
        outcome,
        job_id,
    )


def claim(stage: Stage) -> list[int]:
    rows = stage.sql(
        "select c.job_id from set_config('request.jwt.claims', '{\"role\": \"service_role\"}', false),"
        " lateral public.claim_jobs('w', 10, 60, '{calendar_event}') as c"
    )
    return [row["job_id"] for row in rows]


def waiting(stage: Stage) -> list[dict[str, Any]]:
    return [job for job in stage.looks() if job["state"] == "pending"]


def test_only_a_job_that_was_tried_more_than_once_is_looked_at_again(stage: Stage, doubtful: str) -> None:
    (look,) = waiting(stage)
    settle(stage, look["id"], attempts=3)
    assert waiting(stage) == [], "looking again ends"


def test_a_later_change_does_not_wait_for_the_second_look(stage: Stage) -> None:
    stage.connect_calendar()
    appointment = stage.add_appointment(days=3)
    (job,) = stage.jobs("calendar_event")
    settle(stage, job["id"], attempts=2)
    (look,) = waiting(stage)
    stage.sql(MOVE, appointment)
    (moving,) = [job for job in stage.jobs("calendar_event") if job["state"] == "pending"]
    assert claim(stage) == [moving["id"]]
    stage.sql("update private.outbox_jobs set run_at = now() where id = %s", look["id"])
    assert claim(stage) == [], "never two at once"


def test_a_calendar_that_is_connected_again_is_looked_at_again(stage: Stage, doubtful: str) -> None:
    (look,) = waiting(stage)
    settle(stage, look["id"], attempts=1, outcome="obsolete")
    stage.connect_calendar()
    (look,) = waiting(stage)
    assert str(look["appointment_id"]) == doubtful
    settle(stage, look["id"], attempts=1)
    stage.connect_calendar()
    assert waiting(stage) == [], "once"


def test_a_calendar_in_doubt_is_emptied_when_the_doubt_is_over(stage: Stage, doubtful: str) -> None:
    stage.sql("delete from public.calendar_connections where user_id = %s", stage.professional.id)
    (row,) = stage.sql(
        "select r.events, j.run_at > now() + interval '50 seconds' as is_later from private.calendar_retirements as r"
        " join private.outbox_jobs as j on j.id = r.job_id where r.user_id = %s",
        stage.professional.id,
    )
    assert [event["appointment_id"] for event in row["events"]] == [doubtful]
    assert row["is_later"]


def test_the_doubt_about_one_appointment_delays_no_other(stage: Stage, doubtful: str) -> None:
    other = stage.add_appointment(days=4)
    rows = stage.sql(
        "select a.id, private.doubtful_until(c.id, a.id) is not null as is_in_doubt"
        " from public.calendar_connections as c, unnest(%s::uuid[]) as a (id) where c.user_id = %s",
        [doubtful, other],
        stage.professional.id,
    )
    assert {str(row["id"]): row["is_in_doubt"] for row in rows} == {doubtful: True, other: False}
