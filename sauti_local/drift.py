"""Whether the truth and the road build the same database, found out by building both."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg

from sauti_local.paths import ROOT
from sauti_local.schema import SchemaError, build_road, build_truth
from sauti_local.supabase_cli import difference
from sauti_local.throwaway import new_database, server


def of_the_two_builds(root: Path = ROOT) -> str:
    """Give the SQL that leads from the road to the truth, empty when they agree."""
    with server() as postgres:
        road, truth = new_database(postgres, "road"), new_database(postgres, "truth")
        with psycopg.connect(road, autocommit=True) as connection:
            build_road(connection, root)
        with psycopg.connect(truth, autocommit=True) as connection:
            build_truth(connection, root)
        return difference(road, truth)


def draft_migration(name: str, root: Path = ROOT) -> str:
    """Write the difference to a new migration and give its path below the root.

    The draft is correct SQL and no more: a person orders it, adds what data needs, and takes out what it drops wrongly.

    Raises:
        SchemaError: there is nothing to write, or the name is not one.
    """
    if not name.replace("_", "").isalnum() or name != name.lower():
        raise SchemaError(f"{name}: name the migration in snake_case")
    sql = of_the_two_builds(root)
    if not sql:
        raise SchemaError("the truth and the road agree: there is nothing to migrate")
    path = root / "supabase" / "migrations" / f"{datetime.now(UTC):%Y%m%d%H%M%S}_{name}.sql"
    path.write_text(f"{sql}\n", encoding="utf-8")
    return path.relative_to(root).as_posix()
