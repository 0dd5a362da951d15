"""What only the database itself can tell: migrations, extensions, row level security, publication, the test clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg

from sauti_sync.health.finding import Finding, State

_MIGRATIONS = Path(__file__).parent.parent.parent / "supabase" / "migrations"
_EXTENSIONS = frozenset({"btree_gist", "cube", "pgcrypto"})
_LIVE_TABLES = frozenset({"matched_services", "appointments", "notifications"})


async def database_findings(url: str) -> list[Finding]:
    """Look into the database at this address; errors become findings, without a word of the server's."""
    try:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=8) as connection:
            found = [*await _migrations(connection), await _extensions(connection)]
            return [*found, await _open_tables(connection), await _publication(connection), *await _clock(connection)]
    except psycopg.Error as error:
        symbol = error.sqlstate or "no answer"
        return [Finding("database", State.BROKEN, f"SQLSTATE {symbol}", "Check SAUTI_DB_URL and the role's rights.")]


async def _column(connection: psycopg.AsyncConnection[tuple[str]], query: str) -> set[str]:
    return {row[0] for row in await (await connection.execute(query.encode())).fetchall()}


async def _migrations(connection: psycopg.AsyncConnection[tuple[str]]) -> list[Finding]:
    if not await _column(
        connection, "select 'x' where to_regclass('supabase_migrations.schema_migrations') is not null"
    ):
        return [Finding("migrations", State.BROKEN, "none was ever applied", "supabase db push")]
    applied = await _column(connection, "select version from supabase_migrations.schema_migrations")
    return list(judge_migrations(applied, {path.name.partition("_")[0] for path in _MIGRATIONS.glob("*.sql")}))


def judge_migrations(applied: set[str], here: set[str]) -> Iterator[Finding]:
    """Compare versions in the database with those of this folder (empty: an installed worker has none)."""
    if not here:
        yield Finding("migrations", State.OK, f"{len(applied)} applied; the newest is {max(applied, default='none')}")
        return
    if missing := here - applied:
        yield Finding("migrations", State.BROKEN, f"not applied: {', '.join(sorted(missing))}", "supabase db push")
    if unknown := applied - here:
        advice = "The database is newer than this copy: update the workers."
        yield Finding("migrations", State.WARNING, f"unknown here: {', '.join(sorted(unknown))}", advice)
    if applied == here:
        yield Finding("migrations", State.OK, f"all {len(here)} applied")


async def _extensions(connection: psycopg.AsyncConnection[tuple[str]]) -> Finding:
    there = await _column(connection, "select extname::text from pg_extension")
    if missing := _EXTENSIONS - there:
        return Finding(
            "extensions", State.BROKEN, f"missing: {', '.join(sorted(missing))}", "Enable them in the project."
        )
    return Finding("extensions", State.OK, "all there")


async def _open_tables(connection: psycopg.AsyncConnection[tuple[str]]) -> Finding:
    unprotected = await _column(
        connection,
        "select c.relname::text from pg_class as c"
        " where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity",
    )
    if unprotected:
        advice = "Enable row level security at once, or drop these tables."
        return Finding("row level security", State.BROKEN, f"off: {', '.join(sorted(unprotected))}", advice)
    return Finding("row level security", State.OK, "on for every table in public")


async def _publication(connection: psycopg.AsyncConnection[tuple[str]]) -> Finding:
    published = await _column(
        connection,
        "select tablename::text from pg_publication_tables"
        " where pubname = 'supabase_realtime' and schemaname = 'public'",
    )
    if missing := _LIVE_TABLES - published:
        return Finding(
            "live changes", State.WARNING, f"not published: {', '.join(sorted(missing))}", "supabase db push"
        )
    return Finding("live changes", State.OK, "published")


async def _clock(connection: psycopg.AsyncConnection[tuple[str]]) -> list[Finding]:
    moved = await _column(
        connection, """select "offset"::text from private.clock_offset where "offset" <> interval '0'"""
    )
    if moved:
        return [
            Finding("clock", State.BROKEN, "moved, as tests do", 'update private.clock_offset set "offset" = default')
        ]
    return []
