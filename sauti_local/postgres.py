"""A PostgreSQL cluster of our own: made, started, prepared as a hosted project's, and stopped.

PostgreSQL refuses to run as root. When we are root it runs as `nobody`, with its binaries copied to where that user
can read them if need be, and with its data directory reached through an open descriptor, so that the directory may lie
inside folders that only root can enter.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg

from sauti_local.errors import DataDirBusy, MissingPart, StartFailed
from sauti_local.paths import SQL, postgres_binaries
from sauti_local.ports import LOOPBACK, free_port, require_free
from sauti_local.processes import Child
from sauti_local.symlinks import hydrate_symlinks

SUPERUSER = "supabase_admin"
_UNPRIVILEGED = "nobody"
_CLUSTER_SQL = ("10_",)
_START_SECONDS = 30.0
_STOP_SECONDS = 25.0
_PORT_ATTEMPTS = 5

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    # No socket file: its path could be too long or out of reach, and every client speaks TCP anyway.
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "wal_level": "logical",
    "max_wal_senders": "40",
    "max_replication_slots": "40",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
# Not synchronous_commit: without it a commit enters the WAL, and so Realtime, only at the WAL writer's next round, up
# to 200 ms later; with fsync off it costs nothing.
_THROWAWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
}


class Postgres:
    """One cluster. It is not bound to an event loop: it may be started in one and stopped in another."""

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        binaries: Path | None = None,
        *,
        throwaway: bool = False,
        log: Path | None = None,
    ) -> None:
        """Describe a cluster; `start` makes it when the directory holds none.

        Args:
            data_dir: The cluster's directory (PGDATA). Its parent is made when missing.
            port: Port on the loopback address; 0 picks a free one at `start`.
            binaries: Folder with ``postgres`` and ``initdb``; default `postgres_binaries()`.
            throwaway: Give up durability for speed.
            log: Log file; default ``<data_dir>.log``.
        """
        self.data_dir = data_dir.absolute()
        self.port = port
        self.throwaway = throwaway
        self.log = log or self.data_dir.with_name(f"{self.data_dir.name}.log")
        self._wanted_port = port
        self._binaries = binaries
        self._child: Child | None = None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """A libpq address, password included (all roles that log in have the password ``postgres``)."""
        return f"postgresql://{quote(user)}:postgres@{LOOPBACK}:{self.port}/{quote(database)}"

    @property
    def pid(self) -> int | None:
        """Process id of the running server, or None."""
        return None if self._child is None else self._child.pid

    @property
    def child(self) -> Child | None:
        """The running server, or None."""
        return self._child

    async def start(self) -> None:
        """Make the cluster if there is none, start it and wait until it takes queries.

        Raises:
            PortBusy: the port asked for is taken.
            DataDirBusy: a server is running on the directory and does not go away.
            StartFailed: ``initdb`` or the server failed.
        """
        binaries = readable_binaries(self._binaries or postgres_binaries())
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self._wanted_port:
            require_free(self._wanted_port, "PostgreSQL", "--port")
        if not (self.data_dir / "PG_VERSION").exists():
            await self._make_cluster(binaries)
        await self._clear_stale_lock()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.port = self._wanted_port or free_port()
            self._child = self._spawn(binaries)
            try:
                await self._child.until_ready(self._takes_queries, _START_SECONDS)
            except StartFailed:
                lost_the_race = not self._wanted_port and "Address already in use" in self._child.log_tail()
                await self.stop()
                if not lost_the_race or attempt == _PORT_ATTEMPTS:
                    raise
            except BaseException:
                await self.stop()
                raise
            else:
                return

    async def stop(self) -> None:
        """Stop the server, cutting its sessions. Not running: nothing to do."""
        if self._child is not None:
            await self._child.stop((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0))
            self._child = None

    async def prepare_cluster(self) -> None:
        """Make the roles of a hosted project; once per cluster, in one transaction."""
        await self._run_files("postgres", [path for path in _sql_files() if path.name.startswith(_CLUSTER_SQL)])

    async def prepare_database(self, name: str = "postgres") -> None:
        """Give the database what a hosted project has before its first migration; once per database.

        All or nothing: the files run in one transaction.
        """
        await self._run_files(name, [path for path in _sql_files() if not path.name.startswith(_CLUSTER_SQL)])

    async def prepare(self, name: str = "postgres") -> None:
        """`prepare_cluster` and `prepare_database`, each only if it has not been done."""
        async with await self._connect(name) as connection:
            answer = await connection.execute(
                "select to_regrole('authenticator') is not null, to_regnamespace('auth') is not null"
            )
            has_roles, has_schemas = await answer.fetchone() or (False, False)
        if not has_roles:
            await self.prepare_cluster()
        if not has_schemas:
            await self.prepare_database(name)

    async def create_database(self, name: str, template: str = "template1") -> None:
        """Make a database as a copy of `template`, to which nobody may be connected.

        Settings made by ``alter database`` belong to the name, not to the content: they are copied too.
        """
        async with await self._connect("postgres") as connection:
            await connection.execute(f'create database "{name}" template "{template}"')
            settings = await connection.execute(
                "select unnest(setconfig) from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase"
                " where d.datname = %s and s.setrole = 0",
                (template,),
            )
            for (setting,) in await settings.fetchall():
                key, _, value = setting.partition("=")
                literal = psycopg.sql.Literal(value).as_string(connection)
                await connection.execute(f'alter database "{name}" set {key} = {literal}')

    async def drop_database(self, name: str) -> None:
        """Drop a database and cut whoever is connected to it. Not there: nothing to do."""
        async with await self._connect("postgres") as connection:
            await connection.execute(f'drop database if exists "{name}" with (force)')

    async def _run_files(self, database: str, files: list[Path]) -> None:
        async with await self._connect(database) as connection, connection.transaction():
            for path in files:
                await connection.execute(path.read_bytes())

    async def _connect(self, database: str) -> psycopg.AsyncConnection[tuple[str, ...]]:
        return await psycopg.AsyncConnection.connect(self.url(database, SUPERUSER), autocommit=True)

    async def _takes_queries(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(self.url(user=SUPERUSER), connect_timeout=2)
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True

    async def _make_cluster(self, binaries: Path) -> None:
        """Run ``initdb`` beside the final place and rename: a directory that is there is whole."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        for left_by_a_kill in self.data_dir.parent.glob(f".{self.data_dir.name}-*"):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{self.data_dir.name}-", dir=self.data_dir.parent))
        try:
            if _must_drop_privileges():
                account = pwd.getpwnam(_UNPRIVILEGED)
                os.chown(draft, account.pw_uid, account.pw_gid)
            with _data_argument(draft) as (argument, descriptors):
                child = Child(
                    "initdb",
                    [
                        binaries / "initdb",
                        f"--pgdata={argument}",
                        f"--username={SUPERUSER}",
                        "--auth=trust",
                        "--encoding=UTF8",
                        *_locale_options(binaries),
                        "--no-instructions",
                        *(["--no-sync"] if self.throwaway else []),
                    ],
                    self.log,
                    environment=_environment(),
                    pass_fds=descriptors,
                    user=_server_user(),
                    group=_server_group(),
                )
                try:
                    code = await child.wait()
                except BaseException:
                    await child.stop()
                    raise
            if code != 0:
                raise StartFailed(f"initdb ended with code {code}. Its log is {self.log}:\n{child.log_tail()}")
            try:
                draft.rename(self.data_dir)
            except OSError as error:
                raise StartFailed(f"{self.data_dir} is no cluster and cannot become one: {error.strerror}.") from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    async def _clear_stale_lock(self) -> None:
        """Wait for a server that is going down on our directory; remove the lock file of one that is gone.

        PostgreSQL itself refuses to start when the process id in the file has been given to another process since.
        """
        lock = self.data_dir / "postmaster.pid"
        end = time.monotonic() + _STOP_SECONDS
        while lock.exists():
            try:
                pid = int(lock.read_text().split("\n", 1)[0])
            except (OSError, ValueError):
                return
            if not _serves(pid, self.data_dir):
                lock.unlink(missing_ok=True)
                return
            if time.monotonic() > end:
                raise DataDirBusy(f"A PostgreSQL server (process {pid}) is running on {self.data_dir}. Stop it first.")
            await asyncio.sleep(0.05)

    def _spawn(self, binaries: Path) -> Child:
        settings = _SETTINGS | {"port": str(self.port)} | (_THROWAWAY_SETTINGS if self.throwaway else {})
        with _data_argument(self.data_dir) as (argument, descriptors):
            return Child(
                "PostgreSQL",
                [binaries / "postgres", "-D", argument, *(f"--{key}={value}" for key, value in settings.items())],
                self.log,
                environment=_environment(),
                pass_fds=descriptors,
                user=_server_user(),
                group=_server_group(),
                orphan_signal=signal.SIGQUIT,
            )


