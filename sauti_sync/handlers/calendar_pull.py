"""Jobs of kind `calendar_pull`: when a professional's calendar is busy, and what became of our own events in it."""

from __future__ import annotations

from pydantic import AwareDatetime, Field, ValidationError

from sauti_sync.calendars.busy import Change, Window, merged, source_of
from sauti_sync.calendars.channels import Channel, Channels
from sauti_sync.calendars.records import Records
from sauti_sync.errors import Retryable
from sauti_sync.events import Json, Lease
from sauti_sync.handlers.connection import Calendars, Connection, Part


class Pull(Part):
    """`pull` of the context."""

    as_of: AwareDatetime
    starts_at: AwareDatetime = Field(alias="from")
    ends_at: AwareDatetime = Field(alias="until")
    cursor: str | None = Field(default=None, repr=False)


class OwnEvent(Part):
    """One of `own` of the context: an event that we wrote."""

    appointment_id: str
    external_event_id: str


class KnownChannel(Part):
    """One of `channels` of the context."""

    channel_id: str
    resource_id: str | None = None
    is_current: bool = False


class PullContext(Part):
    """What `job_context` says about a reading that is due."""

    connection: Connection
    pull: Pull
    own: tuple[OwnEvent, ...] = ()
    channels: tuple[KnownChannel, ...] = ()


class CalendarPullHandler:
    """Reads one calendar and stores the whole reading at once."""

    def __init__(self, calendars: Calendars, records: Records, channels: Channels) -> None:
        self._calendars = calendars
        self._records = records
        self._channels = channels

    async def handle(self, context: Json, lease: Lease) -> Json:
        """Read and store; the result counts changes."""
        try:
            due = PullContext.model_validate(context)
        except ValidationError:
            # Retryable: a newer database may speak to an older worker for the length of a deployment.
            raise Retryable("context_invalid") from None
        connection = due.connection
        window = Window(due.pull.starts_at, due.pull.ends_at, connection.time_zone)
        known = [Channel(one.channel_id, one.resource_id, one.is_current) for one in due.channels]
        calendar = self._calendars.open(connection)
        try:
            # Before it is read: a change is either in this reading or told of after it.
            await self._channels.keep(calendar, connection.provider, known, lease)
            pulled = await calendar.pull(window, due.pull.cursor)
        finally:
            await calendar.close()
        ours = {event.external_event_id: event.appointment_id for event in due.own}
        changes, own = [], []
        for change in pulled.changes:
            if (appointment_id := ours.get(change.external_event_id)) is not None:
                own.append(_own(appointment_id, change))
            else:
                source = source_of(connection.id or "", change.external_event_id)
                changes.append({"source": source, "spans": [] if change.is_own else _times(change, window)})
        if pulled.is_full:
            # What was known and is not there is gone. Only what was known: nobody has told this reading the name of an
            # event whose settlement was still under way when it began.
            seen = {entry["appointment_id"] for entry in own}
            own += [_absent(event.appointment_id) for event in due.own if event.appointment_id not in seen]
        lease.check()
        await self._records.store_busy(
            lease.job,
            {
                "as_of": due.pull.as_of.isoformat(),
                "from": due.pull.starts_at.isoformat(),
                "until": due.pull.ends_at.isoformat(),
                "cursor": pulled.cursor,
                "is_full": pulled.is_full,
                "changes": changes,
                "own": own,
            },
        )
        return {"outcome": "pulled", "is_full": pulled.is_full, "changes": len(changes)}

    async def close(self) -> None:
        """Nothing is held open between jobs."""


def _times(change: Change, window: Window) -> list[list[str]]:
    clipped = (window.clip(span) for span in change.spans)
    return [[span.starts_at.isoformat(), span.ends_at.isoformat()] for span in merged(span for span in clipped if span)]


def _absent(appointment_id: str) -> Json:
    return {"appointment_id": appointment_id, "gone": True, "absent": True}


def _own(appointment_id: str, change: Change) -> Json:
    span = change.spans[0] if change.spans else None
    return {
        "appointment_id": appointment_id,
        "gone": change.is_gone,
        "starts_at": span.starts_at.isoformat() if span else None,
        "ends_at": span.ends_at.isoformat() if span else None,
    }
