"""Applies the migrations and seeds with the real Supabase CLI, as the role that does so on a hosted project."""

from __future__ import annotations

import os
from pathlib import Path

from sauti_local.errors import StartFailed
from sauti_local.paths import ROOT, SUPABASE, supabase_binary
from sauti_local.processes import Child


async def push_migrations(database_url: str, log: Path, *, seed: bool, project: Path = ROOT) -> None:
    """Apply what the database has not seen yet.

    Args:
        database_url: libpq address for the role ``postgres``.
        log: Log file.
        seed: Apply the seed files of ``supabase/config.toml`` too.
        project: Folder that holds ``supabase/``.

    Raises:
        StartFailed: a migration was refused; the message ends with the reason.
    """
    if not any((project / SUPABASE.name / "migrations").glob("*.sql")):
        return
    command: list[str | os.PathLike[str]] = [
        supabase_binary(),
        "db",
        "push",
        f"--remote={database_url}",
        "--yes",
        "--workdir",
        project,
    ]
    child = Child(
        "supabase db push",
        [*command, *(["--include-seed"] if seed else [])],
        log,
        environment=dict(os.environ)
        | {"PGSSLMODE": "disable", "SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"},
        working_directory=project,
    )
    try:
        code = await child.wait()
    finally:
        await child.stop()
    if code != 0:
        raise StartFailed(f"The migrations could not be applied. The log is {log} and ends with:\n{child.log_tail(25)}")
