"""The offers page of a professional under RLS, against the same request with RLS switched off."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx

from benchmarks.matching import file_report
from benchmarks.measure import Result, median, milliseconds, p50_p95
from benchmarks.population import grow_to
from benchmarks.project import Project

OFFERS = 50
_FILL = """
insert into public.matched_services (
  report_id, service_id, professional_id, service_type, incident_type, urgency, gender, age_category, match_score,
  offered_at
)
select r.report_id, s.id, s.professional_id, 'counseling', r.incident_type, r.urgency, r.gender, r.age_category, 70,
  now() - random() * interval '30 days'
from (select * from public.reports limit %s) as r
cross join (select * from public.support_services order by id limit %s) as s
on conflict do nothing
"""


def run(project: Project, quick: bool) -> Iterator[Result]:
    """Switch RLS of the table on and off in turn, block by block, so that drift of the machine hits both alike."""
    survivor = project.sign_up()
    professional = project.sign_up("professional")
    url = (
        f"/matched_services?select=*&professional_id=eq.{professional.id}"
        "&match_status_type=eq.pending&order=offered_at.desc&limit=20"
    )
    samples: dict[bool, list[float]] = {True: [], False: []}
    with project.sql() as connection, project.sql() as filing, project.client(professional.headers) as app:
        grow_to(connection, 1_000)
        filing.execute("select set_config('request.jwt.claims', %s, false)", (json.dumps({"sub": survivor.id}),))
        filing.execute("set role authenticated")
        for _ in range(OFFERS):
            file_report(filing)
        connection.execute(
            "with mine as (insert into public.support_services (professional_id, name, service_type)"
            " values (%s, 'Mine', 'counseling') returning *)"
            " insert into public.matched_services (report_id, service_id, professional_id, service_type, incident_type,"
            " urgency, gender, match_score) select r.report_id, m.id, m.professional_id, 'counseling', r.incident_type,"
            " r.urgency, r.gender, 70 from mine as m cross join public.reports as r",
            (professional.id,),
        )
        connection.execute("set session_replication_role = replica")
        connection.execute(_FILL, (OFFERS, 1_000))
        connection.execute("vacuum analyze public.matched_services")
        for block in range(6 if quick else 20):
            for under_rls in (True, False) if block % 2 else (False, True):
                state = "enable" if under_rls else "disable"
                connection.execute(f"alter table public.matched_services {state} row level security")
                times = [milliseconds(lambda: _get(app, url)) for _ in range(40)]
                samples[under_rls] += times[10:]
        connection.execute("alter table public.matched_services enable row level security")
    yield from p50_p95("offers page under RLS", samples[True])
    yield from p50_p95("offers page without RLS", samples[False])
    yield Result("offers page, RLS on against off (p50)", median(samples[True]) / median(samples[False]), "x", 1.1)


def _get(app: httpx.Client, url: str) -> None:
    rows = app.get(url).raise_for_status().json()
    assert len(rows) == 20, f"the page has {len(rows)} offers instead of 20"
