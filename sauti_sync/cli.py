"""The command line: ``./sauti <command>`` in the repository, ``sauti-sync <command>`` where it is installed.

Modules are imported by the command that needs them, and a command is registered only where its module is there: an
installed worker has no local stack.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="sauti-sync",
    help="Connects people who survived abuse with professionals who can help.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables could print keys and personal data.
    pretty_exceptions_enable=False,
)
jobs = typer.Typer(help="Look at the outbox of a project and replay dead jobs.", no_args_is_help=True)
cal_com = typer.Typer(help="Bookings that professionals take at Cal.com.", no_args_is_help=True)
keys = typer.Typer(help="Keys that encrypt calendar credentials.", no_args_is_help=True)

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line."""
    app(prog_name=os.environ.get("SAUTI_PROGRAM", "sauti-sync"))


def _is_there(module: str) -> bool:
    """Whether the module can be imported; a folder without code is none."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return False
    return spec is not None and spec.origin is not None


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running and say how to reach it.")] = False,
) -> None:
    """Play the way of a case on a stack of its own, step by step; fails if any step does."""
    from sauti_local.demo import run

    _exit_with(lambda: run(keep))


def dev(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the API; 0 picks free ports.")] = 54321,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the data is kept. [default: .sauti/dev in the repository]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print nothing but one line of JSON when ready.")] = False,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Run the worker too.")] = True,
) -> None:
    """Run the local stack and the worker until Ctrl-C; the next start goes on with the same data."""
    from sauti_local.dev import run

    _exit_with(lambda: run(port=port, data_dir=data_dir, as_json=json, worker=worker))


def test(context: typer.Context) -> None:
    """Run the whole test suite; arguments go to pytest."""
    from sauti_local.paths import ROOT

    os.chdir(ROOT)
    sys.stdout.flush()
    workers = ["--numprocesses", str(min(os.cpu_count() or 1, 4)), "--dist", "loadscope"]
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *workers, *context.args])  # noqa: S606


def bench(context: typer.Context) -> None:
    """Run the benchmarks, with the peers side by side."""
    _exit_with(lambda: importlib.import_module("benchmarks").main(context.args))


def worker() -> None:
    """Run the worker alone, against the project that the environment names."""
    from sauti_sync.commands.worker import run_worker

    _exit_with(run_worker)


def doctor(
    json: AsJson = False,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Queue a job, to see whether a worker takes it.")
    ] = True,
) -> None:
    """Check a project from the environment, and say what to do; with SAUTI_DB_URL, the database too."""
    from sauti_sync.commands.doctor import run_doctor

    _exit_with(lambda: run_doctor(json, probe))


def bounces(
    recipient: Annotated[
        str | None, typer.Option(help="Address that the report came to. [default: as its headers say]")
    ] = None,
) -> None:
    """Take one delivery report from standard input; stop mail to an address that does not work, and tell its owner."""
    from sauti_sync.commands.bounces import take_bounce

    _exit_with(lambda: take_bounce(recipient, sys.stdin.buffer))


@jobs.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only pending, running, done or dead ones.")] = None,
    json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
) -> None:
    """List the newest jobs."""
    from sauti_sync.commands.jobs import list_jobs

    _exit_with(lambda: list_jobs(state, json, limit))


@jobs.command("dead")
def dead_jobs(json: AsJson = False, limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100) -> None:
    """List the jobs that were given up."""
    from sauti_sync.commands.jobs import list_jobs

    _exit_with(lambda: list_jobs("dead", json, limit))


@jobs.command("retry")
def retry_jobs(
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of dead jobs. [default: all]")] = None,
    json: AsJson = False,
) -> None:
    """Put dead jobs back into the queue."""
    from sauti_sync.commands.jobs import retry_jobs

    _exit_with(lambda: retry_jobs(ids, json))


@keys.command("generate")
def generate_key(
    identifier: Annotated[str | None, typer.Option("--id", help="Name of the key. [default: today's date]")] = None,
    json: AsJson = False,
) -> None:
    """Print a new key, ready to be put first in SAUTI_TOKEN_KEYS."""
    from sauti_sync.commands.keys import generate_key

    _exit_with(lambda: generate_key(identifier, json))


@keys.command("rotate")
def rotate_keys(json: AsJson = False) -> None:
    """Encrypt all stored credentials with the first key of SAUTI_TOKEN_KEYS; the others are needed to read them."""
    from sauti_sync.commands.rotate_keys import rotate_keys

    _exit_with(lambda: rotate_keys(json))


@cal_com.command("reconcile")
def reconcile_cal_com(
    professional_id: Annotated[str, typer.Argument(help="Whose bookings; SAUTI_CAL_COM_API_KEY opens the account.")],
    days_back: Annotated[int, typer.Option(min=0, max=366, help="Also those that began so many days ago.")] = 7,
    json: AsJson = False,
) -> None:
    """Ask Cal.com for bookings whose webhook deliveries were missed, and apply them."""
    from sauti_sync.commands.cal_com import reconcile

    _exit_with(lambda: reconcile(professional_id, days_back, json))


def _exit_with(command: Callable[[], int]) -> None:
    """Run a command and leave with its status; an error of the local stack is a sentence, not a traceback."""
    try:
        status = command()
    except Exception as error:
        if "sauti_local.errors" in sys.modules and isinstance(error, sys.modules["sauti_local.errors"].StackError):
            typer.echo(f"sauti: {error}", err=True)
            status = 1
        else:
            raise
    raise typer.Exit(status)


if _is_there("sauti_local.demo"):
    app.command()(demo)
if _is_there("sauti_local.dev"):
    app.command()(dev)
    app.command(context_settings=PASS_ON)(test)
if _is_there("benchmarks"):
    app.command(context_settings=PASS_ON)(bench)
app.command()(worker)
app.command()(doctor)
app.command()(bounces)
app.add_typer(jobs, name="jobs")
app.add_typer(keys, name="keys")
app.add_typer(cal_com, name="cal-com")
