"""Waiting for a condition, with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable


async def until(condition: Callable[[], object | Awaitable[object]], seconds: float = 10.0, what: str = "") -> None:
    """Poll until the condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if await answer if isawaitable(answer) else answer:
            return
        assert time.monotonic() < deadline, f"not in {seconds} s: {what or condition}"
        await asyncio.sleep(0.01)
