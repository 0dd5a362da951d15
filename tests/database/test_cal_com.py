"""Cal.com bookings become appointments: every event, any order, any number of times."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.support.cal_com import (
    CLIENT_EMAIL,
    CLIENT_NAME,
    CUSTOM_TEMPLATES,
    Event,
    Story,
    a_tuesday,
    hash_of,
    stamp,
    uids,
)
from tests.support.cases import A_WEDNESDAY, Cases, Professional, Row, accept, call
from tests.support.refusals import forbidden, refused

#: When the first booking of a story begins.
DAY = a_tuesday(A_WEDNESDAY)


class Diary:
    """One professional's bookings."""

    def __init__(self, cases: Cases) -> None:
        self.cases = cases
        self.professional = cases.professional()
        self.service = cases.database.as_service()
        self.story = Story(DAY)

    def take(self, event: Any, body_hash: str | None = None) -> str:
        """What the webhook does with a delivery that is signed well; gives back the outcome."""
        answer = call(
            self.service, "apply_cal_com_event", self.professional.id, Jsonb(event), body_hash or hash_of(event)
        )
        outcome: str = answer["outcome"]
        return outcome

    def take_all(self, events: Sequence[Event]) -> list[str]:
        return [self.take(event) for event in events]

    def appointments(self) -> list[Row]:
        return self.cases.sql.execute(
            "select * from public.appointments where professional_id = %s order by created_at, appointment_id",
            (self.professional.id,),
        ).fetchall()

    def only(self) -> Row:
        (appointment,) = self.appointments()
        return appointment

    def live(self) -> list[tuple[float, int, str]]:
        """Hours after the first booking, minutes and status of what holds time, and of what was a no-show."""
        rows = self.cases.sql.execute(
            "select extract(epoch from appointment_date - %s) / 3600 as hours, duration_minutes, status::text"
            " from public.appointments where professional_id = %s and status <> 'cancelled' order by 1",
            (DAY, self.professional.id),
        ).fetchall()
        return [(float(row["hours"]), row["duration_minutes"], row["status"]) for row in rows]

    def count(self, relation: str, where: str = "true") -> int:
        return self.cases.count(relation, f"professional_id = %s and {where}", self.professional.id)

    def notifications(self) -> list[str]:
        rows = self.cases.sql.execute(
            "select kind from public.notifications where user_id = %s order by created_at, kind",
            (self.professional.id,),
        )
        return [row["kind"] for row in rows]

    def connect(self) -> None:
        call(
            self.service, "store_cal_com_connection", self.professional.id, "https://cal.com/amina",
            "v1.k1.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        )  # fmt: skip

    def connection(self) -> Row:
        return self.cases.one(
            "select * from public.cal_com_connections where professional_id = %s", self.professional.id
        )


@pytest.fixture
def diary(cases: Cases) -> Diary:
    return Diary(cases)


# One event each


def test_a_booking_becomes_a_confirmed_appointment_with_its_client(diary: Diary) -> None:
    assert diary.take(diary.story.created("a")) == "applied"
    appointment = diary.only()
    assert (appointment["appointment_date"], appointment["duration_minutes"]) == (DAY, 60)
    assert (appointment["status"], appointment["created_via"]) == ("confirmed", "cal_com")
    assert appointment["survivor_id"] is None
    assert appointment["meeting_url"] == "https://app.cal.com/video/a"
    assert appointment["location"] is None
    assert appointment["appointment_type"] == "intro-call"
    client = diary.cases.one(
        "select * from public.appointment_clients where appointment_id = %s", appointment["appointment_id"]
    )
    assert (client["client_name"], client["client_email"]) == (CLIENT_NAME, CLIENT_EMAIL)
    assert (client["client_phone"], client["locale"], client["time_zone"]) == (
        "+254 700 000000",
        "sw",
        "Africa/Nairobi",
    )
    assert diary.notifications() == ["appointment_confirmed"]


def test_a_booking_blocks_the_time_for_sauti_and_goes_into_the_calendars(diary: Diary) -> None:
    diary.cases.sql.execute(
        "insert into public.calendar_connections (user_id, provider, account_label, calendar_id)"
        " values (%s, 'caldav', 'work', 'https://dav.example.org/sessions/')",
        (diary.professional.id,),
    )
    diary.take(diary.story.created("a"))
    job = diary.cases.one(
        "select * from private.outbox_jobs where kind = 'calendar_event' and appointment_id = %s",
        diary.only()["appointment_id"],
    )
    assert job["state"] == "pending"
    offer = diary.cases.offer(diary.cases.file_report(diary.cases.survivor()), diary.professional)
    with refused("slot_taken"):
        accept(diary.professional.sql, offer["id"], DAY + timedelta(minutes=30))


def test_no_name_leaves_the_clients_own_table(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    diary.take(diary.story.rescheduled("b", "a", 2))
    for relation in (
        "public.appointments", "public.notifications", "private.outbox_jobs", "realtime.messages",
        "private.cal_com_bookings", "private.cal_com_deliveries",
    ):  # fmt: skip
        rows = (
            diary.cases.database.as_superuser().execute(f"select to_jsonb(t)::text as row from {relation} t").fetchall()
        )
        assert rows
        for row in rows:
            assert "Zawadi" not in row["row"]
            assert CLIENT_EMAIL not in row["row"]


def test_a_request_waits_and_is_confirmed_by_a_later_event(diary: Diary) -> None:
    diary.take(diary.story.requested("a"))
    first = diary.only()
    assert first["status"] == "requested"
    diary.take(diary.story.created("a"))
    assert (diary.only()["appointment_id"], diary.only()["status"]) == (first["appointment_id"], "confirmed")


@pytest.mark.parametrize("form", ["Z", ".000Z", "+00:00"])
def test_every_form_of_a_time_is_the_same_moment(diary: Diary, form: str) -> None:
    diary.take(diary.story.created("a", form=form) | {"createdAt": stamp(DAY - timedelta(days=9), form)})
    assert diary.live() == [(0, 60, "confirmed")]


def test_a_move_keeps_the_appointment_and_raises_its_sequence(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    first = diary.only()
    diary.take(diary.story.rescheduled("b", "a", 26))
    moved = diary.only()
    assert moved["appointment_id"] == first["appointment_id"]
    assert moved["appointment_date"] == DAY + timedelta(hours=26)
    assert moved["sequence"] == first["sequence"] + 1
    assert moved["meeting_url"] == "https://app.cal.com/video/b"
    diary.take(diary.story.rescheduled("c", "b", 26.5, 26))
    assert diary.live() == [(26.5, 60, "confirmed")]
    assert diary.only()["appointment_id"] == first["appointment_id"]
    diary.take(diary.story.cancelled("c", 26.5))
    assert diary.live() == []


def test_a_move_that_arrives_as_a_request_waits_again(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    diary.take(diary.story.requested("b", 4, rescheduleUid="a"))
    assert diary.live() == [(4, 60, "requested")]
    assert len(diary.appointments()) == 1


def test_a_cancelled_booking_frees_its_time_and_says_why(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    diary.take(diary.story.cancelled("a"))
    appointment = diary.only()
    assert (appointment["status"], appointment["cancel_reason"]) == ("cancelled", "Travelling")
    assert diary.notifications()[-1] in ("appointment_cancelled", "appointment_confirmed")
    assert "appointment_cancelled" in diary.notifications()


def test_a_rejected_request_is_cancelled(diary: Diary) -> None:
    diary.take(diary.story.requested("a"))
    diary.take(diary.story.rejected("a"))
    assert (diary.only()["status"], diary.only()["cancel_reason"]) == ("cancelled", "Fully booked")


def test_asking_for_another_time_frees_the_old_one_and_the_answer_makes_a_new_appointment(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    diary.take(diary.story.cancelled("a", requestReschedule=True))
    assert diary.live() == []
    diary.take(diary.story.rescheduled("b", "a", 5))
    assert diary.live() == [(5, 60, "confirmed")]


def test_a_payment_confirms_once(diary: Diary) -> None:
    diary.take(diary.story.requested("a"))
    diary.take(diary.story.paid("a"))
    diary.take(diary.story.created("a"))
    assert diary.live() == [(0, 60, "confirmed")]
    assert len(diary.appointments()) == 1
    assert diary.notifications().count("appointment_confirmed") == 1


def test_a_no_show_is_marked_and_only_where_somebody_was_absent(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    diary.take(diary.story.no_show("a", absent=False))
    assert diary.live() == [(0, 60, "confirmed")]
    diary.take(diary.story.no_show("a"))
    assert diary.live() == [(0, 60, "no_show")]


def test_what_says_nothing_about_bookings_is_answered_and_changes_nothing(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    before = diary.appointments()
    for event in (
        diary.story.meeting("MEETING_STARTED", "a"),
        diary.story.meeting("MEETING_ENDED", "a"),
        diary.story.booking("BOOKING_PAYMENT_INITIATED", "z"),
        {"triggerEvent": "PING", "createdAt": stamp(DAY)},
        {"triggerEvent": "OOO_CREATED", "createdAt": stamp(DAY), "payload": {"oooEntry": {"id": 1}}},
        {"triggerEvent": "SOMETHING_NEW", "payload": [1, 2]},
    ):
        assert diary.take(event) == "ignored"
    assert diary.appointments() == before


def test_what_strangers_wrote_costs_no_booking_and_no_line(diary: Diary) -> None:
    hostile = diary.story.created(
        "a",
        attendees=[
            {"name": "Eve\r\nBcc: all@example.org\u2028<b>" + "x" * 500, "email": "eve@x\r\n", "timeZone": "Mars/X"}
        ],
        location="Room 4\r\nX-Evil: 1",
        metadata={"videoCallUrl": "javascript:alert(1)"},
        type="a\tb" * 100,
        additionalNotes="n" * 10_000,
    )
    assert diary.take(hostile) == "applied"
    appointment = diary.only()
    assert (appointment["meeting_url"], appointment["location"]) == (None, "Room 4 X-Evil: 1")
    client = diary.cases.one(
        "select * from public.appointment_clients where appointment_id = %s", appointment["appointment_id"]
    )
    assert client["client_name"].startswith("Eve Bcc: all@example.org b x")
    assert len(client["client_name"]) <= 120
    assert (client["client_email"], client["time_zone"]) == (None, "UTC")


def test_a_booking_without_attendees_is_a_booking(diary: Diary) -> None:
    shapes: tuple[Any, ...] = ([], None, {}, "x", [None], [7])
    for number, attendees in enumerate(shapes):
        assert (
            diary.take(diary.story.created(f"a{number}", 2 * number, attendees=attendees, responses=None)) == "applied"
        )
    assert len(diary.live()) == 6


def test_a_short_meeting_holds_the_shortest_appointment(diary: Diary) -> None:
    diary.take(diary.story.created("a", minutes=15))
    assert diary.live() == [(0, 30, "confirmed")]


# Order and repetition


def test_a_body_counts_once(diary: Diary) -> None:
    event = diary.story.created("a")
    assert diary.take_all([event, event, event]) == ["applied", "duplicate", "duplicate"]
    assert diary.notifications() == ["appointment_confirmed"]


def test_the_same_event_in_another_body_counts_once(diary: Diary) -> None:
    event = diary.story.created("a")
    diary.take(event)
    assert diary.take(event | {"webhookVersion": "2"}) == "duplicate"
    assert len(diary.appointments()) == 1


def test_a_cancelled_booking_is_not_revived_by_a_late_event(diary: Diary) -> None:
    late, cancelled, newer = diary.story.created("a"), diary.story.cancelled("a"), diary.story.created("a", 1)
    diary.take_all([cancelled, late, newer])
    assert diary.live() == []


def test_an_older_event_never_overwrites_a_newer_one(diary: Diary) -> None:
    older, newer = diary.story.created("a", 0), diary.story.created("a", 3)
    diary.take_all([newer, older])
    assert diary.live() == [(3, 60, "confirmed")]


def test_of_two_events_of_one_moment_the_confirmation_counts(diary: Diary) -> None:
    moment = {"createdAt": stamp(DAY - timedelta(days=9))}
    diary.take_all([diary.story.requested("a") | moment, diary.story.created("a") | moment])
    diary.take_all([diary.story.created("b", 2) | moment, diary.story.requested("b", 2) | moment])
    assert diary.live() == [(0, 60, "confirmed"), (2, 60, "confirmed")]


Plot = Callable[[Story], list[Event]]

#: Stories, and what stands in the diary at their end.
STORIES: dict[str, tuple[Plot, list[tuple[float, int, str]]]] = {
    "requested, confirmed": (lambda s: [s.requested("a"), s.created("a")], [(0, 60, "confirmed")]),
    "requested, rejected": (lambda s: [s.requested("a"), s.rejected("a")], []),
    "created, cancelled": (lambda s: [s.created("a"), s.paid("a"), s.cancelled("a")], []),
    "created, no-show": (lambda s: [s.created("a"), s.paid("a"), s.no_show("a")], [(0, 60, "no_show")]),
    "moved": (lambda s: [s.created("a"), s.rescheduled("b", "a", 3)], [(3, 60, "confirmed")]),
    "moved by half an hour": (lambda s: [s.created("a"), s.rescheduled("b", "a", 0.5)], [(0.5, 60, "confirmed")]),
    "moved twice": (
        lambda s: [s.created("a"), s.rescheduled("b", "a", 3), s.rescheduled("c", "b", 1, 3)],
        [(1, 60, "confirmed")],
    ),
    "moved there and back": (
        lambda s: [s.created("a"), s.rescheduled("b", "a", 3), s.rescheduled("c", "b", 0, 3)],
        [(0, 60, "confirmed")],
    ),
    "moved twice, cancelled": (
        lambda s: [s.created("a"), s.rescheduled("b", "a", 3), s.rescheduled("c", "b", 1, 3), s.cancelled("c", 1)],
        [],
    ),
    "asked for another time, answered": (
        lambda s: [s.created("a"), s.cancelled("a", requestReschedule=True), s.rescheduled("b", "a", 5)],
        [(5, 60, "confirmed")],
    ),
    "moved to a request, confirmed": (
        lambda s: [s.created("a"), s.requested("b", 4, rescheduleUid="a"), s.created("b", 4, rescheduleUid="a")],
        [(4, 60, "confirmed")],
    ),
    "freed and taken by another": (
        lambda s: [s.created("a"), s.cancelled("a"), s.created("z", 0.5)],
        [(0.5, 60, "confirmed")],
    ),
    "moved away and taken by another": (
        lambda s: [s.created("a"), s.rescheduled("b", "a", 6), s.created("z", 0.5), s.no_show("z")],
        [(0.5, 60, "no_show"), (6, 60, "confirmed")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("plot, end", STORIES.values(), ids=STORIES.keys())
def test_every_order_of_a_story_has_the_same_end(cases: Cases, plot: Plot, end: list[tuple[float, int, str]]) -> None:
    for order in itertools.permutations(plot(Story(DAY))):
        diary = Diary(cases)
        diary.take_all(order)
        assert diary.live() == end, uids(order)
        assert diary.count("public.cal_com_conflicts", "resolved_at is null") == 0, uids(order)
        assert diary.count("public.availability_exceptions") == 0, uids(order)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_all_stories_at_once_in_any_order_and_repetition_have_the_same_end(cases: Cases, data: st.DataObject) -> None:
    story = Story(DAY)
    events: list[Event] = []
    end: list[tuple[float, int, str]] = []
    for number, (plot, stands) in enumerate(itertools.islice(STORIES.values(), 4, None)):
        shift = 24 * number
        story.day = DAY + timedelta(hours=shift)
        for event in plot(story):
            payload = dict(event["payload"])
            for name in ("uid", "bookingUid", "rescheduleUid"):
                if name in payload:
                    payload[name] = f"{number}{payload[name]}"
            events.append(event | {"payload": payload})
        end += [(hours + shift, minutes, status) for hours, minutes, status in stands]
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=5))
    order = data.draw(st.permutations(events + repeated))
    diary = Diary(cases)
    diary.take_all(order)
    assert diary.live() == sorted(end), uids(order)


Told = tuple[str, int, int | None, int, int]

#: What Cal.com could tell: event, which booking, which one it replaces, minute of making, which of its times.
TELLING = st.tuples(
    st.sampled_from(["CREATED", "REQUESTED", "RESCHEDULED", "PAID", "CANCELLED"]),
    st.integers(0, 3),
    st.none() | st.integers(0, 3),
    st.integers(0, 5),
    st.integers(0, 2),
)


def is_consistent(told: list[Told]) -> bool:
    """Whether each booking replaces one earlier booking at most, and each event has one body."""
    replaced: dict[int, int] = {}
    for _, number, former, _, _ in told:
        if former is not None and (former >= number or replaced.setdefault(number, former) != former):
            return False
    return len({(trigger, number, minute) for trigger, number, _, minute, _ in told}) == len(told)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=st.lists(TELLING, min_size=1, max_size=8), data=st.data())
def test_no_telling_breaks_and_the_order_of_a_consistent_one_does_not_matter(
    cases: Cases, told: list[Told], data: st.DataObject
) -> None:
    story = Story(DAY)
    events = []
    for trigger, number, former, minute, variant in told:
        more = {} if former is None else {"rescheduleUid": f"uid {former}"}
        status = "PENDING" if trigger == "REQUESTED" else "ACCEPTED"
        # Times of their own: who is there first decides about an overlap.
        event = story.booking(f"BOOKING_{trigger}", f"uid {number}", 9 * number + 3 * variant, status=status, **more)
        events.append(event | {"createdAt": stamp(DAY - timedelta(days=30) + timedelta(minutes=minute))})
    one, other = Diary(cases), Diary(cases)
    one.take_all(events)
    other.take_all(data.draw(st.permutations(events)))
    if is_consistent(told):
        assert one.live() == other.live()


# Conflicts


@pytest.fixture
def rival(diary: Diary) -> Row:
    """An appointment of a case at the first booking's time."""
    case = diary.cases.accepted(professional=diary.professional)
    call(diary.professional.sql, "cancel_appointment", case.appointment["appointment_id"])
    diary.cases.sql.execute(
        "insert into public.appointments"
        " (professional_id, survivor_id, matched_services, appointment_date, status, created_via)"
        " values (%s, %s, %s, %s, 'confirmed', 'follow_up')",
        (diary.professional.id, case.survivor.id, case.match_id, DAY),
    )
    return diary.cases.one(
        "select * from public.appointments where professional_id = %s and status = 'confirmed'", diary.professional.id
    )


def test_an_overlap_is_a_conflict_that_the_professional_sees_and_hears_of_once(diary: Diary, rival: Row) -> None:
    event = diary.story.created("a", 0.5, 90)
    assert diary.take(event) == "conflict"
    assert diary.take(event) == "duplicate"
    assert diary.take(diary.story.booking("BOOKING_PAID", "a", 0.5, 90)) == "conflict"
    (conflict,) = diary.professional.sql.execute("select * from public.cal_com_conflicts").fetchall()
    assert (conflict["kind"], conflict["booking_uid"], conflict["resolved_at"]) == ("overlap", "a", None)
    assert conflict["appointment_id"] == rival["appointment_id"]
    assert diary.notifications().count("cal_com_conflict") == 1
    assert diary.live() == [(0, 60, "confirmed")]
    assert diary.cases.database.as_user(uuid.uuid4()).execute("select * from public.cal_com_conflicts").fetchall() == []


def test_the_time_of_a_conflict_is_offered_to_nobody(diary: Diary, rival: Row) -> None:
    diary.take(diary.story.created("a", 0.5, 90))
    (blocked,) = diary.professional.sql.execute("select * from public.availability_exceptions").fetchall()
    assert blocked["kind"] == "blocked"
    assert (blocked["during"].lower, blocked["during"].upper) == (
        DAY + timedelta(minutes=30),
        DAY + timedelta(minutes=120),
    )


def test_slots_go_and_come_with_bookings_and_conflicts(diary: Diary, rival: Row) -> None:
    diary.cases.sql.execute(
        "insert into public.scheduling_preferences (professional_id, horizon_days, slot_interval_minutes)"
        " values (%s, 730, 60)",
        (diary.professional.id,),
    )

    def free() -> list[int]:
        rows = diary.professional.sql.execute(
            "select slot_start from public.available_slots(%s, %s, %s)", (diary.professional.id, DAY.date(), DAY.date())
        )
        return [row["slot_start"].astimezone(UTC).hour for row in rows]

    assert free() == [10, 11, 12, 13, 14, 15, 16]
    diary.take(diary.story.created("a", 3))
    assert free() == [10, 11, 13, 14, 15, 16]
    diary.take(diary.story.rescheduled("b", "a", 4, 3))
    assert free() == [10, 11, 12, 14, 15, 16]
    assert diary.take(diary.story.created("c", 0.5, 90)) == "conflict"
    assert free() == [11, 12, 14, 15, 16]
    diary.take(diary.story.cancelled("b", 4))
    diary.take(diary.story.cancelled("c", 0.5))
    assert free() == [10, 11, 12, 13, 14, 15, 16]


def test_a_conflict_is_over_when_the_other_appointment_goes(diary: Diary, rival: Row) -> None:
    diary.take(diary.story.created("a", 0.5))
    call(diary.professional.sql, "cancel_appointment", rival["appointment_id"])
    assert diary.live() == [(0.5, 60, "confirmed")]
    assert diary.count("public.cal_com_conflicts", "resolved_at is null") == 0
    assert diary.count("public.availability_exceptions") == 0
    client = diary.cases.one("select client_name from public.appointment_clients")
    assert client["client_name"] == CLIENT_NAME


def test_a_conflict_is_over_when_the_booking_goes_or_moves(diary: Diary, rival: Row) -> None:
    diary.take(diary.story.created("a", 0.5))
    diary.take(diary.story.cancelled("a", 0.5))
    diary.take(diary.story.created("b", 0.5))
    diary.take(diary.story.rescheduled("c", "b", 8, 0.5))
    assert diary.live() == [(0, 60, "confirmed"), (8, 60, "confirmed")]
    assert diary.count("public.cal_com_conflicts") == 2
    assert diary.count("public.cal_com_conflicts", "resolved_at is null") == 0
    assert diary.count("public.availability_exceptions") == 0


def test_a_booking_moved_into_an_overlap_leaves_its_old_time(diary: Diary, rival: Row) -> None:
    diary.take(diary.story.created("a", 8))
    diary.take(diary.story.rescheduled("b", "a", 0.5, 8))
    assert diary.live() == [(0, 60, "confirmed")]
    assert diary.count("public.cal_com_conflicts", "resolved_at is null") == 1


def test_a_booking_longer_than_an_appointment_can_be_blocks_its_time_and_is_seen(diary: Diary) -> None:
    assert diary.take(diary.story.created("a", 0, 240)) == "conflict"
    (conflict,) = diary.professional.sql.execute("select * from public.cal_com_conflicts").fetchall()
    assert (conflict["kind"], conflict["appointment_id"]) == ("duration", None)
    assert diary.count("public.availability_exceptions", "kind = 'blocked'") == 1


def test_what_the_professional_ended_here_is_not_taken_up_again(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    call(diary.professional.sql, "cancel_appointment", diary.only()["appointment_id"])
    diary.take(diary.story.paid("a"))
    assert diary.live() == []


# What cannot be read, and who may ask


@pytest.mark.parametrize("event", CUSTOM_TEMPLATES.values(), ids=CUSTOM_TEMPLATES.keys())
def test_a_custom_payload_is_refused_and_the_connection_says_so(diary: Diary, event: Any) -> None:
    diary.connect()
    assert diary.take(event, "f" * 64) == "refused"
    assert diary.take(event, "e" * 64) == "refused"
    connection = diary.connection()
    assert (connection["status"], connection["last_error"]) == ("needs_attention", "custom_payload_template")
    assert diary.notifications() == ["cal_com_needs_attention"]
    assert diary.appointments() == []
    assert diary.count("private.cal_com_deliveries") == 0
    diary.take(diary.story.created("a"))
    assert (diary.connection()["status"], diary.connection()["last_error"]) == ("active", None)


def test_the_answer_to_a_custom_payload_is_a_registered_error(diary: Diary) -> None:
    answer = call(diary.service, "apply_cal_com_event", diary.professional.id, Jsonb({"x": 1}), "f" * 64)
    assert (answer["code"], answer["message"]) == ("PT422", "invalid_input")
    assert answer["details"]
    assert answer["hint"]


def test_an_unknown_professional_is_not_found(cases: Cases, diary: Diary) -> None:
    event = diary.story.created("a")
    with refused("not_found"):
        call(diary.service, "apply_cal_com_event", uuid.uuid4(), Jsonb(event), hash_of(event))
    with refused("not_found"):
        call(diary.service, "apply_cal_com_event", cases.survivor().id, Jsonb(event), hash_of(event))
    for body_hash in ("", "x" * 129, None):
        with refused("invalid_input"):
            call(diary.service, "apply_cal_com_event", diary.professional.id, Jsonb(event), body_hash)


def test_only_the_service_role_applies_events_and_reads_secrets(diary: Diary) -> None:
    diary.connect()
    event = diary.story.created("a")
    for sql in (diary.professional.sql, diary.cases.database.as_anon()):
        with forbidden():
            call(sql, "apply_cal_com_event", diary.professional.id, Jsonb(event), hash_of(event))
        with forbidden():
            call(sql, "cal_com_secret", diary.professional.id)
        with forbidden():
            call(sql, "store_cal_com_connection", diary.professional.id, "https://cal.com/eve", "v1.a.b.c")
    assert diary.appointments() == []
    assert call(diary.service, "cal_com_secret", uuid.uuid4()) is None


def test_a_connection_is_its_owners_alone_and_takes_its_secret_along(cases: Cases, diary: Diary) -> None:
    diary.connect()
    other = cases.professional()
    assert other.sql.execute("select * from public.cal_com_connections").fetchall() == []
    assert other.sql.execute("delete from public.cal_com_connections").rowcount == 0
    with forbidden():
        diary.professional.sql.execute("update public.cal_com_connections set booking_link = 'https://x'")
    with forbidden():
        diary.professional.sql.execute("select * from private.cal_com_secrets")
    assert call(diary.service, "cal_com_secret", diary.professional.id).startswith("v1.")
    assert diary.professional.sql.execute("delete from public.cal_com_connections").rowcount == 1
    assert call(diary.service, "cal_com_secret", diary.professional.id) is None


@pytest.mark.parametrize(
    "link, secret, symbol",
    [
        ("http://cal.com/x", "v1.k.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "invalid_input"),
        ("https://cal.com/x\n", "v1.k.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "invalid_input"),
        ("https://cal.com/x", "plain secret", "invalid_input"),
    ],
    ids=["no https", "line break", "no ciphertext"],
)
def test_only_links_and_ciphertexts_are_stored(diary: Diary, link: str, secret: str, symbol: str) -> None:
    with refused(symbol):
        call(diary.service, "store_cal_com_connection", diary.professional.id, link, secret)


def test_survivors_have_no_booking_page(cases: Cases, diary: Diary) -> None:
    with refused("not_allowed"):
        call(diary.service, "store_cal_com_connection", cases.survivor().id, "https://cal.com/x", "v1.a.b.c")


def test_deliveries_are_forgotten_after_ninety_days(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    diary.cases.pass_time(days=91)
    diary.take(diary.story.created("b", 5))
    assert diary.count("private.cal_com_deliveries") == 1


def test_the_same_event_delivered_twice_at_once_counts_once(committed: Cases) -> None:
    diary = Diary(committed)
    event = diary.story.created("a")
    first, second = committed.database.as_service(), committed.database.as_service()
    first.autocommit = False
    call(first, "apply_cal_com_event", diary.professional.id, Jsonb(event), hash_of(event))
    second.execute("set lock_timeout = '50ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        call(second, "apply_cal_com_event", diary.professional.id, Jsonb(event), hash_of(event))
    first.commit()
    second.execute("set lock_timeout = '5s'")
    answer = call(second, "apply_cal_com_event", diary.professional.id, Jsonb(event), hash_of(event))
    assert answer["outcome"] == "duplicate"
    assert len(diary.appointments()) == 1


def test_a_case_accepted_at_the_same_time_and_a_booking_never_both_hold_it(committed: Cases) -> None:
    diary = Diary(committed)
    offer = committed.offer(committed.file_report(committed.survivor()), diary.professional)
    acceptance, webhook = committed.database.as_user(diary.professional.id), diary.service
    acceptance.autocommit = False
    acceptance.execute("select * from public.accept_match(%s, 'schedule_later', %s)", (offer["id"], DAY))
    event = diary.story.created("a", 0.5)
    webhook.execute("set lock_timeout = '50ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        diary.take(event)
    acceptance.commit()
    webhook.execute("set lock_timeout = '5s'")
    assert diary.take(event) == "conflict"
    assert diary.live() == [(0, 60, "confirmed")]


def test_the_client_of_an_old_conflict_is_forgotten(diary: Diary, rival: Row) -> None:
    diary.take(diary.story.created("a", 0.5))
    assert diary.count("private.cal_com_bookings", "details is not null") == 1
    days = (DAY - diary.cases.now()).days + 95
    diary.cases.pass_time(days=days)
    diary.take(diary.story.created("b", 24 * 200))
    assert diary.count("private.cal_com_bookings", "details is not null") == 0


# Pushing to calendars


def test_pushing_writes_the_callers_calendars_again_and_nobody_elses(diary: Diary) -> None:
    diary.take(diary.story.created("a"))
    appointment_id = diary.only()["appointment_id"]
    stranger: Professional = diary.cases.professional()
    for owner in (diary.professional, stranger):
        diary.cases.sql.execute(
            "insert into public.calendar_connections (user_id, provider, account_label, calendar_id)"
            " values (%s, 'caldav', 'work', 'https://dav.example.org/sessions/')",
            (owner.id,),
        )
    diary.cases.sql.execute(
        "insert into public.calendar_events (appointment_id, connection_id, provider, synced_sequence, sync_status)"
        " select %s, id, provider, 0, 'synced' from public.calendar_connections where user_id = %s",
        (appointment_id, diary.professional.id),
    )
    with refused("not_found"):
        call(stranger.sql, "push_calendar_event", appointment_id)
    assert call(diary.professional.sql, "push_calendar_event", appointment_id) == {"queued": 1}
    assert call(diary.professional.sql, "push_calendar_event", appointment_id) == {"queued": 0}
    (job,) = call_jobs(diary)
    context = diary.cases.one("select public.job_context(%s, %s) as context", job["job_id"], job["lease_token"])[
        "context"
    ]
    assert (context["state"], context["operation"]) == ("due", "upsert")


def call_jobs(diary: Diary) -> list[Row]:
    return diary.service.execute("select * from public.claim_jobs('test', 10, 30, array['calendar_event'])").fetchall()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_has_been_confirmed_is_not_asked_for_again(cases: Cases, order: tuple[int, int]) -> None:
    story = Story(DAY)
    confirmed = story.booking("BOOKING_CREATED", "uid", 0, status="ACCEPTED")
    asked_later = story.booking("BOOKING_REQUESTED", "uid", 0, status="PENDING")
    told = [
        event | {"createdAt": stamp(DAY - timedelta(days=30) + timedelta(minutes=minute))}
        for minute, event in enumerate((confirmed, asked_later))
    ]
    diary = Diary(cases)
    diary.take_all([told[place] for place in order])
    assert [status for _, _, status in diary.live()] == ["confirmed"]
