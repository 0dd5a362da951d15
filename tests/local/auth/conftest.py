"""The Auth stand-in on a port of its own, over a database that holds nothing but what every project starts with."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from psycopg.rows import dict_row
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from sauti_local.auth import AuthSettings, auth_application
from sauti_local.keys import api_key
from sauti_local.postgres import SUPERUSER, Postgres
from tests.support.loop_thread import LoopThread

SECRET = "a secret of at least thirty-two characters"
PASSWORD = "correct horse"


@dataclass
class Clock:
    """Seconds since the epoch that tests move by hand. Starts at a time when no other row was written."""

    seconds: float = 1_900_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Auth:
    """A running stand-in."""

    url: str
    settings: AuthSettings
    clock: Clock
    http: httpx.AsyncClient
    admin_url: str

    service_key: str = api_key("service_role", SECRET)
    anon_key: str = api_key("anon", SECRET)

    async def client(self, key: str | None = None) -> AsyncClient:
        """A new `supabase` client with a session store of its own."""
        options = AsyncClientOptions(auto_refresh_token=False, httpx_client=self.http)
        return await acreate_client(self.url, key or self.anon_key, options)

    async def admin(self) -> AsyncClient:
        return await self.client(self.service_key)

    async def signed_up(self, email: str | None = None, **data: Any) -> AsyncClient:
        """A client whose user has just signed up."""
        client = await self.client()
        await client.auth.sign_up({"email": email or new_email(), "password": PASSWORD, "options": {"data": data}})
        return client

    async def refresh(self, token: str) -> httpx.Response:
        return await self.http.post("/token?grant_type=refresh_token", json={"refresh_token": token})

    async def rows(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        """Run a statement as the superuser."""
        async with await psycopg.AsyncConnection.connect(
            self.admin_url, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = await connection.execute(statement.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []


def new_email() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="session")
def auth_database(postgres_server: Postgres, loop_thread: LoopThread) -> Iterator[str]:
    """Name of a database with schema `auth` and none of our migrations; shared, since addresses never repeat."""
    name = f"auth_{uuid.uuid4().hex}"
    loop_thread.run(postgres_server.create_database(name))
    loop_thread.run(postgres_server.prepare_database(name))
    yield name
    loop_thread.run(postgres_server.drop_database(name))


@pytest.fixture
async def auth(postgres_server: Postgres, auth_database: str) -> AsyncIterator[Auth]:
    clock = Clock()
    settings = AuthSettings(
        db_url=postgres_server.url(auth_database, "supabase_auth_admin"),
        jwt_secret=SECRET,
        api_url="http://127.0.0.1:1",
        clock=clock,
        bcrypt_rounds=4,
    )
    gateway = web.Application()
    gateway.add_subapp("/auth/v1", auth_application(settings))
    async with TestServer(gateway) as server:
        url = str(server.make_url("")).rstrip("/")
        # Without certificates, which take longer to load than a test, and without the proxies of the machine.
        async with httpx.AsyncClient(base_url=f"{url}/auth/v1", trust_env=False, verify=False) as http:
            yield Auth(url, settings, clock, http, postgres_server.url(auth_database, SUPERUSER))
