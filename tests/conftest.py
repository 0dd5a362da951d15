"""What every test folder shares: a database server, databases cloned from a template, and one running stack.

Each test process (pytest-xdist runs several) has a server and a stack of its own; all of it ends with the process.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pytest_postgresql.janitor import DatabaseJanitor

from sauti_local.migrations import push_migrations
from sauti_local.postgres import SUPERUSER, Postgres
from sauti_local.stack import Stack, StackConfig
from tests.support.database import Database
from tests.support.loop_thread import LoopThread
from tests.support.users import User, sign_up

TEMPLATE = "sauti_template"


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    """An event loop that lives as long as the session, for what outlives a test."""
    with LoopThread() as thread:
        yield thread


@pytest.fixture(scope="session")
def postgres_server(loop_thread: LoopThread) -> Iterator[Postgres]:
    """An embedded server with the roles of a hosted project, and no database of ours."""
    folder = Path(tempfile.mkdtemp(prefix="sauti-tests-"))
    server = Postgres(folder / "postgres", throwaway=True)
    try:
        loop_thread.run(server.start())
        loop_thread.run(server.prepare_cluster())
        yield server
    finally:
        loop_thread.run(server.stop())
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template(postgres_server: Postgres, loop_thread: LoopThread) -> str:
    """Name of a database with all migrations applied by the Supabase CLI, and no seeds: clone it, never connect."""

    async def make() -> None:
        await postgres_server.create_database(TEMPLATE)
        await postgres_server.prepare_database(TEMPLATE)
        log = postgres_server.data_dir.with_name("migrations.log")
        await push_migrations(postgres_server.url(TEMPLATE), log, seed=False)

    loop_thread.run(make())
    with psycopg.connect(postgres_server.url(user=SUPERUSER), autocommit=True) as connection:
        connection.execute(f"alter database {TEMPLATE} with is_template true allow_connections false")
    return TEMPLATE


@pytest.fixture
def database(postgres_server: Postgres, template: str) -> Iterator[Database]:
    """A database of the test's own with all migrations applied."""
    clone = Database(postgres_server)
    server = conninfo_to_dict(clone.superuser_url)
    with DatabaseJanitor(
        user=SUPERUSER,
        host=str(server["host"]),
        port=int(server["port"]),
        dbname=clone.name,
        template_dbname=template,
        password=str(server["password"]),
    ):
        yield clone
        clone.close()


@pytest.fixture(scope="session")
def stack(loop_thread: LoopThread) -> Iterator[Stack]:
    """A running stack without worker and seeds, shared by the tests of this process: bring your own users."""
    running = Stack(StackConfig(port=0, seed=False, worker=False))
    loop_thread.run(running.__aenter__())
    try:
        yield running
    finally:
        loop_thread.run(running.__aexit__(None, None, None))


@pytest.fixture
def new_user(stack: Stack) -> Callable[..., User]:
    """Signs a new user up through the Auth API: ``new_user("professional", display_name="Asha")``; see `sign_up`."""
    return lambda *arguments, **keywords: sign_up(stack.addresses, *arguments, **keywords)
