"""A follow-up is one session or a whole series: all or none, at the same time on the wall, and nothing skipped."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped]

from tests.support.cases import Cases, OpenCase, Row, call
from tests.support.refusals import refused

BERLIN = ZoneInfo("Europe/Berlin")
#: Mondays before the clocks change in Berlin, 28 March 2027.
MONDAY = datetime(2027, 3, 15, 10, 0, tzinfo=BERLIN)


@pytest.fixture
def case(cases: Cases) -> OpenCase:
    cases.set_time(datetime(2027, 3, 1, 8, tzinfo=UTC))
    return cases.accepted(professional=cases.professional(card={"time_zone": "Europe/Berlin"}))


def follow_up(case: OpenCase, starts_at: datetime, rrule: str | None = None, minutes: int = 60) -> list[Row]:
    return case.professional.sql.execute(
        "select * from public.schedule_follow_up(%s, %s, %s, 'follow_up', %s)",
        (case.match_id, starts_at, minutes, rrule),
    ).fetchall()


def test_one_session_is_confirmed_at_any_time(cases: Cases, case: OpenCase) -> None:
    at_night = datetime(2027, 3, 6, 3, 17, tzinfo=BERLIN)
    for _ in range(2):
        (made,) = follow_up(case, at_night, minutes=45)
        assert (made["status"], made["created_via"], made["series_id"]) == ("confirmed", "follow_up", None)
        assert (made["appointment_date"], made["survivor_id"]) == (at_night, case.survivor.id)
        assert made["matched_services"] == case.match_id
    assert cases.count("public.appointments") == 2


def test_a_series_keeps_its_time_on_the_wall_over_the_change_of_the_clocks(cases: Cases, case: OpenCase) -> None:
    made = follow_up(case, MONDAY, "FREQ=WEEKLY;COUNT=5")
    local = [row["appointment_date"].astimezone(BERLIN) for row in made]
    assert [at.strftime("%m-%d %H:%M") for at in local] == [
        "03-15 10:00",
        "03-22 10:00",
        "03-29 10:00",
        "04-05 10:00",
        "04-12 10:00",
    ]
    assert len({at.utcoffset() for at in local}) == 2
    assert len({row["series_id"] for row in made}) == 1
    assert made[0]["series_id"] is not None
    told = cases.count("public.notifications", "kind = 'appointment_confirmed' and user_id = %s", case.survivor.id)
    assert told == 1 + 5


def test_a_repeated_series_is_the_same_series(cases: Cases, case: OpenCase) -> None:
    first = follow_up(case, MONDAY, "FREQ=WEEKLY;COUNT=5")
    assert follow_up(case, MONDAY, "FREQ=WEEKLY;COUNT=5") == first
    assert cases.count("public.appointments") == 6
    with refused("slot_taken"):
        follow_up(case, MONDAY, "FREQ=WEEKLY;COUNT=6")


def test_a_clash_makes_nothing_and_every_clash_is_named_by_its_time_alone(cases: Cases, case: OpenCase) -> None:
    cases.pass_time(hours=2)
    other = cases.accepted(professional=case.professional)
    follow_up(other, MONDAY + timedelta(days=7, minutes=30))
    elsewhere = cases.professional(service_type="legal_aid")
    report_id = cases.file_report(case.survivor, required_services=["legal_aid"])
    elsewhere.sql.execute(
        "select public.accept_match(%s, 'schedule_later', %s)",
        (cases.offer(report_id, elsewhere)["id"], datetime(2027, 4, 5, 10, 15, tzinfo=BERLIN)),
    )
    before = cases.count("public.appointments")
    with refused("slot_taken") as told:
        follow_up(case, MONDAY, "FREQ=WEEKLY;COUNT=5")
    assert told.details == "Another appointment holds: 2027-03-22 10:00, 2027-04-05 10:00 (Europe/Berlin)."
    assert cases.count("public.appointments") == before


def test_only_the_professional_of_an_open_case_goes_on_with_it(cases: Cases, case: OpenCase) -> None:
    arguments = (case.match_id, MONDAY)
    for actor in (case.survivor.sql, cases.professional().sql, cases.admin()):
        with refused("not_found"):
            call(actor, "schedule_follow_up", *arguments)
    with refused("not_authenticated"):
        call(cases.database.as_anon(), "schedule_follow_up", *arguments)
    with refused("not_found"):
        call(case.professional.sql, "schedule_follow_up", uuid.uuid4(), MONDAY)
    cases.sql.execute(
        "update public.professionals set verification_status = 'under_review' where id = %s", (case.professional.id,)
    )
    with refused("not_verified"):
        follow_up(case, MONDAY)
    call(case.survivor.sql, "withdraw_report", case.report_id)
    with refused("report_withdrawn"):
        follow_up(case, MONDAY)


def test_an_offer_that_is_not_accepted_has_no_follow_up(cases: Cases) -> None:
    professional = cases.professional()
    offer = cases.offer(cases.file_report(cases.survivor()), professional)
    with refused("case_not_open"):
        call(professional.sql, "schedule_follow_up", offer["id"], cases.now() + timedelta(days=2))


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "weekly",
        "FREQ=WEEKLY",
        "FREQ=WEEKLY;COUNT=0",
        "FREQ=WEEKLY;COUNT=53",
        "FREQ=WEEKLY;COUNT=5;UNTIL=20270501",
        "FREQ=DAILY;UNTIL=20270601",
        "FREQ=YEARLY;COUNT=2",
        "FREQ=SECONDLY;COUNT=2",
        "FREQ=WEEKLY;COUNT=2;BYHOUR=9",
        "FREQ=WEEKLY;COUNT=2;COUNT=3",
        "FREQ=WEEKLY;COUNT=2;BYDAY=TU",
        "FREQ=WEEKLY;COUNT=2;BYDAY=1MO",
        "FREQ=WEEKLY;COUNT=2;BYDAY=XX",
        "FREQ=WEEKLY;COUNT=2;BYMONTHDAY=15",
        "FREQ=WEEKLY;COUNT=2;INTERVAL=0",
        "FREQ=WEEKLY;COUNT=2;INTERVAL=-1",
        "FREQ=WEEKLY;COUNT=2;WKST=XX",
        "FREQ=MONTHLY;COUNT=2;BYMONTHDAY=32",
        "FREQ=MONTHLY;COUNT=30",
        "FREQ=MONTHLY;UNTIL=20990101",
        "FREQ=MONTHLY;UNTIL=20270231",
        "FREQ=MONTHLY;UNTIL=20270601T256060Z",
        "FREQ=WEEKLY;COUNT=2\r\nATTENDEE:x",
        "FREQ=WEEKLY;COUNT=2;X=" + "1" * 300,
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused_whole(cases: Cases, case: OpenCase, rule: str) -> None:
    with refused("invalid_input") as told:
        follow_up(case, MONDAY, rule)
    assert told.details.startswith("rrule: ")
    assert cases.count("public.appointments") == 1


@pytest.mark.parametrize(
    ("starts_at", "minutes", "symbol"),
    [
        (datetime(2027, 2, 1, tzinfo=UTC), 60, "in_the_past"),
        (datetime(2030, 2, 1, tzinfo=UTC), 60, "invalid_input"),
        (MONDAY, 20, "invalid_duration"),
    ],
    ids=["past", "far", "short"],
)
def test_a_follow_up_needs_a_time_that_can_be(
    cases: Cases, case: OpenCase, starts_at: datetime, minutes: int, symbol: str
) -> None:
    with refused(symbol):
        follow_up(case, starts_at, "FREQ=WEEKLY;COUNT=2", minutes)


def expand(cases: Cases) -> Callable[[str, datetime, str], list[datetime]]:
    """The database's reading of a rule, as moments."""

    def read(rule: str, starts_at: datetime, zone: str) -> list[datetime]:
        found: list[datetime] = cases.one(
            "select private.expand_recurrence(%s, %s, %s) as times", rule, starts_at, zone
        )["times"]
        return [at.astimezone(UTC) for at in found]

    return read


