"""Lanes: a provider that is down, or that is asked too often, costs no job anything."""

import pytest

from sauti_sync.lanes import DEFAULT_RATES, Lane, Lanes, parse_rates


def closed_lane(now: float = 0.0) -> Lane:
    lane = Lane("mail")
    for number in range(5):
        assert lane.enter(now).is_open
        assert lane.met_outage(now, None) is (number == 4)
    return lane


def test_five_outages_in_a_row_close_a_lane_and_a_success_between_does_not() -> None:
    lane = Lane("mail")
    for _ in range(3):
        for _ in range(4):
            lane.met_outage(0.0, None)
        lane.passed()
    assert not lane.is_closed
    assert closed_lane().is_closed


def test_a_closed_lane_names_the_seconds_left_and_then_lets_one_try() -> None:
    lane = closed_lane()
    refused = lane.enter(0.5)
    assert (refused.is_open, refused.seconds) == (False, 1.5)
    assert lane.enter(5.0).is_open
    assert not lane.enter(5.0).is_open, "one at a time"
    lane.passed()
    assert lane.enter(5.0).is_open
    assert not lane.is_closed


def test_a_failed_trial_closes_for_longer_each_time_up_to_a_minute() -> None:
    lane, now = closed_lane(), 0.0
    waits = []
    for _ in range(9):
        now += lane.enter(now).seconds
        assert lane.enter(now).is_open
        lane.met_outage(now, None)
        waits.append(lane.enter(now).seconds)
    assert waits == [4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_a_trial_that_ends_without_a_word_lets_the_next_one_try() -> None:
    lane = closed_lane()
    assert lane.enter(5.0).is_open
    lane.left()
    assert lane.enter(5.0).is_open


def test_an_outage_of_a_job_that_was_under_way_does_not_lengthen_the_closure() -> None:
    lane = closed_lane()
    assert not lane.met_outage(1.0, None)
    assert lane.enter(5.0).is_open


def test_a_provider_may_say_for_how_long_but_not_for_ever() -> None:
    for asked, obeyed in ((60.0, 60.0), (1e9, 3600.0)):
        lane = Lane("google")
        for _ in range(5):
            lane.met_outage(0.0, asked)
        assert lane.enter(0.0).seconds == obeyed


def test_a_rate_lets_a_second_of_work_go_at_once_and_then_spaces_it() -> None:
    lane = Lane("google", 4.0)
    waits = [lane.enter(100.0) for _ in range(12)]
    assert [round(wait.seconds, 2) for wait in waits[:8]] == [0, 0, 0, 0, 0.25, 0.5, 0.75, 1.0]
    assert [wait.is_open for wait in waits] == [True] * 8 + [False] * 4
    assert lane.enter(103.0).seconds == 0


def test_over_a_long_time_the_rate_is_kept() -> None:
    lane, now, passed = Lane("google", 8.0), 0.0, 0
    while now < 60:
        admission = lane.enter(now)
        passed += admission.is_open
        now += max(admission.seconds, 0.01)
    assert 8 * 60 <= passed <= 8 * 61 + 8


def test_one_caldav_host_does_not_close_the_lane_of_another() -> None:
    lanes = Lanes({})
    one, two = (
        lanes.of("calendar_event", {"connection": {"provider": "caldav", "calendar_id": f"https://{host}/a/"}})
        for host in ("one.example", "two.example")
    )
    assert one is not None
    assert one is not two
    for _ in range(5):
        one.met_outage(0.0, None)
    assert (lanes.closed("caldav"), lanes.closed("google")) == (1, 0)


def test_what_leads_nowhere_has_no_lane() -> None:
    assert Lanes().of("probe", {"state": "due"}) is None
    assert Lanes().of("calendar_event", {"connection": {"provider": "unknown"}}) is None


def test_rates_are_read_strictly() -> None:
    assert parse_rates("google=2.5, mail=0") == {"google": 2.5, "mail": 0.0}
    for wrong in ("", "google", "google=", "google=-1", "google=nan", "elsewhere=1", "google=1e9"):
        with pytest.raises(ValueError, match="expected provider=number"):
            parse_rates(wrong)
    assert set(DEFAULT_RATES) == {"google", "microsoft", "caldav", "sms"}


@pytest.mark.parametrize("provider", ["google", "microsoft", "caldav"])
def test_each_calendar_provider_has_a_rate_of_its_own(provider: str) -> None:
    lanes = Lanes()
    context = {"connection": {"provider": provider, "calendar_id": "https://one.example/a/"}}
    lane = lanes.of("calendar_event", context)
    assert lane is not None
    assert lanes.of("calendar_pull", context) is lane, "whatever the job"
    waits = [lane.enter(100.0).seconds for _ in range(200)]
    assert waits.count(0.0) == DEFAULT_RATES[provider]
