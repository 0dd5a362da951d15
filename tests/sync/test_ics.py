"""Calendar objects: read back by a parser, neutral, and closed to injection."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar, Event

from sauti_sync import ics
from sauti_sync.ics import Entry, Method, Wording

WORDS = Wording(title="Appointment", case="Case", link="https://app.example")
ENTRY = Entry(
    uid="0b5f8c1e-92a6-4a3a-9d59-3a3c2f1f5a11@sauti",
    starts_at=datetime(2026, 11, 23, 14, 0, tzinfo=timezone(timedelta(hours=3))),
    ends_at=datetime(2026, 11, 23, 15, 0, tzinfo=timezone(timedelta(hours=3))),
    sequence=2,
    status="confirmed",
    revised_at=datetime(2026, 11, 22, 8, 30, 1, 999, tzinfo=UTC),
    created_at=datetime(2026, 11, 21, 8, 30, tzinfo=UTC),
    case_code="KAZI-417",
    location="Canary Street Shelter",
    meeting_url="https://meet.example/canary",
)


def parse(document: bytes) -> tuple[Calendar, Event]:
    calendar = Calendar.from_ical(document)
    assert isinstance(calendar, Calendar)
    (event,) = calendar.walk("VEVENT")
    assert isinstance(event, Event)
    return calendar, event


def test_the_event_says_what_the_appointment_is() -> None:
    calendar, event = parse(ics.render(ENTRY, WORDS, method=Method.PUBLISH, organizer="no-reply@app.example"))
    assert calendar["VERSION"] == "2.0"
    assert calendar["METHOD"] == "PUBLISH"
    assert event["UID"] == ENTRY.uid
    assert event["SEQUENCE"] == 2
    assert event["STATUS"] == "CONFIRMED"
    assert event.decoded("DTSTART") == datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
    assert event.decoded("DTEND") == datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert event.decoded("DTSTAMP") == datetime(2026, 11, 22, 8, 30, 1, tzinfo=UTC)
    assert event["SUMMARY"] == "Appointment"
    assert event["ORGANIZER"] == "mailto:no-reply@app.example"
    assert event["CLASS"] == "PRIVATE"


def test_times_are_utc_and_need_no_time_zone_component() -> None:
    document = ics.render(ENTRY, WORDS)
    assert b"DTSTART:20261123T110000Z\r\n" in document
    assert b"VTIMEZONE" not in document


def test_a_cancellation_keeps_the_uid_and_says_cancelled() -> None:
    calendar, event = parse(ics.render(replace(ENTRY, status="cancelled", sequence=3), WORDS, method=Method.CANCEL))
    assert (calendar["METHOD"], event["STATUS"], event["SEQUENCE"]) == ("CANCEL", "CANCELLED", 3)
    assert event["UID"] == ENTRY.uid


def test_a_request_is_tentative() -> None:
    assert parse(ics.render(replace(ENTRY, status="requested"), WORDS))[1]["STATUS"] == "TENTATIVE"


def test_a_stored_object_has_no_method() -> None:
    assert b"METHOD" not in ics.render(ENTRY, WORDS)


def test_place_and_meeting_address_appear_at_full_detail_only() -> None:
    neutral, full = ics.render(ENTRY, WORDS), ics.render(ENTRY, WORDS, full=True)
    assert b"anary" not in neutral
    _, event = parse(full)
    assert event["LOCATION"] == "Canary Street Shelter"
    assert "https://meet.example/canary" in event["DESCRIPTION"]


def test_the_neutral_text_is_the_case_code_and_the_link() -> None:
    assert parse(ics.render(ENTRY, WORDS))[1]["DESCRIPTION"] == "Case: KAZI-417\nhttps://app.example"
    assert parse(ics.render(replace(ENTRY, case_code=None), WORDS))[1]["DESCRIPTION"] == "https://app.example"


def test_lines_are_folded_at_75_octets_and_end_in_crlf() -> None:
    document = ics.render(replace(ENTRY, location="Mtaa wa Jamhuri, nyumba ya njano ñ " * 12), WORDS, full=True)
    lines = document.split(b"\r\n")
    assert max(len(line) for line in lines) <= 75
    assert b"\n" not in document.replace(b"\r\n", b"")


def test_separators_are_escaped() -> None:
    _, event = parse(ics.render(replace(ENTRY, location="A; B, C \\ D"), WORDS, full=True))
    assert event["LOCATION"] == "A; B, C \\ D"
    assert rb"LOCATION:A\; B\, C \\ D" in ics.render(replace(ENTRY, location="A; B, C \\ D"), WORDS, full=True)


ATTACKS = [
    "x\r\nATTENDEE:mailto:evil@example.org",
    "x\nEND:VEVENT\nBEGIN:VEVENT",
    "x\rSUMMARY:counseling",
    "x\x00\x0b\x0c\x85\u2028\u2029SUMMARY:counseling",
    'https://x.example"\r\nX-EVIL:1',
    "https://[",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("field", ["uid", "case_code", "location", "meeting_url", "link", "title", "organizer"])
def test_no_value_can_begin_a_property_of_its_own(field: str, attack: str) -> None:
    entry = replace(ENTRY, **{field: attack}) if field in Entry.__slots__ else ENTRY
    words = replace(WORDS, **{field: attack}) if field in Wording.__slots__ else WORDS
    organizer = attack if field == "organizer" else "a@b.example"
    document = ics.render(entry, words, method=Method.PUBLISH, organizer=organizer, full=True)
    reference = ics.render(ENTRY, WORDS, method=Method.PUBLISH, organizer="a@b.example", full=True)
    allowed = set(parse(reference)[1])
    _, event = parse(document)
    assert set(event) <= allowed
    assert event.errors == []


@given(code=st.text(max_size=80), place=st.text(max_size=200), title=st.text(max_size=40))
def test_any_text_survives_a_parser(code: str, place: str, title: str) -> None:
    document = ics.render(replace(ENTRY, case_code=code, location=place), replace(WORDS, title=title), full=True)
    _, event = parse(document)
    assert event["UID"] == ENTRY.uid
    assert event["SEQUENCE"] == 2


def test_an_object_of_ours_is_recognised_and_a_changed_one_is_not() -> None:
    seen = ics.read(ics.render(ENTRY, WORDS))
    assert seen is not None
    assert ics.says_the_same(seen, ENTRY)
    for other in (
        replace(ENTRY, sequence=3),
        replace(ENTRY, starts_at=ENTRY.starts_at + timedelta(minutes=1)),
        replace(ENTRY, ends_at=ENTRY.ends_at + timedelta(minutes=1)),
        replace(ENTRY, status="cancelled"),
        replace(ENTRY, uid="other"),
    ):
        assert not ics.says_the_same(seen, other)


@pytest.mark.parametrize(
    "document", [b"", b"<html>", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", b"\xff\xfe", b"BEGIN:VEVENT"]
)
def test_what_cannot_be_read_is_nothing(document: bytes) -> None:
    assert ics.read(document) is None
