"""A worker killed with SIGKILL at any line: mail never zero times and at most once too often, one calendar event."""

import asyncio
import random
import signal

import pytest

from tests.sync.kill_at import POINTS
from tests.sync.stage import Stage
from tests.sync.waiting import until


async def die_at(stage: Stage, point: str, **changes: str) -> None:
    """A worker claims, and dies at the point."""
    worker = stage.start_worker(point, module="tests.sync.kill_at", **changes)
    assert await worker.ended() == -signal.SIGKILL, worker.log()


async def finish(stage: Stage) -> None:
    """Another worker comes and does what is left."""
    worker = stage.start_worker()
    await until(stage.are_done, 20, what=f"all jobs done: {stage.states()}\n{worker.log()}")
    assert await worker.stop() == 0


@pytest.mark.parametrize("point", POINTS)
async def test_mail_survives_a_worker_that_dies(stage: Stage, point: str) -> None:
    stage.add_appointment()
    assert stage.states("mail") == ["pending"]
    await die_at(stage, point, SAUTI_TOKEN_KEYS="")
    sent_before = len(stage.mails())
    assert sent_before == (1 if point in ("after_effect", "before_settling") else 0)
    assert stage.states("mail") == ["running"], "the job is still to be done, under a lease that will run out"
    await finish(stage)
    assert len(stage.mails()) == sent_before + 1
    assert len(set(stage.message_ids())) == 1, "a second copy says that it is the same message"
    assert [row["attempts"] for row in stage.jobs("mail")] == [2]


@pytest.mark.parametrize("point", POINTS)
async def test_a_calendar_shows_one_event_after_a_worker_that_dies(stage: Stage, point: str) -> None:
    stage.connect_calendar()
    appointment = stage.add_appointment()
    await die_at(stage, point, SAUTI_SMTP_URL="")
    assert len(stage.events()) == (1 if point in ("after_effect", "before_settling") else 0)
    await finish(stage)
    (event,) = stage.events()
    assert event["UID"] == f"{appointment}@sauti"
    (mapping,) = stage.sql("select * from public.calendar_events where appointment_id = %s", appointment)
    assert (mapping["sync_status"], mapping["synced_sequence"]) == ("synced", 0)


@pytest.mark.parametrize("point", POINTS)
async def test_a_cancelled_appointment_leaves_the_calendar_although_the_worker_dies(stage: Stage, point: str) -> None:
    stage.connect_calendar()
    appointment = stage.add_appointment()
    await die_at(stage, "after_effect", SAUTI_SMTP_URL="")
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
    for _ in range(4):
        worker = stage.start_worker(SAUTI_CONCURRENCY="2", SAUTI_LEASE_SECONDS="1")
        claimed = len([state for state in stage.states() if state == "done"])
        await until(lambda worker=worker: worker.lines("worker_started"), 10, what=worker.log())
        await asyncio.sleep(chance.uniform(0.0, 0.12))
        worker.kill()
        assert len([state for state in stage.states() if state == "done"]) >= claimed
    await finish(stage)
    assert sorted(str(event["UID"]) for event in stage.events()) == sorted(f"{key}@sauti" for key in appointments)
    ids = stage.message_ids()
    assert len(set(ids)) == len(appointments)
    assert len(ids) <= len(appointments) + 4 * 2, "at most one more for each job that was in flight"
