"""Google Calendar, API version 3.

The event's id is ours: the appointment's UUID in base32hex, so a second insertion meets the first (409) instead of
standing beside it. Writes are conditional on the etag; 412 means look again. A deleted event keeps its id for a while
as `cancelled` and is written back to life under it.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx

from sauti_sync import ics
from sauti_sync.calendars import json_api
from sauti_sync.calendars.busy import OWN_UID_SUFFIX, Change, Pulled, Span, Window
from sauti_sync.calendars.interface import Account, Opener, RemoteEvent, Watched
from sauti_sync.calendars.json_api import JsonApi, Reply
from sauti_sync.calendars.oauth import OAuthClient, TokenSession
from sauti_sync.calendars.wording import REMINDER_MINUTES, description, location
from sauti_sync.errors import Outage, Permanent, Retryable, SautiError
from sauti_sync.events import Lease

API_URL = "https://www.googleapis.com"
_ROUNDS = 4
_PAGE = 250
_PAGES = 60
_ID = re.compile(r"[A-Za-z0-9_@.=-]{1,1024}")
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,254}"')
_BUSY_LIMITS = frozenset(
    {
        "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "calendarUsageLimitsExceeded",
        "dailyLimitExceeded",
    }
)  # fmt: skip
#: Google grants a week at most.
_WATCHED_FOR = timedelta(days=7)
_FORGOTTEN = frozenset({"fullSyncRequired", "updatedMinTooLongAgo"})


class GoogleCalendar:
    """One calendar of one account."""

    def __init__(self, account: Account, session: TokenSession, http: httpx.AsyncClient, api_url: str) -> None:
        calendar = quote(account.calendar_id, safe="")
        self._session = session
        self._http = http
        self._api = JsonApi(f"{api_url}/calendar/v3/calendars/{calendar}/events", session, http)
        self._channels = JsonApi(f"{api_url}/calendar/v3/channels", session, http)

    @classmethod
    def opener(cls, client: OAuthClient, api_url: str | None = None) -> Opener:
        """Opens calendars of people who have consented to this client."""

        def open_calendar(account: Account) -> GoogleCalendar:
            http = json_api.client()
            return cls(account, TokenSession(client, account, http), http, api_url or API_URL)

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
        event_id = known.external_event_id if known else event_id_of(appointment_id)
        etag = _etag(known.etag) if known else None
        content = event(appointment_id, entry, wording, full)
        # Without an etag there is no condition to write under, so look first.
        exists, look, recreated = known is not None, known is not None and etag is None, False
        if known is None and (found := await self._find(entry.uid)) is not None:
            # The owner has imported the mailed appointment: that event becomes ours.
            event_id, exists, look = found, True, True
        for _ in range(_ROUNDS):
            if not look:
                if exists:
                    reply = await self._write(event_id, content, etag, lease)
                else:
                    reply = await self._insert(event_id, content, lease)
                if reply.status == 200:
                    return RemoteEvent(event_id, _etag(reply.body.get("etag")), recreated=recreated)
                if reply.status not in ((404, 410, 412) if exists else (409,)):
                    raise _verdict(reply)
            seen = await self._api.request("GET", _path(event_id))
            look = False
            missing = seen.status in (404, 410)
            if not missing and seen.status != 200:
                raise _verdict(seen)
            if missing or seen.body.get("status") == "cancelled":
                if known is not None and known.is_final:
                    return None
                recreated = known is not None
            elif _says_the_same(seen.body, content):
                return RemoteEvent(event_id, _etag(seen.body.get("etag")), recreated=recreated)
            exists = not missing
            if exists:
                # Read, then confirmed, then written under the etag that was read: if another worker had the lease in
                # between, one of the two fails.
                await lease.confirm()
                etag = _etag(seen.body.get("etag"))
        raise Retryable("calendar_conflict")

    async def remove(self, appointment_id: str, known: RemoteEvent | None, lease: Lease) -> None:
        """Delete; an event that is not there counts as deleted."""
        reply = await self._delete(known.external_event_id if known else event_id_of(appointment_id), lease)
        if reply.status in (404, 410) and known is None:
            # A worker may have died after it took over an imported event and before it could say under which id.
            other = await self._find(f"{appointment_id}{OWN_UID_SUFFIX}")
            if other is not None:
                reply = await self._delete(other, lease)
        if reply.status not in (200, 204, 404, 410):
            raise _verdict(reply)

    async def pull(self, window: Window, cursor: str | None) -> Pulled:
        """Read by sync token; everything again when Google has forgotten it (410)."""
        query = {"singleEvents": "true", "maxResults": str(_PAGE)}
        if cursor is None:
            # The bounds become part of the token; with a token they may not be sent.
            query |= {"timeMin": _instant(window.starts_at), "timeMax": _instant(window.ends_at)}
        else:
            query["syncToken"] = cursor
        changes: list[Change] = []
        for _ in range(_PAGES):
            reply = await self._api.request("GET", "", query=query)
            if cursor is not None and (reply.status == 410 or _reasons(reply) & _FORGOTTEN):
                return await self.pull(window, None)
            if reply.status != 200:
                raise _verdict(reply)
            items = reply.body.get("items")
            changes += [_change(item, window) for item in items or () if isinstance(item, dict) and "id" in item]
            if isinstance(token := reply.body.get("nextSyncToken"), str):
                return Pulled(token, cursor is None, tuple(changes))
            if not isinstance(page := reply.body.get("nextPageToken"), str):
                raise Permanent("calendar_answer_invalid")
            query["pageToken"] = page
        raise Permanent("calendar_too_large")

    async def watch(self, channel_id: str, token: str, address: str) -> Watched:
        """Open a channel under our id: Google's messages name it in their headers and hold nothing."""
        content = {
            "id": channel_id,
            "type": "web_hook",
            "address": address,
            "token": token,
            "expiration": str(round((datetime.now(UTC) + _WATCHED_FOR).timestamp() * 1000)),
        }
        reply = await self._api.request("POST", "/watch", content=content)
        if reply.status != 200:
            raise _verdict(reply)
        resource_id, expiration = reply.body.get("resourceId"), str(reply.body.get("expiration"))
        if not isinstance(resource_id, str) or not re.fullmatch(r"\d{1,14}", expiration):
            raise Permanent("calendar_answer_invalid")
        return Watched(resource_id, datetime.fromtimestamp(int(expiration) / 1000, UTC))

    async def unwatch(self, channel_id: str, resource_id: str) -> None:
        """End a channel; one that has ended by itself is not known any more."""
        reply = await self._channels.request("POST", "/stop", content={"id": channel_id, "resourceId": resource_id})
        if reply.status not in (200, 204, 404, 410):
            raise _verdict(reply)

    async def revoke(self) -> None:
        """Give the consent back."""
        await self._session.revoke()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def _insert(self, event_id: str, content: Mapping[str, Any], lease: Lease) -> Reply:
        new = {"id": event_id} | dict(content)
        return await self._api.request("POST", "", query={"sendUpdates": "none"}, content=new, lease=lease)

    async def _write(self, event_id: str, content: Mapping[str, Any], etag: str | None, lease: Lease) -> Reply:
        # PATCH keeps what the owner has added: a colour, a reminder of their own.
        headers = {"If-Match": etag} if etag else {}
        query = {"sendUpdates": "none"}
        return await self._api.request(
            "PATCH", _path(event_id), query=query, content=content, headers=headers, lease=lease
        )

    async def _delete(self, event_id: str, lease: Lease) -> Reply:
        return await self._api.request("DELETE", _path(event_id), query={"sendUpdates": "none"}, lease=lease)

    async def _find(self, uid: str) -> str | None:
        """Id of the event with this UID, or None."""
        reply = await self._api.request("GET", "", query={"iCalUID": uid, "maxResults": "1"})
        if reply.status != 200:
            raise _verdict(reply)
        for item in reply.body.get("items") or ():
            if isinstance(item, dict) and isinstance(item.get("id"), str) and item.get("status") != "cancelled":
                return str(item["id"])
        return None


