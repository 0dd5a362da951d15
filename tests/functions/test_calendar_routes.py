"""The routes for calendars, end to end: gateway, Deno, Auth, PostgREST, Postgres and a real CalDAV server."""

from __future__ import annotations

import re
from typing import Any

import httpx
import psycopg
import pytest

from sauti_local.paths import ROOT
from sauti_local.reference import FUNCTION_ERRORS
from sauti_local.stack import Addresses, Stack
from sauti_sync.credentials import TokenKeys
from tests.functions.callers import CONNECT, PASSWORD, Caller, assert_refused, call, connect, connections, delete

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
# A column of the row a client may see; the credentials are not among them.
ROW_COLUMNS = {
    "id", "user_id", "provider", "account_label", "calendar_id", "status", "detail_level", "last_synced_at",
    "last_error", "created_at",
}  # fmt: skip


async def test_connecting_a_calendar_gives_its_row_and_stores_only_a_ciphertext(
    http: httpx.AsyncClient, addresses: Addresses, stack: Stack, ada: Caller
) -> None:
    response = await connect(http, addresses, ada)
    assert response.status_code == 200, response.text
    row = response.json()
    assert set(row) >= ROW_COLUMNS
    assert {name: row[name] for name in ("user_id", "provider", "account_label", "calendar_id", "status")} == {
        "user_id": ada.id,
        "provider": "caldav",
        "account_label": "127.0.0.1",
        "calendar_id": ada.url,
        "status": "active",
    }
    assert PASSWORD not in response.text
    assert response.headers["cache-control"] == "no-store"
    assert response.headers.get_list("access-control-allow-origin") == ["*"]

    [(connection_id, provider, ciphertext)] = connections(addresses, ada)
    assert (connection_id, provider) == (row["id"], "caldav")
    assert ciphertext.startswith("v1.")
    assert PASSWORD not in ciphertext
    keys = TokenKeys.parse(stack.environment["SAUTI_TOKEN_KEYS"])
    assert keys.decrypt(ciphertext, ada.id, "caldav") == ada.order


async def test_no_api_role_can_select_a_ciphertext(http: httpx.AsyncClient, addresses: Addresses, ada: Caller) -> None:
    row = (await connect(http, addresses, ada)).json()
    with psycopg.connect(addresses.db_url, autocommit=True) as connection:
        for role in ("anon", "authenticated", "service_role"):
            connection.execute(f"set role {role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select ciphertext from private.calendar_credentials")
            connection.execute("reset role")
    for token in (ada.token, addresses.service_role_key):
        keys = {"apikey": addresses.anon_key if token == ada.token else token, "authorization": f"Bearer {token}"}
        rest = f"{addresses.api_url}/rest/v1"
        table = await http.get(f"{rest}/calendar_credentials", headers=keys)
        assert table.status_code == 404
        schema = await http.get(f"{rest}/calendar_credentials", headers=keys | {"accept-profile": "private"})
        assert schema.status_code == 406
        embedded = await http.get(f"{rest}/calendar_connections?select=*,calendar_credentials(*)", headers=keys)
        assert embedded.status_code == 400
    own = await http.get(
        f"{addresses.api_url}/rest/v1/calendar_connections", headers={"authorization": f"Bearer {ada.token}"}
    )
    assert [connection["id"] for connection in own.json()] == [row["id"]]
    assert "v1." not in own.text


async def test_a_client_cannot_store_a_connection_past_the_function(
    http: httpx.AsyncClient, addresses: Addresses, ada: Caller
) -> None:
    row = {"user_id": ada.id, "provider": "caldav", "account_label": "x", "calendar_id": ada.url}
    for token in (ada.token, addresses.anon_key):
        response = await http.post(
            f"{addresses.api_url}/rest/v1/rpc/store_calendar_connection",
            json=row | {"credentials": "v1.a.b.c"},
            headers={"authorization": f"Bearer {token}"},
        )
        assert response.status_code in (401, 403, 404), response.text
    inserted = await http.post(
        f"{addresses.api_url}/rest/v1/calendar_connections",
        json=row,
        headers={"authorization": f"Bearer {ada.token}"},
    )
    assert inserted.status_code in (401, 403), inserted.text
    assert connections(addresses, ada) == []


async def test_connecting_the_same_calendar_again_renews_it(
    http: httpx.AsyncClient, addresses: Addresses, ada: Caller
) -> None:
    first = await connect(http, addresses, ada)
    [(_, _, before)] = connections(addresses, ada)
    again = await connect(http, addresses, ada, url=ada.url.rstrip("/"))
    assert again.status_code == 200, again.text
    assert again.json()["id"] == first.json()["id"]
    [(_, _, after)] = connections(addresses, ada)
    assert after != before


