"""Callers of the running stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sauti_local.stack import Stack
from tests.support.api import People, people_of


@pytest.fixture(scope="module")
def audience(stack: Stack) -> Iterator[People]:
    """People whom the tests of one file share, because none of them changes anything."""
    with people_of(stack.addresses) as made:
        yield made


@pytest.fixture
def people(stack: Stack) -> Iterator[People]:
    """Whoever a test needs."""
    with people_of(stack.addresses) as made:
        yield made
