"""The embedded server: durable where it has to be, a hosted project's roles, and no leftovers of a broken start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from sauti_local.errors import MissingPart, PortBusy, StartFailed
from sauti_local.paths import NODE_MODULES, ROOT
from sauti_local.ports import bound_socket
from sauti_local.postgres import SUPERUSER, Postgres, readable_binaries
from sauti_local.symlinks import hydrate_symlinks
from tests.support.database import Database

POSTGRES_15 = NODE_MODULES / "postgres-15-linux-x64" / "native" / "bin"


def names(connection: psycopg.Connection[tuple[str]], query: str) -> set[str]:
    return {row[0] for row in connection.execute(query.encode())}


def test_roles_have_no_more_power_than_on_a_hosted_project(postgres_server: Postgres) -> None:
    with psycopg.connect(postgres_server.url(user=SUPERUSER)) as connection:
        rows = connection.execute(
            "select rolname, rolsuper, rolbypassrls, rolcanlogin, rolinherit from pg_roles"
            " where rolname in ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator') order by 1"
        ).fetchall()
    assert rows == [
        ("anon", False, False, False, False),
        ("authenticated", False, False, False, False),
        ("authenticator", False, False, True, False),
        ("postgres", False, True, True, True),
        ("service_role", False, True, False, False),
    ]


def test_only_the_superuser_is_one(postgres_server: Postgres) -> None:
    with psycopg.connect(postgres_server.url(user=SUPERUSER)) as connection:
        assert names(connection, "select rolname from pg_roles where rolsuper") == {SUPERUSER}


async def test_a_clone_has_the_content_and_the_settings_of_its_template(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", throwaway=True)
    await server.start()
    try:
        await server.prepare()
        await server.create_database("template")
        await server.prepare_database("template")
        await server.create_database("clone", "template")
        with psycopg.connect(server.url("clone"), autocommit=True) as connection:
            assert connection.execute("select to_regclass('auth.users')::text").fetchone() == ("auth.users",)
            assert connection.execute("select current_setting('pgrst.db_schemas')").fetchone() == ("public",)
    finally:
        await server.stop()


def test_a_role_seen_through_the_api_has_its_time_limit(database: Database) -> None:
    row = database.as_anon().execute("select current_user as me, current_setting('statement_timeout') as t").fetchone()
    assert row == {"me": "anon", "t": "3s"}


def test_the_server_does_not_run_as_root(postgres_server: Postgres) -> None:
    assert postgres_server.pid is not None
    assert Path(f"/proc/{postgres_server.pid}").stat().st_uid != 0


async def test_starts_below_a_folder_that_others_cannot_enter(tmp_path: Path) -> None:
    locked = tmp_path / "with spaces" / "locked"
    locked.mkdir(mode=0o700, parents=True)
    server = Postgres(locked / "postgres", throwaway=True)
    await server.start()
    await server.stop()
    assert (locked / "postgres" / "PG_VERSION").read_text().strip() == "17"


@pytest.mark.skipif(not POSTGRES_15.exists(), reason="the packages of PostgreSQL 15 are for Linux on x64")
async def test_version_15_is_prepared_alike(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", binaries=POSTGRES_15, throwaway=True)
    await server.start()
    try:
        await server.prepare()
        await server.prepare()
        with psycopg.connect(server.url()) as connection:
            assert connection.info.server_version // 10000 == 15
            assert {"auth", "extensions", "public", "realtime"} <= names(connection, "select nspname from pg_namespace")
    finally:
        await server.stop()


async def test_a_failed_initdb_leaves_no_directory_behind(tmp_path: Path) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir(mode=0o755)
    (binaries / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 17.0'\n")
    (binaries / "initdb").write_text('#!/bin/sh\necho half > "${1#--pgdata=}/PG_VERSION"\necho no space >&2\nexit 1\n')
    for program in binaries.iterdir():
        program.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest-of-" in str(folder):
            folder.chmod(0o755)
    with pytest.raises(StartFailed, match="no space"):
        await Postgres(tmp_path / "data" / "postgres", binaries=binaries).start()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["postgres.log"]


async def test_a_lock_file_whose_process_id_went_to_another_process_does_not_stop_the_start(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", throwaway=True)
    await server.start()
    assert server.child is not None
    lock = (server.data_dir / "postmaster.pid").read_text().split("\n")
    await server.child.stop((signal.SIGKILL, 5.0))
    (server.data_dir / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lock[1:]]))
    await server.start()
    await server.stop()


async def test_what_was_committed_survives_a_killed_server(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres")
    await server.start()
    with psycopg.connect(server.url(user=SUPERUSER), autocommit=True) as connection:
        connection.execute("create table kept as select 1 as value")
    assert server.child is not None
    await server.child.stop((signal.SIGKILL, 5.0))
    await server.start()
    try:
        with psycopg.connect(server.url(user=SUPERUSER)) as connection:
            assert connection.execute("select value from kept").fetchone() == (1,)
    finally:
        await server.stop()


async def test_a_port_that_is_taken_is_an_error_that_says_so(tmp_path: Path) -> None:
    with bound_socket(0, "", "") as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortBusy, match=f"Port {port} .*--port"):
            await Postgres(tmp_path / "postgres", port=port).start()


def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from sauti_local.postgres import Postgres\n"
        f"server = Postgres(Path({str(tmp_path / 'postgres')!r}), throwaway=True)\n"
        "asyncio.run(server.start()); print(server.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert gone(pidfd, seconds=10)
    finally:
        os.close(pidfd)


def gone(pidfd: int, seconds: float) -> bool:
    """Whether the process ends within the time."""
    import select

    return bool(select.select([pidfd], [], [], seconds)[0])


def test_library_links_are_made_once_and_again(tmp_path: Path) -> None:
    native = tmp_path / "native"
    (native / "lib").mkdir(parents=True)
    (native / "lib" / "libx.so.1.2").write_text("library")
    (native / "pg-symlinks.json").write_text('[{"source": "native/lib/libx.so.1.2", "target": "native/lib/libx.so.1"}]')
    hydrate_symlinks(tmp_path)
    hydrate_symlinks(tmp_path)
    assert (native / "lib" / "libx.so.1").readlink() == Path("libx.so.1.2")
    assert (native / "lib" / "libx.so.1").read_text() == "library"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")
def test_a_copy_that_another_user_prepared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = tmp_path / "native"
    for folder in ("bin", "lib", "share"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "bin" / "postgres").touch()
    tmp_path.chmod(0o700)
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    copy = readable_binaries(prefix / "bin").parent.parent
    assert copy.parent == copies
    os.chown(copy, 65534, 65534)
    with pytest.raises(MissingPart, match="somebody else"):
        readable_binaries(prefix / "bin")
