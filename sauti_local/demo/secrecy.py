"""Telling whether anything of a survivor's report can be recognised in what somebody else reads.

A report has masked facts, which an offer repeats; words that many reports share, which nobody could recognise; and
what tells: everything else. A column of a kind that is not known here counts as telling, so that a new one cannot
escape the search.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sauti_local.demo.people import Row

MASKED = ("incident_type", "gender", "age_category")
OFFERED = (*MASKED, "urgency")
_KEY_AND_STATE = ("report_id", "status", "match_status", "ismatched", "created_at", "archived_at")
_SHARED_WORDS = (
    "required_services", "contact_preference", "preferred_language", "preferred_professional_gender", "special_needs",
    "consent_to_share", "consent_location",
)  # fmt: skip
# Shorter pieces turn up by accident in what has nothing to do with the report.
_SHORTEST = 5


def telling(report: Row) -> dict[str, list[str]]:
    """What must not be seen of a report, by column: the value, and the pieces of it that would do."""
    columns = [name for name in report if name not in (*OFFERED, *_KEY_AND_STATE, *_SHARED_WORDS)]
    return {name: pieces for name in columns if (pieces := _pieces(report[name]))}


def leaks(told: Iterable[list[str]], seen: Any) -> list[str]:
    """The pieces of `told` that stand in any value of `seen`."""
    texts = [text.casefold() for text in scalars(seen)]
    return [piece for pieces in told for piece in pieces if any(piece.casefold() in text for text in texts)]


def scalars(value: Any) -> Iterator[str]:
    """Every value in a structure as JSON has it, and every key, as text."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from scalars(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from scalars(item)
    elif value is not None:
        yield str(value)


def _pieces(value: Any) -> list[str]:
    """The value, its sentences, and for a name or an address its parts."""
    if value is None or isinstance(value, bool):
        return []
    text = str(value)
    parts = {text, *re.split(r"(?<=[.!?])\s+", text)}
    if len(text) < 60:
        parts |= set(re.split(r"[\s,]+|@", text))
    return sorted(part.strip(".,!? ") for part in parts if len(part.strip(".,!? ")) >= _SHORTEST)
