"""Sessions and their refresh tokens: `auth.sessions`, `auth.mfa_amr_claims`, `auth.refresh_tokens`.

A session has one active refresh token. Using it revokes it and makes its child the active one.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass

from sauti_local.auth.database import Connection
from sauti_local.auth.tokens import AuthenticationMethod, new_refresh_token


@dataclass(frozen=True)
class Origin:
    """Where a request came from; kept with the session."""

    user_agent: str | None
    ip: str | None


@dataclass(frozen=True)
class RefreshToken:
    """A row of `auth.refresh_tokens`."""

    id: int
    token: str
    user_id: uuid.UUID
    session_id: uuid.UUID | None
    parent: str | None
    revoked: bool
    updated_at: datetime.datetime


async def open_session(
    connection: Connection, user_id: uuid.UUID, method: str, origin: Origin, now: datetime.datetime
) -> tuple[uuid.UUID, str]:
    """Start a session proved by `method`; gives back its id and first refresh token."""
    session_id = uuid.uuid4()
    await connection.execute(
        """
        insert into auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)
        values (%(id)s, %(user_id)s, %(now)s, %(now)s, 'aal1', %(user_agent)s, %(ip)s)
        """,
        {"id": session_id, "user_id": user_id, "now": now, "user_agent": origin.user_agent, "ip": origin.ip},
    )
    await connection.execute(
        """
        insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
        values (%s, %s, %s, %s, %s)
        """,
        [uuid.uuid4(), session_id, now, now, method],
    )
    return session_id, await _insert_token(connection, user_id, session_id, None, now)


async def _insert_token(
    connection: Connection,
    user_id: uuid.UUID,
    session_id: uuid.UUID,
    parent: str | None,
    now: datetime.datetime,
) -> str:
    token = new_refresh_token()
    await connection.execute(
        """
        insert into auth.refresh_tokens
          (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
        values ('00000000-0000-0000-0000-000000000000', %s, %s, false, %s, %s, %s, %s)
        """,
        [token, str(user_id), now, now, parent or "", session_id],
    )
    return token


async def methods_of(connection: Connection, session_id: uuid.UUID) -> list[AuthenticationMethod]:
    """How the session was proved, latest first."""
    cursor = await connection.execute(
        """
        select authentication_method as method, extract(epoch from updated_at)::bigint as timestamp
          from auth.mfa_amr_claims where session_id = %s order by updated_at desc
        """,
        [session_id],
    )
    return [AuthenticationMethod(**row) for row in await cursor.fetchall()]


async def session_exists(connection: Connection, session_id: uuid.UUID, user_id: uuid.UUID) -> bool:
    """Whether the session of that user has not been ended."""
    cursor = await connection.execute("select from auth.sessions where id = %s and user_id = %s", [session_id, user_id])
    return await cursor.fetchone() is not None


async def lock_refresh_token(connection: Connection, token: str) -> RefreshToken | None:
    """The row of `token`, with its session locked until the transaction ends.

    The session is locked, not the token: two tokens of one session that are used at the same time must not both
    decide from the same state which one is active.
    """
    await connection.execute(
        """
        select from auth.sessions
         where id = (select session_id from auth.refresh_tokens where token = %s)
           for update
        """,
        [token],
    )
    # Read after the lock is held: a statement sees what was committed before it began.
    cursor = await connection.execute(
        """
        select id, token, user_id::uuid as user_id, session_id, parent, coalesce(revoked, false) as revoked,
               coalesce(updated_at, created_at, 'epoch') as updated_at
          from auth.refresh_tokens where token = %s
        """,
        [token],
    )
    row = await cursor.fetchone()
    return RefreshToken(**row) if row else None


async def active_token(connection: Connection, session_id: uuid.UUID) -> tuple[str, str] | None:
    """The newest token of the session that is not revoked, and its parent."""
    cursor = await connection.execute(
        """
        select token, coalesce(parent, '') as parent
          from auth.refresh_tokens where session_id = %s and revoked is false order by id desc limit 1
        """,
        [session_id],
    )
    row = await cursor.fetchone()
    return (row["token"], row["parent"]) if row else None


async def swap_token(connection: Connection, used: RefreshToken, session_id: uuid.UUID, now: datetime.datetime) -> str:
    """Revoke `used` and give back its child. A token that was revoked before keeps the time of that."""
    await connection.execute(
        "update auth.refresh_tokens set revoked = true, updated_at = %s where id = %s and revoked is not true",
        [now, used.id],
    )
    return await _insert_token(connection, used.user_id, session_id, used.token, now)


async def revoke_family(connection: Connection, session_id: uuid.UUID, now: datetime.datetime) -> None:
    """Revoke every token of the session: one of them is in two hands."""
    await connection.execute(
        "update auth.refresh_tokens set revoked = true, updated_at = %s where session_id = %s and revoked is false",
        [now, session_id],
    )


async def touch_session(connection: Connection, session_id: uuid.UUID, origin: Origin, now: datetime.datetime) -> None:
    """Note a refresh. `refreshed_at` has no time zone and holds UTC."""
    await connection.execute(
        "update auth.sessions set refreshed_at = %s, updated_at = %s, user_agent = %s, ip = %s where id = %s",
        [now.astimezone(datetime.UTC).replace(tzinfo=None), now, origin.user_agent, origin.ip, session_id],
    )


async def end_session(connection: Connection, session_id: uuid.UUID) -> None:
    """End one session; its refresh tokens go with it."""
    await connection.execute("delete from auth.sessions where id = %s", [session_id])


async def end_all_sessions(connection: Connection, user_id: uuid.UUID, *, besides: uuid.UUID | None = None) -> None:
    """End every session of the user but `besides`."""
    await connection.execute(
        "delete from auth.sessions where user_id = %s and id is distinct from %s", [user_id, besides]
    )
