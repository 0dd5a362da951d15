"""A whole walk: every transition as all actors."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from tests.model.cells import Row
from tests.model.journal import transition
from tests.model.people import HandOver, Offer, Person, Service
from tests.model.scheduling_rules import Answer
from tests.model.time_walk import CLIENT, TimeWalk
from tests.model.walk import PROFESSIONALS, mostly, numbers, pick


class Walk(TimeWalk):
    """Hand-overs, papers, and those who leave, beside the way of a case and what is done with time."""

    def _go_on(self, progress: int, booked: str | None) -> None:
        if booked:
            second = self.oracle.people[PROFESSIONALS[1]]
            caller = self.oracle.people.get(booked)
            self._book(caller, second, self._slot(second, caller, 60, 1, 0), 60, "talk", CLIENT)
        offer = next(offer for offer in self.oracle.offers if offer.owner is self.oracle.people[PROFESSIONALS[0]])
        survivor = offer.report.owner
        if progress > 0:
            # Long after the first free time of a day, which may be booked.
            self._accept(offer, self.time_of(1, 14))
        if progress > 1:
            self._write_message(survivor, offer)
            self._keep_note(offer.owner, offer)
        if progress > 2:
            service = next(one for one in self.oracle.services if one.owner is not offer.owner)
            self._ask_to_hand_over(offer.owner, offer, service, share=booked is None)
        if progress > 3:
            self._answer_hand_over(survivor, self.oracle.hand_overs[0], agrees=True)

    # Hand-overs

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers) and self.oracle.services)
    @transition(which=numbers, who=numbers, own=mostly, to=numbers, fitting=mostly, share=st.booleans())
    def asks_to_hand_over(self, which: int, who: int, own: bool, to: int, fitting: bool, share: bool) -> None:
        if offer := self._some_offer(which, "accepted"):
            caller = offer.owner if own else pick(self._everybody(), who)
            others = [
                one
                for one in self.oracle.services
                if one.owner is not offer.owner and one.row["service_type"] == offer.kind and one.is_verified
            ]
            service = pick(others if fitting and others else self.oracle.services, to)
            self._ask_to_hand_over(caller, offer, service, share=share)

    def _ask_to_hand_over(self, caller: Person, offer: Offer, service: Service, *, share: bool) -> None:
        why = "I am moving away"
        answer = self._actor(caller).call(
            "request_hand_over", match_id=offer.row["id"], service_id=service.row["id"], share_notes=share, reason=why
        )
        self.check(lambda: self.oracle.request_hand_over(caller, offer, service, share, why), answer)

    @precondition(lambda self: self.oracle.hand_overs)
    @transition(which=numbers, who=numbers, own=mostly, agrees=mostly)
    def answers_a_hand_over(self, which: int, who: int, own: bool, agrees: bool) -> None:
        waiting = [one for one in self.oracle.hand_overs if one.is_open]
        hand_over = pick(waiting if which % 5 and waiting else self.oracle.hand_overs, which)
        caller = hand_over.offer.report.owner if own else pick(self._everybody(), who)
        self._answer_hand_over(caller, hand_over, agrees=agrees)

    def _answer_hand_over(self, caller: Person, hand_over: HandOver, *, agrees: bool) -> None:
        answer = self._actor(caller).call("answer_hand_over", hand_over_id=hand_over.row["id"], agrees=agrees)
        self.check(lambda: self.oracle.answer_hand_over(caller, hand_over, agrees), answer)

    @precondition(lambda self: any(one.status == "consented" for one in self.oracle.hand_overs))
    @transition(which=numbers, day=st.integers(1, 4), half=st.integers(0, 22))
    def takes_over(self, which: int, day: int, half: int) -> None:
        hand_over = pick([one for one in self.oracle.hand_overs if one.status == "consented"], which)
        offer = hand_over.offered
        assert offer is not None
        self._accept(offer, self.time_of(day, half))

    def _accept(self, offer: Offer, starts: datetime) -> None:
        answer = self._actor(offer.owner).call(
            "accept_match", match_id=offer.row["id"], mode="schedule_later", starts_at=starts.isoformat()
        )
        self.check(lambda: self.oracle.accept(offer.owner, offer, "schedule_later", starts, 60), answer)

    asks_too = asks_to_hand_over
    answers_too = answers_a_hand_over
    answers_more = answers_a_hand_over
    takes_over_too = takes_over
    takes_over_more = takes_over

    # Conversation

    @precondition(lambda self: self.oracle.messages)
    @transition(who=numbers)
    def reads_messages(self, who: int) -> None:
        caller = pick(self._everybody(), who)
        status, body = self._actor(caller).write(
            "PATCH", "messages?read_at=is.null", {"read_at": self.oracle.now.isoformat()}
        )
        assert status == 200, body
        seen = self._look()
        read = self.oracle.read_messages(caller)
        assert {row["id"] for row in read} == {row["id"] for row in body}
        self.compare(seen)

    # Own rows

    @transition(
        who=numbers, name=st.sampled_from(["Amina", "Otieno"]), phone=st.sampled_from([None, "+254 700 123456"])
    )
    def changes_a_profile(self, who: int, name: str, phone: str | None) -> None:
        person = pick(self._everybody(), who)
        change = {"display_name": name, "phone": phone}
        answer = self._actor(person).write("PATCH", f"profiles?id=eq.{person.id}", change)

        def foretell() -> Answer:
            person.profile.set(**change)
            return person.profile

        self.check(foretell, answer)

    @precondition(lambda self: self.oracle.services)
    @transition(which=numbers)
    def removes_a_service(self, which: int) -> None:
        service = pick(self.oracle.services, which)
        status, body = self._actor(service.owner).write("DELETE", f"support_services?id=eq.{service.row['id']}")
        seen = self._look()
        self._refused = not self.oracle.remove_service(service)
        assert status == (409 if self._refused else 200), body
        self.compare(seen)

    @precondition(lambda self: self.oracle.professionals)
    @transition(who=numbers, which=numbers, own=mostly)
    def presents_a_paper(self, who: int, which: int, own: bool) -> None:
        person = pick(self.oracle.professionals, who)
        services = [one.row["id"] for one in self.oracle.services if not own or one.owner is person]
        service_id = pick([None, *services], which)
        document = str(uuid.uuid4())
        cells = {
            "id": document,
            "service_id": service_id,
            "kind": "licence",
            "file_name": "licence.pdf",
            "media_type": "application/pdf",
            "size_bytes": 1000,
            "sha256": hashlib.sha256(document.encode()).hexdigest(),
        }
        status, body = self._actor(person).write("POST", "verification_documents", cells)
        seen = self._look()
        is_own = service_id is None or any(
            one.row["id"] == service_id and one.owner is person for one in self.oracle.services
        )
        assert status == (201 if is_own else 403), body
        self._refused = not is_own
        if is_own:
            row = Row(**cells, professional_id=person.id, created_at=self.oracle.written())
            self.oracle.documents.append((person, row))
        self.compare(seen)

    @precondition(lambda self: self.oracle.documents)
    @transition(which=numbers)
    def takes_a_paper_back(self, which: int) -> None:
        person, row = pair = pick(self.oracle.documents, which)
        answer = self._actor(person).write("DELETE", f"verification_documents?id=eq.{row['id']}")

        def foretell() -> Answer:
            self.oracle.documents.remove(pair)
            return row

        self.check(foretell, answer)

    # Leaving

    @precondition(
        lambda self: len(self.oracle.people) > 2 and (len(self.oracle.reports) > 2 or self.oracle.appointments)
    )
    @transition(who=numbers)
    def leaves(self, who: int) -> None:
        person = pick(self._everybody(), who)
        status, body = self._actor(person).call("erase_my_data")
        assert status == 204, body
        self.stage.leave(person.name)
        seen = self._look()
        self.oracle.erase(person)
        self.compare(seen)
