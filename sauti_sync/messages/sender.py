"""Mail addresses, read strictly: a line break or a second address never reaches a header or an envelope."""

from __future__ import annotations

from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.policy import SMTP


@dataclass(frozen=True, slots=True)
class Sender:
    """The From header of all mail."""

    address: Address

    @classmethod
    def parse(cls, text: str) -> Sender:
        """Read `Name <address>` or a bare address; raises ValueError without repeating the text."""
        header = SMTP.header_factory("from", _printable(text))
        addresses: tuple[Address, ...] = header.addresses
        if len(addresses) != 1 or header.defects:
            raise ValueError("expected one mail address")
        address = parse_address(addresses[0].addr_spec)
        return cls(Address(addresses[0].display_name, username=address.username, domain=address.domain))

    @property
    def domain(self) -> str:
        """Domain of the sender in ASCII; the right side of every Message-ID."""
        return self.address.domain


def parse_address(text: str) -> Address:
    """One bare mail address, its domain in ASCII; raises ValueError without repeating the text.

    Left of the @ it must be ASCII: few servers speak SMTPUTF8 (RFC 6531), and a bounce would be seen by nobody.
    """
    try:
        address = Address(addr_spec=_printable(text))
        address = Address(username=address.username, domain=_ascii(address.domain))
    except (ValueError, HeaderParseError, IndexError, UnicodeError):
        raise ValueError("expected one mail address") from None
    if not address.username or not address.domain:
        raise ValueError("expected one mail address")
    return address


def _ascii(domain: str) -> str:
    return domain if domain.isascii() else domain.encode("idna").decode()


def _printable(text: str) -> str:
    if len(text) > 320 or not text.isprintable():
        raise ValueError("expected one mail address")
    return text
