"""Databases built both ways on a server of this folder's own, so that breaking them disturbs nobody."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest

from sauti_local.migrations import push_migrations
from sauti_local.postgres import Postgres
from sauti_local.schema import build_truth
from sauti_local.throwaway import new_database, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with server() as running:
        yield running


@pytest.fixture(scope="session")
def road(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a database that the Supabase CLI migrated."""
    url = new_database(postgres, "road")
    asyncio.run(push_migrations(url, tmp_path_factory.mktemp("road") / "push.log", seed=False))
    return url


@pytest.fixture(scope="session")
def truth(postgres: Postgres) -> str:
    """The address of a database built from supabase/schemas and policies."""
    url = new_database(postgres, "truth")
    with psycopg.connect(url, autocommit=True) as connection:
        build_truth(connection)
    return url


Copy = Callable[[str], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def copy(postgres: Postgres) -> Copy:
    """Gives a function: with copy(url) as mine: … a database of one's own, alike to that at the address."""
    numbers = itertools.count()

    @contextmanager
    def make(url: str) -> Iterator[str]:
        name = f"copy_{next(numbers)}"
        asyncio.run(postgres.create_database(name, psycopg.conninfo.conninfo_to_dict(url)["dbname"]))
        try:
            yield postgres.url(name)
        finally:
            asyncio.run(postgres.drop_database(name))

    return make
