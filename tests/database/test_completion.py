"""Two marks close a case; one frees the professional; a dispute undoes it; the report is archived in the end."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from tests.support.cases import Cases, OpenCase, accept, call
from tests.support.refusals import refused


@pytest.fixture
def case(cases: Cases) -> OpenCase:
    return cases.accepted()


def state(cases: Cases, case: OpenCase) -> tuple[str, bool, bool, bool]:
    offer = cases.offer(case.report_id, case.professional)
    marks = [offer[name] is not None for name in ("professional_completed_at", "survivor_completed_at", "closed_at")]
    return (offer["match_status_type"], *marks)


def test_one_mark_is_not_enough(cases: Cases, case: OpenCase) -> None:
    call(case.professional.sql, "complete_case", case.match_id)
    assert state(cases, case) == ("accepted", True, False, False)
    assert cases.report(case.report_id)["status"] == "active"
    requested = cases.one("select user_id from public.notifications where kind = 'completion_requested'")
    assert requested["user_id"] == case.survivor.id


@pytest.mark.parametrize("first", ["professional", "survivor"])
def test_both_marks_in_any_order_close_the_case_and_archive_the_report(
    cases: Cases, case: OpenCase, first: str
) -> None:
    sides = {"professional": case.professional.sql, "survivor": case.survivor.sql}
    call(sides.pop(first), "complete_case", case.match_id)
    told = call(next(iter(sides.values())), "complete_case", case.match_id)
    assert told["match_status_type"] == "completed"
    assert state(cases, case) == ("completed", True, True, True)
    report = cases.report(case.report_id)
    assert report["status"] == "archived"
    assert report["archived_at"] == cases.now()
    closed = cases.sql.execute("select user_id from public.notifications where kind = 'case_closed'").fetchall()
    assert {row["user_id"] for row in closed} == {case.professional.id, case.survivor.id}


def test_marking_again_changes_nothing(cases: Cases, case: OpenCase) -> None:
    for actor in (case.professional.sql, case.survivor.sql):
        first = call(actor, "complete_case", case.match_id)
        cases.pass_time(hours=1)
        counts = [cases.count(name) for name in ("public.notifications", "private.outbox_jobs", "realtime.messages")]
        assert call(actor, "complete_case", case.match_id) == first
        assert [
            cases.count(name) for name in ("public.notifications", "private.outbox_jobs", "realtime.messages")
        ] == counts


def test_the_professionals_mark_alone_frees_their_capacity(cases: Cases) -> None:
    professional = cases.professional(max_active_cases=1)
    case = cases.accepted(professional=professional)
    assert cases.offers(cases.file_report(cases.survivor())) == []
    call(professional.sql, "complete_case", case.match_id)
    assert cases.offered_to(cases.file_report(cases.survivor())) == {professional.id}


def test_a_report_is_archived_only_when_nothing_of_it_is_open(cases: Cases) -> None:
    professional, lawyer = cases.professional(), cases.professional(service_type="legal_aid")
    survivor = cases.survivor()
    report_id = cases.file_report(survivor, required_services=["counseling", "legal_aid"])
    matches = {helper.id: cases.offer(report_id, helper)["id"] for helper in (professional, lawyer)}
    accept(professional.sql, matches[professional.id])
    call(professional.sql, "complete_case", matches[professional.id])
    call(survivor.sql, "complete_case", matches[professional.id])
    assert cases.report(report_id)["status"] == "active"
    accept(lawyer.sql, matches[lawyer.id], cases.now() + timedelta(days=30))
    call(lawyer.sql, "complete_case", matches[lawyer.id])
    assert cases.report(report_id)["status"] == "active"
    call(survivor.sql, "complete_case", matches[lawyer.id])
    assert cases.report(report_id)["status"] == "archived"


def test_a_closed_case_cancels_the_sessions_that_were_still_to_come(cases: Cases, case: OpenCase) -> None:
    call(case.professional.sql, "complete_case", case.match_id)
    assert cases.one("select status from public.appointments")["status"] == "confirmed"
    call(case.survivor.sql, "complete_case", case.match_id)
    assert cases.one("select status from public.appointments")["status"] == "cancelled"


def test_a_pending_offer_cannot_be_completed(cases: Cases) -> None:
    professional, survivor = cases.professional(), cases.survivor()
    report_id = cases.file_report(survivor)
    match_id = cases.offer(report_id, professional)["id"]
    with refused("case_not_open"):
        call(professional.sql, "complete_case", match_id)
    # Survivors do not hear of offers that nobody has accepted.
    with refused("not_found"):
        call(survivor.sql, "complete_case", match_id)
    with refused("not_found"):
        call(survivor.sql, "dispute_completion", match_id)


@pytest.mark.parametrize("way", ["the report is withdrawn", "the professional is suspended"])
def test_an_offer_that_ended_before_anybody_accepted_it_does_not_exist_for_a_survivor(cases: Cases, way: str) -> None:
    professional, survivor = cases.professional(), cases.survivor()
    report_id = cases.file_report(survivor)
    match_id = cases.offer(report_id, professional)["id"]
    if way == "the report is withdrawn":
        call(survivor.sql, "withdraw_report", report_id)
    else:
        call(cases.admin(), "verify_professional", professional.id, "suspended", "Nobody could reach them.")
    assert cases.offer(report_id, professional)["match_status_type"] == "withdrawn"
    with refused("not_found"):
        call(survivor.sql, "dispute_completion", match_id)
    with refused("not_found"):
        survivor.sql.execute("insert into public.messages (matched_services, body) values (%s, 'hello')", (match_id,))


@pytest.mark.parametrize("function", ["complete_case", "dispute_completion"])
def test_a_foreign_case_and_no_case_are_the_same_answer(cases: Cases, case: OpenCase, function: str) -> None:
    for actor in (cases.professional().sql, cases.survivor().sql, cases.admin()):
        for match_id in (case.match_id, uuid.uuid4()):
            with refused("not_found"):
                call(actor, function, match_id)
    with refused("not_authenticated"):
        call(cases.database.as_anon(), function, case.match_id)
    assert state(cases, case) == ("accepted", False, False, False)


def test_a_withdrawn_case_can_be_neither_completed_nor_disputed(cases: Cases, case: OpenCase) -> None:
    call(case.survivor.sql, "withdraw_report", case.report_id)
    for actor, function in (
        (case.professional.sql, "complete_case"),
        (case.survivor.sql, "complete_case"),
        (case.survivor.sql, "dispute_completion"),
    ):
        with refused("report_withdrawn"):
            call(actor, function, case.match_id)
    assert cases.count("private.completion_boosts") == 0


class TestDispute:
    def test_a_dispute_undoes_the_mark_and_tells_the_professional(self, cases: Cases, case: OpenCase) -> None:
        call(case.professional.sql, "complete_case", case.match_id)
        call(case.survivor.sql, "dispute_completion", case.match_id)
        assert state(cases, case) == ("accepted", False, False, False)
        told = cases.one("select user_id from public.notifications where kind = 'completion_disputed'")
        assert told["user_id"] == case.professional.id
        assert cases.count("private.completion_boosts") == 0

    def test_disputing_twice_is_disputing_once(self, cases: Cases, case: OpenCase) -> None:
        call(case.professional.sql, "complete_case", case.match_id)
        first = call(case.survivor.sql, "dispute_completion", case.match_id)
        assert call(case.survivor.sql, "dispute_completion", case.match_id) == first
        assert cases.count("public.notifications", "kind = 'completion_disputed'") == 1

    def test_a_dispute_fills_the_capacity_again(self, cases: Cases) -> None:
        professional = cases.professional(max_active_cases=1)
        case = cases.accepted(professional=professional)
        call(professional.sql, "complete_case", case.match_id)
        call(case.survivor.sql, "dispute_completion", case.match_id)
        assert cases.offers(cases.file_report(cases.survivor())) == []

    def test_what_both_have_confirmed_cannot_be_disputed(self, cases: Cases, case: OpenCase) -> None:
        for actor in (case.professional.sql, case.survivor.sql):
            call(actor, "complete_case", case.match_id)
        with refused("invalid_transition"):
            call(case.survivor.sql, "dispute_completion", case.match_id)
        assert cases.count("private.completion_boosts") == 1

    def test_who_has_confirmed_first_cannot_dispute_any_more(self, cases: Cases, case: OpenCase) -> None:
        call(case.survivor.sql, "complete_case", case.match_id)
        with refused("invalid_transition"):
            call(case.survivor.sql, "dispute_completion", case.match_id)

    def test_the_professional_cannot_dispute(self, cases: Cases, case: OpenCase) -> None:
        call(case.professional.sql, "complete_case", case.match_id)
        with refused("not_found"):
            call(case.professional.sql, "dispute_completion", case.match_id)

    def test_a_case_can_be_completed_after_a_dispute(self, cases: Cases, case: OpenCase) -> None:
        call(case.professional.sql, "complete_case", case.match_id)
        call(case.survivor.sql, "dispute_completion", case.match_id)
        call(case.professional.sql, "complete_case", case.match_id)
        call(case.survivor.sql, "complete_case", case.match_id)
        assert cases.report(case.report_id)["status"] == "archived"
        assert cases.count("private.completion_boosts") == 1

    def test_a_dispute_of_one_part_leaves_the_boost_of_the_other(self, cases: Cases) -> None:
        professional, survivor = cases.professional(), cases.survivor()
        cases.service(professional.id, service_type="legal_aid")
        report_id = cases.file_report(survivor, required_services=["counseling", "legal_aid"])
        matches = [offer["id"] for offer in cases.offers(report_id)]
        for match_id in matches:
            accept(professional.sql, match_id)
            cases.pass_time(hours=2)
            call(professional.sql, "complete_case", match_id)
        call(survivor.sql, "dispute_completion", matches[0])
        assert cases.count("private.completion_boosts") == 1
        call(survivor.sql, "dispute_completion", matches[1])
        assert cases.count("private.completion_boosts") == 0
