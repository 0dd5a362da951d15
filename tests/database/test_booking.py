"""A visitor books, looks, moves and cancels, with a token and nothing else; the professional confirms."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.support.cases import Cases, Professional, Row, Sql, call
from tests.support.refusals import forbidden, refused

CLIENT = {"client_name": "Wanjiku", "client_email": "wanjiku@example.org"}
#: What a booking may write: none of it may change when it is refused.
WRITTEN = (
    "public.appointments",
    "public.appointment_clients",
    "public.notifications",
    "private.booking_tokens",
    "private.booking_counters",
    "private.outbox_jobs",
)


@pytest.fixture
def professional(cases: Cases) -> Professional:
    return cases.professional(card={"is_public_booking": True, "booking_slug": "asha", "time_zone": "Africa/Nairobi"})


@pytest.fixture
def visitor(cases: Cases, professional: Professional) -> Sql:
    return cases.database.as_anon()


def slots(cases: Cases, visitor: Sql, professional: Professional, minutes: int = 60) -> list[datetime]:
    """The free slots of the coming fortnight."""
    today = cases.now().date()
    rows = visitor.execute(
        "select slot_start from public.available_slots(%s, %s, %s, %s)",
        (professional.id, today, today + timedelta(days=14), minutes),
    ).fetchall()
    return [row["slot_start"] for row in rows]


def book(visitor: Sql, starts_at: datetime, minutes: int = 60, slug: str = "asha", **client: Any) -> Row:
    """Book, as the form of any front end does."""
    made: Row = call(visitor, "book_appointment", slug, starts_at, minutes, "consultation", Jsonb(CLIENT | client))
    return made


def written(cases: Cases) -> dict[str, int]:
    return {relation: cases.count(relation) for relation in WRITTEN}


def client_mails(cases: Cases) -> list[tuple[str, Any]]:
    """The mails that are queued for the outside client, and what the worker would be told about each."""
    cases.sql.execute("update private.outbox_jobs set state = 'done' where client_template is null")
    service = cases.database.as_service()
    claimed = service.execute("select * from public.claim_jobs('w', 100, 60)").fetchall()
    return [(job["kind"], call(service, "job_context", job["job_id"], job["lease_token"])) for job in claimed]


def test_a_booking_is_a_request_that_holds_the_slot(cases: Cases, visitor: Sql, professional: Professional) -> None:
    offered = slots(cases, visitor, professional)
    starts_at = offered[3]
    assert starts_at + timedelta(minutes=30) in offered
    made = book(visitor, starts_at, message="Bad knee\n<b>bold</b>", client_phone="+254 700 000000")
    row = cases.one("select * from public.appointments where appointment_id = %s", made["appointment_id"])
    assert (row["status"], row["created_via"], row["survivor_id"]) == ("requested", "public_booking", None)
    assert (row["appointment_date"], row["time_zone"], row["sequence"]) == (starts_at, "Africa/Nairobi", 0)
    assert starts_at not in slots(cases, visitor, professional)
    with refused("slot_taken"):
        book(visitor, starts_at)
    with refused("slot_taken"):
        book(visitor, starts_at + timedelta(minutes=30))
    client = professional.sql.execute("select * from public.appointment_clients").fetchone()
    assert client is not None
    assert (client["client_name"], client["message"]) == ("Wanjiku", "Bad knee\n<b>bold</b>")
    told = cases.sql.execute("select user_id, kind from public.notifications").fetchall()
    assert told == [{"user_id": professional.id, "kind": "appointment_requested"}]


def test_every_offered_slot_is_accepted_and_no_other(cases: Cases, visitor: Sql, professional: Professional) -> None:
    professional.sql.execute(
        "insert into public.scheduling_preferences (slot_interval_minutes, buffer_before_minutes, daily_limit)"
        " values (50, 15, 2)"
    )
    professional.sql.execute(
        "insert into public.availability_exceptions (during, kind) values (tstzrange(%s, %s), 'open')",
        (cases.now() + timedelta(days=4), cases.now() + timedelta(days=4, hours=3)),
    )
    cases.sql.execute("update private.booking_settings set professional_hourly = 1000, mail_daily = 1000")
    offered = slots(cases, visitor, professional)
    assert len(offered) > 60
    for starts_at in offered[::7]:
        remaining = slots(cases, visitor, professional)
        for wrong in (starts_at + timedelta(minutes=1), starts_at - timedelta(hours=13)):
            if wrong not in remaining:
                with pytest.raises(Exception, match=r"outside_availability|slot_taken|in_the_past"):
                    book(visitor, wrong)
        if starts_at in remaining:
            book(visitor, starts_at)
        else:
            with pytest.raises(Exception, match=r"outside_availability|slot_taken"):
                book(visitor, starts_at)


def test_the_token_is_shown_once_and_kept_as_a_hash(cases: Cases, visitor: Sql, professional: Professional) -> None:
    made = book(visitor, slots(cases, visitor, professional)[0])
    token = made["manage_token"]
    assert len(token) == 43
    kept = cases.one("select token_hash from private.booking_tokens")["token_hash"]
    assert kept == hashlib.sha256(token.encode()).digest()
    everything = "".join(
        str(row)
        for relation in WRITTEN
        for row in cases.sql.execute(f"select to_jsonb(t)::text as row from {relation} t").fetchall()
    )
    assert token not in everything


def test_a_visitor_sees_moves_and_cancels_a_booking_with_its_token(
    cases: Cases, visitor: Sql, professional: Professional
) -> None:
    free = slots(cases, visitor, professional)
    made = book(visitor, free[0])
    token = made["manage_token"]
    seen = call(visitor, "booking_by_token", token)
    assert (seen["appointment_id"], seen["status"]) == (str(made["appointment_id"]), "requested")
    assert not {"Wanjiku", "wanjiku@example.org"} & set(json.dumps(seen).split('"'))
    call(professional.sql, "confirm_appointment", made["appointment_id"])

    for _ in range(2):
        moved = call(visitor, "reschedule_booking", token, free[6])
        assert datetime.fromisoformat(moved["starts_at"]) == free[6]
        assert (moved["status"], moved["sequence"]) == ("requested", 2)
    with refused("outside_availability"):
        call(visitor, "reschedule_booking", token, free[6] + timedelta(minutes=3))
    for _ in range(2):
        assert call(visitor, "cancel_booking", token, "other plans")["status"] == "cancelled"
    assert slots(cases, visitor, professional) == free
    with refused("invalid_transition"):
        call(visitor, "reschedule_booking", token, free[2])


@pytest.mark.parametrize(
    "token", ["", "x", "A" * 43, "' or true --", "\U0001f600"], ids=["none", "short", "43", "sql", "astral"]
)
def test_a_wrong_token_opens_nothing(cases: Cases, visitor: Sql, professional: Professional, token: str) -> None:
    made = book(visitor, slots(cases, visitor, professional)[0])
    for wrong in (token, str(made["appointment_id"]), made["manage_token"][:-1], made["manage_token"].swapcase()):
        for function, arguments in (
            ("booking_by_token", ()),
            ("cancel_booking", ("no",)),
            ("reschedule_booking", (cases.now() + timedelta(days=3),)),
        ):
            with refused("not_found"):
                call(visitor, function, wrong, *arguments)
    assert cases.one("select status from public.appointments")["status"] == "requested"


def test_a_slug_that_does_not_exist_and_a_private_one_are_the_same_answer(cases: Cases, visitor: Sql) -> None:
    cases.professional(card={"is_public_booking": False, "booking_slug": "hidden"})
    cases.professional(card={"is_public_booking": True, "booking_slug": "unverified"}, verified=False)
    starts_at = (cases.now() + timedelta(days=3)).replace(microsecond=0)
    answers = set()
    for slug in ("hidden", "unverified", "nobody", "", "ASHA", "' or true --", "../asha"):
        before = written(cases)
        with refused("not_found") as told:
            book(visitor, starts_at, slug=slug)
        answers.add((told.symbol, told.details, told.hint))
        assert written(cases) == before
    assert len(answers) == 1


def test_who_sees_slots_of_a_private_professional(cases: Cases) -> None:
    case = cases.accepted()
    today = cases.now().date()
    asked = (case.professional.id, today, today + timedelta(days=7))
    for actor in (case.professional.sql, case.survivor.sql):
        assert actor.execute("select * from public.available_slots(%s, %s, %s)", asked).fetchall()
    for actor in (cases.database.as_anon(), cases.survivor().sql, cases.professional().sql, cases.admin()):
        with refused("not_found"):
            actor.execute("select * from public.available_slots(%s, %s, %s)", asked)
        with refused("not_found"):
            actor.execute("select * from public.available_slots(%s, %s, %s)", (uuid.uuid4(), *asked[1:]))
    call(case.survivor.sql, "withdraw_report", case.report_id)
    with refused("not_found"):
        case.survivor.sql.execute("select * from public.available_slots(%s, %s, %s)", asked)


@pytest.mark.parametrize(
    ("first", "last", "minutes", "symbol"),
    [
        ("2027-01-02", "2027-01-01", 60, "invalid_input"),
        ("2027-01-01", "2027-04-03", 60, "invalid_input"),
        ("-infinity", "infinity", 60, "invalid_input"),
        (None, "2027-01-01", 60, "invalid_input"),
        ("2027-01-01", "2027-01-02", 29, "invalid_duration"),
        ("2027-01-01", "2027-01-02", 121, "invalid_duration"),
        ("2027-01-01", "2027-01-02", None, "invalid_duration"),
    ],
)
def test_a_window_has_bounds(
    visitor: Sql, professional: Professional, first: str | None, last: str | None, minutes: int | None, symbol: str
) -> None:
    with refused(symbol):
        visitor.execute("select * from public.available_slots(%s, %s, %s, %s)", (professional.id, first, last, minutes))


@pytest.mark.parametrize("first", ["0001-01-01", "5874897-10-01", "4713-01-01 BC", "9999-01-01"])
def test_far_dates_have_no_slots_and_break_nothing(visitor: Sql, professional: Professional, first: str) -> None:
    assert (
        visitor.execute(
            "select * from public.available_slots(%s, %s::date, %s::date + 60)", (professional.id, first, first)
        ).fetchall()
        == []
    )


HOSTILE: dict[str, dict[str, Any]] = {
    "no name": {"client_name": None},
    "an empty name": {"client_name": "   "},
    "a long name": {"client_name": "x" * 121},
    "a header in the name": {"client_name": "Wanjiku\r\nBcc: all@example.org"},
    "a line break in the name": {"client_name": "Wanjiku\nKioni"},
    "a line separator in the name": {"client_name": "Wanjiku\u2028Kioni"},
    "a next line in the name": {"client_name": "Wanjiku\u0085Kioni"},
    "a turned direction in the name": {"client_name": "Wanjiku\u202egpj.exe"},
    "markup in the name": {"client_name": "<script>alert(1)</script>"},
    "a number as a name": {"client_name": 5},
    "a list as a name": {"client_name": ["Wanjiku"]},
    "no mail": {"client_email": None},
    "a word as mail": {"client_email": "wanjiku"},
    "two mails": {"client_email": "a@example.org, b@example.org"},
    "two mails in one": {"client_email": "a@example.org;b@example.org"},
    "a display name": {"client_email": "Wanjiku <a@example.org>"},
    "a header in the mail": {"client_email": "a@example.org\r\nBcc: b@example.org"},
    "a header at the end": {"client_email": "a@example.org\nSubject:x"},
    "a host without a dot": {"client_email": "root@localhost"},
    "an address literal": {"client_email": "root@[127.0.0.1]"},
    "a numeric host": {"client_email": "root@127.0.0.1"},
    "a quoted local part": {"client_email": '"a b"@example.org'},
    "a dot too many": {"client_email": "a..b@example.org"},
    "a long local part": {"client_email": "x" * 65 + "@example.org"},
    "a long mail": {"client_email": "a@" + "x." * 126 + "org"},
    "a foreign letter": {"client_email": "wanjikü@example.org"},
    "words as a phone": {"client_phone": "call me"},
    "a header in the phone": {"client_phone": "123\r\nX: y"},
    "markup as an emergency name": {"emergency_contact_name": "<b>Mum</b>"},
    "words as an emergency phone": {"emergency_contact_phone": "mum"},
    "a long message": {"message": "x" * 4001},
    "a megabyte": {"message": "x" * 1_000_000},
    "a control character in the message": {"message": "bell\u0007"},
    "a locale that is none": {"locale": "english please"},
    "a path as a locale": {"locale": "../../etc"},
    "a zone that is none": {"time_zone": "Mars/Olympus"},
    "sql as a zone": {"time_zone": "UTC'; drop table x; --"},
    "a field of ours": {"status": "confirmed"},
    "another unknown field": {"website": ""},
}


@pytest.mark.parametrize("wrong", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_form_leaves_no_row_and_no_mail(
    cases: Cases, visitor: Sql, professional: Professional, wrong: dict[str, Any]
) -> None:
    starts_at = slots(cases, visitor, professional)[0]
    before = written(cases)
    with refused("invalid_input") as told:
        book(visitor, starts_at, **wrong)
    assert next(iter(wrong)) in told.details or "client" in told.details
    assert not any(str(value)[:40] in told.details for value in wrong.values() if value)
    assert written(cases) == before


@pytest.mark.parametrize("client", [None, [], "x", 1, {}, [CLIENT]], ids=str)
def test_a_form_that_is_no_form_is_refused(cases: Cases, visitor: Sql, professional: Professional, client: Any) -> None:
    with refused("invalid_input"):
        call(
            visitor,
            "book_appointment",
            "asha",
            slots(cases, visitor, professional)[0],
            60,
            "consultation",
            Jsonb(client),
        )
    assert cases.count("public.appointments") == 0


@pytest.mark.parametrize(
    ("starts_at", "minutes", "kind", "symbol"),
    [
        ("2020-01-01T09:00Z", 60, "consultation", "in_the_past"),
        ("9999-01-01T09:00Z", 60, "consultation", "invalid_input"),
        ("infinity", 60, "consultation", "invalid_input"),
        (None, 60, "consultation", "invalid_input"),
        ("soon", 0, "consultation", "invalid_duration"),
        ("soon", 2_000_000_000, "consultation", "invalid_duration"),
        ("soon", 60, "", "invalid_input"),
        ("soon", 60, "x" * 61, "invalid_input"),
        ("soon", 60, "a\r\nb", "invalid_input"),
    ],
)
def test_a_time_that_cannot_be_is_refused(
    cases: Cases, visitor: Sql, professional: Professional, starts_at: str | None, minutes: int, kind: str, symbol: str
) -> None:
    moment = slots(cases, visitor, professional)[0] if starts_at == "soon" else starts_at
    before = written(cases)
    with refused(symbol):
        call(visitor, "book_appointment", "asha", moment, minutes, kind, Jsonb(CLIENT))
    assert written(cases) == before


def test_while_types_are_offered_a_visitor_chooses_one_of_them(
    cases: Cases, visitor: Sql, professional: Professional
) -> None:
    for name, minutes, is_public, is_active in (
        ("intake", 90, True, True),
        ("inner", 60, False, True),
        ("former", 60, True, False),
    ):
        professional.sql.execute(
            "insert into public.appointment_types (name, duration_minutes, is_public, is_active)"
            " values (%s, %s, %s, %s)",
            (name, minutes, is_public, is_active),
        )
    shown = visitor.execute("select name from public.appointment_types").fetchall()
    assert shown == [{"name": "intake"}]
    starts_at = slots(cases, visitor, professional, 90)[0]
    for name, minutes in (("consultation", 60), ("inner", 60), ("former", 60), ("intake", 60)):
        with refused("invalid_input"):
            call(visitor, "book_appointment", "asha", starts_at, minutes, name, Jsonb(CLIENT))
    call(visitor, "book_appointment", "asha", starts_at, 90, "intake", Jsonb(CLIENT))


def test_limits_hold_per_professional_requester_and_mail(
    cases: Cases, visitor: Sql, professional: Professional
) -> None:
    free = slots(cases, visitor, professional)[::2]
    headers = json.dumps({"x-forwarded-for": "10.0.0.1, 198.51.100.7"})
    setting = "select set_config('request.headers', %s, false)"

    def bookings(limit: str, most: int, **client: str) -> None:
        cases.sql.execute(
            "update private.booking_settings set professional_hourly = 1000, requester_hourly = 1000, mail_daily = 1000"
        )
        cases.sql.execute("delete from private.booking_counters")
        cases.sql.execute(f"update private.booking_settings set {limit} = %s", (most,))
        visitor.execute(setting, (headers,))
        for _ in range(most):
            book(visitor, free.pop(0), **client)
        before = written(cases)
        with refused("too_many_requests"):
            book(visitor, free[0], **client)
        assert written(cases) == before

    bookings("professional_hourly", 3)
    bookings("requester_hourly", 2)
    visitor.execute(setting, (json.dumps({"x-forwarded-for": "10.0.0.1, 198.51.100.8"}),))
    book(visitor, free.pop(0))
    visitor.execute(setting, (json.dumps({"x-forwarded-for": "203.0.113.9, 198.51.100.7"}),))
    with refused("too_many_requests"):  # what the caller writes in front changes nothing
        book(visitor, free[0])
    bookings("mail_daily", 2, client_email="one@example.org")
    with refused("too_many_requests"):
        book(visitor, free[0], client_email="ONE@example.org")
    book(visitor, free.pop(0), client_email="two@example.org")
    kept = str(cases.sql.execute("select to_jsonb(c)::text as row from private.booking_counters c").fetchall())
    assert "198.51" not in kept
    assert "example.org" not in kept
    cases.pass_time(hours=24)
    cases.run_due_timers()
    assert cases.count("private.booking_counters") == 0


def test_the_function_names_the_visitor_and_nobody_else_can(
    cases: Cases, visitor: Sql, professional: Professional
) -> None:
    cases.sql.execute("update private.booking_settings set requester_hourly = 1")
    free = slots(cases, visitor, professional)[::2]
    service = cases.database.as_service()
    for address in ("198.51.100.1", "198.51.100.2"):
        service.execute(
            "select set_config('request.headers', %s, false)", (json.dumps({"x-sauti-visitor-address": address}),)
        )
        book(service, free.pop(0))
    with refused("too_many_requests"):
        book(service, free[0])
    for forged in ("198.51.100.3", "198.51.100.4"):
        visitor.execute(
            "select set_config('request.headers', %s, false)",
            (json.dumps({"x-sauti-visitor-address": forged, "cf-connecting-ip": "192.0.2.1"}),),
        )
        if forged.endswith("3"):
            book(visitor, free.pop(0))
        else:
            with refused("too_many_requests"):
                book(visitor, free[0])


def test_a_signed_in_survivor_who_books_is_its_survivor(cases: Cases, professional: Professional) -> None:
    survivor = cases.survivor()
    free = slots(cases, survivor.sql, professional)
    made = book(survivor.sql, free[0], client_email=None)
    row = survivor.sql.execute("select * from public.appointments").fetchone()
    assert row is not None
    assert (row["appointment_id"], row["survivor_id"]) == (made["appointment_id"], survivor.id)
    other = cases.professional(card={"is_public_booking": True, "booking_slug": "other", "time_zone": "Africa/Nairobi"})
    assert free[0] not in slots(cases, survivor.sql, other)  # offered is what booking accepts: they are engaged then
    assert free[0] in slots(cases, cases.database.as_anon(), other)
    with refused("slot_taken"):
        book(survivor.sql, free[0], slug="other")
    with forbidden():
        cases.database.as_anon().execute("select * from public.appointments")


def test_what_a_survivor_wrote_goes_with_the_account_when_the_session_has_begun(
    cases: Cases, professional: Professional
) -> None:
    survivor = cases.survivor()
    starts_at = slots(cases, survivor.sql, professional)[0]
    made: Row = call(survivor.sql, "book_appointment", "asha", starts_at, 60, "about my husband", Jsonb(CLIENT))
    call(professional.sql, "confirm_appointment", made["appointment_id"])
    cases.pass_time(seconds=(starts_at - cases.now()).total_seconds() + 600)
    call(survivor.sql, "erase_my_data")
    row = cases.one("select * from public.appointments where appointment_id = %s", made["appointment_id"])
    assert (row["status"], row["survivor_id"], row["appointment_type"]) == ("confirmed", None, "session")
    assert cases.count("public.appointment_clients") == 0


def test_nobody_but_the_professional_reads_who_booked(cases: Cases, visitor: Sql, professional: Professional) -> None:
    survivor = cases.survivor()
    book(survivor.sql, slots(cases, visitor, professional)[0])
    for actor in (survivor.sql, cases.professional().sql, cases.admin()):
        assert actor.execute("select * from public.appointment_clients").fetchall() == []
    with forbidden():
        visitor.execute("select * from public.appointment_clients")
    for statement in ("update public.appointment_clients set message = 'x'", "delete from public.appointment_clients"):
        with forbidden():
            professional.sql.execute(statement)


def test_both_sides_are_mailed_and_the_visitor_s_mail_says_nothing(
    cases: Cases, visitor: Sql, professional: Professional
) -> None:
    free = slots(cases, visitor, professional)
    made = book(visitor, free[0], message="secret", locale="sw", time_zone="Africa/Kampala")
    ((kind, context),) = client_mails(cases)
    assert (kind, context["state"], context["kind"]) == ("mail", "due", "mail")
    assert context["message"] == {
        "id": context["message"]["id"],
        "template": "appointment_requested",
        "to": "wanjiku@example.org",
        "locale": "sw",
        "time_zone": "Africa/Kampala",
        "case_code": None,
    }
    assert context["appointment"]["sequence"] == 0
    assert not {"secret", "Wanjiku"} & set(json.dumps(context).split('"'))
    stored = str(cases.sql.execute("select to_jsonb(j)::text as row from private.outbox_jobs j").fetchall())
    assert "example.org" not in stored
    assert made["manage_token"] not in stored

    call(professional.sql, "confirm_appointment", made["appointment_id"])
    call(visitor, "reschedule_booking", made["manage_token"], free[4])
    call(visitor, "cancel_booking", made["manage_token"])
    cases.sql.execute("update private.outbox_jobs set state = 'done' where state = 'running'")
    contexts = []
    while found := client_mails(cases):  # one at a time: they are in order
        contexts += [context for _, context in found]
        cases.sql.execute("update private.outbox_jobs set state = 'done' where state = 'running'")
    # What no longer holds is not told.
    assert [context["state"] for context in contexts] == ["obsolete", "obsolete", "due"]
    assert contexts[-1]["message"]["template"] == "appointment_cancelled"
    assert contexts[-1]["appointment"]["status"] == "cancelled"


def test_a_request_nobody_confirms_is_cancelled_and_the_visitor_hears_of_it(
    cases: Cases, visitor: Sql, professional: Professional
) -> None:
    starts_at = slots(cases, visitor, professional)[-1]
    book(visitor, starts_at)
    cases.pass_time(hours=48)
    assert cases.run_due_timers()["requests_expired"] == 1
    assert cases.one("select status from public.appointments")["status"] == "cancelled"
    assert cases.count("private.outbox_jobs", "client_template = 'appointment_cancelled'") == 1


def test_absence_stops_offers_until_it_ends(cases: Cases, visitor: Sql, professional: Professional) -> None:
    until = cases.now() + timedelta(days=5)
    cases.sql.execute("update public.professionals set out_of_office_until = %s", (until,))
    free = slots(cases, visitor, professional)
    assert free
    assert min(free) >= until


@pytest.mark.parametrize("who", ["service", "preferences"])
def test_urgent_cases_of_a_crisis_service_are_seen_at_any_hour(cases: Cases, who: str) -> None:
    professional = cases.professional(crisis_24_7=who == "service", card={"time_zone": "Africa/Nairobi"})
    if who == "preferences":
        professional.sql.execute("insert into public.scheduling_preferences (crisis_24_7) values (true)")
    urgent = cases.accepted(professional=professional, urgency="high")
    today = cases.now().date()

    def hours(sql: Sql) -> set[int]:
        rows = sql.execute(
            "select slot_start from public.available_slots(%s, %s, %s)",
            (professional.id, today + timedelta(days=1), today + timedelta(days=8)),
        ).fetchall()
        return {row["slot_start"].astimezone(UTC).hour for row in rows}

    assert hours(urgent.survivor.sql) == set(range(24))
    assert hours(professional.sql) == set(range(6, 14))
    night = (cases.now() + timedelta(days=2)).replace(hour=0, minute=30, second=0, microsecond=0)
    moved = call(urgent.survivor.sql, "reschedule_appointment", urgent.appointment["appointment_id"], night)
    assert moved["appointment_date"] == night


def test_without_a_row_the_preferences_are_the_defaults_of_their_columns(
    cases: Cases, visitor: Sql, professional: Professional
) -> None:
    before = slots(cases, visitor, professional)
    professional.sql.execute("insert into public.scheduling_preferences default values")
    assert slots(cases, visitor, professional) == before
