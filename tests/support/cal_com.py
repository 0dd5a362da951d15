"""Events in the shapes that Cal.com sends, traps included."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Event = dict[str, Any]

#: Nothing of these may be found outside of what the professional reads.
CLIENT_NAME = "Zawadi Mwangi"
CLIENT_EMAIL = "zawadi@example.org"
#: The moment at which the first event of a story was made.
BEGINNING = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def a_tuesday(now: datetime | None = None) -> datetime:
    """Nine o'clock UTC on a Tuesday some three months from `now`, or from this moment."""
    day = (now or datetime.now(UTC)) + timedelta(days=100)
    return (day + timedelta(days=(1 - day.weekday()) % 7)).replace(hour=9, minute=0, second=0, microsecond=0)


def stamp(moment: datetime, form: str = ".000Z") -> str:
    """A time as Cal.com writes it: with ``Z``, ``.000Z`` or ``+00:00`` at the end."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") + form


@dataclass
class Story:
    """The events of one professional's bookings; each is made a minute after the one before."""

    #: Start of the first booking.
    day: datetime
    made: int = field(default=0)

    def at(self, hours: float) -> datetime:
        """So many hours after the first booking's start."""
        return self.day + timedelta(hours=hours)

    def created_at(self) -> str:
        self.made += 1
        return stamp(BEGINNING + timedelta(minutes=self.made))

    def booking(
        self,
        trigger: str,
        uid: str,
        hours: float = 0,
        minutes: int = 60,
        *,
        status: str = "ACCEPTED",
        form: str = "Z",
        **more: Any,
    ) -> Event:
        """An event about a booking; `more` goes into its payload."""
        starts_at = self.at(hours)
        payload = {
            "bookingId": 4711,
            "uid": uid,
            "iCalUID": f"{uid}@Cal.com",
            "iCalSequence": 1,
            "type": "intro-call",
            "title": f"Intro call between Dr Amina and {CLIENT_NAME}",
            "startTime": stamp(starts_at, form),
            "endTime": stamp(starts_at + timedelta(minutes=minutes), form),
            "length": minutes,
            "status": status,
            "requiresConfirmation": status == "PENDING",
            "organizer": {
                "name": "Dr Amina", "email": "amina@example.org", "username": "amina", "timeZone": "Africa/Nairobi",
                "language": {"locale": "en"},
            },
            "attendees": [
                {
                    "name": CLIENT_NAME, "email": CLIENT_EMAIL, "timeZone": "Africa/Nairobi",
                    "language": {"locale": "sw"},
                    "phoneNumber": "+254 700 000000",
                }
            ],
            "responses": {"name": {"label": "your_name", "value": CLIENT_NAME}},
            "location": "integrations:daily",
            "metadata": {"videoCallUrl": f"https://app.cal.com/video/{uid}"},
        }  # fmt: skip
        return {"triggerEvent": trigger, "createdAt": self.created_at(), "payload": payload | more}

    def created(self, uid: str, hours: float = 0, minutes: int = 60, **more: Any) -> Event:
        return self.booking("BOOKING_CREATED", uid, hours, minutes, **more)

    def requested(self, uid: str, hours: float = 0, **more: Any) -> Event:
        return self.booking("BOOKING_REQUESTED", uid, hours, status="PENDING", **more)

    def rescheduled(self, uid: str, old: str, hours: float, old_hours: float = 0, **more: Any) -> Event:
        """A move: a new uid. The reschedule times are those of the booking that is replaced."""
        before = {
            "rescheduleId": 4710,
            "rescheduleUid": old,
            "rescheduleStartTime": stamp(self.at(old_hours), "Z"),
            "rescheduleEndTime": stamp(self.at(old_hours + 1), "Z"),
        }
        return self.booking("BOOKING_RESCHEDULED", uid, hours, **(before | more))

    def cancelled(self, uid: str, hours: float = 0, **more: Any) -> Event:
        about = {"cancellationReason": "Travelling", "cancelledBy": CLIENT_EMAIL}
        return self.booking("BOOKING_CANCELLED", uid, hours, status="CANCELLED", **(about | more))

    def rejected(self, uid: str, hours: float = 0) -> Event:
        return self.booking("BOOKING_REJECTED", uid, hours, status="REJECTED", rejectionReason="Fully booked")

    def paid(self, uid: str, hours: float = 0) -> Event:
        return self.booking("BOOKING_PAID", uid, hours, paymentId=7, paymentData={"amount": 2000})

    def no_show(self, uid: str, absent: bool = True) -> Event:
        payload = {
            "message": f"{CLIENT_EMAIL} marked as {'no-show' if absent else 'present'}",
            "attendees": [{"email": CLIENT_EMAIL, "noShow": absent}],
            "bookingUid": uid,
            "bookingId": 4711,
        }
        return {"triggerEvent": "BOOKING_NO_SHOW_UPDATED", "createdAt": self.created_at(), "payload": payload}

    def meeting(self, trigger: str, uid: str, hours: float = 0) -> Event:
        """Flat: no payload, and a createdAt that is the booking's own."""
        flat: Event = self.booking(trigger, uid, hours)["payload"]
        return flat | {
            "triggerEvent": trigger,
            "createdAt": stamp(BEGINNING - timedelta(days=30)),
            "status": "accepted",
        }


