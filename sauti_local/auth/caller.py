"""Who is calling: the bearer token, its account and its session."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from sauti_local.auth.database import SERVICE, Connection
from sauti_local.auth.errors import AuthError, forbidden
from sauti_local.auth.sessions import session_exists
from sauti_local.auth.tokens import ADMIN_ROLES, read_access_token, session_of, subject, text_claim
from sauti_local.auth.users import User, find_user

_BEARER: Final = re.compile(r"bearer (\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Caller:
    """A signed-in user; `session_id` is None for a token that was made without a session."""

    user: User
    session_id: uuid.UUID | None


def _claims(request: web.Request) -> dict[str, Any]:
    bearer = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    if bearer is None:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    return read_access_token(request.app[SERVICE].settings, bearer[1])


async def _load(request: web.Request, connection: Connection, claims: dict[str, Any]) -> Caller:
    user = await find_user(connection, subject(claims))
    if user is None:
        raise forbidden("user_not_found", "User from sub claim in JWT does not exist")
    session_id = session_of(claims)
    if session_id is not None and not await session_exists(connection, session_id, user.id):
        raise forbidden("session_not_found", "Session from session_id claim in JWT does not exist")
    if user.is_banned(request.app[SERVICE].now()):
        raise forbidden("user_banned", "User is banned")
    return Caller(user, session_id)


async def authenticate(request: web.Request, connection: Connection) -> Caller:
    """The user behind the bearer token.

    Raises:
        AuthError: `no_authorization` (401), `bad_jwt`, `user_not_found`, `session_not_found`, `user_banned` (403).
    """
    return await _load(request, connection, _claims(request))


async def require_admin(request: web.Request, connection: Connection) -> None:
    """Let only a service key pass.

    A token of a session proves its role only while the session lives; the key itself has none.

    Raises:
        AuthError: `no_authorization` (401), `bad_jwt`, `session_not_found`, `not_admin` (403).
    """
    claims = _claims(request)
    if session_of(claims) is not None:
        await _load(request, connection, claims)
    if text_claim(claims, "role") not in ADMIN_ROLES:
        raise forbidden("not_admin", "User not allowed")
