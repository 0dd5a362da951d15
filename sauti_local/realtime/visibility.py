"""Which of the changed rows people can see: each is looked for by its key, as it is now, in that person's role."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from sauti_local.realtime.catalog import Table
from sauti_local.realtime.database import Connection, assume
from sauti_local.realtime.pgoutput import Change
from sauti_local.realtime.tokens import Identity

logger = logging.getLogger(__name__)

Person = tuple[str, str]
"""Role and claims: for whom the policies give the same answer."""
Seen = set[tuple[int, Person]]
"""(place of a change in its batch, person) for each row that can be seen."""
_Cursor = psycopg.AsyncCursor[tuple[Any, ...]]


def person_of(identity: Identity) -> Person:
    """The person, whichever of their tokens it is."""
    return identity.role, identity.claims


class Visibility:
    """Questions of sight about a batch of changes: two statements per person and table, however many rows."""

    def __init__(self, changes: Sequence[Change], tables: Mapping[int, Table]) -> None:
        self._changes = changes
        self._tables = tables
        self._people: dict[Person, Identity] = {}
        self._wanted: dict[Person, dict[int, dict[int, None]]] = defaultdict(lambda: defaultdict(dict))
        self._statements: dict[tuple[int, tuple[int, ...]], tuple[bytes, list[list[Any]]]] = {}
        self._asked: list[tuple[Person, _Cursor]] = []

    def add(self, identity: Identity, index: int) -> None:
        """Whether that person can see the row of the change at that place is a question."""
        person = person_of(identity)
        self._people[person] = identity
        self._wanted[person][self._changes[index].relation.oid][index] = None

    async def ask(self, connection: Connection) -> None:
        """Ask all; in a pipeline, in a transaction, which it leaves in somebody's role."""
        for person in self._people:
            self._asked += [(person, cursor) for cursor in await self._ask_for(connection, person)]

    async def answer(self) -> Seen:
        """What was asked."""
        return {(row[0], person) for person, cursor in self._asked for row in await cursor.fetchall()}

    async def ask_each_alone(self, connection: Connection) -> Seen:
        """Ask and answer person by person: one whose policies fail sees nothing, which costs nobody else a row."""
        seen: Seen = set()
        for person in self._people:
            try:
                async with connection.transaction(force_rollback=True):
                    for cursor in await self._ask_for(connection, person):
                        seen |= {(row[0], person) for row in await cursor.fetchall()}
            except psycopg.Error as error:
                if connection.broken:
                    raise
                logger.warning("a policy failed for role %s: SQLSTATE %s", person[0], error.sqlstate)
        return seen

    async def _ask_for(self, connection: Connection, person: Person) -> list[_Cursor]:
        await assume(connection, self._people[person])
        cursors = []
        for oid, indexes in self._wanted[person].items():
            which = (oid, tuple(indexes))
            if which not in self._statements:
                self._statements[which] = self._statement(connection, *which)
            cursors.append(await connection.execute(*self._statements[which]))
        return cursors

    def _statement(self, connection: Connection, oid: int, indexes: tuple[int, ...]) -> tuple[bytes, list[list[Any]]]:
        """Gives the places of those changes whose rows are there. Written once for all who ask the same."""
        table = self._tables[oid]
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
        keys = [[(self._changes[index].new or {}).get(column.name) for index in indexes] for column in table.key]
        return query.as_bytes(connection), [list(indexes), *keys]
