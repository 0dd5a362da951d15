"""A database in which everything that a test does is one transaction, rolled back at its end.

Much faster than a database of the test's own. All actors share one connection, so nothing in here ever waits for a
lock, and ``now()`` stands still: races need `Database`, and time is moved with ``private.clock_offset``.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from tests.support.database import Database

_CLIENT_PATH = "public, extensions"
_OWNER_PATH = '"$user", public, extensions'


class Actor:
    """One role, with the claims of one token, on the connection that all actors share."""

    def __init__(self, connection: psycopg.Connection[DictRow], setup: sql.Composed) -> None:
        self._connection = connection
        self._setup = setup

    def execute(self, query: Any, values: Any = None) -> psycopg.Cursor[DictRow]:
        """Run one statement as this actor; an error undoes the statement alone."""
        self._connection.execute(self._setup)
        try:
            cursor = self._connection.execute(query, values)
        except psycopg.Error:
            self._connection.execute("rollback to savepoint statement; release savepoint statement")
            raise
        self._connection.execute("release savepoint statement")
        return cursor

    def close(self) -> None:
        """Nothing to close: the connection is everybody's."""


class OneTransaction:
    """The roles of `Database`, in one transaction."""

    def __init__(self, database: Database) -> None:
        self._connection = psycopg.connect(database.superuser_url, row_factory=dict_row)

    def as_user(self, user_id: uuid.UUID | str, *, anonymous: bool = False, **claims: Any) -> Actor:
        """What a signed-in user can do; `claims` are added to the token's."""
        token = {"sub": str(user_id), "role": "authenticated", "aud": "authenticated", "is_anonymous": anonymous}
        return self._client("authenticated", token | claims)

    def as_anon(self) -> Actor:
        """What a visitor can do."""
        return self._client("anon", {"role": "anon"})

    def as_service(self) -> Actor:
        """What the worker can do."""
        return self._client("service_role", {"role": "service_role"})

    def as_admin_sql(self) -> Actor:
        """The role ``postgres``: not a superuser, but no policy binds it."""
        return self._actor("postgres", "postgres", {}, _OWNER_PATH)

    def as_superuser(self) -> Actor:
        """The superuser."""
        return self._actor("supabase_admin", "supabase_admin", {}, _OWNER_PATH)

    def add_user(
        self,
        user_type: str | None = None,
        *,
        email: str | None = None,
        display_name: str | None = None,
        anonymous: bool = False,
        metadata: Any = None,
    ) -> uuid.UUID:
        """Write a user as the Auth server does at sign-up; `metadata` replaces what the other arguments make."""
        user_id = uuid.uuid4()
        told = {"user_type": user_type, "display_name": display_name}
        self._actor("supabase_auth_admin", "supabase_auth_admin", {}, "auth").execute(
            "insert into auth.users (id, aud, role, email, email_confirmed_at, raw_app_meta_data,"
            " raw_user_meta_data, is_anonymous, created_at, updated_at)"
            " values (%s, 'authenticated', 'authenticated', %s, now(), '{}', %s, %s, now(), now())",
            (
                user_id,
                None if anonymous else email or f"{user_id}@example.org",
                Jsonb(
                    {key: value for key, value in told.items() if value is not None} if metadata is None else metadata
                ),
                anonymous,
            ),
        )
        return user_id

    def close(self) -> None:
        """Undo everything."""
        self._connection.rollback()
        self._connection.close()

    def _client(self, role: str, claims: dict[str, Any]) -> Actor:
        return self._actor("authenticator", role, claims, _CLIENT_PATH)

    def _actor(self, login: str, role: str, claims: dict[str, Any], search_path: str) -> Actor:
        setup = sql.SQL(
            "savepoint statement; set local session authorization {login}; set local role {role};"
            " select set_config('request.jwt.claims', {claims}, true), set_config('search_path', {path}, true),"
            " set_config('realtime.topic', '', true)"
        ).format(
            login=sql.Identifier(login),
            role=sql.Identifier(role),
            claims=sql.Literal(json.dumps(claims) if claims else ""),
            path=sql.Literal(search_path),
        )
        return Actor(self._connection, setup)
