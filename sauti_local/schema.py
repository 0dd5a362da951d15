"""The two ways to build the database, and the baseline that joins them.

The truth is today's shape, edited in place: ``supabase/schemas/<NN_topic>/*.sql`` and ``policies/*.sql``. The road is
what a running project has travelled: ``supabase/migrations/*.sql``, appended and never edited after a release. Before
the first release the road is written from the truth, one migration per topic, so that it reads the same.

    python -m sauti_local.schema baseline        write the road from the truth (refused after the first release)
    python -m sauti_local.schema check           exit 1 when the road is not what ``baseline`` would write
    python -m sauti_local.schema drift           build both ways, exit 1 and print the SQL that separates them
    python -m sauti_local.schema draft <name>    write that SQL to a new migration, to be read and finished by a person
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from sauti_local.paths import ROOT

FIRST_VERSION = datetime(2026, 11, 22, tzinfo=UTC)
POLICIES = "policies"

_TOPIC_FOLDER = re.compile(r"^\d\d_(?P<name>[a-z_]+)$")
_VIEW = re.compile(r"^create (or replace )?view\b", re.MULTILINE)
_RELEASE_HEADING = re.compile(r"^## \[?\d+\.\d+\.\d+", re.MULTILINE)


class SchemaError(Exception):
    """A file of the truth or of the road cannot be applied, or may not be written."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One folder of the truth: applied in one transaction, transported by one migration of the baseline."""

    name: str
    files: tuple[Path, ...]


def topics(root: Path = ROOT) -> tuple[Topic, ...]:
    """Give the folders of the truth that hold SQL, in the order in which they are applied; the policies come last."""
    found: list[Topic] = []
    for folder in sorted((root / "supabase" / "schemas").glob("*/")):
        match = _TOPIC_FOLDER.match(folder.name)
        if match is None:
            raise SchemaError(f"{folder.relative_to(root)}: a topic folder is named <two digits>_<topic>")
        found.append(Topic(match["name"], _sql_files(folder)))
    found.append(Topic(POLICIES, _sql_files(root / POLICIES)))
    return tuple(topic for topic in found if topic.files)


def truth_files(root: Path = ROOT) -> tuple[Path, ...]:
    """Give every file of the truth in the order in which it is applied."""
    return tuple(path for topic in topics(root) for path in topic.files)


def road_files(root: Path = ROOT) -> tuple[Path, ...]:
    """Give the migrations in the order in which the Supabase CLI applies them."""
    return tuple(sorted((root / "supabase" / "migrations").glob("*.sql")))


def build_truth(connection: psycopg.Connection[Any], root: Path = ROOT) -> None:
    """Apply the truth to an empty project database: one batch per file, one transaction per topic.

    The connection is the non-superuser ``postgres``, as on a hosted project. Raises SchemaError naming file and line.
    """
    for topic in topics(root):
        _apply(connection, topic.files, root)


def build_road(connection: psycopg.Connection[Any], root: Path = ROOT) -> None:
    """Apply the migrations as ``supabase db push`` does, without its history table: one transaction per file."""
    for path in road_files(root):
        _apply(connection, (path,), root)


def baseline(root: Path = ROOT) -> dict[str, str]:
    """Give the road that stands for the truth: file name to text, one migration per topic."""
    road: dict[str, str] = {}
    for index, topic in enumerate(topics(root)):
        version = (FIRST_VERSION + timedelta(minutes=index)).strftime("%Y%m%d%H%M%S")
        folder = topic.files[0].parent.relative_to(root).as_posix()
        parts = [
            f"-- The baseline of {folder}: until the first release, edit there and write this file again.\n"
            "set check_function_bodies = off;\n"
        ]
        for path in topic.files:
            parts.append(f"-- {path.relative_to(root).as_posix()}\n{path.read_text(encoding='utf-8').strip()}\n")
        road[f"{version}_{topic.name}.sql"] = "\n".join(parts)
    return road


def is_released(root: Path = ROOT) -> bool:
    """Tell whether CHANGELOG.md names a release: from then on migrations are appended, never rewritten."""
    changelog = root / "CHANGELOG.md"
    return changelog.exists() and _RELEASE_HEADING.search(changelog.read_text(encoding="utf-8")) is not None


def write_baseline(root: Path = ROOT) -> list[str]:
    """Replace the migrations by the baseline and give the names that changed. Raises SchemaError after a release."""
    if is_released(root):
        raise SchemaError("a release has shipped these migrations; draft a new one instead of rewriting them")
    wanted = baseline(root)
    changed = stale_migrations(root)
    folder = root / "supabase" / "migrations"
    for name in changed:
        if name in wanted:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def stale_migrations(root: Path = ROOT) -> list[str]:
    """Give the names of migrations that are missing, left over or different from the baseline."""
    wanted = baseline(root)
    present = {path.name: path.read_text(encoding="utf-8") for path in road_files(root)}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def _sql_files(folder: Path) -> tuple[Path, ...]:
    """List a folder's SQL files: functions that its tables' defaults and constraints call, tables, functions, views."""
    texts = {path: path.read_text(encoding="utf-8") for path in folder.glob("*.sql")}
    tables = folder / "tables.sql"
    code = "\n".join(line for line in texts.get(tables, "").splitlines() if not line.startswith(("--", "comment on ")))
    called = set(re.findall(r"\bprivate\.(\w+)\(", code))

    def turn(path: Path) -> tuple[bool, bool, bool, str]:
        return path.stem not in called, path != tables, _VIEW.search(texts[path]) is not None, path.name

    return tuple(sorted(texts, key=turn))


def _apply(connection: psycopg.Connection[Any], files: Iterable[Path], root: Path) -> None:
    with connection.transaction():
        user = connection.execute("select current_user").fetchone()
        if user != ("postgres",):
            raise SchemaError(f"migrations run as role postgres, not as {user[0] if user else 'nobody'}")
        # Functions of one topic may call those of a later one; bodies are checked by the tests that run them.
        connection.execute("set local check_function_bodies = off")
        for path in files:
            text = path.read_text(encoding="utf-8")
            try:
                connection.execute(text.encode())
            except psycopg.Error as error:
                position = int(error.diag.statement_position or 0)
                line = text.count("\n", 0, position) + 1
                raise SchemaError(f"{path.relative_to(root).as_posix()}:{line}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the module's docstring; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sauti_local.schema", description="Build and compare the schema.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("baseline", help="write supabase/migrations from the truth")
    commands.add_parser("check", help="exit 1 when supabase/migrations is not the baseline")
    commands.add_parser("drift", help="exit 1 when the two builds differ")
    draft = commands.add_parser("draft", help="write what separates the two builds to a new migration")
    draft.add_argument("name", help="what the migration does, in snake_case")
    options = parser.parse_args(arguments)

    try:
        if options.command == "baseline":
            for name in write_baseline():
                print(f"supabase/migrations/{name}")
            return 0
        if options.command == "check":
            stale = [] if is_released() else stale_migrations()
            for name in stale:
                print(f"supabase/migrations/{name}: not what `python -m sauti_local.schema baseline` writes")
            return 1 if stale else 0

        from sauti_local import drift  # needs a server: only these two commands pay for it

        if options.command == "drift":
            difference = drift.of_the_two_builds()
            print(difference or "no difference")
            return 1 if difference else 0
        print(drift.draft_migration(options.name))
        return 0
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    from sauti_local import schema  # the module that `drift` imports too, so that there is one SchemaError

    sys.exit(schema.main())
