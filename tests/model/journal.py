"""What was done in all walks, for the last line of a run."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis.stateful import rule

#: After so many walks a long run says how far it is.
_PROGRESS_EVERY = 50


class Journal:
    """Counts, by kind of step: tried, accepted, refused; the rest had nothing to be done to."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._began = time.monotonic()
        self._kind = "the scene"
        self.walks = 0
        self.steps = 0
        self.differences = 0
        self.tried: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def step_begins(self, kind: str) -> None:
        """A step is about to be taken."""
        self._kind = kind
        self.tried[kind] += 1

    def step_ends(self, *, refused: bool) -> None:
        """What everybody sees has been compared."""
        self.steps += 1
        (self.refused if refused else self.accepted)[self._kind] += 1

    def walk_ends(self) -> None:
        """Another walk is over."""
        self.walks += 1
        if self.walks % _PROGRESS_EVERY == 0:
            self._say(f"{self.walks} walks, {self.steps} steps, {time.monotonic() - self._began:.0f} s")

    def summary(self) -> str:
        """Everything in a few lines."""
        kinds = [
            f"  {kind}: {self.tried[kind]} tried, {self.accepted[kind]} accepted, {self.refused[kind]} refused"
            for kind in sorted(self.tried)
        ]
        total = f"{self.walks} walks, {self.steps} steps, {sum(self.accepted.values())} accepted,"
        total += f" {sum(self.refused.values())} refused, {self.differences} differences,"
        return "\n".join((*kinds, f"{total} {time.monotonic() - self._began:.0f} s"))


def transition(**choices: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule of the walk that is written into its journal."""

    def decorate(step: Callable[..., None]) -> Any:
        @functools.wraps(step)
        def written(self: Any, **chosen: Any) -> None:
            self.journal.step_begins(step.__name__)
            step(self, **chosen)

        among: Any = rule(**choices)
        return among(written)

    return decorate
