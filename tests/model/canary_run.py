"""Random requests of everybody in a town; what is refused is part of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from sauti_local.ports import LOOPBACK, free_port
from sauti_local.stack import Stack, StackConfig
from tests.model.canaries import Place
from tests.model.places import Outside
from tests.model.town import Citizen, Town
from tests.support.cal_com import Story, a_tuesday, body_of, sign
from tests.support.loop_thread import LoopThread
from tests.support.races import until
from tests.sync.sms_provider import sms_provider

#: When chance left something out: at most so many rounds of so many steps more.
MORE_ROUNDS, MORE_STEPS = 16, 20
#: What has to have happened.
MOVES = {
    "accepts", "opens", "declines", "cancels", "completes", "books", "withdraws", "writes", "notes", "breaks_the_glass",
    "follows_up", "asks_to_hand_over", "answers_a_hand_over", "delivers", "manages_a_booking", "links",
    "cancels_at_cal_com", "rewrites_a_note",
}  # fmt: skip
_APPOINTMENTS: Place = ("table", "public.appointments")


class WorkingStack(ExitStack):
    """A stack with its worker, an SMS provider, and the worker's page of numbers."""

    def __init__(self, loop: LoopThread) -> None:
        super().__init__()
        port, provider = free_port(), sms_provider()
        sms = loop.run(provider.__aenter__())
        self.callback(lambda: loop.run(provider.__aexit__(None, None, None)))
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {
                "SAUTI_SMS_PROVIDER": "africastalking",
                "SAUTI_SMS_ACCOUNT": "sandbox",
                "SAUTI_SMS_SECRET": "secret-of-the-sms-account",
                "SAUTI_SMS_API_URL": sms.url,
                "SAUTI_METRICS_PORT": str(port),
                "SAUTI_POLL_SECONDS": "0.5",
            }.items():
                patch.setenv(name, value)
            sms.answer = (201, {}, {"SMSMessageData": {"Message": "", "Recipients": [{"statusCode": 101}]}})
            self.stack = Stack(StackConfig(port=0, seed=False))
            loop.run(self.stack.__aenter__())
        self.callback(lambda: loop.run(self.stack.__aexit__(None, None, None)))
        self.outside = Outside(sms, f"http://{LOOPBACK}:{port}", self.stack.environment)


