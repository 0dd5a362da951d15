"""CalDAV: what a server can answer, on purpose or in malice, and what becomes of it."""

import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from sauti_sync import ics
from sauti_sync.calendars.caldav import CalDavCalendar
from sauti_sync.calendars.interface import RemoteEvent
from sauti_sync.credentials import CalDavCredentials
from sauti_sync.errors import Outage, Permanent, Retryable
from sauti_sync.events import Lease
from tests.sync.test_calendar_contract import WORDS, Confirmations

APPOINTMENT = str(uuid.UUID(int=7))
START = datetime(2026, 12, 1, 9, tzinfo=UTC)
ENTRY = ics.Entry(f"{APPOINTMENT}@sauti", START, START + timedelta(hours=1), 0, "confirmed", START, START)
CREDENTIALS = CalDavCredentials("https://dav.example/me/cal", "me", "pass")
KNOWN = RemoteEvent("x.ics", '"1"')


class Server(httpx.AsyncBaseTransport):
    """Answers from a list, in order, the last one for ever; remembers the requests."""

    def __init__(self, *answers: httpx.Response | type[Exception]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, type):
            raise answer("canary")
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]


def calendar(server: Server) -> CalDavCalendar:
    return CalDavCalendar(CREDENTIALS, server)


@pytest.fixture
def lease() -> Lease:
    return Confirmations().lease()


def status(code: int, content: bytes = b"", **headers: str) -> httpx.Response:
    return httpx.Response(
        code, headers={name.replace("_", "-"): text for name, text in headers.items()}, content=content
    )


@pytest.mark.parametrize(
    ("answer", "kind", "symbol"),
    [
        (status(401), Permanent, "needs_reauth"),
        (status(403), Permanent, "needs_reauth"),
        (status(404), Permanent, "calendar_not_found"),
        (status(409), Permanent, "calendar_not_found"),
        (status(301, location="https://evil.example/"), Permanent, "calendar_redirected"),
        (status(307, location="https://dav.example/other/"), Permanent, "calendar_redirected"),
        (status(400, b"canary"), Permanent, "calendar_refused"),
        (status(405), Permanent, "calendar_refused"),
        (status(413), Permanent, "calendar_refused"),
        (status(415), Permanent, "calendar_refused"),
        (status(423), Retryable, "calendar_unavailable"),
        (status(429), Retryable, "calendar_rate_limited"),
        (status(500, b"canary"), Outage, "calendar_unavailable"),
        (status(502), Outage, "calendar_unavailable"),
        (status(503), Outage, "calendar_unavailable"),
        (status(501), Retryable, "calendar_unavailable"),
        (status(507), Retryable, "calendar_unavailable"),
        (status(201, b"x" * 1_100_000), Permanent, "calendar_answer_invalid"),
        (httpx.ConnectError, Outage, "calendar_unavailable"),
        (httpx.ReadTimeout, Outage, "calendar_unavailable"),
        (httpx.ReadError, Outage, "calendar_unavailable"),
        (httpx.RemoteProtocolError, Outage, "calendar_unavailable"),
    ],
)
async def test_an_answer_to_a_creation_becomes_a_verdict_without_its_words(
    answer: httpx.Response | type[Exception], kind: type[Exception], symbol: str, lease: Lease
) -> None:
    server = Server(answer)
    with pytest.raises(kind, match=f"^{symbol}$") as verdict:
        await calendar(server).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)
    assert type(verdict.value) is kind, "an outage pauses the whole host, anything else costs one job"
    assert "canary" not in repr(verdict.value)
    assert server.methods == ["PUT"], "a redirect is not followed, and the password goes nowhere else"


@pytest.mark.parametrize("code", [404, 410])
async def test_what_is_gone_is_removed(code: int, lease: Lease) -> None:
    server = Server(status(code))
    await calendar(server).remove(APPOINTMENT, KNOWN, lease)
    assert server.methods == ["DELETE"]


@pytest.mark.parametrize(
    ("code", "symbol"), [(401, "needs_reauth"), (302, "calendar_redirected"), (500, "calendar_unavailable")]
)
async def test_a_removal_that_did_not_happen_is_not_called_one(code: int, symbol: str, lease: Lease) -> None:
    with pytest.raises((Permanent, Retryable), match=symbol):
        await calendar(Server(status(code))).remove(APPOINTMENT, KNOWN, lease)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [("120", 120, 120), ("0", 0, 0), ("later", None, None), ("-5", None, None), ("9" * 40, 10**8, 10**9)],
)
async def test_retry_after_is_read(value: str, low: float | None, high: float | None, lease: Lease) -> None:
    with pytest.raises(Retryable) as verdict:
        await calendar(Server(status(503, retry_after=value))).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)
    after = verdict.value.after
    assert after is None if low is None or high is None else after is not None and low <= after <= high


async def test_retry_after_may_be_a_date(lease: Lease) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    with pytest.raises(Retryable) as verdict:
        await calendar(Server(status(429, retry_after=date))).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)
    assert verdict.value.after is not None
    assert 80 < verdict.value.after <= 90


