"""CalDAV (RFC 4791): Apple, Nextcloud, Radicale and others.

An appointment is the resource `<appointment id>.ics`, so a second creation meets the first one instead of standing
beside it. Every write is conditional: `If-None-Match: *` to create, `If-Match` to update; 412 means look again.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import httpx

from sauti_sync import ics
from sauti_sync.calendars.addresses import PinnedTransport, check_url
from sauti_sync.calendars.busy import Pulled, Window
from sauti_sync.calendars.caldav_busy import CalDavReader
from sauti_sync.calendars.interface import Account, Opener, RemoteEvent, Watched
from sauti_sync.calendars.wording import REMINDER_MINUTES
from sauti_sync.credentials import CalDavCredentials
from sauti_sync.errors import Outage, Permanent, Retryable, SautiError
from sauti_sync.events import Lease

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_REQUEST_SECONDS = 20.0
_ANSWER_BYTES = 1_048_576
#: Of a report over a whole calendar.
_REPORT_BYTES = 16 * 1_048_576
_ROUNDS = 4
_RESOURCE = re.compile(r"[A-Za-z0-9%@=+_~!$&'(),;-][A-Za-z0-9.%@=+_~!$&'(),;-]{0,254}")
#: A strong entity tag. A weak one (`W/"…"`) must not be used for If-Match and counts as none.
_ETAG = re.compile(r'"[\x21\x23-\x7e]{0,254}"')
_FIND = (
    '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/></D:prop><C:filter>'
    '<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:prop-filter name="UID">'
    '<C:text-match collation="i;octet">{uid}</C:text-match>'
    "</C:prop-filter></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    etag: str | None
    retry_after: float | None
    body: bytes


class CalDavCalendar:
    """One calendar collection."""

    def __init__(self, credentials: CalDavCredentials, transport: httpx.AsyncBaseTransport) -> None:
        self._collection = credentials.url.rstrip("/") + "/"
        self._username = credentials.username
        self._http = httpx.AsyncClient(
            transport=transport,
            auth=httpx.BasicAuth(credentials.username, credentials.password),
            # Compressed answers are not asked for and not unpacked: a small one can become a very large one.
            headers={"Accept-Encoding": "identity", "User-Agent": "appointments/1"},
            timeout=_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
        )

    @classmethod
    def opener(cls, *, allow_private: bool) -> Opener:
        """Opens calendars under the address policy."""

        def open_calendar(account: Account) -> CalDavCalendar:
            credentials = CalDavCredentials.read(account.secret)
            check_url(credentials.url, allow_private=allow_private)
            inner = httpx.AsyncHTTPTransport(verify=_trust(), trust_env=False)
            return cls(credentials, PinnedTransport(inner, allow_private=allow_private))

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
        name = _resource(known.external_event_id if known else f"{appointment_id}.ics")
        document = ics.render(entry, wording, full=full, reminder_minutes=REMINDER_MINUTES)
        condition = {"If-None-Match": "*"} if known is None else _if_match(known.etag)
        # Without an etag there is no condition to write under, so look first.
        look = known is not None and not condition
        recreated = False
        for _ in range(_ROUNDS):
            if not look:
                lease.check()
                answer = await self._request("PUT", name, document, {"Content-Type": _CALENDAR, **condition})
                if answer.status in (200, 201, 204):
                    return RemoteEvent(name, answer.etag, recreated=recreated)
                if _is_uid_conflict(answer):
                    # The owner has imported the mailed appointment: that event becomes ours.
                    name = await self._find(entry.uid) or _give_up("calendar_conflict")
                elif answer.status != 412 and not (answer.status == 404 and "If-Match" in condition):
                    raise _verdict(answer)
            seen = await self._request("GET", name)
            look = False
            if seen.status in (404, 410):
                if known is not None and known.is_final:
                    return None
                recreated = known is not None
                condition = {"If-None-Match": "*"}
                continue
            if seen.status != 200:
                raise _verdict(seen)
            event = ics.read(seen.body)
            if event is not None and ics.says_the_same(event, entry):
                return RemoteEvent(name, seen.etag, recreated=recreated)
            # Read, then confirmed, then written under the etag that was read: if another worker had the lease in
            # between, one of the two fails.
            await lease.confirm()
            condition = _if_match(seen.etag)
        raise Retryable("calendar_conflict")

    async def remove(self, appointment_id: str, known: RemoteEvent | None, lease: Lease) -> None:
        """Delete; an event that is not there counts as deleted."""
        name = _resource(known.external_event_id if known else f"{appointment_id}.ics")
        lease.check()
        answer = await self._request("DELETE", name)
        if answer.status in (404, 410) and known is None:
            # A worker may have died after it took over an imported event and before it could say under which name.
            other = await self._find(f"{appointment_id}@sauti")
            if other is not None:
                lease.check()
                answer = await self._request("DELETE", other)
        if answer.status not in (200, 202, 204, 404, 410):
            raise _verdict(answer)

    async def pull(self, window: Window, cursor: str | None) -> Pulled:
        """What takes time, by sync token or entity tags; see caldav_busy.py."""

        async def ask(method: str, name: str, content: bytes, depth: str) -> tuple[int, bytes]:
            headers = {"Content-Type": "application/xml", "Depth": depth}
            answer = await self._request(method, name, content, headers, _REPORT_BYTES)
            if answer.status in (408, 425, 429) or (answer.status >= 500 and answer.status != 507):
                raise _verdict(answer)
            return answer.status, answer.body

        reader = CalDavReader(
            ask, self._collection, self._username, lambda status: _verdict(_Answer(status, None, None, b""))
        )
        return await reader.pull(window, cursor)

    async def watch(self, channel_id: str, token: str, address: str) -> Watched:
        """No server tells of changes in a way that others do too."""
        raise Permanent("push_unsupported")

    async def unwatch(self, channel_id: str, resource_id: str) -> None:
        """There is no channel to end."""

    async def revoke(self) -> None:
        """An app password is withdrawn where it was made; nothing is to be told here."""

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def _find(self, uid: str) -> str | None:
        """Name of the resource with this UID, or None (also when the server cannot search)."""
        query = _FIND.format(uid=escape(uid)).encode()
        answer = await self._request("REPORT", "", query, {"Content-Type": "application/xml", "Depth": "1"})
        is_unsupported = answer.status in _CANNOT or (answer.status == 403 and b"supported-" in answer.body)
        if not is_unsupported and (answer.status in (401, 403) or isinstance(_verdict(answer), Retryable)):
            # No answer is not the answer that there is none: an event could be left standing for ever.
            raise _verdict(answer)
        if answer.status != 207 or b"<!" in answer.body:  # no document type, hence no entities to expand
            return None
        try:
            hrefs = [node.text or "" for node in ElementTree.fromstring(answer.body).iter("{DAV:}href")]  # noqa: S314
        except ElementTree.ParseError:
            return None
        folder = urlsplit(self._collection).path
        for href in hrefs:
            path = urlsplit(href).path
            if path.startswith(folder) and _RESOURCE.fullmatch(path.removeprefix(folder)):
                return path.removeprefix(folder)
        return None

    async def _request(
        self,
        method: str,
        name: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = _ANSWER_BYTES,
    ) -> _Answer:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(_REQUEST_SECONDS),
                self._http.stream(method, self._collection + name, content=content, headers=headers) as response,
            ):
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise Permanent("calendar_answer_invalid")
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > limit:
                        raise Permanent("calendar_answer_invalid")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError):
            raise Outage("calendar_unavailable") from None
        etag = response.headers.get("etag", "")
        return _Answer(
            status=response.status_code,
            etag=etag if _ETAG.fullmatch(etag) else None,
            retry_after=_retry_after(response.headers.get("retry-after")),
            body=bytes(body),
        )


_CALENDAR = "text/calendar; charset=utf-8; component=VEVENT"
#: About this calendar, not about its server.
_CANNOT = (501, 507)


def _verdict(answer: _Answer) -> SautiError:
    status = answer.status
    if status in (401, 403):
        return Permanent("needs_reauth")
    if status in (404, 409, 410):  # 409: RFC 4918's answer to a missing parent collection
        return Permanent("calendar_not_found")
    if 300 <= status < 400:
        # Followed, a redirect would carry the password to an address that its owner never named.
        return Permanent("calendar_redirected")
    if status == 429:
        return Retryable("calendar_rate_limited", answer.retry_after)
    if status in (408, 423, 425, *_CANNOT):
        return Retryable("calendar_unavailable", answer.retry_after)
    if status >= 500:
        return Outage("calendar_unavailable", answer.retry_after)
    return Permanent("calendar_refused")


def _is_uid_conflict(answer: _Answer) -> bool:
    return answer.status in (403, 409) and b"no-uid-conflict" in answer.body


def _if_match(etag: str | None) -> dict[str, str]:
    return {"If-Match": etag} if etag is not None and _ETAG.fullmatch(etag) else {}


def _resource(name: str) -> str:
    if not _RESOURCE.fullmatch(name):
        raise Permanent("calendar_event_invalid")
    return name


def _give_up(symbol: str) -> str:
    raise Permanent(symbol)


def _retry_after(value: str | None) -> float | None:
    """Seconds from now; both forms of RFC 9110."""
    if value is None:
        return None
    if value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


@cache
def _trust() -> ssl.SSLContext:
    # One for all: reading the trust store takes longer than the request.
    return ssl.create_default_context()
