"""One person's calendar at each provider, seen by the worker and by its owner."""

import secrets
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import httpx
from icalendar import Alarm, Event
from icalendar import Calendar as ParsedCalendar

from sauti_local.calendar import PASSWORD, CalendarServer
from sauti_sync import ics
from sauti_sync.calendars.caldav import CalDavCalendar
from sauti_sync.calendars.google import GoogleCalendar
from sauti_sync.calendars.interface import Account, Calendar
from sauti_sync.calendars.microsoft import MicrosoftCalendar
from sauti_sync.calendars.oauth import Endpoints, OAuthClient
from sauti_sync.credentials import TokenKeys
from tests.sync.stand_ins.google import GoogleStandIn
from tests.sync.stand_ins.microsoft import MicrosoftStandIn
from tests.sync.stand_ins.records import MemoryRecords
from tests.sync.stand_ins.server import StandIn

WORDS = ics.Wording(title="Appointment", case="Case", link="https://app.example")
KEYS = TokenKeys.parse(TokenKeys.generate("test"))
DAY = "%Y-%m-%d"


@dataclass(frozen=True)
class Shown:
    """One event as its owner sees it."""

    title: str
    starts_at: datetime
    ends_at: datetime
    description: str
    location: str
    is_private: bool
    is_tentative: bool
    reminder_minutes: int | None

    @property
    def text(self) -> str:
        return f"{self.title}\n{self.description}\n{self.location}"


class Shelf(ABC):
    """The calendar, and what its owner can do with it by hand."""

    name: ClassVar[str]
    can_fail: ClassVar[bool] = False
    calendar: Calendar

    @classmethod
    @abstractmethod
    async def build(cls, radicale: CalendarServer) -> "Shelf": ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def stranger(self) -> Calendar:
        """The same calendar with credentials that do not open it."""

    @abstractmethod
    async def events(self) -> list[Shown]: ...

    @abstractmethod
    async def remote(self) -> tuple[str]:
        """Name of the only event."""

    @abstractmethod
    async def add(
        self, title: str, start: datetime, end: datetime, *, free: bool = False, declined: bool = False
    ) -> str: ...

    @abstractmethod
    async def add_day(self, title: str, day: date) -> None: ...

    @abstractmethod
    async def add_weekly(self, title: str, start: datetime, length: timedelta, count: int) -> None: ...

    @abstractmethod
    async def move(self, name: str, entry: ics.Entry, by: timedelta) -> None: ...

    @abstractmethod
    async def delete(self, name: str) -> None: ...

    @abstractmethod
    async def import_mailed(self, entry: ics.Entry) -> str: ...

    @abstractmethod
    async def forget(self, cursor: str | None) -> str | None:
        """Make the server forget the cursor; gives back one that it does not know."""

    def fail_with_rate_limit(self, retry_after: int) -> None:
        raise NotImplementedError

    async def starts(self) -> list[datetime]:
        return [event.starts_at for event in await self.events()]


