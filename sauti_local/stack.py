"""The whole local stack: started in parallel, stopped in order, nothing left behind.

Postgres, PostgREST, Radicale, Deno and the worker are processes; gateway, Auth, Realtime and mailbox live in the
caller's event loop. The data directory holds everything that a second start needs::

    lock  generation  keys.json  postgres/  calendars/  logs/
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from sauti_local.auth import AuthSettings, auth_application
from sauti_local.calendar import CalendarServer
from sauti_local.errors import DataDirBusy, StackError
from sauti_local.functions import FunctionServer
from sauti_local.gateway import GatewaySettings, gateway_application
from sauti_local.keys import Keys
from sauti_local.mailbox import Mailbox
from sauti_local.migrations import push_migrations
from sauti_local.ports import LOOPBACK, bound_socket, is_free
from sauti_local.postgres import SUPERUSER, Postgres, bootstrap_fingerprint
from sauti_local.postgrest import PostgREST
from sauti_local.processes import Child, python_environment
from sauti_local.project import ProjectConfig
from sauti_local.realtime import RealtimeServer, RealtimeSettings

_TEMPORARY_PREFIX = "sauti-stack-"
_GATEWAY_BACKLOG = 512
# The worker itself gives running jobs 20 s and then hands them back.
_WORKER_SECONDS = 25.0


@dataclass(frozen=True)
class StackConfig:
    """How to run a stack.

    Attributes:
        data_dir: Where its state is kept; None: a temporary folder that goes when the stack stops.
        port: Port of the gateway; 0 picks a free one. The other parts take the ports after it when those are free.
        seed: Load ``seeds/*.sql`` after the migrations.
        worker: Run the worker too.
        functions: Serve the Edge Functions.
        app_url: Address of the client app, for links in mail.
        mail_from: Sender of mail.
        report: Called with a line about each step.
    """

    data_dir: Path | None = None
    port: int = 54321
    seed: bool = True
    worker: bool = True
    functions: bool = True
    app_url: str = "http://127.0.0.1:3000"
    mail_from: str = "Sauti <no-reply@sauti.local>"
    report: Callable[[str], None] = field(default=lambda line: None, repr=False)


@dataclass(frozen=True)
class Addresses:
    """How to reach a running stack.

    Attributes:
        api_url: The gateway.
        anon_key: Key of client apps.
        service_role_key: Key of the worker.
        jwt_secret: HS256 secret of all tokens.
        db_url: The database as superuser.
        mail_url: Page of the mail sink; ``/messages.json`` below it.
        caldav_url: CalDAV server; ``/<user>/<name>/`` below it.
        smtp_url: The mail sink itself.
        logs: Folder of the log files.
    """

    api_url: str
    anon_key: str = field(repr=False)
    service_role_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    db_url: str = field(repr=False)
    mail_url: str
    caldav_url: str
    smtp_url: str
    logs: Path


class Stack:
    """A running stack; an asynchronous context manager."""

    def __init__(self, config: StackConfig | None = None) -> None:
        self.config = config or StackConfig()
        self._exits = contextlib.AsyncExitStack()
        self._addresses: Addresses | None = None
        self._environment: dict[str, str] = {}
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises:
            StackError: with what went wrong and what to do. Everything that had started is stopped again.
        """
        try:
            await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, in order."""
        await self._exits.aclose()

    @property
    def addresses(self) -> Addresses:
        """How to reach it."""
        assert self._addresses is not None, "the stack is not running"
        return self._addresses

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the worker and the functions get, besides the machine's own."""
        return dict(self._environment)

    async def until_broken(self) -> Child:
        """Wait until a process of the stack ends although nobody stopped it; gives back that process."""
        while True:
            for child in self._children:
                if child.exit_code is not None:
                    return child
            await asyncio.sleep(0.2)

    async def _start(self) -> None:
        config, report, project = self.config, self.config.report, ProjectConfig.read()
        data_dir = self._exits.enter_context(_data_dir(config.data_dir))
        logs = data_dir / "logs"
        logs.mkdir(exist_ok=True)
        _check_generation(data_dir)
        keys = Keys.of(data_dir)
        listener = self._exits.enter_context(bound_socket(config.port, "the gateway", "--port"))
        port: int = listener.getsockname()[1]
        api_url = f"http://{LOOPBACK}:{port}"

        def following(offset: int) -> int:
            wanted = port + offset
            return wanted if config.port and wanted < 65536 and is_free(wanted) else 0

        mailbox = Mailbox()
        self._exits.push_async_callback(mailbox.stop)
        await mailbox.start(web_port=following(3), smtp_port=following(4))
        smtp_url = f"smtp://{LOOPBACK}:{mailbox.smtp_port}"
        self._environment = _environment(config, keys, api_url, smtp_url)

        postgres = Postgres(
            data_dir / "postgres", following(1), throwaway=config.data_dir is None, log=logs / "postgres.log"
        )
        calendar = CalendarServer(data_dir / "calendars", logs / "radicale.log")
        functions = FunctionServer(self._environment, logs / "functions.log")
        for part in (postgres, calendar, functions):
            self._exits.push_async_callback(part.stop)

        async def start_database() -> None:
            report("Starting PostgreSQL")
            await postgres.start()
            await postgres.prepare()
            report("Applying migrations" + (" and seeds" if config.seed else ""))
            await push_migrations(postgres.url(), logs / "migrations.log", seed=config.seed)

        await _together(start_database, calendar.start, *([functions.start] if config.functions else []))

        report("Starting the API")
        postgrest = PostgREST(
            postgres.url(user="authenticator"),
            keys.jwt_secret,
            logs / "postgrest.log",
            public_url=f"{api_url}/rest/v1",
            max_rows=project.max_rows,
        )
        realtime = RealtimeServer(RealtimeSettings(db_url=postgres.url(user=SUPERUSER), jwt_secret=keys.jwt_secret))
        self._exits.push_async_callback(postgrest.stop)
        self._exits.push_async_callback(realtime.stop)
        await _together(postgrest.start, realtime.start)

        gateway = gateway_application(
            GatewaySettings(
                anon_key=keys.anon_key,
                service_role_key=keys.service_role_key,
                jwt_secret=keys.jwt_secret,
                rest_url=postgrest.url,
                functions_url=functions.url,
                functions_without_jwt=project.functions_without_jwt,
            ),
            auth_application(
                AuthSettings(
                    db_url=postgres.url(user="supabase_auth_admin"),
                    jwt_secret=keys.jwt_secret,
                    api_url=api_url,
                    jwt_expiry=project.jwt_expiry,
                    password_min_length=project.minimum_password_length,
                )
            ),
            realtime,
        )
        runner = web.AppRunner(gateway, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._exits.push_async_callback(runner.cleanup)
        # Its connections have no end of their own, so they are closed before the gateway waits for its last requests.
        self._exits.push_async_callback(realtime.stop)
        await web.SockSite(runner, listener, backlog=_GATEWAY_BACKLOG).start()

        self._addresses = Addresses(
            api_url=api_url,
            anon_key=keys.anon_key,
            service_role_key=keys.service_role_key,
            jwt_secret=keys.jwt_secret,
            db_url=postgres.url(user=SUPERUSER),
            mail_url=f"http://{LOOPBACK}:{mailbox.web_port}",
            caldav_url=calendar.url,
            smtp_url=smtp_url,
            logs=logs,
        )
        parts = [postgres.child, postgrest.child, calendar.child, functions.child]
        if config.worker:
            report("Starting the worker")
            worker = Child(
                "The worker",
                [sys.executable, "-m", "sauti_sync", "worker"],
                logs / "worker.log",
                environment=python_environment() | self._environment,
                orphan_signal=signal.SIGTERM,
            )
            self._exits.push_async_callback(worker.stop, (signal.SIGTERM, _WORKER_SECONDS))
            parts.append(worker)
        self._children = [child for child in parts if child is not None]


def _environment(config: StackConfig, keys: Keys, api_url: str, smtp_url: str) -> dict[str, str]:
    """What the worker and the functions are told; ``SAUTI_…`` variables of this process win over our defaults."""
    given = {key: value for key, value in os.environ.items() if key.startswith("SAUTI_")}
    defaults = {
        "SAUTI_TOKEN_KEYS": keys.token_keys,
        "SAUTI_SMTP_URL": smtp_url,
        "SAUTI_APP_URL": config.app_url,
        "SAUTI_MAIL_FROM": config.mail_from,
        "SAUTI_ALLOW_PRIVATE_CALDAV": "1",
    }
    project = {
        "SUPABASE_URL": api_url,
        "SUPABASE_ANON_KEY": keys.anon_key,
        "SUPABASE_SERVICE_ROLE_KEY": keys.service_role_key,
    }
    # A proxy of this machine is no way from one part of the stack to another.
    direct = {
        name: ",".join(filter(None, [os.environ.get(name), LOOPBACK, "localhost"])) for name in ("NO_PROXY", "no_proxy")
    }
    return defaults | given | project | direct


@contextlib.contextmanager
def _data_dir(wanted: Path | None) -> Iterator[Path]:
    """The data directory, locked against a second stack; a temporary one is removed at the end.

    Raises:
        DataDirBusy: another stack holds it.
        StackError: it cannot be made.
    """
    if wanted is None:
        _sweep_temporary_dirs()
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX))
    else:
        folder = wanted.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"The data directory {folder} cannot be made: {error.strerror}. Choose --data-dir."
            ) from None
    descriptor = _locked(folder / "lock")
    if descriptor is None:
        raise DataDirBusy(f"Another stack is running on {folder}. Stop it, or choose another folder with --data-dir.")
    try:
        yield folder
    finally:
        if wanted is None:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _check_generation(data_dir: Path) -> None:
    """Refuse data that was prepared by other bootstrap files than ours: they are run once and never upgraded.

    Raises:
        StackError: with what to do.
    """
    mark, generation = data_dir / "generation", bootstrap_fingerprint()
    if not mark.exists():
        mark.write_text(generation)
    elif mark.read_text() != generation:
        raise StackError(
            f"{data_dir} was made by another version of the local stack, whose roles and schemas cannot be brought up "
            "to date. Remove the folder to begin afresh, or choose another one with --data-dir."
        )


def _locked(path: Path) -> int | None:
    """An exclusive lock that the kernel releases when this process ends; None when somebody else has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StackError(f"{path} cannot be opened: {error.strerror}. Choose another folder with --data-dir.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep_temporary_dirs() -> None:
    """Remove the temporary directories of stacks that were killed: ours, and with a lock that nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY_PREFIX}*"):
        lock = folder / "lock"
        with contextlib.suppress(OSError, StackError):
            # No lock or no keys yet: its owner may be between two steps of making it.
            if folder.stat().st_uid != os.geteuid() or not (folder / "keys.json").exists():
                continue
            descriptor = _locked(lock)
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


async def _together(*starts: Callable[[], Awaitable[None]]) -> None:
    """Run all at once; the first failure cancels the others and is raised as it is."""

    async def run(start: Callable[[], Awaitable[None]]) -> None:
        await start()

    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(run(start))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
