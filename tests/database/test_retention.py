"""Nothing is kept longer than its time, and what was done about it is written down."""

from __future__ import annotations

import pytest

from tests.support.canary import Hunter, plant
from tests.support.cases import Cases, OpenCase, accept, call
from tests.support.refusals import refused

#: More days than any year has.
YEAR = 367


def close(case: OpenCase) -> None:
    for party in (case.professional.sql, case.survivor.sql):
        call(party, "complete_case", case.match_id)


def planted(cases: Cases) -> tuple[OpenCase, Hunter]:
    professional = cases.professional()
    survivor, report_id = plant(cases)
    match_id = cases.offer(report_id, professional)["id"]
    case = OpenCase(survivor, professional, report_id, match_id, accept(professional.sql, match_id))
    return case, Hunter(cases, survivor, report_id)


def purge(cases: Cases) -> int:
    """Every batch that is due."""
    cases.pass_time(minutes=15)
    return cases.run_due_timers()["purged"]


def test_a_professional_opens_a_closed_case_for_a_time_and_then_no_more(cases: Cases) -> None:
    case = cases.accepted()
    close(case)
    cases.pass_time(days=29)
    assert call(case.professional.sql, "open_case", case.match_id)
    cases.pass_time(days=1)
    with refused("case_not_open"):
        call(case.professional.sql, "open_case", case.match_id)


def test_messages_and_notes_close_with_the_grace_time(cases: Cases) -> None:
    case = cases.accepted()
    case.professional.sql.execute(
        "insert into public.messages (matched_services, body) values (%s, 'hello')", (case.match_id,)
    )
    case.professional.sql.execute(
        "insert into public.case_notes (matched_services, body) values (%s, 'note')", (case.match_id,)
    )
    close(case)
    for days, left in ((29, 1), (1, 0)):
        cases.pass_time(days=days)
        for relation in ("messages", "case_notes"):
            assert len(case.professional.sql.execute(f"select * from public.{relation}").fetchall()) == left
    assert len(case.survivor.sql.execute("select * from public.messages").fetchall()) == 1


def test_an_archived_report_loses_what_identifies_a_person(cases: Cases) -> None:
    case, hunter = planted(cases)
    close(case)
    cases.pass_time(days=2 * YEAR - 10)
    purge(cases)
    assert "canary" in hunter.traces_in(dict(cases.report(case.report_id)))
    cases.pass_time(days=10)
    purge(cases)
    report = dict(cases.report(case.report_id))
    assert hunter.traces_in(report) == {str(case.survivor.id)}
    assert report["anonymised_at"] == cases.now()
    assert (report["incident_type"], report["status"]) == ("domestic_violence", "archived")


def test_a_withdrawn_report_does_too_counted_from_the_withdrawal(cases: Cases) -> None:
    survivor, report_id = plant(cases)
    cases.pass_time(days=YEAR)
    call(survivor.sql, "withdraw_report", report_id)
    cases.pass_time(days=2 * YEAR - 10)
    purge(cases)
    assert cases.report(report_id)["anonymised_at"] is None
    cases.pass_time(days=10)
    purge(cases)
    assert cases.report(report_id)["incident_description"] is None


def test_an_open_case_is_never_touched(cases: Cases) -> None:
    case, hunter = planted(cases)
    before = cases.report(case.report_id)
    cases.pass_time(days=20 * YEAR)
    purge(cases)
    assert cases.report(case.report_id) == before
    assert hunter


def test_a_survivor_cannot_change_an_archived_report_into_an_anonymous_one(cases: Cases) -> None:
    case = cases.accepted()
    close(case)
    with refused("case_not_open"):
        case.survivor.sql.execute("update public.reports set incident_description = null")


def test_conversations_notifications_and_the_access_log_go_in_their_time(cases: Cases) -> None:
    case = cases.accepted()
    call(case.professional.sql, "open_case", case.match_id)
    case.survivor.sql.execute(
        "insert into public.messages (matched_services, body) values (%s, 'hello')", (case.match_id,)
    )
    case.professional.sql.execute(
        "insert into public.case_notes (matched_services, body) values (%s, 'note')", (case.match_id,)
    )
    close(case)
    cases.pass_time(days=YEAR - 10)
    purge(cases)
    kept = ("public.messages", "public.case_notes", "public.notifications", "private.access_log_entries")
    assert all(cases.count(relation) > 0 for relation in kept)
    cases.pass_time(days=11)
    purge(cases)
    assert [cases.count(relation) for relation in kept] == [0, 0, 0, 1]
    cases.pass_time(days=4 * YEAR)
    purge(cases)
    assert cases.count("private.access_log_entries") == 0


def test_old_ledger_entries_forget_people_and_still_verify(cases: Cases) -> None:
    case = cases.accepted()
    call(case.professional.sql, "open_case", case.match_id)
    cases.run_due_timers()
    cases.pass_time(days=10 * YEAR + 5)
    purge(cases)
    opened = cases.one("select * from private.audit_log where event = 'open_case'")
    assert {opened[name] for name in ("actor_id", "subject_id", "detail", "actor_salt", "subject_salt")} == {None}
    cases.run_due_timers()
    assert cases.sql.execute("select * from private.verify_audit_log()").fetchall() == []


@pytest.mark.parametrize("plan", ["as planned", "nested loops"])
def test_a_purge_goes_in_small_batches_and_reports_what_it_did(cases: Cases, plan: str) -> None:
    if plan == "nested loops":  # which would run a subquery for each row
        for step in ("hashjoin", "mergejoin", "material", "hashagg", "sort"):
            cases.sql.execute(f"set local enable_{step} = off")
    case = cases.accepted()
    notifications = cases.count("public.notifications")
    assert notifications > 2
    cases.pass_time(days=YEAR)
    batches = []
    while cases.count("public.notifications") > 0:
        batches.append(cases.one("select private.purge_expired(2) as n")["n"])
        assert len(batches) < 20
    assert max(batches) <= 2
    assert sum(batches) == notifications
    reported = cases.sql.execute("select facts from private.audit_log where event = 'retention_applied'").fetchall()
    assert sum(row["facts"]["notifications"] for row in reported) == notifications
    assert case


def test_an_operator_sets_the_times(cases: Cases) -> None:
    case = cases.accepted()
    close(case)
    cases.sql.execute("update private.retention_settings set keep = '0' where data_class = 'case_access'")
    with refused("case_not_open"):
        call(case.professional.sql, "open_case", case.match_id)


def test_what_clients_told_goes_and_the_session_stays(cases: Cases) -> None:
    case = cases.accepted()
    cases.sql.execute(
        "insert into public.appointment_clients (appointment_id, client_name) values (%s, 'Client')",
        (case.appointment["appointment_id"],),
    )
    cases.pass_time(days=179)
    purge(cases)
    assert cases.count("public.appointment_clients") == 1
    cases.pass_time(days=2)
    purge(cases)
    assert cases.count("public.appointment_clients") == 0
    assert cases.count("public.appointments") == 1


@pytest.mark.parametrize("role", ["survivor", "professional", "admin"])
def test_no_client_sets_or_runs_retention(cases: Cases, role: str) -> None:
    actor = cases.admin() if role == "admin" else getattr(cases, role)().sql
    for statement in (
        "update private.retention_settings set keep = '0'",
        "select * from private.retention_settings",
        "select private.purge_expired(1)",
    ):
        with pytest.raises(Exception, match="permission denied"):
            actor.execute(statement)
