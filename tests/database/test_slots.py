"""Slots by example: what the clock on the wall does to a working day, and what is offered to whom.

The same question is asked of thousands of random calendars in test_slots_oracle.py.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.support.cases import Cases, Professional, Sql

WHOLE_DAY = [(weekday, "00:00", "24:00") for weekday in range(1, 8)]


def works(cases: Cases, zone: str, rules: list[tuple[int, str, str]], interval: int = 60) -> Professional:
    """A public professional with these hours, bookable at once and for two years."""
    professional = cases.professional(card={"is_public_booking": True, "time_zone": zone})
    cases.sql.execute(
        "insert into public.scheduling_preferences (professional_id, slot_interval_minutes, min_notice_minutes,"
        " horizon_days) values (%s, %s, 0, 730)",
        (professional.id, interval),
    )
    for rule in rules:
        professional.sql.execute(
            "insert into public.availability_rules (weekday, start_time, end_time) values (%s, %s, %s)", rule
        )
    return professional


def wall(sql: Sql, professional: Professional, first: date, last: date, zone: str, minutes: int = 60) -> list[str]:
    """The slots as the professional's clock shows their starts, with the offset."""
    rows = sql.execute(
        "select * from public.available_slots(%s, %s, %s, %s)", (professional.id, first, last, minutes)
    ).fetchall()
    assert [row["slot_start"] for row in rows] == sorted({row["slot_start"] for row in rows})
    assert {row["slot_end"] - row["slot_start"] for row in rows} <= {timedelta(minutes=minutes)}
    return [row["slot_start"].astimezone(ZoneInfo(zone)).strftime("%d %H:%M%z") for row in rows]


def test_no_rules_mean_monday_to_friday_nine_to_five_of_the_professional(cases: Cases) -> None:
    cases.set_time(datetime(2027, 1, 1, tzinfo=UTC))
    professional = works(cases, "Asia/Kolkata", [])
    found = wall(cases.database.as_anon(), professional, date(2027, 1, 4), date(2027, 1, 10), "Asia/Kolkata")
    assert len(found) == 5 * 8
    assert (found[0], found[-1]) == ("04 09:00+0530", "08 16:00+0530")


def test_a_spring_night_loses_its_hour_and_an_autumn_night_has_it_twice(cases: Cases) -> None:
    cases.set_time(datetime(2027, 1, 1, tzinfo=UTC))
    professional = works(cases, "Europe/Berlin", [(7, "01:00", "04:00")])
    visitor = cases.database.as_anon()
    spring, autumn = date(2027, 3, 28), date(2027, 10, 31)
    assert wall(visitor, professional, spring, spring, "Europe/Berlin") == ["28 01:00+0100", "28 03:00+0200"]
    assert wall(visitor, professional, autumn, autumn, "Europe/Berlin") == [
        "31 01:00+0200",
        "31 02:00+0200",
        "31 02:00+0100",
        "31 03:00+0100",
    ]


def test_a_day_that_a_zone_leaves_out_has_no_slots_and_lends_none_to_its_neighbours(cases: Cases) -> None:
    cases.set_time(datetime(2011, 12, 1, tzinfo=UTC))
    professional = works(cases, "Pacific/Apia", [(5, "09:00", "11:00"), (6, "09:00", "10:00")])  # the 30th: a Friday
    found = wall(cases.database.as_anon(), professional, date(2011, 12, 29), date(2011, 12, 31), "Pacific/Apia")
    assert found == ["31 09:00+1400"]


def test_a_midnight_that_never_was_begins_the_day_at_one(cases: Cases) -> None:
    cases.set_time(datetime(2018, 10, 1, tzinfo=UTC))
    professional = works(cases, "America/Sao_Paulo", WHOLE_DAY)
    day = date(2018, 11, 4)
    found = wall(cases.database.as_anon(), professional, day, day, "America/Sao_Paulo")
    assert (len(found), found[0], found[-1]) == (23, "04 01:00-0200", "04 23:00-0200")


def test_a_midnight_that_was_twice_belongs_to_its_day_twice(cases: Cases) -> None:
    cases.set_time(datetime(2018, 10, 1, tzinfo=UTC))
    professional = works(cases, "America/Havana", WHOLE_DAY)
    day = date(2018, 11, 4)
    found = wall(cases.database.as_anon(), professional, day, day, "America/Havana")
    assert (len(found), found[:3]) == (25, ["04 00:00-0400", "04 00:00-0500", "04 01:00-0500"])


def test_a_session_may_run_over_midnight_from_one_rule_into_the_next(cases: Cases) -> None:
    cases.set_time(datetime(2027, 1, 1, tzinfo=UTC))
    professional = works(cases, "UTC", [(1, "23:00", "24:00"), (2, "00:00", "01:00")])
    visitor = cases.database.as_anon()
    monday = date(2027, 1, 4)
    assert wall(visitor, professional, monday, monday, "UTC", 120) == ["04 23:00+0000"]
    assert wall(visitor, professional, monday, monday + timedelta(days=1), "UTC") == ["04 23:00+0000", "05 00:00+0000"]


