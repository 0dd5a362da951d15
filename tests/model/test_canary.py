"""A canary in every personal field; after a full random run with the worker it is only where it may be.

Searched as text: every answer that anybody got from the API, every frame that anybody heard, every table of every
schema as the superuser reads it (the outbox, logs of access and audit among them), every mail, every calendar entry,
every log file of the stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from sauti_local.stack import Stack, StackConfig
from tests.model.town import Citizen, Town, town_on
from tests.support.loop_thread import LoopThread
from tests.support.races import until

STEPS = 160
#: When chance left something out: at most so many rounds of so many steps more.
MORE_ROUNDS, MORE_STEPS = 12, 20
MOVES = {
    "accepts", "opens", "declines", "cancels", "completes", "books", "withdraws", "writes", "notes", "breaks_the_glass",
}  # fmt: skip


@pytest.fixture(scope="module")
def working_stack(loop_thread: LoopThread) -> Iterator[Stack]:
    """A stack with its worker."""
    running = Stack(StackConfig(port=0, seed=False))
    loop_thread.run(running.__aenter__())
    yield running
    loop_thread.run(running.__aexit__(None, None, None))


class Run:
    """Random requests of everybody; what is refused is part of it."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.chance = town.chance
        self.done: Counter[str] = Counter()
        self.survivors = [town.move_in("survivor", "survivor"), town.move_in("survivor 2", "survivor", anonymous=True)]
        self.professionals = [town.move_in(f"professional {n}", "professional") for n in (1, 2, 3)]
        self.admin = town.move_in("admin", "survivor")
        town.service.send(
            "PATCH", "/profiles", params={"id": f"eq.{self.admin.caller.id}"}, json={"user_type": "admin"}
        )
        town.open_practice(self.professionals[0], "counseling", "legal_aid")
        town.open_practice(self.professionals[1], "counseling")
        town.open_practice(self.professionals[2], "legal_aid")
        for citizen in (self.professionals[0], self.survivors[0]):
            town.connect_calendar(citizen)
        self.moves = {
            self.reports: 3,
            self.corrects: 2,
            self.accepts: 5,
            self.declines: 2,
            self.opens: 3,
            self.holds: 2,
            self.cancels: 2,
            self.completes: 3,
            self.asks_for_support: 1,
            self.withdraws: 1,
            self.books: 2,
            self.writes: 3,
            self.notes: 2,
            self.breaks_the_glass: 1,
            self.waits: 2,
        }

    def go(self, steps: int) -> None:
        for survivor in self.survivors:
            self.town.report(survivor)
        moves, weights = list(self.moves), list(self.moves.values())
        for _ in range(steps):
            move = self.chance.choices(moves, weights)[0]
            if move():
                self.done[move.__name__] += 1

    # Moves; each tells whether it did something.

    def reports(self) -> bool:
        self.town.report(self.chance.choice(self.survivors))
        return True

    def corrects(self) -> bool:
        self.town.correct(self.chance.choice(self.survivors))
        return True

    def accepts(self) -> bool:
        citizen, offer = self._offer("pending")
        return offer is not None and self._call(citizen, "accept_match", match_id=offer["id"], mode="meet_now")

    def declines(self) -> bool:
        citizen, offer = self._offer("pending")
        if offer is None:
            return False
        reason = self.town.aviary.words(
            "reason of a decline", citizen.answer, citizen.frame, ("table", "public.matched_services")
        )
        return self._call(citizen, "decline_match", match_id=offer["id"], reason=reason)

    def opens(self) -> bool:
        citizen, offer = self._offer("accepted")
        if offer is None or not self._call(citizen, "open_case", match_id=offer["id"]):
            return False
        _, report = self.town.report_of(offer["report_id"])
        self.town.aviary.in_report(report, citizen.answer)
        return True

    def holds(self) -> bool:
        citizen, appointment = self._appointment(self.professionals)
        return appointment is not None and self._call(
            citizen, "complete_appointment", appointment_id=appointment["appointment_id"]
        )

    def cancels(self) -> bool:
        citizen, appointment = self._appointment(self.professionals + self.survivors)
        if appointment is None:
            return False
        parties = [
            one
            for one in self.professionals + self.survivors
            if one.caller.id in (appointment["professional_id"], appointment["survivor_id"])
        ]
        places = [place for one in parties for place in (one.answer, one.frame)]
        # A visitor who booked and holds the token is a party too.
        places += [] if appointment["matched_services"] else [self.town.visitor.answer]
        reason = self.town.aviary.words("reason of a cancellation", *places, ("table", "public.appointments"))
        return self._call(citizen, "cancel_appointment", appointment_id=appointment["appointment_id"], reason=reason)

    def completes(self) -> bool:
        citizen, offer = self._offer("accepted", self.professionals + self.survivors)
        return offer is not None and self._call(citizen, "complete_case", match_id=offer["id"])

    def asks_for_support(self) -> bool:
        citizen = self.chance.choice([survivor for survivor in self.survivors if survivor.reports])
        report = self.chance.choice(citizen.reports)
        return self._call(citizen, "request_support", report_id=report["report_id"])

    def withdraws(self) -> bool:
        citizen = self.chance.choice(self.survivors)
        report = self.chance.choice(citizen.reports)
        return self._call(citizen, "withdraw_report", report_id=report["report_id"])

    def books(self) -> bool:
        professional, visitor, aviary = self.professionals[1], self.town.visitor, self.town.aviary
        slots = visitor.caller.rpc("available_slots", professional_id=professional.caller.id, **self._days())
        if slots.status_code != 200 or not slots.json():
            return False
        places = (professional.answer, visitor.answer, ("table", "public.appointment_clients"))
        client = {
            "client_name": aviary.words("client", *places),
            "client_email": aviary.address("client's address", *places, ("mail to", "")),
            "client_phone": aviary.phone("client's phone", *places),
            "emergency_contact_name": aviary.words("client's friend", *places),
            "emergency_contact_phone": aviary.phone("client's friend's phone", *places),
            "message": aviary.words("client's message", *places),
        }
        slug = f"sauti-{professional.caller.id}"
        return self._call(
            visitor,
            "book_appointment",
            booking_slug=slug,
            starts_at=self.chance.choice(slots.json())["slot_start"],
            duration_minutes=60,
            appointment_type="consultation",
            client=client,
        )

    def writes(self) -> bool:
        citizen, offer = self._offer("accepted", self.professionals + self.survivors)
        if offer is None:
            return False
        owner, _ = self.town.report_of(offer["report_id"])
        holder = next(one for one in self.professionals if one.caller.id == offer["professional_id"])
        places = (owner.answer, owner.frame, holder.answer, holder.frame, ("table", "public.messages"))
        body = self.town.aviary.words("message", *places)
        return self._write(citizen, "messages", {"matched_services": offer["id"], "body": body})

    def notes(self) -> bool:
        citizen, offer = self._offer("accepted")
        if offer is None:
            return False
        body = self.town.aviary.words(
            "note", citizen.answer, ("table", "public.case_notes"), ("table", "public.case_note_versions")
        )
        return self._write(citizen, "case_notes", {"matched_services": offer["id"], "body": body})

    def breaks_the_glass(self) -> bool:
        owner = self.chance.choice(self.survivors)
        report = self.chance.choice(owner.reports)
        reason = self.town.aviary.words(
            "reason of an administrator",
            *(self.admin.answer, owner.answer),
            *(("table", "private.access_log_entries"), ("table", "private.audit_log")),
        )
        arguments = {"report_id": report["report_id"], "reason": f"an emergency: {reason}"}
        if not self._call(self.admin, "break_glass", **arguments):
            return False
        self.town.aviary.in_report(report, self.admin.answer)
        return True

    def waits(self) -> bool:
        self.town.pass_hours(self.chance.choice([1, 2, 5, 13]))
        return True

    def _days(self) -> dict[str, str]:
        (row,) = self.town.sql.execute(
            "select (private.clock() + interval '3 days')::date::text,"
            " (private.clock() + interval '20 days')::date::text"
        ).fetchall()
        return {"from_date": row[0], "to_date": row[1]}

    def _offer(self, status: str, who: list[Citizen] | None = None) -> tuple[Citizen, dict[str, Any] | None]:
        citizen = self.chance.choice(who or self.professionals)
        offers = citizen.caller.rows("matched_services", match_status_type=f"eq.{status}", order="offered_at,id")
        return citizen, self.chance.choice(offers) if offers else None

    def _appointment(self, who: list[Citizen]) -> tuple[Citizen, dict[str, Any] | None]:
        citizen = self.chance.choice(who)
        rows = citizen.caller.rows("appointments", status="in.(requested,confirmed)", order="created_at")
        return citizen, self.chance.choice(rows) if rows else None

    def _write(self, citizen: Citizen, relation: str, row: dict[str, Any]) -> bool:
        answer = citizen.caller.send("POST", f"/{relation}", json=row, headers={"Prefer": "return=representation"})
        assert answer.status_code < 500, answer.text
        return answer.status_code == 201

    def _call(self, citizen: Citizen, function: str, **arguments: Any) -> bool:
        answer = citizen.caller.rpc(function, **arguments)
        assert answer.status_code < 500, answer.text
        return answer.status_code == 200


