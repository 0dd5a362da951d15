"""Samples, their percentiles, and a result beside its aim."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Result:
    """One figure.

    Attributes:
        name: What was measured.
        value: The figure.
        unit: ``ms``, or ``x`` for a ratio.
        aim: The bound; None when there is none.
        at_most: True: the figure should be at most the aim; False: at least.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    at_most: bool = True

    @property
    def held(self) -> bool | None:
        """Whether the aim was met; None without one."""
        if self.aim is None:
            return None
        return self.value <= self.aim if self.at_most else self.value >= self.aim

    def figure(self) -> str:
        """The figure with its unit."""
        return f"{self.value:.2f} {self.unit}"

    def aim_text(self) -> str:
        """The aim in words."""
        return "" if self.aim is None else f"{'at most' if self.at_most else 'at least'} {self.aim:g} {self.unit}"

    def line(self) -> str:
        """Everything on one line."""
        verdict = {True: " (held)", False: " (missed)", None: ""}[self.held]
        aim = f", aim {self.aim_text()}" if self.aim is not None else ""
        return f"{self.name}: {self.figure()}{aim}{verdict}"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {"held": self.held}


def percentile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` of 0.95 is p95."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(samples: Sequence[float]) -> float:
    """The p50."""
    return percentile(samples, 0.5)


def milliseconds(action: Callable[[], object]) -> float:
    """How long the action took."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def p50_p95(name: str, samples: Sequence[float], p95_aim: float | None = None) -> list[Result]:
    """Both percentiles of samples in milliseconds; an aim is for the p95."""
    count = f"{name}, n={len(samples)}"
    return [
        Result(f"{count}, p50", median(samples), "ms"),
        Result(f"{count}, p95", percentile(samples, 0.95), "ms", p95_aim),
    ]
