"""The real Supabase CLI, called against a database address: its diff and its advisors, which need no Docker."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any

from sauti_local.errors import StackError
from sauti_local.paths import supabase_binary

_QUIET = {
    "DO_NOT_TRACK": "1",
    "PGSSLMODE": "disable",
    "SUPABASE_NO_KEYRING": "1",
    "SUPABASE_NO_UPDATE_NOTIFIER": "1",
    "SUPABASE_TELEMETRY_DISABLED": "1",
}
_TIMEOUT_SECONDS = 120


class CliFailed(StackError):
    """The Supabase CLI refused or could not reach the database; the message is its own."""


def environment() -> dict[str, str]:
    """Give our environment without settings meant for another project, and with the CLI's own traffic switched off."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUPABASE_")}
    return kept | _QUIET


def difference(from_url: str, to_url: str) -> str:
    """Give the SQL that would turn one database into the other, empty when they are alike. Raises CliFailed."""
    answer = _call("db", "diff", "--use-pg-delta", "--strict-coverage", "--from", from_url, "--to", to_url)
    return str(answer.get("diff") or "").strip()


def advisors(url: str) -> list[dict[str, Any]]:
    """Give every finding of the security and performance lints, level info and up. Raises CliFailed."""
    answer = _call("db", "advisors", f"--remote={url}", "--type", "all", "--level", "info", "--fail-on", "none")
    return list(answer["results"])


def _call(*arguments: str) -> Mapping[str, Any]:
    # A working directory of its own: neither command reads the project, and both would leave files in it.
    with tempfile.TemporaryDirectory(prefix="sauti-cli-") as folder:
        finished = subprocess.run(
            [supabase_binary(), "--workdir", folder, "--output-format", "json", *arguments],
            env=environment() | {"SUPABASE_HOME": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    try:
        answer = json.loads(finished.stdout)
    except json.JSONDecodeError:
        raise CliFailed(f"supabase {' '.join(arguments[:2])}: {finished.stdout}{finished.stderr}") from None
    if finished.returncode != 0:
        raise CliFailed(
            f"supabase {' '.join(arguments[:2])}: {answer.get('error', {}).get('message', finished.stdout)}"
        )
    return dict(answer)
