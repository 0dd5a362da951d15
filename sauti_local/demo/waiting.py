"""Waiting for what other processes bring about: polled, with an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.02


async def eventually(look: Callable[[], Awaitable[T]], is_so: Callable[[T], bool], seconds: float) -> T:
    """Look until it is so, or the time is over; gives back what was seen last, for a check to judge.

    Args:
        look: Reads the present state.
        is_so: Whether it is the one that is waited for.
        seconds: At most so long.
    """
    end = time.monotonic() + seconds
    while True:
        seen = await look()
        if is_so(seen) or time.monotonic() >= end:
            return seen
        await asyncio.sleep(_POLL_SECONDS)