def test_each_rule_counts_its_slots_from_its_own_start(cases: Cases) -> None:
    cases.set_time(datetime(2027, 1, 1, tzinfo=UTC))
    professional = works(cases, "UTC", [(1, "09:15", "11:45"), (1, "14:00", "15:30")], interval=45)
    monday = date(2027, 1, 4)
    assert wall(cases.database.as_anon(), professional, monday, monday, "UTC") == [
        "04 09:15+0000",
        "04 10:00+0000",
        "04 10:45+0000",
        "04 14:00+0000",
    ]


def test_an_opening_adds_time_and_a_block_takes_it_whatever_else_is_there(cases: Cases) -> None:
    cases.set_time(datetime(2027, 1, 1, tzinfo=UTC))
    professional = works(cases, "UTC", [(1, "09:00", "11:00")])
    for kind, start, end in (
        ("open", "2027-01-04 20:20Z", "2027-01-04 22:30Z"),
        ("blocked", "2027-01-04 09:59Z", "2027-01-04 20:30Z"),
    ):
        professional.sql.execute(
            "insert into public.availability_exceptions (kind, during) values (%s, tstzrange(%s, %s))",
            (kind, start, end),
        )
    monday = date(2027, 1, 4)
    assert wall(cases.database.as_anon(), professional, monday, monday, "UTC") == ["04 21:20+0000"]


def test_buffers_stand_between_sessions_and_not_at_the_edges_of_the_day(cases: Cases) -> None:
    cases.set_time(datetime(2027, 1, 1, tzinfo=UTC))
    professional = works(cases, "UTC", [(1, "09:00", "14:00")], interval=15)
    cases.sql.execute("update public.scheduling_preferences set buffer_before_minutes = 15, buffer_after_minutes = 15")
    cases.sql.execute(
        "insert into public.appointments (professional_id, appointment_date, status, created_via)"
        " values (%s, '2027-01-04 11:00Z', 'confirmed', 'follow_up')",
        (professional.id,),
    )
    monday = date(2027, 1, 4)
    assert wall(cases.database.as_anon(), professional, monday, monday, "UTC") == [
        "04 09:00+0000",
        "04 09:15+0000",
        "04 09:30+0000",
        "04 12:30+0000",
        "04 12:45+0000",
        "04 13:00+0000",
    ]


@pytest.mark.parametrize(
    ("status", "left"), [("requested", 0), ("confirmed", 0), ("completed", 0), ("no_show", 0), ("cancelled", 5)]
)
def test_a_full_day_offers_nothing_and_a_cancelled_session_fills_none(cases: Cases, status: str, left: int) -> None:
    cases.set_time(datetime(2027, 1, 1, tzinfo=UTC))
    professional = works(cases, "UTC", [(1, "09:00", "14:00"), (2, "09:00", "14:00")])
    cases.sql.execute("update public.scheduling_preferences set daily_limit = 1")
    cases.sql.execute(
        "insert into public.appointments (professional_id, appointment_date, status, created_via)"
        " values (%s, '2027-01-04 18:00Z', %s, 'follow_up')",
        (professional.id, status),
    )
    visitor = cases.database.as_anon()
    monday = date(2027, 1, 4)
    assert len(wall(visitor, professional, monday, monday, "UTC")) == left
    assert len(wall(visitor, professional, monday, monday + timedelta(days=1), "UTC")) == left + 5


def test_notice_and_horizon_bound_what_is_offered_to_the_minute(cases: Cases) -> None:
    cases.set_time(datetime(2027, 1, 4, 8, 0, tzinfo=UTC))
    professional = works(cases, "UTC", WHOLE_DAY)
    cases.sql.execute("update public.scheduling_preferences set min_notice_minutes = 120, horizon_days = 1")
    visitor = cases.database.as_anon()
    monday = date(2027, 1, 4)
    found = wall(visitor, professional, monday, monday + timedelta(days=7), "UTC")
    now = cases.now()
    assert now == datetime(2027, 1, 4, 8, 0, tzinfo=UTC)
    assert (found[0], found[-1]) == ("04 10:00+0000", "05 08:00+0000")


def test_a_window_asked_in_parts_gives_the_same_slots(cases: Cases) -> None:
    cases.set_time(datetime(2027, 10, 1, tzinfo=UTC))
    visitor = cases.database.as_anon()
    for zone in ("Europe/Berlin", "Australia/Lord_Howe", "America/New_York"):
        professional = works(cases, zone, WHOLE_DAY, interval=35)
        first = date(2027, 10, 25)
        whole = wall(visitor, professional, first, first + timedelta(days=20), zone, 90)
        parts = [
            slot
            for n in range(21)
            for slot in wall(visitor, professional, first + timedelta(days=n), first + timedelta(days=n), zone, 90)
        ]
        assert whole == parts
        assert len(whole) > 20 * 40