def event_id_of(appointment_id: str) -> str:
    """Base32hex of the UUID: 26 of the characters that an id may have."""
    return base64.b32hexencode(uuid.UUID(appointment_id).bytes).decode().rstrip("=").lower()


def event(appointment_id: str, entry: ics.Entry, wording: ics.Wording, full: bool) -> dict[str, Any]:
    """The event resource: neutral unless `full`, private, in the owner's zone, with no guests."""
    return {
        "summary": wording.title,
        "description": description(entry, wording, full),
        "location": location(entry, full),
        "start": {"dateTime": _local(entry.starts_at, entry), "timeZone": entry.zone.key},
        "end": {"dateTime": _local(entry.ends_at, entry), "timeZone": entry.zone.key},
        "status": "tentative" if entry.status == "requested" else "confirmed",
        "transparency": "opaque",
        "visibility": "private",
        "reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": REMINDER_MINUTES}]},
        "extendedProperties": {"private": {"appointment": appointment_id, "revision": str(entry.sequence)}},
    }


def _says_the_same(seen: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    same = all(_moment(seen.get(side)) == _moment(content[side]) for side in ("start", "end"))
    private = (seen.get("extendedProperties") or {}).get("private") or {}
    return same and seen.get("status") == content["status"] and private == content["extendedProperties"]["private"]


def _change(item: Mapping[str, Any], window: Window) -> Change:
    event_id = str(item["id"])
    if item.get("status") == "cancelled":
        return Change(event_id, is_gone=True)
    marked = "appointment" in ((item.get("extendedProperties") or {}).get("private") or {})
    is_own = marked or str(item.get("iCalUID", "")).endswith(OWN_UID_SUFFIX)
    if not is_own and (
        item.get("transparency") == "transparent" or item.get("eventType") == "workingLocation" or _is_declined(item)
    ):
        return Change(event_id)
    start, end = _moment(item.get("start"), window), _moment(item.get("end"), window)
    if start is None or end is None:
        return Change(event_id)
    return Change(event_id, (Span(start, end),), is_own=is_own)


def _is_declined(item: Mapping[str, Any]) -> bool:
    return any(
        isinstance(guest, dict) and guest.get("self") and guest.get("responseStatus") == "declined"
        for guest in item.get("attendees") or ()
    )


def _moment(value: Any, window: Window | None = None) -> datetime | None:
    """A `{dateTime}` with its offset, or a `{date}` of the owner's."""
    if not isinstance(value, dict):
        return None
    try:
        if isinstance(value.get("dateTime"), str):
            moment = datetime.fromisoformat(value["dateTime"])
            return moment.astimezone(UTC) if moment.tzinfo else None
        if isinstance(value.get("date"), str) and window is not None:
            return window.instant(date.fromisoformat(value["date"]))
    except ValueError:
        pass
    return None


def _local(moment: datetime, entry: ics.Entry) -> str:
    return moment.astimezone(entry.zone).isoformat(timespec="seconds")


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _path(event_id: str) -> str:
    if not _ID.fullmatch(event_id):
        raise Permanent("calendar_event_invalid")
    return f"/{quote(event_id, safe='')}"


def _etag(value: object) -> str | None:
    return value if isinstance(value, str) and _ETAG.fullmatch(value) else None


def _reasons(reply: Reply) -> set[str]:
    errors = reply.error.get("errors")
    return {str(item.get("reason")) for item in errors if isinstance(item, dict)} if isinstance(errors, list) else set()


def _verdict(reply: Reply) -> SautiError:
    if reply.status == 429 or (reply.status == 403 and _reasons(reply) & _BUSY_LIMITS):
        return Retryable("calendar_rate_limited", reply.retry_after)
    if reply.status == 403 and "accessNotConfigured" in _reasons(reply):
        # Ours to correct: the API is switched off for this project, and nobody has to connect again for that.
        return Outage("oauth_client_refused", 300.0)
    if reply.status == 403:
        return Permanent("needs_reauth")
    if reply.status in (404, 410):
        return Permanent("calendar_not_found")
    if reply.status in (408, 409, 412, 425):
        return Retryable("calendar_unavailable", reply.retry_after)
    if reply.status >= 500:
        return Outage("calendar_unavailable", reply.retry_after)
    return Permanent("calendar_refused")
