"""When a calendar is busy: what a reading gives, the same for every provider. Pure.

No title, place or person of an event is kept beyond its parser: a reading holds names of events and times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

#: Right side of the UID of every event of ours, in whichever calendar it was put or imported.
OWN_UID_SUFFIX = "@sauti"


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when; aware, UTC."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is of interest, and the zone in which a whole day of the owner begins."""

    starts_at: datetime
    ends_at: datetime
    time_zone: str = "UTC"

    def clip(self, span: Span) -> Span | None:
        """The part within the window."""
        start, end = max(span.starts_at, self.starts_at), min(span.ends_at, self.ends_at)
        return Span(start, end) if start < end else None

    def instant(self, value: date | datetime) -> datetime:
        """A moment; dates and times without a zone are the owner's own."""
        return instant(value, self.time_zone)


@dataclass(frozen=True, slots=True)
class Change:
    """What one event is now. `spans` is empty when it takes no time (any more)."""

    external_event_id: str
    spans: tuple[Span, ...] = ()
    #: It was deleted or cancelled.
    is_gone: bool = False
    #: It was written by us, says a mark in it. Not said of what is gone.
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Pulled:
    """One reading. When `is_full`, what it does not name is not there."""

    cursor: str | None
    is_full: bool
    changes: tuple[Change, ...]


def instant(value: date | datetime, time_zone: str) -> datetime:
    """A moment in UTC. What has no zone is in `time_zone`, or in UTC when that is unknown here."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    if value.tzinfo is None:
        try:
            value = value.replace(tzinfo=ZoneInfo(time_zone))
        except (KeyError, ValueError, OSError):
            value = value.replace(tzinfo=UTC)
    return value.astimezone(UTC)


def source_of(connection_id: str, external_event_id: str) -> str:
    """The name under which an event's times are stored: 32 hexadecimal digits that tell nobody anything."""
    return hashlib.sha256(f"{connection_id}:{external_event_id}".encode()).hexdigest()[:32]


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same time in as few spans as possible, in order."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda one: one.starts_at):
        if joined and span.starts_at <= joined[-1].ends_at:
            joined[-1] = Span(joined[-1].starts_at, max(joined[-1].ends_at, span.ends_at))
        else:
            joined.append(span)
    return tuple(joined)
