"""The migrations and seeds run on the oldest PostgreSQL that Supabase still hosts, and the case's first step works."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sauti_local.migrations import push_migrations
from sauti_local.paths import NODE_MODULES, ROOT, platform_name
from sauti_local.postgres import Postgres
from sauti_local.throwaway import new_database
from tests.support.database import Database
from tests.support.loop_thread import LoopThread

BINARIES = NODE_MODULES / f"postgres-15-{platform_name()}" / "native" / "bin"

pytestmark = pytest.mark.skipif(not BINARIES.exists(), reason="no package of PostgreSQL 15 for this platform")


@pytest.fixture(scope="module")
def server_15(loop_thread: LoopThread) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="sauti-postgres-15-") as folder:
        server = Postgres(Path(folder) / "data", binaries=BINARIES, throwaway=True)
        try:
            loop_thread.run(server.start())
            loop_thread.run(server.prepare_cluster())
            yield server
        finally:
            loop_thread.run(server.stop())


@pytest.fixture(scope="module")
def migrated(server_15: Postgres, loop_thread: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database on PostgreSQL 15 with all migrations and seeds, applied by the CLI."""
    url = new_database(server_15, "migrated")
    loop_thread.run(push_migrations(url, tmp_path_factory.mktemp("postgres-15") / "push.log", seed=True))
    return "migrated"


@pytest.fixture
def database(server_15: Postgres, migrated: str, loop_thread: LoopThread) -> Iterator[Database]:
    clone = Database(server_15)
    loop_thread.run(server_15.create_database(clone.name, migrated))
    yield clone
    clone.close()
    loop_thread.run(server_15.drop_database(clone.name))


def test_the_migrations_ran_as_a_non_superuser_on_postgres_15(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        assert connection.info.server_version // 10000 == 15
        assert connection.execute("select rolname, rolsuper from pg_roles where rolname = current_user").fetchone() == (
            "postgres",
            False,
        )
        owners = connection.execute(
            "select distinct tableowner from pg_tables where schemaname in ('public', 'private')"
        )
        assert owners.fetchall() == [("postgres",)]


def test_the_seeds_run_again_without_a_change(database: Database) -> None:
    def content() -> list[object]:
        with psycopg.connect(database.url) as connection:
            tables = ("profiles", "professionals", "support_services", "reports", "matched_services")
            return [
                connection.execute(f"select t::text from public.{table} as t order by 1").fetchall() for table in tables
            ]

    before = content()
    assert before[0]
    with psycopg.connect(database.url, autocommit=True) as connection:
        for seed in sorted((ROOT / "seeds").glob("*.sql")):
            connection.execute(seed.read_bytes())
    assert content() == before


def test_a_report_is_matched_on_postgres_15(database: Database) -> None:
    professional, survivor = database.add_user("professional"), database.add_user()
    service = database.as_service()
    service.execute("update public.professionals set verification_status = 'verified' where id = %s", (professional,))
    service.execute(
        "insert into public.support_services (professional_id, name, service_type, is_remote, verification_status)"
        " values (%s, 'Legal help', 'legal_aid', true, 'verified')",
        (professional,),
    )
    database.as_user(survivor).execute(
        "insert into public.reports (incident_type, required_services, consent_to_share)"
        " values ('stalking', '{legal_aid}', true)"
    )
    offers = database.as_user(professional).execute("select incident_type from public.matched_services").fetchall()
    assert {"incident_type": "stalking"} in offers
    assert database.as_user(professional).execute("select 1 from public.reports").fetchall() == []
