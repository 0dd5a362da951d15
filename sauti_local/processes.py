"""Child processes that never outlive their parent, with a log file each."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from sauti_local.errors import StartFailed
from sauti_local.paths import ROOT
from sauti_local.ports import free_port, is_listening

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02
_PORT_ATTEMPTS = 5
# Loaded here and not in the forked child, where only async-signal-safe work is allowed.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child:
    """A running program of the stack.

    It lives in a session of its own, so that Ctrl-C in the terminal reaches the parent only, which then stops its
    children in order. Should the parent die without a chance to do so, the kernel sends `orphan_signal` (Linux).
    The kernel means the *thread* that started the child: start children from a thread that lives as long as they may.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | os.PathLike[str]],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        working_directory: Path | None = None,
        user: str | None = None,
        group: int | None = None,
        pass_fds: Sequence[int] = (),
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Start the program; its output is appended to `log`.

        Args:
            name: What the program is called in messages.
            arguments: The command line.
            log: File that receives standard output and standard error.
            environment: The whole environment, or None for a copy of ours.
            working_directory: Where it runs, or None for ours.
            user: The user to become; only root may say this.
            group: The group to become together with `user`.
            pass_fds: Descriptors that stay open in the child.
            orphan_signal: What it gets when the parent dies.
        """
        self.name = name
        self.log = log
        parent = os.getpid()

        def die_with_parent() -> None:
            # After the change of user, which would clear the setting. The parent may have died before it was made.
            if _LIBC is not None:
                # A stack in a shell's background inherits an ignored SIGINT, and a program that has not yet set its
                # handlers would miss the signal for good.
                if orphan_signal != signal.SIGKILL:
                    signal.signal(orphan_signal, signal.SIG_DFL)
                _LIBC.prctl(_PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [os.fspath(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=working_directory,
                env=None if environment is None else dict(environment),
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
                pass_fds=pass_fds,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._popen.poll()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the log file."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    async def wait(self) -> int:
        """Wait until it ends; gives back the exit code."""
        while (code := self._popen.poll()) is None:
            await asyncio.sleep(_POLL_SECONDS)
        return code

    async def until_ready(self, probe: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait until `probe` says yes.

        Raises:
            StartFailed: the process ended first, or `seconds` passed.
        """
        end = time.monotonic() + seconds
        while True:
            if (code := self.exit_code) is not None:
                raise StartFailed(f"{self.name} ended with code {code} while starting. {self.where_to_look()}")
            if await probe():
                return
            if time.monotonic() > end:
                raise StartFailed(f"{self.name} was not ready within {seconds:.0f} s. {self.where_to_look()}")
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, *escalation: tuple[signal.Signals, float]) -> None:
        """Send each signal and give it its seconds; SIGKILL comes last in any case. Ended already: nothing to do."""
        for number, seconds in (*(escalation or ((signal.SIGTERM, 5.0),)), (signal.SIGKILL, 5.0)):
            if self.exit_code is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), seconds)

    def where_to_look(self) -> str:
        """A sentence with the log file and its last lines."""
        tail = self.log_tail()
        return f"Its log is {self.log}" + (f" and ends with:\n{tail}" if tail else ", which is empty.")


async def start_on_free_port(
    start: Callable[[int], Child], is_ready: Callable[[int], Awaitable[bool]], seconds: float
) -> tuple[Child, int]:
    """Start a program on a port of its own and wait until it is ready; another port when that one was lost to others.

    Args:
        start: Starts the program on the port given.
        is_ready: Whether the program on the port given answers.
        seconds: Time for one attempt.

    Raises:
        StartFailed: it ended, or was not ready in time.
    """
    for attempts_left in range(_PORT_ATTEMPTS - 1, -1, -1):
        port = free_port()
        child = start(port)
        try:
            await child.until_ready(lambda port=port: is_ready(port), seconds)  # type: ignore[misc]
        except StartFailed:
            ended = child.exit_code is not None
            await child.stop()
            if not (ended and attempts_left and await is_listening(port)):
                raise
        except BaseException:
            await child.stop()
            raise
        else:
            return child, port
    raise AssertionError("the last attempt gives back or raises")


def python_environment() -> dict[str, str]:
    """Our environment, in which a child Python finds this repository whatever its working directory."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
