"""People who call the functions in tests, and what is stored for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from sauti_local.stack import Addresses
from tests.support.users import sign_up

CONNECT = "/api/calendar/caldav"
PASSWORD = "sauti"


@dataclass(frozen=True)
class Caller:
    """A signed-in user, and what the user's calendar address is."""

    id: str
    token: str
    url: str

    @property
    def order(self) -> dict[str, Any]:
        """A body that connects the user's calendar."""
        return {"url": self.url, "username": self.id, "password": PASSWORD}


def newcomer(addresses: Addresses) -> Caller:
    """Somebody who has just signed up."""
    user = sign_up(addresses)
    return Caller(user.id, user.access_token, f"{addresses.caldav_url}/{user.id}/sessions/")


async def call(
    http: httpx.AsyncClient, base: str, method: str, path: str, token: str | None, **options: Any
) -> httpx.Response:
    """A request to a function below `base`, as the owner of `token`."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return await http.request(method, base + path, headers=headers | options.pop("headers", {}), **options)


async def connect(http: httpx.AsyncClient, addresses: Addresses, caller: Caller, **changes: Any) -> httpx.Response:
    base = f"{addresses.api_url}/functions/v1"
    # Escaped as ASCII: half a surrogate pair can be sent in no other way.
    content, headers = json.dumps(caller.order | changes), {"content-type": "application/json"}
    return await call(http, base, "POST", CONNECT, caller.token, content=content, headers=headers)


async def delete(http: httpx.AsyncClient, addresses: Addresses, caller: Caller, connection_id: str) -> httpx.Response:
    return await call(
        http, f"{addresses.api_url}/functions/v1", "DELETE", f"/api/calendar/{connection_id}", caller.token
    )


def connections(addresses: Addresses, caller: Caller) -> list[tuple[Any, ...]]:
    """What is stored for a user: connection id, provider, ciphertext."""
    with psycopg.connect(addresses.db_url) as connection:
        return connection.execute(
            "select c.id::text, c.provider::text, s.ciphertext from public.calendar_connections as c"
            " left join private.calendar_credentials as s on s.connection_id = c.id where c.user_id = %s",
            [caller.id],
        ).fetchall()


def assert_refused(response: httpx.Response, status: int, symbol: str) -> None:
    """The registered shape, and nothing of what was sent or of what stands behind an address."""
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["code", "message", "details", "hint"]
    assert (body["code"], body["message"]) == (f"PT{status}", symbol)
    for word in (PASSWORD, "127.0.0.1", "localhost", "http://", "postgres", "Error"):
        assert word not in response.text
