"""Free slots worked out the slow way: a walk over the minutes, looking at the clock on the wall at each of them.

Shares nothing with the SQL: no ranges, no conversion of local times to moments. The only question ever asked of a time
zone is what its clocks show at a given minute.
"""

from __future__ import annotations

import functools
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = 24 * 60
DEFAULT_HOURS = tuple((weekday, 9 * 60, 17 * 60) for weekday in range(1, 6))
LIVE = ("requested", "confirmed")


@dataclass(frozen=True)
class Span:
    """From one moment until another, the end excluded."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Session:
    """An appointment: of the professional, of the asking survivor with somebody else, or both at once."""

    id: uuid.UUID
    start: datetime
    minutes: int
    status: str


@dataclass(frozen=True)
class Preferences:
    """A row of ``scheduling_preferences``; the defaults are those of its columns."""

    slot_interval_minutes: int = 30
    min_notice_minutes: int = 60
    horizon_days: int = 90
    buffer_before_minutes: int = 0
    buffer_after_minutes: int = 0
    daily_limit: int | None = None


@dataclass(frozen=True)
class Question:
    """One professional's calendar, and what is asked about it."""

    now: datetime
    zone: str
    first_day: date
    last_day: date
    minutes: int
    #: (ISO weekday, first minute, last minute) of the day; none means the default hours.
    rules: tuple[tuple[int, int, int], ...] = ()
    preferences: Preferences | None = None
    opened: tuple[Span, ...] = ()
    blocked: tuple[Span, ...] = ()
    busy: tuple[Span, ...] = ()
    sessions: tuple[Session, ...] = ()
    #: Of the survivor who asks, with other professionals.
    elsewhere: tuple[Session, ...] = ()
    out_of_office_until: datetime | None = None
    at_any_hour: bool = False
    moved: uuid.UUID | None = None
    professional_id: uuid.UUID = field(default_factory=uuid.uuid4)
    survivor_id: uuid.UUID = field(default_factory=uuid.uuid4)


@functools.lru_cache(maxsize=8192)
def wall_clock(zone: str, day: date) -> tuple[tuple[date, int, int], ...]:
    """What clocks show at each minute of a day of UTC: local date, ISO weekday, minute of the day."""
    place = ZoneInfo(zone)
    first = int(datetime.combine(day, time(), UTC).timestamp())
    shown = (datetime.fromtimestamp(first + 60 * n, place) for n in range(DAY))
    return tuple((at.date(), at.isoweekday(), 60 * at.hour + at.minute) for at in shown)


def free_slots(question: Question) -> list[datetime]:
    """The starts of all slots that may be offered, in order."""
    preferences = question.preferences or Preferences()
    # Clocks differ from UTC by at most 14 hours, and a session lasts at most two.
    begin = datetime.combine(question.first_day - timedelta(days=1), time(), UTC)
    days = (question.last_day - question.first_day).days + 3
    readings = [reading for n in range(days) for reading in wall_clock(question.zone, begin.date() + timedelta(days=n))]
    count = len(readings)
    rules_of = {
        weekday: [rule[1:] for rule in question.rules or DEFAULT_HOURS if rule[0] == weekday] for weekday in range(1, 8)
    }

    def minutes_of(span: Span, *, whole: bool) -> range:
        """The minutes that lie wholly within the span, or all that it touches."""
        up, down = _ceil(span.start, begin), _floor(span.end, begin)
        first, end = (up, down) if whole else (_floor(span.start, begin), _ceil(span.end, begin))
        return range(max(first, 0), min(max(end, first), count))

    working = {
        (weekday, minute) for weekday, rules in rules_of.items() for start, end in rules for minute in range(start, end)
    }
    usable = bytearray(question.at_any_hour or (weekday, minute) in working for _, weekday, minute in readings)
    for span in question.opened:
        for n in minutes_of(span, whole=True):
            usable[n] = 1
    for span in _engagements(question, preferences):
        for n in minutes_of(span, whole=False):
            usable[n] = 0

    sessions_on = Counter(
        session.start.astimezone(ZoneInfo(question.zone)).date()
        for session in question.sessions
        if session.status != "cancelled" and session.id != question.moved
    )
    earliest = question.now + timedelta(minutes=preferences.min_notice_minutes)
    if question.out_of_office_until is not None:
        earliest = max(earliest, question.out_of_office_until)
    latest = question.now + timedelta(hours=24 * preferences.horizon_days)
    step = preferences.slot_interval_minutes

    found = []
    run = 0
    for n in range(count - 1, -1, -1):
        run = run + 1 if usable[n] else 0
        day, weekday, minute = readings[n]
        if run < question.minutes or not question.first_day <= day <= question.last_day:
            continue
        start = begin + timedelta(minutes=n)
        if not earliest <= start <= latest:
            continue
        if preferences.daily_limit is not None and sessions_on[day] >= preferences.daily_limit:
            continue
        on_a_rule = any(first <= minute < end and (minute - first) % step == 0 for first, end in rules_of[weekday])
        on_an_opening = any(
            span.start <= start < span.end and (n - _ceil(span.start, begin)) % step == 0 for span in question.opened
        )
        if on_a_rule or on_an_opening or (question.at_any_hour and minute % step == 0):
            found.append(start)
    return found[::-1]


def _engagements(question: Question, preferences: Preferences) -> list[Span]:
    """All that is in the way of a session, with what buffers add to it."""
    before = timedelta(minutes=preferences.buffer_before_minutes)
    after = timedelta(minutes=preferences.buffer_after_minutes)
    spans = list(question.blocked)
    spans += [Span(span.start - after, span.end + before) for span in question.busy]
    for session in question.sessions:
        if session.status in LIVE and session.id != question.moved:
            end = session.start + timedelta(minutes=session.minutes)
            spans.append(Span(session.start - before - after, end + before + after))
    for session in question.elsewhere:
        if session.status in LIVE and session.id != question.moved:
            spans.append(Span(session.start, session.start + timedelta(minutes=session.minutes)))
    return spans


def _floor(moment: datetime, begin: datetime) -> int:
    return (moment - begin) // timedelta(minutes=1)


def _ceil(moment: datetime, begin: datetime) -> int:
    return -((begin - moment) // timedelta(minutes=1))
