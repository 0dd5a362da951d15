"""Safety: chosen channels and hours, nobody who is blocked, child specialists for children, and a way to stay."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from tests.support.cases import Cases, Survivor, accept, call


def contexts(cases: Cases, user_id: Any) -> list[dict[str, Any]]:
    rows = cases.sql.execute(
        "select private.message_context(n.id) as context from public.notifications n where n.user_id = %s", (user_id,)
    ).fetchall()
    return [row["context"] for row in rows if row["context"] is not None]


@pytest.mark.parametrize(
    ("preference", "kind"),
    [("phone_call", None), ("sms", "sms"), ("email", "mail"), ("in_app", None), ("do_not_contact", None)],
)
def test_a_survivor_is_reached_by_the_chosen_channel_or_not_at_all(
    cases: Cases, preference: str, kind: str | None
) -> None:
    case = cases.accepted(
        contact_preference=preference, contact_phone="+254 700 000001", contact_email="safe@example.org"
    )
    cases.professional()
    case.professional.sql.execute(
        "insert into public.messages (matched_services, body) values (%s, 'hello')", (case.match_id,)
    )
    found = contexts(cases, case.survivor.id)
    assert {context["kind"] for context in found} == ({kind} if kind else set())
    where = {"sms": "+254 700 000001", "mail": "safe@example.org"}
    assert {context["message"]["to"] for context in found} == ({where[kind]} if kind else set())


def test_messages_wait_for_safe_hours_in_the_persons_own_zone(cases: Cases) -> None:
    now = cases.now()
    night = datetime.combine(now.date() + timedelta(days=1), time(0, 30), UTC)
    cases.pass_time(seconds=(night - now).total_seconds())
    professional = cases.professional()
    survivor = cases.survivor(time_zone="Africa/Nairobi")  # there it is half past three
    report_id = cases.file_report(
        survivor, contact_preference="email", safe_contact_from=time(9), safe_contact_until=time(11)
    )
    accept(professional.sql, cases.offer(report_id, professional)["id"])
    for context in contexts(cases, survivor.id):
        assert context["state"] == "postponed"
        assert datetime.fromisoformat(context["until"]).astimezone(UTC) == night.replace(hour=6, minute=0)


def test_the_emergency_contact_is_opened_with_the_case_and_never_used_by_us(cases: Cases) -> None:
    case = cases.accepted(emergency_contact="Sister, 0700 123", contact_preference="email")
    assert call(case.professional.sql, "open_case", case.match_id)["emergency_contact"] == "Sister, 0700 123"
    assert "0700 123" not in str(contexts(cases, case.survivor.id))


@pytest.mark.parametrize("blocks", ["survivor", "professional"])
def test_people_who_block_each_other_never_meet_here(cases: Cases, blocks: str) -> None:
    professional = cases.professional()
    survivor = cases.professional(service_type="legal_aid") if blocks == "professional" else cases.survivor()
    blocker, blocked = (survivor, professional) if blocks == "survivor" else (professional, survivor)
    blocker.sql.execute("insert into public.blocked_professionals (professional_id) values (%s)", (blocked.id,))
    report_id = cases.file_report(Survivor(survivor.id, survivor.sql))
    assert cases.offers(report_id) == []
    cases.pass_time(days=3)
    cases.run_due_timers()
    assert cases.offers(report_id) == []
    call(cases.admin(), "rematch_report", report_id)
    assert cases.offers(report_id) == []


def test_a_childs_case_goes_to_child_specialists(cases: Cases) -> None:
    specialist = cases.professional(specialisations=["children"])
    cases.professional()
    report_id = cases.file_report(cases.survivor(), age_category="child")
    assert cases.offered_to(report_id) == {specialist.id}
    call(cases.admin(), "verify_professional", specialist.id, "suspended", "The licence has ended.")
    reasons = {row["reason"] for row in cases.sql.execute("select reason from private.escalations").fetchall()}
    assert "no_child_specialist" in reasons
    assert len(cases.offered_to(report_id, "pending")) == 1


def test_an_anonymous_account_that_becomes_permanent_keeps_everything(cases: Cases) -> None:
    professional = cases.professional()
    user_id = cases.database.add_user(anonymous=True)
    anonymous = Survivor(user_id, cases.database.as_user(user_id, anonymous=True))
    report_id = cases.file_report(anonymous)
    match_id = cases.offer(report_id, professional)["id"]
    accept(professional.sql, match_id)
    anonymous.sql.execute("insert into public.messages (matched_services, body) values (%s, 'hello')", (match_id,))
    relations = ("reports", "matched_services", "appointments", "messages", "consents", "notifications", "profiles")
    before = {r: anonymous.sql.execute(f"select * from public.{r} order by 1").fetchall() for r in relations}
    assert all(before.values())
    cases.database.as_superuser().execute(
        "update auth.users set is_anonymous = false, email = 'kept@example.org', email_confirmed_at = now()"
        " where id = %s",
        (user_id,),
    )
    permanent = cases.database.as_user(user_id, email="kept@example.org")
    assert {r: permanent.execute(f"select * from public.{r} order by 1").fetchall() for r in relations} == before
    call(permanent, "withdraw_report", report_id)
