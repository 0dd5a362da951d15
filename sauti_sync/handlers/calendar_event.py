"""Jobs of kind `calendar_event`: one appointment in one person's calendar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sauti_sync import ics
from sauti_sync.calendars.interface import Opener, RemoteEvent
from sauti_sync.credentials import TokenKeys
from sauti_sync.errors import Permanent, Retryable
from sauti_sync.events import Json, Lease
from sauti_sync.messages import render


class _Part(BaseModel):
    # hide_input_in_errors: a context that does not fit must not be quoted.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Connection(_Part):
    """`connection` of the context."""

    id: str
    user_id: str = Field(repr=False)
    provider: str
    credentials: str = Field(repr=False)
    detail_level: Literal["neutral", "full"] = "neutral"
    locale: str = "en"


class CalendarEvent(_Part):
    """`event` of the context."""

    appointment_id: str = Field(pattern=r"^[0-9A-Za-z-]{1,64}$")
    uid: str
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    sequence: int = Field(ge=0)
    status: str
    case_code: str | None = Field(default=None, repr=False)
    meeting_url: str | None = Field(default=None, repr=False)
    location: str | None = Field(default=None, repr=False)
    revised_at: AwareDatetime
    created_at: AwareDatetime


class Mapped(_Part):
    """`mapping` of the context: the event as it was last synced."""

    external_event_id: str
    etag: str | None = None


class CalendarContext(_Part):
    """What `job_context` says about a calendar event that is due."""

    operation: Literal["upsert", "delete"]
    connection: Connection
    event: CalendarEvent
    mapping: Mapped | None = None


class CalendarEventHandler:
    """Brings one calendar in line with the database."""

    def __init__(self, keys: TokenKeys, openers: Mapping[str, Opener], link: str) -> None:
        self._keys = keys
        self._openers = openers
        self._link = link

    async def handle(self, context: Json, lease: Lease) -> Json:
        """Upsert or delete; the result is what `calendar_events` will remember."""
        try:
            due = CalendarContext.model_validate(context)
        except ValidationError:
            # Retryable: a newer database may speak to an older worker for the length of a deployment.
            raise Retryable("context_invalid") from None
        opener = self._openers.get(due.connection.provider)
        if opener is None:
            raise Permanent("provider_unknown")
        secret = self._keys.decrypt(due.connection.credentials, due.connection.user_id, due.connection.provider)
        known = RemoteEvent(due.mapping.external_event_id, due.mapping.etag) if due.mapping else None
        event = due.event
        calendar = opener(secret)
        try:
            if due.operation == "delete":
                await calendar.remove(event.appointment_id, known, lease)
                return {"outcome": "removed", "sequence": event.sequence}
            entry = ics.Entry(
                uid=event.uid,
                starts_at=event.starts_at,
                ends_at=event.ends_at,
                sequence=event.sequence,
                status=event.status,
                revised_at=event.revised_at,
                created_at=event.created_at,
                case_code=event.case_code,
                location=event.location,
                meeting_url=event.meeting_url,
            )
            words = render.wording(due.connection.locale, self._link)
            full = due.connection.detail_level == "full"
            remote = await calendar.put(event.appointment_id, entry, words, known, full, lease)
            return {
                "outcome": "synced",
                "external_event_id": remote.external_event_id,
                "etag": remote.etag,
                "sequence": event.sequence,
            }
        finally:
            await calendar.close()

    async def close(self) -> None:
        """Nothing is held open between jobs."""