def a_rule(rng: random.Random, starts_at: datetime) -> str:
    """A rule whose first session `starts_at` may well be."""
    days = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
    own = days[starts_at.weekday()]
    parts = [f"FREQ={(frequency := rng.choice(('DAILY', 'WEEKLY', 'MONTHLY')))}"]
    if rng.random() < 0.6:
        parts.append(f"INTERVAL={rng.randint(1, 4)}")
    if frequency == "MONTHLY":
        shape = rng.randint(0, 4)
        ordinal = (starts_at.day + 6) // 7
        if shape == 1:
            parts.append(f"BYMONTHDAY={starts_at.day},{rng.choice((-1, -3, 1, 15, 31))}")
        elif shape == 2:
            parts.append(f"BYDAY={ordinal}{own},{rng.choice((-1, -2, 1, 3, 5))}{rng.choice(days)}")
        elif shape == 3:
            parts.append(f"BYDAY={own}")
        elif shape == 4:
            parts.append(f"BYDAY={own};BYMONTHDAY={starts_at.day},{starts_at.day % 28 + 1},1,8,15,22")
    elif rng.random() < 0.6:
        parts.append("BYDAY=" + ",".join({own, *rng.sample(days, 2)}))
        if frequency == "WEEKLY" and rng.random() < 0.5:
            parts.append(f"WKST={rng.choice(days)}")
    if rng.random() < 0.5:
        parts.append(f"COUNT={rng.randint(1, 8)}")
    else:
        until = starts_at + timedelta(days=rng.randint(0, 40))
        if rng.random() < 0.5:
            parts.append(f"UNTIL={until.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        else:
            parts.append(f"UNTIL={until:%Y%m%d}")
    rng.shuffle(parts)
    return ";".join(parts)


def as_dateutil_reads_it(rule: str, starts_at: datetime, zone: str) -> list[datetime]:
    """The same rule by python-dateutil, over the wall clock, which is then read as RFC 5545 (3.3.5) says."""
    place = ZoneInfo(zone)
    local = starts_at.astimezone(place).replace(tzinfo=None)
    parts: dict[str, Any] = dict(part.split("=") for part in rule.split(";"))
    until = parts.pop("UNTIL", None)
    naive = ";".join(f"{name}={value}" for name, value in parts.items())
    readings = list(rrulestr(naive, dtstart=local).xafter(local, count=60, inc=True))
    moments = [at.replace(tzinfo=place, fold=0).astimezone(UTC) for at in readings]
    if until is None:
        return moments
    if until.endswith("Z"):
        end = datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return [at for at in moments if at <= end]
    return [at for at, reading in zip(moments, readings, strict=True) if f"{reading:%Y%m%d}" <= until]


def test_rules_are_read_as_dateutil_reads_them(cases: Cases) -> None:
    read = expand(cases)
    rng = random.Random(5545)
    cases.set_time(datetime(2026, 1, 1, tzinfo=UTC))
    compared = 0
    for _ in range(400):
        zone = rng.choice(("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"))
        starts_at = datetime(
            2026, rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23), 30, tzinfo=ZoneInfo(zone)
        )
        starts_at = starts_at.astimezone(UTC).astimezone(ZoneInfo(zone))
        rule = a_rule(rng, starts_at)
        expected = as_dateutil_reads_it(rule, starts_at, zone)
        if expected[:1] != [starts_at] or len(expected) > 52 or expected[-1] > datetime(2028, 1, 1, tzinfo=UTC):
            with refused("invalid_input"):
                read(rule, starts_at, zone)
        else:
            assert read(rule, starts_at, zone) == expected, (rule, starts_at, zone)
            compared += 1
    assert compared > 250


def test_a_time_that_the_clock_skips_or_shows_twice_is_read_as_calendars_read_it(cases: Cases) -> None:
    read = expand(cases)
    cases.set_time(datetime(2026, 1, 1, tzinfo=UTC))
    spring = read("FREQ=DAILY;COUNT=3", datetime(2026, 3, 28, 2, 30, tzinfo=BERLIN), "Europe/Berlin")
    assert [at.astimezone(BERLIN).strftime("%d %H:%M") for at in spring] == ["28 02:30", "29 03:30", "30 02:30"]
    autumn = read("FREQ=DAILY;COUNT=3", datetime(2026, 10, 24, 2, 30, tzinfo=BERLIN), "Europe/Berlin")
    assert autumn[1] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # the first of the two
