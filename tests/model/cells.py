"""Rows as an oracle knows them: some cells are known before they are seen, the others are bound when they are.

A bound cell keeps its value: whoever sees it later, in whatever relation, must see the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

_UNSEEN = object()
_TOLERANCE = timedelta(seconds=60)


class Unknown:
    """What the server chooses (an id, a code, a score): anything that `accepts` takes, once."""

    def __init__(self, accepts: Callable[[Any], bool] = lambda seen: seen is not None) -> None:
        self._accepts = accepts
        self._value: Any = _UNSEEN

    @property
    def bound(self) -> bool:
        """Whether somebody has seen it."""
        return self._value is not _UNSEEN

    @property
    def value(self) -> Any:
        """What was seen."""
        assert self.bound, "nobody has seen it yet"
        return self._value

    def meets(self, seen: Any) -> bool:
        """Whether it may be this."""
        return bool(seen == self._value if self.bound else self._accepts(seen))

    def bind(self, seen: Any) -> None:
        """It is this from now on."""
        self._value = seen

    def __repr__(self) -> str:
        return repr(self._value) if self.bound else "?"


def moment(about: datetime) -> Unknown:
    """A point in time near `about`, written by the server."""
    return Unknown(lambda seen: isinstance(seen, str) and abs(parsed(seen) - about) <= _TOLERANCE)


def between(first: datetime, last: datetime) -> Unknown:
    """A point in time from `first` to `last`."""
    return Unknown(lambda seen: isinstance(seen, str) and first - _TOLERANCE <= parsed(seen) <= last + _TOLERANCE)


def parsed(text: str) -> datetime:
    """A timestamp of the API."""
    return datetime.fromisoformat(text).astimezone(UTC)


class Row:
    """One row: every column of it, and what the oracle knows of each."""

    def __init__(self, **cells: Any) -> None:
        self._cells = cells
        self._known: dict[str, Any] | None = None

    def __getitem__(self, column: str) -> Any:
        cell = self._cells[column]
        return cell.value if isinstance(cell, Unknown) else cell

    def cell(self, column: str) -> Any:
        """The value, or the `Unknown` that stands for it: to be shared with another row."""
        return self._cells[column]

    def set(self, **cells: Any) -> None:
        """Columns change."""
        assert cells.keys() <= self._cells.keys()
        self._cells |= cells
        self._known = None

    def key(self, columns: tuple[str, ...]) -> tuple[Any, ...] | None:
        """Values of the key; None when nobody has seen them."""
        values = [self._cells[column] for column in columns]
        if any(isinstance(value, Unknown) and not value.bound for value in values):
            return None
        return tuple(value.value if isinstance(value, Unknown) else value for value in values)

    def take(self, seen: dict[str, Any]) -> bool:
        """Whether it is the row that was seen; binds what was unknown of it."""
        if self._known is not None:
            return self._known == seen
        if seen.keys() != self._cells.keys():
            return False
        unknown = {name: cell for name, cell in self._cells.items() if isinstance(cell, Unknown)}
        if not all(cell.meets(seen[name]) for name, cell in unknown.items()):
            return False
        if not all(name in unknown or cell == seen[name] for name, cell in self._cells.items()):
            return False
        for name, cell in unknown.items():
            cell.bind(seen[name])
        self._known = dict(seen)
        return True

    def differences(self, seen: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Column → (expected, seen) where they differ."""
        missing = "no such column"
        return {
            name: (self._cells.get(name, missing), seen.get(name, missing))
            for name in self._cells.keys() | seen.keys()
            if name not in seen
            or name not in self._cells
            or not (
                self._cells[name].meets(seen[name])
                if isinstance(self._cells[name], Unknown)
                else self._cells[name] == seen[name]
            )
        }

    def __repr__(self) -> str:
        return f"Row({self._cells})"


def difference(expected: Iterable[Row], seen: list[dict[str, Any]], key: tuple[str, ...]) -> str | None:
    """What sets the rows that were seen apart from those expected, in words; None: nothing.

    Rows with an unseen key are taken for any of the rest that they may be.
    """
    left = {tuple(row[column] for column in key): row for row in seen}
    if len(left) != len(seen):
        return f"two rows with one key: {seen}"
    later = []
    for row in expected:
        values = row.key(key)
        if values is None:
            later.append(row)
        elif values not in left:
            return f"missing: {row}"
        elif not row.take(found := left.pop(values)):
            return f"row {values} (expected, seen): {row.differences(found)}"
    for row in later:
        for values, found in left.items():
            if row.take(found):
                del left[values]
                break
        else:
            nearest = min((row.differences(found) for found in left.values()), key=len, default="no row at all")
            return f"missing: {row}; nearest: {nearest}"
    return f"not expected: {list(left.values())}" if left else None
