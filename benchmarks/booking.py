"""Sixty-four visitors book overlapping slots of one professional at the same moment, through the whole API."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx

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
    seconds: list[float] = []
    statuses: Counter[int] = Counter()
    # The first rush is not counted: the server's own connections plan their statements then.
    first, *rushes = list(days.values())[: rounds + 1]
    asyncio.run(_rush(project, first))
    for starts in rushes:
        answers = asyncio.run(_rush(project, starts))
        seconds += [duration for duration, _ in answers]
        statuses.update(status for _, status in answers)
    assert set(statuses) <= {200, 409}, f"unexpected answers: {statuses}"
    count = f"{VISITORS} concurrent bookings, n={len(seconds)}"
    yield Result(f"{count}, p50", percentile(seconds, 0.5) * 1000, "ms")
    yield Result(f"{count}, p99", percentile(seconds, 0.99) * 1000, "ms", 250.0)
    yield Result(f"{count}, accepted in a round", statuses[200] / len(rushes), "bookings")


async def _rush(project: Project, starts: list[str]) -> list[tuple[float, int]]:
    """All visitors at once, over connections that are open already; seconds and status of each."""
    limits = httpx.Limits(max_connections=VISITORS, max_keepalive_connections=VISITORS)
    async with httpx.AsyncClient(
        base_url=f"{project.api_url}/rest/v1",
        headers={"apikey": project.anon_key},
        limits=limits,
        timeout=60,
        trust_env=False,
    ) as client:
        await asyncio.gather(*(client.get("/professionals?select=id&limit=1") for _ in range(VISITORS)))

        async def book(number: int) -> tuple[float, int]:
            begun = time.perf_counter()
            answer = await client.post(
                "/rpc/book_appointment",
                json={
                    "booking_slug": "bench",
                    "starts_at": starts[number % len(starts)],
                    "duration_minutes": 60,
                    "appointment_type": "consultation",
                    "client": {"client_name": f"Visitor {number}", "client_email": f"v{number}@example.org"},
                },
            )
            return time.perf_counter() - begun, answer.status_code

        return await asyncio.gather(*(book(number) for number in range(VISITORS)))
