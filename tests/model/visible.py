"""Who sees which cells: the contract's tables, in words, for each actor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from tests.model.cells import Row, Unknown
from tests.model.oracle import Oracle
from tests.model.people import Escalation, Offer, Person, Report

#: Relation → (its key, what a signed-in person sees of it).
SEEN: dict[str, tuple[tuple[str, ...], Callable[[Oracle, Person], Iterable[Row]]]] = {}
#: Relations that nothing in a walk writes to: everybody sees nothing in them.
EMPTY = {
    "cal_com_conflicts",
    "cal_com_connections",
    "calendar_busy",
    "calendar_connections",
    "calendar_events",
    "google_calendar_events",
}
#: What a visitor without an account may ask for at all.
PUBLIC = {"appointment_types", "consent_texts", "professionals"}
_HELD = ("accepted", "completed")


def _relation(name: str, *key: str) -> Callable[[Callable[[Oracle, Person], Iterable[Row]]], None]:
    def register(rows: Callable[[Oracle, Person], Iterable[Row]]) -> None:
        SEEN[name] = (key, rows)

    return register


def visible(oracle: Oracle, person: Person | None, relation: str) -> tuple[tuple[str, ...], list[Row]]:
    """Key and rows of what `person` (None: somebody without an account) sees of a relation.

    Raises:
        KeyError: the oracle does not know the relation.
    """
    if relation in EMPTY:
        return (), []
    key, rows = SEEN[relation]
    if person is None:
        return key, list(_PUBLIC_ROWS[relation](oracle)) if relation in PUBLIC else []
    return key, list(rows(oracle, person))


def _bookable_cards(oracle: Oracle) -> list[Row]:
    return [p.professional for p in oracle.professionals if _is_bookable(p) and p.professional]


def _bookable_types(oracle: Oracle) -> list[Row]:
    return [row for owner, row in oracle.types if _is_bookable(owner) and row["is_public"] and row["is_active"]]


_PUBLIC_ROWS: dict[str, Callable[[Oracle], list[Row]]] = {
    "appointment_types": _bookable_types,
    "consent_texts": lambda oracle: oracle.consent_texts,
    "professionals": _bookable_cards,
}


def _is_bookable(person: Person) -> bool:
    return person.is_verified and bool(person.professional and person.professional["is_public_booking"])


def _helpers(oracle: Oracle, person: Person) -> list[Any]:
    """Accepted and completed offers of the person's own reports."""
    return [offer for offer in oracle.offers if offer.report.owner is person and offer.status in _HELD]