#: What custom payload templates make of an event.
CUSTOM_TEMPLATES: dict[str, Any] = {
    "other words": {"event": "new booking", "name": CLIENT_NAME, "when": "Monday"},
    "a text": "A booking was made",
    "a list": [{"triggerEvent": "BOOKING_CREATED"}],
    "null": None,
    "no payload": {"triggerEvent": "BOOKING_CREATED", "createdAt": stamp(BEGINNING)},
    "flat": {
        "triggerEvent": "BOOKING_CREATED", "createdAt": stamp(BEGINNING), "uid": "x", "startTime": stamp(BEGINNING),
    },
    "placeholders": {
        "triggerEvent": "{{triggerEvent}}", "createdAt": "{{createdAt}}", "payload": {"uid": "{{uid}}"},
    },
    "words for times": {
        "triggerEvent": "BOOKING_CREATED",
        "createdAt": stamp(BEGINNING),
        "payload": {"uid": "x", "startTime": "tomorrow", "endTime": "infinity"},
    },
    "times without an offset": {
        "triggerEvent": "BOOKING_CREATED",
        "createdAt": stamp(BEGINNING),
        "payload": {"uid": "x", "startTime": "2026-12-01T09:00:00", "endTime": "2026-12-01T10:00:00"},
    },
    "no uid": {
        "triggerEvent": "BOOKING_CANCELLED", "createdAt": stamp(BEGINNING), "payload": {"startTime": stamp(BEGINNING)},
    },
    "no time of making": {"triggerEvent": "BOOKING_CANCELLED", "payload": {"uid": "x"}},
    "ends before it starts": {
        "triggerEvent": "BOOKING_CREATED",
        "createdAt": stamp(BEGINNING),
        "payload": {"uid": "x", "startTime": stamp(BEGINNING), "endTime": stamp(BEGINNING - timedelta(hours=1))},
    },
}  # fmt: skip


def body_of(event: Any) -> bytes:
    """The raw body of a delivery."""
    return json.dumps(event, separators=(",", ":")).encode()


def hash_of(event: Any) -> str:
    """What the webhook gives the database as `body_hash`."""
    return hashlib.sha256(body_of(event)).hexdigest()


def sign(body: bytes, secret: str) -> str:
    """``X-Cal-Signature-256``."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def uids(events: Iterable[Event]) -> list[str]:
    """For messages of failed tests: trigger and uid of each event."""
    return [f"{event['triggerEvent']} {event.get('payload', {}).get('uid', '')}" for event in events]