async def test_a_creation_is_conditional_and_an_update_too(lease: Lease) -> None:
    server = Server(status(201, etag='"2"'))
    remote = await calendar(server).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)
    assert remote == RemoteEvent(f"{APPOINTMENT}.ics", '"2"')
    await calendar(server).put(APPOINTMENT, ENTRY, WORDS, KNOWN, False, lease)
    created, updated = server.requests
    assert str(created.url) == f"https://dav.example/me/cal/{APPOINTMENT}.ics"
    assert created.headers["if-none-match"] == "*"
    assert "if-none-match" not in updated.headers
    assert updated.headers["if-match"] == '"1"'


@pytest.mark.parametrize("etag", ["", 'W/"weak"', "bare", '"' + "x" * 300 + '"'])
async def test_an_etag_that_cannot_be_matched_with_counts_as_none(etag: str, lease: Lease) -> None:
    remote = await calendar(Server(status(204, etag=etag))).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)
    assert remote.etag is None


async def test_a_server_without_etags_can_be_updated(lease: Lease) -> None:
    existing = ics.render(ENTRY, WORDS)
    server = Server(status(200, existing), status(204))
    newer = ics.Entry(ENTRY.uid, START, START + timedelta(hours=2), 1, "confirmed", START, START)
    await calendar(server).put(APPOINTMENT, newer, WORDS, RemoteEvent("x.ics", None), False, lease)
    assert server.methods == ["GET", "PUT"]
    assert "if-match" not in server.requests[1].headers


async def test_a_conflict_without_end_is_given_up_for_later(lease: Lease) -> None:
    server = Server(*[status(412), status(200, ics.render(ENTRY, WORDS), etag='"9"')] * 9)
    newer = ics.Entry(ENTRY.uid, START, START + timedelta(hours=2), 1, "confirmed", START, START)
    with pytest.raises(Retryable, match="calendar_conflict"):
        await calendar(server).put(APPOINTMENT, newer, WORDS, KNOWN, False, lease)
    assert len(server.requests) == 8


async def test_an_unreadable_event_in_our_place_is_overwritten(lease: Lease) -> None:
    server = Server(status(412), status(200, b"\xff not a calendar", etag='"9"'), status(204, etag='"10"'))
    remote = await calendar(server).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)
    assert remote.etag == '"10"'
    assert server.requests[2].headers["if-match"] == '"9"'


async def test_a_compressed_answer_is_not_unpacked(lease: Lease) -> None:
    server = Server(status(201, b"", content_encoding="gzip"))
    with pytest.raises(Permanent, match="calendar_answer_invalid"):
        await calendar(server).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)


CONFLICT = status(403, b'<error xmlns="DAV:"><C:no-uid-conflict xmlns:C="urn:ietf:params:xml:ns:caldav"/></error>')


def found(href: str, head: str = "") -> httpx.Response:
    body = f'{head}<multistatus xmlns="DAV:"><response><href>{href}</href></response></multistatus>'
    return status(207, body.encode())


async def test_the_event_with_our_uid_is_found_and_taken_over(lease: Lease) -> None:
    existing = status(200, ics.render(ENTRY, WORDS), etag='"5"')
    server = Server(CONFLICT, found("/me/cal/other.ics"), existing)
    remote = await calendar(server).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)
    assert remote == RemoteEvent("other.ics", '"5"')
    assert server.methods == ["PUT", "REPORT", "GET"]


@pytest.mark.parametrize(
    "answer",
    [
        found("/someone-else/cal/x.ics"),
        found("https://evil.example/x.ics"),
        found("/me/cal/../../admin"),
        found("/me/cal/sub/x.ics"),
        found("/me/cal/"),
        found("/me/cal/x.ics", '<!DOCTYPE x [<!ENTITY a "aaaa">]>'),
        status(207, b"<not xml"),
        status(501),
        status(403, b'<error xmlns="DAV:"><C:supported-filter xmlns:C="urn:ietf:params:xml:ns:caldav"/></error>'),
    ],
)
async def test_a_search_leads_nowhere_but_into_the_calendar(answer: httpx.Response, lease: Lease) -> None:
    server = Server(CONFLICT, answer)
    with pytest.raises(Permanent, match="calendar_conflict"):
        await calendar(server).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(503), Outage),
        (status(429), Retryable),
        (status(423), Retryable),
        (status(401), Permanent),
        (status(403), Permanent),
        (httpx.ReadTimeout, Outage),
    ],
)
async def test_a_search_without_an_answer_does_not_mean_that_there_is_no_event(
    answer: httpx.Response | type[Exception], kind: type[Exception], lease: Lease
) -> None:
    with pytest.raises(kind, match=r"calendar_unavailable|calendar_rate_limited|needs_reauth"):
        await calendar(Server(CONFLICT, answer)).put(APPOINTMENT, ENTRY, WORDS, None, False, lease)
    with pytest.raises(kind, match=r"calendar_unavailable|calendar_rate_limited|needs_reauth"):
        await calendar(Server(status(404), answer)).remove(APPOINTMENT, None, lease)


@pytest.mark.parametrize("name", ["../x.ics", "a/b.ics", "", ".hidden", "x\r\ny", "x?y", "x#y", "x" * 300])
async def test_a_remembered_name_cannot_leave_the_calendar(name: str, lease: Lease) -> None:
    server = Server(status(204))
    with pytest.raises(Permanent, match="calendar_event_invalid"):
        await calendar(server).remove(APPOINTMENT, RemoteEvent(name, None), lease)
    assert server.requests == []
