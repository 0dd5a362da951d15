"""Whether filters hold on changed rows: the database compares, in the column's own type."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from sauti_local.realtime.bindings import OPERATORS, Filter
from sauti_local.realtime.catalog import Table
from sauti_local.realtime.database import Connection
from sauti_local.realtime.pgoutput import Change

logger = logging.getLogger(__name__)

Held = set[tuple[int, Filter]]
"""(place of a change in its batch, filter) for each that holds."""


async def held(
    connection: Connection, asked: Iterable[tuple[int, Change, Filter]], tables: Mapping[int, Table]
) -> Held:
    """Which of the filters hold on which of the changes; one question per (table, column, operator).

    A filter holds on the row after the change, for DELETE on what is known of the row before it. On a value that is not
    known, or null, no filter holds; nor does one that cannot be asked any more, because the column has changed.
    """
    questions: dict[tuple[int, str, str], _Question] = defaultdict(_Question)
    for index, change, condition in asked:
        value = (change.new or change.old or {}).get(condition.column)
        if value is not None and condition.column in tables[change.relation.oid].columns:
            questions[change.relation.oid, condition.column, condition.operator].add(index, value, condition)
    named = [(tables[oid].columns[column].type_sql, operator, q) for (oid, column, operator), q in questions.items()]
    try:
        async with connection.pipeline():
            cursors = [(q, await q.ask(connection, type_sql, operator)) for type_sql, operator, q in named]
            return {answer for question, cursor in cursors for answer in await question.answer(cursor)}
    except psycopg.Error:
        if connection.broken:
            raise
    found: Held = set()
    for type_sql, operator, question in named:
        try:
            found |= await question.answer(await question.ask(connection, type_sql, operator))
        except psycopg.Error as error:
            if connection.broken:
                raise
            logger.warning("a filter could not be asked: SQLSTATE %s", error.sqlstate)
    return found


class _Question:
    """Values of a column in the changes, and the filters on it, of one operator."""

    def __init__(self) -> None:
        self._values: dict[int, str] = {}
        self._filters: dict[Filter, None] = {}

    def add(self, index: int, value: str, condition: Filter) -> None:
        self._values[index] = value
        self._filters[condition] = None

    async def ask(self, connection: Connection, type_sql: str, operator: str) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        query = sql.SQL(
            "select v.i, f.i from unnest(%s::int[], %s::text[]) v(i, x) join unnest(%s::int[], %s::text[]) f(i, x)"
            " on v.x::{type} {operator} f.x::{type}"
        ).format(type=sql.SQL(type_sql), operator=sql.SQL(OPERATORS[operator]))
        literals = [(number, value) for number, condition in enumerate(self._filters) for value in condition.values]
        numbers, texts = [number for number, _ in literals], [text for _, text in literals]
        return await connection.execute(query, (list(self._values), list(self._values.values()), numbers, texts))

    async def answer(self, cursor: psycopg.AsyncCursor[tuple[Any, ...]]) -> Held:
        filters = list(self._filters)
        return {(index, filters[number]) for index, number in await cursor.fetchall()}
