"""Administrators coordinate: they verify, suspend and rematch, and no case falls through when somebody goes."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from tests.support.cases import Cases, Sql, accept, call
from tests.support.refusals import forbidden, refused

NOTE = "The licence was withdrawn by the board."
_HOUR = timedelta(hours=1)


@pytest.fixture
def admin(cases: Cases) -> Sql:
    return cases.admin()


def decisions(sql: Sql) -> list[tuple[Any, ...]]:
    rows = sql.execute(
        "select professional_id, service_id, status, note from public.verification_decisions"
        " order by created_at, status"
    ).fetchall()
    return [tuple(row.values()) for row in rows]


def test_verification_makes_a_professional_and_a_service_findable(cases: Cases, admin: Sql) -> None:
    professional = cases.professional(verified=False)
    report_id = cases.file_report(cases.survivor())
    call(admin, "verify_professional", professional.id, "verified")
    assert cases.offers(report_id) == []
    assert (
        call(admin, "verify_service", professional.service_id, "verified", "seen")["verification_status"] == "verified"
    )
    assert cases.offered_to(report_id) == {professional.id}
    kinds = professional.sql.execute("select kind from public.notifications").fetchall()
    assert [row["kind"] for row in kinds].count("verification_changed") == 2


def test_reasons_are_kept_and_read_by_whom_they_concern(cases: Cases, admin: Sql) -> None:
    professional = cases.professional()
    call(admin, "verify_professional", professional.id, "suspended", NOTE)
    expected = [(professional.id, None, "suspended", NOTE)]
    assert decisions(professional.sql) == expected
    assert decisions(admin) == expected
    assert decisions(cases.professional().sql) == []
    with forbidden():
        professional.sql.execute("select decided_by from public.verification_decisions")
    with forbidden():
        professional.sql.execute("update public.verification_decisions set note = 'fine'")


@pytest.mark.parametrize("status", ["suspended", "rejected"])
@pytest.mark.parametrize("note", [None, "", "  ", "x" * 1001])
def test_whoever_is_turned_away_is_told_why(cases: Cases, admin: Sql, status: str, note: str | None) -> None:
    professional = cases.professional()
    with refused("invalid_input"):
        call(admin, "verify_professional", professional.id, status, note)
    with refused("invalid_input"):
        call(admin, "verify_service", professional.service_id, status, note)
    assert cases.count("public.verification_decisions") == 0


def test_the_same_decision_twice_is_one(cases: Cases, admin: Sql) -> None:
    professional = cases.professional(verified=False)
    for _ in range(2):
        call(admin, "verify_professional", professional.id, "verified", "seen")
    assert cases.count("public.verification_decisions") == 1
    assert cases.count("private.audit_log", "event = 'verification_status' and subject_id = %s", professional.id) == 1


@pytest.mark.parametrize("function", ["verify_professional", "verify_service", "rematch_report"])
def test_only_administrators_coordinate(cases: Cases, function: str) -> None:
    professional = cases.professional(verified=False)
    survivor = cases.survivor()
    report_id = cases.file_report(survivor)
    target = {"verify_professional": professional.id, "verify_service": professional.service_id}.get(
        function, report_id
    )
    more = [] if function == "rematch_report" else ["verified"]
    for nobody in (professional.sql, survivor.sql):
        for thing in (target, uuid.uuid4()):
            with refused("not_allowed"):
                call(nobody, function, thing, *more)
    with refused("not_authenticated"):
        call(cases.database.as_anon(), function, target, *more)
    with refused("not_found"):
        call(cases.admin(), function, uuid.uuid4(), *more)
    assert cases.count("public.professionals", "verification_status = 'verified'") == 0


def test_documents_are_presented_by_professionals_and_seen_by_administrators(cases: Cases, admin: Sql) -> None:
    professional, other = cases.professional(), cases.professional()
    present = (
        "insert into public.verification_documents (service_id, kind, file_name, media_type, size_bytes, sha256)"
        " values (%s, 'licence', 'licence.pdf', 'application/pdf', 1234, repeat('a', 64))"
    )
    professional.sql.execute(present, (professional.service_id,))
    look = "select file_name from public.verification_documents"
    assert len(admin.execute(look).fetchall()) == len(professional.sql.execute(look).fetchall()) == 1
    assert other.sql.execute(look).fetchall() == []
    with forbidden():
        other.sql.execute(present, (professional.service_id,))
    with forbidden():
        professional.sql.execute("update public.verification_documents set sha256 = repeat('b', 64)")
    assert other.sql.execute("delete from public.verification_documents").rowcount == 0
    assert admin.execute("delete from public.verification_documents").rowcount == 0
    assert professional.sql.execute("delete from public.verification_documents").rowcount == 1


def test_administrators_see_whom_they_have_to_verify_and_no_profile(cases: Cases, admin: Sql) -> None:
    professional = cases.professional(verified=False)
    (row,) = admin.execute("select id from public.professionals").fetchall()
    assert row["id"] == professional.id
    assert len(admin.execute("select * from public.support_services").fetchall()) == 1
    assert len(admin.execute("select * from public.profiles").fetchall()) == 1
    assert admin.execute("select * from public.reports").fetchall() == []
    assert admin.execute("select * from public.matched_services").fetchall() == []


@pytest.mark.parametrize("whole", [True, False], ids=["professional", "service"])
def test_suspension_hands_accepted_cases_over(cases: Cases, admin: Sql, whole: bool) -> None:
    case = cases.accepted()
    waiting = cases.professional()
    if whole:
        call(admin, "verify_professional", case.professional.id, "suspended", NOTE)
    else:
        call(admin, "verify_service", case.professional.service_id, "suspended", NOTE)
    assert cases.offer(case.report_id, case.professional)["match_status_type"] == "withdrawn"
    assert cases.offered_to(case.report_id, "pending") == {waiting.id}
    report = cases.report(case.report_id)
    assert (report["status"], report["match_status"], report["ismatched"]) == ("pending", "matched", False)
    sessions = cases.sql.execute("select status from public.appointments").fetchall()
    assert [row["status"] for row in sessions] == ["cancelled"]
    with refused("not_verified" if whole else "case_not_open"):
        call(case.professional.sql, "open_case", case.match_id)
    (escalation,) = admin.execute("select * from public.escalations").fetchall()
    assert (escalation["report_id"], escalation["reason"]) == (case.report_id, "professional_left")
    kinds = case.survivor.sql.execute("select kind from public.notifications").fetchall()
    assert {"case_reopened", "appointment_cancelled"} <= {row["kind"] for row in kinds}
    accept(waiting.sql, cases.offer(case.report_id, waiting)["id"])
    assert admin.execute("select * from public.escalations").fetchall() == []


def test_suspension_withdraws_open_offers_and_asks_the_next(cases: Cases, admin: Sql) -> None:
    first = cases.professional()
    report_id = cases.file_report(cases.survivor())
    second = cases.professional()
    call(admin, "verify_professional", first.id, "suspended", NOTE)
    assert cases.offered_to(report_id, "pending") == {second.id}
    assert cases.offer(report_id, first)["match_status_type"] == "withdrawn"


def test_another_held_part_of_the_report_stays_as_it_is(cases: Cases, admin: Sql) -> None:
    lawyer = cases.professional(service_type="legal_aid")
    case = cases.accepted(required_services=["counseling", "legal_aid"])
    accept(lawyer.sql, cases.offer(case.report_id, lawyer)["id"], cases.now().replace(microsecond=0) + 3 * _HOUR)
    call(admin, "verify_professional", case.professional.id, "suspended", NOTE)
    assert cases.report(case.report_id)["status"] == "active"
    assert call(lawyer.sql, "open_case", cases.offer(case.report_id, lawyer)["id"])


def test_the_response_clock_starts_anew_for_a_case_that_lost_its_professional(cases: Cases, admin: Sql) -> None:
    case = cases.accepted()
    cases.professional()
    cases.pass_time(days=3)
    call(admin, "verify_professional", case.professional.id, "suspended", NOTE)
    clock = cases.one("select * from private.response_clocks where report_id = %s", case.report_id)
    assert (clock["started_at"], clock["settled_at"], clock["escalated_at"]) == (cases.now(), None, None)
    cases.pass_time(days=2)
    cases.run_due_timers()
    reasons = {row["reason"] for row in admin.execute("select reason from public.escalations").fetchall()}
    assert reasons > {"professional_left"}


def test_a_case_that_loses_its_professional_twice_is_escalated_twice(cases: Cases, admin: Sql) -> None:
    case = cases.accepted()
    second = cases.professional()
    call(admin, "verify_professional", case.professional.id, "suspended", NOTE)
    accept(second.sql, cases.offer(case.report_id, second)["id"])
    assert admin.execute("select * from public.escalations").fetchall() == []
    call(admin, "verify_professional", second.id, "suspended", NOTE)
    reasons = {row["reason"] for row in admin.execute("select reason from public.escalations").fetchall()}
    assert "professional_left" in reasons


def test_rematch_asks_new_candidates_and_nobody_twice(cases: Cases, admin: Sql) -> None:
    first = cases.professional()
    survivor = cases.survivor()
    report_id = cases.file_report(survivor)
    second = cases.professional(card={"out_of_office_until": "2999-01-01"})
    cases.sql.execute("update public.professionals set out_of_office_until = null where id = %s", (second.id,))
    already = cases.offered_to(report_id)
    made = call(admin, "rematch_report", report_id)
    assert cases.offered_to(report_id) == {first.id, second.id}
    assert made == 2 - len(already)
    assert call(admin, "rematch_report", report_id) == 0
    ledger = cases.one("select facts from private.audit_log where event = 'report_rematched' order by id limit 1")
    assert ledger["facts"] == {"offers": made}


def test_rematch_has_nothing_to_do_with_a_report_that_is_not_open(cases: Cases, admin: Sql) -> None:
    survivor = cases.survivor()
    recorded = cases.file_report(survivor, consent_to_share=False)
    with refused("case_not_open"):
        call(admin, "rematch_report", recorded)
    withdrawn = cases.file_report(survivor)
    call(survivor.sql, "withdraw_report", withdrawn)
    with refused("report_withdrawn"):
        call(admin, "rematch_report", withdrawn)


def test_escalations_tell_what_was_tried(cases: Cases, admin: Sql) -> None:
    cases.professional()
    cases.file_report(cases.survivor(), urgency="high")
    for hours in (1, 6, 6):
        cases.pass_time(hours=hours)
        cases.run_due_timers()
    (row,) = admin.execute("select attempts from public.escalations").fetchall()
    assert {"nudged": True, "widened": True, "opened": True}.items() <= row["attempts"].items()
    assert row["attempts"]["offered"] == 1
