"""What an entry says in a calendar that is written over JSON; as `ics.render` says it. Pure."""

from __future__ import annotations

from sauti_sync import ics

#: The calendar program reminds this long before.
REMINDER_MINUTES = 60


def description(entry: ics.Entry, wording: ics.Wording, full: bool) -> str:
    """Case code and link; the meeting address only when `full`."""
    return str(ics.description(entry, wording, full))


def location(entry: ics.Entry, full: bool) -> str:
    """The place when `full`, else the meeting address when `full`, else empty: both can give the purpose away."""
    return (ics.one_line(entry.location or entry.meeting_url or "")) if full else ""
