"""Back-off: bounded, growing, spread, and the same for the same seed."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sauti_sync import backoff
from sauti_sync.backoff import Backoff


@given(attempt=st.integers(-5, 10_000), seed=st.integers())
def test_every_delay_lies_between_floor_and_ceiling(attempt: int, seed: int) -> None:
    for policy in (backoff.JOBS, backoff.SETTLE, backoff.DOORBELL):
        delay = policy.delay(attempt, Random(seed))
        assert policy.floor <= delay <= policy.ceiling(attempt) <= policy.cap


def test_the_ceiling_doubles_until_the_cap() -> None:
    policy = Backoff(base=2, cap=60)
    assert [policy.ceiling(attempt) for attempt in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]


def test_jitter_uses_the_whole_range() -> None:
    policy, rng = Backoff(base=10, cap=10), Random(1)
    delays = [policy.delay(1, rng) for _ in range(1000)]
    assert min(delays) < 0.2
    assert max(delays) > 9.8
    assert sum(delays) / len(delays) == pytest.approx(5, abs=0.5)


def test_the_same_seed_gives_the_same_delays() -> None:
    first, second = Random(7), Random(7)
    assert [backoff.JOBS.delay(n, first) for n in range(9)] == [backoff.JOBS.delay(n, second) for n in range(9)]
