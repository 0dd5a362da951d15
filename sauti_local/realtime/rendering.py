"""The `data` object of a `postgres_changes` message, as JSON text."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import psycopg
from psycopg import sql

from sauti_local.realtime.catalog import Table
from sauti_local.realtime.database import Connection
from sauti_local.realtime.frames import to_json
from sauti_local.realtime.pgoutput import Change

# Of a change that is too large, values up to this many characters are still told.
_SMALL_VALUE: Final = 64
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

Part = Literal["new", "old"]
Row = Mapping[str, str | None]
# (index of a change, part) → column → JSON text
Values = dict[tuple[int, Part], dict[str, str]]


class Rendering:
    """The values of changes, on their way to be JSON: each as ``to_jsonb`` of its column's type.

    In a pipeline, `ask` sends the questions and `answer` reads the answers.
    """

    def __init__(self, max_size: int) -> None:
        """`max_size`: characters of values above which a change is too large to be told whole."""
        self._max_size = max_size
        self._asked: list[tuple[list[str], psycopg.AsyncCursor[tuple[Any, ...]]]] = []

    def is_large(self, change: Change) -> bool:
        """Whether only the small values of a change are told."""
        rows = (change.new or {}, change.old or {})
        return sum(len(value or "") for row in rows for value in row.values()) > self._max_size

    def told(self, change: Change, part: Part) -> Row:
        """The values of a part of a change that are told."""
        row = (change.new if part == "new" else change.old) or {}
        if not self.is_large(change):
            return row
        return {name: value for name, value in row.items() if value is None or len(value) <= _SMALL_VALUE}

    async def ask(
        self, connection: Connection, changes: Sequence[Change], wanted: Iterable[int], tables: Mapping[int, Table]
    ) -> None:
        """Ask for the values of the wanted changes: one question per table."""
        rows: dict[int, list[tuple[int, Part, Row]]] = defaultdict(list)
        parts: tuple[Part, ...] = ("new", "old")
        for index in wanted:
            for part in parts:
                rows[changes[index].relation.oid].append((index, part, self.told(changes[index], part)))
        for oid, of_table in rows.items():
            types = {column.name: column.type_oid for column in changes[of_table[0][0]].relation.columns}
            columns = [column for column in tables[oid].columns.values() if column.name in types]
            names = [sql.Identifier(f"c{position}") for position in range(len(columns))]
            # A value written before its column's type was changed is shown as the text that it was.
            casts = [column.type_sql if types[column.name] == column.type_oid else "text" for column in columns]
            query = sql.SQL("select i, part, array[{}]::text[] from unnest({}) r({})").format(
                sql.SQL(", ").join(
                    [
                        sql.SQL("to_jsonb({}::{})::text").format(name, sql.SQL(cast))
                        for name, cast in zip(names, casts, strict=True)
                    ]
                ),
                sql.SQL(", ").join([sql.SQL("%s::int[]"), *[sql.SQL("%s::text[]")] * (len(columns) + 1)]),
                sql.SQL(", ").join([sql.Identifier("i"), sql.Identifier("part"), *names]),
            )
            arrays: list[list[Any]] = [[index for index, _, _ in of_table], [part for _, part, _ in of_table]]
            arrays += [[values.get(column.name) for _, _, values in of_table] for column in columns]
            self._asked.append(([column.name for column in columns], await connection.execute(query, arrays)))

    async def answer(self) -> Values:
        """What was asked for."""
        return {
            (index, part): {name: value or "null" for name, value in zip(names, values, strict=True)}
            for names, cursor in self._asked
            for index, part, values in await cursor.fetchall()
        }

    def data(
        self, change: Change, index: int, table: Table, role: str, select: frozenset[str] | None, values: Values
    ) -> str:
        """The object for a role and a selection of columns (None: all that the role may select)."""
        if change.kind != "DELETE" and not table.key_is_readable(role):
            error = "Error 401: Unauthorized" if table.key else "Error 400: Bad Request, no primary key"
            head = _head(change, table, "null", "[]", to_json([error]))
            return _object(head | {"record": "{}", "old_record": "{}"})
        columns = {
            column.name: column
            for column in table.columns.values()
            if role in column.readers and (select is None or column.name in select or column.is_key)
        }

        def part(name: Part, *, only_key: bool) -> str:
            return _object(
                {
                    column: values[index, name][column]
                    for column in self.told(change, name)
                    if column in columns and (not only_key or columns[column].is_key)
                }
            )

        members = _head(
            change,
            table,
            to_json(_timestamp(change.begin.committed_at)),
            to_json([{"name": column.name, "type": column.type_name} for column in columns.values()]),
            to_json(["Error 413: Payload Too Large"] if self.is_large(change) else None),
        )
        if change.kind == "DELETE":
            # The row is gone: no policy can be asked about it, so that only its key is told.
            return _object(members | {"old_record": part("old", only_key=table.has_rls)})
        members["record"] = part("new", only_key=False)
        if change.kind == "UPDATE":
            members["old_record"] = part("old", only_key=False) if change.old else part("new", only_key=True)
        return _object(members)


_HEAD: Final = ("schema", "table", "type", "commit_timestamp", "columns", "errors")


def _head(change: Change, table: Table, commit_timestamp: str, columns: str, errors: str) -> dict[str, str]:
    names = (to_json(table.schema), to_json(table.name), to_json(change.kind))
    return dict(zip(_HEAD, (*names, commit_timestamp, columns, errors), strict=True))


def _object(members: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{to_json(name)}:{value}" for name, value in members.items()) + "}"


def _timestamp(microseconds: int) -> str:
    moment = _EPOCH + datetime.timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
