"""Where mail comes back to: an address of its own for each message (VERP), which nobody can make up. Pure.

    bounces+<48 characters>@example.org

The characters are base32 of the message's id, 40 bits of the address's SHA-256 and 72 bits of an HMAC over both. So a
report that comes back says which mail to which address failed, names no person, and is believed without looking into
what the report's writer says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass
from email.headerregistry import Address

from sauti_sync.messages.sender import parse_address

#: RFC 5321, 4.5.3.1.1: what stands left of the @ has at most 64 characters.
_LONGEST_NAME = 64 - 1 - 48
_DIGEST_BYTES = 5
_MAC_BYTES = 9
_CODE = re.compile(r"[a-z2-7]{48}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Which mail to which address; the digest is that of `private.address_digest`."""

    message_id: str
    address_digest: str


class ReturnPath:
    """The mailbox that reports come to, and the key that signs references to it."""

    def __init__(self, mailbox: Address, key: bytes) -> None:
        self._mailbox = mailbox
        self._key = key

    @classmethod
    def of(cls, mailbox: str, service_key: str) -> ReturnPath:
        """The same for workers and for `sauti-sync bounces`: signed with the project's key, under its own label."""
        return cls(parse_mailbox(mailbox), hashlib.sha256(b"return-path:" + service_key.encode()).digest())

    def address(self, message_id: str, to: str) -> str | None:
        """The envelope sender of one mail; None for a message that has no UUID."""
        try:
            name = uuid.UUID(message_id).bytes
        except ValueError:
            return None
        body = name + bytes.fromhex(address_digest(to))
        code = base64.b32encode(body + self._mac(body)).decode().lower()
        return f"{self._mailbox.username}+{code}@{self._mailbox.domain}"

    def read(self, address: str) -> Reference | None:
        """What an address refers to, in letters of either case; None for any that is not ours, or not whole."""
        name, _, domain = address.strip().strip("<>").lower().rpartition("@")
        user, _, code = name.rpartition("+")
        if (user, domain) != (self._mailbox.username.lower(), self._mailbox.domain.lower()) or not _CODE.fullmatch(
            code
        ):
            return None
        content = base64.b32decode(code.upper())
        body, mac = content[:-_MAC_BYTES], content[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        return Reference(str(uuid.UUID(bytes=body[:-_DIGEST_BYTES])), body[-_DIGEST_BYTES:].hex())

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]


def address_digest(address: str) -> str:
    """What is kept of an address that does not work, as `private.address_digest` has it."""
    return hashlib.sha256(address.encode()).digest()[:_DIGEST_BYTES].hex()


def parse_mailbox(text: str) -> Address:
    """A mailbox to which a reference can be added; raises ValueError without repeating the text."""
    address = parse_address(text)
    if not re.fullmatch(rf"[A-Za-z0-9._-]{{1,{_LONGEST_NAME}}}", address.username):
        raise ValueError(f"expected one mail address with at most {_LONGEST_NAME} plain characters before the @")
    return address
