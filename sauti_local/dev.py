"""``./sauti dev``: a stack in the foreground until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sauti_local.paths import STATE
from sauti_local.signals import stopped_by_signals
from sauti_local.stack import Addresses, Stack, StackConfig
from sauti_sync import event_loop


def run(*, port: int, data_dir: Path | None, as_json: bool, worker: bool) -> int:
    """Run until Ctrl-C or a signal; gives back the exit status: 0 stopped as told, 1 a part of the stack ended.

    Raises:
        StackError: it does not start.
    """
    console = Console(stderr=True, quiet=as_json)
    config = StackConfig(
        data_dir=data_dir or STATE / "dev",
        port=port,
        worker=worker,
        report=lambda line: console.print(line, style="dim"),
    )
    return event_loop.run(_serve(config, as_json=as_json, console=console))


async def _serve(config: StackConfig, *, as_json: bool, console: Console) -> int:
    with contextlib.suppress(asyncio.CancelledError), stopped_by_signals(lambda: console.print("Stopping")):
        async with Stack(config) as stack:
            if as_json:
                sys.stdout.write(json.dumps(_as_json(stack.addresses)) + "\n")
                sys.stdout.flush()
            else:
                _print_addresses(stack.addresses, config)
            broken = await stack.until_broken()
            sys.stderr.write(f"{broken.name} ended with code {broken.exit_code}. {broken.where_to_look()}\n")
            return 1
    return 0


def _as_json(addresses: Addresses) -> dict[str, str]:
    return {
        "api_url": addresses.api_url,
        "anon_key": addresses.anon_key,
        "service_role_key": addresses.service_role_key,
        "jwt_secret": addresses.jwt_secret,
        "db_url": addresses.db_url,
        "mail_url": addresses.mail_url,
        "caldav_url": addresses.caldav_url,
    }


def _print_addresses(addresses: Addresses, config: StackConfig) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    # Keys are long and meant to be copied: never folded, never shortened.
    table.add_column(overflow="ignore", no_wrap=True)
    for name, value in (
        ("API", addresses.api_url),
        ("Anon key", addresses.anon_key),
        ("Service role key", addresses.service_role_key),
        ("JWT secret", addresses.jwt_secret),
        ("Database", addresses.db_url),
        ("Mail", addresses.mail_url),
        ("Calendars", f"{addresses.caldav_url}/<any user>/<any name>/ (password: sauti)"),
        ("Data", str(config.data_dir)),
        ("Logs", str(addresses.logs)),
    ):
        table.add_row(name, value)
    console = Console()
    console.print(table, soft_wrap=True)
    console.print("Ready. Ctrl-C stops it; the data stays.")
