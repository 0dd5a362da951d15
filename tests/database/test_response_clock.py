"""Nobody is forgotten: reminders, wider circles and administrators, each at its time, once."""

from __future__ import annotations

import uuid
from functools import partial

import pytest

from tests.support.cases import NAIROBI, Cases, Professional, accept, call, north
from tests.support.database import Database
from tests.support.races import Gate

NOTHING = {"expired": 0, "nudged": 0, "widened": 0, "opened": 0, "escalated": 0, "searched": 0}
#: Minutes from the start to each step.
PACES = {
    "high": {"nudged": 10, "widened": 20, "opened": 360, "escalated": 720},
    "medium": {"nudged": 20, "widened": 40, "opened": 720, "escalated": 1440},
    "low": {"nudged": 20, "widened": 40, "opened": 720, "escalated": 1440},
}


def due(cases: Cases) -> dict[str, int]:
    """What one run of the timers did about waiting reports."""
    counts = cases.run_due_timers()
    return {name: counts[name] for name in NOTHING}


def file_at_nairobi(cases: Cases, urgency: str = "medium") -> uuid.UUID:
    return cases.file_report(
        cases.survivor(), urgency=urgency, consent_location=True, latitude=NAIROBI[0], longitude=NAIROBI[1]
    )


@pytest.fixture
def near(cases: Cases) -> Professional:
    return cases.professional()


@pytest.fixture
def farther(cases: Cases) -> Professional:
    """Beyond the radius, within twice the radius."""
    return cases.professional(place=north(80))


@pytest.fixture
def far(cases: Cases) -> Professional:
    """Beyond twice the radius."""
    return cases.professional(place=north(800))


@pytest.mark.parametrize("urgency", list(PACES))
@pytest.mark.parametrize("step", ["nudged", "widened", "opened", "escalated"])
def test_each_step_comes_at_its_time_and_not_a_second_earlier(
    cases: Cases, near: Professional, urgency: str, step: str
) -> None:
    # The offers shall outlive the clock, so that nothing else happens.
    cases.sql.execute("update private.matching_settings set offer_ttl_high = '9 days', offer_ttl_others = '9 days'")
    file_at_nairobi(cases, urgency)
    cases.pass_time(minutes=PACES[urgency][step], seconds=-1)
    assert cases.run_due_timers()[step] == 0
    cases.pass_time(seconds=1)
    assert due(cases) == NOTHING | {step: 1}
    assert due(cases) == NOTHING


def test_a_reminder_goes_to_those_who_have_not_answered(cases: Cases, near: Professional) -> None:
    other = cases.professional()
    report_id = file_at_nairobi(cases)
    call(other.sql, "decline_match", cases.offer(report_id, other)["id"])
    cases.pass_time(minutes=20)
    cases.run_due_timers()
    reminded = cases.sql.execute("select user_id from public.notifications where kind = 'offer_reminder'").fetchall()
    assert [row["user_id"] for row in reminded] == [near.id]


def test_the_circle_widens_and_then_falls(
    cases: Cases, near: Professional, farther: Professional, far: Professional
) -> None:
    report_id = file_at_nairobi(cases)
    assert cases.offered_to(report_id) == {near.id}
    cases.pass_time(minutes=40)
    cases.run_due_timers()
    assert cases.offered_to(report_id) == {near.id, farther.id}
    cases.pass_time(hours=11, minutes=20)
    cases.run_due_timers()
    assert cases.offered_to(report_id) == {near.id, farther.id, far.id}
    stages = {offer["professional_id"]: offer["parts"]["stage"] for offer in cases.offers(report_id)}
    assert stages == {near.id: 0, farther.id: 1, far.id: 2}


def test_a_wider_circle_asks_no_more_than_the_urgency_allows(cases: Cases) -> None:
    for _ in range(12):
        cases.professional(place=north(80))
    report_id = file_at_nairobi(cases)
    assert cases.offers(report_id) == []
    cases.pass_time(minutes=40)
    counts = due(cases)
    assert (counts["widened"], counts["searched"]) == (1, 0)
    assert len(cases.offers(report_id)) == 5


def test_after_the_radius_has_fallen_replacements_may_be_far(
    cases: Cases, near: Professional, far: Professional
) -> None:
    report_id = file_at_nairobi(cases)
    cases.sql.execute("update private.response_clocks set opened_at = private.clock(), widened_at = private.clock()")
    call(near.sql, "decline_match", cases.offer(report_id, near)["id"])
    assert cases.offered_to(report_id, "pending") == {far.id}