def readable_binaries(binaries: Path) -> Path:
    """The binaries at a place where the server's user can execute them, with the library links made.

    Raises:
        MissingPart: they cannot be read by that user and are not a whole installation that could be copied.
    """
    prefix = binaries.parent
    if prefix.name == "native":
        hydrate_symlinks(prefix.parent)
    if not _must_drop_privileges() or _reachable_by_others(binaries):
        return binaries
    if not (prefix / "share").is_dir() or not (prefix / "lib").is_dir():
        raise MissingPart(f"{binaries} cannot be read by the user {_UNPRIVILEGED}, who must run PostgreSQL for root.")
    version = (binaries / "postgres").stat()
    key = hashlib.sha256(f"{prefix}:{version.st_mtime_ns}:{version.st_size}".encode()).hexdigest()[:16]
    copy = Path(tempfile.gettempdir()) / f"sauti-postgres-{key}"
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(prefix="sauti-postgres-", dir=copy.parent))
        try:
            shutil.copytree(prefix, draft / "native", symlinks=True)
            draft.chmod(0o755)
            with contextlib.suppress(OSError):  # another process was faster
                draft.rename(copy)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    facts = copy.lstat()
    if facts.st_uid != os.geteuid() or not stat.S_ISDIR(facts.st_mode) or facts.st_mode & 0o022:
        raise MissingPart(f"{copy} was made by somebody else. Remove it and start again.")
    return copy / "native" / "bin"


