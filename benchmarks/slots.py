"""Free slots of 30 days, timed inside the database: of one professional, and of fifty at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from benchmarks.measure import Result, median, percentile
from benchmarks.project import Project

PROFESSIONALS = 200
APPOINTMENTS = 500
DAYS = 30
AT_ONCE = 50

_PEOPLE = """
with people as (
  select gen_random_uuid() as id from generate_series(1, %(count)s)
),
users as (
  insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
  select id, 'authenticated', 'authenticated', id || '@example.org', '{}', '{}', now(), now() from people
),
profiles as (
  insert into public.profiles (id, user_type) select id, 'professional' from people
)
insert into public.professionals (id, booking_slug, verification_status, is_public_booking, time_zone)
select id, 'bench-' || id, 'verified', true,
  (array['Africa/Nairobi', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata'])[1 + floor(random() * 4)::integer]
from people
"""

# Half hours drawn without repetition, day and night.
_APPOINTMENTS = """
insert into public.appointments (professional_id, appointment_date, duration_minutes, status, created_via)
select p.id, date_trunc('day', now()) + drawn.n * interval '30 minutes', 30, 'confirmed', 'follow_up'
from public.professionals as p
cross join lateral (
  select n
  from generate_series(0, %(days)s * 48 - 1) as n
  order by random() + 0 * length(p.booking_slug)
  limit %(count)s
) as drawn
where p.booking_slug like 'bench-%%'
"""

_ONE = "select * from public.available_slots(%(id)s, current_date, current_date + %(days)s - 1, 60)"
_MANY = "select * from private.free_slots(%(ids)s, current_date, current_date + %(days)s - 1, 60)"


def run(project: Project, quick: bool) -> Iterator[Result]:
    """Ask for another professional each time, so that nothing but the plans is warm."""
    rounds = 60 if quick else 300
    with project.sql() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(_PEOPLE, {"count": PROFESSIONALS})
        ids = [
            row["id"]
            for row in connection.execute(
                "select id from public.professionals where booking_slug like 'bench-%'"
            ).fetchall()
        ]
        for days, about in (
            (DAYS, f"{APPOINTMENTS} appointments in them"),
            (365, f"{APPOINTMENTS} appointments in a year"),
        ):
            connection.execute("delete from public.appointments")
            connection.execute(_APPOINTMENTS, {"days": days, "count": APPOINTMENTS})
            connection.execute("vacuum analyze")
            one = [_milliseconds(connection, _ONE, {"id": ids[n % len(ids)], "days": DAYS}) for n in range(rounds)][10:]
            many = [
                _milliseconds(connection, _MANY, {"ids": ids[n : n + AT_ONCE], "days": DAYS})
                for n in (start % (PROFESSIONALS - AT_ONCE) for start in range(rounds // 2))
            ][10:]
            yield Result(f"{DAYS} days of one professional, {about}, p50", median(one), "ms", 2.0)
            yield Result(f"{DAYS} days of one professional, {about}, p95", percentile(one, 0.95), "ms")
            aim = 10.0 if days > DAYS else None
            yield Result(f"{DAYS} days of {AT_ONCE} professionals, {about} each, p50", median(many), "ms", aim)


def _milliseconds(connection: psycopg.Connection[dict[str, Any]], query: str, values: dict[str, Any]) -> float:
    """What the server itself needs to plan and run the query."""
    row = connection.execute("explain (analyze, timing off, format json) " + query, values).fetchone()
    assert row is not None
    (plan,) = row["QUERY PLAN"]
    return float(plan["Planning Time"] + plan["Execution Time"])
