"""The queue over a connection of its own: the same promises as over the Data API; its bell rings after the commit."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from pydantic import SecretStr

import sauti_sync.direct
from sauti_sync.direct import DirectQueue, ListenDoorbell
from sauti_sync.errors import LeaseLost, QueueRefused, QueueUnavailable
from sauti_sync.events import Job
from tests.support.database import Database
from tests.sync.stage import Stage
from tests.sync.waiting import until

Add = Callable[..., None]


@pytest.fixture
async def direct(database: Database) -> AsyncIterator[DirectQueue]:
    queue = DirectQueue(SecretStr(database.url))
    yield queue
    await queue.close()


@pytest.fixture
def add(database: Database) -> Add:
    connection = database.as_admin_sql()

    def insert(count: int = 1, kind: str = "probe") -> None:
        connection.execute(
            "insert into private.outbox_jobs (kind, dedupe_key, run_at)"
            " select %s, gen_random_uuid()::text, private.clock() from generate_series(1, %s)",
            (kind, count),
        )

    return insert


async def claim(queue: DirectQueue, count: int = 100, seconds: int = 30) -> list[Job]:
    return await queue.claim("test", count, seconds, ("probe",))


async def test_jobs_are_claimed_read_extended_and_settled(direct: DirectQueue, add: Add) -> None:
    add(5)
    jobs = await claim(direct)
    assert [job.attempt for job in jobs] == [1] * 5
    contexts = await asyncio.gather(*(direct.context(job) for job in jobs))
    assert contexts == [{"state": "due", "kind": "probe"}] * 5
    await direct.extend(jobs[0], 60)
    await asyncio.gather(*(direct.complete(job, {"outcome": "seen"}) for job in jobs[:3]))
    await direct.fail(jobs[3], "some_error", 60.0)
    await direct.fail(jobs[4], "some_error", None)
    told = await direct.statistics()
    assert (told["pending"], told["running"], told["dead"]) == (1, 0, 1)
    assert "expired" in await direct.run_due_timers()


async def test_a_stale_lease_is_lost_alone_and_in_company(direct: DirectQueue, add: Add) -> None:
    add(3)
    jobs = await claim(direct)
    stale = Job(jobs[0].job_id, "probe", 1, 3, "00000000-0000-0000-0000-000000000000", jobs[0].queued_at)
    for call in (
        direct.context(stale),
        direct.complete(stale, {}),
        direct.fail(stale, "error", 1),
        direct.extend(stale, 9),
    ):
        with pytest.raises(LeaseLost):
            await call
    answers = await asyncio.gather(
        direct.complete(stale, {}), direct.complete(jobs[1], {}), direct.complete(jobs[2], {}), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [LeaseLost, type(None), type(None)]


async def test_an_old_lease_is_lost_beside_the_present_one_of_its_job(direct: DirectQueue, add: Add) -> None:
    add(1)
    (job,) = await claim(direct)
    old = Job(job.job_id, "probe", 1, 3, "00000000-0000-0000-0000-000000000000", job.queued_at)
    answers = await asyncio.gather(direct.complete(job, {}), direct.complete(old, {}), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), LeaseLost]
    add(1)
    (job,) = await claim(direct)
    old = Job(job.job_id, "probe", 1, 3, "00000000-0000-0000-0000-000000000000", job.queued_at)
    # The first goes alone and the others, which come meanwhile, together.
    waiting = asyncio.create_task(direct.context(old))
    await asyncio.sleep(0)
    contexts = await asyncio.gather(waiting, direct.context(job), direct.context(old), return_exceptions=True)
    assert [type(context) for context in contexts] == [LeaseLost, dict, LeaseLost]


async def test_one_result_that_is_refused_does_not_cost_the_others_theirs(direct: DirectQueue, add: Add) -> None:
    add(3)
    jobs = await claim(direct)
    huge = {"outcome": [job.lease_token * 5 for job in jobs] * 100}
    answers = await asyncio.gather(
        direct.complete(jobs[0], {}),
        direct.complete(jobs[1], huge),
        direct.complete(jobs[2], {}),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), QueueRefused, type(None)]


async def test_jobs_that_are_found_one_by_one_are_settled_together(direct: DirectQueue, add: Add) -> None:
    calls: list[str] = []
    call = direct.call

    async def overheard(function: str, /, **arguments: Any) -> Any:
        calls.append(function)
        return await call(function, **arguments)

    direct.call = overheard  # type: ignore[method-assign]
    jobs = []
    for _ in range(3):
        add(1)
        jobs += await claim(direct, 5)
    stale = Job(jobs[2].job_id, "probe", 1, 3, "00000000-0000-0000-0000-000000000000", jobs[2].queued_at)
    first = asyncio.create_task(direct.complete(jobs[0], {"outcome": "seen"}))
    await asyncio.sleep(0.001)
    others = await asyncio.gather(direct.complete(jobs[1], {}), direct.complete(stale, {}), return_exceptions=True)
    await first
    assert [type(answer) for answer in others] == [type(None), LeaseLost]
    assert calls == ["take_jobs"] * 3 + ["complete_jobs"]

    # Nothing is left to be claimed, so there is nobody to wait for.
    lone = asyncio.create_task(direct.complete(jobs[2], {}))
    assert await claim(direct, 5) == []
    await lone
    assert calls[4:] in (["take_jobs", "complete_jobs"], ["complete_jobs", "take_jobs"])


async def test_the_worker_has_no_more_rights_than_over_the_data_api(direct: DirectQueue) -> None:
    (row,) = await direct._fetch(direct._other, "select current_user::text as role", [])
    assert row["role"] == "service_role"


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    queue = DirectQueue(SecretStr("postgresql://127.0.0.1:1/none"))
    with pytest.raises(QueueUnavailable):
        await claim(queue)
    await queue.close()


async def test_a_silent_database_is_unavailable_and_its_connection_ends(
    direct: DirectQueue, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    assert await claim(direct, 1, 1)
    monkeypatch.setattr("sauti_sync.direct._CALL_SECONDS", 0.2)
    with monkeypatch.context() as patched:
        patched.setattr("sauti_sync.direct._statement", lambda *_: "select pg_sleep(30) as answer")
        with pytest.raises(QueueUnavailable):
            await direct.call("run_due_timers")
    assert direct._other.idle == []
    assert (await direct.statistics())["running"] == 1


async def test_connections_that_were_lost_are_not_used_again(direct: DirectQueue, database: Database) -> None:
    await asyncio.gather(*(direct.statistics() for _ in range(4)))
    assert len(direct._other.idle) == 2
    database.as_superuser().execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'sauti_sync' and datname = current_database()"
    )
    await until(lambda: all(connection.is_closed() for connection in direct._other.idle))
    assert (await direct.statistics())["pending"] == 0
    assert len(direct._other.idle) == 1


async def test_a_closed_queue_keeps_no_connection(direct: DirectQueue, database: Database) -> None:
    await direct.statistics()
    under_way = asyncio.create_task(direct._fetch(direct._other, "select pg_sleep(0.3)", []))
    await asyncio.sleep(0.1)
    await direct.close()
    with pytest.raises(QueueUnavailable):
        await direct.statistics()
    await under_way
    open_ones = "select 1 from pg_stat_activity where application_name = 'sauti_sync' and datname = current_database()"
    await until(lambda: not database.as_superuser().execute(open_ones).fetchall())


async def test_a_claim_that_is_given_up_takes_no_job_when_its_connection_comes(
    direct: DirectQueue, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a server's restart, when a connection comes in the moment in which a caller loses patience."""
    waits = asyncio.Event()
    connect = sauti_sync.direct._connect

    async def overhearing(url: SecretStr) -> Any:
        waits.set()
        # What `asyncio.wait_for` of Python 3.11 does with such a cancellation.
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return await connect(url)

    add()
    with monkeypatch.context() as patched:
        patched.setattr("sauti_sync.direct._connect", overhearing)
        given_up = asyncio.create_task(claim(direct))
        await waits.wait()
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
    assert len(await claim(direct)) == 1, "nobody has claimed the job and forgotten it"


