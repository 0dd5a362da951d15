"""The same matching done by a client over REST (fetch candidates, score, insert offers), at 10,000 services.

From the report's filing to its offers in both ways, by the same survivor through the same gateway and PostgREST. What
the client does is in rest_matcher.py.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any

import httpx

from benchmarks.measure import Result, median, milliseconds, p50_p95
from benchmarks.population import LATITUDE, LONGITUDE, SPREAD, grow_to
from benchmarks.project import Project
from benchmarks.rest_matcher import match

SERVICES = 10_000
#: Reports filed before counting: 15 for each connection of PostgREST's pool.
WARM_UP = 150
#: In blocks, so that neither way is measured in what the other has left behind: live events to be decoded, caches.
BLOCK_OF_OURS, BLOCK_OF_THEIRS = 12, 3


def run(project: Project, quick: bool) -> Iterator[Result]:
    """Time both ways in turn."""
    survivor = project.sign_up()
    with project.sql() as connection:
        grow_to(connection, SERVICES)
        # The client's way needs what no client may do: the service key, and the right to write offers.
        connection.execute("grant insert on public.matched_services to service_role")
    ours: list[float] = []
    theirs: list[float] = []
    with project.client(survivor.headers) as app, project.client(project.service_headers) as client:
        for _ in range(WARM_UP):
            _file(app, share=True)
        # As autovacuum does before long: plans made for empty tables would read full ones from end to end.
        with project.sql() as connection:
            connection.execute("analyze")
        # PostgREST has a pool of connections, and each makes its plans anew.
        for _ in range(WARM_UP):
            _file(app, share=True)
        match(client, _file(app, share=False), survivor.id)
        for _ in range(3 if quick else 8):
            ours += [milliseconds(lambda: _file(app, share=True)) for _ in range(BLOCK_OF_OURS)]
            theirs += [
                milliseconds(lambda: match(client, _file(app, share=False), survivor.id))
                for _ in range(BLOCK_OF_THEIRS)
            ]
    yield from p50_p95(f"report with offers through PostgREST, {SERVICES:,} services", ours)
    yield from p50_p95(f"client-side matching over REST, {SERVICES:,} services", theirs)
    yield Result("client-side matching against ours (p50)", median(theirs) / median(ours), "x", 50.0, at_most=False)


def _file(app: httpx.Client, *, share: bool) -> dict[str, Any]:
    report: dict[str, Any] = {
        "report_id": str(uuid.uuid4()),
        "incident_type": random.choice(("domestic_violence", "stalking", "cyber", "physical")),
        "required_services": ["counseling"],
        "consent_to_share": share,
        "consent_location": True,
        "latitude": LATITUDE + random.uniform(-SPREAD, SPREAD),
        "longitude": LONGITUDE + random.uniform(-SPREAD, SPREAD),
        "preferred_language": "sw",
        "preferred_professional_gender": "female",
    }
    app.post("/reports", json=report, headers={"Prefer": "return=minimal"}).raise_for_status()
    return report
