"""What `job_context` says about a message that is due, whichever channel carries it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sauti_sync.errors import Retryable
from sauti_sync.events import Json
from sauti_sync.messages.render import Facts, Text, render


class _Part(BaseModel):
    # hide_input_in_errors: a context that does not fit must not be quoted.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Message(_Part):
    """`message` of the context; `to` is a mail address or a telephone number."""

    id: str = Field(repr=False, pattern=r"^[0-9A-Za-z-]{1,64}$")
    template: str
    to: str = Field(repr=False)
    locale: str = "en"
    time_zone: str | None = None
    case_code: str | None = Field(default=None, repr=False)


class MessageAppointment(_Part):
    """`appointment` of the context, for messages about one. Place and meeting are not read: texts are neutral."""

    appointment_id: Annotated[str, Field(repr=False, pattern=r"^[0-9A-Za-z-]{1,64}$")]
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    status: str
    sequence: int = Field(ge=0)
    time_zone: str | None = None
    revised_at: AwareDatetime
    created_at: AwareDatetime


class MessageContext(_Part):
    """A message to one reader."""

    message: Message
    appointment: MessageAppointment | None = None

    @classmethod
    def read(cls, context: Json) -> MessageContext:
        """From the answer of `job_context`; raises Retryable `context_invalid`."""
        try:
            return cls.model_validate(context)
        except ValidationError:
            # Retryable: a newer database may speak to an older worker for the length of a deployment.
            raise Retryable("context_invalid") from None

    def text(self, link: str) -> Text:
        """The text in the reader's language and zone; raises Permanent `template_unknown`."""
        appointment = self.appointment
        facts = Facts(
            link=link,
            case_code=self.message.case_code,
            starts_at=appointment.starts_at if appointment else None,
            time_zone=self.message.time_zone or (appointment.time_zone if appointment else None),
        )
        return render(self.message.template, self.message.locale, facts)