def _must_drop_privileges() -> bool:
    return os.geteuid() == 0


def _server_user() -> str | None:
    return _UNPRIVILEGED if _must_drop_privileges() else None


def _server_group() -> int | None:
    return pwd.getpwnam(_UNPRIVILEGED).pw_gid if _must_drop_privileges() else None


def _environment() -> dict[str, str]:
    """Ours without the variables that would change what libpq or the server does."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}


@contextlib.contextmanager
def _data_argument(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """How to name a data directory to the server, and the descriptors that the name needs.

    Through ``/proc/self/fd`` the server needs no right to walk the folders above.
    """
    if not _must_drop_privileges():
        yield str(folder), ()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def _reachable_by_others(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path.resolve(), *path.resolve().parents))


def _serves(pid: int, data_dir: Path) -> bool:
    """Whether the process is a PostgreSQL server on that directory; without /proc, whether it lives at all."""
    if Path("/proc/self").exists():
        try:
            command = Path(f"/proc/{pid}/comm").read_text().strip()
            return command.startswith("postgres") and Path(f"/proc/{pid}/cwd").resolve() == data_dir.resolve()
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _locale_options(binaries: Path) -> list[str]:
    """A locale that needs nothing of the system: version 17 brings its own UTF-8 one."""
    if int(_version(binaries)) >= 17:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--locale=C"]


def _version(binaries: Path) -> str:
    """Major version of the server."""
    answer = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if found is None:
        raise MissingPart(f"{binaries / 'postgres'} does not say its version: {answer.stderr.strip()}")
    return found[1]


def bootstrap_fingerprint() -> str:
    """Names the content of the files that `Postgres.prepare` runs, and the server's version."""
    digest = hashlib.sha256(_version(postgres_binaries()).encode())
    for path in _sql_files():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sql_files() -> list[Path]:
    return sorted(SQL.glob("[0-9][0-9]_*.sql"))
