"""Nobody is in two places at once, states change along the drawn lines only, and calendars can follow."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from tests.support.cases import Cases, Professional, call, insert
from tests.support.database import Database
from tests.support.races import race
from tests.support.refusals import refused

MONDAY = datetime(2027, 3, 1, 10, tzinfo=UTC)
STATUSES = ("requested", "confirmed", "completed", "cancelled", "no_show")
ALLOWED = {
    ("requested", "confirmed"),
    ("requested", "cancelled"),
    ("confirmed", "requested"),
    ("confirmed", "cancelled"),
    ("confirmed", "completed"),
    ("confirmed", "no_show"),
}


def book(cases: Cases, professional: Professional, **columns: Any) -> Any:
    row = {"professional_id": professional.id, "appointment_date": MONDAY, "created_via": "follow_up"} | columns
    return insert(cases.sql, "public.appointments", row)


def status(cases: Cases, appointment_id: uuid.UUID) -> str:
    found: str = cases.one("select status from public.appointments where appointment_id = %s", appointment_id)["status"]
    return found


class TestOverlap:
    @pytest.mark.parametrize("first", ["requested", "confirmed"])
    @pytest.mark.parametrize("second", ["requested", "confirmed"])
    @pytest.mark.parametrize("minutes", [-59, -1, 0, 30, 59])
    def test_two_live_appointments_of_one_professional_cannot_overlap(
        self, cases: Cases, first: str, second: str, minutes: int
    ) -> None:
        professional = cases.professional()
        book(cases, professional, status=first)
        with pytest.raises(psycopg.errors.ExclusionViolation, match="appointments_no_overlap"):
            book(cases, professional, status=second, appointment_date=MONDAY + timedelta(minutes=minutes))

    def test_nor_can_two_of_one_survivor(self, cases: Cases) -> None:
        survivor = cases.survivor()
        book(cases, cases.professional(), survivor_id=survivor.id)
        with pytest.raises(psycopg.errors.ExclusionViolation, match="appointments_no_overlap_survivor"):
            book(cases, cases.professional(), survivor_id=survivor.id)

    @pytest.mark.parametrize("dead", ["completed", "cancelled", "no_show"])
    def test_what_is_over_holds_no_time(self, cases: Cases, dead: str) -> None:
        professional = cases.professional()
        book(cases, professional, status=dead)
        book(cases, professional)

    @pytest.mark.parametrize("minutes", [-60, 60])
    def test_back_to_back_is_no_overlap(self, cases: Cases, minutes: int) -> None:
        professional = cases.professional()
        book(cases, professional)
        book(cases, professional, appointment_date=MONDAY + timedelta(minutes=minutes))

    def test_outside_clients_of_different_professionals_do_not_collide(self, cases: Cases) -> None:
        book(cases, cases.professional(), survivor_id=None)
        book(cases, cases.professional(), survivor_id=None)

    def test_the_same_hour_is_free_again_after_a_cancellation(self, cases: Cases) -> None:
        professional = cases.professional()
        first = cases.accepted(professional=professional)
        call(professional.sql, "cancel_appointment", first.appointment["appointment_id"])
        second = cases.accepted(professional=professional)
        assert second.appointment["appointment_date"] == first.appointment["appointment_date"]

    @pytest.mark.parametrize("minutes", [29, 121, 0, -60])
    def test_no_row_is_shorter_or_longer_than_allowed(self, cases: Cases, minutes: int) -> None:
        with pytest.raises(psycopg.errors.CheckViolation, match="appointments_duration_range"):
            book(cases, cases.professional(), duration_minutes=minutes)

    @pytest.mark.parametrize("moment", ["infinity", "-infinity"])
    def test_no_row_is_at_infinity(self, cases: Cases, moment: str) -> None:
        with pytest.raises(psycopg.errors.CheckViolation, match="appointments_date_finite"):
            book(cases, cases.professional(), appointment_date=moment)


class TestTransitions:
    @pytest.mark.parametrize("before", STATUSES)
    @pytest.mark.parametrize("after", STATUSES)
    def test_only_the_drawn_lines_can_be_walked_whoever_walks(self, cases: Cases, before: str, after: str) -> None:
        appointment = book(cases, cases.professional(), status=before)
        change = partial(
            cases.sql.execute,
            "update public.appointments set status = %s where appointment_id = %s",
            (after, appointment["appointment_id"]),
        )
        if before == after or (before, after) in ALLOWED:
            change()
            assert status(cases, appointment["appointment_id"]) == after
        else:
            with refused("invalid_transition"):
                change()
            assert status(cases, appointment["appointment_id"]) == before

    def test_a_professional_confirms_completes_and_repeats_it(self, cases: Cases) -> None:
        professional = cases.professional()
        appointment_id = book(cases, professional, status="requested")["appointment_id"]
        for function, state in (("confirm_appointment", "confirmed"), ("complete_appointment", "completed")):
            first = call(professional.sql, function, appointment_id)
            assert first["status"] == state
            assert call(professional.sql, function, appointment_id) == first
        with refused("invalid_transition"):
            call(professional.sql, "cancel_appointment", appointment_id)
        with refused("invalid_transition"):
            call(professional.sql, "confirm_appointment", appointment_id)

    def test_a_request_cannot_be_completed(self, cases: Cases) -> None:
        professional = cases.professional()
        appointment_id = book(cases, professional, status="requested")["appointment_id"]
        with refused("invalid_transition"):
            call(professional.sql, "complete_appointment", appointment_id)
        assert status(cases, appointment_id) == "requested"

    @pytest.mark.parametrize("side", ["professional", "survivor"])
    def test_either_party_cancels_once(self, cases: Cases, side: str) -> None:
        case = cases.accepted()
        actor = getattr(case, side)
        first = call(actor.sql, "cancel_appointment", case.appointment["appointment_id"], "ill")
        assert (first["status"], first["cancelled_by"], first["cancel_reason"]) == ("cancelled", actor.id, "ill")
        jobs = cases.count("private.outbox_jobs")
        assert call(actor.sql, "cancel_appointment", case.appointment["appointment_id"], "again") == first
        assert cases.count("private.outbox_jobs") == jobs

    def test_a_long_reason_cancels_nothing(self, cases: Cases) -> None:
        case = cases.accepted()
        with refused("invalid_input"):
            call(case.survivor.sql, "cancel_appointment", case.appointment["appointment_id"], "x" * 501)
        assert status(cases, case.appointment["appointment_id"]) == "confirmed"

    @pytest.mark.parametrize("function", ["confirm_appointment", "complete_appointment", "cancel_appointment"])
    def test_a_foreign_appointment_and_none_are_the_same_answer(self, cases: Cases, function: str) -> None:
        case = cases.accepted()
        answers = []
        for actor in (cases.professional().sql, cases.survivor().sql, cases.admin()):
            for appointment_id in (case.appointment["appointment_id"], uuid.uuid4()):
                with refused("not_found") as told:
                    call(actor, function, appointment_id)
                answers.append(told)
        assert all(answer == answers[0] for answer in answers)
        with refused("not_authenticated"):
            call(cases.database.as_anon(), function, case.appointment["appointment_id"])
        assert status(cases, case.appointment["appointment_id"]) == "confirmed"

    @pytest.mark.parametrize("function", ["confirm_appointment", "complete_appointment"])
    def test_a_survivor_does_not_keep_the_professionals_book(self, cases: Cases, function: str) -> None:
        case = cases.accepted()
        with refused("not_found"):
            call(case.survivor.sql, function, case.appointment["appointment_id"])

    def test_a_completion_and_a_cancellation_at_once_exclude_each_other(
        self, committed: Cases, database: Database
    ) -> None:
        case = committed.accepted()
        appointment_id = case.appointment["appointment_id"]
        outcomes = race(
            database,
            [
                partial(call, case.professional.sql, "complete_appointment", appointment_id),
                partial(call, case.survivor.sql, "cancel_appointment", appointment_id),
            ],
        )
        assert [told for told in outcomes if isinstance(told, str)] == ["invalid_transition"]
        (winner,) = [told["status"] for told in outcomes if isinstance(told, dict)]
        assert status(committed, appointment_id) == winner


class TestSequence:
    def sequence(self, cases: Cases) -> int:
        number: int = cases.one("select sequence from public.appointments")["sequence"]
        return number

    @pytest.mark.parametrize(
        ("assignment", "rises"),
        [
            ("status = 'cancelled'", True),
            ("status = 'requested'", True),
            ("appointment_date = appointment_date + interval '1 hour'", True),
            ("duration_minutes = 90", True),
            ("meeting_url = 'https://meet.example.org/x'", True),
            ("location = 'room 1'", True),
            ("status = 'completed'", False),
            ("status = 'no_show'", False),
            ("cancel_reason = 'x'", False),
            ("status = status", False),
        ],
    )
    def test_it_rises_with_each_change_that_a_calendar_must_know(
        self, cases: Cases, assignment: str, rises: bool
    ) -> None:
        cases.accepted()
        assert self.sequence(cases) == 0
        cases.sql.execute(f"update public.appointments set {assignment}")
        assert self.sequence(cases) == int(rises)

    def test_it_never_falls(self, cases: Cases) -> None:
        cases.accepted()
        cases.sql.execute("update public.appointments set location = 'a'")
        cases.sql.execute("update public.appointments set sequence = 0, location = 'b'")
        assert self.sequence(cases) == 2


def test_nobody_writes_appointments_by_hand(cases: Cases) -> None:
    case = cases.accepted()
    for actor in (case.professional.sql, case.survivor.sql, cases.admin(), cases.database.as_anon()):
        for statement in (
            "update public.appointments set status = 'completed'",
            "delete from public.appointments",
            f"insert into public.appointments (professional_id, appointment_date, created_via)"
            f" values ('{case.professional.id}', now() + interval '1 day', 'follow_up')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                actor.execute(statement)
    assert status(cases, case.appointment["appointment_id"]) == "confirmed"
