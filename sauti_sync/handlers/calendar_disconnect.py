"""Jobs of kind `calendar_disconnect`: what we wrote goes out of a calendar, and the access goes back."""

from __future__ import annotations

from pydantic import Field, ValidationError

from sauti_sync.calendars.interface import RemoteEvent
from sauti_sync.errors import Permanent, Retryable
from sauti_sync.events import Json, Lease
from sauti_sync.handlers.connection import Calendars, Connection, Part


class Leftover(Part):
    """One of `events` of the context."""

    appointment_id: str = Field(pattern=r"^[0-9A-Za-z-]{1,64}$")
    external_event_id: str | None = None


class OpenChannel(Part):
    """One of `channels` of the context."""

    channel_id: str
    resource_id: str


class DisconnectContext(Part):
    """What `job_context` says about a calendar that was disconnected."""

    connection: Connection
    events: tuple[Leftover, ...] = ()
    channels: tuple[OpenChannel, ...] = ()


class CalendarDisconnectHandler:
    """Cleans up after a connection. Its owner may connect again meanwhile: the lease is then lost with the job."""

    def __init__(self, calendars: Calendars) -> None:
        self._calendars = calendars

    async def handle(self, context: Json, lease: Lease) -> Json:
        """Remove and revoke; a calendar that lets us in no more has nothing left to clean."""
        try:
            due = DisconnectContext.model_validate(context)
        except ValidationError:
            raise Retryable("context_invalid") from None
        calendar = self._calendars.open(due.connection)
        try:
            for event in due.events:
                await lease.confirm()
                known = RemoteEvent(event.external_event_id, None) if event.external_event_id else None
                await calendar.remove(event.appointment_id, known, lease)
            for channel in due.channels:
                await lease.confirm()
                await calendar.unwatch(channel.channel_id, channel.resource_id)
            await lease.confirm()
            await calendar.revoke()
        except Permanent as error:
            if error.symbol not in ("needs_reauth", "calendar_not_found"):
                raise
            return {"outcome": "unreachable"}
        finally:
            await calendar.close()
        return {"outcome": "disconnected", "removed": len(due.events)}

    async def close(self) -> None:
        """Nothing is held open between jobs."""
