"""The same matching done by a client over REST (fetch candidates, score, insert offers), at 10,000 services.

An honest client: it asks for the verified, active services of the kind in pages of 1,000 (what a hosted project gives
at most), with the professional embedded, only the columns it needs, over one kept connection; it fetches open cases
in one request, scores by the rules that need no further request, and inserts the offers in one. It leaves out
availability, boosts and blocks, and a crash between its requests loses the case; both are in its favour here.
"""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx

from benchmarks.measure import Result, median, milliseconds, p50_p95
from benchmarks.population import LATITUDE, LONGITUDE, SPREAD, grow_to
from benchmarks.project import Project

SERVICES = 10_000
PAGE = 1_000
OFFERS = 5
#: Reports filed before counting: 15 for each connection of PostgREST's pool.
WARM_UP = 150
_COLUMNS = (
    "id,professional_id,incident_types,latitude,longitude,coverage_radius_km,is_remote,max_active_cases,languages,"
    "professionals!inner(gender,languages,verification_status,out_of_office_until)"
)


def run(project: Project, quick: bool) -> Iterator[Result]:
    """Time both ways in turn, through the same gateway and PostgREST."""
    survivor = project.sign_up()
    with project.sql() as connection:
        grow_to(connection, SERVICES)
        # The client's way needs what no client may do: the service key, and the right to write offers.
        connection.execute("grant insert on public.matched_services to service_role")
    ours: list[float] = []
    theirs: list[float] = []
    with project.client(survivor.headers) as app, project.client(project.service_headers) as client:
        # PostgREST has a pool of connections, and each makes its plans anew.
        for _ in range(WARM_UP):
            _file(app, share=True)
        for round_number in range(3 + (5 if quick else 15)):
            file_ms = milliseconds(lambda: _file(app, share=True))
            report = _file(app, share=False)
            match_ms = milliseconds(partial(_match, client, report))
            if round_number >= 3:
                ours.append(file_ms)
                theirs.append(match_ms)
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


def _match(client: httpx.Client, report: dict[str, Any]) -> None:
    candidates: list[dict[str, Any]] = []
    while True:
        page = (
            client.get(
                "/support_services",
                params={
                    "select": _COLUMNS,
                    "service_type": "eq.counseling",
                    "is_active": "eq.true",
                    "verification_status": "eq.verified",
                    "professionals.verification_status": "eq.verified",
                    "order": "id",
                    "limit": PAGE,
                    "offset": len(candidates),
                },
            )
            .raise_for_status()
            .json()
        )
        candidates += page
        if len(page) < PAGE:
            break
    open_cases: dict[str, int] = {}
    accepted = (
        client.get(
            "/matched_services",
            params={"select": "service_id", "match_status_type": "eq.accepted", "professional_completed_at": "is.null"},
        )
        .raise_for_status()
        .json()
    )
    for row in accepted:
        open_cases[row["service_id"]] = open_cases.get(row["service_id"], 0) + 1
    scored = sorted(
        ((_score(service, report, open_cases.get(service["id"], 0)), service["id"], service) for service in candidates),
        reverse=True,
    )
    client.post(
        "/matched_services",
        json=[
            {
                "report_id": report["report_id"],
                "service_id": service["id"],
                "professional_id": service["professional_id"],
                "service_type": "counseling",
                "incident_type": report["incident_type"],
                "urgency": "medium",
                "gender": "prefer_not_to_say",
                "match_score": round(score / 5) * 5,
            }
            for score, _, service in scored[:OFFERS]
        ],
        headers={"Prefer": "return=minimal"},
    ).raise_for_status()


def _score(service: dict[str, Any], report: dict[str, Any], open_cases: int) -> float:
    """The parts of the score that the fetched columns allow; 0 for no candidate."""
    incidents = service["incident_types"]
    if (incidents and report["incident_type"] not in incidents) or open_cases >= service["max_active_cases"]:
        return 0.0
    kilometres = _kilometres(service["latitude"], service["longitude"], report["latitude"], report["longitude"])
    if kilometres > service["coverage_radius_km"] and not service["is_remote"]:
        return 0.0
    professional = service["professionals"]
    return (
        (25.0 if incidents else 12.5)
        + 20.0 * max(math.pow(0.5, kilometres / 20), 0.4 if service["is_remote"] else 0.0)
        + (10.0 if report["preferred_language"] in professional["languages"] + service["languages"] else 0.0)
        + (10.0 if report["preferred_professional_gender"] == professional["gender"] else 0.0)
        + 5.0 * (1 - open_cases / float(service["max_active_cases"]))
    )


def _kilometres(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great-circle distance (haversine)."""
    phi, other_phi = math.radians(latitude), math.radians(other_latitude)
    half = (
        math.sin((other_phi - phi) / 2) ** 2
        + math.cos(phi) * math.cos(other_phi) * math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    )
    return 2 * 6371.0088 * math.asin(math.sqrt(half))
