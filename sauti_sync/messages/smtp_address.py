"""`SAUTI_SMTP_URL`, read into its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit


class StartTls(StrEnum):
    """When a connection that begins in the clear changes to TLS."""

    AUTO = "auto"  # when the server offers it
    REQUIRE = "require"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class SmtpAddress:
    """A mail server; the repr shows neither user nor password."""

    host: str
    port: int
    implicit_tls: bool
    start_tls: StartTls
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> SmtpAddress:
        """Read `smtp://` or `smtps://[user:password@]host[:port][?starttls=auto|require|never]`.

        Without `starttls`, a password makes TLS a must: an attacker on the way could otherwise strip the offer and
        read it. Raises ValueError without repeating any part of the url.
        """
        try:
            parts = urlsplit(url)
            port, query = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query))
        except ValueError:
            raise ValueError("expected smtp:// or smtps:// with host and port") from None
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("expected smtp:// or smtps:// with host and port")
        if set(query) - {"starttls"}:
            raise ValueError("the only option is starttls")
        implicit = parts.scheme == "smtps"
        username = unquote(parts.username) if parts.username else None
        choice = query.get("starttls", ["require" if username else "auto"])[0]
        if choice not in set(StartTls):
            raise ValueError("starttls must be auto, require or never")
        return cls(
            host=parts.hostname,
            port=port or (465 if implicit else 587 if username else 25),
            implicit_tls=implicit,
            start_tls=StartTls.NEVER if implicit else StartTls(choice),
            username=username,
            password=unquote(parts.password) if parts.password else None,
        )
