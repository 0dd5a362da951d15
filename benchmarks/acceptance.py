"""Acceptance (``accept_match``) against a trivial insert, both as RPCs through the same gateway and PostgREST."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from benchmarks.measure import Result, median, milliseconds, p50_p95
from benchmarks.project import Project

_TRIVIAL = """
create table public.benchmark_rows (id uuid primary key default gen_random_uuid(), user_id uuid not null, body text);
create function public.benchmark_insert(body text) returns public.benchmark_rows
language sql volatile security definer set search_path = '' as $$
  insert into public.benchmark_rows (user_id, body) values (auth.uid(), body) returning *;
$$;
grant execute on function public.benchmark_insert(text) to authenticated;
notify pgrst, 'reload schema';
"""


def run(project: Project, quick: bool) -> Iterator[Result]:
    """Accept one offer after the other, an hour apart, a trivial insert in between."""
    rounds = 60 if quick else 200
    professional = project.sign_up("professional")
    survivor = project.sign_up()
    with project.sql() as connection:
        connection.execute(_TRIVIAL)
        connection.execute(
            "update public.professionals set verification_status = 'verified' where id = %s", (professional.id,)
        )
        connection.execute(
            "insert into public.support_services (professional_id, name, service_type, is_remote, max_active_cases,"
            " verification_status) values (%s, 'Mine', 'counseling', true, 100, 'verified')",
            (professional.id,),
        )
        with project.client(survivor.headers) as app:
            for _ in range(rounds + 10):
                app.post(
                    "/reports",
                    json={
                        "incident_type": "stalking",
                        "required_services": ["counseling"],
                        "consent_to_share": True,
                    },
                ).raise_for_status()
                connection.execute(
                    "update public.matched_services set match_status_type = 'pending'"
                    " where match_status_type = 'pending'"
                )
        # As autovacuum does before long: plans made for empty tables would read full ones from end to end.
        connection.execute("analyze")
        offers = [
            str(row["id"])
            for row in connection.execute(
                "select id from public.matched_services where professional_id = %s order by offered_at",
                (professional.id,),
            ).fetchall()
        ]
        accepting: list[float] = []
        inserting: list[float] = []
        with project.client(professional.headers) as app:
            _wait_for_schema(app)
            for number, offer in enumerate(offers):
                year, month, day, hour = (
                    2027 + number // 2000,
                    1 + number // 200 % 12,
                    1 + number // 10 % 20,
                    8 + number % 10,
                )
                starts_at = f"{year}-{month:02}-{day:02}T{hour:02}:00:00Z"
                inserting.append(milliseconds(lambda: _call(app, "benchmark_insert", {"body": "a row"})))
                arguments = {"match_id": offer, "mode": "schedule_later", "starts_at": starts_at}
                accepting.append(milliseconds(lambda arguments=arguments: _call(app, "accept_match", arguments)))  # type: ignore[misc]
        del accepting[:10], inserting[:10]
    yield from p50_p95("accept_match", accepting)
    yield from p50_p95("trivial insert RPC", inserting)
    yield Result("acceptance against a trivial insert (p50)", median(accepting) / median(inserting), "x", 2.0)


def _call(app: httpx.Client, function: str, arguments: dict[str, str]) -> None:
    app.post(f"/rpc/{function}", json=arguments).raise_for_status()


def _wait_for_schema(app: httpx.Client) -> None:
    """PostgREST reads the schema again when told so; wait until it knows the trivial function."""
    deadline = time.monotonic() + 10
    while app.post("/rpc/benchmark_insert", json={"body": "first"}).status_code == 404:
        if time.monotonic() > deadline:
            raise SystemExit("PostgREST did not take up the benchmark's function")
        time.sleep(0.05)
