"""Matching and the response clock, as the contract has them in words.

Who is a candidate, and how many are asked, is foretold. Whom of several candidates the score puts first is not: there
the oracle looks at what was seen, and insists that as many as are due were asked, all of them candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.model.cells import Row, Unknown, moment
from tests.model.people import Escalation, Offer, Person, Report, ResponseClock, Service
from tests.model.world import World

OFFERS = {"low": 3, "medium": 5, "high": 8}
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
#: Step → (after it in an urgent case, in others).
STEPS = {
    "nudge": (10 * MINUTE, 20 * MINUTE),
    "widen": (20 * MINUTE, 40 * MINUTE),
    "open": (6 * HOUR, 12 * HOUR),
    "escalate": (12 * HOUR, 24 * HOUR),
}
LIFE = (4 * HOUR, 24 * HOUR)
#: How often a report with nobody to ask is looked at again.
LOOK = 5 * MINUTE
_WIDER = 2
_PARTS = {"speciality", "proximity", "availability", "language", "gender", "needs", "load", "boost"}


class Matching(World):
    """Offers come to be, are replaced, run out."""

    def match(self, report: Report) -> None:
        """A report may be shared: every service that it needs is offered."""
        for kind in report.row["required_services"]:
            report.clocks[kind] = ResponseClock(self.now, self.now)
            self.make_offers(report, kind, OFFERS[report.row["urgency"]])
        self.settle_match_status(report)

    def candidates(self, report: Report, kind: str, *, children_only: bool) -> dict[Person, list[Service]]:
        """Who can be asked, and with which of their services."""
        asked = {offer.owner for offer in report.offers if offer.kind == kind}
        stage = report.clocks[kind].stage
        found: dict[Person, list[Service]] = {}
        for service in self.services:
            row, owner = service.row, service.owner
            if (
                row["service_type"] == kind
                and (not row["incident_types"] or report.row["incident_type"] in row["incident_types"])
                and row["is_active"]
                and service.is_verified
                and owner.is_verified
                and not owner.gone
                and not (owner.away_until and owner.away_until > self.now)
                and self.open_cases(service) < row["max_active_cases"]
                and owner is not report.owner
                and not self.is_blocked(owner, report.owner)
                and owner not in asked
                and (not children_only or "children" in row["specialisations"])
                and _reaches(service, report, stage)
            ):
                found.setdefault(owner, []).append(service)
        return found

    def make_offers(self, report: Report, kind: str, wanted: int) -> None:
        """Ask so many more; nobody to ask and nobody thinking: escalate."""
        report.clocks[kind].searched = self.now
        if report.row["age_category"] == "child":
            if not self._offer(report, kind, wanted, children_only=True) and not any(
                "children" in offer.service.row["specialisations"] for offer in report.offers_of(kind, "pending")
            ):
                self.escalate(report, kind, "no_child_specialist")
                self._offer(report, kind, wanted, children_only=False)
        else:
            self._offer(report, kind, wanted, children_only=False)
        if not report.offers_of(kind, "pending", "accepted", "completed"):
            self.escalate(report, kind, "no_candidate")

    def replace_offer(self, report: Report, kind: str) -> None:
        """An offer has ended unaccepted: the next best is asked, unless somebody has the case."""
        if kind in report.clocks and not report.clocks[kind].settled:
            self.make_offers(report, kind, 1)
            self.settle_match_status(report)

    def rematch(self, professional: Person) -> None:
        """A professional became free: reports without an open offer are looked at again."""
        kinds = {service.row["service_type"] for service in self.services if service.owner is professional}
        for report in self.reports:
            for kind, clock in report.clocks.items():
                if (
                    kind in kinds
                    and not clock.settled
                    and report.status in ("pending", "active")
                    and not report.offers_of(kind, "pending", "accepted", "completed")
                ):
                    self.make_offers(report, kind, OFFERS[report.row["urgency"]])
                    self.settle_match_status(report)

    def end_offers(self, ends: Callable[[Offer], bool]) -> None:
        """Open offers that are not to be answered any more are withdrawn, and the next best asked."""
        for offer in [offer for offer in self.offers if offer.status == "pending" and ends(offer)]:
            self.set_offer(offer, "withdrawn", closed_at=self.moment())
            self.replace_offer(offer.report, offer.kind)

    def escalate(self, report: Report, kind: str, reason: str) -> None:
        """Put it before the administrators, once for each reason; what was settled is told again."""
        known = {(escalation.kind, escalation.reason): escalation for escalation in report.escalations}
        if (kind, reason) in known:
            if not known[kind, reason].resolved:
                return
            report.escalations.remove(known[kind, reason])
        masked = ("report_id", "incident_type", "urgency", "gender", "age_category")
        cells = {name: report.row.cell(name) for name in masked}
        cells |= {"reported_at": report.row.cell("created_at"), "escalated_at": self.moment()}
        report.escalations.append(Escalation(cells, reason, kind))
        if reason != "no_child_specialist":
            report.clocks[kind].steps.add("escalate")
        for person in self.people.values():
            if person.is_admin:
                self.notify(person, "case_escalated", report=report)

    def settle_match_status(self, report: Report) -> None:
        """The report's state of matching follows its offers and escalations."""
        states = {offer.status for offer in report.offers}
        reasons = {escalation.reason for escalation in report.escalations if not escalation.resolved}
        if states & {"accepted", "completed"}:
            status = "accepted"
        elif "no_answer" in reasons:
            status = "escalated"
        elif "pending" in states:
            status = "matched"
        else:
            status = "escalated" if reasons else "pending"
        report.row.set(match_status=status)

    # Time

    def expire_offers(self) -> None:
        """Offers that nobody answered in time end, and the next best is asked."""
        overdue = [offer for offer in self.offers if offer.status == "pending" and offer.expires <= self.now]
        for offer in sorted(overdue, key=lambda offer: offer.expires):
            self.set_offer(offer, "expired")
            self.replace_offer(offer.report, offer.kind)

    def advance_clocks(self) -> None:
        """Every step of the response clock that is due is taken, in order."""
        for report in self.reports:
            for kind, clock in report.clocks.items():
                if not clock.settled and report.status in ("pending", "active"):
                    self._advance(report, kind, clock)

    def _advance(self, report: Report, kind: str, clock: ResponseClock) -> None:
        wanted = OFFERS[report.row["urgency"]]
        for step, (urgent, others) in STEPS.items():
            after = urgent if report.row["urgency"] == "high" else others
            if step in clock.steps or clock.started + after > self.now:
                continue
            clock.steps.add(step)
            if step == "nudge":
                for offer in report.offers_of(kind, "pending"):
                    self.notify(offer.owner, "offer_reminder", offer=offer)
            elif step == "escalate":
                self.escalate(report, kind, "no_answer")
            else:
                self.make_offers(report, kind, wanted)
        if not report.offers_of(kind, "pending") and clock.searched + LOOK <= self.now:
            self.make_offers(report, kind, wanted)
        self.settle_match_status(report)

    # Offers

    def _offer(self, report: Report, kind: str, wanted: int, *, children_only: bool) -> int:
        found = self.candidates(report, kind, children_only=children_only)
        chosen = self._chosen(report, kind, found, min(wanted, len(found)))
        for service in chosen:
            self.add_offer(report, service)
        return len(chosen)

    def _chosen(self, report: Report, kind: str, found: dict[Person, list[Service]], number: int) -> list[Service]:
        """Whom the score puts first: all when there is no choice, else those who were seen to be asked."""
        if number == len(found) and all(len(services) == 1 for services in found.values()):
            return [services[0] for services in found.values()]
        asked = {
            row["service_id"]
            for owner in found
            for row in self.seen.get(owner.name, {}).get("matched_services", [])
            if row["report_id"] == report.row["report_id"] and row["service_type"] == kind
        }
        ranked = sorted(found.items(), key=lambda item: not any(s.row["id"] in asked for s in item[1]))
        return [next((s for s in services if s.row["id"] in asked), services[0]) for _, services in ranked[:number]]

    def add_offer(self, report: Report, service: Service, *, handed_over: bool = False) -> Offer:
        """A service is offered a report: by its score, or because its professional is to take over the case."""
        life = LIFE[report.row["urgency"] != "high"]
        offered = self.moment()
        score: Any = 100
        exact: Any = 100
        parts: Any = {"hand_over": 100}
        if not handed_over:
            score = chosen = Unknown(lambda seen: isinstance(seen, int) and 0 <= seen <= 100 and seen % 5 == 0)
            exact = Unknown(lambda seen: chosen.bound and abs(seen - chosen.value) <= 2.5)
            parts = Unknown(_is_breakdown)
        masked = ("report_id", "incident_type", "urgency", "gender", "age_category")
        match_id = Unknown()
        row = Row(
            id=match_id,
            service_id=service.row["id"],
            professional_id=service.owner.id,
            service_type=service.row["service_type"],
            match_score=score,
            match_status_type="pending",
            offered_at=offered,
            expires_at=moment(self.now + life),
            responded_at=None,
            decline_reason=None,
            professional_completed_at=None,
            survivor_completed_at=None,
            closed_at=None,
            created_at=self.written(),
            **{name: report.row.cell(name) for name in masked},
        )
        breakdown = Row(match_id=match_id, score=exact, parts=parts, created_at=self.written())
        offer = Offer(row, report, service, self.now + life, breakdown)
        report.offers.append(offer)
        self.notify(service.owner, "offer_made", offer=offer)
        return offer


def _is_breakdown(parts: Any) -> bool:
    return isinstance(parts, dict) and parts.keys() >= _PARTS and all(value >= 0 for value in parts.values())


def _reaches(service: Service, report: Report, stage: int) -> bool:
    if report.row["latitude"] is None or service.row["is_remote"]:
        return True
    if service.distance is None:
        return False
    return stage == 2 or service.distance <= service.row["coverage_radius_km"] * (_WIDER if stage else 1)
