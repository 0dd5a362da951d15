"""Reading a CalDAV calendar: which resources changed (RFC 6578, or a walk over entity tags), and when they take time.

Recurring events are expanded here, because servers differ in how well they do it. Everything in them is a stranger's
input: rules that would expand without bound are not followed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import recurring_ical_events  # type: ignore[import-untyped]  # it ships no types
from icalendar import Calendar, Component

from sauti_sync.calendars.busy import OWN_UID_SUFFIX, Change, Pulled, Span, Window, merged
from sauti_sync.errors import Permanent

#: `(method, resource, body, depth)` → status and body; the resource is empty for the collection.
Ask = Callable[[str, str, bytes, str], Awaitable[tuple[int, bytes]]]

_BATCH = 50
_SPANS = 2_500
_CURSOR = 1_000_000
_NAMES = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"'
_TOKEN = f"<D:propfind {_NAMES}><D:prop><D:sync-token/></D:prop></D:propfind>".encode()
_QUERY = (
    "<C:calendar-query {names}><D:prop><D:getetag/>{data}</D:prop><C:filter>"
    '<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="{start}" end="{end}"/>'
    "</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
)
_SYNC = (
    "<D:sync-collection {names}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>"
    "<D:prop><D:getetag/></D:prop></D:sync-collection>"
)
_GET = "<C:calendar-multiget {names}><D:prop><D:getetag/><C:calendar-data/></D:prop>{hrefs}</C:calendar-multiget>"
_TOO_OFTEN = frozenset({"SECONDLY", "MINUTELY"})


class CalDavReader:
    """Reads one collection; `username` tells which guest of a meeting the owner is."""

    def __init__(self, ask: Ask, collection: str, username: str, verdict: Callable[[int], Exception]) -> None:
        self._ask = ask
        self._folder = unquote(urlsplit(collection).path)
        self._username = username.lower()
        self._verdict = verdict

    async def pull(self, window: Window, cursor: str | None) -> Pulled:
        """What changed since the cursor, `token:…` or `etags:…`; everything when there is none or it has expired."""
        kind, _, state = (cursor or "").partition(":")
        if kind == "token" and (pulled := await self._since(state, window)) is not None:
            return pulled
        if kind == "etags":
            return await self._walk(json.loads(state), window)
        # The token first: what changes while the rest is read is then read again, instead of never.
        token = await self._sync_token()
        found = await self._query(window, data=True)
        changes = [await self._change(name, data, window) for name, (_, data) in found.items()]
        return Pulled(_cursor(token, found), True, tuple(changes))

    async def _since(self, token: str, window: Window) -> Pulled | None:
        status, body = await self._ask("REPORT", "", _SYNC.format(names=_NAMES, token=escape(token)).encode(), "0")
        if status in (400, 403, 409, 410, 412, 507):  # RFC 6578, 3.2: valid-sync-token
            return None
        root = self._multistatus(status, body)
        following = root.findtext("{DAV:}sync-token")
        gone: list[str] = []
        changed: list[str] = []
        for name, answer in self._answers(root):
            (gone if " 404" in (answer.findtext("{DAV:}status") or "") else changed).append(name)
        if not following:
            return None
        changes = [Change(name, is_gone=True) for name in gone]
        return Pulled(f"token:{following}", False, (*changes, *await self._fetch(changed, window)))

    async def _walk(self, before: Mapping[str, str], window: Window) -> Pulled:
        now = await self._query(window, data=False)
        changed = [name for name, (etag, _) in now.items() if not etag or before.get(name) != etag]
        gone = [Change(name, is_gone=True) for name in before if name not in now]
        return Pulled(_cursor(None, now), False, (*gone, *await self._fetch(changed, window)))

    async def _fetch(self, names: Sequence[str], window: Window) -> list[Change]:
        changes: list[Change] = []
        for start in range(0, len(names), _BATCH):
            hrefs = "".join(
                f"<D:href>{escape(quote(self._folder + name))}</D:href>" for name in names[start : start + _BATCH]
            )
            body = _GET.format(names=_NAMES, hrefs=hrefs).encode()
            status, answer = await self._ask("REPORT", "", body, "1")
            for name, response in self._answers(self._multistatus(status, answer)):
                data = response.findtext(".//{urn:ietf:params:xml:ns:caldav}calendar-data")
                changes.append(await self._change(name, data, window))
        return changes

    async def _query(self, window: Window, *, data: bool) -> dict[str, tuple[str, str | None]]:
        body = _QUERY.format(
            names=_NAMES,
            data="<C:calendar-data/>" if data else "",
            start=_stamp(window.starts_at),
            end=_stamp(window.ends_at),
        )
        root = self._multistatus(*await self._ask("REPORT", "", body.encode(), "1"))
        return {
            name: (
                (answer.findtext(".//{DAV:}getetag") or "").strip(),
                answer.findtext(".//{urn:ietf:params:xml:ns:caldav}calendar-data"),
            )
            for name, answer in self._answers(root)
        }

    async def _sync_token(self) -> str | None:
        status, body = await self._ask("PROPFIND", "", _TOKEN, "0")
        root = self._multistatus(status, body)
        return (root.findtext(".//{DAV:}prop/{DAV:}sync-token") or "").strip() or None

    async def _change(self, name: str, data: str | None, window: Window) -> Change:
        if data is None:
            return Change(name, is_gone=True)
        # Expanding takes time; other jobs need the loop.
        return await asyncio.to_thread(_read, name, data, window, self._username)

    def _multistatus(self, status: int, body: bytes) -> ElementTree.Element:
        if status != 207:
            raise self._verdict(status)
        try:
            if b"<!" in body.replace(b"<![CDATA[", b""):  # no document type, hence no entities to expand
                raise Permanent("calendar_answer_invalid")
            return ElementTree.fromstring(body)  # noqa: S314
        except ElementTree.ParseError:
            raise Permanent("calendar_answer_invalid") from None

    def _answers(self, root: ElementTree.Element) -> Iterable[tuple[str, ElementTree.Element]]:
        """Resources right below the collection, by name."""
        for answer in root.iter("{DAV:}response"):
            path = unquote(urlsplit((answer.findtext("{DAV:}href") or "").strip()).path)
            name = path.removeprefix(self._folder)
            if path.startswith(self._folder) and name and "/" not in name:
                yield name, answer


def _read(name: str, data: str, window: Window, username: str) -> Change:
    """What a calendar object takes of the window. One that cannot be read takes nothing."""
    try:
        calendar = Calendar.from_ical(data)
        events = list(calendar.walk("VEVENT"))
        if any(str(event.get("UID", "")).endswith(OWN_UID_SUFFIX) for event in events):
            return _own(name, events[0], window)
        if not events or any(_expands_without_bound(event) for event in events):
            return Change(name)
        spans: list[Span] = []
        for event in recurring_ical_events.of(calendar).between(window.starts_at, window.ends_at):
            if _takes_time(event, username) and (span := _span(event, window)) is not None:
                spans.append(span)
            if len(spans) > _SPANS:
                break
    except Exception:  # whatever a foreign object breaks in the parser, it is one that cannot be read
        return Change(name)
    return Change(name, merged(spans))


def _own(name: str, event: Component, window: Window) -> Change:
    span = _span(event, window)
    return Change(name, (span,) if span else (), is_own=True, is_gone=str(event.get("STATUS", "")) == "CANCELLED")


def _span(event: Component, window: Window) -> Span | None:
    start: date | datetime = event.decoded("DTSTART")
    end: date | datetime | None = event.decoded("DTEND", None)
    if end is None:
        length: timedelta | None = event.decoded("DURATION", None)
        whole_day = not isinstance(start, datetime)
        end = start + (length if length is not None else timedelta(days=1 if whole_day else 0))
    span = Span(window.instant(start), window.instant(end))
    return span if span.starts_at < span.ends_at else None


def _takes_time(event: Component, username: str) -> bool:
    if (
        str(event.get("TRANSP", "OPAQUE")).upper() == "TRANSPARENT"
        or str(event.get("STATUS", "")).upper() == "CANCELLED"
    ):
        return False
    guests: Any = event.get("ATTENDEE", [])
    for guest in guests if isinstance(guests, list) else [guests]:
        address = str(guest).lower().removeprefix("mailto:")
        if address == username and str(guest.params.get("PARTSTAT", "")).upper() == "DECLINED":
            return False
    return True


def _expands_without_bound(event: Component) -> bool:
    rules: Any = event.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        times = [len(rule.get(part, ())) for part in ("BYSECOND", "BYMINUTE")]
        if set(map(str, rule.get("FREQ", ()))) & _TOO_OFTEN or max(times) > 4:
            return True
    return False


def _cursor(token: str | None, found: Mapping[str, tuple[str, str | None]]) -> str | None:
    if token is not None:
        return f"token:{token}"
    text = "etags:" + json.dumps({name: etag for name, (etag, _) in found.items()}, separators=(",", ":"))
    return text if len(text) <= _CURSOR else None


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
