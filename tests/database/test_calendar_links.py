"""Appointments for any calendar program: links, a file and a secret subscription, all neutral."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from icalendar import Calendar

from tests.support.cases import Cases, OpenCase, call
from tests.support.refusals import refused

STORY = "He waits for me at the station"


@pytest.fixture
def case(cases: Cases) -> OpenCase:
    made = cases.accepted(incident_description=STORY, survivor_name="Wanjiku Secret")
    cases.sql.execute(
        "update public.appointments set meeting_url = 'https://meet.crisis.example.org/x', location = 'Crisis centre'"
    )
    return made


def links(case: OpenCase, *, as_survivor: bool = False) -> dict[str, str]:
    who = case.survivor if as_survivor else case.professional
    found: dict[str, str] = call(who.sql, "add_to_calendar_links", case.appointment["appointment_id"])
    return found


def event(document: str) -> tuple[str, dict[str, object]]:
    """Method, and the properties of the one event, as the library reads them."""
    calendar = Calendar.from_ical(document)
    (found,) = calendar.walk("VEVENT")
    return str(calendar["METHOD"]), {name: found.decoded(name) for name in found}


def test_each_program_gets_the_same_time_and_the_case_code_alone(cases: Cases, case: OpenCase) -> None:
    starts_at = case.appointment["appointment_date"].astimezone(UTC)
    code = cases.report(case.report_id)["case_code"]
    for as_survivor in (True, False):
        made = links(case, as_survivor=as_survivor)
        assert set(made) == {"google", "outlook", "office365", "yahoo", "ics"}
        basic = [f"{at:%Y%m%dT%H%M%SZ}" for at in (starts_at, starts_at + timedelta(minutes=60))]
        google = parse_qs(urlsplit(made["google"]).query)
        assert (google["text"], google["dates"], google["details"]) == (["Appointment"], ["/".join(basic)], [code])
        yahoo = parse_qs(urlsplit(made["yahoo"]).query)
        assert (yahoo["ST"], yahoo["ET"], yahoo["DESC"]) == ([basic[0]], [basic[1]], [code])
        for name, host in (("outlook", "outlook.live.com"), ("office365", "outlook.office.com")):
            address = urlsplit(made[name])
            query = parse_qs(address.query)
            assert (address.scheme, address.hostname, query["subject"]) == ("https", host, ["Appointment"])
            assert datetime.fromisoformat(query["startdt"][0]) == starts_at.replace(microsecond=0)
            assert query["body"] == [code]
        told = unquote(json.dumps(made)).lower()
        for secret in (STORY, "wanjiku", "crisis", "counseling", "emotional"):
            assert secret.lower() not in told


def test_the_file_follows_an_appointment_from_its_making_to_its_end(cases: Cases, case: OpenCase) -> None:
    def read() -> tuple[str, dict[str, object]]:
        scheme, _, document = links(case)["ics"].partition(",")
        assert scheme == "data:text/calendar;charset=utf-8"
        text = unquote(document)
        assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
        assert "\n" not in text.replace("\r\n", "")
        return event(text)

    id_ = case.appointment["appointment_id"]
    method, first = read()
    assert (method, first["STATUS"], first["UID"]) == ("PUBLISH", "CONFIRMED", f"{id_}@sauti")
    assert first["DTSTART"] == case.appointment["appointment_date"].replace(microsecond=0)
    later = (cases.now() + timedelta(days=3)).replace(microsecond=0)
    call(case.professional.sql, "reschedule_appointment", id_, later)
    method, moved = read()
    assert (method, moved["DTSTART"], moved["UID"]) == ("PUBLISH", later, first["UID"])
    assert int(str(moved["SEQUENCE"])) == int(str(first["SEQUENCE"])) + 1
    call(case.survivor.sql, "cancel_appointment", id_)
    method, ended = read()
    assert (method, ended["STATUS"], ended["UID"]) == ("CANCEL", "CANCELLED", first["UID"])
    assert int(str(ended["SEQUENCE"])) == int(str(moved["SEQUENCE"])) + 1


def test_links_are_for_the_parties(cases: Cases, case: OpenCase) -> None:
    for actor in (cases.professional().sql, cases.survivor().sql, cases.admin()):
        with refused("not_found"):
            call(actor, "add_to_calendar_links", case.appointment["appointment_id"])
    with refused("not_authenticated"):
        call(cases.database.as_anon(), "add_to_calendar_links", case.appointment["appointment_id"])


def test_a_withdrawn_case_takes_its_code_out_of_the_professional_s_calendars(cases: Cases, case: OpenCase) -> None:
    code = cases.report(case.report_id)["case_code"]
    token = token_of(call(case.professional.sql, "rotate_calendar_feed"))
    call(case.survivor.sql, "withdraw_report", case.report_id)
    (seen,) = call(cases.database.as_anon(), "calendar_feed", token)["events"]
    assert (seen["status"], seen["case_code"]) == ("cancelled", None)
    assert code not in json.dumps(links(case))
    assert code in json.dumps(links(case, as_survivor=True))


def token_of(address: str) -> str:
    """The secret in a feed's address."""
    name = urlsplit(address).path.rpartition("/")[2]
    assert name.endswith(".ics")
    return name.removesuffix(".ics")


def test_a_new_subscription_ends_the_old_one_and_is_kept_as_a_hash(cases: Cases, case: OpenCase) -> None:
    sql = cases.database.as_user(case.survivor.id, iss="https://x.supabase.co/auth/v1")
    first = call(sql, "rotate_calendar_feed")
    assert first.startswith("https://x.supabase.co/functions/v1/calendar-feed/")
    anybody = cases.database.as_anon()
    assert len(call(anybody, "calendar_feed", token_of(first))["events"]) == 1
    second = call(sql, "rotate_calendar_feed")
    with refused("not_found"):
        call(anybody, "calendar_feed", token_of(first))
    feed = call(anybody, "calendar_feed", token_of(second))
    assert feed["events"][0]["appointment_id"] == str(case.appointment["appointment_id"])
    kept = cases.one("select token_hash from private.calendar_feeds")["token_hash"]
    assert kept == hashlib.sha256(token_of(second).encode()).digest()


def test_operators_may_say_where_the_functions_are(cases: Cases, case: OpenCase) -> None:
    cases.sql.execute("update private.booking_settings set functions_url = 'https://f.example.org/v1'")
    address = call(case.survivor.sql, "rotate_calendar_feed")
    assert address.startswith("https://f.example.org/v1/calendar-feed/")


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "%", "' or true --"], ids=["none", "short", "43", "like", "sql"])
def test_a_wrong_token_subscribes_to_nothing(cases: Cases, case: OpenCase, token: str) -> None:
    call(case.survivor.sql, "rotate_calendar_feed")
    for actor in (cases.database.as_anon(), cases.database.as_service()):
        with refused("not_found"):
            call(actor, "calendar_feed", token)


def test_a_feed_shows_one_person_s_appointments_and_nothing_about_anybody(cases: Cases, case: OpenCase) -> None:
    other = cases.accepted()
    token = token_of(call(case.professional.sql, "rotate_calendar_feed"))
    feed = call(cases.database.as_anon(), "calendar_feed", token)
    assert [seen["appointment_id"] for seen in feed["events"]] == [str(case.appointment["appointment_id"])]
    told = json.dumps(feed)
    for secret in (STORY, "Wanjiku", str(case.survivor.id), str(other.appointment["appointment_id"]), "counseling"):
        assert secret not in told
