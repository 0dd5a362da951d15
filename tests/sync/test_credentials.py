"""Token keys: what another row, another key or a forger cannot open, and what never shows."""

import base64
import traceback

import pytest

from sauti_sync.credentials import CalDavCredentials, TokenKeys
from sauti_sync.errors import Permanent, Retryable

USER = "6f0c9a34-3b7e-4d0c-8d8a-0a7f3a1c5b11"
SECRET = {"url": "https://dav.example/cal/", "username": "canary-user", "password": "canary-pässword"}


@pytest.fixture
def keys() -> TokenKeys:
    return TokenKeys.parse(TokenKeys.generate("a"))


def test_what_was_encrypted_comes_back(keys: TokenKeys) -> None:
    assert keys.decrypt(keys.encrypt(SECRET, USER, "caldav"), USER, "caldav") == SECRET


def test_the_format_is_the_one_shared_with_the_functions(keys: TokenKeys) -> None:
    version, identifier, nonce, sealed = keys.encrypt(SECRET, USER, "caldav").split(".")
    assert (version, identifier) == ("v1", "a")
    assert len(base64.urlsafe_b64decode(nonce + "==")) == 12
    assert "=" not in nonce + sealed


def test_two_encryptions_differ(keys: TokenKeys) -> None:
    assert keys.encrypt(SECRET, USER, "caldav") != keys.encrypt(SECRET, USER, "caldav")


@pytest.mark.parametrize("row", [("00000000-0000-0000-0000-000000000000", "caldav"), (USER, "google")])
def test_a_ciphertext_moved_to_another_row_does_not_open(keys: TokenKeys, row: tuple[str, str]) -> None:
    with pytest.raises(Permanent, match="credentials_unreadable"):
        keys.decrypt(keys.encrypt(SECRET, USER, "caldav"), *row)


def test_one_changed_bit_does_not_open(keys: TokenKeys) -> None:
    version, identifier, nonce, sealed = keys.encrypt(SECRET, USER, "caldav").split(".")
    raw = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    raw[3] ^= 1
    forged = base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
    with pytest.raises(Permanent, match="credentials_unreadable"):
        keys.decrypt(f"{version}.{identifier}.{nonce}.{forged}", USER, "caldav")


@pytest.mark.parametrize("text", ["", "v1", "v1.a.b", "v2.a.b.c", "v1.a.!.!", "v1.a..", "v1.a.AAAA.AAAA"])
def test_nonsense_is_permanent(keys: TokenKeys, text: str) -> None:
    with pytest.raises(Permanent, match="credentials_unreadable"):
        keys.decrypt(text, USER, "caldav")


def test_a_key_this_worker_does_not_have_yet_is_worth_a_retry(keys: TokenKeys) -> None:
    newer = TokenKeys.parse(TokenKeys.generate("b"))
    with pytest.raises(Retryable, match="token_key_unknown"):
        keys.decrypt(newer.encrypt(SECRET, USER, "caldav"), USER, "caldav")


def test_after_rotation_the_first_key_encrypts_and_the_old_one_still_opens() -> None:
    old, new = TokenKeys.generate("old"), TokenKeys.generate("new")
    sealed = TokenKeys.parse(old).encrypt(SECRET, USER, "caldav")
    rotated = TokenKeys.parse(f"{new},{old}")
    assert rotated.decrypt(sealed, USER, "caldav") == SECRET
    assert rotated.encrypt(SECRET, USER, "caldav").startswith("v1.new.")


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:", "a:canary!", "a:" + base64.b64encode(b"canary" * 5).decode(), ":AAAA", "a b:AAAA",
     ",".join(["a:" + base64.b64encode(bytes(range(32))).decode()] * 2)],
)  # fmt: skip
def test_malformed_keys_are_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="key") as refusal:
        TokenKeys.parse(text)
    assert "canary" not in str(refusal.value)
    assert "Y2FuYXJ5" not in "".join(traceback.format_exception(refusal.value)).partition("Traceback")[0]


def test_keys_and_credentials_do_not_show_themselves(keys: TokenKeys) -> None:
    shown = f"{keys!r} {CalDavCredentials.read(SECRET)!r}"
    assert "canary" not in shown
    assert "dav.example" not in shown
    assert base64.b64encode(keys.keys["a"]).decode() not in shown
    assert repr(keys.keys["a"]) not in shown


@pytest.mark.parametrize("part", ["url", "username", "password"])
def test_credentials_need_every_part(part: str) -> None:
    for value in (None, "", 7):
        with pytest.raises(Permanent, match="credentials_unreadable"):
            CalDavCredentials.read(SECRET | {part: value})