async def test_what_the_calendar_server_refuses_is_not_stored(
    http: httpx.AsyncClient, addresses: Addresses, ada: Caller, ben: Caller
) -> None:
    closed_port = "http://127.0.0.1:1/ada/sessions/"
    attempts: list[dict[str, Any]] = [
        {"password": "wrong"},
        {"username": ben.id},
        {"url": ben.url},
        {"url": f"{addresses.caldav_url}/{ada.id}/"},
        {"url": f"{addresses.api_url}/rest/v1/"},
        {"url": f"{addresses.mail_url}/"},
        {"url": closed_port},
    ]
    for changes in attempts:
        assert_refused(await connect(http, addresses, ada, **changes), 422, "invalid_input")
    assert connections(addresses, ada) == []


async def test_only_signed_in_users_are_served(http: httpx.AsyncClient, addresses: Addresses, ada: Caller) -> None:
    head, payload, signature = ada.token.split(".")
    forged = f"{head}.{payload}.{signature[:-4]}AAAA"
    base = f"{addresses.api_url}/functions/v1"
    for token in (None, "x", forged, addresses.anon_key, addresses.service_role_key):
        for method, path in (("POST", CONNECT), ("DELETE", f"/api/calendar/{UNKNOWN_ID}")):
            response = await call(http, base, method, path, token, json=ada.order if method == "POST" else None)
            assert_refused(response, 401, "not_authenticated")
    basic = {"authorization": f"Basic {ada.token}"}
    assert_refused(
        await call(http, base, "POST", CONNECT, None, json=ada.order, headers=basic), 401, "not_authenticated"
    )


async def test_a_signed_out_session_is_not_served(http: httpx.AsyncClient, addresses: Addresses, ada: Caller) -> None:
    headers = {"authorization": f"Bearer {ada.token}"}
    assert (await http.post(f"{addresses.api_url}/auth/v1/logout", headers=headers)).status_code == 204
    assert_refused(await connect(http, addresses, ada), 401, "not_authenticated")


async def test_deleting_a_connection_takes_its_credentials_along(
    http: httpx.AsyncClient, addresses: Addresses, ada: Caller
) -> None:
    connection_id = (await connect(http, addresses, ada)).json()["id"]
    response = await delete(http, addresses, ada, connection_id)
    assert (response.status_code, response.content) == (204, b"")
    assert connections(addresses, ada) == []
    with psycopg.connect(addresses.db_url) as connection:
        left = connection.execute(
            "select count(*) from private.calendar_credentials where connection_id = %s", [connection_id]
        ).fetchone()
    assert left == (0,)


async def test_another_persons_connection_and_a_missing_one_are_the_same_answer(
    http: httpx.AsyncClient, addresses: Addresses, ada: Caller, ben: Caller
) -> None:
    connection_id = (await connect(http, addresses, ada)).json()["id"]
    foreign = await delete(http, addresses, ben, connection_id)
    missing = await delete(http, addresses, ben, UNKNOWN_ID)
    assert_refused(foreign, 404, "not_found")
    assert foreign.json() == missing.json()
    for no_id in ("caldav", "1", "%00", "null", f"{connection_id}'--"):
        assert_refused(await delete(http, addresses, ben, no_id), 404, "not_found")
    assert [row[0] for row in connections(addresses, ada)] == [connection_id]


async def test_unknown_addresses_and_methods_are_registered_errors(
    http: httpx.AsyncClient, addresses: Addresses, ada: Caller
) -> None:
    base = f"{addresses.api_url}/functions/v1"
    for path in ("/api", "/api/", "/api/nothing", "/api/calendar", "/api/calendar/caldav/more"):
        assert_refused(await call(http, base, "POST", path, ada.token, json={}), 404, "not_found")
    for method in ("GET", "PUT", "PATCH"):
        response = await call(http, base, method, CONNECT, ada.token)
        assert_refused(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "POST, DELETE, OPTIONS"


async def test_a_page_of_any_origin_may_ask(http: httpx.AsyncClient, addresses: Addresses) -> None:
    headers = {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,apikey,content-type,x-client-info",
    }
    response = await http.request("OPTIONS", f"{addresses.api_url}/functions/v1{CONNECT}", headers=headers)
    assert response.status_code == 204
    assert response.headers.get_list("access-control-allow-origin") == ["*"]
    assert "POST" in response.headers["access-control-allow-methods"]


async def test_every_symbol_of_the_functions_is_documented_and_means_what_the_database_registered(
    addresses: Addresses,
) -> None:
    source = (ROOT / "supabase" / "functions" / "_shared" / "errors.ts").read_text()
    symbols = dict(re.findall(r"^  (\w+): \{ status: (\d{3}),", source, re.MULTILINE))
    with psycopg.connect(addresses.db_url) as connection:
        rows = connection.execute("select symbol, status::text from private.error_codes").fetchall()
    registered: dict[str, str] = dict(rows)
    own = {symbol: status for symbol, status, _ in FUNCTION_ERRORS}
    assert symbols == {symbol: registered[symbol] for symbol in symbols.keys() - own.keys()} | own
