"""No message at an unsafe hour, in any time zone, on the days on which clocks change too."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.cases import Cases

ZONES = (
    "UTC",
    "Africa/Nairobi",
    "Africa/Casablanca",
    "America/New_York",
    "America/Havana",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
TIMES = st.times(min_value=time(0), max_value=time(23, 59), timezones=st.none()).map(
    lambda moment: moment.replace(second=0, microsecond=0)
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def next_safe(cases: Cases, at: datetime, zone: str, start: time | str | None, end: time | str | None) -> datetime:
    moment: datetime = cases.one(
        "select private.next_safe_time(%s, %s, %s::time, %s::time) as at", at, zone, start, end
    )["at"]
    return moment.astimezone(UTC)


def is_safe(at: datetime, zone: str, start: time, end: time) -> bool:
    """The rule, said again in Python."""
    local = at.astimezone(ZoneInfo(zone)).time()
    if start == end:
        return True
    return start <= local < end if start < end else local >= start or local < end


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=MOMENTS, zone=st.sampled_from(ZONES), start=TIMES, end=TIMES)
# Clocks go forward over the beginning, and back over it.
@example(datetime(2026, 3, 8, 6, 59, tzinfo=UTC), "America/New_York", time(2, 30), time(4))
@example(datetime(2026, 3, 8, 6, 59, tzinfo=UTC), "America/New_York", time(2, 15), time(2, 45))
@example(datetime(2026, 11, 1, 5, 10, tzinfo=UTC), "America/New_York", time(1, 15), time(1, 45))
@example(datetime(2026, 11, 1, 5, 50, tzinfo=UTC), "America/New_York", time(1, 15), time(1, 45))
@example(datetime(2026, 10, 25, 0, 50, tzinfo=UTC), "Europe/Dublin", time(1, 30), time(1, 40))
@example(datetime(2026, 10, 25, 1, 5, tzinfo=UTC), "Europe/Dublin", time(1, 30), time(1, 40))
def test_a_message_goes_in_safe_hours_only_and_goes_in_the_end(
    cases: Cases, at: datetime, zone: str, start: time, end: time
) -> None:
    moment = next_safe(cases, at, zone, start, end)
    assert moment >= at
    # Now if and only if now is safe: the worker asks again when the time has come.
    assert (moment == at) == is_safe(at, zone, start, end)
    # A beginning that does not exist on the day on which clocks change is asked about once more, no oftener.
    if not is_safe(moment, zone, start, end):
        moment = next_safe(cases, moment, zone, start, end)
    assert is_safe(moment, zone, start, end)
    assert moment - at <= timedelta(hours=49)


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), ("09:00", None), (None, "09:00"), ("09:00", "09:00"), ("00:00", "24:00"), ("24:00", "00:00")],
)
def test_without_hours_every_hour_is_safe(cases: Cases, start: str | None, end: str | None) -> None:
    at = datetime(2026, 11, 22, 3, tzinfo=UTC)
    assert next_safe(cases, at, "Africa/Nairobi", start, end) == at


def test_hours_over_midnight_are_one_night(cases: Cases) -> None:
    for hour, expected in ((21, 22), (22, 22), (23, 23), (3, 3), (5, 22)):
        at = datetime(2026, 11, 22, hour, 59 if hour == 21 else 0, tzinfo=UTC)
        assert next_safe(cases, at, "UTC", "22:00", "05:00").hour == expected
