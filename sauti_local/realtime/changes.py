"""From row changes to what each subscriber may hear of them.

A batch of changes costs a few rounds with the database, however many changes, tables and subscribers it has: the
catalog, the filters, then the rows' JSON together with what every (role, claims) can see. A row is looked for under
that person's role by its key, as it is now; the values are those of the WAL, in the columns that the role may select.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import psycopg

from sauti_local.realtime.bindings import Binding
from sauti_local.realtime.catalog import Table, describe
from sauti_local.realtime.database import Connection, Database
from sauti_local.realtime.filtering import held
from sauti_local.realtime.pgoutput import Change
from sauti_local.realtime.rendering import Rendering, Values
from sauti_local.realtime.tokens import Identity
from sauti_local.realtime.visibility import Person, Visibility, person_of

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 2.0
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.0005, 0.02


class Subscriber(Hashable, Protocol):
    """Somebody with subscriptions, who acts as a person."""

    @property
    def identity(self) -> Identity:
        """The person, by the latest token."""


S = TypeVar("S", bound=Subscriber)


@dataclass(frozen=True, slots=True)
class Delivery(Generic[S]):
    """A change for one subscriber: ids of the bindings that matched, and the `data` object as JSON text."""

    subscriber: S
    ids: tuple[int, ...]
    data: str


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[S]):
    """A change, by its place in the batch, that a binding may be about."""

    index: int
    change: Change
    subscriber: S
    identity: Identity
    binding: Binding

    @property
    def oid(self) -> int:
        return self.change.relation.oid

    @property
    def person(self) -> Person:
        return person_of(self.identity)

    def must_be_seen(self, tables: Mapping[int, Table]) -> bool:
        """Whether the policies decide: not for DELETE, and not when an error is all that will be told."""
        table = tables[self.oid]
        return self.change.kind != "DELETE" and table.has_rls and table.key_is_readable(self.identity.role)


class ChangeFeed(Generic[S]):
    """The subscriptions of `postgres_changes`, and the evaluation of changes for them."""

    def __init__(self, database: Database, max_size: int) -> None:
        """`max_size`: characters of a change above which only its small values are told."""
        self._database = database
        self._max_size = max_size
        self._bindings: dict[int, dict[S, tuple[Binding, ...]]] = {}

    def add(self, subscriber: S, bindings: Iterable[Binding]) -> None:
        """Begin to deliver for those bindings."""
        for binding in bindings:
            for oid in binding.tables:
                of_table = self._bindings.setdefault(oid, {})
                of_table[subscriber] = (*of_table.get(subscriber, ()), binding)

    def remove(self, subscriber: S) -> None:
        """Deliver nothing more to that subscriber."""
        for oid in [oid for oid, of_table in self._bindings.items() if subscriber in of_table]:
            del self._bindings[oid][subscriber]
            if not self._bindings[oid]:
                del self._bindings[oid]

    def wants(self, oid: int) -> bool:
        """Whether anybody has a binding on that table."""
        return oid in self._bindings

    async def evaluate(self, changes: Sequence[Change]) -> list[Delivery[S]]:
        """What to deliver, in the order of the changes.

        A change that cannot be evaluated is left out alone; nothing is delivered that was not checked.

        Raises:
            DatabaseUnavailable: nobody answers there.
        """
        candidates = self._candidates(changes)
        if not candidates:
            return []

        async def work(connection: Connection) -> list[Delivery[S]]:
            await _settle(connection, {change.begin.xid for change in changes})
            return await self._evaluate(connection, changes, candidates)

        try:
            return await self._database.run(work)
        except psycopg.Error as error:
            if len(changes) == 1:
                logger.warning("a change was dropped: SQLSTATE %s", error.sqlstate)
                return []
        return [delivery for change in changes for delivery in await self.evaluate([change])]

    def _candidates(self, changes: Sequence[Change]) -> list[_Candidate[S]]:
        return [
            _Candidate(index, change, subscriber, subscriber.identity, binding)
            for index, change in enumerate(changes)
            for subscriber, bindings in self._bindings.get(change.relation.oid, {}).items()
            for binding in bindings
            if binding.event in ("*", change.kind)
        ]

    async def _evaluate(
        self, connection: Connection, changes: Sequence[Change], candidates: list[_Candidate[S]]
    ) -> list[Delivery[S]]:
        tables = await describe(
            connection, {item.oid for item in candidates}, {item.identity.role for item in candidates}
        )
        candidates = [item for item in candidates if item.oid in tables]
        candidates = await _filtered(connection, candidates, tables)
        if not candidates:
            return []
        rendering, looking = Rendering(self._max_size), Visibility(changes, tables)
        wanted = sorted({item.index for item in candidates})
        for item in candidates:
            if item.must_be_seen(tables):
                looking.add(item.identity, item.index)
        try:
            async with connection.pipeline():
                await rendering.ask(connection, changes, wanted, tables)
                async with connection.transaction(force_rollback=True):
                    await looking.ask(connection)
                values, seen = await rendering.answer(), await looking.answer()
        except psycopg.Error:
            if connection.broken:
                raise
            await connection.rollback()
            rendering = Rendering(self._max_size)
            await rendering.ask(connection, changes, wanted, tables)
            values, seen = await rendering.answer(), await looking.ask_each_alone(connection)
        candidates = [item for item in candidates if not item.must_be_seen(tables) or (item.index, item.person) in seen]
        return _deliveries(candidates, tables, rendering, values)


async def _settle(connection: Connection, xids: set[int]) -> None:
    """Wait until those transactions can be seen: a commit reaches the WAL a moment before other sessions see it."""
    loop = asyncio.get_running_loop()
    end, delay = loop.time() + _SETTLE_SECONDS, _FIRST_LOOK_SECONDS
    while loop.time() < end:
        cursor = await connection.execute("select pg_current_snapshot()::text")
        row = await cursor.fetchone()
        if row is None or not any(is_running(xid, row[0]) for xid in xids):
            return
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LAST_LOOK_SECONDS)


def is_running(xid: int, snapshot: str) -> bool:
    """Whether a snapshot (``xmin:xmax:xip,…``, 64-bit ids) does not see the transaction of a 32-bit id."""
    _, xmax_text, running = snapshot.split(":")
    xmax = int(xmax_text)
    full = (xmax & ~0xFFFF_FFFF) | xid
    if full > xmax + 0x8000_0000:
        full -= 0x1_0000_0000
    return full >= xmax or str(full) in running.split(",")


async def _filtered(
    connection: Connection, candidates: list[_Candidate[S]], tables: Mapping[int, Table]
) -> list[_Candidate[S]]:
    """The candidates whose filters all hold."""
    asked = [(item.index, item.change, condition) for item in candidates for condition in item.binding.filters]
    if not asked:
        return candidates
    holds = await held(connection, asked, tables)
    return [
        item
        for item in candidates
        if all(
            (item.index, condition) in holds
            # Rights may have changed since the filter was confirmed: it must not tell what a select would not.
            and item.identity.role in tables[item.oid].columns[condition.column].readers
            for condition in item.binding.filters
        )
    ]


def _deliveries(
    candidates: Iterable[_Candidate[S]], tables: Mapping[int, Table], rendering: Rendering, values: Values
) -> list[Delivery[S]]:
    """One delivery per change, subscriber and selection of columns; equal objects are written once."""
    ids: dict[tuple[int, S, frozenset[str] | None], list[int]] = defaultdict(list)
    texts: dict[tuple[int, str, frozenset[str] | None], str] = {}
    of: dict[tuple[int, S, frozenset[str] | None], tuple[int, str, frozenset[str] | None]] = {}
    for item in candidates:
        select = item.binding.select
        shape = (item.index, item.identity.role, select)
        if shape not in texts:
            texts[shape] = rendering.data(item.change, item.index, tables[item.oid], item.identity.role, select, values)
        ids[item.index, item.subscriber, select].append(item.binding.number)
        of[item.index, item.subscriber, select] = shape
    return [Delivery(key[1], tuple(numbers), texts[of[key]]) for key, numbers in ids.items()]
