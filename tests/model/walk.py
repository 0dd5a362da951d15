"""A random walk: every request that an actor can make, made by the right one and by the wrong one.

Numbers that Hypothesis draws choose among what there is, so that a walk can be replayed and shrunk although every id
in it is new each time.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition

from tests.model.case_rules import NOTE
from tests.model.cells import Row, difference
from tests.model.journal import Journal, transition
from tests.model.oracle import Oracle
from tests.model.people import Offer, Person, Refused, Service
from tests.model.scheduling_rules import Answer
from tests.model.stage import VISITOR, Stage
from tests.model.visible import EMPTY, PUBLIC, SEEN, visible
from tests.support.cases import north
from tests.support.refusals import STATUS

T = TypeVar("T")

SURVIVORS = ("survivor", "anonymous")
PROFESSIONALS = ("first", "second", "third", "fourth")
ADMIN = "admin"
EVERYBODY = (*SURVIVORS, *PROFESSIONALS, ADMIN)
#: km north of the place that reports give: in reach, in reach when it is widened, when it is dropped.
DISTANCES = (0.0, 80.0, 300.0, None)
#: Minutes: less and more than the steps of the response clock, the life of an offer, a session.
URGENCIES = ("low", "medium", "high")
JUMPS = (6, 11, 21, 43, 61, 300, 780, 1500)

#: After every so many walks the long way of reading is compared too.
SWEEP_EVERY = 4

#: A Monday; the seconds are what keeps times that the server writes apart from those that clients name.
FIRST_DAY = datetime(2027, 3, 1, 0, 5, 20, tzinfo=UTC)
numbers = st.integers(0, 30)
mostly = st.sampled_from([True, True, True, True, False])
kinds = st.sampled_from(["counseling", "counseling", "legal_aid"])


class CaseWalk(RuleBasedStateMachine):
    """The way of a case; steps do nothing where there is nothing to do it to."""

    stage: ClassVar[Stage]
    #: What was done in all walks.
    journal: ClassVar[Journal]

    def __init__(self) -> None:
        super().__init__()
        #: False while a step has not been compared: a walk that failed has no end to be looked at.
        self._holds = True
        #: Whether the last request was answered with a refusal.
        self._refused = False
        #: While the scene is set, nothing is compared; after it, everything.
        self._sets_the_scene = True
        self.oracle = Oracle(FIRST_DAY, FIRST_DAY)

    def _begin(self, start: datetime) -> None:
        """Everybody who is there from the start signs up, in an empty world.

        Every walk begins some seconds into a minute, and clients name whole minutes: so no rule is decided by the
        seconds that a walk takes.
        """
        self.stage.reset(start, one_by_one=self.journal.walks % SWEEP_EVERY == 1)
        self.oracle = Oracle(start, datetime.now(UTC))
        self.journal.step_begins("the scene")
        for name in (*SURVIVORS, *PROFESSIONALS[:3], ADMIN):
            self.arrives(name)

    def arrives(self, name: str) -> None:
        """Somebody signs up; whoever is to coordinate is made an administrator."""
        person = self._sign_up(
            name, "professional" if name in PROFESSIONALS else "survivor", anonymous=name == "anonymous"
        )
        if name == ADMIN:
            self.stage.sql.execute("update public.profiles set user_type = 'admin' where id = %s", (person.id,))
            person.profile.set(user_type="admin")

    def _sign_up(self, name: str, user_type: str, *, anonymous: bool = False) -> Person:
        return self.oracle.sign_up(name, self.stage.sign_up(name, user_type, anonymous=anonymous), user_type)

    @initialize(
        children=st.booleans(),
        far=st.sampled_from(DISTANCES),
        room=st.integers(1, 2),
        urgency=st.sampled_from(URGENCIES),
        day=st.integers(0, 6),
        hour=st.sampled_from([3, 8, 8, 13, 22]),
        public=mostly,
        progress=st.integers(0, 4),
        booked=st.sampled_from([None, VISITOR, *SURVIVORS]),
    )
    def some_are_at_work(
        self,
        children: bool,
        far: float | None,
        room: int,
        urgency: str,
        day: int,
        hour: int,
        public: bool,
        progress: int,
        booked: str | None,
    ) -> None:
        self._begin(FIRST_DAY + timedelta(days=day, hours=hour))
        first, second, third = (self.oracle.people[name] for name in PROFESSIONALS[:3])
        self._add_service(first, "counseling", 0.0, children=children, room=room)
        self._add_service(second, "counseling", far, children=False, room=5)
        self._add_service(second, "legal_aid", 0.0, children=False, room=5)
        self._add_service(third, "counseling", 0.0, children=False, room=5)
        admin = self.oracle.people[ADMIN]
        for professional in (first, second):
            self._verify(admin, professional, "verified")
        for service in self.oracle.services[:3]:
            self._verify_service(admin, service, "verified")
        for survivor, needs in zip(self._survivors(), (["counseling"], ["counseling", "legal_aid"]), strict=True):
            self._file(survivor, needs, shared=True, urgency=urgency, age=None, place=False)
        for professional in (first, second):
            if public:
                self.sets_card(professional, {"is_public_booking": True})
        self.compare(self._look())
        self._go_on(progress, booked if public else None)
        self._sets_the_scene = False
        self.compare(self._look())

    def _go_on(self, progress: int, booked: str | None) -> None:
        """What has happened before the walk begins: the farther, the more of the way of a case; and who has booked."""

    # Professionals

    @precondition(lambda self: len(self.oracle.people) < len(EVERYBODY))
    @transition(who=numbers)
    def somebody_signs_up(self, who: int) -> None:
        self.arrives(pick([name for name in EVERYBODY if name not in self.oracle.people], who))
        self.compare(self._look())

    @precondition(lambda self: self.oracle.professionals)
    @transition(
        who=numbers, kind=kinds, distance=st.sampled_from(DISTANCES), children=st.booleans(), room=st.integers(1, 3)
    )
    def adds_a_service(self, who: int, kind: str, distance: float | None, children: bool, room: int) -> None:
        if len(self.oracle.services) < 10:
            owner = pick(self.oracle.professionals, who)
            self._add_service(owner, kind, distance, children=children, room=room)
            self.compare(self._look())

    @precondition(lambda self: self.oracle.professionals)
    @transition(
        whom=numbers,
        who=numbers,
        by_admin=mostly,
        status=st.sampled_from(["verified", "verified", "suspended", "rejected", "under_review"]),
    )
    def is_judged(self, whom: int, who: int, by_admin: bool, status: str) -> None:
        caller = self._coordinator(by_admin, who)
        self._verify(caller, pick(self.oracle.professionals, whom), status)

    @precondition(lambda self: self.oracle.services)
    @transition(
        which=numbers,
        who=numbers,
        by_admin=mostly,
        status=st.sampled_from(["verified", "verified", "verified", "rejected"]),
    )
    def has_a_service_judged(self, which: int, who: int, by_admin: bool, status: str) -> None:
        caller = self._coordinator(by_admin, who)
        self._verify_service(caller, pick(self.oracle.services, which), status)

    @precondition(lambda self: self.oracle.reports)
    @transition(
        which=numbers,
        who=numbers,
        by_admin=mostly,
        reason=st.sampled_from(["too short", "the caller is in danger now"]),
    )
    def breaks_the_glass(self, which: int, who: int, by_admin: bool, reason: str) -> None:
        report = pick(self.oracle.reports, which)
        caller = self._coordinator(by_admin, who)
        answer = self._actor(caller).call("break_glass", report_id=report.row["report_id"], reason=reason)
        self.check(lambda: self.oracle.break_glass(caller, report, reason), answer)

    @precondition(lambda self: self.oracle.reports)
    @transition(which=numbers, who=numbers, by_admin=mostly)
    def has_a_report_matched_again(self, which: int, who: int, by_admin: bool) -> None:
        report = pick(self.oracle.reports, which)
        caller = self._coordinator(by_admin, who)
        answer = self._actor(caller).call("rematch_report", report_id=report.row["report_id"])
        self.check(lambda: self.oracle.rematch_report(caller, report), answer)

    @precondition(lambda self: self.oracle.services)
    @transition(which=numbers, who=numbers, own=mostly, active=st.booleans(), room=st.integers(1, 3))
    def changes_a_service(self, which: int, who: int, own: bool, active: bool, room: int) -> None:
        service = pick(self.oracle.services, which)
        caller = service.owner if own else pick(self._everybody(), who)
        change = {"is_active": active, "max_active_cases": room}
        answer = self._actor(caller).write("PATCH", f"support_services?id=eq.{service.row['id']}", change)

        def foretell() -> Answer:
            if caller is not service.owner:
                return None
            self.oracle.change_service(service, **change)
            return service.row

        self.check(foretell, answer)

    @precondition(lambda self: self.oracle.professionals)
    @transition(who=numbers, hours=st.sampled_from([None, 2, 10]))
    def goes_away_or_comes_back(self, who: int, hours: int | None) -> None:
        person = pick(self.oracle.professionals, who)
        until = None if hours is None else self.oracle.now + timedelta(hours=hours)
        text = None if until is None else until.isoformat()
        answer = self._actor(person).write("PATCH", f"professionals?id=eq.{person.id}", {"out_of_office_until": text})

        def foretell() -> Answer:
            self.oracle.set_away(person, until)
            return person.professional

        self.check(foretell, answer)

    @precondition(lambda self: self.oracle.professionals)
    @transition(who=numbers, public=st.booleans())
    def takes_public_bookings(self, who: int, public: bool) -> None:
        person = pick(self.oracle.professionals, who)
        self.sets_card(person, {"is_public_booking": public})

    @precondition(lambda self: self.oracle.professionals)
    @transition(who=numbers, title=st.sampled_from([None, "Dr Achieng", "Advocate Otieno"]))
    def publishes_a_title(self, who: int, title: str | None) -> None:
        self.sets_card(pick(self.oracle.professionals, who), {"professional_title": title})

    def sets_card(self, person: Person, change: dict[str, Any]) -> None:
        """A professional changes what is published about them."""
        answer = self._actor(person).write("PATCH", f"professionals?id=eq.{person.id}", change)

        def foretell() -> Answer:
            assert person.professional is not None
            person.professional.set(**change)
            return person.professional

        self.check(foretell, answer)

    # Survivors

    @transition(
        who=numbers,
        shared=mostly,
        urgency=st.sampled_from(URGENCIES),
        age=st.sampled_from(["adult", None, "child"]),
        needs=st.sampled_from([["counseling"], ["counseling"], ["legal_aid"], ["counseling", "legal_aid"]]),
        place=st.booleans(),
        from_a_professional=st.sampled_from([False] * 5 + [True]),
    )
    def files_a_report(
        self,
        who: int,
        shared: bool,
        urgency: str,
        age: str | None,
        needs: list[str],
        place: bool,
        from_a_professional: bool,
    ) -> None:
        if len(self.oracle.reports) == 8:
            return
        if owner := pick_some(self.oracle.professionals if from_a_professional else self._survivors(), who):
            self._file(owner, needs, shared=shared, urgency=urgency, age=age, place=place)

    @precondition(lambda self: self.oracle.reports)
    @transition(which=numbers, who=numbers, own=mostly)
    def asks_for_support(self, which: int, who: int, own: bool) -> None:
        if report := pick_some(self.oracle.reports, which):
            caller = report.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("request_support", report_id=report.row["report_id"])
            self.check(lambda: self.oracle.request_support(caller, report), answer)

    @precondition(lambda self: self.oracle.reports)
    @transition(which=numbers, who=numbers, own=mostly, phone=st.integers(100, 999))
    def corrects_a_report(self, which: int, who: int, own: bool, phone: int) -> None:
        if report := pick_some(self.oracle.reports, which):
            caller = report.owner if own else pick(self._everybody(), who)
            change = {"contact_phone": f"+254 711 {phone}", "incident_description": f"corrected {phone}"}
            path = f"reports?report_id=eq.{report.row['report_id']}"
            answer = self._actor(caller).write("PATCH", path, change)
            self.check(lambda: self.oracle.correct(caller, report, change), answer)

    @precondition(lambda self: self.oracle.reports)
    @transition(which=numbers, who=numbers, own=mostly)
    def withdraws(self, which: int, who: int, own: bool) -> None:
        if report := pick_some(self.oracle.reports, which):
            caller = report.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("withdraw_report", report_id=report.row["report_id"])
            self.check(lambda: self.oracle.withdraw(caller, report), answer)

    @precondition(lambda self: self._survivors() and self.oracle.professionals)
    @transition(who=numbers, whom=numbers)
    def blocks(self, who: int, whom: int) -> None:
        survivor, professional = pick(self._survivors(), who), pick(self.oracle.professionals, whom)
        status, body = self._actor(survivor).write(
            "POST", "blocked_professionals", {"professional_id": professional.id}
        )
        self.oracle.seen = self._look()
        assert status == (201 if self.oracle.block(survivor, professional) else 409), body
        self.compare(self.oracle.seen)

    @precondition(lambda self: self.oracle.blocks)
    @transition(which=numbers)
    def forgives(self, which: int) -> None:
        survivor, professional = pair = pick(list(self.oracle.blocks), which)
        path = f"blocked_professionals?professional_id=eq.{professional.id}"
        answer = self._actor(survivor).write("DELETE", path)
        self.check(lambda: self.oracle.blocks.pop(pair), answer)

    # Offers

    @precondition(lambda self: self.oracle.offers)
    @transition(
        which=numbers,
        who=numbers,
        own=mostly,
        mode=st.sampled_from(["meet_now", "meet_now", "schedule_later", "schedule_later", "whenever"]),
        halves=st.integers(-1, 6),
        minutes=st.sampled_from([60, 60, 30, 120, 20, 240]),
    )
    def accepts(self, which: int, who: int, own: bool, mode: str, halves: int, minutes: int) -> None:
        if offer := self._some_offer(which, "pending"):
            caller = offer.owner if own else pick(self._everybody(), who)
            starts = None
            if mode != "meet_now":
                starts = self.time_of(1, 6 + halves)
            answer = self._actor(caller).call(
                "accept_match",
                match_id=offer.row["id"],
                mode=mode,
                starts_at=starts.isoformat() if starts else None,
                duration_minutes=minutes,
            )
            self.check(lambda: self.oracle.accept(caller, offer, mode, starts, minutes), answer)

    @precondition(lambda self: self.oracle.offers)
    @transition(which=numbers, who=numbers, own=mostly)
    def declines(self, which: int, who: int, own: bool) -> None:
        if offer := self._some_offer(which, "pending"):
            caller = offer.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("decline_match", match_id=offer.row["id"], reason="no room")
            self.check(lambda: self.oracle.decline(caller, offer, "no room"), answer)

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @transition(which=numbers, who=numbers, own=mostly)
    def opens_a_case(self, which: int, who: int, own: bool) -> None:
        if offer := self._some_offer(which, "accepted"):
            caller = offer.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("open_case", match_id=offer.row["id"])
            self.check(lambda: self.oracle.open_case(caller, offer), answer)

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @transition(which=numbers, side=st.integers(0, 4), who=numbers)
    def completes_a_case(self, which: int, side: int, who: int) -> None:
        if offer := self._some_offer(which, "accepted"):
            sides = [offer.owner, offer.owner, offer.report.owner, offer.report.owner, pick(self._everybody(), who)]
            caller = sides[side]
            answer = self._actor(caller).call("complete_case", match_id=offer.row["id"])
            self.check(lambda: self.oracle.complete_case(caller, offer), answer)

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @transition(which=numbers, who=numbers, own=mostly)
    def disputes(self, which: int, who: int, own: bool) -> None:
        if offer := self._some_offer(which, "accepted"):
            caller = offer.report.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("dispute_completion", match_id=offer.row["id"])
            self.check(lambda: self.oracle.dispute(caller, offer), answer)

    # Conversation

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @transition(which=numbers, side=st.integers(0, 4), who=numbers)
    def writes_a_message(self, which: int, side: int, who: int) -> None:
        if offer := self._some_offer(which, "accepted"):
            parties = [offer.owner, offer.report.owner]
            caller = [*parties, *parties, pick(self._everybody(), who)][side]
            self._write_message(caller, offer)

    def _write_message(self, caller: Person, offer: Offer) -> None:
        cells = {"id": str(uuid.uuid4()), "body": f"from {caller.name}"}
        answer = self._actor(caller).write("POST", "messages", cells | {"matched_services": offer.row["id"]})
        self.check(lambda: self.oracle.write_message(caller, offer, cells), answer)

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @transition(which=numbers, who=numbers, own=mostly)
    def keeps_a_note(self, which: int, who: int, own: bool) -> None:
        if offer := self._some_offer(which, "accepted"):
            caller = offer.owner if own else pick(self.oracle.professionals, who)
            self._keep_note(caller, offer)

    def _keep_note(self, caller: Person, offer: Offer) -> None:
        cells = {"id": str(uuid.uuid4()), "body": f"noted by {caller.name}"}
        answer = self._actor(caller).write("POST", "case_notes", cells | {"matched_services": offer.row["id"]})
        self.check(lambda: self.oracle.write_note(caller, offer, cells), answer)

    @precondition(lambda self: self.oracle.notes)
    @transition(which=numbers, who=numbers, own=mostly, words=st.sampled_from(["again", "once more"]))
    def changes_a_note(self, which: int, who: int, own: bool, words: str) -> None:
        offer, note = pick(self.oracle.notes, which)
        caller = offer.owner if own else pick(self._everybody(), who)
        answer = self._actor(caller).write("PATCH", f"case_notes?id=eq.{note['id']}", {"body": words})
        self.check(lambda: self.oracle.change_note(caller, offer, note, words), answer)

    # What moves a case on is done more often than the rest.
    accepts_too = accepts
    accepts_more = accepts
    completes_too = completes_a_case
    opens_too = opens_a_case

    # Anybody

    @transition(who=numbers)
    def reads_the_news(self, who: int) -> None:
        person = pick(self._everybody(), who)
        moment = (self.oracle.start + timedelta(days=1)).isoformat()
        status, rows = self._actor(person).write("PATCH", "notifications?read_at=is.null", {"read_at": moment})
        assert status == 200, rows
        read = {row["id"]: row["read_at"] for row in rows}
        unread = [notice.row for notice in self.oracle.notifications[person] if notice.row["read_at"] is None]
        assert {row["id"] for row in unread} == read.keys()
        for row in unread:
            row.set(read_at=read[row["id"]])
        self.compare(self._look())

    @transition(who=numbers, whom=numbers, what=numbers)
    def trespasses(self, who: int, whom: int, what: int) -> None:
        """Writes that nobody may make: refused, or without any effect."""
        caller, victim = pick(self._everybody(), who), pick(self._everybody(), whom)
        method, path, body = pick(self._trespasses(caller, victim), what)
        status, answer = self._actor(caller).write(method, path, body)
        assert status in (400, 401, 403, 404, 405) or (status == 200 and answer == []), (method, path, answer)
        seen = self._look()
        self._refused = True
        self.compare(seen)

    def _trespasses(self, caller: Person, victim: Person) -> list[tuple[str, str, dict[str, Any]]]:
        stranger = victim if victim is not caller else next(p for p in self._everybody() if p is not caller)
        return [
            ("PATCH", f"profiles?id=eq.{caller.id}", {"user_type": "admin"}),
            ("PATCH", f"profiles?id=eq.{stranger.id}", {"display_name": "taken over"}),
            ("PATCH", f"professionals?id=eq.{caller.id}", {"verification_status": "verified"}),
            ("PATCH", f"professionals?id=eq.{stranger.id}", {"bio": "taken over"}),
            ("PATCH", "support_services?id=not.is.null", {"verification_status": "verified"}),
            ("PATCH", f"support_services?professional_id=eq.{stranger.id}", {"name": "taken over"}),
            ("DELETE", f"support_services?professional_id=eq.{stranger.id}", {}),
            ("PATCH", "reports?report_id=not.is.null", {"status": "recorded"}),
            ("PATCH", f"reports?user_id=eq.{stranger.id}", {"survivor_name": "taken over"}),
            ("DELETE", "reports?report_id=not.is.null", {}),
            ("PATCH", "matched_services?id=not.is.null", {"match_status_type": "accepted"}),
            ("DELETE", "matched_services?id=not.is.null", {}),
            ("PATCH", "appointments?appointment_id=not.is.null", {"status": "completed"}),
            ("DELETE", "appointments?appointment_id=not.is.null", {}),
            ("DELETE", f"blocked_professionals?survivor_id=eq.{stranger.id}", {}),
            ("DELETE", "notifications?id=not.is.null", {}),
            ("PATCH", f"notifications?user_id=eq.{stranger.id}", {"read_at": None}),
            ("POST", "notifications", {"user_id": stranger.id, "kind": "offer_made"}),
            ("POST", "blocked_professionals", {"survivor_id": stranger.id, "professional_id": stranger.id}),
            (
                "POST",
                "reports",
                {"user_id": stranger.id, "incident_type": "other", "required_services": ["counseling"]},
            ),
            ("POST", "rpc/run_due_timers", {}),
            ("POST", "rpc/claim_jobs", {"worker_id": "me", "max_jobs": 1, "lease_seconds": 60}),
        ]

    def teardown(self) -> None:
        """At the end of some walks every relation is read as a client reads it, by every actor."""
        self.journal.walk_ends()
        if not self._holds or self._sets_the_scene or self.journal.walks % SWEEP_EVERY:
            return
        for relation in self.stage.relations["authenticated"]:
            readers = [name for name in self.stage.actors if relation in self._relations(name)]
            for name, rows in self.stage.read(readers, relation).items():
                self._compare(name, relation, rows)

    # Comparison

    def check(self, foretell: Callable[[], Any], answer: tuple[int, Any]) -> None:
        """A request has been answered: look, foretell what it did, compare the answer and what everybody sees."""
        if not self._sets_the_scene:
            self._look()
        expected = foretell()
        status, body = answer
        self._refused = isinstance(expected, Refused)
        if isinstance(expected, Refused):
            assert isinstance(body, dict), (expected, answer)
            symbol = body.get("message")
            assert symbol in expected.symbols, (expected, answer)
            assert (status, body["code"]) == (STATUS[symbol], f"PT{STATUS[symbol]}"), answer
        else:
            assert status in (200, 201), (expected, answer)
            if expected is None:
                assert body == [], answer
            elif isinstance(expected, Row):
                (row,) = body if isinstance(body, list) else [body]
                assert expected.take(row), expected.differences(row)
            elif isinstance(expected, list):
                assert len(expected) == len(body), (expected, answer)
                for row, found in zip(expected, body, strict=True):
                    assert row.take(found), row.differences(found)
            else:
                assert body == expected, (expected, body)
        if not self._sets_the_scene:
            self.compare(self.oracle.seen)

    def compare(self, seen: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
        """What every actor sees of every relation is what the oracle says."""
        for name, views in seen.items():
            assert views.keys() == set(self._relations(name)) - EMPTY
            for relation, rows in views.items():
                self._compare(name, relation, rows)
        self.journal.step_ends(refused=self._refused)
        self._holds = True

    def _compare(self, name: str, relation: str, rows: list[dict[str, Any]]) -> None:
        key, expected = visible(self.oracle, self.oracle.people.get(name), relation)
        found = difference(expected, rows, key)
        assert found is None, f"{name} sees {relation} otherwise: {found}"

    def _look(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        self._holds = self._refused = False
        self.oracle.seen = self.stage.look()
        return self.oracle.seen

    def _relations(self, name: str) -> list[str]:
        return list(self.stage.relations["anon" if name == VISITOR else "authenticated"])

    # Who and what

    def time_of(self, days: int, halves: int) -> datetime:
        """A half hour of a day counted from today: seven in the morning and so many halves later."""
        today = self.oracle.now.replace(hour=7, minute=0, second=0)
        return today + timedelta(days=days, minutes=30 * halves)

    def _coordinator(self, by_admin: bool, who: int) -> Person:
        """The administrator, as long as there is one; or anybody."""
        admin = self.oracle.people.get(ADMIN)
        return admin if by_admin and admin else pick(self._everybody(), who)

    def _everybody(self) -> list[Person]:
        return list(self.oracle.people.values())

    def _survivors(self) -> list[Person]:
        return [self.oracle.people[name] for name in SURVIVORS if name in self.oracle.people]

    def _actor(self, person: Person) -> Any:
        return self.stage.actors[person.name]

    def _some_offer(self, which: int, status: str) -> Offer | None:
        """Mostly one in this state."""
        offers = self.oracle.offers
        fitting = [offer for offer in offers if offer.status == status]
        return pick_some(fitting if which % 5 and fitting else offers, which)

    def _file(
        self, owner: Person, needs: list[str], *, shared: bool, urgency: str, age: str | None, place: bool
    ) -> None:
        cells: dict[str, Any] = {
            "report_id": str(uuid.uuid4()),
            "incident_type": "stalking",
            "incident_description": f"what happened to {owner.name}",
            "urgency": urgency,
            "required_services": needs,
            "gender": "female",
            "age_category": age,
            "survivor_name": f"name of {owner.name}",
            "contact_phone": "+254 700 000001",
            "contact_preference": "in_app",
            "consent_to_share": shared,
        }
        if place:
            latitude, longitude = north(0)
            cells |= {"consent_location": True, "latitude": latitude, "longitude": longitude}
        status, body = self._actor(owner).write("POST", "reports", cells)

        def foretell() -> Answer:
            row = self.oracle.file_report(owner, cells)
            # An insert gives back the row as it was before matching ran at the end of the statement.
            assert body[0].pop("match_status") == "pending"
            body[0]["match_status"] = row["match_status"]
            return row

        self.check(foretell, (status, body))

    def _add_service(self, owner: Person, kind: str, distance: float | None, *, children: bool, room: int) -> None:
        latitude, longitude = (None, None) if distance is None else north(distance)
        cells = {
            "id": str(uuid.uuid4()),
            "name": f"{kind} of {owner.name}",
            "service_type": kind,
            "latitude": latitude,
            "longitude": longitude,
            "specialisations": ["children"] if children else [],
            "max_active_cases": room,
        }
        status, body = self._actor(owner).write("POST", "support_services", cells)
        assert status == 201, body
        self.oracle.add_service(owner, cells, distance)

    def _verify(self, caller: Person, person: Person, status: str) -> None:
        answer = self._actor(caller).call("verify_professional", professional_id=person.id, status=status, note=NOTE)
        self.check(lambda: self.oracle.set_verification(caller, person, status), answer)

    def _verify_service(self, caller: Person, service: Service, status: str) -> None:
        answer = self._actor(caller).call("verify_service", service_id=service.row["id"], status=status, note=NOTE)
        self.check(lambda: self.oracle.set_service_verification(caller, service, status), answer)


def pick(among: Sequence[T], number: int) -> T:
    """One of them."""
    return among[number % len(among)]


def pick_some(among: Sequence[T], number: int) -> T | None:
    """One of them, if there are any."""
    return pick(among, number) if among else None


def known_relations() -> set[str]:
    """What the oracle can speak about."""
    return set(SEEN) | EMPTY | PUBLIC
