"""An SMTP sink that delivers nothing, with a page and a JSON list of what it holds."""

from __future__ import annotations

import asyncio
import base64
import email.policy
import html
import uuid
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from sauti_local.ports import LOOPBACK

_KEEP = 5000
_LARGEST_BYTES = 25 * 1024 * 1024


@dataclass(frozen=True)
class Attachment:
    """A part of a message that is neither its text nor its HTML."""

    filename: str
    content_type: str
    #: Text parts decoded, others in base64.
    content: str


@dataclass(frozen=True)
class Message:
    """A message as the sink received it."""

    id: str
    #: The sender of the envelope's header, as written.
    sender: str
    #: The recipients of the envelope: whom a real server would have delivered to.
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...]
    headers: tuple[tuple[str, str], ...]
    received_at: str

    @classmethod
    def parse(cls, content: bytes, recipients: list[str]) -> Message:
        """Read a message in Internet form (RFC 5322); one that cannot be read is all text."""
        try:
            return cls._parse(content, recipients)
        except Exception:  # the email package meets broken headers with whatever its parser stumbles over
            text = content.decode(errors="replace")
            return cls(str(uuid.uuid4()), "", tuple(recipients), "", text, "", (), (), datetime.now(UTC).isoformat())

    @classmethod
    def _parse(cls, content: bytes, recipients: list[str]) -> Message:
        message = BytesParser(_class=EmailMessage, policy=email.policy.default).parsebytes(content)
        text = message.get_body(("plain",))
        rich = message.get_body(("html",))
        bodies = {id(part) for part in (text, rich) if part is not None}
        return cls(
            id=str(uuid.uuid4()),
            sender=str(message.get("From", "")),
            recipients=tuple(recipients),
            subject=str(message.get("Subject", "")),
            text=_content(text).replace("\r\n", "\n"),
            html=_content(rich).replace("\r\n", "\n"),
            attachments=tuple(
                Attachment(part.get_filename() or "", part.get_content_type(), _content(part))
                for part in message.walk()
                if not part.is_multipart() and id(part) not in bodies
            ),
            headers=tuple((name, str(value)) for name, value in message.items()),
            received_at=datetime.now(UTC).isoformat(),
        )

    def as_json(self) -> dict[str, object]:
        """The form of ``/messages.json``."""
        return {
            "id": self.id,
            "from": self.sender,
            "to": list(self.recipients),
            "subject": self.subject,
            "text": self.text,
            "html": self.html,
            "attachments": [asdict(attachment) for attachment in self.attachments],
            "headers": [list(header) for header in self.headers],
            "received_at": self.received_at,
        }


class Mailbox:
    """The sink: an SMTP port and a web port on the loopback address; the newest messages stay in memory."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=_KEEP)
        self._smtp: asyncio.Server | None = None
        self._web: web.AppRunner | None = None
        self.smtp_port = 0
        self.web_port = 0

    async def start(self, smtp_port: int = 0, web_port: int = 0) -> None:
        """Listen; 0 picks a free port."""
        loop = asyncio.get_running_loop()
        self._smtp = await loop.create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True, data_size_limit=_LARGEST_BYTES, loop=loop, hostname="localhost"),
            LOOPBACK,
            smtp_port,
        )
        self.smtp_port = self._smtp.sockets[0].getsockname()[1]
        application = web.Application()
        application.add_routes(
            [
                web.get("/", self._list_page),
                web.get("/messages.json", self._list_json),
                web.delete("/messages.json", self._empty),
                web.get("/messages/{id}", self._message_page),
            ]
        )
        self._web = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._web.setup()
        site = web.TCPSite(self._web, LOOPBACK, web_port)
        await site.start()
        self.web_port = self._web.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and forget everything."""
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None
        if self._web is not None:
            await self._web.cleanup()
            self._web = None
        self._messages.clear()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a message in."""
        content = envelope.original_content or b""
        self._messages.append(Message.parse(content, [str(recipient) for recipient in envelope.rcpt_tos]))
        return "250 Message accepted for delivery"

    async def _list_json(self, request: web.Request) -> web.Response:
        return web.json_response([message.as_json() for message in self._messages])

    async def _empty(self, request: web.Request) -> web.Response:
        self._messages.clear()
        return web.Response(status=204)

    async def _list_page(self, request: web.Request) -> web.Response:
        rows = "".join(
            f"<tr><td>{message.received_at[:19].replace('T', ' ')}<td>{html.escape(', '.join(message.recipients))}"
            f'<td><a href="/messages/{message.id}">{html.escape(message.subject) or "(no subject)"}</a>'
            for message in reversed(self._messages)
        )
        body = f"<table><tr><th>Received (UTC)<th>To<th>Subject{rows}</table>" if rows else "<p>No mail yet.</p>"
        return _page(f"Mail ({len(self._messages)})", body, refresh=True)

    async def _message_page(self, request: web.Request) -> web.Response:
        message = next((message for message in self._messages if message.id == request.match_info["id"]), None)
        if message is None:
            raise web.HTTPNotFound(text="No such message.")
        facts = "".join(
            f"<tr><th>{name}<td>{html.escape(value)}"
            for name, value in (
                ("From", message.sender),
                ("To", ", ".join(message.recipients)),
                ("Received", message.received_at),
            )
        )
        parts = [f'<p><a href="/">All mail</a></p><table>{facts}</table>']
        if message.html:
            # The frame may neither run scripts nor reach this page.
            parts.append(f'<iframe sandbox srcdoc="{html.escape(message.html, quote=True)}"></iframe>')
        if message.text:
            parts.append(f"<h2>Text</h2><pre>{html.escape(message.text)}</pre>")
        parts += [
            f"<h2>{html.escape(attachment.filename or attachment.content_type)}</h2>"
            f"<pre>{html.escape(attachment.content)}</pre>"
            for attachment in message.attachments
        ]
        return _page(message.subject or "(no subject)", "".join(parts))


def _content(part: MIMEPart | None) -> str:
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    if part.get_content_maintype() != "text":
        return base64.b64encode(content).decode()
    try:
        return content.decode(part.get_content_charset("utf-8"), errors="replace")
    except LookupError:
        return content.decode(errors="replace")


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #ddd}"
    "pre{white-space:pre-wrap;background:#f6f6f6;padding:1rem}"
    "iframe{width:100%;height:28rem;border:1px solid #ddd;margin-top:1rem}"
)


def _page(title: str, body: str, *, refresh: bool = False) -> web.Response:
    head = '<meta http-equiv="refresh" content="5">' if refresh else ""
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{head}<title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{body}</html>"
    )
    return web.Response(text=text, content_type="text/html")
