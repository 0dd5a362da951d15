"""A worker killed with SIGKILL at any line: mail never zero times and at most once too often, one calendar event."""

import asyncio
import random
import signal

import pytest

from tests.sync.kill_at import POINTS
from tests.sync.stage import SHORT_LEASE, Stage
from tests.sync.waiting import until


async def die_at(stage: Stage, point: str, **changes: str) -> None:
    """A worker claims, and dies at the point."""
    worker = stage.start_worker(point, module="tests.sync.kill_at", **SHORT_LEASE, **changes)
    assert await worker.ended() == -signal.SIGKILL, worker.log()


async def finish(stage: Stage) -> None:
    """Another worker comes and does what is left."""
    worker = stage.start_worker()
    await until(stage.are_done, 20, what=f"all jobs done: {stage.states()}\n{worker.log()}")
    assert await worker.stop() == 0


@pytest.mark.parametrize("point", POINTS)
async def test_every_effect_survives_a_worker_that_dies(stage: Stage, point: str) -> None:
    stage.connect_calendar()
    appointment = stage.add_appointment()
    assert stage.states() == ["pending", "pending"]
    await asyncio.gather(die_at(stage, point, SAUTI_TOKEN_KEYS=""), die_at(stage, point, SAUTI_SMTP_URL=""))
    reached = 1 if point in ("after_effect", "before_settling") else 0
    assert (len(stage.mails()), len(stage.events())) == (reached, reached)
    assert stage.states() == ["running", "running"], "to be done again, when the leases have run out"

    await finish(stage)
    assert len(stage.mails()) == reached + 1
    assert len(set(stage.message_ids())) == 1, "a second copy says that it is the same message"
    (event,) = stage.events()
    assert event["UID"] == f"{appointment}@sauti"
    (mapping,) = stage.sql("select * from public.calendar_events where appointment_id = %s", appointment)
    assert (mapping["sync_status"], mapping["synced_sequence"]) == ("synced", 0)
    assert [row["attempts"] for row in stage.jobs()] == [2, 2]


@pytest.mark.parametrize("point", ["before_effect", "after_effect"])
async def test_a_cancelled_appointment_leaves_the_calendar_although_workers_die(stage: Stage, point: str) -> None:
    stage.connect_calendar()
    appointment = stage.add_appointment()
    await die_at(stage, "after_effect", SAUTI_SMTP_URL="")
    assert len(stage.events()) == 1
    stage.sql("update public.appointments set status = 'cancelled' where appointment_id = %s", appointment)
    await until(lambda: due_again(stage), 10)
    await die_at(stage, point, SAUTI_SMTP_URL="")
    await finish(stage)
    assert stage.events() == []


def due_again(stage: Stage) -> bool:
    """Whether no lease of a dead worker is left."""
    query = "select 1 from private.outbox_jobs where state = 'running' and leased_until > private.clock()"
    return not stage.sql(query)


async def test_workers_killed_at_random_lose_and_double_nothing(stage: Stage) -> None:
    chance = random.Random(2)
    stage.connect_calendar()
    appointments = {stage.add_appointment(days) for days in range(1, 13)}
    for _ in range(3):
        before = stage.states().count("done")
        worker = stage.start_worker(SAUTI_CONCURRENCY="2", **SHORT_LEASE)
        await until(lambda before=before: stage.states().count("done") > before, 10, what=worker.log())
        await asyncio.sleep(chance.uniform(0.0, 0.02))
        worker.kill()
    assert not stage.are_done(), "the workers were to die with work left"
    await finish(stage)
    assert sorted(str(event["UID"]) for event in stage.events()) == sorted(f"{key}@sauti" for key in appointments)
    ids = stage.message_ids()
    assert len(set(ids)) == len(appointments)
    assert len(ids) <= len(appointments) + 3 * 2, "at most one more for each job that was in flight"
