"""Values that can be found again wherever they leak, and the places where each may be."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: Kind of place and its name: ("answer", actor), ("frame", actor), ("table", relation), ("mail to", ""), ("mail", ""),
#: ("calendar", owner), ("log", file).
Place = tuple[str, str]


@dataclass(eq=False)
class Canary:
    """One value in one field of one person."""

    text: str
    what: str
    allowed: set[Place] = field(default_factory=set)


class Aviary:
    """Every canary of a run."""

    def __init__(self) -> None:
        self.canaries: list[Canary] = []
        self._numbers = itertools.count(314159)

    def words(self, what: str, *allowed: Place) -> str:
        """A text that holds a new canary."""
        return self._keep(f"canary{next(self._numbers)}", what, allowed)

    def phone(self, what: str, *allowed: Place) -> str:
        """A telephone number that does."""
        return self._keep(f"+254 7{next(self._numbers)}", what, allowed)

    def address(self, what: str, *allowed: Place) -> str:
        """A mail address that does."""
        return self._keep(f"canary{next(self._numbers)}@canary.example", what, allowed)

    def day(self, what: str, *allowed: Place) -> str:
        """A day that does; there are enough between 1930 and 2000."""
        number = next(self._numbers) - 314159
        return self._keep(f"{1930 + number % 70}-0{1 + number // 70 % 9}-17", what, allowed)

    def degrees(self, what: str, *allowed: Place) -> float:
        """Half of a place near the equator that does."""
        return float(self._keep(f"0.{next(self._numbers)}", what, allowed))

    def in_report(self, report: dict[str, Any], place: Place) -> None:
        """The fields of a report may be in this place now."""
        for canary in self.canaries:
            if canary.text in json.dumps(report):
                canary.allowed.add(place)

    def found(self, seen: dict[Place, str]) -> Iterable[tuple[Canary, Place]]:
        """Where the canaries are."""
        for place, text in seen.items():
            lowered = text.lower()
            for canary in self.canaries:
                if canary.text.lower() in lowered:
                    yield canary, place

    def _keep(self, text: str, what: str, allowed: Iterable[Place]) -> str:
        self.canaries.append(Canary(text, what, set(allowed)))
        return text
