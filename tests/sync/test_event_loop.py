"""The loop of long-running processes is not held by collections of what never becomes garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sauti_sync import event_loop


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_a_full_collection_does_not_walk_what_was_imported() -> None:
    async def still_walked() -> int:
        return len(gc.get_objects())

    before = len(gc.get_objects())
    assert event_loop.run(still_walked()) < before / 10
