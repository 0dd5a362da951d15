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
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.model.cells import Row, difference
from tests.model.oracle import NOTE, Answer, Oracle
from tests.model.people import Offer, Person, Refused, Service
from tests.model.stage import VISITOR, Stage
from tests.model.visible import EMPTY, PUBLIC, SEEN, visible
from tests.support.cases import north
from tests.support.refusals import STATUS

T = TypeVar("T")

SURVIVORS = ("survivor", "anonymous")
PROFESSIONALS = ("first", "second", "third", "fourth")
ADMIN = "admin"
#: km north of the place that reports give: in reach, in reach when it is widened, when it is dropped.
DISTANCES = (0.0, 80.0, 300.0, None)
#: Minutes: less and more than the steps of the response clock, the life of an offer, a session.
URGENCIES = ("low", "medium", "high")
JUMPS = (6, 11, 21, 43, 61, 300, 780, 1500)

#: After every so many walks the long way of reading is compared too.
SWEEP_EVERY = 4

numbers = st.integers(0, 30)
mostly = st.sampled_from([True, True, True, True, False])
kinds = st.sampled_from(["counseling", "counseling", "legal_aid"])


class Walk(RuleBasedStateMachine):
    """The walk; its steps do nothing where there is nothing to do it to."""

    stage: ClassVar[Stage]
    #: How many steps of how many walks were compared.
    steps: ClassVar[int] = 0
    walks: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        #: False while a step has not been compared: a walk that failed has no end to be looked at.
        self._holds = True
        #: While the scene is set, nothing is compared; after it, everything.
        self._sets_the_scene = True
        self.stage.reset()
        # Times that a client names stand apart from those that the server writes, so that no rule is decided by
        # the seconds that a walk takes.
        self.oracle = Oracle(datetime.now(UTC))
        for name in SURVIVORS:
            self._sign_up(name, "survivor", anonymous=name == "anonymous")
        for name in PROFESSIONALS[:3]:
            self._sign_up(name, "professional")
        admin = self._sign_up(ADMIN, "survivor")
        self.stage.sql.execute("update public.profiles set user_type = 'admin' where id = %s", (admin.id,))
        admin.profile.set(user_type="admin")

    def _sign_up(self, name: str, user_type: str, *, anonymous: bool = False) -> Person:
        return self.oracle.sign_up(name, self.stage.sign_up(name, user_type, anonymous=anonymous), user_type)

    @initialize(
        children=st.booleans(),
        far=st.sampled_from(DISTANCES),
        room=st.integers(1, 2),
        urgency=st.sampled_from(URGENCIES),
    )
    def some_are_at_work(self, children: bool, far: float | None, room: int, urgency: str) -> None:
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
        self._sets_the_scene = False
        self.compare(self._look())

    # Professionals

    @precondition(lambda self: PROFESSIONALS[3] not in self.oracle.people)
    @rule()
    def a_professional_signs_up(self) -> None:
        self._sign_up(PROFESSIONALS[3], "professional")
        self.compare(self._look())

    @rule(who=numbers, kind=kinds, distance=st.sampled_from(DISTANCES), children=st.booleans(), room=st.integers(1, 3))
    def adds_a_service(self, who: int, kind: str, distance: float | None, children: bool, room: int) -> None:
        if len(self.oracle.services) < 10:
            owner = pick(self.oracle.professionals, who)
            self._add_service(owner, kind, distance, children=children, room=room)
            self.compare(self._look())

    @rule(
        whom=numbers,
        who=numbers,
        by_admin=mostly,
        status=st.sampled_from(["verified", "verified", "suspended", "rejected", "under_review"]),
    )
    def is_judged(self, whom: int, who: int, by_admin: bool, status: str) -> None:
        caller = self.oracle.people[ADMIN] if by_admin else pick(self._everybody(), who)
        self._verify(caller, pick(self.oracle.professionals, whom), status)

    @rule(
        which=numbers,
        who=numbers,
        by_admin=mostly,
        status=st.sampled_from(["verified", "verified", "verified", "rejected"]),
    )
    def has_a_service_judged(self, which: int, who: int, by_admin: bool, status: str) -> None:
        caller = self.oracle.people[ADMIN] if by_admin else pick(self._everybody(), who)
        self._verify_service(caller, pick(self.oracle.services, which), status)

    @precondition(lambda self: self.oracle.reports)
    @rule(
        which=numbers,
        who=numbers,
        by_admin=mostly,
        reason=st.sampled_from(["too short", "the caller is in danger now"]),
    )
    def breaks_the_glass(self, which: int, who: int, by_admin: bool, reason: str) -> None:
        report = pick(self.oracle.reports, which)
        caller = self.oracle.people[ADMIN] if by_admin else pick(self._everybody(), who)
        answer = self._actor(caller).call("break_glass", report_id=report.row["report_id"], reason=reason)
        self.check(lambda: self.oracle.break_glass(caller, report, reason), answer)

    @precondition(lambda self: self.oracle.reports)
    @rule(which=numbers, who=numbers, by_admin=mostly)
    def has_a_report_matched_again(self, which: int, who: int, by_admin: bool) -> None:
        report = pick(self.oracle.reports, which)
        caller = self.oracle.people[ADMIN] if by_admin else pick(self._everybody(), who)
        answer = self._actor(caller).call("rematch_report", report_id=report.row["report_id"])
        self.check(lambda: self.oracle.rematch_report(caller, report), answer)

    @rule(which=numbers, who=numbers, own=mostly, active=st.booleans(), room=st.integers(1, 3))
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

    @rule(who=numbers, hours=st.sampled_from([None, 2, 10]))
    def goes_away_or_comes_back(self, who: int, hours: int | None) -> None:
        person = pick(self.oracle.professionals, who)
        until = None if hours is None else self.oracle.now + timedelta(hours=hours, seconds=15)
        text = None if until is None else until.isoformat()
        answer = self._actor(person).write("PATCH", f"professionals?id=eq.{person.id}", {"out_of_office_until": text})

        def foretell() -> Answer:
            self.oracle.set_away(person, until)
            return person.professional

        self.check(foretell, answer)

    @rule(who=numbers, public=st.booleans())
    def takes_public_bookings(self, who: int, public: bool) -> None:
        person = pick(self.oracle.professionals, who)
        answer = self._actor(person).write("PATCH", f"professionals?id=eq.{person.id}", {"is_public_booking": public})

        def foretell() -> Answer:
            assert person.professional is not None
            person.professional.set(is_public_booking=public)
            return person.professional

        self.check(foretell, answer)

    # Survivors

    @rule(
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
        owner = pick(self.oracle.professionals if from_a_professional else self._survivors(), who)
        self._file(owner, needs, shared=shared, urgency=urgency, age=age, place=place)

    @precondition(lambda self: self.oracle.reports)
    @rule(which=numbers, who=numbers, own=mostly)
    def asks_for_support(self, which: int, who: int, own: bool) -> None:
        if report := pick_some(self.oracle.reports, which):
            caller = report.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("request_support", report_id=report.row["report_id"])
            self.check(lambda: self.oracle.request_support(caller, report), answer)

    @precondition(lambda self: self.oracle.reports)
    @rule(which=numbers, who=numbers, own=mostly, phone=st.integers(100, 999))
    def corrects_a_report(self, which: int, who: int, own: bool, phone: int) -> None:
        if report := pick_some(self.oracle.reports, which):
            caller = report.owner if own else pick(self._everybody(), who)
            change = {"contact_phone": f"+254 711 {phone}", "incident_description": f"corrected {phone}"}
            path = f"reports?report_id=eq.{report.row['report_id']}"
            answer = self._actor(caller).write("PATCH", path, change)
            self.check(lambda: self.oracle.correct(caller, report, change), answer)

    @precondition(lambda self: self.oracle.reports)
    @rule(which=numbers, who=numbers, own=mostly)
    def withdraws(self, which: int, who: int, own: bool) -> None:
        if report := pick_some(self.oracle.reports, which):
            caller = report.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("withdraw_report", report_id=report.row["report_id"])
            self.check(lambda: self.oracle.withdraw(caller, report), answer)

    @rule(who=numbers, whom=numbers)
    def blocks(self, who: int, whom: int) -> None:
        survivor, professional = pick(self._survivors(), who), pick(self.oracle.professionals, whom)
        status, body = self._actor(survivor).write(
            "POST", "blocked_professionals", {"professional_id": professional.id}
        )
        self.oracle.seen = self._look()
        assert status == (201 if self.oracle.block(survivor, professional) else 409), body
        self.compare(self.oracle.seen)

    @precondition(lambda self: self.oracle.blocks)
    @rule(which=numbers)
    def forgives(self, which: int) -> None:
        survivor, professional = pair = pick(list(self.oracle.blocks), which)
        path = f"blocked_professionals?professional_id=eq.{professional.id}"
        answer = self._actor(survivor).write("DELETE", path)
        self.check(lambda: self.oracle.blocks.pop(pair), answer)

    # Offers

    @precondition(lambda self: self.oracle.offers)
    @rule(
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
                starts = self.oracle.start + timedelta(hours=26, minutes=30 * halves, seconds=15)
            answer = self._actor(caller).call(
                "accept_match",
                match_id=offer.row["id"],
                mode=mode,
                starts_at=starts.isoformat() if starts else None,
                duration_minutes=minutes,
            )
            self.check(lambda: self.oracle.accept(caller, offer, mode, starts, minutes), answer)

    @precondition(lambda self: self.oracle.offers)
    @rule(which=numbers, who=numbers, own=mostly)
    def declines(self, which: int, who: int, own: bool) -> None:
        if offer := self._some_offer(which, "pending"):
            caller = offer.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("decline_match", match_id=offer.row["id"], reason="no room")
            self.check(lambda: self.oracle.decline(caller, offer, "no room"), answer)

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @rule(which=numbers, who=numbers, own=mostly)
    def opens_a_case(self, which: int, who: int, own: bool) -> None:
        if offer := self._some_offer(which, "accepted"):
            caller = offer.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("open_case", match_id=offer.row["id"])
            self.check(lambda: self.oracle.open_case(caller, offer), answer)

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @rule(which=numbers, side=st.integers(0, 4), who=numbers)
    def completes_a_case(self, which: int, side: int, who: int) -> None:
        if offer := self._some_offer(which, "accepted"):
            sides = [offer.owner, offer.owner, offer.report.owner, offer.report.owner, pick(self._everybody(), who)]
            caller = sides[side]
            answer = self._actor(caller).call("complete_case", match_id=offer.row["id"])
            self.check(lambda: self.oracle.complete_case(caller, offer), answer)

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @rule(which=numbers, who=numbers, own=mostly)
    def disputes(self, which: int, who: int, own: bool) -> None:
        if offer := self._some_offer(which, "accepted"):
            caller = offer.report.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("dispute_completion", match_id=offer.row["id"])
            self.check(lambda: self.oracle.dispute(caller, offer), answer)

    # Conversation

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @rule(which=numbers, side=st.integers(0, 4), who=numbers)
    def writes_a_message(self, which: int, side: int, who: int) -> None:
        if offer := self._some_offer(which, "accepted"):
            parties = [offer.owner, offer.report.owner]
            caller = [*parties, *parties, pick(self._everybody(), who)][side]
            cells = {"id": str(uuid.uuid4()), "body": f"from {caller.name}"}
            answer = self._actor(caller).write("POST", "messages", cells | {"matched_services": offer.row["id"]})
            self.check(lambda: self.oracle.write_message(caller, offer, cells), answer)

    @precondition(lambda self: any(offer.was_accepted for offer in self.oracle.offers))
    @rule(which=numbers, who=numbers, own=mostly)
    def keeps_a_note(self, which: int, who: int, own: bool) -> None:
        if offer := self._some_offer(which, "accepted"):
            caller = offer.owner if own else pick(self.oracle.professionals, who)
            cells = {"id": str(uuid.uuid4()), "body": f"noted by {caller.name}"}
            answer = self._actor(caller).write("POST", "case_notes", cells | {"matched_services": offer.row["id"]})
            self.check(lambda: self.oracle.write_note(caller, offer, cells), answer)

    @precondition(lambda self: self.oracle.notes)
    @rule(which=numbers, who=numbers, own=mostly, words=st.sampled_from(["again", "once more"]))
    def changes_a_note(self, which: int, who: int, own: bool, words: str) -> None:
        offer, note = pick(self.oracle.notes, which)
        caller = offer.owner if own else pick(self._everybody(), who)
        answer = self._actor(caller).write("PATCH", f"case_notes?id=eq.{note['id']}", {"body": words})
        self.check(lambda: self.oracle.change_note(caller, offer, note, words), answer)

    # Appointments

    @precondition(lambda self: self.oracle.appointments)
    @rule(which=numbers, side=st.integers(0, 3), who=numbers)
    def cancels(self, which: int, side: int, who: int) -> None:
        if appointment := pick_some(self.oracle.appointments, which):
            caller = [*appointment.parties, *appointment.parties, pick(self._everybody(), who)][side]
            answer = self._actor(caller).call(
                "cancel_appointment", appointment_id=appointment.row["appointment_id"], reason="not today"
            )
            self.check(lambda: self.oracle.cancel(caller, appointment, "not today"), answer)

    @precondition(lambda self: self.oracle.appointments)
    @rule(which=numbers, who=numbers, own=mostly)
    def holds_a_session(self, which: int, who: int, own: bool) -> None:
        if appointment := pick_some(self.oracle.appointments, which):
            caller = appointment.offer.owner if own else pick(self._everybody(), who)
            answer = self._actor(caller).call("complete_appointment", appointment_id=appointment.row["appointment_id"])
            self.check(lambda: self.oracle.complete_appointment(caller, appointment), answer)

    # What moves a case on is done more often than the rest.
    accepts_too = accepts
    accepts_more = accepts
    completes_too = completes_a_case
    opens_too = opens_a_case

    # Anybody

    @rule(who=numbers)
    def reads_the_news(self, who: int) -> None:
        person = pick(self._everybody(), who)
        moment = (self.oracle.start + timedelta(days=1)).isoformat()
        status, rows = self._actor(person).write("PATCH", "notifications?read_at=is.null", {"read_at": moment})
        assert status == 200, rows
        read = {row["id"]: row["read_at"] for row in rows}
        unread = [row for row in self.oracle.notifications[person] if row["read_at"] is None]
        assert {row["id"] for row in unread} == read.keys()
        for row in unread:
            row.set(read_at=read[row["id"]])
        self.compare(self._look())

    @rule(minutes=st.sampled_from(JUMPS), timers=mostly)
    def time_passes(self, minutes: int, timers: bool) -> None:
        if self.oracle.passed > timedelta(days=25):
            # Rules of retention are another test's.
            return
        self.oracle.passed += timedelta(minutes=minutes)
        self.stage.move_time(self.oracle.passed)
        if timers:
            status, body = self.stage.service.call("run_due_timers")
            assert status == 200, body
        self.oracle.seen = self._look()
        if timers:
            self.oracle.run_timers()
        self.compare(self.oracle.seen)

    @rule(who=numbers, whom=numbers, what=numbers)
    def trespasses(self, who: int, whom: int, what: int) -> None:
        """Writes that nobody may make: refused, or without any effect."""
        caller, victim = pick(self._everybody(), who), pick(self._everybody(), whom)
        method, path, body = pick(self._trespasses(caller, victim), what)
        status, answer = self._actor(caller).write(method, path, body)
        assert status in (400, 401, 403, 404, 405) or (status == 200 and answer == []), (method, path, answer)
        self.compare(self._look())

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
        type(self).walks += 1
        if not self._holds or self.walks % SWEEP_EVERY:
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
            else:
                assert body == expected
        if not self._sets_the_scene:
            self.compare(self.oracle.seen)

    def compare(self, seen: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
        """What every actor sees of every relation is what the oracle says."""
        for name, views in seen.items():
            assert views.keys() == set(self._relations(name)) - EMPTY
            for relation, rows in views.items():
                self._compare(name, relation, rows)
        type(self).steps += 1
        self._holds = True

    def _compare(self, name: str, relation: str, rows: list[dict[str, Any]]) -> None:
        key, expected = visible(self.oracle, self.oracle.people.get(name), relation)
        found = difference(expected, rows, key)
        assert found is None, f"{name} sees {relation} otherwise: {found}"

    def _look(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        self._holds = False
        self.oracle.seen = self.stage.look()
        return self.oracle.seen

    def _relations(self, name: str) -> list[str]:
        return list(self.stage.relations["anon" if name == VISITOR else "authenticated"])

    # Who and what

    def _everybody(self) -> list[Person]:
        return list(self.oracle.people.values())

    def _survivors(self) -> list[Person]:
        return [self.oracle.people[name] for name in SURVIVORS]

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
