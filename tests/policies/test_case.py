"""Reports, offers, appointments and all that hangs on a case: every role and every verb."""

from __future__ import annotations

import pytest

from tests.support.cases import Cases, OpenCase, Sql
from tests.support.reach import changes, reads
from tests.support.refusals import forbidden

VISIBLE = {
    # relation: rows that the parties and outsiders see of one accepted case with a pending rival offer of the same kind
    "public.reports": {"survivor": 1, "professional": 0, "rival": 0, "stranger": 0, "admin": 0, "visitor": None},
    "public.matched_services": {
        "survivor": 1,
        "professional": 1,
        "rival": 1,
        "stranger": 0,
        "admin": 0,
        "visitor": None,
    },
    "public.match_breakdowns": {
        "survivor": 0,
        "professional": 0,
        "rival": 0,
        "stranger": 0,
        "admin": 2,
        "visitor": None,
    },
    "public.appointments": {"survivor": 1, "professional": 1, "rival": 0, "stranger": 0, "admin": 0, "visitor": None},
    "public.notifications": {"survivor": 1, "professional": 2, "rival": 1, "stranger": 0, "admin": 1, "visitor": None},
    "public.report_progress": {
        "survivor": 1,
        "professional": 0,
        "rival": 0,
        "stranger": 0,
        "admin": 0,
        "visitor": None,
    },
    "public.access_log": {"survivor": 1, "professional": 0, "rival": 0, "stranger": 0, "admin": 0, "visitor": None},
    "private.access_log_entries": {
        "survivor": 1,
        "professional": 0,
        "rival": 0,
        "stranger": 0,
        "admin": 0,
        "visitor": None,
    },
    "public.escalations": {"survivor": 0, "professional": 0, "rival": 0, "stranger": 0, "admin": 1, "visitor": None},
    "private.escalations": {"survivor": 0, "professional": 0, "rival": 0, "stranger": 0, "admin": 1, "visitor": None},
}
NOBODYS = (
    "private.outbox_jobs",
    "private.matching_settings",
    "private.matching_lanes",
    "private.completion_boosts",
    "private.waiting_professionals",
    "private.response_clocks",
    "private.calendar_credentials",
)


@pytest.fixture
def case(cases: Cases) -> OpenCase:
    cases.admin()
    rival = cases.professional()
    case = cases.accepted(required_services=["counseling", "shelter"])
    case.professional.sql.execute("select public.open_case(%s)", (case.match_id,))
    assert cases.offered_to(case.report_id) == {rival.id, case.professional.id}
    return case


def roles(cases: Cases, case: OpenCase) -> dict[str, Sql]:
    (rival,) = cases.offered_to(case.report_id) - {case.professional.id}
    admin = cases.one("select id from public.profiles where user_type = 'admin'")["id"]
    return {
        "survivor": case.survivor.sql,
        "professional": case.professional.sql,
        "rival": cases.database.as_user(rival),
        "stranger": cases.survivor().sql,
        "admin": cases.database.as_user(admin),
        "visitor": cases.database.as_anon(),
    }


@pytest.mark.parametrize("relation", list(VISIBLE))
def test_each_role_sees_its_rows_and_no_others(cases: Cases, case: OpenCase, relation: str) -> None:
    seen = {who: reads(actor, relation) for who, actor in roles(cases, case).items()}
    assert seen == VISIBLE[relation]


@pytest.mark.parametrize("relation", NOBODYS)
def test_what_the_functions_keep_for_themselves_is_nobodys(cases: Cases, case: OpenCase, relation: str) -> None:
    for who, actor in {**roles(cases, case), "worker": cases.database.as_service()}.items():
        assert reads(actor, relation) is None, who
        for statement in (f"delete from {relation}", f"truncate {relation} cascade"):
            assert not changes(cases, actor, relation, statement), who


@pytest.mark.parametrize(
    ("relation", "statement"),
    [
        ("public.reports", "delete from public.reports"),
        ("public.reports", "truncate public.reports cascade"),
        ("public.reports", "update public.reports set status = 'withdrawn'"),
        ("public.matched_services", "update public.matched_services set match_status_type = 'accepted'"),
        ("public.matched_services", "update public.matched_services set professional_completed_at = now()"),
        ("public.matched_services", "update public.matched_services set expires_at = expires_at + interval '1 year'"),
        ("public.matched_services", "delete from public.matched_services"),
        (
            "public.matched_services",
            "insert into public.matched_services (report_id, service_id, professional_id, service_type, incident_type,"
            " urgency, gender, match_score) select report_id, service_id, professional_id, service_type, incident_type,"
            " urgency, gender, match_score from public.matched_services limit 1",
        ),
        ("public.match_breakdowns", "update public.match_breakdowns set score = 100"),
        ("public.match_breakdowns", "delete from public.match_breakdowns"),
        ("public.appointments", "update public.appointments set appointment_date = now() + interval '9 days'"),
        ("public.appointments", "update public.appointments set survivor_id = auth.uid()"),
        ("public.appointments", "delete from public.appointments"),
        ("public.notifications", "delete from public.notifications"),
        ("public.notifications", "update public.notifications set user_id = auth.uid()"),
        ("private.access_log_entries", "delete from private.access_log_entries"),
        ("private.access_log_entries", "update public.access_log set actor_id = null"),
        ("private.escalations", "update public.escalations set reason = 'no_answer'"),
        ("private.escalations", "update private.escalations set resolved_at = now()"),
    ],
)
def test_no_client_writes_what_only_functions_may(cases: Cases, case: OpenCase, relation: str, statement: str) -> None:
    for who, actor in roles(cases, case).items():
        assert not changes(cases, actor, relation, statement), who


@pytest.mark.parametrize(
    "relation", ["public.reports", "public.notifications", "public.matched_services", "public.appointments"]
)
def test_an_update_of_others_rows_is_silent_and_changes_nothing(cases: Cases, case: OpenCase, relation: str) -> None:
    statement = {
        "public.reports": "update public.reports set survivor_name = 'changed'",
        "public.notifications": "update public.notifications set read_at = now()",
        "public.matched_services": "update public.matched_services set decline_reason = 'changed'",
        "public.appointments": "update public.appointments set location = 'changed'",
    }[relation]
    for who in ("stranger", "visitor"):
        assert not changes(cases, roles(cases, case)[who], relation, statement), who


def test_the_service_key_reads_offers_and_appointments_but_no_story(cases: Cases, case: OpenCase) -> None:
    worker = cases.database.as_service()
    assert reads(worker, "public.matched_services") == 2
    assert reads(worker, "public.appointments") == 1
    for relation in ("public.reports", "public.access_log", "private.access_log_entries", "public.report_progress"):
        assert reads(worker, relation) is None
    for statement in (
        "update public.matched_services set match_status_type = 'accepted'",
        "update public.appointments set status = 'completed'",
        "update public.reports set status = 'active'",
        "delete from public.reports",
    ):
        with forbidden():
            worker.execute(statement)


def test_a_survivor_sees_an_offer_only_while_it_is_accepted_or_completed(cases: Cases) -> None:
    professional, survivor = cases.professional(), cases.survivor()
    report_id = cases.file_report(survivor)
    expected = {
        "pending": 0,
        "accepted": 1,
        "declined": 0,
        "expired": 0,
        "superseded": 0,
        "withdrawn": 0,
    }
    for state, seen in expected.items():
        cases.sql.execute("update public.matched_services set match_status_type = %s", (state,))
        assert reads(survivor.sql, "public.matched_services") == seen, state
        assert reads(professional.sql, "public.matched_services") == 1
    assert cases.offers(report_id)
