"""The Realtime stand-in on a port of its own, over a database with a few tables and none of our migrations."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sauti_local.postgres import SUPERUSER, Postgres
from sauti_local.realtime import Limits, RealtimeServer, RealtimeSettings
from tests.local.realtime.backend import SECRET, Backend, Clock
from tests.support.loop_thread import LoopThread

TABLES = """
create type public.mood as enum ('calm', 'upset');
create table public.notes (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null,
  body text,
  amount int,
  price numeric,
  at timestamptz,
  mood public.mood,
  tags text[],
  secret text,
  document json
);
create table public.pairs (a int, b text, owner uuid not null, body text, primary key (a, b));
create table public.open_board (id int generated always as identity primary key, body text);
create table public.keyless (body text);
create table public.closed (id int generated always as identity primary key, body text);
create table public.unpublished (id int primary key);
alter table public.notes enable row level security;
alter table public.pairs enable row level security;
grant select (id, owner, body, amount, price, at, mood, tags, document) on public.notes to authenticated;
grant select on public.notes to service_role;
grant select on public.pairs, public.open_board, public.keyless, public.unpublished to authenticated;
create policy select_own on public.notes for select to authenticated using (owner = (select auth.uid()));
create policy select_own on public.pairs for select to authenticated using (owner = (select auth.uid()));
alter publication supabase_realtime
  add table public.notes, public.pairs, public.open_board, public.keyless, public.closed;
create policy select_own on realtime.messages for select to authenticated using (
  (select realtime.topic()) in ('user:' || (select auth.uid())::text, 'room') and extension in ('broadcast', 'presence')
  or (select realtime.topic()) = 'stage' and (extension = 'broadcast' or (select auth.jwt() ->> 'tier') = 'gold')
);
create policy insert_room on realtime.messages for insert to authenticated
  with check ((select realtime.topic()) = 'room');
create policy select_failing on realtime.messages for select to anon using (1 / 0 = 1);
"""


@pytest.fixture(scope="session")
def realtime_database(postgres_server: Postgres, loop_thread: LoopThread) -> Iterator[str]:
    """Name of the database; shared, since every test brings its own users."""
    name = f"realtime_{uuid.uuid4().hex}"
    loop_thread.run(postgres_server.create_database(name))
    loop_thread.run(postgres_server.prepare_database(name))
    with psycopg.connect(postgres_server.url(name, SUPERUSER)) as connection:
        connection.execute(TABLES.encode())
    yield name
    loop_thread.run(postgres_server.drop_database(name))


@pytest.fixture
async def start_backend(postgres_server: Postgres, realtime_database: str) -> AsyncIterator[Callable[..., Any]]:
    """Starts a server: ``await start_backend(limits=…, db_url=…)``; ended with the test."""
    backends: list[Backend] = []

    async def start(limits: Limits | None = None, db_url: str | None = None) -> Backend:
        clock = Clock(time.time())
        url = db_url or postgres_server.url(realtime_database, SUPERUSER)
        server = RealtimeServer(RealtimeSettings(url, SECRET, clock, limits or Limits()))
        await server.start()
        application = web.Application()
        application.add_routes(server.routes())
        http = TestServer(application)
        await http.start_server()
        backends.append(Backend(server, http, clock, url))
        return backends[-1]

    yield start
    async with asyncio.timeout(20):
        for backend in backends:
            await backend.stop()


@pytest.fixture
async def backend(start_backend: Callable[..., Any]) -> Backend:
    """A server with the usual limits."""
    running: Backend = await start_backend()
    return running
