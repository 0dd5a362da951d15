"""`sauti-sync cal-com reconcile`: what Cal.com's webhook did not deliver, asked for through its API v2.

Cal.com tries a delivery a few times at most. Each booking is read as the event that would have told of its present
state and applied like a delivery: what is known already is a duplicate, so the command can run as often as one likes.

| variable | default | meaning |
|---|---|---|
| `SUPABASE_URL`, `SUPABASE_SERVICE_ROLE_KEY` | required | the project |
| `SAUTI_CAL_COM_API_KEY` | required | API key of the professional's Cal.com account |
| `SAUTI_CAL_COM_API_URL` | `https://api.cal.com` | where the API is, for one's own Cal.com |
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from pydantic import Field, SecretStr, field_validator

from sauti_sync.backoff import Backoff, jitter
from sauti_sync.config import ProjectSettings
from sauti_sync.errors import Permanent, QueueRefused, QueueUnavailable, Retryable, SautiError

Json = dict[str, Any]

API_VERSION = "2024-08-13"
_PAGE = 100
_MAX_PAGES = 1000
_TRIES = 4
_BETWEEN_TRIES = Backoff(base=1.0, cap=30.0, floor=0.5)
_LONGEST_WAIT = 60.0
_TRIGGERS = {
    "accepted": "BOOKING_CREATED",
    "pending": "BOOKING_REQUESTED",
    "cancelled": "BOOKING_CANCELLED",
    "rejected": "BOOKING_REJECTED",
}


class CalComSettings(ProjectSettings):
    """The project and the Cal.com account."""

    cal_com_api_key: SecretStr = Field(min_length=1)
    cal_com_api_url: str = "https://api.cal.com"

    @field_validator("cal_com_api_url")
    @classmethod
    def _is_web_address_of_api(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("expected an http or https address")
        return value.rstrip("/")


def reconcile(professional_id: str, days_back: int = 7, as_json: bool = False) -> int:
    """Apply all bookings that start `days_back` days ago or later; gives the exit status.

    Prints how many bookings there were and what became of them: applied, conflict, duplicate, ignored, refused.
    """
    try:
        professional = UUID(professional_id)
    except ValueError:
        print("sauti-sync cal-com: the id of the professional is a UUID", file=sys.stderr)
        return 2
    try:
        counts = asyncio.run(_reconcile(CalComSettings.from_environment(), professional, timedelta(days=days_back)))
    except SautiError as error:
        print(f"sauti-sync cal-com: {error}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(counts))
    else:
        results = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if outcome != "bookings")
        print(f"{counts['bookings']} bookings" + (f": {results}" if results else ""))
    return 0


async def _reconcile(settings: CalComSettings, professional_id: UUID, back: timedelta) -> dict[str, int]:
    since = datetime.now(UTC) - back
    bookings = [booking async for booking in _bookings(settings, since)]
    counts: Counter[str] = Counter()
    async with _client(settings.supabase_url, settings.supabase_service_role_key, apikey=True) as database:
        for event in events(bookings):
            counts[await _apply(database, professional_id, event)] += 1
    return {"bookings": len(bookings), **dict(sorted(counts.items()))}


def events(bookings: list[Json]) -> Iterator[Json]:
    """The events that would have told of these bookings, as the webhook sends them.

    Replaced bookings come last: their successors take over the appointments first.

    Raises:
        Permanent: `cal_com_answer_unreadable`.
    """
    try:
        for booking in sorted(bookings, key=lambda one: (one["status"] == "cancelled", str(one["start"]))):
            trigger = _TRIGGERS.get(booking["status"])
            if trigger is None:
                continue
            yield {
                "triggerEvent": trigger,
                "createdAt": booking.get("updatedAt") or booking["createdAt"],
                "payload": _payload(booking),
            }
            absent = [attendee["email"] for attendee in booking.get("attendees") or [] if attendee.get("absent")]
            if absent:
                yield {
                    "triggerEvent": "BOOKING_NO_SHOW_UPDATED",
                    "createdAt": booking.get("updatedAt") or booking["createdAt"],
                    "payload": {
                        "bookingUid": booking["uid"],
                        "attendees": [{"email": email, "noShow": True} for email in absent],
                    },
                }
    except (KeyError, TypeError, AttributeError):
        raise Permanent("cal_com_answer_unreadable") from None


def _payload(booking: Mapping[str, Any]) -> Json:
    return {
        "uid": booking["uid"],
        "bookingId": booking.get("id"),
        "type": (booking.get("eventType") or {}).get("slug"),
        "startTime": booking["start"],
        "endTime": booking["end"],
        "status": booking["status"].upper(),
        "attendees": [
            {
                "name": attendee.get("name"),
                "email": attendee.get("email"),
                "timeZone": attendee.get("timeZone"),
                "phoneNumber": attendee.get("phoneNumber"),
                "language": {"locale": attendee.get("language")},
            }
            for attendee in booking.get("attendees") or []
        ],
        "location": booking.get("location"),
        "metadata": {"videoCallUrl": booking.get("meetingUrl")},
        "rescheduleUid": booking.get("rescheduledFromUid"),
        "cancellationReason": booking.get("cancellationReason"),
    }


async def _bookings(settings: CalComSettings, since: datetime) -> AsyncIterator[Json]:
    """Every booking that starts at `since` or later, page by page."""
    async with _client(settings.cal_com_api_url, settings.cal_com_api_key) as http:
        for page in range(_MAX_PAGES):
            query = {
                "afterStart": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "sortStart": "asc",
                "take": str(_PAGE),
                "skip": str(page * _PAGE),
            }
            answer = await _ask(http, query)
            found = answer.get("data")
            if not isinstance(found, list) or not all(isinstance(booking, dict) for booking in found):
                raise Permanent("cal_com_answer_unreadable")
            for booking in found:
                yield booking
            if len(found) < _PAGE:
                return
    raise Permanent("cal_com_too_many_bookings")


async def _ask(http: httpx.AsyncClient, query: Mapping[str, str]) -> Json:
    """One page; a busy or broken server is asked again a few times."""
    chance = jitter()
    for attempt in range(1, _TRIES + 1):
        try:
            response = await http.get("/v2/bookings", params=query, headers={"cal-api-version": API_VERSION})
        except httpx.HTTPError:
            response = None
        if response is not None and response.is_success:
            try:
                answer = response.json()
            except ValueError:
                answer = None
            if not isinstance(answer, dict):
                raise Permanent("cal_com_answer_unreadable")
            return answer
        if response is not None and response.status_code in (401, 403):
            raise Permanent("cal_com_key_refused")
        if response is not None and response.status_code != 429 and response.status_code < 500:
            raise Permanent(f"cal_com_refused_{response.status_code}")
        if attempt < _TRIES:
            await asyncio.sleep(_wait(response, _BETWEEN_TRIES.delay(attempt, chance)))
    raise Retryable("cal_com_unavailable")


def _wait(response: httpx.Response | None, otherwise: float) -> float:
    """Seconds until the next try: what the server asks for, within reason."""
    asked = response.headers.get("retry-after", "") if response is not None else ""
    return min(float(asked), _LONGEST_WAIT) if asked.isdecimal() else otherwise


async def _apply(database: httpx.AsyncClient, professional_id: UUID, event: Json) -> str:
    body = json.dumps(event, separators=(",", ":"), sort_keys=True)
    parameters = {
        "professional_id": str(professional_id),
        "event": event,
        "body_hash": hashlib.sha256(body.encode(errors="surrogatepass")).hexdigest(),
    }
    try:
        response = await database.post("/rest/v1/rpc/apply_cal_com_event", json=parameters)
        answer = response.json() if response.content else None
    except (httpx.HTTPError, ValueError):
        raise QueueUnavailable("database_unavailable") from None
    if isinstance(answer, dict) and isinstance(answer.get("outcome"), str):
        return str(answer["outcome"])
    if response.status_code == 429 or response.status_code >= 500:
        raise QueueUnavailable("database_unavailable")
    raise QueueRefused(f"database_refused_{response.status_code}", response.status_code)


def _client(url: str, key: SecretStr, *, apikey: bool = False) -> httpx.AsyncClient:
    secret = key.get_secret_value()
    headers = {"Authorization": f"Bearer {secret}"} | ({"apikey": secret} if apikey else {})
    # A proxy named in the environment is for the way out of this machine.
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=httpx.Timeout(20.0), trust_env=not _is_local(url))


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
