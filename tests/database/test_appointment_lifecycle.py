"""What an appointment may become, by whom, and what each change tells calendars and people."""

from __future__ import annotations

import contextlib
import itertools
import re
import uuid
from datetime import datetime, timedelta

import psycopg
import pytest

from sauti_local.paths import ROOT
from tests.support.cases import Cases, OpenCase, Row, call
from tests.support.refusals import refused

STATUSES = ("requested", "confirmed", "completed", "cancelled", "no_show")


@pytest.fixture
def case(cases: Cases) -> OpenCase:
    return cases.accepted()


def documented_transitions() -> set[tuple[str, str]]:
    """The pairs of the first table of docs/states.md."""
    section = (ROOT / "docs" / "states.md").read_text().split("## Appointments")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section, re.MULTILINE))


def appointment(cases: Cases, case: OpenCase) -> Row:
    return cases.one("select * from public.appointments where appointment_id = %s", case.appointment["appointment_id"])


def next_slot(cases: Cases, case: OpenCase, days: int = 7) -> datetime:
    """A slot that is free to the survivor."""
    row = case.survivor.sql.execute(
        "select slot_start from public.available_slots(%s, (private.clock() + %s)::date, (private.clock() + %s)::date)"
        " limit 1",
        (case.professional.id, timedelta(days=days), timedelta(days=days + 6)),
    ).fetchone()
    assert row is not None
    slot: datetime = row["slot_start"]
    return slot


def test_the_document_and_the_trigger_allow_the_same_transitions(cases: Cases, case: OpenCase) -> None:
    documented = documented_transitions()
    assert len(documented) >= 6
    allowed = set()
    sql = cases.sql
    for before, after in itertools.permutations(STATUSES, 2):
        superuser = cases.database.as_superuser()
        superuser.execute("set session_replication_role = replica")
        superuser.execute("update public.appointments set status = %s", (before,))
        superuser.execute("set session_replication_role = origin")
        with contextlib.suppress(psycopg.Error):
            sql.execute("update public.appointments set status = %s", (after,))
            allowed.add((before, after))
    assert allowed == documented


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_may_always_stay_what_it_is(cases: Cases, case: OpenCase, status: str) -> None:
    superuser = cases.database.as_superuser()
    superuser.execute("set session_replication_role = replica")
    superuser.execute("update public.appointments set status = %s", (status,))
    superuser.execute("set session_replication_role = origin")
    cases.sql.execute("update public.appointments set status = %s, location = 'Room 2'", (status,))
    assert appointment(cases, case)["location"] == "Room 2"


@pytest.mark.parametrize(("function", "status"), [("complete_appointment", "completed"), ("mark_no_show", "no_show")])
def test_the_professional_records_how_a_session_went_once(
    cases: Cases, case: OpenCase, function: str, status: str
) -> None:
    id_ = case.appointment["appointment_id"]
    for _ in range(2):
        assert call(case.professional.sql, function, id_)["status"] == status
    assert appointment(cases, case)["sequence"] == 0
    for other in {"complete_appointment", "mark_no_show", "confirm_appointment", "cancel_appointment"} - {function}:
        with refused("invalid_transition"):
            call(case.professional.sql, other, id_)
    with refused("invalid_transition"):
        call(case.professional.sql, "reschedule_appointment", id_, cases.now() + timedelta(days=1))


@pytest.mark.parametrize("function", ["confirm_appointment", "complete_appointment", "mark_no_show"])
def test_only_its_professional_decides_about_an_appointment(cases: Cases, case: OpenCase, function: str) -> None:
    stranger = cases.professional()
    for actor in (case.survivor.sql, stranger.sql, cases.admin()):
        with refused("not_found"):
            call(actor, function, case.appointment["appointment_id"])
        with refused("not_found"):
            call(actor, function, uuid.uuid4())
    with refused("not_authenticated"):
        call(cases.database.as_anon(), function, case.appointment["appointment_id"])
    assert appointment(cases, case)["status"] == "confirmed"


def test_a_professional_moves_a_session_to_any_time_and_it_stays_confirmed(cases: Cases, case: OpenCase) -> None:
    at_night = cases.now().replace(hour=2, minute=7, second=0, microsecond=0) + timedelta(days=3)
    for _ in range(2):
        moved = call(case.professional.sql, "reschedule_appointment", case.appointment["appointment_id"], at_night, 45)
        assert (moved["appointment_date"], moved["duration_minutes"]) == (at_night, 45)
        assert (moved["status"], moved["sequence"]) == ("confirmed", 1)
    assert cases.count("public.notifications", "kind = 'appointment_changed'") == 2  # one for each party, once


