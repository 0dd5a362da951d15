"""The circuit breaker as calendars meet it: a CalDAV host that is away is left alone, the others are served."""

import asyncio
import uuid
from typing import Any

from sauti_local.calendar import PASSWORD, CalendarServer
from sauti_local.ports import free_port
from sauti_sync.calendars.caldav import CalDavCalendar
from sauti_sync.handlers.calendar_event import CalendarEventHandler
from sauti_sync.handlers.connection import Calendars
from sauti_sync.worker import Options, Worker
from tests.sync.memory_queue import MemoryQueue
from tests.sync.shelves import KEYS
from tests.sync.waiting import until

LINK = "https://app.example"


def due(url: str) -> dict[str, Any]:
    """The context of an appointment that has to stand in the calendar at this address."""
    user, appointment_id = str(uuid.uuid4()), str(uuid.uuid4())
    secret = {"url": f"{url}/{user}/sessions/", "username": user, "password": PASSWORD}
    moment = "2026-12-01T09:00:00+00:00"
    return {
        "operation": "upsert",
        "connection": {
            "id": str(uuid.uuid4()), "user_id": user, "provider": "caldav", "calendar_id": secret["url"],
            "credentials": KEYS.encrypt(secret, user, "caldav"),
        },
        "event": {
            "appointment_id": appointment_id, "uid": f"{appointment_id}@sauti", "starts_at": moment,
            "ends_at": "2026-12-01T10:00:00+00:00", "sequence": 0, "status": "confirmed", "revised_at": moment,
            "created_at": moment,
        },
    }  # fmt: skip


async def test_a_host_that_is_away_is_left_alone_and_its_jobs_lose_nothing(radicale: CalendarServer) -> None:
    queue, nobody = MemoryQueue(), f"http://127.0.0.1:{free_port()}"
    away = [queue.add("calendar_event", 12, **due(nobody)) for _ in range(30)]
    there = [queue.add("calendar_event", 12, **due(radicale.url)) for _ in range(3)]
    calendars = Calendars(KEYS, {"caldav": CalDavCalendar.opener(allow_private=True)})
    worker = Worker(
        queue,
        {"calendar_event": CalendarEventHandler(calendars, LINK)},
        Options(worker_id="w", poll_seconds=0.05, concurrency=1, lease_seconds=30, provider_rates={}),
    )
    task = asyncio.create_task(worker.run())
    try:
        await until(lambda: all(queue.rows[job].last_error for job in away), 20)
        await until(lambda: all(queue.rows[job].state == "done" for job in there), 20)
    finally:
        worker.stop()
        await asyncio.wait_for(task, 20)
    errors = [queue.rows[job].last_error for job in away]
    asked = errors.count("calendar_unavailable")
    # Five tries close the lane of the host; later ones are single trials.
    assert 5 <= asked <= 8
    assert errors.count("provider_paused") == len(away) - asked
