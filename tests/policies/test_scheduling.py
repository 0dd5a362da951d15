"""Preferences are their owner's business, types are shown when they can be booked, clients are the professional's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cases import Cases, insert
from tests.support.reach import changes, reads
from tests.support.refusals import forbidden

ROWS: dict[str, dict[str, Any]] = {
    "public.scheduling_preferences": {"slot_interval_minutes": 45},
    "public.appointment_types": {"name": "intake", "duration_minutes": 90},
}


@pytest.mark.parametrize("relation", list(ROWS))
def test_the_owner_keeps_them_and_nobody_else_touches_them(cases: Cases, relation: str) -> None:
    owner = cases.professional()
    insert(owner.sql, relation, ROWS[relation])
    assert reads(owner.sql, relation) == 1
    case = cases.accepted(professional=owner)
    for actor in (cases.professional().sql, case.survivor.sql, cases.admin(), cases.database.as_anon()):
        assert reads(actor, relation) in (0, None)
        assert not changes(cases, actor, relation, f"delete from {relation}")
        assert not changes(cases, actor, relation, f"update {relation} set created_at = now()")
        with forbidden():
            insert(actor, relation, ROWS[relation] | {"professional_id": owner.id})
    with forbidden():
        owner.sql.execute(f"update {relation} set created_at = now()")
    assert changes(cases, owner.sql, relation, f"delete from {relation}")


@pytest.mark.parametrize(
    ("card", "kind", "shown"),
    [
        ({"is_public_booking": True}, {}, 1),
        ({"is_public_booking": False}, {}, 0),
        ({"is_public_booking": True, "verification_status": "suspended"}, {}, 0),
        ({"is_public_booking": True}, {"is_public": False}, 0),
        ({"is_public_booking": True}, {"is_active": False}, 0),
    ],
    ids=["bookable", "private", "suspended", "inner type", "former type"],
)
def test_others_see_types_that_they_can_book(
    cases: Cases, card: dict[str, Any], kind: dict[str, Any], shown: int
) -> None:
    owner = cases.professional(card=card)
    insert(owner.sql, "public.appointment_types", ROWS["public.appointment_types"] | kind)
    for actor in (cases.database.as_anon(), cases.survivor().sql, cases.professional().sql):
        assert reads(actor, "public.appointment_types") == shown
    assert reads(owner.sql, "public.appointment_types") == 1


@pytest.mark.parametrize(
    ("relation", "wrong"),
    [
        ("public.scheduling_preferences", {"slot_interval_minutes": 4}),
        ("public.scheduling_preferences", {"slot_interval_minutes": 241}),
        ("public.scheduling_preferences", {"min_notice_minutes": -1}),
        ("public.scheduling_preferences", {"horizon_days": 0}),
        ("public.scheduling_preferences", {"horizon_days": 731}),
        ("public.scheduling_preferences", {"buffer_before_minutes": -5}),
        ("public.scheduling_preferences", {"buffer_after_minutes": 241}),
        ("public.scheduling_preferences", {"daily_limit": 0}),
        ("public.scheduling_preferences", {"request_hold_hours": 0}),
        ("public.appointment_types", {"name": ""}),
        ("public.appointment_types", {"name": "a\r\nb"}),
        ("public.appointment_types", {"name": "x" * 61}),
        ("public.appointment_types", {"duration_minutes": 29}),
        ("public.appointment_types", {"duration_minutes": 121}),
    ],
)
def test_impossible_preferences_and_types_are_refused(cases: Cases, relation: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="violates check constraint"):
        insert(cases.professional().sql, relation, ROWS[relation] | wrong)


@pytest.mark.parametrize("relation", ["booking_tokens", "calendar_feeds", "booking_settings", "booking_counters"])
def test_no_client_reads_or_writes_what_booking_keeps_to_itself(cases: Cases, relation: str) -> None:
    actors = (
        cases.database.as_anon(),
        cases.survivor().sql,
        cases.professional().sql,
        cases.admin(),
        cases.database.as_service(),
    )
    for actor in actors:
        for statement in (
            "select 1 from private.{}",
            "delete from private.{}",
            "insert into private.{} default values",
        ):
            with forbidden():
                actor.execute(statement.format(relation))
