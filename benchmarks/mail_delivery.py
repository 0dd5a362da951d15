"""Commit to delivered mail: a report is committed, and the offer's mail stands in the mail sink."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx

from benchmarks.measure import Result, p50_p95
from benchmarks.project import Project


def run(project: Project, quick: bool) -> Iterator[Result]:
    """Time from the return of the commit until the sink has received the mail (asked every 2 ms)."""
    professional = project.sign_up("professional")
    survivor = project.sign_up()
    samples: list[float] = []
    with project.sql() as connection, project.sql() as filing, httpx.Client(trust_env=False) as sink:
        connection.execute(
            "update public.professionals set verification_status = 'verified' where id = %s", (professional.id,)
        )
        connection.execute(
            "insert into public.support_services (professional_id, name, service_type, is_remote, verification_status)"
            " values (%s, 'Mine', 'counseling', true, 'verified')",
            (professional.id,),
        )
        filing.execute("select set_config('request.jwt.claims', %s, false)", (json.dumps({"sub": survivor.id}),))
        filing.execute("set role authenticated")
        for number in range(5 + (20 if quick else 60)):
            sink.delete(f"{project.mail_url}/messages.json").raise_for_status()
            filing.execute(
                "insert into public.reports (incident_type, required_services, consent_to_share)"
                " values ('stalking', '{counseling}', true)"
            )
            committed = time.perf_counter()
            while not sink.get(f"{project.mail_url}/messages.json").raise_for_status().json():
                if time.perf_counter() - committed > 30:
                    raise SystemExit("no mail within 30 seconds")
                time.sleep(0.002)
            if number >= 5:
                samples.append((time.perf_counter() - committed) * 1000)
    yield from p50_p95("commit to mail in the sink", samples)
