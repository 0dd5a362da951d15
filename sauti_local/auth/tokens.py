"""Access tokens (HS256 JWT) and refresh tokens."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from sauti_local.auth.errors import AuthError, bad_request, forbidden, validation_failed
from sauti_local.auth.settings import AuthSettings
from sauti_local.auth.users import User

ADMIN_ROLES: Final = frozenset({"service_role", "supabase_admin"})

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_REFRESH_TOKEN: Final = re.compile(r"[a-z0-9]{12}")


def new_refresh_token() -> str:
    """Twelve characters, 60 random bits, stored as they are: GoTrue's first format."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(12))


def check_refresh_token_form(token: str) -> None:
    """Refuse what was never issued here. Raises `validation_failed`."""
    if not _REFRESH_TOKEN.fullmatch(token):
        raise validation_failed("Refresh token is not valid")


@dataclass(frozen=True)
class AuthenticationMethod:
    """One way in which a session was proved (`amr`), and when (epoch seconds)."""

    method: str
    timestamp: int


def sign_access_token(
    settings: AuthSettings, user: User, session_id: uuid.UUID, methods: Sequence[AuthenticationMethod]
) -> tuple[str, int]:
    """The JWT of a session, and the epoch second at which it expires."""
    issued_at = int(settings.clock())
    expires_at = issued_at + settings.jwt_expiry
    claims = {
        "iss": f"{settings.api_url}/auth/v1",
        "sub": str(user.id),
        "aud": user.aud,
        "exp": expires_at,
        "iat": issued_at,
        "email": user.email,
        "phone": user.phone,
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "role": user.role,
        "aal": "aal1",
        "amr": [{"method": method.method, "timestamp": method.timestamp} for method in methods],
        "session_id": str(session_id),
        "is_anonymous": user.is_anonymous,
    }
    return jwt.encode(claims, settings.jwt_secret, algorithm="HS256"), expires_at


def _bad_jwt(reason: str) -> AuthError:
    return forbidden("bad_jwt", f"invalid JWT: unable to parse or verify signature, {reason}")


def read_access_token(settings: AuthSettings, token: str) -> dict[str, Any]:
    """The claims of a token that was signed with our secret and has not expired by our clock. Raises `bad_jwt`."""
    # Times are compared below: the library only knows the clock of the machine.
    options: jwt.types.Options = {
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
        "verify_aud": False,
    }
    try:
        claims = jwt.decode(token, settings.jwt_secret, algorithms=["HS256"], options=options)
    except jwt.InvalidSignatureError:
        raise _bad_jwt("token signature is invalid: signature is invalid") from None
    except jwt.InvalidTokenError:
        raise _bad_jwt("token is malformed") from None
    now = settings.clock()
    for name, default in (("exp", float("inf")), ("nbf", float("-inf"))):
        moment = claims.get(name, default)
        if isinstance(moment, bool) or not isinstance(moment, int | float):
            raise _bad_jwt("token has invalid claims")
        if (name == "exp" and moment <= now) or (name == "nbf" and moment > now):
            reason = "token is expired" if name == "exp" else "token is not valid yet"
            raise _bad_jwt(f"token has invalid claims: {reason}")
    return claims


def text_claim(claims: dict[str, Any], name: str) -> str:
    """The string claim `name`; empty when missing. Raises `bad_jwt` for another type."""
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise _bad_jwt("token has invalid claims")
    return value


def subject(claims: dict[str, Any]) -> uuid.UUID:
    """The user id of a token. Raises `bad_jwt`: 403 without one, 400 when it is no UUID."""
    text = text_claim(claims, "sub")
    if not text:
        raise forbidden("bad_jwt", "invalid claim: missing sub claim")
    try:
        return uuid.UUID(text)
    except ValueError:
        raise bad_request("bad_jwt", "invalid claim: sub claim must be a UUID") from None


def session_of(claims: dict[str, Any]) -> uuid.UUID | None:
    """The session id of a token; None for a token without a session. Raises `bad_jwt`."""
    text = text_claim(claims, "session_id")
    if not text:
        return None
    try:
        session_id = uuid.UUID(text)
    except ValueError:
        raise forbidden("bad_jwt", "invalid claim: session_id claim must be a UUID") from None
    return session_id if session_id.int else None
