"""Credentials of calendar connections, encrypted at rest.

Format, shared with supabase/functions: `v1.<key id>.<nonce>.<ciphertext and tag>`, AES-256-GCM with a 12-byte nonce,
both parts base64url without padding. The additional data is `<user id>:<provider>`, so a ciphertext that is copied
to another user's row, or to another provider, does not open. The plaintext is a JSON object.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sauti_sync.errors import Permanent, Retryable

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NONCE_BYTES = 12
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The keys of `SAUTI_TOKEN_KEYS`. The first one encrypts, all of them decrypt."""

    first: str
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> TokenKeys:
        """Read `id:base64[,id:base64]`, each key 32 bytes in standard base64.

        Raises ValueError with a sentence that does not repeat any part of the text.
        """
        keys: dict[str, bytes] = {}
        for entry in text.split(","):
            identifier, separator, encoded = entry.strip().partition(":")
            if not separator or not _KEY_ID.fullmatch(identifier):
                raise ValueError("each key must be written as id:base64, the id of letters, digits, - and _")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                raise ValueError("a key is not standard base64") from None
            if len(key) != _KEY_BYTES:
                raise ValueError(f"a key is not {_KEY_BYTES} bytes long")
            if identifier in keys:
                raise ValueError("a key id occurs twice")
            keys[identifier] = key
        return cls(next(iter(keys)), keys)

    @staticmethod
    def generate(identifier: str) -> str:
        """A new random key, written as one entry of `SAUTI_TOKEN_KEYS`."""
        if not _KEY_ID.fullmatch(identifier):
            raise ValueError("the id must be 1 to 32 letters, digits, - and _")
        return f"{identifier}:{base64.b64encode(os.urandom(_KEY_BYTES)).decode()}"

    def encrypt(self, secret: Mapping[str, Any], user_id: str, provider: str) -> str:
        """Ciphertext of a JSON object, bound to one user and one provider."""
        nonce = os.urandom(_NONCE_BYTES)
        plaintext = json.dumps(secret, separators=(",", ":"), ensure_ascii=False).encode()
        sealed = AESGCM(self.keys[self.first]).encrypt(nonce, plaintext, _additional_data(user_id, provider))
        return f"v1.{self.first}.{_encode(nonce)}.{_encode(sealed)}"

    def decrypt(self, ciphertext: str, user_id: str, provider: str) -> dict[str, Any]:
        """The JSON object.

        Raises Retryable `token_key_unknown` (a newer key may reach this worker with its next deployment) and
        Permanent `credentials_unreadable` (malformed, forged, or bound to another row).
        """
        parts = ciphertext.split(".")
        if len(parts) != 4 or parts[0] != "v1":
            raise Permanent("credentials_unreadable")
        key = self.keys.get(parts[1])
        if key is None:
            raise Retryable("token_key_unknown")
        try:
            plaintext = AESGCM(key).decrypt(_decode(parts[2]), _decode(parts[3]), _additional_data(user_id, provider))
            secret = json.loads(plaintext)
        except (InvalidTag, ValueError):
            # `from None`: the cause of a JSON error quotes the plaintext.
            raise Permanent("credentials_unreadable") from None
        if not isinstance(secret, dict):
            raise Permanent("credentials_unreadable")
        return secret


@dataclass(frozen=True, slots=True)
class CalDavCredentials:
    """What a CalDAV connection needs; `url` is the calendar collection. The repr shows none of it."""

    url: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def read(cls, secret: Mapping[str, Any]) -> CalDavCredentials:
        """From the decrypted JSON object; raises Permanent `credentials_unreadable` when a part is missing."""
        values = tuple(secret.get(name) for name in ("url", "username", "password"))
        if not all(isinstance(value, str) and value for value in values):
            raise Permanent("credentials_unreadable")
        return cls(*(str(value) for value in values))


def _additional_data(user_id: str, provider: str) -> bytes:
    return f"{user_id}:{provider}".encode()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
