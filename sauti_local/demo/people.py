"""People of the demo: each has an account, the real client library and the rights of their own token, no others."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import httpx
from postgrest.exceptions import APIError
from supabase import AsyncClient, AsyncClientOptions, create_async_client

from sauti_local.stack import Addresses

Row = dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """How the API said no.

    Attributes:
        code: SQLSTATE, or ``PT`` and the HTTP status for the registered errors.
        message: The registered symbol, or Postgres' sentence.
    """

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class Caller:
    """A client of the API with one key or one user's token."""

    def __init__(self, client: AsyncClient, http: httpx.AsyncClient, addresses: Addresses) -> None:
        self.client = client
        self.http = http
        self.addresses = addresses

    async def select(self, relation: str, columns: str = "*", **equal: Any) -> list[Row]:
        """The rows of a table or view that this caller may see, filtered by equality."""
        query = self.client.table(relation).select(columns)
        for column, value in equal.items():
            query = query.eq(column, value)
        return cast("list[Row]", (await query.execute()).data)

    async def one(self, relation: str, columns: str = "*", **equal: Any) -> Row:
        """The one row there is.

        Raises:
            LookupError: there is none, or more than one.
        """
        rows = await self.select(relation, columns, **equal)
        if len(rows) != 1:
            raise LookupError(f"{len(rows)} rows of {relation} where there should be one")
        return rows[0]

    async def insert(self, table: str, row: Mapping[str, Any]) -> Row:
        """Insert a row; gives it back as stored."""
        return cast("list[Row]", (await self.client.table(table).insert(dict(row)).execute()).data)[0]

    async def update(self, table: str, values: Mapping[str, Any], **equal: Any) -> list[Row]:
        """Update the rows that equal; gives back those that were changed."""
        query = self.client.table(table).update(dict(values))
        for column, value in equal.items():
            query = query.eq(column, value)
        return cast("list[Row]", (await query.execute()).data)

    async def call(self, function: str, **parameters: Any) -> Any:
        """Call an RPC function; gives back its result."""
        return (await self.client.rpc(function, parameters).execute()).data

    async def relations(self) -> set[str]:
        """Names of the tables and views that the Data API describes to this caller."""
        answer = await self.http.get(f"{self.addresses.api_url}/rest/v1/", headers=await self._headers())
        answer.raise_for_status()
        return {path.removeprefix("/") for path in answer.json()["paths"] if path != "/" and "/rpc/" not in path}

    async def _headers(self) -> dict[str, str]:
        session = await self.client.auth.get_session()
        key = self.client.supabase_key
        return {"apikey": key, "Authorization": f"Bearer {session.access_token if session else key}"}

    async def close(self) -> None:
        """Hang up; the shared connections stay."""
        await self.client.realtime.close()


@dataclass
class Person:
    """Somebody with an account.

    Attributes:
        name: Display name.
        role: What they are in the story, for the list at the end.
        api: Their client.
        user_id: Their auth user.
        email: What they sign in with; None for an anonymous account.
        password: The same.
    """

    name: str
    role: str
    api: Caller
    user_id: str
    email: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def first_name(self) -> str:
        """For sentences."""
        return self.name.split()[0]


async def caller(addresses: Addresses, http: httpx.AsyncClient, key: str) -> Caller:
    """A client with nothing but a key.

    Args:
        addresses: The stack.
        http: Connections that all callers share; tokens travel with each request.
        key: The anon or the service-role key.
    """
    # A refresh timer would outlive the story, and a retry would hide what the demo is to show.
    options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False, postgrest_client_retry=False)
    return Caller(await create_async_client(addresses.api_url, key, options), http, addresses)


async def sign_up(
    addresses: Addresses,
    http: httpx.AsyncClient,
    name: str,
    role: str,
    email: str,
    user_type: Literal["survivor", "professional"] = "survivor",
) -> Person:
    """An account with mail address and password, made through the Auth API and signed in."""
    api = await caller(addresses, http, addresses.anon_key)
    password = new_password()
    metadata = {"user_type": user_type, "display_name": name}
    answer = await api.client.auth.sign_up({"email": email, "password": password, "options": {"data": metadata}})
    if answer.user is None or answer.session is None:
        raise LookupError(f"signing {email} up gave no session")
    return Person(name, role, api, answer.user.id, email, password)


async def sign_in_anonymously(addresses: Addresses, http: httpx.AsyncClient, name: str, role: str) -> Person:
    """An account with nothing: no address, no password, no name."""
    api = await caller(addresses, http, addresses.anon_key)
    answer = await api.client.auth.sign_in_anonymously()
    if answer.user is None or answer.session is None:
        raise LookupError("the anonymous sign-in gave no session")
    return Person(name, role, api, answer.user.id)


def new_password() -> str:
    """A password for a throwaway account."""
    return secrets.token_urlsafe(12)


async def refused(action: Awaitable[Any]) -> Any:
    """Await something that should be refused: the refusal, or what it gave instead."""
    try:
        return await action
    except APIError as error:
        return Refusal(error.code or "", error.message or "")
