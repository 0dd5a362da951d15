"""Exponential back-off with full jitter. Pure: the caller brings the randomness and does the waiting.

Full jitter (uniform between zero and the ceiling) spreads a herd of failed jobs best: see Brooker, "Exponential
Backoff and Jitter".
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Ceiling `base * 2 ** (attempt - 1)` seconds, at most `cap`, at least `floor` seconds of delay."""

    base: float
    cap: float
    floor: float = 0.0

    def ceiling(self, attempt: int) -> float:
        """Longest delay in seconds after the attempt with this number (1 is the first)."""
        # An exponent of 62 is beyond any cap; without the bound a large attempt number would overflow the float.
        return max(self.floor, min(self.cap, self.base * 2.0 ** min(max(attempt, 1) - 1, 62)))

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Delay in seconds, uniform in [floor, ceiling]."""
        return rng.uniform(self.floor, self.ceiling(attempt))


def jitter() -> random.Random:
    """A source of randomness of its own, seeded by the system."""
    return random.Random()  # noqa: S311  # it spreads load and guards nothing


#: Between attempts of one job: 2 s, 4 s, 8 s … up to a quarter of an hour.
JOBS = Backoff(base=2.0, cap=900.0, floor=0.2)
#: Between tries to settle a job whose effect has happened; must fit several times into a lease.
SETTLE = Backoff(base=0.1, cap=2.0, floor=0.05)
#: Between tries to rebuild the doorbell. The poll covers the gap.
DOORBELL = Backoff(base=0.5, cap=15.0, floor=0.1)