@_relation("profiles", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """The own row only."""
    return [person.profile]


@_relation("professionals", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """The own card, those who take public bookings, and who accepted a case of mine."""
    mine = {offer.owner for offer in _helpers(oracle, person)}
    return [
        p.professional
        for p in oracle.professionals
        if p.professional and (p is person or _is_bookable(p) or p in mine or person.is_admin)
    ]


@_relation("support_services", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Own ones, and the one that took a case of mine."""
    mine = {offer.service for offer in _helpers(oracle, person)}
    return [s.row for s in oracle.services if s.owner is person or s in mine or person.is_admin]


@_relation("reports", "report_id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Only the survivor."""
    return [report.row for report in oracle.reports if report.owner is person]


@_relation("matched_services", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """A professional own offers; a survivor accepted and completed ones."""
    return [
        offer.row
        for offer in oracle.offers
        if offer.owner is person or (offer.report.owner is person and offer.status in _HELD)
    ]


@_relation("appointments", "appointment_id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """The two parties."""
    return [appointment.row for appointment in oracle.appointments if person in appointment.parties]


@_relation("notifications", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Own rows."""
    return [notice.row for notice in oracle.notifications[person]]


@_relation("blocked_professionals", "survivor_id", "professional_id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """The survivor's own; who is blocked never learns of it."""
    return [row for (survivor, _), row in oracle.blocks.items() if survivor is person]


@_relation("access_log", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Who opened my reports."""
    return [entry.row for entry in oracle.access_log[person]]


@_relation("appointment_clients", "appointment_id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """The professional only."""
    return [one.client for one in oracle.appointments if one.client and one.professional is person]


@_relation("appointment_types", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Own ones, and what visitors may book."""
    own = [row for owner, row in oracle.types if owner is person]
    return own + [row for row in _bookable_types(oracle) if row not in own]


@_relation("availability_rules", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Own ones."""
    return [row for row, _ in oracle.hours.get(person, {}).values()]


@_relation("availability_exceptions", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Own ones."""
    return [row for row, _, _ in oracle.exceptions.get(person, [])]


@_relation("scheduling_preferences", "professional_id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Own row."""
    return [oracle.preferences[person]] if person in oracle.preferences else []


@_relation("verification_documents", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Own ones; administrators all."""
    return [row for owner, row in oracle.documents if owner is person or person.is_admin]


@_relation("hand_overs", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Who asks, and whose consent it needs; the colleague knows their offer and no more."""
    return [one.row for one in oracle.hand_overs if person in (one.offer.owner, one.offer.report.owner)]


@_relation("consent_texts", "purpose", "version")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """What is consented to is for everybody to read."""
    return oracle.consent_texts


@_relation("consents", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """What I consented to."""
    return [consent.row for consent in oracle.consents if consent.report.owner is person]


@_relation("messages", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """The two parties of an accepted case."""
    return [row for offer, row in oracle.messages if oracle.may_read_conversation(person, offer)]


@_relation("case_notes", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """The author only, while they have access."""
    return _own_notes(oracle, person, oracle.notes)


@_relation("case_note_versions", "note_id", "version")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """The author only, while they have access."""
    return _own_notes(oracle, person, oracle.note_versions)


def _own_notes(oracle: Oracle, person: Person, notes: list[tuple[Offer, Row]]) -> list[Row]:
    return [row for offer, row in notes if offer.owner is person and oracle.may_read_conversation(person, offer)]


@_relation("verification_decisions", "id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """What was decided about me, and why; administrators all of it."""
    return [row for professional, row in oracle.decisions if professional is person or person.is_admin]


@_relation("match_breakdowns", "match_id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Only administrators see every part of a score."""
    return [offer.breakdown for offer in oracle.offers] if person.is_admin else []


@_relation("escalations", "report_id", "service_type", "reason")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """Administrators: masked facts, age, what was tried."""
    if not person.is_admin:
        return []
    return [
        _escalation(oracle, report, escalation)
        for report in oracle.reports
        for escalation in report.escalations
        if not escalation.resolved
    ]


def _escalation(oracle: Oracle, report: Report, escalation: Escalation) -> Row:
    minutes = (oracle.now - report.filed) // timedelta(minutes=1)
    states = ("pending", "declined", "expired", "withdrawn")
    tried: dict[str, Any] = {state: len(report.offers_of(escalation.kind, state)) for state in states}
    steps = report.clocks[escalation.kind].steps
    tried |= {"nudged": "nudge" in steps, "widened": "widen" in steps, "opened": "open" in steps}
    return Row(
        **escalation.cells,
        service_type=escalation.kind,
        reason=escalation.reason,
        # A minute may end while the walk runs.
        age_minutes=Unknown(lambda seen: seen in (minutes, minutes + 1)),
        attempts={"offered": sum(offer.kind == escalation.kind for offer in report.offers)} | tried,
    )


@_relation("report_progress", "report_id")
def _(oracle: Oracle, person: Person) -> Iterable[Row]:
    """How far my reports have come."""
    return [_progress(oracle, report) for report in oracle.reports if report.owner is person]


def _progress(oracle: Oracle, report: Report) -> Row:
    services = {kind: _service_stage(oracle, report, kind) for kind in report.row["required_services"]}
    # A survivor reads the appointments of offers that they see.
    mine = [a for a in oracle.appointments if a.offer and a.offer.report is report and a.offer.status in _HELD]
    coming = sorted((a for a in mine if a.is_live and a.starts > oracle.now), key=lambda a: a.starts)
    return Row(
        report_id=report.row.cell("report_id"),
        stage=_stage(report, set(services.values())),
        services=services,
        next_appointment_id=coming[0].row.cell("appointment_id") if coming else None,
        next_appointment_date=coming[0].row.cell("appointment_date") if coming else None,
        completed_sessions=sum(a.status == "completed" for a in mine),
    )


def _stage(report: Report, stages: set[str]) -> str:
    if report.status in ("withdrawn", "archived"):
        return report.status
    for stage in ("awaiting_confirmation", "session_completed", "accepted_scheduled"):
        if stage in stages:
            return stage
    if report.row["match_status"] == "escalated":
        return "escalated"
    return "matched" if "matched" in stages else "created"


def _service_stage(oracle: Oracle, report: Report, kind: str) -> str:
    holder = next(iter(report.offers_of(kind, *_HELD)), None)
    if report.status == "withdrawn":
        return "withdrawn"
    if report.status == "archived" or (holder and holder.status == "completed"):
        return "archived"
    if holder:
        marks = holder.row.cell("professional_completed_at") or holder.row.cell("survivor_completed_at")
        held = any(a.offer is holder and a.status == "completed" for a in oracle.appointments)
        return "awaiting_confirmation" if marks else "session_completed" if held else "accepted_scheduled"
    reasons = {e.reason for e in report.escalations if e.kind == kind and not e.resolved}
    if "no_answer" not in reasons and report.offers_of(kind, "pending"):
        return "matched"
    return "escalated" if reasons else "created"
