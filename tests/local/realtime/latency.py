"""How long something takes to be heard."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """Seconds from before the cause (its statement and commit included) until it was heard."""

    p50: float
    p95: float
    worst: float
    rounds: int


async def measure(
    cause: Callable[[], Awaitable[object]], heard: Callable[[], Awaitable[object]], rounds: int, warm_up: int = 5
) -> Latency:
    """Cause and hear, one after the other; the first rounds do not count."""
    seconds = []
    for _ in range(warm_up + rounds):
        began = time.perf_counter()
        await cause()
        await heard()
        seconds.append(time.perf_counter() - began)
    counted = sorted(seconds[warm_up:])
    return Latency(counted[rounds // 2], counted[int(rounds * 0.95)], counted[-1], rounds)
