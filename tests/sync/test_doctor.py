"""`sauti-sync doctor`: finds what is broken, says what to do, and prints no secret."""

import json
from typing import Any

import psycopg
import pytest

from sauti_sync.commands import doctor
from sauti_sync.config import ProjectSettings
from sauti_sync.health.database import judge_migrations
from sauti_sync.health.finding import State
from sauti_sync.outbox import DataApiQueue
from tests.sync.stage import Stage
from tests.sync.waiting import until


async def examine(stage: Stage, *options: str, **changes: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    process = stage.start_worker("doctor", "--json", *options, **changes)
    status = await process.ended(40)
    secrets = [stage.stack.addresses.service_role_key, stage.stack.environment["SAUTI_TOKEN_KEYS"]]
    assert not any(secret in process.log() for secret in secrets)
    assert changes.get("SAUTI_DB_URL", "no address") not in process.log()
    return status, {finding["what"]: finding for finding in json.loads(process.log())}, process.log()


async def test_a_whole_project_is_found_whole(stage: Stage) -> None:
    worker = stage.start_worker()
    await until(lambda: worker.lines("doorbell_up"), 15, what=worker.log())
    addresses = stage.stack.addresses
    status, found, text = await examine(
        stage, SAUTI_DB_URL=addresses.db_url, SAUTI_PUSH_URL=f"{addresses.api_url}/functions/v1"
    )
    assert status == 0, text
    whole = {name for name, finding in found.items() if finding["state"] == "ok"}
    assert whole >= {
        "environment", "token keys", "mail", "data api", "functions", "auth", "realtime doorbell", "waiting jobs",
        "worker", "migrations", "extensions", "row level security", "live changes", "push",
    }  # fmt: skip
    assert all(finding["advice"] for finding in found.values() if finding["state"] != "ok")


@pytest.mark.parametrize(
    ("changes", "what", "advice"),
    [
        ({"SUPABASE_SERVICE_ROLE_KEY": "canary"}, "data api", "SUPABASE_SERVICE_ROLE_KEY"),
        ({"SUPABASE_URL": "http://127.0.0.1:9"}, "data api", "SUPABASE_URL"),
        ({"SAUTI_SMTP_URL": "smtp://127.0.0.1:9"}, "mail", "docs/operations.md"),
        ({"SAUTI_PUSH_URL": "http://127.0.0.1:9/canary"}, "push", "SAUTI_PUSH_URL"),
        ({"SAUTI_TOKEN_KEYS": "canary"}, "environment", "Correct"),
        ({"SAUTI_DB_URL": "postgresql://127.0.0.1:9/canary"}, "database", "SAUTI_DB_URL"),
        ({"SAUTI_GOOGLE_CLIENT_ID": "canary"}, "google calendars", "SAUTI_GOOGLE_CLIENT_SECRET"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_what_is_broken_is_named_with_what_to_do(
    stage: Stage, changes: dict[str, str], what: str, advice: str
) -> None:
    status, found, text = await examine(stage, "--no-probe", **changes)
    assert status == 1
    assert found[what]["state"] == "broken", text
    assert advice in found[what]["advice"]
    assert "canary" not in text


async def test_the_anon_key_is_told_from_the_service_key(stage: Stage) -> None:
    _, found, _ = await examine(stage, "--no-probe", SUPABASE_SERVICE_ROLE_KEY=stage.stack.addresses.anon_key)
    assert found["data api"]["state"] == "broken"


async def test_a_missing_worker_is_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PROBE_SECONDS", 0.3)
    queue = DataApiQueue(
        ProjectSettings(
            supabase_url=stage.stack.addresses.api_url, supabase_service_role_key=stage.stack.addresses.service_role_key
        )
    )
    finding = await doctor._probe(queue)
    assert (finding.what, finding.state) == ("worker", State.BROKEN)
    stage.sql("update private.outbox_jobs set run_at = now() - interval '1 hour' where kind = 'probe'")
    late = [found async for found in doctor._late(queue)]
    assert [(found.what, found.state) for found in late] == [("waiting jobs", State.BROKEN)]
    await queue.close()


async def test_a_table_without_protection_is_found(stage: Stage) -> None:
    with psycopg.connect(stage.stack.addresses.db_url, autocommit=True) as connection:
        connection.execute("create table public.forgotten ()")
        try:
            _, found, _ = await examine(stage, "--no-probe", SAUTI_DB_URL=stage.stack.addresses.db_url)
        finally:
            connection.execute("drop table public.forgotten")
    assert found["row level security"]["found"] == "off: forgotten"


def test_migrations_are_compared_both_ways() -> None:
    assert [finding.state for finding in judge_migrations({"1", "2"}, {"1", "2"})] == [State.OK]
    assert [finding.state for finding in judge_migrations({"1"}, {"1", "2"})] == [State.BROKEN]
    assert [finding.state for finding in judge_migrations({"1", "2"}, {"1"})] == [State.WARNING]
    assert [finding.state for finding in judge_migrations({"1", "2"}, set())] == [State.OK]
