"""Working hours, absences, busy times and connected calendars are their owner's business."""

from __future__ import annotations

import pytest

from tests.support.cases import Cases, Professional, insert
from tests.support.reach import changes, reads
from tests.support.refusals import forbidden

ROWS = {
    "public.availability_rules": {"weekday": 1, "start_time": "09:00", "end_time": "12:00"},
    "public.availability_exceptions": {"during": "[2027-01-01,2027-01-02)", "kind": "blocked", "reason": "private"},
}


@pytest.mark.parametrize("relation", list(ROWS))
def test_the_owner_keeps_them_and_nobody_else_sees_or_touches_them(cases: Cases, relation: str) -> None:
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
    ("relation", "wrong"),
    [
        ("public.availability_rules", {"weekday": 0}),
        ("public.availability_rules", {"weekday": 8}),
        ("public.availability_rules", {"start_time": "12:00", "end_time": "12:00"}),
        ("public.availability_exceptions", {"during": "empty"}),
        ("public.availability_exceptions", {"during": "[2027-01-01,)"}),
        ("public.availability_exceptions", {"during": "[2027-01-01,infinity)"}),
        ("public.availability_exceptions", {"during": "[2027-01-01,2029-01-01)"}),
        ("public.availability_exceptions", {"kind": "maybe"}),
        ("public.availability_exceptions", {"reason": "x" * 301}),
    ],
)
def test_impossible_hours_are_refused(cases: Cases, relation: str, wrong: dict[str, object]) -> None:
    with pytest.raises(Exception, match="violates check constraint"):
        insert(cases.professional().sql, relation, ROWS[relation] | wrong)


class TestCalendars:
    @pytest.fixture
    def owner(self, cases: Cases) -> Professional:
        owner = cases.professional()
        connection = insert(
            cases.sql,
            "public.calendar_connections",
            {"user_id": owner.id, "provider": "google", "account_label": "a@b.org", "calendar_id": "primary"},
        )
        case = cases.accepted(professional=owner)
        insert(
            cases.sql,
            "public.calendar_events",
            {
                "appointment_id": case.appointment["appointment_id"],
                "connection_id": connection["id"],
                "provider": "google",
            },
        )
        insert(
            cases.sql,
            "public.calendar_busy",
            {
                "connection_id": connection["id"],
                "professional_id": owner.id,
                "during": "[2027-01-01 10:00+00,2027-01-01 11:00+00)",
            },
        )
        return owner

    RELATIONS = (
        "public.calendar_connections",
        "public.calendar_events",
        "public.google_calendar_events",
        "public.calendar_busy",
    )

    @pytest.mark.parametrize("relation", RELATIONS)
    def test_the_owner_reads_and_nobody_else(self, cases: Cases, owner: Professional, relation: str) -> None:
        assert reads(owner.sql, relation) == 1
        survivor_id = cases.one("select survivor_id from public.appointments")["survivor_id"]
        for actor in (
            cases.database.as_user(survivor_id),
            cases.professional().sql,
            cases.admin(),
            cases.database.as_anon(),
        ):
            assert reads(actor, relation) in (0, None)

    @pytest.mark.parametrize("relation", RELATIONS)
    def test_not_even_the_owner_writes_by_hand(self, cases: Cases, owner: Professional, relation: str) -> None:
        table = "public.calendar_events" if relation == "public.google_calendar_events" else relation
        for actor in (owner.sql, cases.professional().sql, cases.admin(), cases.database.as_anon()):
            assert not changes(cases, actor, table, f"delete from {relation}")
            column = "during = during" if table == "public.calendar_busy" else "last_error = 'x_y'"
            assert not changes(cases, actor, table, f"update {relation} set {column}")

    def test_the_view_shows_google_only(self, cases: Cases, owner: Professional) -> None:
        cases.sql.execute("update public.calendar_events set provider = 'caldav'")
        assert reads(owner.sql, "public.google_calendar_events") == 0
        assert reads(owner.sql, "public.calendar_events") == 1
