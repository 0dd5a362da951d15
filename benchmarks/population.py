"""Professionals and services in bulk: a city region in which every service offers the kind of help that is asked for.

That is the worst case for matching at a given number of services: all of them are candidates.
"""

from __future__ import annotations

from typing import Any

import psycopg

LATITUDE, LONGITUDE = -1.2864, 36.8172
#: Half the side of the square in which the services stand, in degrees.
SPREAD = 2.0

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
),
professionals as (
  insert into public.professionals (id, booking_slug, gender, languages, verification_status, time_zone)
  select id, 'sauti-' || id,
    (array['female', 'male', 'non_binary']::public.gender_type[])[1 + floor(random() * 3)::integer],
    (array['{en}', '{sw}', '{en,sw}', '{fr}']::text[])[1 + floor(random() * 4)::integer]::text[],
    'verified', 'Africa/Nairobi'
  from people
),
waiting as (
  insert into private.waiting_professionals (professional_id, waiting_since)
  select id, now() - random() * interval '90 days' from people
)
insert into public.support_services (
  professional_id, name, service_type, incident_types, latitude, longitude, coverage_radius_km, is_remote,
  specialisations, verification_status, max_active_cases
)
select id, 'A service', 'counseling',
  case when random() < 0.4 then '{}' else array[
    (enum_range(null::public.incident_type))[1 + floor(random() * 13)::integer],
    (enum_range(null::public.incident_type))[1 + floor(random() * 13)::integer]
  ] end,
  %(latitude)s + (random() * 2 - 1) * %(spread)s, %(longitude)s + (random() * 2 - 1) * %(spread)s, 20 + random() * 180,
  random() < 0.2, case when random() < 0.1 then array['children'] else '{}'::text[] end, 'verified', 100
from people
"""

_LANES = """
select private.refresh_matching_lanes(array(select id from public.support_services))
"""


def grow_to(connection: psycopg.Connection[dict[str, Any]], services: int) -> None:
    """Bring the number of active services to `services`, with fresh statistics.

    Triggers are off while rows are loaded, as in any bulk load; the search index is built afterwards by the function
    that the triggers call.
    """
    row = connection.execute("select count(*) as present from public.support_services where is_active").fetchone()
    assert row is not None
    missing = services - row["present"]
    if missing > 0:
        connection.execute("set session_replication_role = replica")
        connection.execute(_PEOPLE, {"count": missing, "latitude": LATITUDE, "longitude": LONGITUDE, "spread": SPREAD})
        connection.execute("set session_replication_role = origin")
        connection.execute(_LANES)
    connection.execute("vacuum analyze")
