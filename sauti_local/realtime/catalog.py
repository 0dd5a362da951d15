"""Tables as the catalog has them now: columns, their types, the key, and who may select what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sauti_local.realtime.database import Connection


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: Its name.
        type_oid: Its type.
        type_name: The type's bare name, as the protocol tells it (``int4``, ``_text``).
        type_sql: The type as SQL names it.
        is_key: Whether it is part of the primary key.
        readers: Those of the roles asked about that may select it.
    """

    name: str
    type_oid: int
    type_name: str
    type_sql: str
    is_key: bool
    readers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, columns in their order."""

    schema: str
    name: str
    has_rls: bool
    columns: dict[str, Column]

    @property
    def key(self) -> list[Column]:
        """The columns of the primary key; empty when there is none."""
        return [column for column in self.columns.values() if column.is_key]

    def key_is_readable(self, role: str) -> bool:
        """Whether there is a key and the role may select all of it: without that no row is told."""
        return bool(self.key) and all(role in column.readers for column in self.key)


async def describe(connection: Connection, oids: Iterable[int], roles: Iterable[str]) -> dict[int, Table]:
    """Oid → table. A table that is gone is left out."""
    cursor = await connection.execute(
        """
        select c.oid, n.nspname, c.relname, c.relrowsecurity, a.attname, a.atttypid, t.typname,
          format_type(a.atttypid, null), coalesce(a.attnum = any(i.indkey), false),
          array(
            select r.name from unnest(%(roles)s::name[]) r(name)
            where has_column_privilege(r.name, c.oid, a.attnum, 'select')
          )::text[]
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        join pg_type t on t.oid = a.atttypid
        left join pg_index i on i.indrelid = c.oid and i.indisprimary
        where c.oid = any(%(oids)s::oid[])
        order by c.oid, a.attnum
        """,
        {"roles": sorted(set(roles)), "oids": sorted(set(oids))},
    )
    tables: dict[int, Table] = {}
    for oid, schema, name, has_rls, column, type_oid, type_name, type_sql, is_key, readers in await cursor.fetchall():
        table = tables.setdefault(oid, Table(schema, name, has_rls, {}))
        table.columns[column] = Column(column, type_oid, type_name, type_sql, is_key, frozenset(readers))
    return tables
