"""Delivery over SMTP: RFC 5321 answers turned into Retryable and Permanent.

A connection is kept for a short while after a message, since messages come in bursts and TLS is dear.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Protocol

import aiosmtplib

from sauti_sync.errors import Outage, Permanent, Retryable
from sauti_sync.messages.bounces import is_about_address
from sauti_sync.messages.sender import Sender
from sauti_sync.messages.smtp_address import SmtpAddress, StartTls

_TIMEOUT_SECONDS = 20.0
_IDLE_SECONDS = 10.0
_IDLE_CONNECTIONS = 4


class MailTransport(Protocol):
    """Anything that can hand a message over."""

    async def send(self, message: EmailMessage, to: str, return_path: str | None = None) -> None:
        """Returns once the other side has accepted the message; raises Retryable or Permanent."""

    async def close(self) -> None:
        """Give back all connections."""


class SmtpTransport:
    """A mail server, with a few idle connections."""

    def __init__(
        self,
        address: SmtpAddress,
        sender: Sender,
        *,
        timeout: float = _TIMEOUT_SECONDS,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._sender = sender
        self._timeout = timeout
        #: Certificates are always checked, also after an unforced STARTTLS; None: against the system's authorities.
        self._trust = trust
        self._idle: deque[tuple[float, aiosmtplib.SMTP]] = deque()

    async def send(self, message: EmailMessage, to: str, return_path: str | None = None) -> None:
        """Hand over one message to one reader; without a return path it comes back to the sender.

        Raises Permanent for 5xx answers about this message, Retryable for everything else. A connection lost
        after DATA is Retryable: the server may have accepted, and a second copy is better than none.
        """
        connection = await self._connection()
        try:
            await self._deliver(connection, message, to, return_path)
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < _IDLE_CONNECTIONS:
            self._idle.append((time.monotonic(), connection))
        else:
            await _part(connection)

    async def check(self) -> None:
        """Connect, secure and log in as for a message, and part; raises Outage."""
        await _part(await self._connect())

    async def close(self) -> None:
        """End idle connections politely; a server that does not answer is left alone."""
        while self._idle:
            _, connection = self._idle.pop()
            await _part(connection)

    async def _connection(self) -> aiosmtplib.SMTP:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS and connection.is_connected:
                with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                    await connection.rset(timeout=2.0)
                    return connection
            connection.close()
        return await self._connect()

    async def _connect(self) -> aiosmtplib.SMTP:
        address = self._address
        connection = aiosmtplib.SMTP(
            hostname=address.host,
            port=address.port,
            use_tls=address.implicit_tls,
            start_tls=False,
            tls_context=self._trust,
            # The name of this machine is nobody's business: it would stand in the Received header.
            local_hostname=self._sender.domain,
            timeout=self._timeout,
        )
        try:
            await connection.connect()
            await connection.ehlo()
            if address.start_tls is not StartTls.NEVER and connection.supports_extension("starttls"):
                await connection.starttls()
            elif address.start_tls is StartTls.REQUIRE:
                raise Outage("smtp_insecure")
            if address.username is not None:
                await connection.login(address.username, address.password or "")
        except aiosmtplib.SMTPAuthenticationError:
            # The operator's mistake, not the message's: it stays retryable, and replayable from the dead letters.
            connection.close()
            raise Outage("smtp_auth_refused") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            connection.close()
            raise Outage("smtp_unavailable") from None
        except BaseException:
            connection.close()
            raise
        return connection

    async def _deliver(
        self, connection: aiosmtplib.SMTP, message: EmailMessage, to: str, return_path: str | None
    ) -> None:
        del message["Date"]
        message["Date"] = format_datetime(datetime.now(UTC))
        # A report needs our headers at most (RFC 3461): the text is nobody's on its way back.
        reports = return_path is not None and connection.supports_extension("dsn")
        try:
            await connection.sendmail(
                return_path or self._sender.address.addr_spec,
                [to],
                message.as_bytes(policy=SMTP_POLICY),
                mail_options=["RET=HDRS"] if reports else [],
                rcpt_options=["NOTIFY=FAILURE"] if reports else [],
            )
        except aiosmtplib.SMTPRecipientsRefused as refusal:
            raise _recipient_verdict(refusal) from None
        except aiosmtplib.SMTPSenderRefused as refusal:
            raise _verdict(refusal.code, "sender") from None
        except aiosmtplib.SMTPResponseException as refusal:
            raise _verdict(refusal.code, "message") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            raise Outage("smtp_unavailable") from None


async def _part(connection: aiosmtplib.SMTP) -> None:
    with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        await connection.quit(timeout=1.0)
    connection.close()


def _recipient_verdict(refusal: aiosmtplib.SMTPRecipientsRefused) -> Retryable | Permanent:
    if not refusal.recipients:
        return _verdict(0, "recipient")
    code, words = refusal.recipients[0].code, refusal.recipients[0].message
    status = words.partition(" ")[0]  # RFC 2034: an enhanced status comes first
    if 500 <= code < 600 and is_about_address(status):
        return Permanent("recipient_unknown")
    return _verdict(code, "recipient")


def _verdict(code: int, what: str) -> Retryable | Permanent:
    if 500 <= code < 600:
        return Permanent(f"{what}_refused")
    if code == 421:  # RFC 5321, 3.8: the server is shutting down, whatever was asked
        return Outage("smtp_unavailable")
    return Retryable(f"{what}_deferred") if 400 <= code < 500 else Outage("smtp_unavailable")
