"""What each request about a case must do: people, offers, hand-overs, conversation, completion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.model.cells import Row, Unknown, moment
from tests.model.matching import HOUR, LIFE, MINUTE, OFFERS
from tests.model.people import NOT_FOUND, HandOver, Offer, Person, Refused, Report, ResponseClock, Service, refused
from tests.model.scheduling_rules import Answer, SchedulingRules

#: What administrators say about each decision.
NOTE = "after a look at the papers"
#: How long nobody is told again that messages wait.
QUIET = 30 * MINUTE
#: How long the professional of a closed case can still open it.
GRACE = timedelta(days=30)


class CaseRules(SchedulingRules):
    """The rules of a case."""

    # Professionals

    def set_verification(self, caller: Person, professional: Person, status: str) -> Answer:
        """An administrator's decision about a professional."""
        card = professional.professional
        assert card is not None
        if not caller.is_admin:
            return refused("not_allowed")
        if card["verification_status"] == status:
            return card
        before = professional.is_verified
        card.set(verification_status=status)
        self._decide(professional, None, status)
        if professional.is_verified and not before and not self._is_away(professional):
            self.rematch(professional)
        if before and not professional.is_verified:
            self.end_offers(lambda offer: offer.owner is professional)
            self.release_cases(lambda offer: offer.owner is professional)
        return card

    def set_service_verification(self, caller: Person, service: Service, status: str) -> Answer:
        """An administrator's decision about a service."""
        if not caller.is_admin:
            return refused("not_allowed")
        if service.row["verification_status"] == status:
            return service.row
        before = service.is_verified
        service.row.set(verification_status=status)
        self._decide(service.owner, service, status)
        if service.is_verified and service.row["is_active"]:
            self.rematch(service.owner)
        if before and not service.is_verified:
            self.end_offers(lambda offer: offer.service is service)
            self.release_cases(lambda offer: offer.service is service)
        return service.row

    def _decide(self, professional: Person, service: Service | None, status: str) -> None:
        row = Row(
            id=Unknown(),
            professional_id=professional.id,
            service_id=service.row["id"] if service else None,
            status=status,
            note=NOTE,
            created_at=self.moment(),
        )
        self.decisions.append((professional, row))
        self.notify(professional, "verification_changed")

    def release_cases(self, leaves: Callable[[Offer], bool]) -> None:
        """Accepted cases of somebody who cannot go on are taken from them and matched anew."""
        for offer in [offer for offer in self.offers if offer.status == "accepted" and leaves(offer)]:
            report, kind = offer.report, offer.kind
            self.set_offer(offer, "withdrawn", closed_at=self.moment())
            for appointment in self.appointments:
                if appointment.offer is offer and appointment.is_live and appointment.ends > self.now:
                    self.cancel_appointment(appointment, None, None)
            report.clocks[kind] = ResponseClock(self.now, self.now)
            if not any(other.status in ("accepted", "completed") for other in report.offers):
                report.row.set(status="pending", ismatched=False)
            self.escalate(report, kind, "professional_left")
            report.clocks[kind].steps.clear()
            self.make_offers(report, kind, OFFERS[report.row["urgency"]])
            self.settle_match_status(report)
            self.notify(report.owner, "case_reopened", report=report)

    # Administrators

    def break_glass(self, caller: Person, report: Report, reason: str) -> Answer:
        """The emergency door: logged, and the survivor is told."""
        if not caller.is_admin:
            return refused("not_allowed")
        broken = set()
        if len(reason) < 20:
            broken.add("invalid_input")
        if report.status == "withdrawn":
            broken.add("report_withdrawn")
        if report.status == "recorded":
            broken.add("consent_required")
        if broken:
            return refused(*broken)
        self.log_access(report, caller, "admin", "break_glass", reason=reason)
        self.notify(report.owner, "access_opened", report=report)
        return self._case_file(report, None)

    def rematch_report(self, caller: Person, report: Report) -> Answer:
        """An administrator has more candidates asked."""
        if not caller.is_admin:
            return refused("not_allowed")
        if report.status == "withdrawn":
            return refused("report_withdrawn")
        if report.status not in ("pending", "active"):
            return refused("case_not_open")
        before = len(report.offers)
        for kind, clock in report.clocks.items():
            if not clock.settled:
                self.make_offers(report, kind, OFFERS[report.row["urgency"]])
        self.settle_match_status(report)
        return len(report.offers) - before

    def change_service(self, service: Service, **cells: Any) -> None:
        """The owner changes a service."""
        service.row.set(**cells)
        if service.is_verified and service.row["is_active"]:
            self.rematch(service.owner)

    def remove_service(self, service: Service) -> bool:
        """The owner gives up a service; False: it cannot go as long as an offer of it is kept."""
        if any(offer.service is service for offer in self.offers):
            return False
        self.services.remove(service)
        self.hand_overs = [one for one in self.hand_overs if one.service is not service]
        self.decisions = [one for one in self.decisions if one[1]["service_id"] != service.row["id"]]
        self.documents = [one for one in self.documents if one[1]["service_id"] != service.row["id"]]
        return True

    def set_away(self, professional: Person, until: datetime | None) -> None:
        """A professional is out of office until then; None: is back."""
        assert professional.professional is not None
        changed = professional.away_until != until
        professional.away_until = until
        shown = None if until is None else moment(until)
        professional.professional.set(out_of_office_until=shown)
        if changed and professional.is_verified and not self._is_away(professional):
            self.rematch(professional)

    def _is_away(self, professional: Person) -> bool:
        return professional.away_until is not None and professional.away_until > self.now

    # Survivors

    def file_report(self, owner: Person, cells: dict[str, Any]) -> Row:
        """A report is filed; shared at once when it consents."""
        shared = cells["consent_to_share"]
        row = Row(
            **{
                "case_code": self.new_case_code(),
                "user_id": owner.id,
                "incident_date": None,
                "contact_email": None,
                "emergency_contact": None,
                "preferred_language": None,
                "preferred_professional_gender": None,
                "safe_contact_from": None,
                "safe_contact_until": None,
                "special_needs": [],
                "consent_location": False,
                "latitude": None,
                "longitude": None,
                "status": "pending" if shared else "recorded",
                "match_status": "pending",
                "ismatched": False,
                "created_at": self.moment(),
                "archived_at": None,
                "anonymised_at": None,
            }
            | cells
        )
        report = Report(row, owner, self.now)
        self.reports.append(report)
        if row["consent_location"]:
            self.consent(report, "share_location")
        if shared:
            self.consent(report, "share_report")
            self.match(report)
        return report.row

    def request_support(self, caller: Person, report: Report) -> Answer:
        """The owner shares a recorded report."""
        if report.owner is not caller:
            return Refused(NOT_FOUND)
        if report.status == "withdrawn":
            return refused("report_withdrawn")
        if report.status == "archived":
            return refused("case_not_open")
        if report.status == "recorded":
            report.row.set(consent_to_share=True, status="pending")
            self.consent(report, "share_report")
            self.match(report)
        return report.row

    def correct(self, caller: Person, report: Report, cells: dict[str, Any]) -> Answer:
        """The owner corrects story or contact; for everybody else there is no such row."""
        if report.owner is not caller:
            return None
        if report.status == "withdrawn":
            return refused("report_withdrawn")
        if report.status == "archived":
            return refused("case_not_open")
        report.row.set(**cells)
        return report.row

    def withdraw(self, caller: Person, report: Report) -> Answer:
        """Consent is withdrawn: what is open ends, and the future is cancelled."""
        if report.owner is not caller:
            return Refused(NOT_FOUND)
        if report.status != "withdrawn":
            self.end_report(report, caller)
        return report.row

    def end_report(self, report: Report, caller: Person) -> None:
        """Nothing of a report is consented to any more: everything about it ends."""
        if report.status != "withdrawn":
            for offer in report.offers:
                if offer.status in ("pending", "accepted"):
                    self.set_offer(offer, "withdrawn", closed_at=self.moment())
            for appointment in self.appointments:
                if (
                    appointment.offer
                    and appointment.offer.report is report
                    and appointment.is_live
                    and appointment.ends > self.now
                ):
                    self.cancel_appointment(appointment, caller, None)
            self._settle(report)
            self.end_consents(report)
            report.row.set(
                status="withdrawn",
                consent_to_share=False,
                consent_location=False,
                latitude=None,
                longitude=None,
                match_status="pending",
                ismatched=False,
            )

    def block(self, survivor: Person, professional: Person) -> bool:
        """A survivor never wants to meet somebody; False: the row was there."""
        if (survivor, professional) in self.blocks:
            return False
        self.blocks[survivor, professional] = Row(
            survivor_id=survivor.id, professional_id=professional.id, created_at=self.written()
        )
        self.end_offers(
            lambda offer: {offer.owner, offer.report.owner} == {survivor, professional} and survivor is not professional
        )
        return True

    # Offers

    def accept(self, caller: Person, offer: Offer, mode: str, starts: datetime | None, minutes: int) -> Answer:
        """An offer is accepted by making an appointment."""
        if offer.owner is not caller:
            return Refused(NOT_FOUND)
        broken = set()
        if mode not in ("meet_now", "schedule_later") or (mode == "meet_now") != (starts is None):
            broken.add("invalid_input")
        begins = starts or self.now + HOUR
        if begins <= self.now:
            broken.add("in_the_past")
        if not 30 <= minutes <= 120:
            broken.add("invalid_duration")
        if offer.status == "accepted" and not broken:
            source = _source(mode)
            same = [
                appointment
                for appointment in self.appointments
                if appointment.offer is offer
                and appointment.row["created_via"] == source
                and (mode == "meet_now" or appointment.starts == begins)
            ]
            if same:
                return same[0].row
        if offer.report.status == "withdrawn":
            broken.add("report_withdrawn")
        if offer.status == "expired" or (offer.status == "pending" and offer.expires <= self.now):
            broken.add("match_expired")
        if offer.status not in ("pending", "expired") or self.is_blocked(caller, offer.report.owner):
            broken.add("match_not_pending")
        if not (caller.is_verified and offer.service.is_verified):
            broken.add("not_verified")
        leaving = next((h.offer for h in self.hand_overs if h.offered is offer and h.status == "consented"), None)
        if 30 <= minutes <= 120 and not self.is_free(
            caller,
            offer.report.owner,
            begins,
            begins + timedelta(minutes=minutes),
            # Whose case it was until now meets the survivor no more.
            lambda one: leaving is not None and one.offer is leaving and one.ends > self.now,
        ):
            broken.add("slot_taken")
        if broken:
            return refused(*broken)
        return self._accepted(offer, mode, begins, minutes)

    def _accepted(self, offer: Offer, mode: str, starts: datetime, minutes: int) -> Row:
        report, kind = offer.report, offer.kind
        shared = self._finish_hand_over(offer)
        for rival in report.offers_of(kind, "pending"):
            if rival is not offer:
                self.set_offer(rival, "superseded")
        self.set_offer(offer, "accepted", responded_at=self.moment())
        for note in shared:
            self._add_note(offer, {"id": Unknown(), "body": note["body"]})
        offer.was_accepted = True
        report.row.set(ismatched=True, status="active", match_status="accepted")
        report.clocks[kind].settled = True
        for escalation in report.escalations:
            if escalation.kind == kind:
                escalation.resolved = True
        appointment = self.add_appointment(
            offer.owner, report.owner, offer, starts, minutes, "consultation", "confirmed", _source(mode)
        )
        return appointment.row

    def decline(self, caller: Person, offer: Offer, reason: str | None) -> Answer:
        """A professional passes; the next best is asked."""
        if offer.owner is not caller:
            return Refused(NOT_FOUND)
        if offer.status == "declined":
            return offer.row
        if offer.status == "expired":
            return refused("match_expired")
        if offer.status != "pending":
            return refused("match_not_pending")
        self.set_offer(offer, "declined", responded_at=self.moment(), decline_reason=reason)
        self.replace_offer(offer.report, offer.kind)
        return offer.row

    def open_case(self, caller: Person, offer: Offer) -> Answer:
        """The story, for whom accepted it; logged."""
        if offer.owner is not caller:
            return Refused(NOT_FOUND)
        broken = set()
        if offer.report.status == "withdrawn":
            broken.add("report_withdrawn")
        if not self.has_access(offer):
            broken.add("case_not_open")
        if not caller.is_verified:
            broken.add("not_verified")
        if broken:
            return refused(*broken)
        self.log_access(offer.report, caller, "professional", "open_case", offer=offer)
        return self._case_file(offer.report, offer)

    def _case_file(self, report: Report, offer: Offer | None) -> dict[str, Any]:
        hidden = ("user_id", "consent_to_share", "consent_location", "match_status", "ismatched", "archived_at")
        session = ("appointment_id", "appointment_date", "duration_minutes", "appointment_type", "status")
        return {
            **{name: report.row[name] for name in REPORT_COLUMNS if name not in hidden},
            "match_id": offer.row["id"] if offer else None,
            "time_zone": report.owner.profile["time_zone"],
            "sessions": [
                {name: appointment.row[name] for name in session}
                for appointment in sorted(self.appointments, key=lambda one: one.starts)
                if offer and appointment.offer is offer
            ],
        }

    # Conversation

    def write_message(self, caller: Person, offer: Offer, cells: dict[str, Any]) -> Answer:
        """A party of an accepted case writes to the other."""
        if (broken := self._closed_to(caller, offer, [offer.owner, offer.report.owner])) is not None:
            return broken
        row = Row(
            **cells,
            matched_services=offer.row.cell("id"),
            sender_id=caller.id,
            read_at=None,
            created_at=self.moment(),
        )
        self.messages.append((offer, row))
        reader = offer.report.owner if caller is offer.owner else offer.owner
        told = self.told_of_messages.get((reader, offer))
        if told is None or told <= self.now - QUIET:
            self.told_of_messages[reader, offer] = self.now
            self.notify(reader, "message_waiting", offer=offer)
        return row

    def write_note(self, caller: Person, offer: Offer, cells: dict[str, Any]) -> Answer:
        """The professional of a case keeps a note."""
        if (broken := self._closed_to(caller, offer, [offer.owner], "completed")) is not None:
            return broken
        return self._add_note(offer, cells)

    def _add_note(self, offer: Offer, cells: dict[str, Any]) -> Row:
        row = Row(
            **cells,
            matched_services=offer.row.cell("id"),
            appointment_id=None,
            professional_id=offer.owner.id,
            version=1,
            updated_at=self.moment(),
            created_at=self.moment(),
        )
        self.notes.append((offer, row))
        return row

    def change_note(self, caller: Person, offer: Offer, note: Row, body: str) -> Answer:
        """Its author changes a note; what it said is kept."""
        if not self.may_read_conversation(caller, offer) or caller is not offer.owner:
            return None
        if note["body"] != body:
            version = Row(
                note_id=note.cell("id"),
                version=note["version"],
                professional_id=caller.id,
                body=note["body"],
                written_at=note.cell("updated_at"),
                created_at=self.written(),
            )
            self.note_versions.append((offer, version))
            note.set(body=body, version=note["version"] + 1, updated_at=self.moment())
        return note

    def _closed_to(self, caller: Person, offer: Offer, parties: list[Person], *more: str) -> Refused | None:
        if caller not in parties:
            return Refused(NOT_FOUND)
        if offer.report.status == "withdrawn":
            return refused("report_withdrawn", "case_not_open", *(() if caller is offer.owner else NOT_FOUND))
        if offer.status == "accepted" or (offer.status in more and self.has_access(offer)):
            return None
        return refused("case_not_open", *(() if caller is offer.owner else NOT_FOUND))

    def may_read_conversation(self, person: Person, offer: Offer) -> bool:
        """The parties of a case that is or was theirs; no professional after a withdrawal."""
        if offer.status not in ("accepted", "completed"):
            return False
        return person is offer.report.owner or (
            person is offer.owner and offer.report.status != "withdrawn" and self.has_access(offer)
        )

    def has_access(self, offer: Offer) -> bool:
        """Whether its professional may open the case: while it is theirs, and for a time after it was closed."""
        return offer.status == "accepted" or (
            offer.status == "completed" and offer.closed is not None and offer.closed + GRACE > self.now
        )

    def read_messages(self, caller: Person) -> list[Row]:
        """Somebody reads all that was written to them; the notifications of it are done with."""
        read = []
        for offer, row in self.messages:
            if (
                self.may_read_conversation(caller, offer)
                and row["sender_id"] != caller.id
                and row.cell("read_at") is None
            ):
                row.set(read_at=self.moment())
                read.append(row)
                for notice in self.notifications[caller]:
                    if (
                        notice.kind == "message_waiting"
                        and notice.offer is offer
                        and notice.row.cell("read_at") is None
                    ):
                        notice.row.set(read_at=row.cell("read_at"))
        return read

    def complete_case(self, caller: Person, offer: Offer) -> Answer:
        """One side says that the case is finished; both sides close it."""
        report = offer.report
        is_professional = caller is offer.owner
        if not is_professional and caller is not report.owner:
            return Refused(NOT_FOUND)
        if offer.status == "completed":
            return offer.row
        if report.status == "withdrawn":
            return refused("report_withdrawn", "case_not_open")
        if offer.status != "accepted":
            # To a survivor, an offer that nobody accepted does not exist.
            return refused("case_not_open") if is_professional else Refused(NOT_FOUND)
        mine, theirs = ("professional", "survivor") if is_professional else ("survivor", "professional")
        if not offer.row.cell(f"{mine}_completed_at"):
            offer.row.set(**{f"{mine}_completed_at": self.moment()})
            if not offer.row.cell(f"{theirs}_completed_at"):
                other = report.owner if is_professional else offer.owner
                self.notify(other, "completion_requested", offer=offer)
            if is_professional:
                self.rematch(caller)
        if offer.row.cell("professional_completed_at") and offer.row.cell("survivor_completed_at"):
            self._close(offer, caller)
        return offer.row

    def _close(self, offer: Offer, caller: Person) -> None:
        self.set_offer(offer, "completed", closed_at=self.moment())
        for appointment in self.appointments:
            if appointment.offer is offer and appointment.is_live and appointment.starts > self.now:
                self.cancel_appointment(appointment, caller, None)
        for party in (offer.owner, offer.report.owner):
            self.notify(party, "case_closed", offer=offer)
        report = offer.report
        if not any(other.status in ("pending", "accepted") for other in report.offers):
            self._settle(report)
            report.archived = self.now
            report.row.set(status="archived", archived_at=self.moment())

    def dispute(self, caller: Person, offer: Offer) -> Answer:
        """The survivor says that it is not finished."""
        if offer.report.owner is not caller:
            return Refused(NOT_FOUND)
        if offer.report.status == "withdrawn":
            return refused("report_withdrawn", "invalid_transition" if offer.was_accepted else "not_found")
        if not offer.was_accepted:
            return refused("not_found", "invalid_transition") if offer.status == "withdrawn" else Refused(NOT_FOUND)
        if offer.status != "accepted" or offer.row.cell("survivor_completed_at"):
            return refused("invalid_transition")
        if offer.row.cell("professional_completed_at"):
            offer.row.set(professional_completed_at=None)
            self.notify(offer.owner, "completion_disputed", offer=offer)
        return offer.row

    # Hand-overs

    def request_hand_over(
        self, caller: Person, offer: Offer, service: Service, share_notes: bool, reason: str
    ) -> Answer:
        """The professional of a case asks to pass it on."""
        if offer.owner is not caller:
            return Refused(NOT_FOUND)
        broken = set()
        if offer.report.status == "withdrawn":
            broken.add("report_withdrawn")
        if offer.status != "accepted":
            broken.add("case_not_open")
        if not caller.is_verified:
            broken.add("not_verified")
        if broken:
            return refused(*broken)
        for known in self.hand_overs:
            if known.offer is offer and known.is_open:
                is_same = known.service is service and known.row["share_notes"] == share_notes
                return known.row if is_same else refused("invalid_transition")
        if caller is service.owner or not self._could_take(offer, service):
            return Refused(NOT_FOUND)
        assert service.owner.professional is not None
        row = Row(
            id=Unknown(),
            matched_services=offer.row.cell("id"),
            survivor_id=offer.report.owner.id,
            from_professional_id=caller.id,
            to_professional_id=service.owner.id,
            to_service_id=service.row["id"],
            to_name=service.owner.professional["professional_title"],
            reason=reason,
            share_notes=share_notes,
            status="requested",
            offered_match=None,
            answered_at=None,
            finished_at=None,
            created_at=self.moment(),
        )
        self.hand_overs.append(HandOver(row, offer, service))
        self.notify(offer.report.owner, "hand_over_requested", offer=offer)
        return row

    def _could_take(self, offer: Offer, service: Service) -> bool:
        return (
            service.row["service_type"] == offer.kind
            and service.row["is_active"]
            and service.is_verified
            and service.owner.is_verified
            and service.owner is not offer.report.owner
            and not self.is_blocked(service.owner, offer.report.owner)
        )

    def answer_hand_over(self, caller: Person, hand_over: HandOver, agrees: bool) -> Answer:
        """The survivor agrees, and the colleague is asked; or does not, and nothing moves."""
        offer, report = hand_over.offer, hand_over.offer.report
        if report.owner is not caller:
            return Refused(NOT_FOUND)
        if hand_over.status in (("consented", "completed") if agrees else ("refused",)):
            return hand_over.row
        if not hand_over.is_open:
            return refused("invalid_transition")
        if offer.status != "accepted":
            return refused("case_not_open")
        if agrees:
            if not self._could_take(offer, hand_over.service):
                return refused("not_verified")
            hand_over.offered = self._offer_again(report, hand_over.service)
            hand_over.row.set(
                status="consented", answered_at=self.moment(), offered_match=hand_over.offered.row.cell("id")
            )
            self.consent(report, "hand_over")
        else:
            hand_over.row.set(status="refused", answered_at=self.moment(), finished_at=self.moment())
            if hand_over.offered and hand_over.offered.status == "pending":
                self.set_offer(hand_over.offered, "withdrawn", closed_at=self.moment())
            self.end_consents(report, "hand_over")
        self.notify(offer.owner, "hand_over_answered", offer=offer)
        return hand_over.row

    def _offer_again(self, report: Report, service: Service) -> Offer:
        life = LIFE[report.row["urgency"] != "high"]
        offer = next((one for one in report.offers if one.service is service), None)
        if offer is None:
            return self.add_offer(report, service, handed_over=True)
        offer.row.set(
            match_status_type="pending",
            offered_at=self.moment(),
            expires_at=moment(self.now + life),
            responded_at=None,
            decline_reason=None,
            closed_at=None,
        )
        offer.expires = self.now + life
        offer.closed = None
        self.notify(service.owner, "offer_made", offer=offer)
        return offer

    def _finish_hand_over(self, offer: Offer) -> list[Row]:
        """The colleague accepts: access moves. Gives back the notes that go along."""
        for hand_over in self.hand_overs:
            if hand_over.offered is offer and hand_over.status == "consented":
                left = hand_over.offer
                hand_over.row.set(status="completed", finished_at=self.moment())
                self.set_offer(left, "withdrawn", closed_at=self.moment())
                for appointment in self.appointments:
                    if appointment.offer is left and appointment.is_live and appointment.ends > self.now:
                        self.cancel_appointment(appointment, None, None)
                for party in (left.owner, left.report.owner):
                    self.notify(party, "hand_over_completed", offer=left)
                return [note for of, note in self.notes if of is left] if hand_over.row["share_notes"] else []
        return []

    def _settle(self, report: Report) -> None:
        for clock in report.clocks.values():
            clock.settled = True
        for escalation in report.escalations:
            escalation.resolved = True


#: Every column of a report, by the contract.
REPORT_COLUMNS = (
    *("report_id", "case_code", "user_id", "incident_type", "incident_description", "incident_date", "urgency"),
    *("required_services", "gender", "age_category", "survivor_name", "contact_email", "contact_phone"),
    *("contact_preference", "safe_contact_from", "safe_contact_until", "emergency_contact", "preferred_language"),
    *("preferred_professional_gender", "special_needs", "consent_to_share", "consent_location", "latitude"),
    *("longitude", "status", "match_status", "ismatched", "created_at", "archived_at"),
)


def _source(mode: str) -> str:
    return "meet_now" if mode == "meet_now" else "scheduled_acceptance"
