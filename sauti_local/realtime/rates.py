"""A bound on how often something may happen."""

from __future__ import annotations


class Rate:
    """A token bucket that holds a second's worth."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._at: float | None = None

    def allows(self, now: float) -> bool:
        """Count one; False when it is one too many. `now` in seconds, from any steady clock."""
        if self._at is not None:
            self._left = min(float(self._per_second), self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
