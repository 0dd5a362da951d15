"""What calendars keep is kept by either road to the database: values that one can carry, the other can too."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import SecretStr

from sauti_sync.calendars.interface import Watched
from sauti_sync.calendars.records import RpcRecords
from sauti_sync.config import ProjectSettings
from sauti_sync.direct import DirectQueue
from sauti_sync.events import Job, Json
from sauti_sync.outbox import DataApiQueue
from tests.sync.shelves import KEYS
from tests.sync.stage import Stage
from tests.sync.test_calendar_worker import connect

Road = DirectQueue | DataApiQueue

HASH = "a" * 64
HOUR = timedelta(hours=1)
#: Of an hour that is another one in UTC, as a provider may say it.
EXPIRES_AT = datetime.now(timezone(timedelta(hours=3))) + timedelta(days=7)


@pytest.fixture(params=["direct", "data api"])
async def queue(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Road]:
    addresses = stage.stack.addresses
    road: Road
    if request.param == "direct":
        road = DirectQueue(SecretStr(addresses.db_url))
    else:
        settings = ProjectSettings(supabase_url=addresses.api_url, supabase_service_role_key=addresses.service_role_key)
        road = DataApiQueue(settings)
    yield road
    await road.close()


async def reading(stage: Stage, queue: Road) -> tuple[Job, Json]:
    """A reading of the professional's calendar that is under way, and its context."""
    connection_id = connect(stage, {"access_token": "access", "refresh_token": "refresh", "expires_at": 0})
    stage.sql(
        "update private.calendar_pulls set next_at = case when connection_id = %s then now() else 'infinity' end",
        connection_id,
    )
    await queue.run_due_timers()
    (job,) = await queue.claim("test", 10, 60, ("calendar_pull",))
    return job, await queue.context(job)


def channel(stage: Stage, channel_id: str) -> list[dict[str, Any]]:
    return stage.sql("select resource_id, expires_at from private.calendar_channels where id = %s", channel_id)


async def test_a_channel_is_settled_with_the_moment_of_its_end_and_forgotten_without_one(
    stage: Stage, queue: Road
) -> None:
    job, _ = await reading(stage, queue)
    records = RpcRecords(queue.call)
    channel_id = await records.begin_channel(job, HASH)
    await records.settle_channel(job, channel_id, Watched("resource", EXPIRES_AT))
    assert channel(stage, channel_id) == [{"resource_id": "resource", "expires_at": EXPIRES_AT}]
    await records.settle_channel(job, channel_id, None)
    assert channel(stage, channel_id) == []


async def test_no_function_is_refused_for_the_types_of_what_it_is_told(stage: Stage, queue: Road) -> None:
    appointment_id = stage.add_appointment()
    job, context = await reading(stage, queue)
    called: set[str] = set()

    async def overheard(function: str, /, **arguments: Any) -> Any:
        called.add(function)
        return await queue.call(function, **arguments)

    records = RpcRecords(overheard)
    connection, pull = context["connection"], context["pull"]
    busy_from = datetime.now(UTC) + timedelta(days=2)
    span = [busy_from.isoformat(), (busy_from + HOUR).isoformat()]
    own = {"appointment_id": appointment_id, "gone": False, "starts_at": span[0], "ends_at": span[1]}
    await records.store_busy(
        job,
        {name: pull[name] for name in ("as_of", "from", "until")}
        | {"cursor": "next", "is_full": True, "changes": [{"source": "b" * 32, "spans": [span]}], "own": [own]},
    )
    (busy,) = stage.sql(
        "select lower(during) as starts_at from public.calendar_busy where connection_id = %s", connection["id"]
    )
    assert busy == {"starts_at": busy_from}

    for watched in (Watched("resource", EXPIRES_AT), None):
        await records.settle_channel(job, await records.begin_channel(job, HASH), watched)

    seen = connection["credentials"]
    spent = KEYS.encrypt({"access_token": "new"}, stage.professional.id, "google")
    for credentials, error in ((None, None), (spent, None), (None, "needs_reauth")):
        turn = await records.begin_refresh(connection["id"], seen, 30)
        assert turn.lease is not None
        await records.finish_refresh(connection["id"], turn.lease, credentials, error)
        seen = credentials or seen
    assert (await records.begin_refresh(connection["id"], seen, 30)).state == "gone"
    functions = inspect.getmembers(RpcRecords, inspect.iscoroutinefunction)
    assert len(called) == len(functions), "each has been tried"


async def test_a_point_in_time_within_json_is_written_alike(stage: Stage, queue: Road) -> None:
    job, _ = await reading(stage, queue)
    await queue.complete(job, {"outcome": "pulled", "seen_at": EXPIRES_AT})
    (row,) = stage.sql("select result from private.outbox_jobs where id = %s", job.job_id)
    assert row["result"]["seen_at"] == EXPIRES_AT.isoformat()


async def test_delays_and_ids_of_messages_are_taken(stage: Stage, queue: Road) -> None:
    job, _ = await reading(stage, queue)
    assert await queue.call("record_bounce", message_id=str(uuid.uuid4()), address_digest="0" * 10) == "unknown"
    await queue.fail(job, "some_error", 1 / 3)
    (row,) = stage.sql("select state, last_error from private.outbox_jobs where id = %s", job.job_id)
    assert row == {"state": "pending", "last_error": "some_error"}
