"""What a stranger could see: the mail in the inboxes and the entries in the calendars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from xml.etree import ElementTree

from icalendar import Calendar, Event

from sauti_local.calendar import PASSWORD, calendar_url
from sauti_local.demo.people import Person, Row
from sauti_local.demo.secrecy import leaks, telling
from sauti_local.demo.stage import Cast, Stage

_ALL_EVENTS = (
    '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><C:calendar-data/></D:prop>'
    '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"/></C:comp-filter></C:filter>'
    "</C:calendar-query>"
)


@dataclass(frozen=True)
class CalendarAccount:
    """A calendar at the CalDAV server, and how its owner gets in."""

    url: str
    username: str
    password: str


def account_of(stage: Stage, person: Person) -> CalendarAccount:
    """The calendar that the CalDAV server of the stack makes for this person on demand."""
    username = person.first_name.lower()
    return CalendarAccount(calendar_url(stage.addresses.caldav_url, username, "sessions"), username, PASSWORD)


async def entries(stage: Stage, calendar: CalendarAccount) -> list[str]:
    """Every event that stands in the calendar, as the CalDAV server gives it out."""
    answer = await stage.http.request(
        "REPORT",
        calendar.url,
        content=_ALL_EVENTS,
        headers={"Content-Type": "application/xml", "Depth": "1"},
        auth=(calendar.username, calendar.password),
    )
    answer.raise_for_status()
    tree = ElementTree.fromstring(answer.content)  # noqa: S314 (our own server, on the loopback address)
    return [node.text or "" for node in tree.iter("{urn:ietf:params:xml:ns:caldav}calendar-data")]


async def mail(stage: Stage, *, to: str | None = None) -> list[Row]:
    """The messages in the sink, oldest first; all, or those for one address."""
    answer = await stage.http.get(f"{stage.addresses.mail_url}/messages.json")
    answer.raise_for_status()
    messages = cast("list[Row]", answer.json())
    return [message for message in messages if to is None or to in message["to"]]


def event_in(document: str) -> Event | None:
    """The one event of a calendar object; None when there is not exactly one."""
    events = Calendar.from_ical(document).walk("VEVENT")
    return cast("Event", events[0]) if len(events) == 1 else None


def invitation_in(message: Row) -> Event | None:
    """The event of the calendar object that is attached to a message."""
    attached = [part["content"] for part in message["attachments"] if part["content_type"] == "text/calendar"]
    return event_in(attached[0]) if len(attached) == 1 else None


def notification_of(message: Row) -> str:
    """The notification that a message carries: the left side of its Message-ID."""
    headers = {name.lower(): value for name, value in message["headers"]}
    return str(headers.get("message-id", "")).strip("<> \t").partition("@")[0]


def unfolded(document: str) -> str:
    """A calendar object without its line folds, which could cut a word in two."""
    return document.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "")


def words_of_the_case(cast_of_story: Cast, services: list[Row], reports: list[Row]) -> list[list[str]]:
    """What no mail and no calendar entry may say: the report, the kind of case and help, names and services.

    The case code is meant to be said: it tells nothing.
    """
    people = (*cast_of_story.professionals, cast_of_story.newcomer, cast_of_story.neighbour)
    kinds = {kind for report in reports for kind in (report["incident_type"], *report["required_services"])}
    return [
        *(pieces for report in reports for column, pieces in telling(report).items() if column != "case_code"),
        *([kind, *kind.split("_")] for kind in kinds),
        *([person.name, person.first_name] for person in people),
        *([service["name"]] for service in services),
    ]


def said(message: Row) -> dict[str, Any]:
    """All that a message tells to who sees it: everything but to whom it goes."""
    return {
        "from": message["from"],
        "subject": message["subject"],
        "text": message["text"],
        "html": message["html"],
        "headers": [header for header in message["headers"] if header[0].lower() != "to"],
        "attachments": [
            {**attachment, "content": unfolded(attachment["content"])} for attachment in message["attachments"]
        ],
    }


def indiscretions(words: list[list[str]], messages: list[Row]) -> list[str]:
    """Which of the words stand in any of the messages."""
    return leaks(words, [said(message) for message in messages])
