"""The CalDAV server: any name, one password, calendars when they are asked for, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from sauti_local.calendar import calendar_url
from sauti_local.stack import Stack

EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:one@sauti\r\nDTSTAMP:20261122T080000Z\r\n"
    "DTSTART:20261123T090000Z\r\nDTEND:20261123T100000Z\r\nSUMMARY:Appointment\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


@pytest.fixture
def client(stack: Stack, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Speaks as a user of its own."""
    user = f"user-{request.node.name}"[:60]
    base = stack.addresses.caldav_url
    with httpx.Client(auth=(user, "sauti"), trust_env=False, base_url=calendar_url(base, user, "sessions")) as speaking:
        yield speaking


def put(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.put("one.ics", content=EVENT, headers={"Content-Type": "text/calendar", **headers})


def test_an_event_goes_into_a_calendar_that_nobody_made_before(client: httpx.Client) -> None:
    answer = put(client)
    assert answer.status_code == 201
    assert answer.headers["ETag"]
    kept = client.get("one.ics")
    assert "SUMMARY:Appointment" in kept.text
    assert kept.headers["ETag"] == answer.headers["ETag"]


def test_a_calendar_is_there_at_the_first_look(client: httpx.Client) -> None:
    answer = client.request("PROPFIND", "", headers={"Depth": "0"})
    assert answer.status_code == 207
    assert "calendar" in answer.text
    assert client.request("PROPFIND", "../other/", headers={"Depth": "0"}).status_code == 207


def test_entity_tags_guard_what_changed_meanwhile(client: httpx.Client) -> None:
    first = put(client, **{"If-None-Match": "*"})
    assert first.status_code == 201
    assert put(client, **{"If-None-Match": "*"}).status_code == 412
    assert put(client, **{"If-Match": '"another"'}).status_code == 412
    assert put(client, **{"If-Match": first.headers["ETag"]}).status_code in (201, 204)


def test_an_event_can_be_deleted_and_is_gone_then(client: httpx.Client) -> None:
    put(client)
    assert client.delete("one.ics").status_code in (200, 204)
    assert client.get("one.ics").status_code == 404
    assert client.delete("one.ics").status_code == 404


def test_a_calendar_can_be_made_by_hand(client: httpx.Client) -> None:
    assert client.request("MKCALENDAR", "../mine/").status_code == 201


@pytest.mark.parametrize("credentials", [None, ("user", "wrong"), ("", "sauti"), ("user", "")])
def test_without_the_password_nobody_comes_in_and_nothing_is_made(
    stack: Stack, credentials: tuple[str, str] | None
) -> None:
    url = calendar_url(stack.addresses.caldav_url, "user", "refused")
    answer = httpx.request("PROPFIND", url, auth=credentials, trust_env=False)
    assert answer.status_code == 401
    folder = stack.addresses.logs.parent / "calendars" / "collection-root" / "user"
    assert not (folder / "refused").exists()


def test_one_user_cannot_see_or_make_calendars_of_another(client: httpx.Client, stack: Stack) -> None:
    put(client)
    stranger = ("stranger", "sauti")
    for path in ("one.ics", "", "../made-by-stranger/"):
        answer = httpx.request("PROPFIND", client.base_url.join(path), auth=stranger, trust_env=False)
        assert answer.status_code in (403, 404)
    folders = stack.addresses.logs.parent.glob("calendars/collection-root/user-*/made-by-stranger")
    assert list(folders) == []


def test_a_path_cannot_leave_the_folder(stack: Stack) -> None:
    for path in ("/user/../../../escape/", "/user/%2e%2e%2f%2e%2e%2fescape/", "/user/.Radicale.props/"):
        url = stack.addresses.caldav_url + path
        httpx.request("PROPFIND", url, auth=("user", "sauti"), trust_env=False)
    assert list(stack.addresses.logs.parent.rglob("*escape*")) == []
