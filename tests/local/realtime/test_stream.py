"""The stream from the database: it survives a restart, and leaves nothing behind, however the server ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sauti_local.paths import NODE_MODULES, ROOT
from sauti_local.postgres import SUPERUSER, Postgres
from sauti_local.realtime import RealtimeServer, RealtimeSettings
from sauti_local.realtime.changes import is_running
from sauti_local.realtime.database import DatabaseUnavailable
from tests.local.realtime.backend import SECONDS, SECRET, Backend, Listener
from tests.local.realtime.latency import measure

POSTGRES_15 = NODE_MODULES / "postgres-15-linux-x64" / "native" / "bin"
SLOTS = "select count(*) from pg_replication_slots where slot_name like %s"


async def poll(question: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await question():
            await asyncio.sleep(0.01)


async def test_events_flow_again_after_the_database_has_restarted(
    start_backend: Callable[..., Any], tmp_path: Path
) -> None:
    binaries = POSTGRES_15 if POSTGRES_15.exists() else None
    server = Postgres(tmp_path / "postgres", binaries=binaries, throwaway=True)
    await server.start()
    try:
        await server.prepare_cluster()
        await server.prepare_database()
        port = server.port
        backend: Backend = await start_backend(db_url=server.url(user=SUPERUSER))
        await backend.execute(
            "create table public.notes (id int primary key, owner uuid); alter table public.notes enable row level"
            " security; grant select on public.notes to authenticated; create policy own on public.notes for select to"
            " authenticated using (owner = auth.uid()); alter publication supabase_realtime add table public.notes"
        )
        user = str(uuid.uuid4())
        client = await backend.client(user)
        listener = await (await Listener.join(client, "c", changes=({"table": "notes"},))).joined()
        await backend.execute("insert into notes values (1, %s)", user)
        assert (await listener.change())["record"]["id"] == 1
        await server.stop()
        again = Postgres(tmp_path / "postgres", port=port, binaries=binaries, throwaway=True)
        await again.start()
        server = again

        async def streaming() -> bool:
            return backend.server.is_streaming

        await poll(streaming)
        await backend.execute("insert into notes values (2, %s)", user)
        assert (await listener.change())["record"]["id"] == 2
        await backend.send("c", "hello", private=False)
        assert (await listener.next())["event"] == "hello"
        private = await Listener.join(await backend.client(role="service_role"), "sauti_sync", private=True)
        await private.joined()
        await backend.stop()
    finally:
        await server.stop()


async def test_a_stopped_server_leaves_no_slot_and_no_session(start_backend: Callable[..., Any]) -> None:
    backend: Backend = await start_backend()
    ours = f"sauti_realtime_{os.getpid()}_%"
    assert await backend.execute(SLOTS, ours) == [(1,)]
    await backend.server.stop()

    async def clean() -> bool:
        sessions = (
            "select count(*) from pg_stat_activity where datname = current_database() and application_name like %s"
        )
        return await backend.execute(SLOTS, ours) == await backend.execute(sessions, "sauti_realtime%") == [(0,)]

    await poll(clean)


async def test_a_killed_server_leaves_no_slot(postgres_server: Postgres, realtime_database: str) -> None:
    url = postgres_server.url(realtime_database, SUPERUSER)
    code = (
        "import asyncio, sys; from sauti_local.realtime import RealtimeServer, RealtimeSettings\n"
        "async def main():\n"
        "    await RealtimeServer(RealtimeSettings(sys.argv[1], 'x' * 32)).start()\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"ready\n"
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async def no_slot() -> bool:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            cursor = await connection.execute(SLOTS, (f"sauti_realtime_{process.pid}_%",))
            return await cursor.fetchone() == (0,)

    await poll(no_slot)


async def test_two_servers_on_one_server_do_not_disturb_each_other(start_backend: Callable[..., Any]) -> None:
    first, second = await start_backend(), await start_backend()
    heard = [await (await Listener.join(await each.client(), "lobby")).joined() for each in (first, second)]
    await first.send("lobby", "hello", private=False)
    assert [(await listener.next())["event"] for listener in heard] == ["hello", "hello"]


async def test_a_database_that_is_not_there_is_an_error_and_not_a_hang(postgres_server: Postgres) -> None:
    server = RealtimeServer(RealtimeSettings(postgres_server.url("missing", SUPERUSER), SECRET))
    with pytest.raises(DatabaseUnavailable):
        await server.start()
    await server.stop()


async def test_old_messages_are_forgotten_and_new_ones_kept(
    start_backend: Callable[..., Any], postgres_server: Postgres, realtime_database: str
) -> None:
    topic = f"old-{uuid.uuid4().hex}"
    insert = (
        "insert into realtime.messages (topic, extension, inserted_at)"
        " select %s, 'broadcast', now() - d * interval '1 day' from unnest(array[1, 2, 4, 9]) d"
    )
    async with await psycopg.AsyncConnection.connect(
        postgres_server.url(realtime_database, SUPERUSER), autocommit=True
    ) as connection:
        await connection.execute(insert, (topic,))
    backend: Backend = await start_backend()

    async def forgotten() -> bool:
        rows = await backend.execute("select count(*) from realtime.messages where topic = %s", topic)
        return rows == [(2,)]

    await poll(forgotten)


async def test_a_broken_publication_is_survived(start_backend: Callable[..., Any], postgres_server: Postgres) -> None:
    name = f"broken_{uuid.uuid4().hex}"
    await postgres_server.create_database(name)
    try:
        await postgres_server.prepare_database(name)
        backend: Backend = await start_backend(db_url=postgres_server.url(name, SUPERUSER))
        listener = await (await Listener.join(await backend.client(), "lobby")).joined()
        await backend.execute("drop publication supabase_realtime")
        await backend.execute("create publication supabase_realtime")

        async def heard() -> bool:
            await backend.send("lobby", "hello", private=False)
            return not listener.heard.empty()

        await poll(heard)
        await backend.stop()
    finally:
        await postgres_server.drop_database(name)


async def test_an_idle_stream_keeps_waking_the_server_process_that_may_have_missed_a_commit(backend: Backend) -> None:
    heard_from = (
        "select r.reply_time from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid"
        f" where s.slot_name like 'sauti_realtime_{os.getpid()}_%' and r.reply_time is not null"
    )
    replies: set[tuple[Any, ...]] = set()
    async with asyncio.timeout(2), await psycopg.AsyncConnection.connect(backend.db_url, autocommit=True) as connection:
        while len(replies) < 4:
            cursor = await connection.execute(heard_from)
            replies |= set(await cursor.fetchall())
            await asyncio.sleep(0.01)


async def test_a_live_event_is_heard_within_a_twentieth_of_a_second(backend: Backend) -> None:
    user = str(uuid.uuid4())
    client = await backend.client(user)
    listener = await (
        await Listener.join(client, f"user:{user}", private=True, changes=({"table": "notes", "event": "INSERT"},))
    ).joined()
    async with await psycopg.AsyncConnection.connect(backend.db_url, autocommit=True) as connection:

        async def broadcast() -> None:
            await connection.execute("select realtime.send('{}', 'match', %s)", (f"user:{user}",))

        async def insert() -> None:
            await connection.execute("insert into notes (owner) values (%s)", (user,))

        for cause in (broadcast, insert):
            assert (await measure(cause, listener.next, rounds=100)).p95 < 0.05


@pytest.mark.parametrize(
    "xid, snapshot, running",
    [
        (5, "5:9:5,7", True),
        (6, "5:9:5,7", False),
        (9, "5:9:5,7", True),
        (4, "5:9:", False),
        (3, "4294967290:4294967301:4294967299", True),
        (4294967290, "4294967290:4294967301:4294967299", False),
        (4294967290, "4294967290:4294967301:4294967290", True),
        (6, "4294967290:4294967301:", True),
        (4294967295, "4294967299:4294967300:", False),
    ],
)
def test_a_transaction_is_compared_with_a_snapshot_across_a_wraparound(xid: int, snapshot: str, running: bool) -> None:
    assert is_running(xid, snapshot) == running
