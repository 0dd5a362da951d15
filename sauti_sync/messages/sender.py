"""Mail addresses, read strictly: a line break or a second address never reaches a header or an envelope."""

from __future__ import annotations

from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.utils import parseaddr


@dataclass(frozen=True, slots=True)
class Sender:
    """The From header of all mail."""

    address: Address

    @classmethod
    def parse(cls, text: str) -> Sender:
        """Read `Name <address>` or a bare address; raises ValueError without repeating the text."""
        name, specification = parseaddr(text)
        address = parse_address(specification)
        return cls(Address(_printable(name), username=address.username, domain=address.domain))

    @property
    def domain(self) -> str:
        """Domain of the sender in ASCII; the right side of every Message-ID."""
        return self.address.domain


def parse_address(text: str) -> Address:
    """One bare mail address, its domain in ASCII; raises ValueError without repeating the text."""
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
