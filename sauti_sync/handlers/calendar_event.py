"""Jobs of kind `calendar_event`: one appointment in one person's calendar."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from sauti_sync import ics
from sauti_sync.calendars.interface import RemoteEvent
from sauti_sync.errors import Retryable
from sauti_sync.events import Json, Lease
from sauti_sync.handlers.connection import Calendars, Connection, Part
from sauti_sync.messages import render


class CalendarEvent(Part):
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


class Mapped(Part):
    """`mapping` of the context: the event as it was last synced."""

    external_event_id: str
    etag: str | None = None
    is_final: bool = False


class CalendarContext(Part):
    """What `job_context` says about a calendar event that is due."""

    operation: Literal["upsert", "delete"]
    connection: Connection
    event: CalendarEvent
    mapping: Mapped | None = None


class CalendarEventHandler:
    """Brings one calendar in line with the database."""

    def __init__(self, calendars: Calendars, link: str) -> None:
        self._calendars = calendars
        self._link = link

    async def handle(self, context: Json, lease: Lease) -> Json:
        """Upsert or delete; the result is what `calendar_events` will remember."""
        try:
            due = CalendarContext.model_validate(context)
        except ValidationError:
            # Retryable: a newer database may speak to an older worker for the length of a deployment.
            raise Retryable("context_invalid") from None
        mapping, event = due.mapping, due.event
        known = RemoteEvent(mapping.external_event_id, mapping.etag, is_final=mapping.is_final) if mapping else None
        calendar = self._calendars.open(due.connection)
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
                time_zone=due.connection.time_zone,
            )
            words = render.wording(due.connection.locale, self._link)
            full = due.connection.detail_level == "full"
            remote = await calendar.put(event.appointment_id, entry, words, known, full, lease)
            if remote is None:
                return {"outcome": "dismissed", "sequence": event.sequence}
            return {
                "outcome": "synced",
                "external_event_id": remote.external_event_id,
                "etag": remote.etag,
                "sequence": event.sequence,
                "recreated": remote.recreated,
            }
        finally:
            await calendar.close()

    async def close(self) -> None:
        """Nothing is held open between jobs."""
