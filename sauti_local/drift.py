"""Whether the truth and the road build the same database, found out by building both."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from sauti_local.paths import ROOT
from sauti_local.postgres import Postgres
from sauti_local.schema import SchemaError, build_road, build_truth
from sauti_local.supabase_cli import difference


def of_the_two_builds() -> str:
    """Give the SQL that leads from the road to the truth, empty when they agree."""
    with two_builds() as (road, truth):
        return difference(road, truth)


def draft_migration(name: str, root: Path = ROOT) -> str:
    """Write the difference to a new migration and give its path. Raises SchemaError when there is nothing to write.

    The draft is correct SQL and no more: a person orders it, adds what data needs, and takes out what it drops wrongly.
    """
    if not name.replace("_", "").isalnum() or name != name.lower():
        raise SchemaError(f"{name}: name the migration in snake_case")
    sql = of_the_two_builds()
    if not sql:
        raise SchemaError("the truth and the road agree: there is nothing to migrate")
    path = root / "supabase" / "migrations" / f"{datetime.now(UTC):%Y%m%d%H%M%S}_{name}.sql"
    path.write_text(f"{sql}\n", encoding="utf-8")
    return path.relative_to(root).as_posix()


@contextmanager
def two_builds(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Build both ways on a throwaway server; gives the addresses of the road's database and of the truth's."""
    with tempfile.TemporaryDirectory(prefix="sauti-drift-") as folder:
        server = Postgres(Path(folder) / "data", throwaway=True)
        asyncio.run(_start(server))
        try:
            with psycopg.connect(server.url("road"), autocommit=True) as connection:
                build_road(connection, root)
            with psycopg.connect(server.url("truth"), autocommit=True) as connection:
                build_truth(connection, root)
            yield server.url("road"), server.url("truth")
        finally:
            asyncio.run(server.stop())


async def _start(server: Postgres) -> None:
    try:
        await server.start()
        await server.prepare_cluster()
        for database in ("road", "truth"):
            await server.create_database(database, "template0")
            await server.prepare_database(database)
    except BaseException:
        await server.stop()
        raise
