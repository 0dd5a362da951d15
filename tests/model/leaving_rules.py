"""What is forgotten: accounts that end, and data whose time is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.model.case_rules import CaseRules
from tests.model.people import Offer, Person, Report

#: How often what is kept too long is looked for.
_LOOK = timedelta(minutes=15)


class LeavingRules(CaseRules):
    """Erasure, retention."""

    # Accounts

    def erase(self, person: Person) -> None:
        """Somebody leaves: cases of theirs end or go to others, and nothing tells that they were here."""
        person.gone = True
        self.end_offers(lambda offer: offer.owner is person)
        self.release_cases(lambda offer: offer.owner is person)
        for report in self.reports:
            if report.owner is person:
                self.end_report(report, person)
        for appointment in self.appointments:
            if appointment.survivor is person and appointment.is_live and appointment.starts > self.now:
                self.cancel_appointment(appointment, person, None)
        self._forget_offers(
            [offer for offer in self.offers if person in (offer.owner, offer.report.owner)],
            [report for report in self.reports if report.owner is person],
            person,
        )
        self._forget_person(person)

    def _forget_offers(self, offers: list[Offer], reports: list[Report], person: Person) -> None:
        for reader, notices in self.notifications.items():
            for notice in notices:
                # That a session is cancelled must still be heard.
                if (
                    notice.offer in offers
                    and notice.kind == "appointment_cancelled"
                    and notice.offer.report.owner is person is not reader
                ):
                    notice.offer = None
                    notice.row.set(matched_services=None)
            notices[:] = [one for one in notices if one.offer not in offers and one.report not in reports]
        for entries in self.access_log.values():
            for entry in entries:
                if entry.offer in offers:
                    entry.offer = None
                    entry.row.set(match_id=None)
        for appointment in self.appointments:
            if appointment.offer in offers:
                appointment.offer = None
                appointment.row.set(matched_services=None, updated_at=self.moment())
        self.messages = [one for one in self.messages if one[0] not in offers]
        self.notes = [one for one in self.notes if one[0] not in offers]
        self.note_versions = [one for one in self.note_versions if one[0] not in offers]
        self.hand_overs = [one for one in self.hand_overs if one.offer not in offers]
        for hand_over in self.hand_overs:
            if hand_over.offered in offers:
                hand_over.offered = None
                hand_over.row.set(offered_match=None)
        self.told_of_messages = {key: at for key, at in self.told_of_messages.items() if key[1] not in offers}
        for report in self.reports:
            report.offers = [offer for offer in report.offers if offer not in offers]
        self.reports = [report for report in self.reports if report not in reports]
        self.consents = [consent for consent in self.consents if consent.report not in reports]

    def _forget_person(self, person: Person) -> None:
        theirs = [one for one in self.appointments if one.professional is person]
        self.appointments = [one for one in self.appointments if one not in theirs]
        for appointment in self.appointments:
            if appointment.survivor is person:
                appointment.client = None
                appointment.survivor = None
                appointment.row.set(
                    survivor_id=None, appointment_type="session", cancel_reason=None, updated_at=self.moment()
                )
            if appointment.row["cancelled_by"] == person.id:
                appointment.row.set(cancelled_by=None, updated_at=self.moment())
        for notices in self.notifications.values():
            notices[:] = [one for one in notices if one.appointment not in theirs]
        for entries in self.access_log.values():
            for entry in entries:
                if entry.actor is person:
                    entry.row.set(actor_id=None)
        self.messages = [one for one in self.messages if one[1]["sender_id"] != person.id]
        self.hand_overs = [one for one in self.hand_overs if one.service.owner is not person]
        self.services = [service for service in self.services if service.owner is not person]
        self.decisions = [one for one in self.decisions if one[0] is not person]
        self.types = [one for one in self.types if one[0] is not person]
        self.documents = [one for one in self.documents if one[0] is not person]
        self.blocks = {pair: row for pair, row in self.blocks.items() if person not in pair}
        for kept in (self.notifications, self.access_log, self.hours, self.exceptions, self.preferences):
            kept.pop(person, None)
        del self.people[person.name]

    # Retention

    def run_timers(self) -> None:
        """Everything that happens because time passes."""
        self.expire_offers()
        self.expire_requests()
        self.send_reminders()
        if self.purged is None or self.purged + _LOOK <= self.now:
            self.purged = self.now
            self._purge()
        self.advance_clocks()

    def _purge(self) -> None:
        for entries in self.access_log.values():
            entries[:] = [entry for entry in entries if entry.opened >= self._before(years=5)]
        for appointment in self.appointments:
            if appointment.starts < self.now - timedelta(days=180):
                appointment.client = None
        old = [offer for offer in self.offers if offer.closed is not None and offer.closed < self._before(years=1)]
        self.messages = [one for one in self.messages if one[0] not in old]
        self.notes = [one for one in self.notes if one[0] not in old]
        self.note_versions = [one for one in self.note_versions if one[0] not in old]
        for notices in self.notifications.values():
            notices[:] = [notice for notice in notices if notice.told >= self._before(years=1)]
        for report in self.reports:
            if self._is_over(report):
                self._anonymise(report)

    def _is_over(self, report: Report) -> bool:
        if report.anonymised or report.status not in ("archived", "withdrawn"):
            return False
        withdrawn = [one.withdrawn for one in self.consents if one.report is report and one.withdrawn]
        ended = max(withdrawn, default=None) if report.status == "withdrawn" else None
        return (ended or report.archived or report.filed) < self._before(years=2)

    def _anonymise(self, report: Report) -> None:
        report.anonymised = True
        if report.row["consent_location"]:
            self.end_consents(report, "share_location")
        empty: tuple[str, ...] = (
            "incident_description",
            "incident_date",
            "survivor_name",
            "contact_email",
            "contact_phone",
            "latitude",
        )
        empty += ("safe_contact_from", "safe_contact_until", "emergency_contact", "preferred_language", "longitude")
        report.row.set(
            anonymised_at=self.moment(),
            case_code=self.new_case_code(),
            contact_preference="do_not_contact",
            special_needs=[],
            consent_location=False,
            preferred_professional_gender=None,
            **dict.fromkeys(empty),
        )
        for offer in report.offers:
            offer.row.set(decline_reason=None)
        for appointment in self.appointments:
            if appointment.offer in report.offers and not appointment.is_live and appointment.row["cancel_reason"]:
                appointment.row.set(cancel_reason=None, updated_at=self.moment())
        for entry in self.access_log[report.owner]:
            if entry.report is report:
                entry.row.set(reason=None)

    def _before(self, *, years: int) -> datetime:
        return self.now.replace(year=self.now.year - years)
