"""The part of a walk that is about time: appointments, bookings from outside, hours, and what passes by itself."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from tests.database.slot_oracle import Span
from tests.model.cells import Row
from tests.model.journal import transition
from tests.model.people import Appointment, Person, Refused
from tests.model.scheduling_rules import SERIES, Answer, span_text
from tests.model.stage import VISITOR
from tests.model.walk import CaseWalk, mostly, numbers, pick, pick_some

#: Minutes: less and more than the steps of the response clock, the life of an offer, a session, a request that is held.
JUMPS = (6, 11, 21, 43, 61, 300, 780, 1500, 3100)
#: Days: after the grace of a closed case, the retention of bookings, conversations and notices, reports, openings.
LONG_JUMPS = (31, 182, 367, 734, 1830)
PATIENCE = timedelta(days=366 * 12)

#: What somebody who books tells about themselves.
CLIENT = {"client_name": "Client", "client_email": "client@example.org", "message": "may I come"}

days = st.integers(0, 4)
halves = st.integers(0, 22)
lengths = st.sampled_from([60, 60, 30, 90, 20])
names = st.sampled_from(["talk", "advice"])


class TimeWalk(CaseWalk):
    """What is done with time."""

    # The two parties

    @precondition(lambda self: self.oracle.appointments)
    @transition(which=numbers, side=st.integers(0, 3), who=numbers)
    def cancels(self, which: int, side: int, who: int) -> None:
        appointment, caller = self._some_appointment(which, side, who)
        answer = self._actor(caller).call("cancel_appointment", appointment_id=_id(appointment), reason="not today")
        self.check(lambda: self.oracle.cancel(caller, appointment, "not today"), answer)

    @precondition(lambda self: self.oracle.appointments)
    @transition(which=numbers, who=numbers, own=mostly, held=mostly)
    def holds_a_session(self, which: int, who: int, own: bool, held: bool) -> None:
        appointment = pick(self.oracle.appointments, which)
        caller = appointment.professional if own else pick(self._everybody(), who)
        function = "complete_appointment" if held else "mark_no_show"
        answer = self._actor(caller).call(function, appointment_id=_id(appointment))
        self.check(lambda: self.oracle.end_session(caller, appointment, "completed" if held else "no_show"), answer)

    @precondition(lambda self: self.oracle.appointments)
    @transition(which=numbers, who=numbers, own=mostly)
    def confirms(self, which: int, who: int, own: bool) -> None:
        asked = [one for one in self.oracle.appointments if one.status == "requested"]
        appointment = pick(asked if which % 5 and asked else self.oracle.appointments, which)
        caller = appointment.professional if own else pick(self._everybody(), who)
        answer = self._actor(caller).call("confirm_appointment", appointment_id=_id(appointment))
        self.check(lambda: self.oracle.confirm(caller, appointment), answer)

    @precondition(lambda self: self.oracle.appointments)
    @transition(
        which=numbers,
        side=st.integers(0, 3),
        who=numbers,
        day=days,
        half=halves,
        minutes=st.sampled_from([None, 30, 90, 20]),
        fitting=mostly,
    )
    def moves_a_session(
        self, which: int, side: int, who: int, day: int, half: int, minutes: int | None, fitting: bool
    ) -> None:
        appointment, caller = self._some_appointment(which, side, who)
        starts = self.time_of(day, half)
        if fitting:
            length = minutes or appointment.minutes
            starts = self._slot(appointment.professional, appointment.survivor, length, day, half, appointment)
        answer = self._actor(caller).call(
            "reschedule_appointment",
            appointment_id=_id(appointment),
            starts_at=starts.isoformat(),
            duration_minutes=minutes,
        )
        self.check(lambda: self.oracle.reschedule(caller, appointment, starts, minutes), answer)

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @transition(
        which=numbers,
        who=numbers,
        own=mostly,
        day=days,
        half=halves,
        minutes=lengths,
        rule=st.sampled_from(list(SERIES)),
    )
    def follows_up(self, which: int, who: int, own: bool, day: int, half: int, minutes: int, rule: str | None) -> None:
        if offer := self._some_offer(which, "accepted"):
            caller = offer.owner if own else pick(self._everybody(), who)
            starts = self.time_of(day, half)
            answer = self._actor(caller).call(
                "schedule_follow_up",
                match_id=offer.row["id"],
                starts_at=starts.isoformat(),
                duration_minutes=minutes,
                rrule=rule,
            )
            self.check(lambda: self.oracle.follow_up(caller, offer, starts, minutes, rule), answer)

    # From outside

    @precondition(lambda self: self.oracle.professionals)
    @transition(
        whom=numbers,
        who=numbers,
        account=st.booleans(),
        day=days,
        half=halves,
        minutes=lengths,
        kind=names,
        fitting=mostly,
        form=st.sampled_from(["whole"] * 6 + ["no mail", "no name"]),
    )
    def books(
        self,
        whom: int,
        who: int,
        account: bool,
        day: int,
        half: int,
        minutes: int,
        kind: str,
        fitting: bool,
        form: str,
    ) -> None:
        public = [
            one for one in self.oracle.professionals if one.professional and one.professional["is_public_booking"]
        ]
        professional = pick(public if whom % 5 and public else self.oracle.professionals, whom)
        caller = pick(self._everybody(), who) if account else None
        client = dict(CLIENT)
        if form != "whole":
            del client["client_email" if form == "no mail" else "client_name"]
        asked = [
            row for owner, row in self.oracle.types if owner is professional and row["is_public"] and row["is_active"]
        ]
        if fitting and asked:
            chosen = pick(asked, half)
            kind, minutes = chosen["name"], chosen["duration_minutes"]
        starts = self._slot(professional, caller, minutes, day, half) if fitting else self.time_of(day, half)
        self._book(caller, professional, starts, minutes, kind, client)

    def _book(
        self,
        caller: Person | None,
        professional: Person,
        starts: datetime,
        minutes: int,
        kind: str,
        client: dict[str, str],
    ) -> None:
        assert professional.professional is not None
        status, body = self._caller(caller).call(
            "book_appointment",
            booking_slug=professional.professional["booking_slug"],
            starts_at=starts.isoformat(),
            duration_minutes=minutes,
            appointment_type=kind,
            client=client,
        )

        def foretell() -> Answer:
            booked = self.oracle.book(caller, professional, starts, minutes, kind, client)
            if isinstance(booked, Refused):
                return booked
            booked.token = body["manage_token"]
            return Row(appointment_id=booked.row.cell("appointment_id"), manage_token=booked.token)

        self.check(foretell, (status, body))

    @precondition(lambda self: self.oracle.bookings)
    @transition(which=numbers, who=numbers)
    def looks_at_a_booking(self, which: int, who: int) -> None:
        token, appointment = self._some_booking(which)
        answer = self._anybody(who).call("booking_by_token", token=token)
        self.check(lambda: self.oracle.view_booking(appointment()), answer)

    @precondition(lambda self: self.oracle.bookings)
    @transition(which=numbers, who=numbers)
    def cancels_a_booking(self, which: int, who: int) -> None:
        token, appointment = self._some_booking(which)
        answer = self._anybody(who).call("cancel_booking", token=token, reason="I cannot come")
        self.check(lambda: self.oracle.cancel_booking(appointment(), "I cannot come"), answer)

    @precondition(lambda self: self.oracle.bookings)
    @transition(which=numbers, who=numbers, day=days, half=halves, fitting=mostly)
    def moves_a_booking(self, which: int, who: int, day: int, half: int, fitting: bool) -> None:
        token, appointment = self._some_booking(which)
        starts = self.time_of(day, half)
        if fitting and (known := appointment()):
            starts = self._slot(known.professional, known.survivor, known.minutes, day, half, known)
        answer = self._anybody(who).call("reschedule_booking", token=token, starts_at=starts.isoformat())
        self.check(lambda: self.oracle.reschedule_booking(appointment(), starts), answer)

    books_too = books
    confirms_too = confirms

    # Hours

    @precondition(lambda self: self.oracle.professionals)
    @transition(who=numbers, weekday=st.integers(1, 7), first=st.sampled_from([420, 540, 780]), hours=st.integers(1, 6))
    def sets_hours(self, who: int, weekday: int, first: int, hours: int) -> None:
        person = pick(self.oracle.professionals, who)
        rule = (weekday, first, first + 60 * hours)
        if any(known == rule for _, known in self.oracle.hours.get(person, {}).values()):
            return
        cells = {
            "id": str(uuid.uuid4()),
            "weekday": weekday,
            "start_time": _time_of_day(rule[1]),
            "end_time": _time_of_day(rule[2]),
        }
        answer = self._actor(person).write("POST", "availability_rules", cells)

        def foretell() -> Answer:
            row = Row(**cells, professional_id=person.id, created_at=self.oracle.written())
            self.oracle.hours.setdefault(person, {})[str(cells["id"])] = (row, rule)
            return row

        self.check(foretell, answer)

    @precondition(lambda self: any(self.oracle.hours.values()))
    @transition(which=numbers)
    def drops_hours(self, which: int) -> None:
        person = pick([person for person, rules in self.oracle.hours.items() if rules], which)
        row_id = pick(list(self.oracle.hours[person]), which)
        answer = self._actor(person).write("DELETE", f"availability_rules?id=eq.{row_id}")
        self.check(lambda: self.oracle.hours[person].pop(row_id)[0], answer)

    @precondition(lambda self: self.oracle.professionals)
    @transition(who=numbers, kind=st.sampled_from(["blocked", "open"]), day=days, half=halves, hours=st.integers(1, 8))
    def makes_an_exception(self, who: int, kind: str, day: int, half: int, hours: int) -> None:
        person = pick(self.oracle.professionals, who)
        starts = self.time_of(day, half)
        span = Span(starts, starts + timedelta(hours=hours))
        cells = {"id": str(uuid.uuid4()), "during": span_text(span), "kind": kind, "reason": "my own"}
        answer = self._actor(person).write("POST", "availability_exceptions", cells)

        def foretell() -> Answer:
            row = Row(**cells, professional_id=person.id, created_at=self.oracle.written())
            self.oracle.exceptions.setdefault(person, []).append((row, kind, span))
            return row

        self.check(foretell, answer)

    @precondition(lambda self: self.oracle.professionals)
    @transition(
        who=numbers,
        buffer=st.sampled_from([0, 15, 30]),
        limit=st.sampled_from([None, 1, 2]),
        notice=st.sampled_from([0, 60, 1500]),
        horizon=st.sampled_from([1, 3, 90]),
        hold=st.sampled_from([1, 48]),
        crisis=st.booleans(),
    )
    def prefers(
        self, who: int, buffer: int, limit: int | None, notice: int, horizon: int, hold: int, crisis: bool
    ) -> None:
        person = pick(self.oracle.professionals, who)
        cells: dict[str, Any] = {
            "slot_interval_minutes": 30,
            "min_notice_minutes": notice,
            "horizon_days": horizon,
            "buffer_before_minutes": buffer,
            "buffer_after_minutes": 0,
            "daily_limit": limit,
            "crisis_24_7": crisis,
            "request_hold_hours": hold,
        }
        own = cells | {"professional_id": person.id}
        answer = self._actor(person).write("POST", "scheduling_preferences", own, "resolution=merge-duplicates")

        def foretell() -> Answer:
            if person in self.oracle.preferences:
                self.oracle.preferences[person].set(**cells)
            else:
                self.oracle.preferences[person] = Row(**own, created_at=self.oracle.written())
            return self.oracle.preferences[person]

        self.check(foretell, answer)

    @precondition(lambda self: self.oracle.professionals)
    @transition(who=numbers, name=names, minutes=st.sampled_from([30, 60]), public=mostly, active=mostly)
    def offers_a_kind_of_session(self, who: int, name: str, minutes: int, public: bool, active: bool) -> None:
        person = pick(self.oracle.professionals, who)
        cells = {"name": name, "duration_minutes": minutes, "is_public": public, "is_active": active}
        known = next((row for owner, row in self.oracle.types if owner is person and row["name"] == name), None)
        if known:
            answer = self._actor(person).write("PATCH", f"appointment_types?id=eq.{known['id']}", cells)
        else:
            cells["id"] = str(uuid.uuid4())
            answer = self._actor(person).write("POST", "appointment_types", cells)

        def foretell() -> Answer:
            if known:
                known.set(**cells)
                return known
            row = Row(**cells, professional_id=person.id, created_at=self.oracle.written())
            self.oracle.types.append((person, row))
            return row

        self.check(foretell, answer)

    @precondition(lambda self: self.oracle.types)
    @transition(which=numbers)
    def offers_it_no_more(self, which: int) -> None:
        person, row = pair = pick(self.oracle.types, which)
        answer = self._actor(person).write("DELETE", f"appointment_types?id=eq.{row['id']}")

        def foretell() -> Answer:
            self.oracle.types.remove(pair)
            return row

        self.check(foretell, answer)

    # What passes by itself

    @transition(minutes=st.sampled_from(JUMPS), timers=mostly)
    def time_passes(self, minutes: int, timers: bool) -> None:
        self._pass(timedelta(minutes=minutes), timers=timers)

    @precondition(lambda self: self.oracle.appointments and self.oracle.passed < PATIENCE)
    @transition(length=st.sampled_from(LONG_JUMPS), really=st.sampled_from([False, False, True]))
    def years_pass(self, length: int, really: bool) -> None:
        if really:
            self._pass(timedelta(days=length), timers=True)

    time_passes_too = time_passes
    time_passes_more = time_passes

    def _pass(self, passed: timedelta, *, timers: bool) -> None:
        self.oracle.passed += passed
        self.stage.move_time(self.oracle.passed)
        if timers:
            status, body = self.stage.service.call("run_due_timers")
            assert status == 200, body
        seen = self._look()
        if timers:
            self.oracle.run_timers()
        self.compare(seen)

    # Who and what

    def _some_appointment(self, which: int, side: int, who: int) -> tuple[Appointment, Person]:
        """One of them, mostly live, and one of its sides or anybody."""
        live = [one for one in self.oracle.appointments if one.is_live]
        appointment = pick(live if which % 5 and live else self.oracle.appointments, which)
        sides = appointment.parties
        return appointment, pick([*sides, *sides, sides[-1], pick(self._everybody(), who)], side)

    def _slot(
        self,
        professional: Person,
        survivor: Person | None,
        minutes: int,
        day: int,
        half: int,
        moved: Appointment | None = None,
    ) -> datetime:
        """A free time on that day or soon after it, if there is one."""
        wanted = self.time_of(day, half)
        for later in range(4):
            date = (wanted + timedelta(days=later)).date()
            if free := self.oracle.free_times(professional, survivor, date, max(minutes, 30), moved):
                return pick(free, half)
        return wanted

    def _some_booking(self, which: int) -> tuple[str, Any]:
        """A manage token, and what finds its booking when the answer is foretold."""
        token = pick(["nobody's", *self.oracle.bookings], which)
        return token, lambda: self.oracle.bookings.get(token)

    def _anybody(self, who: int) -> Any:
        return self._caller(pick_some([None, *self._everybody()], who))

    def _caller(self, person: Person | None) -> Any:
        return self.stage.actors[person.name if person else VISITOR]


def _id(appointment: Appointment) -> Any:
    return appointment.row["appointment_id"]


def _time_of_day(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}:00"
