"""``./sauti demo``: the way of a case, played on a throwaway stack through the public API only.

Every person of the story has an account of the Auth API and the real client library, and can do no more than their
token lets them. What is checked is compared with what the API gave to somebody else, never with a copy of the rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sauti_local.demo.report import DemoFailed, Report
from sauti_local.demo.story import introduce, play
from sauti_local.paths import STATE
from sauti_local.ports import LOOPBACK
from sauti_local.signals import stopped_by_signals
from sauti_local.stack import Stack, StackConfig

#: Where the logs of the stack are kept when the demo fails.
FAILED_LOGS = STATE / "demo" / "logs"
_INTERRUPTED = 128 + signal.SIGINT


def run(keep: bool, *, config: StackConfig | None = None, patience: float = 10.0) -> int:
    """Play the story; gives back the exit status: 0 everything held, 1 something did not, 130 interrupted.

    Args:
        keep: Leave the stack running afterwards, until Ctrl-C.
        config: Another stack than the usual one: tests leave parts of it out, and want the demo to notice.
        patience: Seconds that the stack has for each thing it does on its own.

    Raises:
        StackError: the stack does not start.
    """
    # The clients must not ask a proxy of this machine for the way to it.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), LOOPBACK]))
    return asyncio.run(_run(keep, config or StackConfig(port=0, seed=False), patience))


async def _run(keep: bool, config: StackConfig, patience: float) -> int:
    console = Console()
    report = Report(console)
    played = False
    with contextlib.suppress(asyncio.CancelledError), stopped_by_signals(lambda: report.say("\nStopping")):
        report.say("The way of a case, from the report to the archive, on a stack of its own.", style="bold")
        stack = Stack(replace(config, report=report.tell))
        with report.step("The stack starts"), report.timed("stack start"):
            await stack.__aenter__()
        async with contextlib.AsyncExitStack() as exits:
            exits.push_async_exit(stack)
            try:
                cast = await play(stack.addresses, report, patience)
            except DemoFailed as failure:
                report.say(f"\n{failure} {_keep_logs(stack.addresses.logs)}", style="red")
                return 1
            report.finish()
            if keep:
                introduce(stack.addresses, cast, report)
                played = True
                broken = await stack.until_broken()
                report.say(f"{broken.name} ended with code {broken.exit_code}. {broken.where_to_look()}", style="red")
                return 1
        return 0
    return 0 if played else _INTERRUPTED


def _keep_logs(logs: Path) -> str:
    """Copy the logs, which go with the stack; a sentence that says where they are."""
    shutil.rmtree(FAILED_LOGS, ignore_errors=True)
    try:
        shutil.copytree(logs, FAILED_LOGS)
    except OSError as error:
        return f"The logs of the stack could not be kept in {FAILED_LOGS}: {error}."
    return f"The logs of the stack are in {FAILED_LOGS}."
