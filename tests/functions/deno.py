"""Running Deno in tests: offline, bounded, with the permissions the platform grants."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sauti_local.functions import deno_environment
from sauti_local.paths import ROOT, SUPABASE, deno_binary

FUNCTIONS = SUPABASE / "functions"
CONFIGURATION = FUNCTIONS / "api" / "deno.json"
# The platform grants the network and the environment.
PERMISSIONS = ("--allow-net", "--allow-env", "--no-prompt")
# The functions import nothing from elsewhere; a lock file would say so only.
OFFLINE = ("--no-remote", "--no-npm", "--no-lock")


def deno(*arguments: str | Path, standard_input: str = "", **more: str) -> str:
    """Run Deno to its end, which has to be a good one; its standard output. `more` goes to the environment."""
    process = subprocess.run(
        [deno_binary(), *arguments],
        cwd=ROOT,
        env=deno_environment() | more,
        input=standard_input,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def deno_with_packages(script: Path, standard_input: str) -> str:
    """Run a script that imports packages of our package.json; its standard output."""
    environment = deno_environment()
    # The functions do without our package.json; this script takes its packages from there.
    del environment["DENO_NO_PACKAGE_JSON"]
    process = subprocess.run(
        [
            deno_binary(), "run", "--quiet", "--no-prompt", "--no-lock", "--cached-only", "--allow-net", "--allow-env",
            "--allow-read", script,
        ],
        cwd=ROOT,
        env=environment | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"},
        input=standard_input,
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout
