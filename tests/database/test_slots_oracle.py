"""Offered slots are those that a walk over the minutes finds, whatever the zone, the hours and the calendar."""

from __future__ import annotations

import functools
import itertools
import random
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.database.slot_oracle import Preferences, Question, Session, Span, free_slots
from tests.support.database import Database

SEED = 20261122
BATCHES = 40
BATCH = 50

#: Zones with a history: half and quarter hours, changes at midnight, at half past eleven, by half an hour, by two
#: hours, at one past midnight, backwards over midnight, in Ramadan, never, and a day that was left out.
ZONES = (
    "UTC",
    "Africa/Nairobi",
    "Africa/Casablanca",
    "Africa/Cairo",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Asuncion",
    "America/Caracas",
    "America/Havana",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kwajalein",
)


@functools.cache
def clock_changes(zone: str) -> tuple[date, ...]:
    """The days from 2009 to 2025 on which the zone's clocks jumped."""
    place = ZoneInfo(zone)
    first = datetime(2009, 1, 1, tzinfo=UTC)
    offsets = [(first + timedelta(days=n)).astimezone(place).utcoffset() for n in range(17 * 365)]
    return tuple(
        (first + timedelta(days=n)).date() for n, (one, other) in enumerate(itertools.pairwise(offsets)) if one != other
    )


