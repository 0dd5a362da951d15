"""bcrypt, off the event loop."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import bcrypt

from sauti_local.auth.validation import MAX_PASSWORD_BYTES

_BCRYPT_HASH: Final = re.compile(r"\$2[abxy]?\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")


class Passwords:
    """Hashes and checks passwords with bcrypt at one cost."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._decoy = bcrypt.hashpw(b"", bcrypt.gensalt(rounds))

    async def hash(self, password: str) -> str:
        """A bcrypt hash of at most 72 bytes of password."""
        salt = bcrypt.gensalt(self._rounds)
        return (await asyncio.to_thread(bcrypt.hashpw, password.encode(), salt)).decode()

    async def verify(self, password: str, encrypted: str | None) -> bool:
        """Whether `password` belongs to `encrypted`; always costs one bcrypt.

        A missing hash is checked against a decoy, so that the time tells nobody whether an account exists.
        """
        secret = password.encode()
        stored = encrypted.encode() if encrypted else self._decoy
        try:
            matches = await asyncio.to_thread(bcrypt.checkpw, secret[:MAX_PASSWORD_BYTES], stored)
        except ValueError:  # a hash of another scheme, imported by hand
            return False
        return matches and bool(encrypted) and len(secret) <= MAX_PASSWORD_BYTES


def is_bcrypt_hash(text: str) -> bool:
    """Whether `text` can be stored as a ready-made hash."""
    return _BCRYPT_HASH.fullmatch(text) is not None
