"""Acceptance is an appointment: one transaction, or nothing at all."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.support.cases import A_WEDNESDAY, Cases, Professional, Row, accept, call
from tests.support.refusals import refused

TOMORROW = A_WEDNESDAY + timedelta(days=1)
#: What an acceptance may write: none of it may change when it is refused.
WRITTEN = (
    "public.matched_services",
    "public.appointments",
    "public.reports",
    "public.notifications",
    "private.outbox_jobs",
    "private.response_clocks",
    "private.escalations",
    "private.matching_lanes",
    "private.waiting_professionals",
    "private.access_log_entries",
    "realtime.messages",
)


def everything(cases: Cases) -> dict[str, list[str]]:
    sql = cases.database.as_superuser()
    state = {
        relation: [row["row"] for row in sql.execute(f"select to_jsonb(t)::text as row from {relation} t order by 1")]
        for relation in WRITTEN
    }
    sql.close()
    return state


@pytest.fixture
def professional(cases: Cases) -> Professional:
    return cases.professional()


@pytest.fixture
def offer(cases: Cases, professional: Professional) -> Row:
    return cases.offer(cases.file_report(cases.survivor()), professional)


def test_meet_now_confirms_an_appointment_in_sixty_minutes(
    cases: Cases, professional: Professional, offer: Row
) -> None:
    before = cases.now()
    appointment = accept(professional.sql, offer["id"])
    wait = appointment["appointment_date"] - before
    assert timedelta(minutes=59, seconds=58) < wait < timedelta(minutes=60, seconds=5)
    assert appointment["status"] == "confirmed"
    assert appointment["created_via"] == "meet_now"
    assert appointment["matched_services"] == offer["id"]
    assert appointment["duration_minutes"] == 60
    assert cases.count("public.appointments") == 1


def test_schedule_later_confirms_the_time_that_was_asked_for(
    cases: Cases, professional: Professional, offer: Row
) -> None:
    starts_at = (cases.now() + timedelta(days=3)).replace(microsecond=0)
    appointment = accept(professional.sql, offer["id"], starts_at, 45)
    assert appointment["appointment_date"] == starts_at
    assert appointment["duration_minutes"] == 45
    assert appointment["created_via"] == "scheduled_acceptance"


def test_acceptance_takes_the_offer_the_report_and_its_clock_along(
    cases: Cases, professional: Professional, offer: Row
) -> None:
    accept(professional.sql, offer["id"])
    taken = cases.offer(offer["report_id"], professional)
    report = cases.report(offer["report_id"])
    assert taken["match_status_type"] == "accepted"
    assert taken["responded_at"] is not None
    assert (report["status"], report["match_status"], report["ismatched"]) == ("active", "accepted", True)
    assert cases.count("private.response_clocks", "settled_at is null") == 0


def test_acceptance_supersedes_the_rivals_of_that_service_only(cases: Cases, professional: Professional) -> None:
    rival = cases.professional()
    lawyer = cases.professional(service_type="legal_aid")
    report_id = cases.file_report(cases.survivor(), required_services=["counseling", "legal_aid"])
    accept(professional.sql, cases.offer(report_id, professional)["id"])
    assert cases.offer(report_id, rival)["match_status_type"] == "superseded"
    assert cases.offer(report_id, lawyer)["match_status_type"] == "pending"
    with refused("match_not_pending"):
        accept(rival.sql, cases.offer(report_id, rival)["id"])
    accept(lawyer.sql, cases.offer(report_id, lawyer)["id"], cases.now() + timedelta(days=1))


def test_no_second_professional_is_asked_once_a_service_is_taken(cases: Cases, professional: Professional) -> None:
    rival = cases.professional()
    report_id = cases.file_report(cases.survivor())
    accept(professional.sql, cases.offer(report_id, professional)["id"])
    cases.professional()
    cases.pass_time(days=2)
    cases.run_due_timers()
    assert cases.offered_to(report_id) == {professional.id, rival.id}


@pytest.mark.parametrize(
    ("mode", "starts_at", "duration", "kind", "symbol"),
    [
        ("meet_now", None, 29, "consultation", "invalid_duration"),
        ("meet_now", None, 121, "consultation", "invalid_duration"),
        ("meet_now", None, -60, "consultation", "invalid_duration"),
        ("meet_now", None, None, "consultation", "invalid_duration"),
        ("meet_now", None, 60, "", "invalid_input"),
        ("meet_now", None, 60, "   ", "invalid_input"),
        ("meet_now", None, 60, None, "invalid_input"),
        ("meet_now", None, 60, "x" * 61, "invalid_input"),
        ("meet_now", None, 60, "line\r\nDTSTART:19700101", "invalid_input"),
        ("meet_now", TOMORROW, 60, "consultation", "invalid_input"),
        ("schedule_later", None, 60, "consultation", "invalid_input"),
        ("schedule_later", "infinity", 60, "consultation", "invalid_input"),
        ("schedule_later", "-infinity", 60, "consultation", "invalid_input"),
        ("schedule_later", "epoch", 60, "consultation", "in_the_past"),
        ("schedule_later", A_WEDNESDAY, 60, "consultation", "in_the_past"),
        ("schedule_later", "9999-12-31", 60, "consultation", "invalid_input"),
        ("schedule_later", TOMORROW, 29, "consultation", "invalid_duration"),
        ("schedule_later", TOMORROW, 121, "consultation", "invalid_duration"),
        ("whenever", TOMORROW, 60, "consultation", "invalid_input"),
        ("", None, 60, "consultation", "invalid_input"),
        (None, None, 60, "consultation", "invalid_input"),
    ],
)
def test_a_time_no_appointment_can_have_accepts_nothing(
    cases: Cases,
    professional: Professional,
    offer: Row,
    mode: Any,
    starts_at: Any,
    duration: Any,
    kind: Any,
    symbol: str,
) -> None:
    before = everything(cases)
    with refused(symbol):
        professional.sql.execute(
            "select public.accept_match(%s, %s, %s::text::timestamptz, %s, %s)",
            (offer["id"], mode, starts_at, duration, kind),
        )
    assert everything(cases) == before
    with refused("case_not_open"):
        call(professional.sql, "open_case", offer["id"])


def test_a_time_of_the_professional_that_is_taken_accepts_nothing(cases: Cases, professional: Professional) -> None:
    first = cases.file_report(cases.survivor())
    second = cases.file_report(cases.survivor())
    starts_at = cases.now() + timedelta(days=1)
    accept(professional.sql, cases.offer(first, professional)["id"], starts_at, 60)
    before = everything(cases)
    for attempt in (starts_at - timedelta(minutes=29), starts_at + timedelta(minutes=59), starts_at):
        with refused("slot_taken"):
            accept(professional.sql, cases.offer(second, professional)["id"], attempt, 30)
    assert everything(cases) == before
    assert cases.offer(second, professional)["match_status_type"] == "pending"
    with refused("case_not_open"):
        call(professional.sql, "open_case", cases.offer(second, professional)["id"])


def test_sessions_may_follow_each_other_without_a_gap(cases: Cases, professional: Professional) -> None:
    starts_at = cases.now() + timedelta(days=1)
    for hour in (0, 1, -1):
        report_id = cases.file_report(cases.survivor())
        accept(professional.sql, cases.offer(report_id, professional)["id"], starts_at + timedelta(hours=hour))
    assert cases.count("public.appointments", "status = 'confirmed'") == 3


def test_a_time_of_the_survivor_that_is_taken_accepts_nothing_and_names_nobody(
    cases: Cases, professional: Professional
) -> None:
    lawyer = cases.professional(service_type="legal_aid")
    report_id = cases.file_report(cases.survivor(), required_services=["counseling", "legal_aid"])
    starts_at = cases.now() + timedelta(days=1)
    taken = accept(professional.sql, cases.offer(report_id, professional)["id"], starts_at)
    before = everything(cases)
    with refused("slot_taken") as told:
        accept(lawyer.sql, cases.offer(report_id, lawyer)["id"], starts_at)
    assert everything(cases) == before
    for hidden in (professional.id, taken["appointment_id"], taken["survivor_id"], starts_at.year):
        assert str(hidden) not in told.details + told.hint


def test_an_expired_offer_is_refused_even_before_the_timers_have_seen_it(
    cases: Cases, professional: Professional, offer: Row
) -> None:
    cases.pass_time(hours=24)
    with refused("match_expired"):
        accept(professional.sql, offer["id"])
    assert cases.offer(offer["report_id"], professional)["match_status_type"] == "pending"
    cases.run_due_timers()
    with refused("match_expired"):
        accept(professional.sql, offer["id"])


def test_an_offer_is_good_until_its_last_second(cases: Cases, professional: Professional, offer: Row) -> None:
    cases.pass_time(hours=23, minutes=59, seconds=50)
    accept(professional.sql, offer["id"])


@pytest.mark.parametrize("table", ["professionals", "support_services"])
@pytest.mark.parametrize("status", ["suspended", "rejected", "under_review", "pending"])
def test_only_verified_professionals_with_a_verified_service_accept(
    cases: Cases, professional: Professional, offer: Row, table: str, status: str
) -> None:
    row_id = professional.id if table == "professionals" else professional.service_id
    cases.sql.execute(f"update public.{table} set verification_status = %s where id = %s", (status, row_id))
    before = everything(cases)
    with refused("not_verified"):
        accept(professional.sql, offer["id"])
    assert everything(cases) == before


def test_another_ones_offer_and_no_offer_are_the_same_answer(cases: Cases, offer: Row) -> None:
    stranger = cases.professional(verified=False)
    answers = []
    for match_id in (offer["id"], uuid.uuid4()):
        with refused("not_found") as told:
            accept(stranger.sql, match_id)
        answers.append(told)
        with refused("not_found") as told:
            call(stranger.sql, "decline_match", match_id)
        answers.append(told)
    assert all(answer == answers[0] for answer in answers)


def test_the_survivor_cannot_accept_for_the_professional(cases: Cases) -> None:
    professional = cases.professional()
    survivor = cases.survivor()
    offer = cases.offer(cases.file_report(survivor), professional)
    with refused("not_found"):
        accept(survivor.sql, offer["id"])
    assert cases.offer(offer["report_id"], professional)["match_status_type"] == "pending"


def test_nobody_accepts_without_signing_in(cases: Cases, offer: Row) -> None:
    with refused("not_authenticated"):
        accept(cases.database.as_anon(), offer["id"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        accept(cases.database.as_service(), offer["id"])


def test_the_same_acceptance_twice_is_one_appointment(cases: Cases, professional: Professional, offer: Row) -> None:
    first = accept(professional.sql, offer["id"])
    before = everything(cases)
    cases.pass_time(minutes=5)
    assert accept(professional.sql, offer["id"]) == first
    assert everything(cases) == before


def test_the_same_scheduled_acceptance_twice_is_one_appointment(
    cases: Cases, professional: Professional, offer: Row
) -> None:
    starts_at = cases.now() + timedelta(days=1)
    first = accept(professional.sql, offer["id"], starts_at)
    before = everything(cases)
    assert accept(professional.sql, offer["id"], starts_at) == first
    with refused("match_not_pending"):
        accept(professional.sql, offer["id"], starts_at + timedelta(hours=3))
    with refused("match_not_pending"):
        accept(professional.sql, offer["id"])
    assert everything(cases) == before


def test_a_declined_offer_cannot_be_accepted_nor_an_accepted_one_declined(
    cases: Cases, professional: Professional, offer: Row
) -> None:
    call(professional.sql, "decline_match", offer["id"])
    with refused("match_not_pending"):
        accept(professional.sql, offer["id"])
    other = cases.offer(cases.file_report(cases.survivor()), professional)
    accept(professional.sql, other["id"])
    with refused("match_not_pending"):
        call(professional.sql, "decline_match", other["id"])


def test_a_withdrawn_report_cannot_be_accepted(cases: Cases, professional: Professional) -> None:
    survivor = cases.survivor()
    offer = cases.offer(cases.file_report(survivor), professional)
    call(survivor.sql, "withdraw_report", offer["report_id"])
    with refused("report_withdrawn"):
        accept(professional.sql, offer["id"])
    assert cases.count("public.appointments") == 0


def test_a_survivor_who_blocks_a_professional_withdraws_the_offer_from_them(
    cases: Cases, professional: Professional
) -> None:
    survivor = cases.survivor()
    offer = cases.offer(cases.file_report(survivor), professional)
    survivor.sql.execute("insert into public.blocked_professionals (professional_id) values (%s)", (professional.id,))
    with refused("match_not_pending"):
        accept(professional.sql, offer["id"])
    assert cases.count("public.appointments") == 0


def test_acceptance_writes_the_time_in_the_professionals_zone(cases: Cases) -> None:
    professional = cases.professional(card={"time_zone": "Africa/Nairobi"})
    offer = cases.offer(cases.file_report(cases.survivor()), professional)
    assert accept(professional.sql, offer["id"])["time_zone"] == "Africa/Nairobi"
