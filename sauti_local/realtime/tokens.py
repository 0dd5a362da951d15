"""Who a token says its bearer is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

_ALGORITHMS = ["HS256", "HS384", "HS512"]
# Times are compared with the stack's own clock below, and nothing else is demanded of a token.
_NO_CHECKS = {f"verify_{claim}": False for claim in ("exp", "iat", "nbf", "aud", "iss", "sub", "jti")}


class TokenRefused(Exception):
    """The token does not prove anything.

    Attributes:
        code: Error code of the protocol, the part of a join's refusal before the colon.
        reason: Sentence for the client.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Identity:
    """A verified token: the database role and claims under which everything is checked."""

    token: str = field(repr=False)
    role: str
    subject: str = field(repr=False)
    claims: str = field(repr=False)
    expires_at: float


def read_token(token: str, secret: str, now: float) -> Identity:
    """Verify a token.

    Args:
        token: A compact JWT.
        secret: The HMAC secret.
        now: Seconds since the epoch.

    Raises:
        TokenRefused: malformed, signed by somebody else, expired, or without `role` and `exp`.
    """
    try:
        claims: Mapping[str, Any] = jwt.decode(token, secret, algorithms=_ALGORITHMS, options=_NO_CHECKS)  # type: ignore[arg-type]
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
        raise TokenRefused("JwtSignatureError", "Failed to validate JWT signature") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenRefused("MalformedJWT", "The token provided is not a valid JWT") from None
    role, expires_at, subject = claims.get("role"), claims.get("exp"), claims.get("sub")
    if not isinstance(role, str) or not isinstance(expires_at, int | float) or not math.isfinite(expires_at):
        raise TokenRefused("InvalidJWTToken", "Fields `role` and `exp` are required in JWT")
    if expires_at <= now:
        raise TokenRefused("InvalidJWTToken", f"Token has expired {int(now - expires_at)} seconds ago")
    if not _is_text(role) or not _is_text(subject):
        raise TokenRefused("MalformedJWT", "The token provided is not a valid JWT")
    return Identity(
        token=token,
        role=role,
        subject=subject if isinstance(subject, str) else "",
        claims=json.dumps(claims, separators=(",", ":")),
        expires_at=float(expires_at),
    )


def _is_text(value: object) -> bool:
    """Whether the database could store it, should it be a string at all: no NUL, no lone surrogate."""
    if not isinstance(value, str):
        return True
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
