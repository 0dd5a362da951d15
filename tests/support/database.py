"""A test's own database, seen as each of the roles sees it through the Data API."""

from __future__ import annotations

import json
import uuid
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from sauti_local.postgres import SUPERUSER, Postgres

Connection = psycopg.Connection[DictRow]


class Database:
    """A clone of the template. Rows are dictionaries; connections commit each statement and close with the test."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.name = f"test_{uuid.uuid4().hex}"
        #: libpq address for the role ``postgres``, which owns what the migrations made.
        self.url = server.url(self.name)
        self.superuser_url = server.url(self.name, SUPERUSER)
        self._connections: list[Connection] = []

    def as_user(self, user_id: uuid.UUID | str, *, anonymous: bool = False, **claims: Any) -> Connection:
        """What a signed-in user can do; `claims` are added to the token's."""
        token = {"sub": str(user_id), "role": "authenticated", "aud": "authenticated", "is_anonymous": anonymous}
        return self._through_the_api("authenticated", token | claims)

    def as_anon(self) -> Connection:
        """What a visitor can do."""
        return self._through_the_api("anon", {"role": "anon"})

    def as_service(self) -> Connection:
        """What the worker can do."""
        return self._through_the_api("service_role", {"role": "service_role"})

    def as_admin_sql(self) -> Connection:
        """The role ``postgres``: not a superuser, but no policy binds it."""
        return self._connect(self.url)

    def as_superuser(self) -> Connection:
        """The superuser, for what only the platform itself does."""
        return self._connect(self.superuser_url)

    def add_user(
        self,
        user_type: str | None = None,
        *,
        email: str | None = None,
        display_name: str | None = None,
        anonymous: bool = False,
    ) -> uuid.UUID:
        """Write a user as the Auth server does at sign-up; gives back the id."""
        user_id = uuid.uuid4()
        metadata = {"user_type": user_type, "display_name": display_name}
        with psycopg.connect(self.server.url(self.name, "supabase_auth_admin"), autocommit=True) as connection:
            connection.execute(
                "insert into auth.users (id, aud, role, email, email_confirmed_at, raw_app_meta_data,"
                " raw_user_meta_data, is_anonymous, created_at, updated_at)"
                " values (%s, 'authenticated', 'authenticated', %s, now(), %s, %s, %s, now(), now())",
                (
                    user_id,
                    None if anonymous else email or f"{user_id}@example.org",
                    Jsonb({"provider": "email", "providers": ["email"]} if not anonymous else {}),
                    Jsonb({key: value for key, value in metadata.items() if value is not None}),
                    anonymous,
                ),
            )
        return user_id

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()

    def _connect(self, url: str) -> Connection:
        connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self._connections.append(connection)
        return connection

    def _through_the_api(self, role: str, claims: dict[str, Any]) -> Connection:
        """As PostgREST does it: ``authenticator`` becomes the role, with the role's own settings and the claims."""
        connection = self._connect(self.server.url(self.name, "authenticator"))
        settings = connection.execute(
            "select unnest(rolconfig) as setting from pg_roles where rolname = %s", (role,)
        ).fetchall()
        for row in settings:
            key, _, value = row["setting"].partition("=")
            connection.execute("select set_config(%s, %s, false)", (key, value))
        connection.execute("select set_config('search_path', 'public, extensions', false)")
        connection.execute("select set_config('request.jwt.claims', %s, false)", (json.dumps(claims),))
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        return connection
