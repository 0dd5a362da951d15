"""What a client asks to hear of by `postgres_changes`: event, schema, table, filter, columns."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from sauti_local.realtime.database import Connection
from sauti_local.realtime.tokens import Identity

PUBLICATION: Final = "supabase_realtime"
OPERATORS: Final[Mapping[str, LiteralString]] = {
    "eq": "=",
    "neq": "<>",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "in": "=",
}
_MAX_VALUES = 100


class BindingRefused(Exception):
    """The database has nothing like it; the message is for the client."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a column; `values` as PostgreSQL writes them, more than one for `in` only."""

    column: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """A request that the database has confirmed.

    Attributes:
        number: The id by which the client knows it.
        event: INSERT, UPDATE, DELETE or ``*``.
        tables: Oids of the published tables that it names.
        filters: All must hold.
        select: The columns asked for besides the key; None for all.
    """

    number: int
    event: str
    tables: frozenset[int]
    filters: tuple[Filter, ...]
    select: frozenset[str] | None


def number_of(request: Mapping[str, Any]) -> int:
    """A number for a request, the same for the same request."""
    return zlib.crc32(json.dumps(request, sort_keys=True).encode()) & 0x7FF_FFFF


async def confirm(connection: Connection, request: Mapping[str, Any], identity: Identity) -> Binding:
    """Check a request against the publication, the columns that the person may select, and their types.

    Raises:
        BindingRefused: it names no published table, or a column or value that is not there or not theirs.
    """
    event, schema, table, select = _parts(request)
    filters = parse_filters(request.get("filter"))
    cursor = await connection.execute(
        "select format('%%I.%%I', schemaname, tablename)::regclass::oid from pg_publication_tables"
        " where pubname = %(publication)s"
        " and %(schema)s::text in ('*', schemaname) and %(table)s::text in ('*', tablename)",
        {"publication": PUBLICATION, "schema": schema, "table": table},
    )
    tables = frozenset(row[0] for row in await cursor.fetchall())
    described = f"event: {event}, schema: {schema}, table: {table}, filters: {request.get('filter') or '[]'}"
    if not tables:
        raise BindingRefused(
            "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given"
            f" connect parameters: [{described}]"
        )
    try:
        confirmed = []
        for oid in tables:
            types = await _selectable(connection, oid, identity.role)
            for column in (*(name for name, _, _ in filters), *(select or ())):
                if column not in types:
                    raise BindingRefused(f"invalid column for filter {column}")
            confirmed = [await _typed(connection, item, types[item[0]]) for item in filters]
    except (BindingRefused, psycopg.DataError, psycopg.ProgrammingError) as error:
        reason = error.diag.message_primary if isinstance(error, psycopg.Error) else str(error)
        raise BindingRefused(
            "Unable to subscribe to changes with given parameters. An exception happened so please check your connect"
            f" parameters: [{described}]. Exception: {reason}"
        ) from None
    return Binding(number_of(request), event, tables, tuple(confirmed), select)


def parse_filters(text: object) -> list[tuple[str, str, str]]:
    """``column=operator.value``, several joined by commas: all must hold. Gives column, operator, value.

    Raises:
        BindingRefused: it reads otherwise.
    """
    if text is None:
        return []
    if not isinstance(text, str):
        raise BindingRefused("Error parsing `filter` params: not a string")
    found = []
    for part in _split(text) if text.strip() else []:
        column, equals, condition = part.strip().partition("=")
        operator, point, value = condition.partition(".")
        if not (column and equals and point) or operator not in OPERATORS:
            raise BindingRefused(f"Error parsing `filter` params: {part.strip()}")
        if operator == "in" and not (len(value) >= 2 and value.startswith("(") and value.endswith(")")):
            raise BindingRefused("Error parsing `filter` params: `in` filter value must be wrapped by parentheses")
        if operator != "in" and len(value) >= 2 and value.startswith('"') and value.endswith('"'):
            value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        found.append((column, operator, value))
    return found


def _parts(request: Mapping[str, Any]) -> tuple[str, str, str, frozenset[str] | None]:
    schema, table, event, select = (request.get(key) for key in ("schema", "table", "event", "select"))
    if not (isinstance(schema, str) or isinstance(table, str)):
        raise BindingRefused(
            "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to"
        )
    event = event.upper() if isinstance(event, str) else "*"
    return (
        event if event in ("INSERT", "UPDATE", "DELETE") else "*",
        schema if isinstance(schema, str) else "public",
        table if isinstance(table, str) else "*",
        frozenset(name for name in select if isinstance(name, str)) or None if isinstance(select, list) else None,
    )


def _split(text: str) -> list[str]:
    """Split at commas that are neither in parentheses nor in quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, character in enumerate(text):
        if character == '"' and (position == 0 or text[position - 1] != "\\"):
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and depth == 0 and not quoted:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


async def _selectable(connection: Connection, oid: int, role: str) -> dict[str, str]:
    """Name → type of the columns that the role may select."""
    cursor = await connection.execute(
        "select attname, format_type(atttypid, null) from pg_attribute where attrelid = %(oid)s::oid and attnum > 0"
        " and not attisdropped and has_column_privilege(%(role)s::name, attrelid, attnum, 'select')",
        {"oid": oid, "role": role},
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def _typed(connection: Connection, item: tuple[str, str, str], type_name: str) -> Filter:
    """Have the database read the value as the column's type, compare it, and write it in its own way."""
    column, operator, value = item
    values = sql.SQL("unnest(%s::text::{}[])" if operator == "in" else "(select %s::text::{})")
    query = sql.SQL("select x::text, x {operator} x from {values} v(x) where x is not null").format(
        operator=sql.SQL(OPERATORS[operator]), values=values.format(sql.SQL(type_name))
    )
    cursor = await connection.execute(query, ("{" + value[1:-1] + "}" if operator == "in" else value,))
    found = tuple(row[0] for row in await cursor.fetchall())
    if len(found) > _MAX_VALUES:
        raise BindingRefused(f"too many values for `in` filter. Maximum {_MAX_VALUES}")
    return Filter(column, operator, found)
