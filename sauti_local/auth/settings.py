"""What the Auth stand-in needs to know."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AuthSettings:
    """Settings of the Auth stand-in.

    Attributes:
        db_url: Database address, as role `supabase_auth_admin`.
        jwt_secret: HS256 secret that PostgREST and Realtime share.
        api_url: Public address of the gateway; the issuer of tokens is `<api_url>/auth/v1`.
        jwt_expiry: Lifetime of an access token, seconds.
        clock: Seconds since the epoch; every time written or compared comes from it.
        refresh_reuse_interval: For this many seconds a replaced refresh token may be used again, for clients that
            refresh twice at once.
        password_min_length: Shortest accepted password, UTF-8 bytes as GoTrue counts them.
        bcrypt_rounds: log2 of the bcrypt work. GoTrue takes 10; local accounts protect nothing, so speed wins.
    """

    db_url: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    api_url: str
    jwt_expiry: int = 3600
    clock: Callable[[], float] = time.time
    refresh_reuse_interval: int = 10
    password_min_length: int = 6
    bcrypt_rounds: int = 6
