"""The one door to a story: who may pass, what is behind it, and the entry that each passing leaves."""

from __future__ import annotations

import uuid

import pytest

from tests.support import canary
from tests.support.canary import Hunter
from tests.support.cases import Cases, OpenCase, accept, call
from tests.support.refusals import forbidden, refused


@pytest.fixture
def case(cases: Cases) -> OpenCase:
    professional = cases.professional()
    survivor, report_id = canary.plant(cases)
    match_id = cases.offer(report_id, professional)["id"]
    return OpenCase(survivor, professional, report_id, match_id, accept(professional.sql, match_id))


def entries(cases: Cases) -> int:
    return cases.count("private.access_log_entries")


def test_the_professional_who_accepted_reads_everything(cases: Cases, case: OpenCase) -> None:
    told = call(case.professional.sql, "open_case", case.match_id)
    report = cases.report(case.report_id)
    for column in canary.REPORT:
        if column != "consent_location":
            assert str(told[column]).lower() == str(report[column]).lower(), column
    assert told["case_code"] == report["case_code"]
    assert told["time_zone"] == canary.PROFILE["time_zone"]
    assert [session["appointment_id"] for session in told["sessions"]] == [str(case.appointment["appointment_id"])]


def test_the_case_names_no_account(cases: Cases, case: OpenCase) -> None:
    told = call(case.professional.sql, "open_case", case.match_id)
    hunter = Hunter(cases, case.survivor, case.report_id)
    email = cases.one("select email from auth.users where id = %s", case.survivor.id)["email"]
    assert not {str(case.survivor.id), email, canary.PROFILE["phone"]} & hunter.traces_in(told)


def test_each_opening_leaves_an_entry_that_the_survivor_reads(cases: Cases, case: OpenCase) -> None:
    for _ in range(3):
        call(case.professional.sql, "open_case", case.match_id)
        cases.pass_time(minutes=1)
    log = case.survivor.sql.execute("select * from public.access_log order by id").fetchall()
    assert len(log) == 3
    assert len({entry["opened_at"] for entry in log}) == 3
    for entry in log:
        assert entry["actor_id"] == case.professional.id
        assert entry["actor_role"] == "professional"
        assert entry["door"] == "open_case"
        assert entry["report_id"] == case.report_id
        assert entry["match_id"] == case.match_id


def test_nobody_else_reads_the_log_and_nobody_writes_it(cases: Cases, case: OpenCase) -> None:
    call(case.professional.sql, "open_case", case.match_id)
    for actor in (case.professional.sql, cases.survivor().sql, cases.admin()):
        assert actor.execute("select * from public.access_log").fetchall() == []
    with forbidden():
        cases.database.as_anon().execute("select * from public.access_log")
    for actor in (case.survivor.sql, case.professional.sql, cases.database.as_service()):
        for statement in (
            "delete from private.access_log_entries",
            "update private.access_log_entries set actor_id = null",
            "delete from public.access_log",
            "update public.access_log set actor_id = null",
            "truncate private.access_log_entries",
        ):
            with forbidden():
                actor.execute(statement)
    assert entries(cases) == 1


def test_what_is_undone_was_not_read(committed: Cases) -> None:
    # There is no reading without an entry: both are one transaction.
    case = committed.accepted()
    with case.professional.sql.transaction(force_rollback=True):  # type: ignore[union-attr]
        call(case.professional.sql, "open_case", case.match_id)
    assert entries(committed) == 0


def test_it_does_not_open_before_acceptance(cases: Cases) -> None:
    professional = cases.professional()
    offer = cases.offer(cases.file_report(cases.survivor()), professional)
    with refused("case_not_open"):
        call(professional.sql, "open_case", offer["id"])
    call(professional.sql, "decline_match", offer["id"])
    with refused("case_not_open"):
        call(professional.sql, "open_case", offer["id"])
    assert entries(cases) == 0


def test_it_does_not_open_after_withdrawal(cases: Cases, case: OpenCase) -> None:
    call(case.survivor.sql, "withdraw_report", case.report_id)
    with refused("report_withdrawn"):
        call(case.professional.sql, "open_case", case.match_id)
    assert entries(cases) == 0


def test_it_stays_open_when_the_case_is_closed(cases: Cases, case: OpenCase) -> None:
    for actor in (case.professional.sql, case.survivor.sql):
        call(actor, "complete_case", case.match_id)
    assert call(case.professional.sql, "open_case", case.match_id)["status"] == "archived"
    assert entries(cases) == 1


@pytest.mark.parametrize("status", ["suspended", "rejected", "under_review", "pending"])
def test_it_does_not_open_to_somebody_who_is_no_longer_verified(cases: Cases, case: OpenCase, status: str) -> None:
    cases.sql.execute(
        "update public.professionals set verification_status = %s where id = %s", (status, case.professional.id)
    )
    with refused("not_verified"):
        call(case.professional.sql, "open_case", case.match_id)
    assert entries(cases) == 0


def test_a_foreign_case_and_no_case_are_the_same_answer(cases: Cases, case: OpenCase) -> None:
    answers = []
    for actor in (cases.professional().sql, case.survivor.sql, cases.survivor().sql, cases.admin()):
        for match_id in (case.match_id, uuid.uuid4(), case.report_id):
            with refused("not_found") as told:
                call(actor, "open_case", match_id)
            answers.append(told)
    assert all(answer == answers[0] for answer in answers)
    with refused("not_found"):
        call(case.professional.sql, "open_case", None)
    with refused("not_authenticated"):
        call(cases.database.as_anon(), "open_case", case.match_id)
    with forbidden():
        call(cases.database.as_service(), "open_case", case.match_id)
    assert entries(cases) == 0


def test_acceptance_opens_one_case_of_the_survivor_and_no_other(cases: Cases, case: OpenCase) -> None:
    second = cases.file_report(case.survivor, incident_description="another story")
    with refused("case_not_open"):
        call(case.professional.sql, "open_case", cases.offer(second, case.professional)["id"])
    assert "another story" not in str(call(case.professional.sql, "open_case", case.match_id))


def test_sessions_of_another_helper_are_not_in_the_case(cases: Cases) -> None:
    helpers = cases.professional(), cases.professional(service_type="legal_aid")
    report_id = cases.file_report(cases.survivor(), required_services=["counseling", "legal_aid"])
    for helper in helpers:
        accept(helper.sql, cases.offer(report_id, helper)["id"])
        cases.pass_time(hours=2)
    for helper in helpers:
        assert len(call(helper.sql, "open_case", cases.offer(report_id, helper)["id"])["sessions"]) == 1