def test_a_survivor_moves_a_session_to_a_free_slot_only_and_asks_anew(cases: Cases, case: OpenCase) -> None:
    id_ = case.appointment["appointment_id"]
    slot = next_slot(cases, case)
    with refused("outside_availability"):
        call(case.survivor.sql, "reschedule_appointment", id_, slot + timedelta(minutes=1))
    for _ in range(2):
        moved = call(case.survivor.sql, "reschedule_appointment", id_, slot)
        assert (moved["appointment_date"], moved["status"], moved["sequence"]) == (slot, "requested", 1)
    assert moved["held_until"] == cases.now() + timedelta(hours=48)
    confirmed = call(case.professional.sql, "confirm_appointment", id_)
    assert (confirmed["status"], confirmed["sequence"], confirmed["held_until"]) == ("confirmed", 2, None)


def test_a_survivor_cannot_take_somebody_else_s_time(cases: Cases, case: OpenCase) -> None:
    slot = next_slot(cases, case)
    call(case.professional.sql, "schedule_follow_up", case.match_id, slot)
    with refused("slot_taken") as told:
        call(case.survivor.sql, "reschedule_appointment", case.appointment["appointment_id"], slot)
    assert str(case.survivor.id) not in told.details
    assert appointment(cases, case)["appointment_date"] == case.appointment["appointment_date"]


def test_nobody_but_the_parties_moves_a_session(cases: Cases, case: OpenCase) -> None:
    for actor in (cases.professional().sql, cases.survivor().sql, cases.admin()):
        with refused("not_found"):
            call(actor, "reschedule_appointment", case.appointment["appointment_id"], cases.now() + timedelta(days=2))
    assert appointment(cases, case)["sequence"] == 0


def test_a_session_that_has_begun_is_not_moved_by_the_survivor(cases: Cases, case: OpenCase) -> None:
    cases.pass_time(minutes=61)
    with refused("invalid_transition"):
        call(case.survivor.sql, "reschedule_appointment", case.appointment["appointment_id"], next_slot(cases, case))


@pytest.mark.parametrize(
    ("starts_in", "minutes", "symbol"),
    [
        (timedelta(days=-1), None, "in_the_past"),
        (timedelta(days=800), None, "invalid_input"),
        (timedelta(days=1), 29, "invalid_duration"),
        (timedelta(days=1), 121, "invalid_duration"),
        (None, None, "invalid_input"),
    ],
    ids=["yesterday", "in three years", "too short", "too long", "no time"],
)
def test_a_session_is_not_moved_to_where_none_can_be(
    cases: Cases, case: OpenCase, starts_in: timedelta | None, minutes: int | None, symbol: str
) -> None:
    starts_at = starts_in and cases.now() + starts_in
    for actor in (case.professional.sql, case.survivor.sql):
        with refused(symbol):
            call(actor, "reschedule_appointment", case.appointment["appointment_id"], starts_at, minutes)
    assert appointment(cases, case)["sequence"] == 0


def test_a_request_that_nobody_confirms_gives_its_time_back(cases: Cases, case: OpenCase) -> None:
    slot = next_slot(cases, case)
    call(case.survivor.sql, "reschedule_appointment", case.appointment["appointment_id"], slot)
    cases.pass_time(hours=47)
    assert cases.run_due_timers()["requests_expired"] == 0
    cases.pass_time(hours=1)
    assert cases.run_due_timers()["requests_expired"] == 1
    assert cases.run_due_timers()["requests_expired"] == 0
    gone = appointment(cases, case)
    assert (gone["status"], gone["cancelled_by"], gone["held_until"], gone["sequence"]) == ("cancelled", None, None, 2)
    told = cases.sql.execute("select user_id from public.notifications where kind = 'appointment_cancelled'").fetchall()
    assert {row["user_id"] for row in told} == {case.survivor.id, case.professional.id}
    assert next_slot(cases, case, days=5) <= slot


def test_a_request_is_held_as_long_as_its_professional_allows_and_never_past_its_start(
    cases: Cases, case: OpenCase
) -> None:
    case.professional.sql.execute("insert into public.scheduling_preferences (request_hold_hours) values (720)")
    slot = next_slot(cases, case)
    moved = call(case.survivor.sql, "reschedule_appointment", case.appointment["appointment_id"], slot)
    assert moved["held_until"] == slot


def test_each_change_that_a_calendar_must_know_raises_the_sequence(cases: Cases, case: OpenCase) -> None:
    sequence = 0
    for change, counts in {
        "appointment_type = 'other'": False,
        "location = 'Room 5'": True,
        "meeting_url = 'https://meet.example.org/x'": True,
        "duration_minutes = 90": True,
        "appointment_date = appointment_date + interval '1 day'": True,
        "cancel_reason = 'none'": False,
        "status = 'requested'": True,
        "status = 'cancelled'": True,
    }.items():
        cases.sql.execute(f"update public.appointments set {change}")
        sequence += counts
        assert appointment(cases, case)["sequence"] == sequence, change


def test_what_was_cancelled_frees_its_time_at_once(cases: Cases, case: OpenCase) -> None:
    slot = next_slot(cases, case)
    (made,) = case.professional.sql.execute(
        "select * from public.schedule_follow_up(%s, %s)", (case.match_id, slot)
    ).fetchall()
    assert next_slot(cases, case) != slot
    call(case.survivor.sql, "cancel_appointment", made["appointment_id"])
    assert next_slot(cases, case) == slot
