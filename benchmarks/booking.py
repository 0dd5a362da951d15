"""Sixty-four visitors book overlapping slots of one professional at the same moment, through the whole API."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import aiohttp

from benchmarks.measure import Result, percentile
from benchmarks.project import Project

VISITORS = 64


def run(project: Project, quick: bool) -> Iterator[Result]:
    """A working day in each round: slots every half hour, sessions of an hour, so that neighbours clash."""
    rounds = 5 if quick else 20
    professional = project.sign_up("professional")
    with project.sql() as connection:
        connection.execute(
            "update public.professionals set verification_status = 'verified', is_public_booking = true,"
            " booking_slug = 'bench' where id = %s",
            (professional.id,),
        )
        connection.execute(
            "update private.booking_settings set professional_hourly = 100000, requester_hourly = 100000,"
            " mail_daily = 100000"
        )
    with project.client({"apikey": project.anon_key}) as visitor:
        today = datetime.now().astimezone().date()
        answer = visitor.post(
            "/rpc/available_slots",
            json={
                "professional_id": professional.id,
                "from_date": str(today + timedelta(days=1)),
                "to_date": str(today + timedelta(days=60)),
            },
        ).raise_for_status()
    days: dict[str, list[str]] = {}
    for slot in answer.json():
        days.setdefault(slot["slot_start"][:10], []).append(slot["slot_start"])
    seconds, statuses, rushes = asyncio.run(_rushes(project, list(days.values())[: rounds + 1]))
    assert set(statuses) <= {200, 409}, f"unexpected answers: {statuses}"
    count = f"{VISITORS} concurrent bookings, n={len(seconds)}"
    yield Result(f"{count}, p50", percentile(seconds, 0.5) * 1000, "ms")
    yield Result(f"{count}, p99", percentile(seconds, 0.99) * 1000, "ms", 250.0)
    yield Result(f"{count}, accepted in a round", statuses[200] / rushes, "bookings")


async def _rushes(project: Project, days: list[list[str]]) -> tuple[list[float], Counter[int], int]:
    """All visitors at once on one day after the other; seconds of each booking, how often each status came, rushes.

    The first rush is not counted: the server's own connections plan their statements then. The visitors share a client
    that is light and keeps its connections, or its own work would be most of what is measured.
    """
    seconds: list[float] = []
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession(
        headers={"apikey": project.anon_key},
        connector=aiohttp.TCPConnector(limit=VISITORS),
        timeout=aiohttp.ClientTimeout(total=60),
    ) as client:
        for number, starts in enumerate(days):
            answers = await asyncio.gather(*(_book(client, project, starts, visitor) for visitor in range(VISITORS)))
            if number > 0:
                seconds += [duration for duration, _ in answers]
                statuses.update(status for _, status in answers)
    return seconds, statuses, len(days) - 1


async def _book(client: aiohttp.ClientSession, project: Project, starts: list[str], visitor: int) -> tuple[float, int]:
    begun = time.perf_counter()
    async with client.post(
        f"{project.api_url}/rest/v1/rpc/book_appointment",
        json={
            "booking_slug": "bench",
            "starts_at": starts[visitor % len(starts)],
            "duration_minutes": 60,
            "appointment_type": "consultation",
            "client": {"client_name": f"Visitor {visitor}", "client_email": f"v{visitor}@example.org"},
        },
    ) as answer:
        await answer.read()
        return time.perf_counter() - begun, answer.status
