"""Jobs of kind `mail`: one neutral message to one reader."""

from __future__ import annotations

from sauti_sync import ics
from sauti_sync.errors import Permanent
from sauti_sync.events import Caller, Json, Lease
from sauti_sync.handlers.message_context import MessageContext
from sauti_sync.messages import render
from sauti_sync.messages.mail import compose
from sauti_sync.messages.return_path import ReturnPath, address_digest
from sauti_sync.messages.sender import Sender, parse_address
from sauti_sync.messages.smtp import MailTransport


class MailHandler:
    """Renders the message in the reader's language and zone, and hands it over."""

    def __init__(
        self, transport: MailTransport, sender: Sender, link: str, call: Caller, return_path: ReturnPath | None = None
    ) -> None:
        self._transport = transport
        self._sender = sender
        self._link = link
        self._call = call
        self._return_path = return_path

    async def handle(self, context: Json, lease: Lease) -> Json:
        """Send once; after a crash it may be sent once more, with the same Message-ID."""
        due = MessageContext.read(context)
        try:
            to = parse_address(due.message.to)
        except ValueError:
            raise Permanent("address_invalid") from None
        message = compose(due.text(self._link), self._sender, to, due.message.id, self._calendar(due))
        lease.check()
        back = self._return_path.address(due.message.id, due.message.to) if self._return_path else None
        try:
            await self._transport.send(message, to.addr_spec, back)
        except Permanent as error:
            if error.symbol == "recipient_unknown":
                # The server knows at once what others tell by sending the mail back.
                digest = address_digest(due.message.to)
                await self._call("record_bounce", message_id=due.message.id, address_digest=digest)
            raise
        return {"outcome": "sent"}

    async def close(self) -> None:
        """Close idle connections."""
        await self._transport.close()

    def _calendar(self, due: MessageContext) -> tuple[ics.Method, bytes] | None:
        appointment = due.appointment
        if appointment is None:
            return None
        entry = ics.Entry(
            uid=f"{appointment.appointment_id}@sauti",
            starts_at=appointment.starts_at,
            ends_at=appointment.ends_at,
            sequence=appointment.sequence,
            status=appointment.status,
            revised_at=appointment.revised_at,
            created_at=appointment.created_at,
            case_code=due.message.case_code,
        )
        # PUBLISH, not REQUEST: nobody is asked to answer, and no attendee has to be named.
        method = ics.Method.CANCEL if entry.is_cancelled else ics.Method.PUBLISH
        words = render.wording(due.message.locale, self._link)
        return method, ics.render(entry, words, method=method, organizer=self._sender.address.addr_spec)
