"""Who hears of what: one row, one live event and one mail job for each, holding ids and states only."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pytest

from tests.support.cases import Cases, OpenCase, Row, accept, call
from tests.support.refusals import forbidden

Told = Counter[tuple[uuid.UUID, str]]


def told(cases: Cases) -> Told:
    rows = cases.sql.execute("select user_id, kind from public.notifications")
    return Counter((row["user_id"], row["kind"]) for row in rows)


def events(cases: Cases) -> list[Row]:
    return (
        cases.database.as_superuser()
        .execute("select topic, event, private, payload from realtime.messages where topic <> 'sauti_sync'")
        .fetchall()
    )


def heard(cases: Cases, user_id: uuid.UUID, event: str) -> list[tuple[str, str, Any]]:
    """Operation, state and id of the events of one person."""
    return [
        (row["payload"]["op"], row["payload"]["status"], uuid.UUID(row["payload"]["id"]))
        for row in events(cases)
        if row["topic"] == f"user:{user_id}" and row["event"] == event
    ]


def test_an_offer_reaches_those_who_are_asked_and_nobody_else(cases: Cases) -> None:
    asked = [cases.professional() for _ in range(2)]
    cases.professional(service_type="legal_aid")
    survivor = cases.survivor()
    report_id = cases.file_report(survivor)
    assert told(cases) == Counter((professional.id, "offer_made") for professional in asked)
    for professional in asked:
        offer = cases.offer(report_id, professional)
        assert heard(cases, professional.id, "match") == [("INSERT", "pending", offer["id"])]
    assert {row["topic"] for row in events(cases)} == {f"user:{professional.id}" for professional in asked}


def test_an_acceptance_reaches_both_parties_and_the_rivals_apps(cases: Cases) -> None:
    rival = cases.professional()
    case = cases.accepted()
    for party in (case.professional.id, case.survivor.id):
        assert told(cases)[(party, "appointment_confirmed")] == 1
        assert heard(cases, party, "match")[-1] == ("UPDATE", "accepted", case.match_id)
        assert heard(cases, party, "appointment") == [("INSERT", "confirmed", case.appointment["appointment_id"])]
    offer = cases.offer(case.report_id, rival)
    assert heard(cases, rival.id, "match")[-1] == ("UPDATE", "superseded", offer["id"])
    assert told(cases)[(rival.id, "offer_made")] == 1
    assert sum(count for (user, _), count in told(cases).items() if user == rival.id) == 1


def test_a_survivor_does_not_hear_of_offers_that_nobody_accepted(cases: Cases) -> None:
    professional, survivor = cases.professional(), cases.survivor()
    report_id = cases.file_report(survivor)
    call(professional.sql, "decline_match", cases.offer(report_id, professional)["id"])
    assert heard(cases, survivor.id, "match") == []
    assert not [user for user, _ in told(cases) if user == survivor.id]


@pytest.mark.parametrize("side", ["professional", "survivor"])
def test_a_cancellation_reaches_both(cases: Cases, side: str) -> None:
    case = cases.accepted()
    call(getattr(case, side).sql, "cancel_appointment", case.appointment["appointment_id"], "a private reason")
    for party in (case.professional.id, case.survivor.id):
        assert told(cases)[(party, "appointment_cancelled")] == 1
        assert heard(cases, party, "appointment")[-1][:2] == ("UPDATE", "cancelled")
    assert "a private reason" not in str(events(cases))


def test_a_withdrawal_reaches_everybody_who_had_an_offer(cases: Cases) -> None:
    professional, lawyer = cases.professional(), cases.professional(service_type="legal_aid")
    survivor = cases.survivor()
    report_id = cases.file_report(survivor, required_services=["counseling", "legal_aid"])
    accept(professional.sql, cases.offer(report_id, professional)["id"])
    call(survivor.sql, "withdraw_report", report_id)
    for helper in (professional, lawyer):
        assert heard(cases, helper.id, "match")[-1][:2] == ("UPDATE", "withdrawn")
    assert told(cases)[(professional.id, "appointment_cancelled")] == 1


def test_every_notification_is_one_event_and_one_job(cases: Cases) -> None:
    case = cases.accepted()
    call(case.professional.sql, "complete_case", case.match_id)
    call(case.survivor.sql, "complete_case", case.match_id)
    ids = {row["id"] for row in cases.sql.execute("select id from public.notifications")}
    announced = [row["payload"]["id"] for row in events(cases) if row["event"] == "notification"]
    assert Counter(announced) == Counter(str(notification_id) for notification_id in ids)
    jobs = cases.sql.execute("select notification_id, dedupe_key, kind from private.outbox_jobs").fetchall()
    assert {job["notification_id"] for job in jobs if job["kind"] == "mail"} == ids
    assert len(jobs) == len(ids)


def test_events_hold_ids_and_states_and_are_private(cases: Cases) -> None:
    cases.admin()
    case = cases.accepted(required_services=["counseling", "shelter"])
    call(case.professional.sql, "complete_case", case.match_id)
    call(case.survivor.sql, "dispute_completion", case.match_id)
    call(case.survivor.sql, "withdraw_report", case.report_id)
    kinds = {row["event"] for row in events(cases)}
    assert kinds == {"match", "appointment", "notification"}
    for row in events(cases):
        assert row["private"] is True
        assert set(row["payload"]) == {"op", "table", "id", "status"}
        assert row["payload"]["op"] in ("INSERT", "UPDATE")
        uuid.UUID(row["payload"]["id"])
        uuid.UUID(row["topic"].removeprefix("user:"))


def test_no_event_is_lost_in_a_warning(committed: Cases) -> None:
    # realtime.send turns every error into a warning: a send that fails would go unseen.
    warnings: list[str] = []
    professional = committed.professional()
    offer = committed.offer(committed.file_report(committed.survivor()), professional)
    professional.sql.add_notice_handler(  # type: ignore[union-attr]
        lambda notice: warnings.append(notice.message_primary or "")
    )
    accept(professional.sql, offer["id"])
    assert warnings == []


class TestReading:
    @pytest.fixture
    def case(self, cases: Cases) -> OpenCase:
        return cases.accepted()

    def test_a_reader_marks_their_own_as_read_and_changes_nothing_else(self, cases: Cases, case: OpenCase) -> None:
        actor = case.professional.sql
        assert actor.execute("update public.notifications set read_at = now()").rowcount == 2
        assert cases.count("public.notifications", "read_at is not null") == 2
        for statement in (
            "update public.notifications set kind = 'case_closed'",
            "update public.notifications set user_id = user_id",
            "delete from public.notifications",
            "insert into public.notifications (user_id, kind) values (auth.uid(), 'case_closed')",
        ):
            with forbidden():
                actor.execute(statement)

    def test_nobody_reads_another_ones(self, cases: Cases, case: OpenCase) -> None:
        rows = case.survivor.sql.execute("select user_id from public.notifications").fetchall()
        assert rows
        assert {row["user_id"] for row in rows} == {case.survivor.id}
        stranger = cases.survivor()
        assert stranger.sql.execute("select * from public.notifications").fetchall() == []
        assert stranger.sql.execute("update public.notifications set read_at = now()").rowcount == 0
        assert cases.count("public.notifications", "read_at is not null") == 0