class Watcher:
    def __init__(self) -> None:
        self.ups = 0
        self.downs: list[str] = []

    def doorbell_up(self) -> None:
        self.ups += 1

    def doorbell_down(self, reason: str) -> None:
        self.downs.append(reason)


async def test_a_commit_rings_and_a_lost_connection_is_made_again(database: Database, add: Add) -> None:
    watcher, rings = Watcher(), []
    bell = asyncio.create_task(ListenDoorbell(SecretStr(database.url), lambda: rings.append(1), watcher).run())
    try:
        await until(lambda: watcher.ups == 1 and rings)
        count = len(rings)
        database.as_admin_sql().execute("update private.message_settings set rings_realtime = false")
        add(20)
        await until(lambda: len(rings) > count)
        assert len(rings) == count + 1, "one ring for one commit, Realtime or not"
        database.as_superuser().execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'sauti_sync' and query ilike 'listen%' and datname = current_database()"
        )
        await until(lambda: watcher.ups == 2)
        assert watcher.downs == ["connection"]
        count = len(rings)
        add()
        await until(lambda: len(rings) > count)
    finally:
        bell.cancel()
        with suppress(asyncio.CancelledError):
            await bell


async def test_a_worker_with_a_database_address_works_without_the_data_api(stage: Stage) -> None:
    worker = stage.start_worker(
        SAUTI_DB_URL=stage.stack.addresses.db_url, SUPABASE_URL="http://127.0.0.1:9", SAUTI_POLL_SECONDS="600"
    )
    await until(lambda: worker.lines("doorbell_up"), 15, what=worker.log())
    stage.add_appointment()
    await until(lambda: stage.are_done("mail"), 10, what=worker.log())
    assert len(stage.mails()) == 1
    assert await worker.stop() == 0
    assert stage.stack.addresses.db_url not in worker.log()
