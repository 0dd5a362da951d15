"""What a function encrypts the worker reads, and the other way round: one format, two implementations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sauti_sync.credentials import TokenKeys
from sauti_sync.errors import Permanent
from tests.functions.deno import CONFIGURATION, OFFLINE, PERMISSIONS, deno

SCRIPT = Path(__file__).with_name("seal_and_open.ts")
USER = "0c1f9a52-9a0e-4a55-8df6-0d1f6c2f6c11"
SECRETS: list[dict[str, Any]] = [
    {"url": "https://dav.example.com/ada/sessions/", "username": "ada", "password": "correct horse"},
    {"url": "https://dav.example.com/ação/", "username": "अदा@example.com", "password": 'ü"\\/🔑\u2028'},
]


@pytest.fixture(scope="module")
def keys() -> str:
    return f"{TokenKeys.generate('2026-11')},{TokenKeys.generate('old_1')}"


def in_typescript(keys: str, **order: Any) -> Any:
    """What the functions' code answers to a `seal` or an `open`."""
    arguments = ("run", "--quiet", *PERMISSIONS, *OFFLINE, "--config", CONFIGURATION, SCRIPT)
    return json.loads(deno(*arguments, standard_input=json.dumps({"userId": USER, **order}), SAUTI_TOKEN_KEYS=keys))


@pytest.mark.parametrize("secret", SECRETS, ids=["plain", "unicode"])
def test_python_reads_what_typescript_encrypted(keys: str, secret: dict[str, Any]) -> None:
    sealed = in_typescript(keys, seal=secret)
    assert sealed.startswith("v1.2026-11.")
    assert TokenKeys.parse(keys).decrypt(sealed, USER, "caldav") == secret


@pytest.mark.parametrize("secret", SECRETS, ids=["plain", "unicode"])
def test_typescript_reads_what_python_encrypted(keys: str, secret: dict[str, Any]) -> None:
    sealed = TokenKeys.parse(keys).encrypt(secret, USER, "caldav")
    assert in_typescript(keys, open=sealed) == secret


def test_typescript_ciphertext_is_bound_to_its_owner_for_python_too(keys: str) -> None:
    sealed = in_typescript(keys, seal=SECRETS[0])
    for user, provider in ((USER.replace("0c", "1c"), "caldav"), (USER, "google")):
        with pytest.raises(Permanent):
            TokenKeys.parse(keys).decrypt(sealed, user, provider)
