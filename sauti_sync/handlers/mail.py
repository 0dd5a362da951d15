"""Jobs of kind `mail`: one neutral message to one reader."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sauti_sync import ics
from sauti_sync.errors import Permanent, Retryable
from sauti_sync.events import Json, Lease
from sauti_sync.messages import render
from sauti_sync.messages.mail import compose
from sauti_sync.messages.sender import Sender, parse_address
from sauti_sync.messages.smtp import MailTransport


class _Part(BaseModel):
    # hide_input_in_errors: a context that does not fit must not be quoted.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class MailMessage(_Part):
    """`message` of the context."""

    id: str = Field(repr=False, pattern=r"^[0-9A-Za-z-]{1,64}$")
    template: str
    to: str = Field(repr=False)
    locale: str = "en"
    time_zone: str | None = None
    case_code: str | None = Field(default=None, repr=False)


class MailAppointment(_Part):
    """`appointment` of the context, for messages about one. Place and meeting address are not read: mail is neutral."""

    appointment_id: Annotated[str, Field(repr=False, pattern=r"^[0-9A-Za-z-]{1,64}$")]
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    status: str
    sequence: int = Field(ge=0)
    time_zone: str | None = None
    revised_at: AwareDatetime
    created_at: AwareDatetime


class MailContext(_Part):
    """What `job_context` says about a mail that is due."""

    message: MailMessage
    appointment: MailAppointment | None = None


class MailHandler:
    """Renders the message in the reader's language and zone, and hands it over."""

    def __init__(self, transport: MailTransport, sender: Sender, link: str) -> None:
        self._transport = transport
        self._sender = sender
        self._link = link

    async def handle(self, context: Json, lease: Lease) -> Json:
        """Send once; after a crash it may be sent once more, with the same Message-ID."""
        try:
            due = MailContext.model_validate(context)
        except ValidationError:
            # Retryable: a newer database may speak to an older worker for the length of a deployment.
            raise Retryable("context_invalid") from None
        try:
            to = parse_address(due.message.to)
        except ValueError:
            raise Permanent("address_invalid") from None
        appointment = due.appointment
        text = render.render(
            due.message.template,
            due.message.locale,
            render.Facts(
                link=self._link,
                case_code=due.message.case_code,
                starts_at=appointment.starts_at if appointment else None,
                time_zone=due.message.time_zone or (appointment.time_zone if appointment else None),
            ),
        )
        message = compose(text, self._sender, to, due.message.id, self._calendar(due))
        lease.check()
        await self._transport.send(message, to.addr_spec)
        return {"outcome": "sent"}

    async def close(self) -> None:
        """Close idle connections."""
        await self._transport.close()

    def _calendar(self, due: MailContext) -> tuple[ics.Method, bytes] | None:
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