@pytest.mark.timeout(240)
def test_after_a_random_run_every_canary_is_only_where_it_may_be(working_stack: Stack) -> None:
    with town_on(working_stack, seed=5) as town:
        run = Run(town)
        run.go(STEPS)
        # The database's own chance decides who is offered what: go on until something of everything has happened.
        for _ in range(MORE_ROUNDS):
            until(lambda: town.due_jobs() == 0, "the worker has done what is due")
            if run.done.keys() >= MOVES and "BEGIN:VEVENT" in town.seen()["calendar", ""]:
                break
            run.go(MORE_STEPS)
        town.say_that_it_is_over()
        until(town.all_have_heard, "everybody has heard everything")
        seen = town.seen()
        found = list(town.aviary.found(seen))
        astray = sorted({(canary.what, place) for canary, place in found if place not in canary.allowed})
        assert not astray
        # The hunt finds what is there.
        where = Counter(place[0] for _, place in found)
        assert {"table", "answer", "frame", "mail to"} <= where.keys(), where
        planted = {canary for canary, place in found if place[0] == "table"}
        assert len(planted) > len(town.aviary.canaries) / 2
        assert run.done.keys() >= MOVES, run.done
        assert seen["mail", ""].count('"subject"') > 20
        assert "BEGIN:VEVENT" in seen["calendar", ""]
