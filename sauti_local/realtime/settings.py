"""What the Realtime server is told when it is made."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """Bounds on what one client can make the server hold or do. Sizes in bytes, times in seconds.

    A hosted project has the same bounds with numbers that depend on its plan.
    """

    frame_size: int = 5_000_000
    payload_size: int = 3_000_000
    send_buffer_size: int = 16_000_000
    channels_per_client: int = 100
    bindings_per_channel: int = 100
    joins_per_second: int = 100
    messages_per_second: int = 500
    idle_seconds: float = 60.0
    # How long an expired token can go unnoticed when the clock is moved; with a steady clock it is noticed at once.
    token_check_seconds: float = 2.0
    change_size: int = 1_048_576
    stored_message_days: int = 3


@dataclass(frozen=True)
class RealtimeSettings:
    """Where the database is, how tokens are signed, and what time it is.

    Attributes:
        db_url: libpq address of the database, as a superuser.
        jwt_secret: HS256 secret of the stack's tokens.
        clock: Seconds since the epoch, for the expiry of tokens.
        limits: Bounds per client.
    """

    db_url: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    clock: Callable[[], float] = time.time
    limits: Limits = field(default_factory=Limits)
