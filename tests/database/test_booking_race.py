"""Sixty-four visitors at once: whoever comes first has the time, the others a clean answer, and nobody both."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from sauti_local.stack import Stack
from tests.support.api import People, people_of
from tests.support.cases import Cases, call
from tests.support.races import deadlocks, race

VISITORS = 64
SESSION = timedelta(minutes=60)


async def book_all(stack: Stack, slug: str, starts: list[str]) -> list[httpx.Response]:
    """All requests are on their way before the first is answered."""
    async with httpx.AsyncClient(
        base_url=f"{stack.addresses.api_url}/rest/v1",
        headers={"apikey": stack.addresses.anon_key},
        limits=httpx.Limits(max_connections=VISITORS),
        timeout=60,
        trust_env=False,
    ) as client:
        return await asyncio.gather(
            *(
                client.post(
                    "/rpc/book_appointment",
                    json={
                        "booking_slug": slug,
                        "starts_at": starts[number % len(starts)],
                        "duration_minutes": 60,
                        "appointment_type": "consultation",
                        "client": {"client_name": f"V{number}", "client_email": f"v{number}@example.org"},
                    },
                )
                for number in range(VISITORS)
            )
        )


def bookable(people: People) -> tuple[Any, str]:
    """A professional who takes public bookings, and the slug."""
    professional = people.professional()
    slug = f"race-{uuid.uuid4().hex}"
    professional.send(
        "PATCH",
        "/professionals",
        params={"id": f"eq.{professional.id}"},
        json={"is_public_booking": True, "booking_slug": slug},
    )
    return professional, slug


async def test_overlapping_bookings_leave_those_that_came_first_and_clean_conflicts(stack: Stack) -> None:
    with people_of(stack.addresses) as people:
        professional, slug = bookable(people)
        today = datetime.now().astimezone().date()
        slots = people.visitor().call(
            "available_slots",
            professional_id=professional.id,
            from_date=str(today + timedelta(days=1)),
            to_date=str(today + timedelta(days=8)),
        )
        day = slots[-1]["slot_start"][:10]
        starts = [slot["slot_start"] for slot in slots if slot["slot_start"].startswith(day)]
        assert len(starts) == 15
        answers = await book_all(stack, slug, starts)
        assert Counter(answer.status_code for answer in answers).keys() <= {200, 409}
        for answer in answers:
            if answer.status_code == 409:
                assert (answer.json()["code"], answer.json()["message"]) == ("PT409", "slot_taken")
                assert set(answer.json()) == {"code", "message", "details", "hint"}
        booked = sorted(datetime.fromisoformat(row["appointment_date"]) for row in professional.rows("appointments"))
        won = {answer.json()["appointment_id"] for answer in answers if answer.status_code == 200}
        assert won == {row["appointment_id"] for row in professional.rows("appointments")}
        assert all(later - earlier >= SESSION for earlier, later in itertools.pairwise(booked))
        # No loser could have been served: each slot that was asked for is held by somebody.
        for start in map(datetime.fromisoformat, starts):
            assert any(abs(start - held) < SESSION for held in booked)
        rest = people.visitor().call("available_slots", professional_id=professional.id, from_date=day, to_date=day)
        assert rest == []


def test_bookings_of_one_survivor_with_two_professionals_cannot_overlap(committed: Cases) -> None:
    slugs = ("one", "two")
    for slug in slugs:
        committed.professional(card={"is_public_booking": True, "booking_slug": slug, "time_zone": "UTC"})
    day = committed.now().date() + timedelta(days=7 - committed.now().weekday())
    starts_at = datetime.fromisoformat(f"{day}T10:00Z")
    survivor = committed.survivor()
    connections = [committed.database.as_user(survivor.id) for _ in range(8)]
    results = race(
        committed.database,
        [
            lambda sql=sql, slug=slugs[n % 2]: call(  # type: ignore[misc]
                sql, "book_appointment", slug, starts_at, 60, "consultation", '{"client_name": "Me"}'
            )
            for n, sql in enumerate(connections)
        ],
    )
    assert (
        sorted(result if isinstance(result, str) else "booked" for result in results) == ["booked"] + ["slot_taken"] * 7
    )
    assert committed.count("public.appointments") == 1
    assert deadlocks(committed.database) == 0


def test_whatever_writes_two_live_appointments_of_one_time_are_impossible(committed: Cases) -> None:
    professional = committed.professional()
    insert = (
        "insert into public.appointments (professional_id, appointment_date, status, created_via)"
        " values (%s, '2030-01-01 10:00Z'::timestamptz + %s, %s, 'follow_up')"
    )
    sql = committed.database.as_superuser()
    sql.execute(insert, (professional.id, timedelta(), "requested"))
    for status in ("requested", "confirmed"):
        with pytest.raises(psycopg.errors.ExclusionViolation):
            sql.execute(insert, (professional.id, timedelta(minutes=59), status))
    sql.execute(insert, (professional.id, timedelta(minutes=60), "confirmed"))
    sql.execute(insert, (professional.id, timedelta(minutes=30), "cancelled"))
    with pytest.raises(psycopg.errors.ExclusionViolation):
        sql.execute("set session_replication_role = replica; update public.appointments set status = 'confirmed'")
