"""Insert of a report to committed offers, as a survivor's session sees it, at 1,000, 10,000 and 100,000 services."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import psycopg

from benchmarks.measure import Result, milliseconds, p50_p95, percentile
from benchmarks.population import LATITUDE, LONGITUDE, SPREAD, grow_to
from benchmarks.project import Project

#: Reports filed before counting, so that plans are made and pages are read.
WARM_UP = 15

_REPORT = """
insert into public.reports (
  incident_type, required_services, urgency, consent_to_share, consent_location, latitude, longitude,
  preferred_language, preferred_professional_gender
)
values (%s, '{counseling}', %s, true, true, %s, %s, 'sw', 'female')
"""


def run(project: Project, quick: bool) -> Iterator[Result]:
    """Time the insert, in the survivor's role under RLS, until its commit has returned."""
    survivor = project.sign_up()
    tails: list[float] = []
    with project.sql() as filling, project.sql() as filing:
        filing.execute("select set_config('request.jwt.claims', %s, false)", (json.dumps({"sub": survivor.id}),))
        filing.execute("set role authenticated")
        for services in (1_000, 10_000) if quick else (1_000, 10_000, 100_000):
            grow_to(filling, services)
            samples = [milliseconds(lambda: file_report(filing)) for _ in range(WARM_UP + (60 if quick else 200))]
            tails.append(percentile(samples[WARM_UP:], 0.95))
            yield from p50_p95(f"report to committed offers, {services:,} services", samples[WARM_UP:], 25.0)
    yield Result(f"growth of p95 from 1,000 to {services:,} services", tails[-1] / tails[0], "x", 2.0)


def file_report(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """One report somewhere in the region; five offers are made for it."""
    connection.execute(
        _REPORT,
        (
            random.choice(("domestic_violence", "stalking", "cyber", "physical")),
            "medium",
            LATITUDE + random.uniform(-SPREAD, SPREAD),
            LONGITUDE + random.uniform(-SPREAD, SPREAD),
        ),
        prepare=True,
    )