def a_question(rng: random.Random, now: datetime) -> Question:
    """A professional and a window within two years of now, more often than not about a change of the clocks."""
    zone = rng.choice(ZONES)
    changes = [day for day in clock_changes(zone) if timedelta(0) < day - now.date() < timedelta(days=500)]
    if changes and rng.random() < 0.7:
        first_day = rng.choice(changes) - timedelta(days=rng.randint(0, 2))
    else:
        first_day = now.date() + timedelta(days=rng.randint(-2, 40))
    last_day = first_day + timedelta(days=rng.choice((0, 0, 1, 2, 3, 3, 4, 8)))
    noon = datetime.combine(first_day, time(12), UTC)
    reach = (last_day - first_day).days + 2

    def moment(grain: int = 5) -> datetime:
        return noon + timedelta(minutes=grain * rng.randint(-36 * 60 // grain, reach * 1440 // grain))

    def span(longest: int, odd: bool = False) -> Span:
        start = moment() + timedelta(seconds=rng.choice((0, 0, 30, 59.5)) if odd else 0)
        return Span(start, start + timedelta(minutes=rng.randint(1, longest)))

    def sessions(count: int) -> tuple[Session, ...]:
        statuses = ("requested", "confirmed", "confirmed", "completed", "cancelled", "no_show")
        # The exclusion constraint keeps live appointments apart, so these are.
        spans: list[Session] = []
        for _ in range(count):
            made = Session(
                uuid.UUID(int=rng.getrandbits(128)), moment(), rng.choice((30, 45, 60, 90, 120)), rng.choice(statuses)
            )
            if all(
                made.start + timedelta(minutes=made.minutes) <= other.start
                or other.start + timedelta(minutes=other.minutes) <= made.start
                for other in spans
            ):
                spans.append(made)
        return tuple(spans)

    def a_rule() -> tuple[int, int, int]:
        start = rng.choice((0, 0, 5, 60, 90, 100, 120, 150, 8 * 60, 9 * 60, 9 * 60 + 15, 22 * 60, 23 * 60 + 30))
        return rng.randint(1, 7), start, min(1440, start + rng.choice((30, 45, 60, 180, 240, 480, 1440)))

    preferences = Preferences(
        slot_interval_minutes=rng.choice((5, 10, 15, 20, 30, 45, 50, 60, 90, 240)),
        min_notice_minutes=rng.choice((0, 0, 7, 60, 24 * 60)),
        horizon_days=rng.choice((730, 730, 730, 30, 7)),
        buffer_before_minutes=rng.choice((0, 0, 5, 15)),
        buffer_after_minutes=rng.choice((0, 0, 10, 30)),
        daily_limit=rng.choice((None, None, None, 1, 2, 4)),
    )
    held = sessions(rng.choice((0, 1, 3, 8, 20)))
    elsewhere = tuple(
        Session(uuid.UUID(int=rng.getrandbits(128)), other.start, other.minutes, other.status)
        for other in sessions(rng.choice((0, 0, 2, 5)))
    )
    return Question(
        now=now,
        zone=zone,
        first_day=first_day,
        last_day=last_day,
        minutes=rng.choice((30, 45, 60, 60, 90, 120)),
        rules=tuple({a_rule() for _ in range(rng.choice((0, 0, 2, 5, 12)))}),
        preferences=preferences if rng.random() < 0.85 else None,
        opened=tuple(span(900, odd=True) for _ in range(rng.choice((0, 0, 1, 3)))),
        blocked=tuple(span(2000, odd=True) for _ in range(rng.choice((0, 0, 1, 3)))),
        busy=tuple(span(300, odd=True) for _ in range(rng.choice((0, 0, 1, 5)))),
        sessions=held,
        elsewhere=elsewhere,
        out_of_office_until=moment(1) if rng.random() < 0.15 else None,
        at_any_hour=rng.random() < 0.1,
        moved=rng.choice(held).id if held and rng.random() < 0.2 else None,
        professional_id=uuid.UUID(int=rng.getrandbits(128)),
        survivor_id=uuid.UUID(int=rng.getrandbits(128)),
    )


def whole_minutes(question: Question) -> Question:
    """Openings end on whole minutes, so that no two of them share a minute of which neither has all."""
    opened = tuple(Span(span.start, span.end.replace(second=0, microsecond=0)) for span in question.opened)
    return Question(**{**vars(question), "opened": tuple(span for span in opened if span.start < span.end)})


def questions(rng: random.Random, count: int) -> list[Question]:
    """Questions that are all asked at one moment, in one of the years with the oddest changes of clocks."""
    now = datetime(rng.choice((2010, 2011, 2015, 2017, 2022)), 1, 1, tzinfo=UTC)
    now += timedelta(seconds=rng.randint(0, 300 * 86400))
    return [whole_minutes(a_question(rng, now)) for _ in range(count)]


class Calendar:
    """Writes questions into a database as rows, and asks the database."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self.connection = connection

    def write(self, asked: Sequence[Question]) -> None:
        """Write everything about the professionals; triggers are off, as for any bulk load."""
        sql = self.connection
        sql.execute("set local session_replication_role = replica")
        sql.execute('update private.clock_offset set "offset" = %s - now()', (asked[0].now,))
        rows: defaultdict[str, list[tuple[object, ...]]] = defaultdict(list)
        for one in asked:
            id_ = one.professional_id
            rows["professionals (id, booking_slug, time_zone, out_of_office_until)"].append(
                (id_, f"sauti-{id_}", one.zone, one.out_of_office_until)
            )
            for weekday, start, end in one.rules:
                rows["availability_rules (professional_id, weekday, start_time, end_time)"].append(
                    (id_, weekday, f"{start // 60}:{start % 60}", f"{end // 60}:{end % 60}")
                )
            for kind, spans in (("open", one.opened), ("blocked", one.blocked)):
                for span in spans:
                    rows["availability_exceptions (professional_id, kind, during)"].append((id_, kind, _range(span)))
            for span in one.busy:
                rows["calendar_busy (connection_id, professional_id, during)"].append((uuid.uuid4(), id_, _range(span)))
            if one.preferences is not None:
                rows[f"scheduling_preferences (professional_id, {', '.join(vars(one.preferences))})"].append(
                    (id_, *vars(one.preferences).values())
                )
            for owner, survivor, sessions in (
                (id_, None, one.sessions),
                (uuid.uuid4(), one.survivor_id, one.elsewhere),
            ):
                for session in sessions:
                    rows[
                        "appointments (appointment_id, professional_id, survivor_id, appointment_date,"
                        " duration_minutes, status, created_via)"
                    ].append((session.id, owner, survivor, session.start, session.minutes, session.status, "follow_up"))
        with sql.cursor() as cursor:
            for relation, values in rows.items():
                with cursor.copy(f"copy public.{relation} from stdin") as copy:
                    for row in values:
                        copy.write_row(row)
        sql.execute("set local session_replication_role = origin")

    def ask(self, asked: Sequence[Question]) -> list[list[datetime]]:
        """What free_slots says to each, in order."""
        found: list[list[datetime]] = [[] for _ in asked]
        for n, start in self.connection.execute(
            "select q.n, f.slot_start from unnest(%s::int[], %s::uuid[], %s::date[], %s::date[], %s::int[], %s::uuid[],"
            " %s::boolean[], %s::uuid[]) as q (n, id, first_day, last_day, minutes, survivor_id, at_any_hour, moved)"
            " cross join lateral (select distinct s.slot_start from private.free_slots(array[q.id], q.first_day,"
            " q.last_day, q.minutes, q.survivor_id, q.at_any_hour, q.moved) as s) as f order by 1, 2",
            (
                list(range(len(asked))),
                [one.professional_id for one in asked],
                [one.first_day for one in asked],
                [one.last_day for one in asked],
                [one.minutes for one in asked],
                [one.survivor_id for one in asked],
                [one.at_any_hour for one in asked],
                [one.moved for one in asked],
            ),
        ):
            assert isinstance(n, int)
            assert isinstance(start, datetime)
            found[n].append(start.astimezone(UTC))
        return found


def _range(span: Span) -> str:
    return f"[{span.start.isoformat()},{span.end.isoformat()})"


@pytest.fixture
def calendar(shared_database: Database) -> Iterator[Calendar]:
    with psycopg.connect(shared_database.superuser_url) as connection:
        connection.execute("set timezone = 'UTC'")
        yield Calendar(connection)
        connection.rollback()


def test_two_thousand_calendars_offer_what_a_walk_over_the_minutes_finds(calendar: Calendar) -> None:
    rng = random.Random(SEED)
    offered = changed = 0
    for _ in range(BATCHES):
        asked = questions(rng, BATCH)
        calendar.write(asked)
        for question, found in zip(asked, calendar.ask(asked), strict=True):
            assert found == free_slots(question), question
            offered += len(found)
            changed += any(question.first_day <= day <= question.last_day for day in clock_changes(question.zone))
        calendar.connection.rollback()
        calendar.connection.execute("set timezone = 'UTC'")
    # The proof that the questions ask something.
    assert offered > 10 * BATCHES * BATCH
    assert changed > BATCHES * BATCH / 3


@given(st.integers(min_value=0))
@settings(max_examples=25, deadline=None)
def test_any_calendar_offers_what_a_walk_over_the_minutes_finds(shared_database: Database, seed: int) -> None:
    asked = questions(random.Random(seed), 4)
    with psycopg.connect(shared_database.superuser_url) as connection:
        calendar = Calendar(connection)
        calendar.write(asked)
        assert calendar.ask(asked) == [free_slots(question) for question in asked]
        connection.rollback()
