"""What a hostile or clumsy caller sends to the calendar routes: refused in registered words, nothing stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sauti_local.functions import FunctionServer
from sauti_local.stack import Addresses, Stack
from tests.functions.callers import CONNECT, PASSWORD, Caller, assert_refused, call, connect, connections

BAD_FIELDS: dict[str, dict[str, Any]] = {
    "url missing": {"url": None},
    "url of another type": {"url": ["https://dav.example.com/"]},
    "url not a URL": {"url": "calendar"},
    "url of another scheme": {"url": "file:///etc/passwd"},
    "url with a user name": {"url": "http://ada@127.0.0.1:1/"},
    "url with a password": {"url": "http://ada:pw@127.0.0.1:1/"},
    "url with a fragment": {"url": "http://127.0.0.1:1/#x"},
    "url with a query": {"url": "http://127.0.0.1:1/?x"},
    "url with NUL": {"url": "http://127.0.0.1:1/\0"},
    "url too long": {"url": "http://127.0.0.1:1/" + "a" * 1000},
    "url too long when escaped": {"url": "http://127.0.0.1:1/" + "é" * 300},
    "username empty": {"username": ""},
    "username with a colon": {"username": "ada:x"},
    "username with a line break": {"username": "ada\r\nX-Evil: 1"},
    "username too long": {"username": "a" * 256},
    "username a number": {"username": 7},
    "password missing": {"password": None},
    "password with NUL": {"password": "sau\0ti"},
    "password too long": {"password": "a" * 1001},
    "password an object": {"password": {"$ne": ""}},
    "password half a surrogate pair": {"password": "\ud800"},
}


@pytest.mark.parametrize("changes", BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
async def test_a_bad_field_is_invalid_input(
    http: httpx.AsyncClient, addresses: Addresses, ada: Caller, changes: dict[str, Any]
) -> None:
    assert_refused(await connect(http, addresses, ada, **changes), 422, "invalid_input")
    assert connections(addresses, ada) == []


BAD_BODIES: dict[str, dict[str, Any]] = {
    "none": {},
    "not JSON": {"content": b"{", "headers": {"content-type": "application/json"}},
    "not UTF-8": {"content": b'{"url":"\xff"}', "headers": {"content-type": "application/json"}},
    "array": {"json": []},
    "null": {"content": b"null", "headers": {"content-type": "application/json"}},
    "form": {"data": {"url": "https://dav.example.com/"}},
    "no type": {"content": b'{"url":"https://dav.example.com/"}'},
    "huge": {"json": {"url": "a" * 2_000_000}},
    "deep": {"content": b"[" * 16_000, "headers": {"content-type": "application/json"}},
}


@pytest.mark.parametrize("options", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_bad_body_is_invalid_input(
    http: httpx.AsyncClient, addresses: Addresses, ada: Caller, options: dict[str, Any]
) -> None:
    base = f"{addresses.api_url}/functions/v1"
    assert_refused(await call(http, base, "POST", CONNECT, ada.token, **dict(options)), 422, "invalid_input")


@pytest.fixture
async def strict(stack: Stack, tmp_path: Path) -> AsyncIterator[str]:
    """The functions as on a hosted project: calendars on private networks are refused."""
    async for url in served(stack, tmp_path, SAUTI_ALLOW_PRIVATE_CALDAV=""):
        yield url


@pytest.fixture
async def keyless(stack: Stack, tmp_path: Path) -> AsyncIterator[str]:
    """The functions of an operator who has forgotten the token keys."""
    async for url in served(stack, tmp_path, SAUTI_TOKEN_KEYS=""):
        yield url


async def served(stack: Stack, folder: Path, **environment: str) -> AsyncIterator[str]:
    server = FunctionServer(stack.environment | environment, folder / "functions.log")
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()
        logged = (folder / "functions.log").read_text()
        for secret in (PASSWORD, "Bearer", "@example.com"):
            assert secret not in logged


async def test_private_addresses_are_not_even_knocked_at_where_they_are_not_allowed(
    http: httpx.AsyncClient, addresses: Addresses, strict: str, ada: Caller
) -> None:
    knocks = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal knocks
        knocks += 1
        writer.close()

    async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        local = ("127.0.0.1", "localhost", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]")
        elsewhere = (
            "169.254.169.254",
            "10.0.0.1",
            "192.168.1.1",
            "100.100.100.200",
            "[fd00:ec2::254]",
            "nowhere.invalid",
        )
        for host in (*(f"{name}:{port}" for name in local), *elsewhere):
            order = ada.order | {"url": f"https://{host}/ada/sessions/"}
            response = await call(http, strict, "POST", CONNECT, ada.token, json=order)
            assert_refused(response, 422, "invalid_input")
            assert response.json()["details"] == "The address leads to no public server."
        for url in (ada.url, f"http://127.0.0.1:{port}/", f"https://[fe80::1%25lo]:{port}/"):
            response = await call(http, strict, "POST", CONNECT, ada.token, json=ada.order | {"url": url})
            assert_refused(response, 422, "invalid_input")
    assert knocks == 0
    assert connections(addresses, ada) == []


async def test_without_token_keys_nothing_is_stored_and_the_answer_says_so(
    http: httpx.AsyncClient, addresses: Addresses, keyless: str, ada: Caller
) -> None:
    response = await call(http, keyless, "POST", CONNECT, ada.token, json=ada.order)
    assert_refused(response, 503, "unavailable")
    assert "SAUTI" not in response.text
    assert connections(addresses, ada) == []
