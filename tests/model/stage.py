"""A migrated database behind a real PostgREST, and one connection of its own for each actor."""

from __future__ import annotations

import http.client
import json
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from sauti_local.ports import LOOPBACK
from sauti_local.postgres import Postgres
from sauti_local.postgrest import PostgREST
from tests.model.visible import EMPTY
from tests.support.database import Database
from tests.support.loop_thread import LoopThread

VISITOR = "visitor"
_SECONDS = 20.0


class Actor:
    """One key and one kept connection to PostgREST."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_SECONDS)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        """Send a request; `receive` waits for its answer."""
        data = None if body is None else json.dumps(body)
        self._connection.request(method, f"/{path}", data, self._headers | headers)

    def receive(self) -> tuple[int, Any]:
        """Status and body of the answer."""
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send and wait."""
        self.send(method, path, body, **headers)
        return self.receive()

    def call(self, function: str, **arguments: Any) -> tuple[int, Any]:
        """Call a function."""
        return self.request("POST", f"rpc/{function}", arguments)

    def write(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Write rows and get them back."""
        return self.request(method, path, body, Prefer="return=representation")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Stage:
    """The server's side of a walk."""

    def __init__(self, postgrest: PostgREST, secret: str, admin: psycopg.Connection[Any]) -> None:
        self._port = int(postgrest.url.rpartition(":")[2])
        self._secret = secret
        self.sql = admin
        self.relations = {role: _readable(admin, role) for role in ("authenticated", "anon")}
        self.actors: dict[str, Actor] = {}
        self.service = self._actor({"role": "service_role"})

    def reset(self) -> None:
        """Remove everybody, one account after the other, and with them everything that is public; back to today."""
        for name in list(self.actors):
            self.actors.pop(name).close()
        for row in self.sql.execute("select id from auth.users order by id").fetchall():
            self.sql.execute("delete from auth.users where id = %s", row)
        left = {name for name in self.relations["authenticated"] if self._holds_rows(name)} - {"consent_texts"}
        assert not left, f"everybody is gone, but there are rows in {left}"
        self.sql.execute("""update private.clock_offset set "offset" = '0'""")
        self.actors[VISITOR] = self._actor({"role": "anon"})

    def sign_up(self, name: str, user_type: str, *, anonymous: bool = False) -> str:
        """Write a user as the Auth server does, with a token of that server's form; gives back the id."""
        user_id = str(uuid.uuid4())
        self.sql.execute(
            "insert into auth.users (id, aud, role, email, email_confirmed_at, raw_app_meta_data,"
            " raw_user_meta_data, is_anonymous, created_at, updated_at)"
            " values (%s, 'authenticated', 'authenticated', %s, now(), '{}', %s, %s, now(), now())",
            (
                user_id,
                None if anonymous else f"{user_id}@example.org",
                Jsonb({"user_type": user_type, "display_name": name}),
                anonymous,
            ),
        )
        self.actors[name] = self._actor(
            {"role": "authenticated", "aud": "authenticated", "sub": user_id, "is_anonymous": anonymous}
        )
        return user_id

    def move_time(self, passed: timedelta) -> None:
        """Set how far the database's clock runs ahead."""
        self.sql.execute('update private.clock_offset set "offset" = %s', (passed,))

    def look(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Everything that each actor reads of every relation in use that they may ask for: one request each."""
        for name, actor in self.actors.items():
            actor.send("GET", "rpc/read_as_visitor" if name == VISITOR else "rpc/read_as_user")
        seen = {}
        for name, actor in self.actors.items():
            status, views = actor.receive()
            assert status == 200, (name, views)
            seen[name] = views
        return seen

    def read(self, names: list[str], relation: str) -> dict[str, list[dict[str, Any]]]:
        """What some actors read of a relation as a client does, by every column that may be named."""
        columns = ",".join(self.relations["authenticated"][relation])
        for name in names:
            self.actors[name].send("GET", f"{relation}?select={columns}")
        seen = {}
        for name in names:
            status, rows = self.actors[name].receive()
            assert status == 200, (name, relation, rows)
            seen[name] = rows
        return seen

    def _holds_rows(self, relation: str) -> bool:
        return (
            self.sql.execute(sql.SQL("select 1 from public.{} limit 1").format(sql.Identifier(relation))).rowcount > 0
        )

    def _actor(self, claims: dict[str, Any]) -> Actor:
        claims |= {"exp": int(time.time()) + 3600}
        return Actor(self._port, jwt.encode(claims, self._secret, algorithm="HS256"))

    def close(self) -> None:
        """Close all connections."""
        for actor in (*self.actors.values(), self.service):
            actor.close()


@contextmanager
def running_stage(server: Postgres, database: Database, loop: LoopThread, logs: Path) -> Iterator[Stage]:
    """PostgREST on `database`, for one test."""
    secret = secrets.token_hex(32)
    with psycopg.connect(database.superuser_url, autocommit=True) as admin:
        for role, function in (("authenticated", "read_as_user"), ("anon", "read_as_visitor")):
            _make_reader(admin, function, role)
        postgrest = PostgREST(server.url(database.name, "authenticator"), secret, logs / "postgrest.log")
        try:
            loop.run(postgrest.start())
            stage = Stage(postgrest, secret, admin)
            yield stage
            stage.close()
        finally:
            loop.run(postgrest.stop())


def _readable(admin: psycopg.Connection[Any], role: str) -> dict[str, list[str]]:
    """Relation of ``public`` → the columns that the role may select."""
    return dict(
        admin.execute(
            "select c.relname, array_agg(a.attname::text order by a.attnum) from pg_class c"
            " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
            " where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')"
            " and has_column_privilege(%s, c.oid, a.attnum, 'select') group by 1 order by 1",
            (role,),
        ).fetchall()
    )


def _make_reader(admin: psycopg.Connection[Any], name: str, role: str) -> None:
    """A function that reads every relation in use with the rights of whoever calls it: many requests in one.

    plpgsql, because it keeps its plans.
    """
    parts = sql.SQL(", ").join(
        sql.SQL(
            "{name}, (select coalesce(json_agg(t), '[]') from (select {columns} from public.{relation}) as t)"
        ).format(
            name=sql.Literal(relation),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            relation=sql.Identifier(relation),
        )
        for relation, columns in _readable(admin, role).items()
        if relation not in EMPTY
    )
    admin.execute(
        sql.SQL(
            "create function public.{name}() returns json language plpgsql stable security invoker"
            " set search_path = '' as $$ begin return json_build_object({parts}); end $$"
        ).format(name=sql.Identifier(name), parts=parts)
    )
    admin.execute(
        sql.SQL("grant execute on function public.{}() to {}").format(sql.Identifier(name), sql.Identifier(role))
    )
