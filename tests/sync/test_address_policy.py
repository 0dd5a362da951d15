"""Calendar addresses: the worker cannot be sent into the operator's network, by name, number, redirect or rebinding."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest

from sauti_sync.calendars.addresses import PinnedTransport, check_url, is_public
from sauti_sync.calendars.caldav import CalDavCalendar
from sauti_sync.calendars.interface import Account
from sauti_sync.errors import Permanent, Retryable
from tests.sync.certificates import Authority

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1",
    "2001:db8::1", "fec0::1", "", "localhost", "8.8.8", "0x7f.1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "17.248.0.1", "2606:4700::1111", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_accepted(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    ["http://dav.example/", "ftp://dav.example/", "https://", "https://u:p@dav.example/", "https://dav.example/?x=1",
     "https://dav.example/#x", "file:///etc/passwd", "gopher://x", "", "dav.example", "https://[::1", "https://x:99999/",
     "https://dav.example/\r\nx"],
)  # fmt: skip
def test_urls_of_another_kind_are_refused(url: str) -> None:
    with pytest.raises(Permanent, match="calendar_address_refused"):
        check_url(url, allow_private=False)


def test_http_is_accepted_where_private_networks_are() -> None:
    assert check_url("http://127.0.0.1:5232/me/", allow_private=True).port == 5232


class Sink(httpx.AsyncBaseTransport):
    """Stands where the network begins, and notes where a connection would have gone."""

    def __init__(self, refusing: frozenset[str] = frozenset()) -> None:
        self.requests: list[httpx.Request] = []
        self.hosts: list[str] = []
        self.refusing = refusing

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.hosts.append(request.url.host)
        if request.url.host in self.refusing:
            raise httpx.ConnectError("refused")
        return httpx.Response(204, request=request)


def client(answers: list[list[str]], sink: Sink, *, allow_private: bool = False) -> httpx.AsyncClient:
    """`answers`: what the name resolves to, one list for each look-up."""

    async def resolver(host: str, port: int) -> list[str]:
        return answers.pop(0)

    return httpx.AsyncClient(transport=PinnedTransport(sink, allow_private=allow_private, resolver=resolver))


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["169.254.169.254"], ["::1"], []])
async def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(addresses: list[str]) -> None:
    sink = Sink()
    with pytest.raises(Permanent, match="calendar_address_refused"):
        await client([addresses], sink).get("https://dav.example/cal/")
    assert sink.requests == []


async def test_the_connection_goes_to_the_judged_address_under_the_name() -> None:
    sink = Sink()
    await client([["8.8.8.8"]], sink).get("https://dav.example/cal/")
    (request,) = sink.requests
    assert request.url.host == "8.8.8.8"
    assert request.headers["host"] == "dav.example"
    assert request.extensions["sni_hostname"] == "dav.example"


async def test_a_rebinding_name_is_judged_again_and_its_first_answer_is_the_one_used() -> None:
    sink = Sink()
    http = client([["8.8.8.8"], ["127.0.0.1"]], sink)
    await http.get("https://dav.example/cal/")
    with pytest.raises(Permanent, match="calendar_address_refused"):
        await http.get("https://dav.example/cal/")
    assert sink.hosts == ["8.8.8.8"]


async def test_the_next_address_is_tried_while_no_connection_stands() -> None:
    sink = Sink(refusing=frozenset({"2606:4700::1111"}))
    answer = await client([["2606:4700::1111", "8.8.8.8"]], sink).put("https://dav.example/cal/x.ics", content=b"x")
    assert answer.status_code == 204
    assert sink.hosts == ["2606:4700::1111", "8.8.8.8"]
    with pytest.raises(Retryable, match="calendar_unavailable"):
        await client([["2606:4700::1111"]], sink).get("https://dav.example/")


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://[::1]/", "https://localhost/", "https://2130706433/", "https://127.1/"]
)
async def test_the_real_resolver_finds_loopback_in_every_spelling(url: str) -> None:
    sink = Sink()
    with pytest.raises((Permanent, Retryable)):
        await httpx.AsyncClient(transport=PinnedTransport(sink, allow_private=False)).get(url)
    assert sink.requests == []


@pytest.fixture
async def inside() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server of the operator's network, which must hear nothing."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(64))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def test_a_calendar_of_a_user_cannot_reach_a_server_inside(inside: tuple[int, list[bytes]]) -> None:
    port, heard = inside
    open_calendar = CalDavCalendar.opener(allow_private=False)
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        url = f"https://{host}:{port}/cal/"
        calendar = open_calendar(Account("", "caldav", url, {"url": url, "username": "u", "password": "p"}))
        with pytest.raises((Permanent, Retryable)):
            await calendar._request("GET", "x.ics")  # type: ignore[attr-defined]  # the way every call takes
        await calendar.close()
    assert heard == []


async def test_a_pinned_connection_still_wants_the_certificate_of_the_name() -> None:
    authority = Authority()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def resolver(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=authority.server("dav.example"))
    async with server:
        port = server.sockets[0].getsockname()[1]

        async def ask(host: str) -> int:
            inner = httpx.AsyncHTTPTransport(verify=authority.client(), trust_env=False)
            pinned = PinnedTransport(inner, allow_private=True, resolver=resolver)
            async with httpx.AsyncClient(transport=pinned, trust_env=False) as http:
                return (await http.get(f"https://{host}:{port}/")).status_code

        assert await ask("dav.example") == 204
        with pytest.raises(Retryable, match="calendar_unavailable"):
            await ask("other.example")
