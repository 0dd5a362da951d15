"""The cast, for every test of the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sauti_local.postgres import Postgres
from tests.support.cases import A_WEDNESDAY, Cases
from tests.support.database import Database
from tests.support.loop_thread import LoopThread
from tests.support.one_transaction import OneTransaction


@pytest.fixture(scope="session")
def shared_database(postgres_server: Postgres, template: str, loop_thread: LoopThread) -> Iterator[Database]:
    """A database in which nothing is ever committed."""
    clone = Database(postgres_server)
    loop_thread.run(postgres_server.create_database(clone.name, template))
    yield clone
    loop_thread.run(postgres_server.drop_database(clone.name))


@pytest.fixture
def cases(shared_database: Database) -> Iterator[Cases]:
    """People and cases in a transaction that ends with the test and begins at `A_WEDNESDAY`."""
    transaction = OneTransaction(shared_database)
    yield begun(transaction)
    transaction.close()


@pytest.fixture
def committed(database: Database) -> Cases:
    """The same over real connections to a database of the test's own: for races."""
    return begun(database)


def begun(database: Database | OneTransaction) -> Cases:
    cases = Cases(database)
    cases.set_time(A_WEDNESDAY)
    return cases