class CalDavShelf(Shelf):
    name = "radicale"

    def __init__(self, url: str, user: str) -> None:
        self.url, self.user = url, user
        self.owner = httpx.AsyncClient(auth=(user, PASSWORD), trust_env=False)
        self.calendar = self._open(PASSWORD)

    @classmethod
    async def build(cls, radicale: CalendarServer) -> "CalDavShelf":
        user = uuid.uuid4().hex
        return cls(f"{radicale.url}/{user}/appointments/", user)

    async def close(self) -> None:
        await self.calendar.close()
        await self.owner.aclose()

    def stranger(self) -> Calendar:
        return self._open("wrong")

    def _open(self, password: str) -> Calendar:
        secret = {"url": self.url, "username": self.user, "password": password}
        return CalDavCalendar.opener(allow_private=True)(Account(self.user, "caldav", self.url, secret))

    async def _parsed(self) -> list[Event]:
        answer = await self.owner.get(self.url)
        if answer.status_code == 404:
            return []
        return [event for event in ParsedCalendar.from_ical(answer.content).walk("VEVENT") if isinstance(event, Event)]

    async def events(self) -> list[Shown]:
        return [
            Shown(
                title=str(event["SUMMARY"]),
                starts_at=event.decoded("DTSTART"),
                ends_at=event.decoded("DTEND"),
                description=str(event.get("DESCRIPTION", "")),
                location=str(event.get("LOCATION", "")),
                is_private=str(event.get("CLASS")) == "PRIVATE",
                is_tentative=str(event.get("STATUS")) == "TENTATIVE",
                reminder_minutes=next(
                    (
                        -int(alarm["TRIGGER"].dt.total_seconds() // 60)
                        for alarm in event.walk("VALARM")
                        if isinstance(alarm, Alarm)
                    ),
                    None,
                ),
            )
            for event in await self._parsed()
        ]

    async def remote(self) -> tuple[str]:
        (event,) = await self._parsed()
        return (f"{str(event['UID']).partition('@')[0]}.ics",)

    async def _write(self, name: str, document: bytes) -> str:
        headers = {"Content-Type": "text/calendar"}
        (await self.owner.put(self.url + name, content=document, headers=headers)).raise_for_status()
        return name

    async def _add(self, title: str, *lines: str) -> str:
        uid = uuid.uuid4().hex
        content = [
            "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//x//EN", "BEGIN:VEVENT", f"UID:{uid}@elsewhere",
            "DTSTAMP:20261122T000000Z", f"SUMMARY:{title}", *lines, "END:VEVENT", "END:VCALENDAR", "",
        ]  # fmt: skip
        return await self._write(f"{uid}.ics", "\r\n".join(content).encode())

    async def add(
        self, title: str, start: datetime, end: datetime, *, free: bool = False, declined: bool = False
    ) -> str:
        lines = [f"DTSTART:{start:%Y%m%dT%H%M%SZ}", f"DTEND:{end:%Y%m%dT%H%M%SZ}"]
        if free:
            lines.append("TRANSP:TRANSPARENT")
        if declined:
            lines.append(f"ATTENDEE;PARTSTAT=DECLINED:mailto:{self.user}")
        return await self._add(title, *lines)

    async def add_day(self, title: str, day: date) -> None:
        await self._add(title, f"DTSTART;VALUE=DATE:{day:%Y%m%d}")

    async def add_weekly(self, title: str, start: datetime, length: timedelta, count: int) -> None:
        await self._add(
            title,
            f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
            f"DTEND:{start + length:%Y%m%dT%H%M%SZ}",
            f"RRULE:FREQ=WEEKLY;COUNT={count}",
        )

    async def move(self, name: str, entry: ics.Entry, by: timedelta) -> None:
        by_hand = replace(entry, starts_at=entry.starts_at + by, ends_at=entry.ends_at + by)
        await self._write(name, ics.render(by_hand, WORDS))

    async def delete(self, name: str) -> None:
        (await self.owner.delete(self.url + name)).raise_for_status()

    async def import_mailed(self, entry: ics.Entry) -> str:
        return await self._write("imported-by-hand.ics", ics.render(entry, WORDS))

    async def forget(self, cursor: str | None) -> str | None:
        return f"token:http://radicale.org/ns/sync/{'0' * 64}"


class StandInShelf(Shelf):
    """What the two stand-ins share."""

    can_fail = True
    server: StandIn

    def __init__(self) -> None:
        self.user = secrets.token_hex(6)
        self.records = MemoryRecords()

    async def close(self) -> None:
        await self.calendar.close()
        await self.server.stop()

    def stranger(self) -> Calendar:
        dead = {"access_token": "x", "refresh_token": "y", "expires_at": round(time.time()) + 3600}
        return self.open(dead)

    def open(self, secret: dict[str, Any]) -> Calendar:
        """The calendar of a connection whose credentials are these."""
        connection_id = str(uuid.uuid4())
        ciphertext = KEYS.encrypt(secret, self.user, self.name)
        self.records.credentials[connection_id] = ciphertext
        account = Account(self.user, self.name, "primary", secret, ciphertext, connection_id)
        return self._open(account)

    @abstractmethod
    def _open(self, account: Account) -> Calendar: ...


class GoogleShelf(StandInShelf):
    name = "google"

    def __init__(self, server: GoogleStandIn) -> None:
        super().__init__()
        self.server: GoogleStandIn = server
        self.calendar = self.open(server.issue(self.user))

    @classmethod
    async def build(cls, radicale: CalendarServer | None = None) -> "GoogleShelf":
        server = GoogleStandIn()
        await server.start()
        return cls(server)

    def _open(self, account: Account) -> Calendar:
        client = OAuthClient("client", "client-secret", Endpoints.google(self.server.url), KEYS, self.records)
        return GoogleCalendar.opener(client, self.server.url)(account)

    async def events(self) -> list[Shown]:
        return [
            Shown(
                title=event["summary"],
                starts_at=datetime.fromisoformat(event["start"]["dateTime"]).astimezone(UTC),
                ends_at=datetime.fromisoformat(event["end"]["dateTime"]).astimezone(UTC),
                description=event.get("description", ""),
                location=event.get("location", ""),
                is_private=event.get("visibility") == "private",
                is_tentative=event["status"] == "tentative",
                reminder_minutes=next(
                    (item["minutes"] for item in event.get("reminders", {}).get("overrides", [])), None
                ),
            )
            for event in self.server.live(self.user)
        ]

    async def remote(self) -> tuple[str]:
        (event,) = self.server.live(self.user)
        return (event["id"],)

    async def add(
        self, title: str, start: datetime, end: datetime, *, free: bool = False, declined: bool = False
    ) -> str:
        fields: dict[str, Any] = {"start": {"dateTime": start.isoformat()}, "end": {"dateTime": end.isoformat()}}
        if free:
            fields["transparency"] = "transparent"
        if declined:
            fields["attendees"] = [
                {"email": "other@example.org", "responseStatus": "accepted"},
                {"email": "me@example.org", "self": True, "responseStatus": "declined"},
            ]
        event_id = secrets.token_hex(10)
        self.server.write(self.user, event_id, summary=title, **fields)
        return event_id

    async def add_day(self, title: str, day: date) -> None:
        following = day + timedelta(days=1)
        self.server.write(
            self.user,
            secrets.token_hex(10),
            summary=title,
            start={"date": day.strftime(DAY)},
            end={"date": following.strftime(DAY)},
        )

    async def add_weekly(self, title: str, start: datetime, length: timedelta, count: int) -> None:
        # With singleEvents, instances come instead of the series.
        series = secrets.token_hex(10)
        for week in range(count):
            begin = start + timedelta(weeks=week)
            self.server.write(
                self.user,
                f"{series}_{begin:%Y%m%dT%H%M%SZ}",
                summary=title,
                recurringEventId=series,
                start={"dateTime": begin.isoformat()},
                end={"dateTime": (begin + length).isoformat()},
            )

    async def move(self, name: str, entry: ics.Entry, by: timedelta) -> None:
        times = {
            "start": {"dateTime": (entry.starts_at + by).isoformat()},
            "end": {"dateTime": (entry.ends_at + by).isoformat()},
        }
        self.server.write(self.user, name, **times)

    async def delete(self, name: str) -> None:
        self.server.drop(self.user, name)

    async def import_mailed(self, entry: ics.Entry) -> str:
        name = await self.add("Appointment", entry.starts_at, entry.ends_at)
        self.server.write(self.user, name, iCalUID=entry.uid)
        return name

    async def forget(self, cursor: str | None) -> str | None:
        self.server.forgotten_before = 10**9
        return cursor

    def fail_with_rate_limit(self, retry_after: int) -> None:
        error = {"error": {"code": 403, "errors": [{"reason": "rateLimitExceeded"}]}}
        self.server.fail(403, body=error, headers={"Retry-After": str(retry_after)})


class MicrosoftShelf(StandInShelf):
    name = "microsoft"

    def __init__(self, server: MicrosoftStandIn) -> None:
        super().__init__()
        self.server: MicrosoftStandIn = server
        self.calendar = self.open(server.issue(self.user))

    @classmethod
    async def build(cls, radicale: CalendarServer | None = None) -> "MicrosoftShelf":
        server = MicrosoftStandIn()
        await server.start()
        return cls(server)

    def _open(self, account: Account) -> Calendar:
        client = OAuthClient("client", "client-secret", Endpoints.microsoft(self.server.url), KEYS, self.records)
        return MicrosoftCalendar.opener(client, self.server.url)(account)

    async def events(self) -> list[Shown]:
        return [
            Shown(
                title=event["subject"],
                starts_at=_instant(event["start"]),
                ends_at=_instant(event["end"]),
                description=event.get("body", {}).get("content", ""),
                location=event.get("location", {}).get("displayName", ""),
                is_private=event.get("sensitivity") == "private",
                is_tentative=event.get("showAs") == "tentative",
                reminder_minutes=event.get("reminderMinutesBeforeStart") if event.get("isReminderOn") else None,
            )
            for event in self.server.live(self.user)
        ]

    async def remote(self) -> tuple[str]:
        (event,) = self.server.live(self.user)
        return (event["id"],)

    async def add(
        self, title: str, start: datetime, end: datetime, *, free: bool = False, declined: bool = False
    ) -> str:
        event = self.server.write(
            self.user,
            subject=title,
            start=_stamp(start),
            end=_stamp(end),
            showAs="free" if free else "busy",
            responseStatus={"response": "declined" if declined else "organizer"},
        )
        return str(event["id"])

    async def add_day(self, title: str, day: date) -> None:
        times = {
            side: {"dateTime": f"{moment:%Y-%m-%d}T00:00:00.0000000", "timeZone": "UTC"}
            for side, moment in (("start", day), ("end", day + timedelta(days=1)))
        }
        self.server.write(self.user, subject=title, isAllDay=True, showAs="busy", **times)

    async def add_weekly(self, title: str, start: datetime, length: timedelta, count: int) -> None:
        master = self.server.write(
            self.user,
            subject=title,
            type="seriesMaster",
            showAs="busy",
            start=_stamp(start),
            end=_stamp(start + length),
        )
        for week in range(count):
            begin = start + timedelta(weeks=week)
            self.server.write(
                self.user,
                type="occurrence",
                seriesMasterId=master["id"],
                start=_stamp(begin),
                end=_stamp(begin + length),
            )

    async def move(self, name: str, entry: ics.Entry, by: timedelta) -> None:
        self.server.write(self.user, name, start=_stamp(entry.starts_at + by), end=_stamp(entry.ends_at + by))

    async def delete(self, name: str) -> None:
        self.server.drop(self.user, name)

    async def import_mailed(self, entry: ics.Entry) -> str:
        name = await self.add("Appointment", entry.starts_at, entry.ends_at)
        self.server.write(self.user, name, iCalUId=entry.uid)
        return name

    async def forget(self, cursor: str | None) -> str | None:
        self.server.forgotten_before = 10**9
        return cursor

    def fail_with_rate_limit(self, retry_after: int) -> None:
        error = {"error": {"code": "ApplicationThrottled"}}
        self.server.fail(429, body=error, headers={"Retry-After": str(retry_after)})


def _stamp(moment: datetime) -> dict[str, str]:
    return {"dateTime": moment.strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": "UTC"}


def _instant(value: dict[str, str]) -> datetime:
    zones = {"UTC": "UTC", "E. Africa Standard Time": "Africa/Nairobi"}
    naive = datetime.fromisoformat(value["dateTime"][:19])
    return naive.replace(tzinfo=ZoneInfo(zones[value["timeZone"]])).astimezone(UTC)


SHELVES: tuple[type[Shelf], ...] = (CalDavShelf, GoogleShelf, MicrosoftShelf)
