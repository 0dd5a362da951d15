"""The Edge Functions under Deno, unchanged.

Run as a program it fills Deno's cache, so that the functions start without a network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from sauti_local.paths import STATE, SUPABASE, deno_binary
from sauti_local.ports import LOOPBACK
from sauti_local.processes import Child, start_on_free_port

DENO_DIR = STATE / "deno"
_START_SECONDS = 60.0
_SERVER = Path(__file__).with_name("functions_server.ts")


class FunctionServer:
    """One Deno process for all functions; `url` is valid after `start`, and empty when there are no functions."""

    def __init__(self, environment: Mapping[str, str], log: Path, folder: Path = SUPABASE / "functions") -> None:
        """Describe it.

        Args:
            environment: Variables that the functions may read, besides the machine's own.
            log: Log file.
            folder: ``<folder>/<name>/index.ts`` is the function ``name``.
        """
        self._environment = environment
        self._log = log
        self._folder = folder
        self.child: Child | None = None
        self.url = ""

    async def start(self) -> None:
        """Load the functions and wait until requests are taken.

        Raises:
            StartFailed: Deno ended, or was not ready in time.
        """
        if not function_names(self._folder):
            return
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:

            async def answers(port: int) -> bool:
                try:
                    async with session.get(f"http://{LOOPBACK}:{port}/") as response:
                        return response.status == 204
                except (aiohttp.ClientError, TimeoutError):
                    return False

            self.child, port = await start_on_free_port(self._spawn, answers, _START_SECONDS)
        self.url = f"http://{LOOPBACK}:{port}"

    async def stop(self) -> None:
        """Stop it. Not running: nothing to do."""
        if self.child is not None:
            await self.child.stop()
            self.child = None

    def _spawn(self, port: int) -> Child:
        command: list[str | os.PathLike[str]] = [
            deno_binary(),
            "run",
            *deno_options(),
            "--no-prompt",
            "--allow-net",
            "--allow-env",
            f"--allow-read={self._folder}",
            _SERVER,
            str(port),
            self._folder,
            *function_names(self._folder),
        ]
        return Child(
            "Deno",
            command,
            self._log,
            environment=deno_environment() | dict(self._environment),
            working_directory=self._folder,
        )


def function_names(folder: Path = SUPABASE / "functions") -> list[str]:
    """The functions there are, in order; folders that begin with ``_`` or ``.`` hold shared code."""
    return sorted(path.parent.name for path in folder.glob("[!_.]*/index.ts"))


def deno_options() -> list[str]:
    """Options that make Deno see what the hosted platform sees: neither our package.json nor node_modules."""
    return ["--quiet", "--no-config", "--no-lock", "--node-modules-dir=none"]


def deno_environment() -> dict[str, str]:
    """Our environment, with Deno's cache in the repository (filled by the set-up) and the system's certificates."""
    return (
        {"DENO_TLS_CA_STORE": "system,mozilla"}
        | dict(os.environ)
        | {
            "DENO_DIR": os.fspath(DENO_DIR),
            "DENO_NO_PACKAGE_JSON": "1",
            "DENO_NO_UPDATE_CHECK": "1",
            "NO_COLOR": "1",
        }
    )


def fill_cache(folder: Path = SUPABASE / "functions") -> int:
    """Download what the functions import into Deno's cache; gives back Deno's exit status."""
    entries = [folder / name / "index.ts" for name in function_names(folder)]
    if not entries:
        return 0
    return subprocess.run([deno_binary(), "cache", *deno_options(), *entries], env=deno_environment()).returncode


if __name__ == "__main__":
    sys.exit(fill_cache())
