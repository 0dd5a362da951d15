"""Appointments as iCalendar (RFC 5545, 5546). Pure: facts in, octets out.

One UID for life, SEQUENCE rises with each change and with the cancellation, times are UTC (`Z`), so no VTIMEZONE is
needed. The text says "Appointment", the case code and the link; place and meeting address only at full detail, since
either can give away what the appointment is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from icalendar import Alarm, Calendar, Event
from icalendar.prop import vCalAddress, vText

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
_UNSAFE_IN_URL = re.compile(r"[\s\x00-\x1f\x7f<>\"]")


class Method(StrEnum):
    """What the receiver of a mailed calendar object is to do with it."""

    PUBLISH = "PUBLISH"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class Entry:
    """One appointment as a calendar shows it. All times are aware."""

    uid: str
    starts_at: datetime
    ends_at: datetime
    sequence: int
    status: str
    revised_at: datetime
    created_at: datetime
    case_code: str | None = None
    location: str | None = None
    meeting_url: str | None = None
    #: The owner's; for calendars that want to be told times in it.
    time_zone: str = "UTC"

    @property
    def zone(self) -> ZoneInfo:
        """The owner's zone, UTC when it is unknown here."""
        try:
            return ZoneInfo(self.time_zone)
        except (KeyError, ValueError, OSError):
            return ZoneInfo("UTC")

    @property
    def is_cancelled(self) -> bool:
        """Whether the entry says that the appointment will not take place."""
        return self.status == "cancelled"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of an entry in the reader's language, and the link."""

    title: str
    case: str
    link: str


def render(
    entry: Entry,
    wording: Wording,
    *,
    method: Method | None = None,
    organizer: str | None = None,
    full: bool = False,
    reminder_minutes: int | None = None,
) -> bytes:
    """The calendar object, CRLF lines folded at 75 octets.

    `method` is for mail only: RFC 4791 forbids it in a stored object. `organizer` (a mail address) is what RFC 5546
    asks for beside a method. `full` adds place and meeting address. `reminder_minutes` before it the reader's calendar
    shows the title again.
    """
    calendar = Calendar()
    calendar.add("prodid", "-//Appointment//Appointment//EN")
    calendar.add("version", "2.0")
    if method is not None:
        calendar.add("method", method.value)

    event = Event()
    event.add("uid", one_line(entry.uid))
    event.add("sequence", entry.sequence)
    event.add("dtstamp", _utc(entry.revised_at))
    event.add("created", _utc(entry.created_at))
    event.add("last-modified", _utc(entry.revised_at))
    event.add("dtstart", _utc(entry.starts_at))
    event.add("dtend", _utc(entry.ends_at))
    event.add("status", _STATUS.get(entry.status, "CONFIRMED"))
    event.add("class", "PRIVATE")
    event.add("transp", "TRANSPARENT" if entry.is_cancelled else "OPAQUE")
    event.add("summary", one_line(wording.title))
    event.add("description", description(entry, wording, full))
    if _is_web_address(wording.link):
        event.add("url", wording.link)
    if full and entry.location:
        event.add("location", one_line(entry.location))
    if organizer is not None:
        event["organizer"] = vCalAddress(f"mailto:{one_line(organizer)}")
    if reminder_minutes is not None and not entry.is_cancelled:
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("trigger", -timedelta(minutes=reminder_minutes))
        alarm.add("description", one_line(wording.title))
        event.add_component(alarm)
    calendar.add_component(event)
    return bytes(calendar.to_ical())


@dataclass(frozen=True, slots=True)
class Seen:
    """What an existing calendar object says about an appointment."""

    uid: str
    sequence: int
    starts_at: datetime | None
    ends_at: datetime | None
    status: str


def read(document: bytes) -> Seen | None:
    """The first VEVENT of a calendar object, or None when there is none that can be read."""
    try:
        event = next(iter(Calendar.from_ical(document).walk("VEVENT")), None)
        if event is None:
            return None
        return Seen(
            uid=str(event.get("uid", "")),
            sequence=int(event.get("sequence", 0)),
            starts_at=_instant(event.decoded("dtstart", None)),
            ends_at=_instant(event.decoded("dtend", None)),
            status=str(event.get("status", "CONFIRMED")),
        )
    except Exception:  # whatever a foreign object breaks in the parser, it is one that cannot be read
        return None


def says_the_same(seen: Seen, entry: Entry) -> bool:
    """Whether an existing object already shows this revision of the appointment."""
    return (seen.uid, seen.sequence, seen.starts_at, seen.ends_at, seen.status) == (
        entry.uid,
        entry.sequence,
        _utc(entry.starts_at),
        _utc(entry.ends_at),
        _STATUS.get(entry.status, "CONFIRMED"),
    )


_STATUS = {"requested": "TENTATIVE", "cancelled": "CANCELLED"}


def description(entry: Entry, wording: Wording, full: bool) -> vText:
    """Case code and link, one a line; the meeting address between them when `full`."""
    lines = [f"{wording.case}: {one_line(entry.case_code)}"] if entry.case_code else []
    if full and entry.meeting_url and _is_web_address(entry.meeting_url):
        lines.append(entry.meeting_url)
    lines.append(one_line(wording.link))
    return vText("\n".join(lines))


def one_line(text: str) -> str:
    """One line: control characters go, so that no value can begin a property of its own."""
    return _CONTROL.sub("", text.replace("\n", " ").replace("\t", " ")).strip()


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _instant(value: object) -> datetime | None:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else None


def _is_web_address(value: str) -> bool:
    # A URL is written unescaped: only what cannot end its line may go in.
    try:
        scheme = urlsplit(value).scheme
    except ValueError:
        return False
    return scheme in ("http", "https") and not _UNSAFE_IN_URL.search(value)
