"""The oracle's world: who and what there is, and the time.

Written from the contract (matching in words, the response clock, tables and functions), not from the SQL. Time is the
start of the walk plus what has passed in it by request; the seconds that a walk really takes are less than any rule.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.database.slot_oracle import Span
from tests.model.cells import Row, Unknown, between, moment
from tests.model.people import (
    Appointment,
    Consent,
    HandOver,
    Notice,
    Offer,
    Opening,
    Person,
    Report,
    Service,
)

#: Relation → its rows, by actor: what was seen after a step.
Views = dict[str, dict[str, list[dict[str, Any]]]]

#: Rows that the server dates by its own clock and not by that of the rules lie between the two.
_FAR = timedelta(days=366 * 40)


class World:
    """State, and the rows that everything that happens leaves behind."""

    def __init__(self, start: datetime, real: datetime) -> None:
        self.start = start
        self._real = real
        self.passed = timedelta()
        self.people: dict[str, Person] = {}
        self.services: list[Service] = []
        self.reports: list[Report] = []
        self.appointments: list[Appointment] = []
        #: (survivor, professional) → row.
        self.blocks: dict[tuple[Person, Person], Row] = {}
        self.notifications: dict[Person, list[Notice]] = {}
        #: Survivor → entries.
        self.access_log: dict[Person, list[Opening]] = {}
        self.hand_overs: list[HandOver] = []
        #: Survivor → what they consented to.
        self.consents: list[Consent] = []
        self.consent_texts = [
            Row(
                purpose=purpose,
                version="2026-11",
                body=Unknown(lambda body: isinstance(body, str) and len(body) > 40),
                introduced_at="2026-11-01T00:00:00+00:00",
                created_at=Unknown(),
            )
            for purpose in ("share_report", "share_location", "hand_over")
        ]
        #: (professional, row): what was decided about them.
        self.decisions: list[tuple[Person, Row]] = []
        self.messages: list[tuple[Offer, Row]] = []
        self.notes: list[tuple[Offer, Row]] = []
        #: (offer, row): what a note said before.
        self.note_versions: list[tuple[Offer, Row]] = []
        #: (reader, offer) → when they were last told that a message waits.
        self.told_of_messages: dict[tuple[Person, Offer], datetime] = {}
        #: Professional → id → (row, (weekday, first and last minute of the day)).
        self.hours: dict[Person, dict[str, tuple[Row, tuple[int, int, int]]]] = {}
        #: Professional → (row, kind, span).
        self.exceptions: dict[Person, list[tuple[Row, str, Span]]] = {}
        self.preferences: dict[Person, Row] = {}
        #: (professional, row): the kinds of session that they offer, and the papers that they presented.
        self.types: list[tuple[Person, Row]] = []
        self.documents: list[tuple[Person, Row]] = []
        #: When it was last looked for reminders that have come due.
        self.reminded: datetime | None = None
        #: When it was last looked for what is kept too long.
        self.purged: datetime | None = None
        #: What was seen after the step that is being foretold: consulted only for what is left open.
        self.seen: Views = {}

    @property
    def now(self) -> datetime:
        """The database's clock, as far as rules go."""
        return self.start + self.passed

    def moment(self) -> Unknown:
        """A timestamp that is written now."""
        return moment(self.now)

    def written(self) -> Unknown:
        """A timestamp of writing, of which the contract does not say by which clock it goes."""
        return between(min(self.start, self._real), max(self.start, self._real) + _FAR)

    def new_case_code(self) -> Unknown:
        """A code that the server chooses."""
        return Unknown(lambda code: isinstance(code, str) and len(code) == 12)

    @property
    def offers(self) -> list[Offer]:
        """All offers, oldest first."""
        return [offer for report in self.reports for offer in report.offers]

    @property
    def bookings(self) -> dict[str, Appointment]:
        """Manage token → the booking that it opens."""
        return {one.token: one for one in self.appointments if one.token}

    @property
    def professionals(self) -> list[Person]:
        """Who has a card."""
        return [person for person in self.people.values() if person.professional is not None]

    # People

    def sign_up(self, name: str, user_id: str, user_type: str) -> Person:
        """Somebody makes an account: a profile, and for a professional a card that is not verified."""
        profile = Row(
            id=user_id,
            user_type=user_type,
            display_name=name,
            phone=None,
            locale="en",
            time_zone="UTC",
            created_at=self.written(),
        )
        card = Row(
            id=user_id,
            professional_title=None,
            bio=None,
            avatar_url=None,
            gender="prefer_not_to_say",
            languages=[],
            verification_status="pending",
            is_public_booking=False,
            booking_slug=f"sauti-{user_id}",
            time_zone="UTC",
            out_of_office_until=None,
            created_at=self.written(),
        )
        person = Person(name, user_id, profile, card if user_type == "professional" else None)
        self.people[name] = person
        self.notifications[person] = []
        self.access_log[person] = []
        return person

    def add_service(self, owner: Person, cells: dict[str, Any], distance: float | None) -> Service:
        """A professional describes a service; it is not verified."""
        row = Row(
            **{
                "professional_id": owner.id,
                "incident_types": [],
                "description": None,
                "coverage_radius_km": 50,
                "is_remote": False,
                "languages": [],
                "specialisations": [],
                "max_active_cases": 5,
                "crisis_24_7": False,
                "is_active": True,
                "verification_status": "pending",
                "created_at": self.written(),
            }
            | cells
        )
        service = Service(row, owner, distance)
        self.services.append(service)
        return service

    # What happened

    def notify(
        self,
        reader: Person | None,
        kind: str,
        *,
        offer: Offer | None = None,
        appointment: Appointment | None = None,
        report: Report | None = None,
    ) -> None:
        """Tell somebody who has an account."""
        if reader is None or reader not in self.notifications:
            return
        row = Row(
            id=Unknown(),
            user_id=reader.id,
            kind=kind,
            matched_services=offer and offer.row.cell("id"),
            appointment_id=appointment and appointment.row.cell("appointment_id"),
            report_id=report and report.row.cell("report_id"),
            read_at=None,
            created_at=self.moment(),
        )
        self.notifications[reader].append(Notice(row, self.now, kind, offer, appointment, report))

    def notify_parties(self, appointment: Appointment, kind: str) -> None:
        """Tell both sides of an appointment."""
        for party in appointment.parties:
            self.notify(party, kind, offer=appointment.offer, appointment=appointment)

    def log_access(
        self,
        report: Report,
        actor: Person,
        role: str,
        door: str,
        *,
        offer: Offer | None = None,
        reason: str | None = None,
    ) -> None:
        """Somebody opened a report."""
        row = Row(
            id=Unknown(),
            report_id=report.row.cell("report_id"),
            match_id=offer and offer.row.cell("id"),
            actor_id=actor.id,
            actor_role=role,
            door=door,
            reason=reason,
            opened_at=self.moment(),
        )
        self.access_log[report.owner].append(Opening(row, self.now, report, offer, actor))

    def consent(self, report: Report, purpose: str) -> None:
        """The survivor consents, in the present words; a consent that holds is not written twice."""
        if not any(
            c.report is report and c.purpose == purpose and not c.row.cell("withdrawn_at") for c in self.consents
        ):
            row = Row(
                id=Unknown(),
                user_id=report.owner.id,
                report_id=report.row.cell("report_id"),
                purpose=purpose,
                text_version="2026-11",
                given_at=self.moment(),
                withdrawn_at=None,
                created_at=self.written(),
            )
            self.consents.append(Consent(row, report, purpose))

    def end_consents(self, report: Report, *purposes: str) -> None:
        """These purposes, or all, of this report are not consented to any more."""
        for consent in self.consents:
            if consent.report is report and consent.withdrawn is None and (not purposes or consent.purpose in purposes):
                consent.withdrawn = self.now
                consent.row.set(withdrawn_at=self.moment())

    def set_offer(self, offer: Offer, status: str, **cells: Any) -> None:
        """An offer changes its state; one that ends takes along the hand-over that hangs on it."""
        before = offer.status
        if "closed_at" in cells:
            offer.closed = self.now
        offer.row.set(match_status_type=status, **cells)
        if status == before or before not in ("pending", "accepted") or status == "accepted":
            return
        for hand_over in self.hand_overs:
            if hand_over.is_open and offer in (hand_over.offer, hand_over.offered):
                hand_over.row.set(status="lapsed", finished_at=self.moment())
                if hand_over.offered and hand_over.offered.status == "pending":
                    self.set_offer(hand_over.offered, "withdrawn", closed_at=self.moment())
                self.end_consents(offer.report, "hand_over")
                for party in (hand_over.offer.owner, offer.report.owner):
                    self.notify(party, "hand_over_answered", offer=hand_over.offer)

    def cancel_appointment(self, appointment: Appointment, caller: Person | None, reason: str | None) -> None:
        """A live appointment takes place no more."""
        appointment.held_until = None
        appointment.row.set(
            status="cancelled",
            cancel_reason=reason,
            cancelled_by=caller.id if caller else None,
            held_until=None,
            sequence=appointment.row["sequence"] + 1,
            updated_at=self.moment(),
        )
        self.notify_parties(appointment, "appointment_cancelled")

    # What is true

    def is_blocked(self, one: Person, other: Person) -> bool:
        """Whether either has blocked the other."""
        return (one, other) in self.blocks or (other, one) in self.blocks

    def open_cases(self, service: Service) -> int:
        """Accepted, and not yet marked complete by the professional."""
        return sum(
            1
            for offer in self.offers
            if offer.service is service
            and offer.status == "accepted"
            and not offer.row.cell("professional_completed_at")
        )

    def is_free(
        self,
        professional: Person,
        survivor: Person | None,
        starts: datetime,
        ends: datetime,
        besides: Callable[[Appointment], bool] = lambda appointment: False,
    ) -> bool:
        """Whether neither meets anybody in that time, as far as it is not in an appointment left out of account."""
        return not any(
            appointment.is_live
            and appointment.starts < ends
            and starts < appointment.ends
            # One side only: a professional who meets as a survivor is two calendars.
            and (appointment.professional is professional or (survivor and appointment.survivor is survivor))
            and not besides(appointment)
            for appointment in self.appointments
        )
