"""Decoder of the messages of the logical decoding plugin `pgoutput`, protocol version 1, values as text.

Source: "Logical Replication Message Formats" in the manual of PostgreSQL. No I/O.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

#: PostgreSQL counts microseconds from 2000-01-01 00:00 UTC; this is its distance from 1970.
POSTGRES_EPOCH = 946_684_800_000_000

_BEGIN = struct.Struct("!qqi")
_RELATION_TAIL = struct.Struct("!bh")
_COLUMN_TAIL = struct.Struct("!ii")
_OID = struct.Struct("!I")
_COUNT = struct.Struct("!h")
_SIZE = struct.Struct("!i")


class Unchanged(enum.Enum):
    """A large value that an UPDATE left alone: the WAL does not repeat it."""

    VALUE = 0


Tuple = list[str | Unchanged | None]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation; `is_key` when it belongs to the replica identity."""

    name: str
    type_oid: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it was when the change was written."""

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """Start of a committed transaction.

    Attributes:
        xid: Its 32-bit id.
        committed_at: Microseconds since 1970-01-01 00:00 UTC.
    """

    xid: int
    committed_at: int


@dataclass(frozen=True, slots=True)
class Commit:
    """End of a committed transaction."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row's change. Values are PostgreSQL's text; a column whose value is not known is absent.

    Attributes:
        new: The row after it; None for DELETE.
        old: The row before it, as far as the replica identity tells; None when it tells nothing new.
    """

    relation: Relation
    kind: Literal["INSERT", "UPDATE", "DELETE"]
    new: dict[str, str | None] | None
    old: dict[str, str | None] | None
    begin: Begin


class Decoder:
    """Turns a stream of messages into changes; remembers the relations that it has been told of."""

    def __init__(self, wanted: Callable[[Relation], bool]) -> None:
        """`wanted` says whether anybody cares for a relation: other rows are not looked at."""
        self._wanted = wanted
        self._relations: dict[int, Relation] = {}
        self._begin = Begin(0, 0)

    def decode(self, data: bytes) -> Begin | Commit | Change | None:
        """Read one message; None when there is nothing to do about it."""
        match data[:1]:
            case b"B":
                _, committed_at, xid = _BEGIN.unpack_from(data, 1)
                self._begin = Begin(xid & 0xFFFF_FFFF, committed_at + POSTGRES_EPOCH)
                return self._begin
            case b"C":
                return Commit()
            case b"R":
                relation = _relation(data)
                self._relations[relation.oid] = relation
                return None
            case b"I" | b"U" | b"D":
                relation = self._relations[_OID.unpack_from(data, 1)[0]]
                return self._change(relation, data) if self._wanted(relation) else None
            case _:
                return None

    def _change(self, relation: Relation, data: bytes) -> Change:
        old: dict[str, str | None] | None = None
        new: dict[str, str | None] | None = None
        offset = 5
        while offset < len(data):
            part = data[offset : offset + 1]
            values, offset = _tuple(data, offset + 1)
            pairs = zip(relation.columns, values, strict=False)
            if part == b"N":
                new = {column.name: value for column, value in pairs if not isinstance(value, Unchanged)}
                for column, value in zip(relation.columns, values, strict=False):
                    if isinstance(value, Unchanged) and old is not None and column.name in old:
                        new[column.name] = old[column.name]
            else:
                # "K" holds the key alone, with nulls in the place of everything else; "O" the whole row.
                old = {
                    column.name: value
                    for column, value in pairs
                    if (part == b"O" or column.is_key) and not isinstance(value, Unchanged)
                }
        kind: Literal["INSERT", "UPDATE", "DELETE"] = (
            "INSERT" if data[:1] == b"I" else "UPDATE" if data[:1] == b"U" else "DELETE"
        )
        return Change(relation, kind, new, old, self._begin)


def _relation(data: bytes) -> Relation:
    (oid,) = _OID.unpack_from(data, 1)
    schema, offset = _string(data, 5)
    name, offset = _string(data, offset)
    _, count = _RELATION_TAIL.unpack_from(data, offset)
    offset += _RELATION_TAIL.size
    columns = []
    for _ in range(count):
        flags = data[offset]
        column, offset = _string(data, offset + 1)
        type_oid, _ = _COLUMN_TAIL.unpack_from(data, offset)
        offset += _COLUMN_TAIL.size
        columns.append(Column(column, type_oid & 0xFFFF_FFFF, bool(flags & 1)))
    return Relation(oid, schema or "pg_catalog", name, tuple(columns))


def _tuple(data: bytes, offset: int) -> tuple[Tuple, int]:
    (count,) = _COUNT.unpack_from(data, offset)
    offset += _COUNT.size
    values: Tuple = []
    for _ in range(count):
        kind = data[offset]
        offset += 1
        if kind == 0x74:  # t: text
            (size,) = _SIZE.unpack_from(data, offset)
            offset += _SIZE.size
            values.append(data[offset : offset + size].decode())
            offset += size
        else:
            values.append(Unchanged.VALUE if kind == 0x75 else None)  # u: unchanged, n: null
    return values, offset


def _string(data: bytes, offset: int) -> tuple[str, int]:
    end = data.index(0, offset)
    return data[offset:end].decode(), end + 1