class Run:
    """The cast, and what it may do next."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.aviary = town.aviary
        self.chance = town.chance
        self.done: Counter[str] = Counter()
        self.admin = town.move_in("admin", "survivor")
        town.service.send(
            "PATCH", "/profiles", params={"id": f"eq.{self.admin.caller.id}"}, json={"user_type": "admin"}
        )
        self.survivors = [town.move_in("survivor", "survivor"), town.move_in("survivor 2", "survivor", anonymous=True)]
        self.professionals = [town.move_in(f"professional {n}", "professional") for n in (1, 2, 3)]
        for professional, *kinds in zip(
            self.professionals, ("counseling", "counseling", "legal_aid"), ("legal_aid",) * 3, strict=True
        ):
            town.open_practice(professional, self.admin, *dict.fromkeys(kinds))
        self.type = town.offer_type(self.professionals[1])
        town.connect_calendar(self.professionals[0], full=True)
        town.connect_calendar(self.professionals[1])
        town.connect_calendar(self.survivors[0])
        self.webhook, self.secret = town.connect_cal_com(self.professionals[0])
        self.story = Story(a_tuesday())
        self.delivered: list[str] = []
        #: Offer → what is written in the notes of that case.
        self.noted: dict[str, list[str]] = defaultdict(list)
        #: Tokens of bookings, with the professional's.
        self.bookings: list[str] = []
        self.moves = {
            self.reports: 3,
            self.corrects: 2,
            self.accepts: 5,
            self.declines: 2,
            self.opens: 3,
            self.holds: 2,
            self.follows_up: 2,
            self.cancels: 2,
            self.completes: 2,
            self.asks_for_support: 1,
            self.withdraws: 1,
            self.books: 3,
            self.manages_a_booking: 2,
            self.delivers: 2,
            self.writes: 3,
            self.notes: 3,
            self.asks_to_hand_over: 3,
            self.answers_a_hand_over: 3,
            self.links: 1,
            self.breaks_the_glass: 1,
            self.waits: 2,
        }

    def go(self, steps: int) -> None:
        """So many moves."""
        moves, weights = list(self.moves), list(self.moves.values())
        for _ in range(steps):
            move = self.chance.choices(moves, weights)[0]
            if move():
                self.done[move.__name__] += 1

    def go_until_everything_has_happened(self, steps: int, outside: Outside) -> None:
        """At least so many moves; the database's own chance decides who is offered what, so there may be more."""
        for survivor in self.survivors:
            self.town.report(survivor)
        self.go(steps)
        for _ in range(MORE_ROUNDS):
            self.until_quiet()
            if self.done.keys() >= MOVES and outside.sms.forms:
                break
            self.go(MORE_STEPS)
        assert self.done.keys() >= MOVES, self.done
        # Two bookings in one hour: a conflict that stands at the end.
        assert self.delivers(30)
        assert self.delivers(30)

    def until_quiet(self) -> None:
        """Until the worker has done what is due."""
        until(lambda: self.town.due_jobs() == 0, "the worker has done what is due")

    # Moves; each tells whether it did something.

    def reports(self) -> bool:
        self.town.report(self.chance.choice(self.survivors))
        return True

    def corrects(self) -> bool:
        self.town.correct(self.chance.choice(self.survivors))
        return True

    def accepts(self) -> bool:
        citizen, offer = self._offer("pending")
        if offer is None:
            return False
        owner, report = self.town.report_of(offer["report_id"])
        parties = (owner.answer, owner.frame, citizen.answer, citizen.frame)
        kind = self.aviary.words("type of a first session", *parties, _APPOINTMENTS, of=[owner.name, citizen.name])
        if not self._call(citizen, "accept_match", match_id=offer["id"], mode="meet_now", appointment_type=kind):
            return False
        self.aviary.allow([report["case_code"]], citizen.answer, citizen.mail, citizen.calendar, citizen.ics)
        handed = self.town.sql.execute(
            "select matched_services::text from public.hand_overs where offered_match = %s and share_notes"
            " and status = 'completed'",
            (offer["id"],),
        ).fetchall()
        for (earlier,) in handed:
            self.noted[offer["id"]] += self.noted[earlier]
            self.aviary.allow(self.noted[earlier], citizen.answer)
            # Both have them now: what one of them has written or been given does not go when the other leaves.
            self.aviary.belong(self.noted[earlier], owner.name)
        return True

    def declines(self) -> bool:
        citizen, offer = self._offer("pending")
        if offer is None:
            return False
        owner, _ = self.town.report_of(offer["report_id"])
        places = (citizen.answer, citizen.frame, ("table", "public.matched_services"))
        reason = self.aviary.words("reason of a decline", *places, of=[citizen.name, owner.name])
        return self._call(citizen, "decline_match", match_id=offer["id"], reason=reason)

    def opens(self) -> bool:
        citizen, offer = self._offer("accepted")
        if offer is None or not self._call(citizen, "open_case", match_id=offer["id"]):
            return False
        owner, report = self.town.report_of(offer["report_id"])
        self.aviary.in_report(report, citizen.answer)
        self.aviary.allow([owner.time_zone], citizen.answer)
        return True

    def holds(self) -> bool:
        citizen, appointment = self._appointment(self.professionals)
        return appointment is not None and self._call(
            citizen, "complete_appointment", appointment_id=appointment["appointment_id"]
        )

    def follows_up(self) -> bool:
        citizen, offer = self._offer("accepted")
        if offer is None:
            return False
        owner, _ = self.town.report_of(offer["report_id"])
        slots = citizen.caller.rpc("available_slots", professional_id=citizen.caller.id, **self._days()).json()
        parties = (owner.answer, owner.frame, citizen.answer, citizen.frame)
        kind = self.aviary.words("type of a follow-up", *parties, _APPOINTMENTS, of=[owner.name, citizen.name])
        return bool(slots) and self._call(
            citizen,
            "schedule_follow_up",
            match_id=offer["id"],
            starts_at=self.chance.choice(slots)["slot_start"],
            appointment_type=kind,
        )

    def cancels(self) -> bool:
        citizen, appointment = self._appointment(self.professionals + self.survivors)
        if appointment is None:
            return False
        parties = [
            one
            for one in self.professionals + self.survivors
            if one.caller.id in (appointment["professional_id"], appointment["survivor_id"])
        ]
        places = [place for one in parties for place in (one.answer, one.frame)]
        # A visitor who booked and holds the token is a party too.
        places += [] if appointment["matched_services"] else [self.town.visitor.answer]
        reason = self.aviary.words("reason of a cancellation", *places, _APPOINTMENTS, of=[one.name for one in parties])
        return self._call(citizen, "cancel_appointment", appointment_id=appointment["appointment_id"], reason=reason)

    def completes(self) -> bool:
        citizen, offer = self._offer("accepted", self.professionals + self.survivors)
        return offer is not None and self._call(citizen, "complete_case", match_id=offer["id"])

    def asks_for_support(self) -> bool:
        citizen, report = self._report()
        return report is not None and self._call(citizen, "request_support", report_id=report["report_id"])

    def withdraws(self) -> bool:
        citizen, report = self._report()
        return report is not None and self._call(citizen, "withdraw_report", report_id=report["report_id"])

    def books(self) -> bool:
        """On the second professional's page: a visitor, or a survivor who is signed in."""
        professional, aviary = self.professionals[1], self.aviary
        visitor = self.chance.choice([self.town.visitor, self.town.visitor, *self.survivors])
        slots = visitor.caller.rpc("available_slots", professional_id=professional.caller.id, **self._days())
        if slots.status_code != 200 or not slots.json():
            return False
        places = (professional.answer, visitor.answer, ("table", "public.appointment_clients"))
        of = [visitor.name, professional.name]
        client = {
            "client_name": aviary.words("client", *places, of=of),
            "client_email": aviary.address("client's address", *places, ("mail to", ""), of=of),
            "client_phone": aviary.phone("client's phone", *places, of=of),
            "emergency_contact_name": aviary.words("client's friend", *places, of=of),
            "emergency_contact_phone": aviary.phone("client's friend's phone", *places, of=of),
            "message": aviary.words("client's message", *places, of=of),
            "locale": aviary.locale("client's locale", *places, of=of),
            "time_zone": "Asia/Kathmandu",
        }
        (card,) = visitor.caller.rows("professionals", id=f"eq.{professional.caller.id}")
        answer = visitor.caller.rpc(
            "book_appointment",
            booking_slug=card["booking_slug"],
            starts_at=self.chance.choice(slots.json())["slot_start"],
            duration_minutes=60,
            appointment_type=self.type,
            client=client,
        )
        assert answer.status_code < 500, answer.text
        if answer.status_code != 200:
            return False
        self.bookings.append(aviary.keep(answer.json()["manage_token"], "token of a booking", visitor.answer, of=of))
        return True

    def manages_a_booking(self) -> bool:
        """By whoever holds the token."""
        if not self.bookings:
            return False
        visitor, token = self.town.visitor, self.chance.choice(self.bookings)
        if not self._call(visitor, "booking_by_token", token=token) or self.chance.random() < 0.5:
            return True
        places = [place for one in (*self.survivors, self.professionals[1]) for place in (one.answer, one.frame)]
        of = [self.professionals[1].name]
        reason = self.aviary.words("reason of a visitor", *places, visitor.answer, _APPOINTMENTS, of=of)
        return self._call(visitor, "cancel_booking", token=token, reason=reason)

    def delivers(self, hour: int = 0) -> bool:
        """Cal.com tells of a booking with the first professional, of one in the same hour, or that one is cancelled."""
        professional, aviary = self.professionals[0], self.aviary
        of = [professional.name]
        kept = (professional.answer, ("table", "private.cal_com_bookings"))
        seen = (*kept, professional.frame, _APPOINTMENTS)
        in_clients = (*kept, ("table", "public.appointment_clients"))
        everywhere = (*kept, ("table", "private.cal_com_deliveries"), ("table", "public.cal_com_conflicts"))
        if not hour and len(self.delivered) > 2 and self.chance.random() < 0.5:
            self.done["cancels_at_cal_com"] += 1
            reason = aviary.words("reason at Cal.com", *seen, of=of)
            # The last one stays.
            event = self.story.cancelled(self.chance.choice(self.delivered[:-1]), cancellationReason=reason)
        else:
            uid = aviary.words("booking at Cal.com", *everywhere, of=of)
            self.delivered.append(uid)
            attendee = {
                "name": aviary.words("attendee", *in_clients, of=of),
                "email": aviary.address("attendee's address", *in_clients, of=of),
                "phoneNumber": aviary.phone("attendee's phone", *in_clients, of=of),
                "timeZone": "Asia/Kathmandu",
                "language": {"locale": aviary.locale("attendee's locale", *in_clients, of=of)},
            }
            hour = hour or self.chance.choice([0, 3, 6])
            event = self.story.created(
                uid,
                hour,
                attendees=[attendee],
                title=aviary.words("title at Cal.com"),
                type=aviary.words("type at Cal.com", *seen, of=of),
                additionalNotes=aviary.words("notes at Cal.com", *in_clients, of=of),
                location=aviary.words("place at Cal.com", *seen, professional.calendar, of=of),
                metadata={"videoCallUrl": aviary.link("room at Cal.com", *seen, professional.calendar, of=of)},
                organizer={"name": aviary.words("organizer"), "email": aviary.address("organizer's address")},
                responses={"name": {"label": "your_name", "value": aviary.words("another name")}},
            )
        body = body_of(event)
        headers = {"content-type": "application/json", "x-cal-signature-256": sign(body, self.secret)}
        answer = httpx.post(self.webhook, content=body, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code < 500, answer.text
        return answer.status_code == 200

    def writes(self) -> bool:
        citizen, offer = self._offer("accepted", self.professionals + self.survivors)
        if offer is None:
            return False
        owner, _ = self.town.report_of(offer["report_id"])
        holder = next(one for one in self.professionals if one.caller.id == offer["professional_id"])
        places = (owner.answer, owner.frame, holder.answer, holder.frame, ("table", "public.messages"))
        body = self.aviary.words("message", *places, of=[owner.name, holder.name])
        return self._write(citizen, "messages", {"matched_services": offer["id"], "body": body})

    def notes(self) -> bool:
        """A new note, or another word in an old one."""
        citizen, offer = self._offer("accepted")
        if offer is None:
            return False
        owner, _ = self.town.report_of(offer["report_id"])
        tables = (("table", "public.case_notes"), ("table", "public.case_note_versions"))
        body = self.aviary.words("note", citizen.answer, *tables, of=[owner.name, citizen.name])
        self.noted[offer["id"]].append(body)
        if self.noted[offer["id"]][1:]:
            which = {"matched_services": f"eq.{offer['id']}"}
            answer = citizen.caller.send("PATCH", "/case_notes", params=which, json={"body": body})
            assert answer.status_code == 204, answer.text
            self.done["rewrites_a_note"] += 1
            return True
        return self._write(citizen, "case_notes", {"matched_services": offer["id"], "body": body})

    def asks_to_hand_over(self) -> bool:
        citizen, offer = self._offer("accepted")
        if offer is None:
            return False
        owner, _ = self.town.report_of(offer["report_id"])
        colleagues = [one for one in self.professionals if one is not citizen and offer["service_type"] in one.services]
        colleague = self.chance.choice(colleagues)
        places = (owner.answer, citizen.answer, ("table", "public.hand_overs"))
        reason = self.aviary.words("reason of a hand-over", *places, of=[owner.name, citizen.name])
        return self._call(
            citizen,
            "request_hand_over",
            match_id=offer["id"],
            service_id=colleague.services[offer["service_type"]],
            share_notes=self.chance.random() < 0.5,
            reason=reason,
        )

    def answers_a_hand_over(self) -> bool:
        citizen = self.chance.choice(self.survivors)
        asked = citizen.caller.rows("hand_overs", status="in.(requested,consented)", order="created_at")
        if not asked:
            return False
        agrees = self.chance.random() < 0.8
        hand_over = self.chance.choice(asked)
        return self._call(citizen, "answer_hand_over", hand_over_id=hand_over["id"], agrees=agrees)

    def links(self) -> bool:
        citizen, appointment = self._appointment(self.professionals + self.survivors)
        return appointment is not None and self._call(
            citizen, "add_to_calendar_links", appointment_id=appointment["appointment_id"]
        )

    def breaks_the_glass(self) -> bool:
        owner, report = self._report()
        if report is None:
            return False
        reason = self.aviary.words(
            "reason of an administrator",
            *(self.admin.answer, owner.answer),
            *(("table", "private.access_log_entries"), ("table", "private.audit_log")),
            of=[owner.name],
        )
        arguments = {"report_id": report["report_id"], "reason": f"an emergency: {reason}"}
        if not self._call(self.admin, "break_glass", **arguments):
            return False
        self.aviary.in_report(report, self.admin.answer)
        self.aviary.allow([owner.time_zone], self.admin.answer)
        return True

    def waits(self) -> bool:
        self.town.pass_hours(self.chance.choice([1, 2, 5, 13]))
        return True

    def _days(self) -> dict[str, str]:
        (row,) = self.town.sql.execute(
            "select (private.clock() + interval '3 days')::date::text,"
            " (private.clock() + interval '20 days')::date::text"
        ).fetchall()
        return {"from_date": row[0], "to_date": row[1]}

    def _report(self) -> tuple[Citizen, dict[str, Any] | None]:
        citizen = self.chance.choice(self.survivors)
        return citizen, self.chance.choice(citizen.reports) if citizen.reports else None

    def _offer(self, status: str, who: list[Citizen] | None = None) -> tuple[Citizen, dict[str, Any] | None]:
        citizen = self.chance.choice(who or self.professionals)
        offers = citizen.caller.rows("matched_services", match_status_type=f"eq.{status}", order="offered_at,id")
        return citizen, self.chance.choice(offers) if offers else None

    def _appointment(self, who: list[Citizen]) -> tuple[Citizen, dict[str, Any] | None]:
        citizen = self.chance.choice(who)
        rows = citizen.caller.rows("appointments", status="in.(requested,confirmed)", order="created_at")
        return citizen, self.chance.choice(rows) if rows else None

    def _write(self, citizen: Citizen, relation: str, row: dict[str, Any]) -> bool:
        answer = citizen.caller.send("POST", f"/{relation}", json=row, headers={"Prefer": "return=representation"})
        assert answer.status_code < 500, answer.text
        return answer.status_code == 201

    def _call(self, citizen: Citizen, function: str, **arguments: Any) -> bool:
        answer = citizen.caller.rpc(function, **arguments)
        assert answer.status_code < 500, answer.text
        return answer.status_code == 200
