"""Appointments: who may make, move, confirm and end them, and when there is time for one.

Free times come from the oracle of slots (`tests.database.slot_oracle`), which walks over minutes and shares nothing
with the SQL.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from typing import Any

from tests.database.slot_oracle import Preferences, Question, Session, Span, free_slots
from tests.model.cells import Row, Unknown, moment
from tests.model.matching import Matching
from tests.model.people import NOT_FOUND, Appointment, Offer, Person, Refused, refused

Answer = Row | list[Row] | Refused | dict[str, Any] | int | None
#: How long a request is held when its professional has not said otherwise.
HOLD_HOURS = 48
#: So long before a session its parties are reminded.
REMINDERS = (timedelta(days=1), timedelta(hours=1))
#: Rule → days between the first and each further session.
SERIES = {
    None: [0],
    "FREQ=WEEKLY;COUNT=3": [0, 7, 14],
    "RRULE:FREQ=DAILY;INTERVAL=2;COUNT=2": [0, 2],
    "FREQ=HOURLY;COUNT=2": None,
    "FREQ=DAILY": None,
    "FREQ=DAILY;COUNT=53": None,
}


class SchedulingRules(Matching):
    """The rules of time."""

    # What there is

    def add_appointment(
        self,
        professional: Person,
        survivor: Person | None,
        offer: Offer | None,
        starts: datetime,
        minutes: int,
        kind: str,
        status: str,
        source: str,
        series: Unknown | None = None,
    ) -> Appointment:
        """An appointment is made; both sides are told."""
        row = Row(
            appointment_id=Unknown(),
            professional_id=professional.id,
            survivor_id=survivor.id if survivor else None,
            matched_services=offer.row.cell("id") if offer else None,
            appointment_date=moment(starts),
            duration_minutes=minutes,
            appointment_type=kind,
            status=status,
            created_via=source,
            meeting_url=None,
            location=None,
            cancel_reason=None,
            cancelled_by=None,
            sequence=0,
            series_id=series,
            time_zone="UTC",
            held_until=None,
            created_at=self.written(),
            updated_at=self.moment(),
        )
        appointment = Appointment(row, professional, survivor, offer, starts, minutes, self.now)
        self.appointments.append(appointment)
        self._hold(appointment)
        self.notify_parties(appointment, f"appointment_{status}")
        return appointment

    def _hold(self, appointment: Appointment) -> None:
        appointment.held_until = None
        if appointment.status == "requested":
            hours = self.preferences.get(appointment.professional, Row(request_hold_hours=HOLD_HOURS))[
                "request_hold_hours"
            ]
            appointment.held_until = min(self.now + timedelta(hours=hours), appointment.starts)
        appointment.row.set(held_until=appointment.held_until and moment(appointment.held_until))

    def expire_requests(self) -> None:
        """Requests that nobody confirmed give their time back."""
        for appointment in self.appointments:
            if appointment.held_until is not None and appointment.held_until <= self.now:
                self.cancel_appointment(appointment, None, None)

    def send_reminders(self) -> None:
        """Whose reminder has come due since the last look is reminded, while it is of use."""
        before, self.reminded = self.reminded, self.now
        for lead in REMINDERS:
            for appointment in self.appointments:
                due = appointment.starts - lead
                if (
                    before is not None
                    and before < due <= self.now
                    and appointment.status == "confirmed"
                    and appointment.made < due
                    and appointment.starts - lead / 2 >= self.now
                ):
                    self.notify_parties(appointment, "appointment_reminder")

    # When there is time

    def judge_slot(
        self,
        professional: Person,
        survivor: Person | None,
        starts: datetime,
        minutes: int,
        moved: Appointment | None = None,
    ) -> str | None:
        """Why a session cannot begin then: slot_taken, outside_availability; None: it can."""
        day = starts.date()
        if starts in self.free_times(professional, survivor, day, minutes, moved):
            return None
        alone = self.free_times(professional, survivor, day, minutes, moved, despite_others=True)
        return "slot_taken" if starts in alone else "outside_availability"

    def free_times(
        self,
        professional: Person,
        survivor: Person | None,
        day: date,
        minutes: int,
        moved: Appointment | None = None,
        *,
        despite_others: bool = False,
    ) -> list[datetime]:
        """When sessions can begin on a day; `despite_others` as if nobody else met anybody."""
        wishes = self.preferences.get(professional)
        crisis = wishes is not None and wishes["crisis_24_7"]
        mine = [one for one in self.appointments if one.professional is professional and one is not moved]
        others = [one for one in self.appointments if survivor and one.survivor is survivor and one is not moved]
        question = Question(
            now=self.now,
            zone="UTC",
            first_day=day,
            last_day=day,
            minutes=minutes,
            rules=tuple(rule for _, rule in self.hours.get(professional, {}).values()),
            preferences=wishes and _preferences(wishes),
            opened=tuple(span for _, kind, span in self.exceptions.get(professional, []) if kind == "open"),
            blocked=tuple(span for _, kind, span in self.exceptions.get(professional, []) if kind == "blocked"),
            sessions=tuple(_session(one, counts_only=despite_others) for one in mine),
            elsewhere=() if despite_others else tuple(_session(one) for one in others),
            out_of_office_until=professional.away_until,
            at_any_hour=crisis and moved is not None and self._is_urgent(professional, survivor),
        )
        return free_slots(question)

    def _is_urgent(self, professional: Person, survivor: Person | None) -> bool:
        return any(
            offer.owner is professional
            and offer.report.owner is survivor
            and offer.status == "accepted"
            and offer.row["urgency"] == "high"
            for offer in self.offers
        )

    def _broken(self, starts: datetime, minutes: int) -> set[str]:
        broken = set()
        if starts <= self.now:
            broken.add("in_the_past")
        if not 30 <= minutes <= 120:
            broken.add("invalid_duration")
        return broken

    # The two parties

    def cancel(self, caller: Person, appointment: Appointment, reason: str | None) -> Answer:
        """Either party calls it off."""
        if caller not in appointment.parties:
            return Refused(NOT_FOUND)
        if appointment.status == "cancelled":
            return appointment.row
        if not appointment.is_live:
            return refused("invalid_transition")
        self.cancel_appointment(appointment, caller, reason)
        return appointment.row

    def end_session(self, caller: Person, appointment: Appointment, status: str) -> Answer:
        """The professional says that it was held (completed), or that nobody came (no_show)."""
        if caller is not appointment.professional:
            return Refused(NOT_FOUND)
        if appointment.status == status:
            return appointment.row
        if appointment.status != "confirmed":
            return refused("invalid_transition")
        appointment.row.set(status=status, updated_at=self.moment())
        return appointment.row

    def confirm(self, caller: Person, appointment: Appointment) -> Answer:
        """The professional agrees to a request."""
        if caller is not appointment.professional:
            return Refused(NOT_FOUND)
        if appointment.status == "confirmed":
            return appointment.row
        if appointment.status != "requested":
            return refused("invalid_transition")
        self._change(appointment, "confirmed", "appointment_confirmed")
        return appointment.row

    def reschedule(self, caller: Person, appointment: Appointment, starts: datetime, minutes: int | None) -> Answer:
        """Either party moves it: the professional to any time, the survivor to a free slot."""
        if caller not in appointment.parties:
            return Refused(NOT_FOUND)
        length = appointment.minutes if minutes is None else minutes
        broken = self._broken(starts, length)
        if not appointment.is_live:
            broken.add("invalid_transition")
        if broken:
            return refused(*broken)
        if (starts, length) == (appointment.starts, appointment.minutes):
            return appointment.row
        if caller is appointment.professional:
            ends = starts + timedelta(minutes=length)
            if not self.is_free(caller, appointment.survivor, starts, ends, lambda one: one is appointment):
                return refused("slot_taken")
            self._move(appointment, starts, length, appointment.status)
            return appointment.row
        return self._ask_to_move(appointment, starts, length) or appointment.row

    def _ask_to_move(self, appointment: Appointment, starts: datetime, minutes: int) -> Refused | None:
        if appointment.starts <= self.now:
            return refused("invalid_transition")
        if why := self.judge_slot(appointment.professional, appointment.survivor, starts, minutes, appointment):
            return refused(why)
        self._move(appointment, starts, minutes, "requested")
        return None

    def _move(self, appointment: Appointment, starts: datetime, minutes: int, status: str) -> None:
        appointment.starts, appointment.minutes = starts, minutes
        appointment.row.set(appointment_date=moment(starts), duration_minutes=minutes)
        self._change(appointment, status, "appointment_changed")

    def _change(self, appointment: Appointment, status: str, kind: str) -> None:
        appointment.row.set(status=status, sequence=appointment.row["sequence"] + 1, updated_at=self.moment())
        self._hold(appointment)
        self.notify_parties(appointment, kind)

    def follow_up(self, caller: Person, offer: Offer, starts: datetime, minutes: int, rule: str | None) -> Answer:
        """The professional of a case makes one more session, or a series: all or none."""
        if offer.owner is not caller:
            return Refused(NOT_FOUND)
        broken = self._broken(starts, minutes)
        days = SERIES[rule]
        if days is None:
            broken.add("invalid_input")
        if offer.report.status == "withdrawn":
            broken.add("report_withdrawn")
        if offer.status != "accepted":
            broken.add("case_not_open")
        if not caller.is_verified:
            broken.add("not_verified")
        if broken or days is None:
            return refused(*broken)
        times = [starts + timedelta(days=day) for day in days]
        known: dict[Any, list[Appointment]] = {}
        for one in self.appointments:
            is_like = one.offer is offer and one.is_live and one.row["created_via"] == "follow_up"
            if is_like and one.starts in times and one.minutes == minutes:
                known.setdefault(one.row.cell("series_id"), []).append(one)
        repeated = [one for group in known.values() if len(group) == len(times) for one in group]
        if repeated:
            return [one.row for one in sorted(repeated, key=lambda one: one.starts)]
        if not all(self.is_free(caller, offer.report.owner, at, at + timedelta(minutes=minutes)) for at in times):
            return refused("slot_taken")
        series = Unknown() if rule else None
        made = [
            self.add_appointment(
                caller, offer.report.owner, offer, at, minutes, "follow_up", "confirmed", "follow_up", series
            )
            for at in times
        ]
        return [one.row for one in made]

    # Visitors

    def book(
        self,
        caller: Person | None,
        professional: Person,
        starts: datetime,
        minutes: int,
        kind: str,
        client: dict[str, str],
    ) -> Refused | Appointment:
        """Somebody asks for a free slot of a professional who takes public bookings."""
        card = professional.professional
        assert card is not None
        survivor = caller if caller and caller.profile["user_type"] == "survivor" else None
        broken = self._broken(starts, minutes)
        if not client.get("client_name") or not (client.get("client_email") or survivor):
            broken.add("invalid_input")
        if not (professional.is_verified and card["is_public_booking"]):
            broken.add("not_found")
        offered = [row for owner, row in self.types if owner is professional and row["is_public"] and row["is_active"]]
        if offered and not any((row["name"], row["duration_minutes"]) == (kind, minutes) for row in offered):
            broken.add("invalid_input")
        if broken:
            return refused(*broken)
        if why := self.judge_slot(professional, survivor, starts, minutes):
            return refused(why)
        appointment = self.add_appointment(
            professional, survivor, None, starts, minutes, kind, "requested", "public_booking"
        )
        appointment.client = Row(
            appointment_id=appointment.row.cell("appointment_id"),
            client_name=client["client_name"],
            client_email=client.get("client_email"),
            client_phone=None,
            emergency_contact_name=None,
            emergency_contact_phone=None,
            message=client.get("message"),
            locale="en",
            time_zone="UTC",
            created_at=self.moment(),
        )
        return appointment

    def view_booking(self, appointment: Appointment | None) -> Answer:
        """Whoever has the token sees the time and the state."""
        if appointment is None:
            return Refused(NOT_FOUND)
        row, card = appointment.row, appointment.professional.professional
        assert card is not None
        return Row(
            professional_title=card["professional_title"],
            starts_at=row.cell("appointment_date"),
            ends_at=moment(appointment.ends),
            revised_at=row.cell("updated_at"),
            calendar_links=Unknown(lambda links: isinstance(links, dict)),
            **{name: row.cell(name) for name in ("appointment_id", "professional_id", "duration_minutes", "status")},
            **{
                name: row.cell(name)
                for name in ("appointment_type", "held_until", "sequence", "time_zone", "created_at")
            },
            **{name: row.cell(name) for name in ("meeting_url", "location")},
        )

    def cancel_booking(self, appointment: Appointment | None, reason: str) -> Answer:
        """Whoever has the token calls it off."""
        if appointment is None:
            return Refused(NOT_FOUND)
        if appointment.status != "cancelled":
            if not appointment.is_live:
                return refused("invalid_transition")
            self.cancel_appointment(appointment, appointment.survivor, reason)
        return self.view_booking(appointment)

    def reschedule_booking(self, appointment: Appointment | None, starts: datetime) -> Answer:
        """Whoever has the token moves it to a free slot, and asks anew."""
        if appointment is None:
            return Refused(NOT_FOUND)
        broken = self._broken(starts, appointment.minutes)
        if not appointment.is_live or appointment.starts <= self.now:
            broken.add("invalid_transition")
        if broken:
            return refused(*broken)
        if starts != appointment.starts and (why := self._ask_to_move(appointment, starts, appointment.minutes)):
            return why
        return self.view_booking(appointment)


def _session(one: Appointment, *, counts_only: bool = False) -> Session:
    # What is not live is in nobody's way, and still counts for the day.
    status = "completed" if counts_only and one.is_live else one.status
    return Session(uuid.UUID(int=0), one.starts, one.minutes, status)


def _preferences(row: Row) -> Preferences:
    names = ("slot_interval_minutes", "min_notice_minutes", "horizon_days", "buffer_before_minutes")
    return Preferences(
        **{name: row[name] for name in (*names, "buffer_after_minutes", "daily_limit")},
    )


def span_text(span: Span) -> str:
    """A range of times as the API writes it."""
    return f'["{span.start:%Y-%m-%d %H:%M:%S}+00","{span.end:%Y-%m-%d %H:%M:%S}+00")'
