"""A migrated database behind a real PostgREST, and one connection of its own for each actor."""

from __future__ import annotations

import json
import secrets
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
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
#: Who keeps a token of an account that has ended.
GONE = "gone"
_SECONDS = 20.0
_TOKEN_SECONDS = 86400
#: PostgREST hangs up on whoever has been silent for thirty seconds.
_IDLE_SECONDS = 10.0


class Actor:
    """One key and one kept connection to PostgREST: HTTP/1.1 by hand, because a walk asks three hundred times."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._connect()
        self._headers = (
            f" HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        )

    def _connect(self) -> None:
        self._socket = socket.create_connection((LOOPBACK, self._port), _SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._used = time.monotonic()

    def send(self, method: str, path: str, body: Any = None, prefer: str = "") -> None:
        """Send a request; `receive` waits for its answer."""
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self.close()
            self._connect()
        self._used = time.monotonic()
        data = b"" if body is None else json.dumps(body).encode()
        more = f"Prefer: {prefer}\r\n" if prefer else ""
        head = f"{method} /{path}{self._headers}{more}Content-Length: {len(data)}\r\n\r\n"
        self._socket.sendall(head.encode() + data)

    def receive(self) -> tuple[int, Any]:
        """Status and body of the answer."""
        status = int(self._file.readline().split(None, 2)[1])
        length, chunked = 0, False
        while (line := self._file.readline().lower()) not in (b"\r\n", b""):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
            elif line.startswith(b"transfer-encoding:"):
                chunked = b"chunked" in line
        text = self._chunks() if chunked and status != 204 else self._file.read(length)
        return status, json.loads(text) if text else None

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self._file.readline(), 16):
            found += self._file.read(size)
            self._file.readline()
        self._file.readline()
        return found

    def request(self, method: str, path: str, body: Any = None, prefer: str = "") -> tuple[int, Any]:
        """Send and wait."""
        self.send(method, path, body, prefer)
        return self.receive()

    def call(self, function: str, **arguments: Any) -> tuple[int, Any]:
        """Call a function."""
        return self.request("POST", f"rpc/{function}", arguments)

    def write(self, method: str, path: str, body: Any = None, prefer: str = "") -> tuple[int, Any]:
        """Write rows and get them back."""
        return self.request(method, path, body, ", ".join(filter(None, ("return=representation", prefer))))

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()


class Stage:
    """The server's side of a walk."""

    def __init__(self, postgrest: PostgREST, secret: str, admin: psycopg.Connection[Any]) -> None:
        self._port = int(postgrest.url.rpartition(":")[2])
        self._secret = secret
        self.sql = admin
        self.relations = {role: _readable(admin, role) for role in ("authenticated", "anon")}
        self.actors: dict[str, Actor] = {}
        self.service = self._actor({"role": "service_role"})
        self._visitor = self._actor({"role": "anon"})
        self._ahead = timedelta()

    def reset(self, start: datetime, *, one_by_one: bool) -> None:
        """Remove everything, and let it be `start`.

        Args:
            start: What the database's clock shows from now on.
            one_by_one: Let every account end as if its owner had asked for it, and see that nothing is left.
        """
        for name in list(self.actors):
            actor = self.actors.pop(name)
            if actor is not self._visitor:
                actor.close()
        if one_by_one:
            for row in self.sql.execute("select id from auth.users order by id").fetchall():
                self.sql.execute("delete from auth.users where id = %s", row)
            left = {name for name in self.relations["authenticated"] if self._holds_rows(name)} - {"consent_texts"}
            assert not left, f"everybody is gone, but there are rows in {left}"
        self.sql.execute("call private.empty_the_stage()")
        self._ahead = start - datetime.now(UTC)
        self.move_time(timedelta())
        self.actors[VISITOR] = self._visitor

    def leave(self, name: str) -> None:
        """Somebody's account has ended; whoever keeps their token goes on looking as `GONE`."""
        if GONE in self.actors:
            self.actors.pop(GONE).close()
        self.actors[GONE] = self.actors.pop(name)

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
        """Let so much time have passed since the start."""
        self.sql.execute('update private.clock_offset set "offset" = %s', (self._ahead + passed,))

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
        claims |= {"exp": int(time.time()) + _TOKEN_SECONDS}
        return Actor(self._port, jwt.encode(claims, self._secret, algorithm="HS256"))

    def close(self) -> None:
        """Close all connections."""
        for actor in {*self.actors.values(), self.service, self._visitor}:
            actor.close()


@contextmanager
def running_stage(server: Postgres, database: Database, loop: LoopThread, logs: Path) -> Iterator[Stage]:
    """PostgREST on `database`, for one test."""
    secret = secrets.token_hex(32)
    with psycopg.connect(database.superuser_url, autocommit=True) as admin:
        for role, function in (("authenticated", "read_as_user"), ("anon", "read_as_visitor")):
            _make_reader(admin, function, role)
        _make_broom(admin)
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


def _make_broom(admin: psycopg.Connection[Any]) -> None:
    """A procedure that empties every table that is empty now, without asking any trigger."""
    tables = admin.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p') and not c.relispartition"
        " and n.nspname in ('public', 'private', 'auth', 'realtime', 'storage') order by 1, 2"
    ).fetchall()
    used = [
        table
        for table in map(sql.Identifier, *zip(*tables, strict=True))
        if admin.execute(sql.SQL("select 1 from {} limit 1").format(table)).rowcount == 0
    ]
    body = sql.SQL(" ").join(sql.SQL("delete from {};").format(table) for table in used)
    admin.execute(
        sql.SQL(
            "create procedure private.empty_the_stage() language plpgsql set session_replication_role = 'replica'"
            " as $$ begin {body} update private.retention_settings set checked_at = '-infinity'; end $$"
        ).format(body=body)
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
