"""Answers that carry a session: an access token, a refresh token and the account."""

from __future__ import annotations

import datetime
import ipaddress
import uuid
from typing import Any

from aiohttp import web

from sauti_local.auth import sessions
from sauti_local.auth.database import Connection, Service
from sauti_local.auth.sessions import Origin
from sauti_local.auth.tokens import sign_access_token
from sauti_local.auth.users import User, find_user, update_user


def origin_of(request: web.Request) -> Origin:
    """User agent and address of the caller, as far as they can be stored."""
    user_agent = request.headers.get("User-Agent", "").encode("utf-8", "replace").decode()
    try:
        ip = str(ipaddress.ip_address(request.remote or ""))
    except ValueError:
        ip = None
    return Origin(user_agent or None, ip)


async def loaded(connection: Connection, user_id: uuid.UUID) -> User:
    """The account as it stands now in this transaction, with what triggers made of it."""
    user = await find_user(connection, user_id)
    if user is None:
        raise LookupError("the account vanished inside its own transaction")
    return user


async def session_response(
    service: Service, connection: Connection, user: User, session_id: uuid.UUID, refresh_token: str
) -> dict[str, Any]:
    """The body that the clients keep as their session."""
    methods = await sessions.methods_of(connection, session_id)
    access_token, expires_at = sign_access_token(service.settings, user, session_id, methods)
    return {
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": service.settings.jwt_expiry,
        "expires_at": expires_at,
        "refresh_token": refresh_token,
        "user": user.as_json(),
    }


async def start_session(
    service: Service,
    connection: Connection,
    user_id: uuid.UUID,
    method: str,
    origin: Origin,
    now: datetime.datetime,
) -> dict[str, Any]:
    """Open a session for the account and give back its body."""
    # The account's row first, then the session: the order of every other writer, or two of them could deadlock.
    await update_user(connection, user_id, now, {"last_sign_in_at": now})
    session_id, refresh_token = await sessions.open_session(connection, user_id, method, origin, now)
    return await session_response(service, connection, await loaded(connection, user_id), session_id, refresh_token)
