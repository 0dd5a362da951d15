"""Values that can be found again wherever they leak, and the places where each may be."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: Kind of place and its name: ("answer", actor), ("frame", actor), ("ics", actor), ("mail", reader), ("mail to", ""),
#: ("sms", ""), ("sms to", ""), ("calendar", owner), ("statistics", asker), ("table", relation), ("log", file),
#: ("metrics", page), ("command", name). The name ``*`` stands for every place of the kind.
Place = tuple[str, str]


@dataclass(eq=False)
class Canary:
    """One value of one field; with the account of any of its people it has to go."""

    text: str
    what: str
    people: frozenset[str]
    allowed: set[Place] = field(default_factory=set)

    def may_be_in(self, place: Place) -> bool:
        """Whether it is no leak there."""
        return place in self.allowed or (place[0], "*") in self.allowed


class Aviary:
    """Every canary of a run."""

    def __init__(self) -> None:
        self.canaries: list[Canary] = []
        self._numbers = itertools.count(314159)
        self._days = itertools.count()

    def words(self, what: str, *allowed: Place, of: Iterable[str] = ()) -> str:
        """A text that holds a new canary."""
        return self.keep(f"canary{next(self._numbers)}", what, *allowed, of=of)

    def phone(self, what: str, *allowed: Place, of: Iterable[str] = ()) -> str:
        """A telephone number that does: its last digits, however the number is written."""
        return "+254 " + self.keep(f"712{next(self._numbers)}", what, *allowed, of=of)

    def address(self, what: str, *allowed: Place, of: Iterable[str] = ()) -> str:
        """A mail address that does."""
        return self.keep(f"canary{next(self._numbers)}@canary.example", what, *allowed, of=of)

    def link(self, what: str, *allowed: Place, of: Iterable[str] = ()) -> str:
        """A web address that does."""
        return "https://canary.example/" + self.words(what, *allowed, of=of)

    def locale(self, what: str, *allowed: Place, of: Iterable[str] = ()) -> str:
        """A language tag that does."""
        return self.keep(f"en-x{next(self._numbers)}", what, *allowed, of=of)

    def digest(self, what: str, *allowed: Place, of: Iterable[str] = ()) -> str:
        """A SHA-256 in hexadecimal digits that does."""
        return self.keep(f"{next(self._numbers):064}", what, *allowed, of=of)

    def day(self, what: str, *allowed: Place, of: Iterable[str] = ()) -> str:
        """A day that does; there are 23,520 between 1930 and 2000, and no two canaries may be the same one."""
        number = next(self._days)
        year, month, day = 1930 + number % 70, 1 + number // 70 % 12, 1 + number // 840
        return self.keep(f"{year}-{month:02}-{day:02}", what, *allowed, of=of)

    def time(self, hour: str, what: str, *allowed: Place, of: Iterable[str] = ()) -> str:
        """A time of day that does: ``hour`` and minutes, then a second with fractions."""
        return self.keep(f"{hour}:07.{next(self._numbers)}", what, *allowed, of=of)

    def degrees(self, what: str, *allowed: Place, of: Iterable[str] = ()) -> float:
        """Half of a place near the equator that does."""
        # A last digit of 0 would not be printed.
        number = next(number for number in self._numbers if number % 10)
        return float(self.keep(f"0.{number}", what, *allowed, of=of))

    def keep(self, text: str, what: str, *allowed: Place, of: Iterable[str] = ()) -> str:
        """Watch a text that somebody else has made."""
        self.canaries.append(Canary(text, what, frozenset(of), set(allowed)))
        return text

    def allow(self, texts: Iterable[str], *places: Place) -> None:
        """These may be in these places from now on."""
        wanted = set(texts)
        for canary in self.canaries:
            if canary.text in wanted:
                canary.allowed.update(places)

    def belong(self, texts: Iterable[str], *people: str) -> None:
        """These are theirs from now on."""
        wanted = set(texts)
        for canary in self.canaries:
            if canary.text in wanted:
                canary.people = frozenset(people)

    def in_report(self, report: dict[str, Any], place: Place) -> None:
        """The fields of a report may be in this place now."""
        fields = json.dumps(report)
        self.allow((canary.text for canary in self.canaries if canary.text in fields), place)

    def found(self, seen: dict[Place, str]) -> Iterable[tuple[Canary, Place]]:
        """Where the canaries are."""
        for place, text in seen.items():
            lowered = text.lower()
            for canary in self.canaries:
                if canary.text.lower() in lowered:
                    yield canary, place
