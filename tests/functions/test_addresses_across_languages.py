"""The functions and the worker judge the same addresses alike: what one lets in the other must be able to reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sauti_sync.calendars.addresses import is_public

# Also judged by addresses.test.ts.
ADDRESSES: dict[str, list[str]] = json.loads(Path(__file__).with_name("addresses.json").read_text())


@pytest.mark.parametrize("address", ADDRESSES["private"])
def test_the_worker_refuses_what_the_functions_refuse(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ADDRESSES["public"])
def test_the_worker_takes_what_the_functions_take(address: str) -> None:
    assert is_public(address)
