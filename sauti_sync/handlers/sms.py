"""Jobs of kind `sms`: one neutral line to one telephone."""

from __future__ import annotations

from sauti_sync.errors import Permanent
from sauti_sync.events import Json, Lease
from sauti_sync.handlers.message_context import MessageContext
from sauti_sync.messages.sms import SmsTransport, parse_phone


class SmsHandler:
    """Renders the line in the reader's language and zone, and hands it over."""

    def __init__(self, transport: SmsTransport, link: str, country_code: str | None = None) -> None:
        self._transport = transport
        self._link = link
        self._country_code = country_code

    async def handle(self, context: Json, lease: Lease) -> Json:
        """Send once; when a worker dies right after it, or the answer is lost, it is sent once more."""
        due = MessageContext.read(context)
        try:
            to = parse_phone(due.message.to, self._country_code)
        except ValueError:
            raise Permanent("phone_invalid") from None
        text = due.text(self._link).sms
        lease.check()
        await self._transport.send(to, text)
        return {"outcome": "sent"}

    async def close(self) -> None:
        """Close idle connections."""
        await self._transport.close()
