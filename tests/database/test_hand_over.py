"""Handing a case over: the one asks, the survivor agrees, the other accepts by appointment, and access moves."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.support.cases import Cases, OpenCase, Professional, Row, accept, call
from tests.support.refusals import forbidden, refused


@dataclass(frozen=True)
class Stage:
    cases: Cases
    case: OpenCase
    colleague: Professional

    def ask(self, share_notes: bool = False) -> Row:
        row: Row = call(
            self.case.professional.sql, "request_hand_over", self.case.match_id, self.colleague.service_id, share_notes,
            "I am moving away.",
        )  # fmt: skip
        return row

    def answer(self, hand_over: Row, agrees: bool = True) -> Row:
        row: Row = call(self.case.survivor.sql, "answer_hand_over", hand_over["id"], agrees)
        return row

    def offer(self) -> Row:
        return self.cases.offer(self.case.report_id, self.colleague)

    def take(self) -> Row:
        return accept(self.colleague.sql, self.offer()["id"], self.cases.now() + timedelta(days=1))

    def state(self) -> str:
        status: str = self.cases.one("select status from public.hand_overs order by created_at desc limit 1")["status"]
        return status


@pytest.fixture
def stage(cases: Cases) -> Stage:
    return Stage(cases, cases.accepted(), cases.professional(card={"professional_title": "Dr Achieng"}))


def note(stage: Stage, body: str) -> None:
    stage.case.professional.sql.execute(
        "insert into public.case_notes (matched_services, body) values (%s, %s)", (stage.case.match_id, body)
    )


def notes_of(professional: Professional) -> list[str]:
    return [row["body"] for row in professional.sql.execute("select body from public.case_notes").fetchall()]


def test_access_moves_when_the_colleague_accepts_and_not_before(stage: Stage) -> None:
    hand_over = stage.ask()
    assert stage.cases.offered_to(stage.case.report_id) == {stage.case.professional.id}
    stage.answer(hand_over)
    offer = stage.offer()
    assert offer["match_status_type"] == "pending"
    with refused("case_not_open"):
        call(stage.colleague.sql, "open_case", offer["id"])
    assert call(stage.case.professional.sql, "open_case", stage.case.match_id)
    stage.take()
    assert call(stage.colleague.sql, "open_case", offer["id"])["report_id"] == str(stage.case.report_id)
    with refused("case_not_open"):
        call(stage.case.professional.sql, "open_case", stage.case.match_id)
    assert stage.state() == "completed"
    report = stage.cases.report(stage.case.report_id)
    assert (report["status"], report["match_status"], report["ismatched"]) == ("active", "accepted", True)


def test_the_earlier_professional_loses_sessions_and_conversation(stage: Stage) -> None:
    stage.case.survivor.sql.execute(
        "insert into public.messages (matched_services, body) values (%s, 'hello')", (stage.case.match_id,)
    )
    stage.answer(stage.ask())
    stage.take()
    old = stage.cases.one(
        "select status from public.appointments where appointment_id = %s", stage.case.appointment["appointment_id"]
    )
    assert old["status"] == "cancelled"
    for professional in (stage.case.professional, stage.colleague):
        assert professional.sql.execute("select * from public.messages").fetchall() == []


@pytest.mark.parametrize("share", [True, False])
def test_notes_go_along_only_if_their_author_says_so(stage: Stage, share: bool) -> None:
    note(stage, "first")
    note(stage, "second")
    stage.answer(stage.ask(share_notes=share))
    assert notes_of(stage.colleague) == []
    stage.take()
    assert notes_of(stage.colleague) == (["first", "second"] if share else [])
    assert notes_of(stage.case.professional) == []


def test_a_colleague_who_was_a_rival_before_can_still_be_asked(cases: Cases) -> None:
    holder, rival = cases.professional(), cases.professional()
    case = cases.accepted(professional=holder)
    stage = Stage(cases, case, rival)
    assert stage.offer()["match_status_type"] == "superseded"
    stage.answer(stage.ask())
    assert stage.offer()["match_status_type"] == "pending"
    stage.take()
    assert stage.offer()["match_status_type"] == "accepted"


def test_the_colleague_learns_the_masked_facts_and_nothing_of_the_request(stage: Stage) -> None:
    stage.answer(stage.ask())
    assert stage.colleague.sql.execute("select * from public.hand_overs").fetchall() == []
    (offer,) = stage.colleague.sql.execute("select * from public.matched_services").fetchall()
    assert offer["incident_type"] == "emotional"
    assert stage.cases.count("public.notifications", "user_id = %s and kind = 'offer_made'", stage.colleague.id) == 1


def test_the_survivor_is_asked_with_a_name_and_a_reason(stage: Stage) -> None:
    stage.ask()
    (row,) = stage.case.survivor.sql.execute("select to_name, reason, status from public.hand_overs").fetchall()
    assert row == {"to_name": "Dr Achieng", "reason": "I am moving away.", "status": "requested"}
    kinds = stage.case.survivor.sql.execute("select kind from public.notifications").fetchall()
    assert "hand_over_requested" in {row["kind"] for row in kinds}


def test_consent_is_recorded_and_ends_when_taken_back(stage: Stage) -> None:
    hand_over = stage.ask()
    stage.answer(hand_over)
    consent = "select withdrawn_at from public.consents where purpose = 'hand_over'"
    assert stage.cases.one(consent)["withdrawn_at"] is None
    stage.answer(hand_over, agrees=False)
    assert stage.cases.one(consent)["withdrawn_at"] == stage.cases.now()
    assert stage.offer()["match_status_type"] == "withdrawn"
    with refused("match_not_pending"):
        stage.take()
    assert call(stage.case.professional.sql, "open_case", stage.case.match_id)


def test_without_consent_nothing_moves(stage: Stage) -> None:
    hand_over = stage.ask()
    stage.answer(hand_over, agrees=False)
    assert stage.cases.offered_to(stage.case.report_id) == {stage.case.professional.id}
    assert stage.state() == "refused"
    with refused("invalid_transition"):
        stage.answer(hand_over, agrees=True)


def test_only_the_survivor_answers_and_only_the_holder_asks(stage: Stage) -> None:
    hand_over = stage.ask()
    for nobody in (stage.case.professional.sql, stage.colleague.sql, stage.cases.survivor().sql, stage.cases.admin()):
        with refused("not_found"):
            call(nobody, "answer_hand_over", hand_over["id"], True)
    for nobody in (stage.colleague.sql, stage.case.survivor.sql, stage.cases.admin()):
        with refused("not_found"):
            call(nobody, "request_hand_over", stage.case.match_id, stage.colleague.service_id)
    with forbidden():
        stage.case.survivor.sql.execute("update public.hand_overs set status = 'consented'")


def test_the_same_call_twice_has_no_second_effect(stage: Stage) -> None:
    hand_over = stage.ask()
    assert stage.ask()["id"] == hand_over["id"]
    stage.answer(hand_over)
    notified = stage.cases.count("public.notifications")
    stage.answer(hand_over)
    assert stage.cases.count("public.notifications") == notified
    with refused("invalid_transition"):
        call(
            stage.case.professional.sql, "request_hand_over", stage.case.match_id, stage.cases.professional().service_id
        )


def other_kind(cases: Cases, case: OpenCase) -> Any:
    return cases.professional(service_type="legal_aid").service_id


def unverified(cases: Cases, case: OpenCase) -> Any:
    return cases.professional(verified=False).service_id


def oneself(cases: Cases, case: OpenCase) -> Any:
    return cases.service(case.professional.id)


def blocked(cases: Cases, case: OpenCase) -> Any:
    professional = cases.professional()
    case.survivor.sql.execute(
        "insert into public.blocked_professionals (professional_id) values (%s)", (professional.id,)
    )
    return professional.service_id


def nobody(cases: Cases, case: OpenCase) -> Any:
    return uuid.uuid4()


@pytest.mark.parametrize("to", [other_kind, unverified, oneself, blocked, nobody])
def test_whoever_cannot_take_it_is_not_found(cases: Cases, to: Any) -> None:
    case = cases.accepted()
    with refused("not_found"):
        call(case.professional.sql, "request_hand_over", case.match_id, to(cases, case))
    assert cases.count("public.hand_overs") == 0


def suspend_colleague(stage: Stage) -> None:
    stage.cases.sql.execute(
        "update public.professionals set verification_status = 'suspended' where id = %s", (stage.colleague.id,)
    )


def pause_service(stage: Stage) -> None:
    stage.colleague.sql.execute(
        "update public.support_services set is_active = false where id = %s", (stage.colleague.service_id,)
    )


def block_colleague(stage: Stage) -> None:
    stage.case.survivor.sql.execute(
        "insert into public.blocked_professionals (professional_id) values (%s)", (stage.colleague.id,)
    )


@pytest.mark.parametrize("change", [suspend_colleague, pause_service, block_colleague])
def test_a_colleague_who_can_take_it_no_more_is_offered_nothing(stage: Stage, change: Any) -> None:
    hand_over = stage.ask()
    change(stage)
    with refused("not_verified"):
        stage.answer(hand_over)
    assert stage.state() == "requested"
    assert stage.cases.offered_to(stage.case.report_id) == {stage.case.professional.id}


def decline(stage: Stage) -> None:
    call(stage.colleague.sql, "decline_match", stage.offer()["id"], None)


def let_expire(stage: Stage) -> None:
    stage.cases.pass_time(days=2)
    stage.cases.run_due_timers()


def complete(stage: Stage) -> None:
    for party in (stage.case.professional.sql, stage.case.survivor.sql):
        call(party, "complete_case", stage.case.match_id)


def withdraw(stage: Stage) -> None:
    call(stage.case.survivor.sql, "withdraw_report", stage.case.report_id)


@pytest.mark.parametrize("end", [decline, let_expire, complete, withdraw])
def test_it_lapses_when_nothing_comes_of_it(stage: Stage, end: Any) -> None:
    stage.answer(stage.ask())
    end(stage)
    assert stage.state() == "lapsed"
    assert stage.offer()["match_status_type"] in ("declined", "expired", "withdrawn")
    assert stage.cases.count("public.consents", "purpose = 'hand_over' and withdrawn_at is null") == 0
    if end is complete:
        assert stage.cases.report(stage.case.report_id)["status"] == "archived"
    if end in (decline, let_expire):
        assert call(stage.case.professional.sql, "open_case", stage.case.match_id)
        assert stage.ask()["status"] == "requested"


def test_it_is_in_the_ledger(stage: Stage) -> None:
    stage.answer(stage.ask())
    stage.take()
    rows = stage.cases.sql.execute(
        "select event from private.audit_log where event like 'hand%%' order by id"
    ).fetchall()
    assert [row["event"] for row in rows] == ["hand_over_requested", "hand_over_answered", "hand_over_completed"]
