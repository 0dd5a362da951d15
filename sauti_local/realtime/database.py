"""The server's own sessions, and what the policies on `realtime.messages` let a person do on a private topic."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Literal, TypeVar

import psycopg
from psycopg import errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sauti_local.realtime.tokens import Identity

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Extension = Literal["broadcast", "presence"]
T = TypeVar("T")

_POOL_SIZE = 4
_WAIT_SECONDS = 3.0
_CONNECT_SECONDS = 5
_ATTEMPTS: Final = 5
_RETRY_SECONDS = 0.1
# Values rendered here and values decoded from the WAL must be written alike: the same settings as in replication.py.
_OPTIONS = (
    "-c search_path=public,extensions -c statement_timeout=5s"
    " -c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres"
)

_ASSUME = """
select set_config('request.jwt.claims', %(claims)s, true), set_config('request.jwt.claim.sub', %(sub)s, true),
  set_config('request.jwt.claim.role', %(role)s, true), set_config('role', %(role)s, true)
"""


class DatabaseUnavailable(Exception):
    """The database does not answer."""


async def assume(connection: Connection, identity: Identity) -> None:
    """Be that person until the transaction ends: role and claims, as PostgREST sets them."""
    await connection.execute(_ASSUME, {"claims": identity.claims, "sub": identity.subject, "role": identity.role})


class Database:
    """A small pool of superuser sessions; everything that concerns a person is done in that person's role."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = AsyncConnectionPool(
            url,
            connection_class=psycopg.AsyncConnection[tuple[Any, ...]],
            kwargs={
                "autocommit": True,
                "options": _OPTIONS,
                "application_name": "sauti_realtime",
                # A prepared plan outlives the shape of the table that it was made for.
                "prepare_threshold": None,
            },
            min_size=1,
            max_size=_POOL_SIZE,
            timeout=_WAIT_SECONDS,
            open=False,
        )
        self._assumable: set[str] = set()

    async def open(self) -> None:
        """Connect.

        Raises:
            DatabaseUnavailable: nobody answers at the address.
        """
        try:
            # The pool would try for as long as it may wait, and not say why.
            await (await psycopg.AsyncConnection.connect(self._url, connect_timeout=_CONNECT_SECONDS)).close()
            await self._pool.open(wait=True, timeout=_WAIT_SECONDS)
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise DatabaseUnavailable(f"no connection: {type(error).__name__}") from error

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do something that may be done twice; again when the session was lost meanwhile.

        Raises:
            DatabaseUnavailable: it was lost every time.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._pool.connection() as connection:
                    return await work(connection)
            except (errors.QueryCanceled, errors.LockNotAvailable):
                raise
            except PoolTimeout as error:
                raise DatabaseUnavailable("no session to be had") from error
            except psycopg.OperationalError as error:
                if attempt == _ATTEMPTS:
                    raise DatabaseUnavailable(type(error).__name__) from error
                await asyncio.sleep(_RETRY_SECONDS * attempt)
        raise AssertionError("unreachable")

    async def may_assume(self, role: str) -> bool:
        """Whether a token may name this role: PostgREST's login role must be able to become it."""
        if role in self._assumable:
            return True

        async def ask(connection: Connection) -> bool:
            cursor = await connection.execute(
                "select pg_has_role('authenticator', oid, 'member') from pg_roles"
                " where rolname = %s and rolname <> 'authenticator'",
                (role,),
            )
            row = await cursor.fetchone()
            return row is not None and bool(row[0])

        try:
            allowed = await self.run(ask)
        except psycopg.DataError:
            return False
        if allowed:
            self._assumable.add(role)
        return allowed

    async def readable(
        self, identity: Identity, topic: str, headers: str, extensions: Iterable[Extension]
    ) -> frozenset[Extension]:
        """Which extensions the policies let that person read on a topic.

        Rows are written to be looked for in that person's role, and rolled back. A policy that fails grants nothing.

        Args:
            identity: The person.
            topic: Name of the channel.
            headers: JSON object of the request's headers, for `request.headers`.
            extensions: What to ask about.
        """
        probes = {str(uuid.uuid4()): extension for extension in extensions}

        async def ask(connection: Connection) -> frozenset[Extension]:
            async with connection.transaction(force_rollback=True), connection.pipeline():
                await connection.execute(
                    "insert into realtime.messages (id, topic, extension) select x.id, %s, x.extension"
                    " from unnest(%s::uuid[], %s::text[]) x(id, extension)",
                    (topic, list(probes), list(probes.values())),
                )
                await _set_topic(connection, topic, headers)
                await assume(connection, identity)
                cursor = await connection.execute(
                    "select id::text from realtime.messages where id = any(%s::uuid[])", (list(probes),)
                )
                return frozenset(probes[row[0]] for row in await cursor.fetchall())

        try:
            return await self.run(ask)
        except psycopg.Error:
            return frozenset()

    async def may_write(self, identity: Identity, topic: str, headers: str, extension: Extension) -> bool:
        """Whether the policies let that person insert on a topic. Nothing is written; a policy that fails refuses."""

        async def ask(connection: Connection) -> bool:
            async with connection.transaction(force_rollback=True), connection.pipeline():
                await _set_topic(connection, topic, headers)
                await assume(connection, identity)
                await connection.execute(
                    "insert into realtime.messages (topic, extension) values (%s, %s)", (topic, extension)
                )
            return True

        try:
            return await self.run(ask)
        except psycopg.Error:
            return False

    async def forget_messages(self, days: int) -> None:
        """Delete stored messages older than that."""

        async def forget(connection: Connection) -> None:
            await connection.execute(
                "delete from realtime.messages"
                " where inserted_at < now() at time zone 'utc' - make_interval(days => %s)",
                (days,),
            )

        await self.run(forget)


async def _set_topic(connection: Connection, topic: str, headers: str) -> None:
    await connection.execute(
        "select set_config('realtime.topic', %s, true), set_config('request.headers', %s, true)", (topic, headers)
    )
