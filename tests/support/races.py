"""Races that are seen to happen: a gate holds a lock, the runners are seen to wait at it, the gate opens.

Nothing here sleeps for luck: that a session waits is read from ``pg_stat_activity``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.support.database import Database

_SECONDS = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"in {_SECONDS} s it did not happen that {what}"
        time.sleep(0.01)


def outcome(call: Callable[[], Any]) -> Any:
    """The call's value, or what it was refused with: our symbol, or the SQLSTATE of an error that is not ours."""
    try:
        return call()
    except psycopg.Error as error:
        code = error.sqlstate or type(error).__name__
        return error.diag.message_primary if code.startswith("PT") else code


class Gate:
    """Holds the locks that a statement takes, until it is opened or the block ends.

    Calls are started while it is closed; with `until_waiting` between two of them, their order is sure.
    """

    def __init__(self, database: Database, statement: str, *values: Any) -> None:
        self._watcher = psycopg.connect(database.superuser_url, autocommit=True)
        self._holder = psycopg.connect(database.superuser_url)
        self._holder.execute(statement, values)
        self._pool = ThreadPoolExecutor(64)
        self._futures: list[Future[Any]] = []

    def start(self, *calls: Callable[[], Any]) -> None:
        """Run each call in a thread of its own."""
        self._futures += [self._pool.submit(outcome, call) for call in calls]

    def until_waiting(self, sessions: int) -> None:
        """Wait until so many sessions of the database wait for a lock."""
        until(lambda: self.waiting() >= sessions, f"{sessions} sessions wait for a lock")

    def waiting(self) -> int:
        """How many sessions of the database wait for a lock."""
        row = self._watcher.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def open(self, *, commit: bool = False) -> list[Any]:
        """Let go of the locks (and `commit` what the statement did); gives back each call's `outcome`, in order."""
        if commit:
            self._holder.commit()
        else:
            self._holder.rollback()
        return self.ended()

    def ended(self) -> list[Any]:
        """Each call's `outcome`, in order, while the gate is closed: they must not wait for it."""
        return [future.result(_SECONDS) for future in self._futures]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.close()
        self._pool.shutdown(cancel_futures=True)
        self._watcher.close()


def race(database: Database, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """All at once; gives back each call's `outcome`."""
    with Gate(database, "select 1") as nothing:
        nothing.start(*calls)
        return nothing.open()


def deadlocks(database: Database) -> int:
    """How many deadlocks the database has counted."""
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute("select pg_stat_force_next_flush()")
        row = connection.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])
