"""Consent acts: what was agreed to is written down, and its end is the end of every access, at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.cases import Cases, Row, accept, call
from tests.support.refusals import forbidden, refused

PLACE = {"consent_location": True, "latitude": -1.3, "longitude": 36.8}


def consents(cases: Cases, report_id: object) -> dict[str, Row]:
    rows = cases.sql.execute("select * from public.consents where report_id = %s", (report_id,)).fetchall()
    return {row["purpose"]: row for row in rows}


def test_a_shared_report_records_what_was_consented_to_and_in_which_words(cases: Cases) -> None:
    survivor = cases.survivor()
    report_id = cases.file_report(survivor, **PLACE)
    given = consents(cases, report_id)
    assert set(given) == {"share_report", "share_location"}
    for consent in given.values():
        assert consent["user_id"] == survivor.id
        assert consent["text_version"] == "2026-11"
        assert consent["given_at"] == cases.report(report_id)["created_at"]
        assert consent["withdrawn_at"] is None


def test_the_newest_words_are_the_ones_consented_to(cases: Cases) -> None:
    cases.sql.execute(
        "insert into public.consent_texts (purpose, version, body, introduced_at)"
        " values ('share_report', '2026-12', 'Newer words.', private.clock()),"
        " ('share_report', '2027-01', 'Words of the future.', private.clock() + interval '1 day')"
    )
    assert consents(cases, cases.file_report(cases.survivor()))["share_report"]["text_version"] == "2026-12"


def test_a_recorded_report_consents_to_nothing_until_support_is_requested(cases: Cases) -> None:
    survivor = cases.survivor()
    professional = cases.professional()
    report_id = cases.file_report(survivor, consent_to_share=False)
    assert consents(cases, report_id) == {}
    assert cases.offers(report_id) == []
    call(survivor.sql, "request_support", report_id)
    call(survivor.sql, "request_support", report_id)
    assert set(consents(cases, report_id)) == {"share_report"}
    assert cases.count("public.consents") == 1
    assert cases.offered_to(report_id) == {professional.id}


def test_withdrawal_ends_the_consents_the_access_the_future_and_the_place(cases: Cases) -> None:
    case = cases.accepted(**PLACE)
    call(case.professional.sql, "open_case", case.match_id)
    call(case.survivor.sql, "withdraw_report", case.report_id)
    assert {row["withdrawn_at"] for row in consents(cases, case.report_id).values()} == {cases.now()}
    report = cases.report(case.report_id)
    assert (report["consent_location"], report["latitude"], report["longitude"]) == (False, None, None)
    with refused("report_withdrawn"):
        call(case.professional.sql, "open_case", case.match_id)
    appointment_id = case.appointment["appointment_id"]
    row = cases.one("select status from public.appointments where appointment_id = %s", appointment_id)
    assert row["status"] == "cancelled"


def test_withdrawal_takes_calendar_events_out_and_drops_messages_under_way(cases: Cases) -> None:
    case = cases.accepted()
    cases.sql.execute(
        "select public.store_calendar_connection(%s, 'caldav', 'mine', 'https://calendar.example/c/',"
        " 'v1.k.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAA')",
        (case.professional.id,),
    )
    waiting = "private.outbox_jobs j join public.notifications n on n.id = j.notification_id"
    assert cases.count(waiting, "n.kind in ('offer_made', 'appointment_confirmed') and j.state = 'pending'") > 0
    call(case.survivor.sql, "withdraw_report", case.report_id)
    kinds = cases.sql.execute(f"select distinct n.kind from {waiting} where j.state = 'pending'").fetchall()
    assert {row["kind"] for row in kinds} == {"appointment_cancelled"}
    job = cases.one(
        "select id from private.outbox_jobs where appointment_id = %s and kind = 'calendar_event'"
        " order by id desc limit 1",
        case.appointment["appointment_id"],
    )
    connection = cases.one("select id from public.calendar_connections")["id"]
    context = cases.one(
        "select private.calendar_event_context(%s, %s) as context", case.appointment["appointment_id"], connection
    )["context"]
    assert job["id"]
    assert context["operation"] == "delete"


def test_a_second_withdrawal_changes_nothing(cases: Cases) -> None:
    case = cases.accepted()
    call(case.survivor.sql, "withdraw_report", case.report_id)
    entries = cases.count("private.audit_log")
    cases.pass_time(days=1)
    call(case.survivor.sql, "withdraw_report", case.report_id)
    assert cases.count("private.audit_log") == entries
    assert consents(cases, case.report_id)["share_report"]["withdrawn_at"] == cases.now() - timedelta(days=1)


def test_changes_of_consent_are_in_the_ledger(cases: Cases) -> None:
    survivor = cases.survivor()
    report_id = cases.file_report(survivor, consent_to_share=False)
    call(survivor.sql, "request_support", report_id)
    call(survivor.sql, "withdraw_report", report_id)
    entries = cases.sql.execute(
        "select event, facts, actor_id, subject_id, detail from private.audit_log"
        " where event like 'consent%%' order by id"
    ).fetchall()
    assert [entry["event"] for entry in entries] == ["consent_given", "consent_withdrawn"]
    for entry in entries:
        assert entry["facts"] == {"purpose": "share_report", "text_version": "2026-11"}
        assert entry["actor_id"] == entry["subject_id"] == survivor.id
        assert entry["detail"] == {"report_id": str(report_id)}


def test_a_survivor_reads_own_consents_and_nobody_writes_them(cases: Cases) -> None:
    survivor, other = cases.survivor(), cases.survivor()
    cases.file_report(survivor)
    cases.file_report(other)
    rows = survivor.sql.execute("select user_id from public.consents").fetchall()
    assert [row["user_id"] for row in rows] == [survivor.id]
    with forbidden():
        survivor.sql.execute("update public.consents set withdrawn_at = null")
    with forbidden():
        survivor.sql.execute("delete from public.consents")
    with forbidden():
        cases.database.as_anon().execute("select * from public.consents")


def test_everybody_can_read_the_words_and_no_client_change_them(cases: Cases) -> None:
    purposes = cases.database.as_anon().execute("select purpose from public.consent_texts").fetchall()
    assert {row["purpose"] for row in purposes} == {"share_report", "share_location", "hand_over"}
    with forbidden():
        cases.survivor().sql.execute("update public.consent_texts set body = 'x'")


@pytest.mark.parametrize("again", [False, True])
def test_nothing_can_be_made_of_a_withdrawn_report(cases: Cases, again: bool) -> None:
    professional = cases.professional()
    survivor = cases.survivor()
    report_id = cases.file_report(survivor)
    match_id = cases.offer(report_id, professional)["id"]
    call(survivor.sql, "withdraw_report", report_id)
    with refused("report_withdrawn"):
        if again:
            call(survivor.sql, "request_support", report_id)
        else:
            accept(professional.sql, match_id)
