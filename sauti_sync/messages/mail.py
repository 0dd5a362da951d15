"""Mail messages. Pure: a rendered text in, a MIME message out."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from sauti_sync.ics import Method
from sauti_sync.messages.render import Text
from sauti_sync.messages.sender import Sender


def compose(
    text: Text, sender: Sender, to: Address, message_id: str, calendar: tuple[Method, bytes] | None = None
) -> EmailMessage:
    """A multipart/alternative message, with the calendar object attached as `appointment.ics`.

    `message_id` is the notification's id: a repeated delivery carries the same Message-ID, so that readers and
    servers can tell it is the same message. There is no Date of our own making: `send` adds it at hand-over.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = sender.address
    message["To"] = to
    message["Subject"] = text.subject
    message["Message-ID"] = f"<{message_id}@{sender.domain}>"
    # RFC 3834: keeps autoresponders from answering; the second is what Exchange understands.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(text.plain, cte="quoted-printable")
    message.add_alternative(text.html, subtype="html", cte="quoted-printable")
    if calendar is not None:
        method, document = calendar
        message.add_attachment(
            document,
            maintype="text",
            subtype="calendar",
            filename="appointment.ics",
            params={"method": method.value, "charset": "utf-8"},
        )
    # Last, because a part that is added takes the headers Content-… of the whole for itself.
    message["Content-Language"] = text.language
    return message
