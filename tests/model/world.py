"""The oracle's world: who and what there is, and the time.

Written from the contract (matching in words, the response clock, tables and functions), not from the SQL. Time is the
start of the walk plus what has passed in it by request; the seconds that a walk really takes are less than any rule.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.model.cells import Row, Unknown, between, moment
from tests.model.people import Appointment, Consent, Offer, Person, Report, Service

#: Relation → its rows, by actor: what was seen after a step.
Views = dict[str, dict[str, list[dict[str, Any]]]]

_FAR = timedelta(days=400)


class World:
    """State, and the rows that everything that happens leaves behind."""

    def __init__(self, start: datetime) -> None:
        self.start = start
        self.passed = timedelta()
        self.people: dict[str, Person] = {}
        self.services: list[Service] = []
        self.reports: list[Report] = []
        self.appointments: list[Appointment] = []
        #: (survivor, professional) → row.
        self.blocks: dict[tuple[Person, Person], Row] = {}
        #: Reader → rows.
        self.notifications: dict[Person, list[Row]] = {}
        #: Survivor → rows.
        self.access_log: dict[Person, list[Row]] = {}
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
        return between(self.start, self.start + _FAR)

    @property
    def offers(self) -> list[Offer]:
        """All offers, oldest first."""
        return [offer for report in self.reports for offer in report.offers]

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

    def notify(self, reader: Person | None, kind: str, **about: Any) -> None:
        """Tell somebody; `about` holds ids or the cells that stand for them."""
        if reader is None:
            return
        self.notifications[reader].append(
            Row(
                **{
                    "id": Unknown(),
                    "user_id": reader.id,
                    "kind": kind,
                    "matched_services": None,
                    "appointment_id": None,
                    "report_id": None,
                    "read_at": None,
                    "created_at": self.moment(),
                }
                | about
            )
        )

    def notify_parties(self, appointment: Appointment, kind: str) -> None:
        """Tell both sides of an appointment."""
        for party in appointment.parties:
            self.notify(
                party,
                kind,
                matched_services=appointment.offer.row.cell("id"),
                appointment_id=appointment.row.cell("appointment_id"),
            )

    def log_access(self, report: Report, **cells: Any) -> None:
        """Somebody opened a report."""
        self.access_log[report.owner].append(
            Row(
                **{
                    "id": Unknown(),
                    "report_id": report.row.cell("report_id"),
                    "match_id": None,
                    "reason": None,
                    "opened_at": self.moment(),
                }
                | cells
            )
        )

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

    def end_consents(self, report: Report) -> None:
        """Nothing of this report is consented to any more."""
        for consent in self.consents:
            if consent.report is report and not consent.row.cell("withdrawn_at"):
                consent.row.set(withdrawn_at=self.moment())

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

    def is_free(self, parties: list[Person], starts: datetime, ends: datetime) -> bool:
        """Whether none of them meets anybody in that time."""
        return not any(
            appointment.is_live
            and appointment.starts < ends
            and starts < appointment.ends
            # One side only: a professional who meets as a survivor is two calendars.
            and (appointment.parties[0] is parties[0] or appointment.parties[1] is parties[1])
            for appointment in self.appointments
        )
