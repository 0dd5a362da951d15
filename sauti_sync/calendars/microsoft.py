"""Outlook calendars, Microsoft Graph version 1.0.

The event's id is Microsoft's. A repeated creation is harmless twice over: `transactionId` makes one event of the
requests of one job, and an extended property finds what an earlier job has made, however long ago.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from sauti_sync import ics
from sauti_sync.calendars import json_api
from sauti_sync.calendars.busy import OWN_UID_SUFFIX, Change, Pulled, Span, Window, instant
from sauti_sync.calendars.interface import Account, Opener, RemoteEvent, Watched
from sauti_sync.calendars.json_api import JsonApi, Reply
from sauti_sync.calendars.oauth import OAuthClient, TokenSession
from sauti_sync.calendars.wording import REMINDER_MINUTES, description, location
from sauti_sync.errors import Outage, Permanent, Retryable, SautiError
from sauti_sync.events import Lease

API_URL = "https://graph.microsoft.com"
#: A named property of our own; the GUID is its namespace.
PROPERTY = "String {5f3a1c84-6f0e-4f57-9d1b-3a6c8f6a7f10} Name appointment"
_ROUNDS = 4
_PAGES = 100
_ID = re.compile(r"[A-Za-z0-9_=-]{1,1024}")
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,254}"')
_TRANSACTIONS = uuid.UUID("5f3a1c84-6f0e-4f57-9d1b-3a6c8f6a7f10")
#: Begins the transaction of every event that we made; a delta shows it, but no extended property.
_OWN = "appointment:"
#: Ids that survive a move between folders; times as UTC.
_PREFER = 'IdType="ImmutableId", outlook.timezone="UTC"'
#: Graph grants 4,230 minutes at most.
_WATCHED_FOR = timedelta(hours=70)
_FORGOTTEN = frozenset({"syncstatenotfound", "syncstateinvalid", "resyncrequired"})


class MicrosoftCalendar:
    """The default calendar of one account."""

    def __init__(self, session: TokenSession, http: httpx.AsyncClient, api_url: str) -> None:
        self._session = session
        self._http = http
        self._api = JsonApi(f"{api_url}/v1.0/me", session, http)
        self._subscriptions = JsonApi(f"{api_url}/v1.0/subscriptions", session, http)

    @classmethod
    def opener(cls, client: OAuthClient, api_url: str | None = None) -> Opener:
        """Opens calendars of people who have consented to this client."""

        def open_calendar(account: Account) -> MicrosoftCalendar:
            http = json_api.client()
            return cls(TokenSession(client, account, http), http, api_url or API_URL)

        return open_calendar

    async def put(
        self,
        appointment_id: str,
        entry: ics.Entry,
        wording: ics.Wording,
        known: RemoteEvent | None,
        full: bool,
        lease: Lease,
    ) -> RemoteEvent | None:
        """Create or update; see calendars/interface.py."""
        content = event(appointment_id, entry, wording, full)
        event_id = known.external_event_id if known else await self._find(appointment_id)
        etag = _etag(known.etag) if known else None
        look = event_id is not None and etag is None
        recreated = False
        for turn in range(_ROUNDS):
            if not look:
                if event_id is None:
                    # One for each job and turn: that of an event that was deleted since must not come again.
                    name = f"{appointment_id}:{lease.job.job_id}:{turn}"
                    new = content | {"transactionId": f"{_OWN}{uuid.uuid5(_TRANSACTIONS, name)}"}
                    reply = await self._request("POST", "/calendar/events", content=new, lease=lease)
                else:
                    reply = await self._request("PATCH", _path(event_id), content=content, etag=etag, lease=lease)
                if reply.status in (200, 201):
                    return _remote(reply.body, recreated)
                if reply.status not in ((409,) if event_id is None else (404, 410, 412)):
                    raise _verdict(reply)
            event_id = event_id or await self._find(appointment_id)
            look = False
            if event_id is None:
                continue
            seen = await self._request("GET", _path(event_id))
            if seen.status in (404, 410):
                if known is not None and known.is_final:
                    return None
                recreated, event_id = known is not None, await self._find(appointment_id)
                look = event_id is not None
                continue
            if seen.status != 200:
                raise _verdict(seen)
            if _says_the_same(seen.body, content):
                return _remote(seen.body, recreated)
            # Read, then confirmed, then written under the etag that was read: if another worker had the lease in
            # between, one of the two fails.
            await lease.confirm()
            etag = _etag(seen.body.get("@odata.etag"))
        raise Retryable("calendar_conflict")

    async def remove(self, appointment_id: str, known: RemoteEvent | None, lease: Lease) -> None:
        """Delete; an event that is not there counts as deleted."""
        event_id = known.external_event_id if known else await self._find(appointment_id)
        for _ in range(_ROUNDS):
            lease.check()
            if event_id is None:
                return
            reply = await self._request("DELETE", _path(event_id), lease=lease)
            if reply.status not in (200, 204, 404, 410):
                raise _verdict(reply)
            # Graph names events itself, so requests that nobody answered may have made more than one.
            event_id = None if known else await self._find(appointment_id)

    async def pull(self, window: Window, cursor: str | None) -> Pulled:
        """Read by delta token; everything again when Graph has forgotten it."""
        first = {"startDateTime": _instant(window.starts_at), "endDateTime": _instant(window.ends_at)}
        query = first if cursor is None else {"$deltatoken": cursor}
        items: list[Mapping[str, Any]] = []
        for _ in range(_PAGES):
            reply = await self._request("GET", "/calendarView/delta", query=query, prefer="odata.maxpagesize=200")
            if cursor is not None and (reply.status == 410 or str(reply.error.get("code", "")).lower() in _FORGOTTEN):
                return await self.pull(window, None)
            if reply.status != 200:
                raise _verdict(reply)
            items += [item for item in reply.body.get("value") or () if isinstance(item, dict) and "id" in item]
            # Only the token of a link is followed, never the link: the access token goes to our address alone.
            if (token := _token(reply.body.get("@odata.deltaLink"), "$deltatoken")) is not None:
                return Pulled(token, cursor is None, _changes(items, window))
            if (token := _token(reply.body.get("@odata.nextLink"), "$skiptoken")) is None:
                raise Permanent("calendar_answer_invalid")
            query = {"$skiptoken": token}
        raise Permanent("calendar_too_large")

    async def watch(self, channel_id: str, token: str, address: str) -> Watched:
        """Subscribe: Graph asks the address first, and gives the client state back with every message."""
        content = {
            "changeType": "created,updated,deleted",
            "notificationUrl": address,
            "lifecycleNotificationUrl": address,
            "resource": "me/events",
            "expirationDateTime": _instant(datetime.now(UTC) + _WATCHED_FOR),
            "clientState": f"{channel_id}.{token}",
        }
        reply = await self._subscriptions.request("POST", "", content=content)
        if reply.status != 201:
            raise _verdict(reply)
        name, until = reply.body.get("id"), _moment({"dateTime": reply.body.get("expirationDateTime")})
        if not isinstance(name, str) or not _ID.fullmatch(name) or until is None:
            raise Permanent("calendar_answer_invalid")
        return Watched(name, until)

    async def unwatch(self, channel_id: str, resource_id: str) -> None:
        """End a subscription, which is known by Graph's own id."""
        if not _ID.fullmatch(resource_id):
            raise Permanent("calendar_answer_invalid")
        reply = await self._subscriptions.request("DELETE", f"/{quote(resource_id, safe='')}")
        if reply.status not in (200, 204, 404, 410):
            raise _verdict(reply)

    async def revoke(self) -> None:
        """Microsoft takes no tokens back; the owner removes the consent at myapps.microsoft.com."""
        await self._session.revoke()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def _find(self, appointment_id: str) -> str | None:
        """Id of the event that we made, or that its owner imported from the mail; None."""
        mark = str(uuid.UUID(appointment_id))
        for condition in (
            f"singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY}' and ep/value eq '{mark}')",
            f"iCalUId eq '{mark}{OWN_UID_SUFFIX}'",
        ):
            reply = await self._request("GET", "/calendar/events", query={"$filter": condition, "$top": "1"})
            if reply.status != 200:
                raise _verdict(reply)
            for item in reply.body.get("value") or ():
                if isinstance(item, dict) and isinstance(item.get("id"), str):
                    return str(item["id"])
        return None

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: Mapping[str, Any] | None = None,
        etag: str | None = None,
        prefer: str | None = None,
        lease: Lease | None = None,
    ) -> Reply:
        headers = {"Prefer": f"{_PREFER}, {prefer}" if prefer else _PREFER}
        if etag is not None:
            headers["If-Match"] = etag
        return await self._api.request(method, path, query=query, content=content, headers=headers, lease=lease)