def test_silence_is_escalated_to_every_administrator_once(cases: Cases, near: Professional) -> None:
    cases.sql.execute("update private.matching_settings set offer_ttl_others = '9 days'")
    admins = [cases.admin(), cases.admin()]
    report_id = file_at_nairobi(cases)
    for _ in range(4):
        cases.pass_time(hours=8)
        cases.run_due_timers()
    for admin in admins:
        (row,) = admin.execute("select reason, attempts, age_minutes from public.escalations").fetchall()
        assert (row["reason"], row["age_minutes"]) == ("no_answer", 32 * 60)
        assert row["attempts"] == {
            "offered": 1, "pending": 1, "declined": 0, "expired": 0, "withdrawn": 0,
            "nudged": True, "widened": True, "opened": True,
        }  # fmt: skip
        (notification,) = admin.execute("select kind, report_id from public.notifications").fetchall()
        assert notification == {"kind": "case_escalated", "report_id": report_id}
    assert cases.report(report_id)["match_status"] == "escalated"


def test_an_escalated_case_can_still_be_taken(cases: Cases, near: Professional) -> None:
    cases.sql.execute("update private.matching_settings set offer_ttl_others = '9 days'")
    report_id = file_at_nairobi(cases)
    cases.pass_time(hours=25)
    cases.run_due_timers()
    assert cases.report(report_id)["match_status"] == "escalated"
    accept(near.sql, cases.offer(report_id, near)["id"])
    assert cases.report(report_id)["match_status"] == "accepted"
    assert cases.count("private.escalations", "resolved_at is null") == 0


def test_a_late_run_takes_every_step_at_once_in_order(
    cases: Cases, near: Professional, farther: Professional, far: Professional
) -> None:
    cases.sql.execute("update private.matching_settings set offer_ttl_others = '9 days'")
    report_id = file_at_nairobi(cases)
    cases.pass_time(hours=30)
    assert due(cases) == NOTHING | {"nudged": 1, "widened": 1, "opened": 1, "escalated": 1}
    assert cases.offered_to(report_id) == {near.id, farther.id, far.id}
    assert due(cases) == NOTHING


def test_each_required_service_has_a_clock_of_its_own(cases: Cases, near: Professional) -> None:
    lawyer = cases.professional(service_type="legal_aid")
    report_id = cases.file_report(cases.survivor(), required_services=["counseling", "legal_aid"])
    accept(near.sql, cases.offer(report_id, near)["id"])
    cases.pass_time(minutes=20)
    assert due(cases) == NOTHING | {"nudged": 1}
    reminded = cases.one("select user_id from public.notifications where kind = 'offer_reminder'")
    assert reminded["user_id"] == lawyer.id


@pytest.mark.parametrize("ending", ["accepted", "withdrawn"])
def test_a_clock_stops_for_good(cases: Cases, near: Professional, ending: str) -> None:
    survivor = cases.survivor()
    report_id = cases.file_report(survivor)
    if ending == "accepted":
        accept(near.sql, cases.offer(report_id, near)["id"])
    else:
        call(survivor.sql, "withdraw_report", report_id)
    cases.pass_time(days=3)
    assert due(cases) == NOTHING


def test_a_report_without_offers_is_searched_for_again_every_five_minutes(cases: Cases) -> None:
    cases.file_report(cases.survivor())
    assert due(cases) == NOTHING
    for _ in range(3):
        cases.pass_time(minutes=5)
        assert cases.run_due_timers()["searched"] == 1
        assert cases.run_due_timers()["searched"] == 0


def test_a_recorded_report_has_no_clock(cases: Cases, near: Professional) -> None:
    cases.file_report(cases.survivor(), consent_to_share=False)
    cases.pass_time(days=3)
    assert due(cases) == NOTHING


def test_a_report_that_somebody_is_changing_is_left_for_the_next_round(committed: Cases, database: Database) -> None:
    committed.professional()
    busy, free = (file_at_nairobi(committed) for _ in range(2))
    committed.pass_time(minutes=20)
    with Gate(database, "select 1 from public.reports where report_id = %s for update", busy) as gate:
        gate.start(partial(call, database.as_service(), "run_due_timers"))
        (counts,) = gate.ended()
        assert counts["nudged"] == 1
        gate.open()
    assert committed.one("select report_id from private.response_clocks where nudged_at is not null") == {
        "report_id": free
    }
    assert committed.run_due_timers()["nudged"] == 1


def test_of_two_workers_one_runs_the_timers_and_the_other_goes_on(committed: Cases, database: Database) -> None:
    committed.professional()
    file_at_nairobi(committed)
    committed.pass_time(minutes=20)
    with Gate(database, "select pg_advisory_xact_lock(hashtext('sauti.run_due_timers'))") as gate:
        gate.start(partial(call, database.as_service(), "run_due_timers"))
        assert gate.ended() == [{"busy": True}]
        gate.open()
    assert committed.run_due_timers()["nudged"] == 1
