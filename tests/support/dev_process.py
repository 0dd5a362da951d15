"""``./sauti dev`` as a process, and every process below it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sauti_local.processes import python_environment

READY_SECONDS = 60.0
END_SECONDS = 20.0


@dataclass
class DevProcess:
    """A running ``dev --json``."""

    process: subprocess.Popen[str]
    #: What it printed when it was ready; empty before.
    ready: dict[str, str] = field(default_factory=dict)

    def wait_until_ready(self) -> None:
        """Read the one line that it prints."""
        assert self.process.stdout is not None
        readable = select.select([self.process.stdout], [], [], READY_SECONDS)[0]
        line = self.process.stdout.readline() if readable else ""
        if not line:
            self.process.kill()
            raise AssertionError(f"not ready: {self.process.stderr.read() if self.process.stderr else ''}")
        self.ready = json.loads(line)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send the signal and wait; gives back the exit code and what else was printed."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode, output + errors


@contextlib.contextmanager
def dev(
    data_dir: Path, *options: str, port: int = 0, wait: bool = True, cwd: Path | None = None, **environment: str
) -> Iterator[DevProcess]:
    """Start it, wait until it is ready, and leave no process of it behind."""
    command = [sys.executable, "-P", "-m", "sauti_sync", "dev", "--json", f"--port={port}", f"--data-dir={data_dir}"]
    with subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=python_environment() | environment,
    ) as process:
        running = DevProcess(process)
        try:
            if wait:
                running.wait_until_ready()
            yield running
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
                process.kill()


class Family:
    """All processes below one, held by descriptors: a number given to another process cannot deceive."""

    def __init__(self, pid: int) -> None:
        self.names: dict[int, str] = {}
        for child in _below(pid):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                descriptor = os.pidfd_open(child)
                self.names[descriptor] = Path(f"/proc/{child}/comm").read_text().strip()

    def survivors(self, seconds: float = END_SECONDS) -> list[str]:
        """Names of those that still run when the time is over; waits no longer than needed."""
        end = time.monotonic() + seconds
        left = dict(self.names)
        while left and (rest := end - time.monotonic()) > 0:
            for descriptor in select.select(list(left), [], [], rest)[0]:
                del left[descriptor]
                os.close(descriptor)
        for descriptor in left:
            os.close(descriptor)
        return sorted(left.values())


def _below(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from _below(child)