def event(appointment_id: str, entry: ics.Entry, wording: ics.Wording, full: bool) -> dict[str, Any]:
    """The event resource: neutral unless `full`, private, in the owner's zone, with no guests."""
    place = location(entry, full)
    return {
        "subject": wording.title,
        "body": {"contentType": "text", "content": description(entry, wording, full)},
        "location": {"displayName": place},
        "start": _local(entry.starts_at, entry),
        "end": _local(entry.ends_at, entry),
        "sensitivity": "private",
        "showAs": "tentative" if entry.status == "requested" else "busy",
        "isReminderOn": True,
        "reminderMinutesBeforeStart": REMINDER_MINUTES,
        "singleValueExtendedProperties": [{"id": PROPERTY, "value": str(uuid.UUID(appointment_id))}],
    }


def _says_the_same(seen: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    times = all(_moment(seen.get(side)) == _moment(content[side]) for side in ("start", "end"))
    place = (seen.get("location") or {}).get("displayName") or ""
    fields = all(seen.get(name) == content[name] for name in ("subject", "sensitivity", "showAs"))
    return times and fields and place == content["location"]["displayName"]


def _changes(items: list[Mapping[str, Any]], window: Window) -> tuple[Change, ...]:
    # An occurrence in a delta says when it is; that it is free, cancelled or declined is said by its series.
    series = {str(item["id"]): item for item in items if item.get("type") == "seriesMaster"}
    found: dict[str, Change] = {}
    for item in items:
        event_id = str(item["id"])
        if "@removed" in item:
            found[event_id] = Change(event_id, is_gone=True)
        elif item.get("type") != "seriesMaster":
            whole = {**series.get(str(item.get("seriesMasterId")), {}), **item}
            found[event_id] = _change(event_id, whole, window)
    return tuple(found.values())


def _change(event_id: str, item: Mapping[str, Any], window: Window) -> Change:
    if item.get("isCancelled"):
        return Change(event_id, is_gone=True)
    made = str(item.get("transactionId", "")).startswith(_OWN)
    is_own = made or str(item.get("iCalUId", "")).endswith(OWN_UID_SUFFIX)
    answer = (item.get("responseStatus") or {}).get("response")
    if not is_own and (item.get("showAs") in ("free", "workingElsewhere") or answer == "declined"):
        return Change(event_id)
    whole_day = window if item.get("isAllDay") else None
    start, end = _moment(item.get("start"), whole_day), _moment(item.get("end"), whole_day)
    if start is None or end is None:
        return Change(event_id)
    return Change(event_id, (Span(start, end),), is_own=is_own)


def _moment(value: Any, whole_day: Window | None = None) -> datetime | None:
    """A `{dateTime, timeZone}`: seven digits of a second, the zone beside it. Whole days begin in the owner's zone."""
    if not isinstance(value, dict) or not isinstance(value.get("dateTime"), str):
        return None
    try:
        moment = datetime.fromisoformat(value["dateTime"].rstrip("Z")[:19])
        if whole_day is not None:
            return whole_day.instant(moment)
        zone = str(value.get("timeZone") or "UTC")
        return instant(moment, WINDOWS_TO_OLSON.get(zone, zone))
    except (ValueError, TypeError):
        return None


def _local(moment: datetime, entry: ics.Entry) -> dict[str, str]:
    """In the owner's zone when Windows has a name for it, else in UTC."""
    name = _windows_zones().get(entry.zone.key)
    zone = entry.zone if name else UTC
    return {"dateTime": moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": name or "UTC"}


@cache
def _windows_zones() -> dict[str, str]:
    return {olson: windows for windows, olson in WINDOWS_TO_OLSON.items()}


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _path(event_id: str) -> str:
    if not _ID.fullmatch(event_id):
        raise Permanent("calendar_event_invalid")
    return f"/events/{quote(event_id, safe='')}"


def _etag(value: object) -> str | None:
    return value if isinstance(value, str) and _ETAG.fullmatch(value) else None


def _remote(body: Mapping[str, Any], recreated: bool) -> RemoteEvent:
    event_id = body.get("id")
    if not isinstance(event_id, str) or not _ID.fullmatch(event_id):
        raise Permanent("calendar_answer_invalid")
    return RemoteEvent(event_id, _etag(body.get("@odata.etag")), recreated=recreated)


def _token(link: object, name: str) -> str | None:
    if not isinstance(link, str):
        return None
    found = {key.lower(): values[0] for key, values in parse_qs(urlsplit(link).query).items()}
    return found.get(name)


def _verdict(reply: Reply) -> SautiError:
    if reply.status == 429:
        return Retryable("calendar_rate_limited", reply.retry_after)
    if reply.status == 403:
        return Permanent("needs_reauth")
    if reply.status in (404, 410):
        return Permanent("calendar_not_found")
    if reply.status in (408, 409, 412, 423, 425):
        return Retryable("calendar_unavailable", reply.retry_after)
    if reply.status >= 500:
        return Outage("calendar_unavailable", reply.retry_after)
    return Permanent("calendar_refused")
