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
from typing import Any, Generic, Protocol, TypeVar

import psycopg
from psycopg import sql

from sauti_local.realtime.bindings import Binding
from sauti_local.realtime.catalog import Table, describe
from sauti_local.realtime.database import Connection, Database, assume
from sauti_local.realtime.filtering import held
from sauti_local.realtime.pgoutput import Change
from sauti_local.realtime.rendering import Rendering, Values
from sauti_local.realtime.tokens import Identity

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 2.0
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.0005, 0.02


class Subscriber(Hashable, Protocol):
    """Somebody with subscriptions, who acts as a person."""

    @property
    def identity(self) -> Identity:
        """The person, by the latest token."""


S = TypeVar("S", bound=Subscriber)
Person = tuple[str, str]
"""Role and claims: for whom the policies give the same answer."""


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
        return self.identity.role, self.identity.claims

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
        rendering = Rendering(self._max_size)
        wanted = sorted({item.index for item in candidates})
        rows: dict[Person, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        people: dict[Person, Identity] = {}
        for item in candidates:
            if item.must_be_seen(tables):
                people[item.person] = item.identity
                rows[item.person][item.oid].add(item.index)
        try:
            async with connection.pipeline():
                await rendering.ask(connection, changes, wanted, tables)
                looks = [_Look(person, changes, rows[key], tables) for key, person in people.items()]
                async with connection.transaction(force_rollback=True):
                    for look in looks:
                        await look.ask(connection)
                values = await rendering.answer()
                visible = {(index, look.person) for look in looks for index in await look.answer()}
        except psycopg.Error:
            if connection.broken:
                raise
            # Somebody's policy failed for their claims. Ask for each person alone: it must cost nobody else a change.
            await connection.rollback()
            rendering = Rendering(self._max_size)
            await rendering.ask(connection, changes, wanted, tables)
            values = await rendering.answer()
            visible = set()
            for key, person in people.items():
                look = _Look(person, changes, rows[key], tables)
                visible |= {(index, key) for index in await look.alone(connection)}
        candidates = [
            item for item in candidates if not item.must_be_seen(tables) or (item.index, item.person) in visible
        ]
        return _deliveries(candidates, tables, rendering, values)


class _Look:
    """Which of the changed rows a person can see. In a pipeline `ask` sends the questions, `answer` reads."""

    def __init__(
        self,
        identity: Identity,
        changes: Sequence[Change],
        rows: Mapping[int, set[int]],
        tables: Mapping[int, Table],
    ) -> None:
        self.person: Person = (identity.role, identity.claims)
        self._identity = identity
        self._changes = changes
        self._rows = rows
        self._tables = tables
        self._cursors: list[psycopg.AsyncCursor[tuple[Any, ...]]] = []

    async def ask(self, connection: Connection) -> None:
        """Ask, in a transaction; leaves it in that person's role."""
        await assume(connection, self._identity)
        for oid, indexes in self._rows.items():
            table, order = self._tables[oid], sorted(indexes)
            names = [sql.Identifier(f"k{position}") for position in range(len(table.key))]
            query = sql.SQL("select i from unnest({}) k({}) where exists (select from {} t where {})").format(
                sql.SQL(", ").join([sql.SQL("%s::int[]"), *[sql.SQL("%s::text[]")] * len(names)]),
                sql.SQL(", ").join([sql.Identifier("i"), *names]),
                sql.Identifier(table.schema, table.name),
                sql.SQL(" and ").join(
                    [
                        sql.SQL("t.{} = k.{}::{}").format(sql.Identifier(column.name), name, sql.SQL(column.type_sql))
                        for column, name in zip(table.key, names, strict=True)
                    ]
                ),
            )
            keys = [[(self._changes[index].new or {}).get(column.name) for index in order] for column in table.key]
            self._cursors.append(await connection.execute(query, [order, *keys]))

    async def answer(self) -> list[int]:
        """Places in the batch of the changes whose rows can be seen."""
        return [row[0] for cursor in self._cursors for row in await cursor.fetchall()]

    async def alone(self, connection: Connection) -> list[int]:
        """Ask and answer; a policy that fails shows nothing."""
        try:
            async with connection.transaction(force_rollback=True):
                await self.ask(connection)
                return await self.answer()
        except psycopg.Error as error:
            if connection.broken:
                raise
            logger.warning("a policy failed for role %s: SQLSTATE %s", self._identity.role, error.sqlstate)
            return []


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
