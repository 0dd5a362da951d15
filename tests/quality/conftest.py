"""Databases built both ways, and copies of them to break."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest

from sauti_local.postgres import Postgres
from sauti_local.schema import build_truth
from sauti_local.throwaway import new_database


@pytest.fixture(scope="session")
def road(postgres_server: Postgres, template: str) -> str:
    """The address of a database that the Supabase CLI migrated. Nothing in it may be changed."""
    asyncio.run(postgres_server.create_database("road", template))
    return postgres_server.url("road")


@pytest.fixture(scope="session")
def truth(postgres_server: Postgres) -> str:
    """The address of a database built from supabase/schemas and policies. Nothing in it may be changed."""
    url = new_database(postgres_server, "truth")
    with psycopg.connect(url, autocommit=True) as connection:
        build_truth(connection)
    return url


@pytest.fixture
def catalog(road: str) -> Iterator[psycopg.Connection[tuple[str, ...]]]:
    """A transaction on the migrated database, as ``postgres``, that leaves no trace."""
    with psycopg.connect(road) as connection:
        yield connection
        connection.rollback()


Copy = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def copy(postgres_server: Postgres, template: str) -> Copy:
    """Gives a function: ``with copy() as url: …`` has a migrated database of its own."""
    numbers = itertools.count()

    @contextmanager
    def make() -> Iterator[str]:
        name = f"copy_{next(numbers)}"
        asyncio.run(postgres_server.create_database(name, template))
        try:
            yield postgres_server.url(name)
        finally:
            asyncio.run(postgres_server.drop_database(name))

    return make
