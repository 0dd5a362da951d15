"""Two signed-in users, and a client that brings the public key of the running stack."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from sauti_local.stack import Addresses, Stack
from tests.functions.callers import Caller, newcomer


@pytest.fixture
def addresses(stack: Stack) -> Addresses:
    return stack.addresses


@pytest.fixture
async def http(addresses: Addresses) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers={"apikey": addresses.anon_key}, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def ada(addresses: Addresses) -> Caller:
    return newcomer(addresses)


@pytest.fixture
def ben(addresses: Addresses) -> Caller:
    return newcomer(addresses)
