"""Commit to live event: a report is committed, and the professional's app hears of the offer over Realtime."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

from realtime import RealtimePostgresChangesListenEvent
from supabase import acreate_client

from benchmarks.measure import Result, p50_p95
from benchmarks.project import Account, Project


def run(project: Project, quick: bool) -> Iterator[Result]:
    """Time from the return of the commit to the arrival, for broadcast and for postgres_changes."""
    professional = project.sign_up("professional")
    survivor = project.sign_up()
    with project.sql() as connection:
        connection.execute(
            "update public.professionals set verification_status = 'verified' where id = %s", (professional.id,)
        )
        connection.execute(
            "insert into public.support_services (professional_id, name, service_type, is_remote, verification_status)"
            " values (%s, 'Mine', 'counseling', true, 'verified')",
            (professional.id,),
        )
    broadcast, changes = asyncio.run(_listen(project, professional, survivor, 60 if quick else 200))
    yield from p50_p95("commit to broadcast event", broadcast, 50.0)
    yield from p50_p95("commit to postgres_changes event", changes, 50.0)


async def _listen(
    project: Project, professional: Account, survivor: Account, rounds: int
) -> tuple[list[float], list[float]]:
    client = await acreate_client(project.api_url, project.anon_key)
    await client.realtime.set_auth(professional.token)
    broadcast: asyncio.Queue[float] = asyncio.Queue()
    changes: asyncio.Queue[float] = asyncio.Queue()
    joined: asyncio.Queue[str] = asyncio.Queue()

    def heard(queue: asyncio.Queue[float]) -> Any:
        return lambda _: queue.put_nowait(time.perf_counter())

    private = client.channel(f"user:{professional.id}", {"config": {"private": True}})  # type: ignore[arg-type]
    private.on_broadcast("match", heard(broadcast))
    await private.subscribe(lambda state, _: joined.put_nowait(state))
    table = client.channel("offers")
    table.on_postgres_changes(
        RealtimePostgresChangesListenEvent.Insert, heard(changes), schema="public", table="matched_services"
    )
    await table.subscribe(lambda state, _: joined.put_nowait(state))
    for _ in range(2):
        await asyncio.wait_for(joined.get(), 20)
    # The subscription to changes is confirmed by the server after the join.
    await asyncio.sleep(1)

    def commit() -> float:
        filing.execute(
            "insert into public.reports (incident_type, required_services, consent_to_share)"
            " values ('stalking', '{counseling}', true)"
        )
        return time.perf_counter()

    samples: tuple[list[float], list[float]] = ([], [])
    with project.sql() as filing:
        filing.execute("select set_config('request.jwt.claims', %s, false)", (json.dumps({"sub": survivor.id}),))
        filing.execute("set role authenticated")
        for number in range(rounds + 10):
            committed = await asyncio.to_thread(commit)
            for queue, times in zip((broadcast, changes), samples, strict=True):
                arrived = await asyncio.wait_for(queue.get(), 10)
                if number >= 10:
                    times.append((arrived - committed) * 1000)
    await client.realtime.close()
    return samples
