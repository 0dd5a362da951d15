"""`dev` leaves no process and no half-written state, however it ends, and goes on where it was."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from sauti_local.errors import DataDirBusy, StackError, StartFailed
from sauti_local.migrations import push_migrations
from sauti_local.ports import bound_socket
from sauti_local.postgres import Postgres
from sauti_local.processes import python_environment
from sauti_local.stack import Addresses, Stack, StackConfig
from tests.support.dev_process import Family, dev
from tests.support.loop_thread import LoopThread

EMAIL, PASSWORD = "nobody-else@example.net", "correct horse battery staple"


def sign_up(ready: dict[str, str]) -> str:
    answer = httpx.post(
        f"{ready['api_url']}/auth/v1/signup",
        json={"email": EMAIL, "password": PASSWORD},
        headers={"apikey": ready["anon_key"]},
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def sign_in(ready: dict[str, str]) -> int:
    return httpx.post(
        f"{ready['api_url']}/auth/v1/token?grant_type=password",
        json={"email": EMAIL, "password": PASSWORD},
        headers={"apikey": ready["anon_key"]},
        trust_env=False,
    ).status_code


def applied(ready: dict[str, str]) -> list[tuple[str]]:
    with psycopg.connect(ready["db_url"]) as connection:
        return connection.execute("select version from supabase_migrations.schema_migrations order by 1").fetchall()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop_it_ends_well_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with dev(tmp_path / "data") as running:
        family = Family(running.process.pid)
        programs = {name.rstrip(".0123456789") for name in family.names.values()}  # python3.11 is a python too
        assert {"postgres", "postgrest", "deno", "python"} <= programs
        assert running.end(number) == (0, "")
    assert family.survivors(0.5) == []


def test_the_line_names_all_addresses_and_they_answer(tmp_path: Path) -> None:
    with dev(tmp_path / "data", "--no-worker") as running:
        ready = running.ready
        assert list(ready) == [
            "api_url", "anon_key", "service_role_key", "jwt_secret", "db_url", "mail_url", "caldav_url",
        ]  # fmt: skip
        key = {"apikey": ready["anon_key"]}
        assert httpx.get(f"{ready['api_url']}/rest/v1/", headers=key, trust_env=False).status_code == 200
        assert httpx.get(f"{ready['api_url']}/auth/v1/settings", headers=key, trust_env=False).status_code == 200
        assert httpx.get(f"{ready['mail_url']}/messages.json", trust_env=False).json() == []
        calendar = httpx.request(
            "PROPFIND", f"{ready['caldav_url']}/amina/sessions/", auth=("amina", "sauti"), trust_env=False
        )
        assert calendar.status_code == 207
        with psycopg.connect(ready["db_url"]) as connection:
            superuser = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
        assert superuser == (True,)


def test_killed_it_leaves_no_process_and_a_second_start_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "folder with spaces" / "data"
    with dev(data, cwd=tmp_path) as running:
        token = sign_up(running.ready)
        before, keys = applied(running.ready), running.ready["anon_key"]
        family = Family(running.process.pid)
        running.process.kill()
        running.process.wait()
        # At once: the database of the killed stack may still be going down.
        with dev(data, "--no-worker") as second:
            assert second.ready["anon_key"] == keys
            assert sign_in(second.ready) == 200
            assert applied(second.ready) == before
            user = httpx.get(
                f"{second.ready['api_url']}/auth/v1/user",
                headers={"apikey": keys, "Authorization": f"Bearer {token}"},
                trust_env=False,
            )
            assert user.json()["email"] == EMAIL
    assert family.survivors() == []


def test_killed_at_any_moment_of_its_first_start_it_still_comes_up_the_next_time(tmp_path: Path) -> None:
    data = tmp_path / "data"
    families = []
    for marker in ("keys.json", "postgres/PG_VERSION", "postgres/postmaster.pid", "logs/migrations.log"):
        with dev(data, "--no-worker", wait=False) as running:
            end = time.monotonic() + 30
            while not (data / marker).exists() and time.monotonic() < end:
                time.sleep(0.005)
            families.append(Family(running.process.pid))
            running.process.kill()
    with dev(data, "--no-worker") as running:
        sign_up(running.ready)
    assert [family.survivors() for family in families] == [[], [], [], []]
    assert [path.name for path in data.glob(".postgres-*")] == []


def test_a_busy_port_is_a_sentence_and_nothing_is_left(tmp_path: Path) -> None:
    with bound_socket(0, "", "") as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with dev(tmp_path / "data", port=port, wait=False) as running:
            output, errors = running.process.communicate(timeout=30)
    assert (running.process.returncode, output) == (1, "")
    assert re.fullmatch(rf"sauti: Port {port} for the gateway cannot be used \(.+\)\. Stop .*--port 0 .*\n", errors)
    assert not (tmp_path / "data" / "postgres").exists()


async def test_a_data_directory_has_one_stack(tmp_path: Path) -> None:
    with dev(tmp_path / "data", "--no-worker"), pytest.raises(DataDirBusy, match="--data-dir"):
        await Stack(StackConfig(data_dir=tmp_path / "data", port=0)).__aenter__()


async def test_data_of_another_generation_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "generation").write_text("another")
    with pytest.raises(StackError, match="another version"):
        await Stack(StackConfig(data_dir=tmp_path, port=0)).__aenter__()
    assert {path.name for path in tmp_path.iterdir()} <= {"generation", "lock", "logs"}


def test_two_stacks_run_side_by_side_and_trust_only_their_own_keys(stack: Stack, tmp_path: Path) -> None:
    mine = stack.addresses
    with bound_socket(0, "", "") as probe:
        port = probe.getsockname()[1]
    with dev(tmp_path / "data", "--no-worker", port=port) as other:
        theirs = other.ready
        assert theirs["api_url"] == f"http://127.0.0.1:{port}"
        assert (mine.api_url, mine.db_url, mine.mail_url) != (theirs["api_url"], theirs["db_url"], theirs["mail_url"])
        answer = httpx.get(f"{theirs['api_url']}/rest/v1/", headers={"apikey": mine.anon_key}, trust_env=False)
        assert answer.status_code == 401


def test_a_part_that_ends_by_itself_ends_the_stack_with_its_name(tmp_path: Path) -> None:
    with dev(tmp_path / "data", "--no-worker") as running:
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
        names = {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in children}
        os.kill(names["postgrest"], signal.SIGKILL)
        output, errors = running.process.communicate(timeout=30)
    assert (running.process.returncode, output) == (1, "")
    assert errors.startswith("PostgREST ended with code -9. Its log is ")


def test_a_refused_migration_stops_the_start_with_its_reason(
    postgres_server: Postgres, template: str, tmp_path: Path, loop_thread: LoopThread
) -> None:
    project = tmp_path / "supabase" / "migrations"
    project.mkdir(parents=True)
    (project / "20260101000000_wrong.sql").write_text("create table public.half (id int);\nselect no_such_column;\n")

    async def push() -> None:
        await postgres_server.create_database("wrong")
        await postgres_server.prepare_database("wrong")
        await push_migrations(postgres_server.url("wrong"), tmp_path / "log", seed=False, project=tmp_path)

    with pytest.raises(StartFailed, match="no_such_column"):
        loop_thread.run(push())
    with psycopg.connect(postgres_server.url("wrong")) as connection:
        assert connection.execute("select to_regclass('public.half')").fetchone() == (None,)
    loop_thread.run(postgres_server.drop_database("wrong"))


def test_the_folder_of_a_killed_throwaway_stack_is_swept_by_the_next(tmp_path: Path) -> None:
    code = (
        "import asyncio, os; from sauti_local.stack import Stack, StackConfig\n"
        "async def main():\n"
        "    async with Stack(StackConfig(port=0, seed=False, worker=False, functions=False)) as stack:\n"
        "        print(stack.addresses.logs.parent, flush=True)\n"
        "        {}\n"
        "asyncio.run(main())"
    )

    def run(then: str) -> Path:
        answer = subprocess.run(
            [sys.executable, "-P", "-c", code.format(then)],
            env=python_environment() | {"TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Path(answer.stdout.strip())

    killed = run("os.kill(os.getpid(), 9)")
    assert killed.parent == tmp_path
    assert killed.exists()
    second = run("pass")
    assert second.parent == tmp_path
    assert not killed.exists()
    assert not second.exists()


def test_keys_do_not_show_when_addresses_are_printed(stack: Stack) -> None:
    shown = repr(stack.addresses)
    addresses: Addresses = stack.addresses
    for secret in (addresses.anon_key, addresses.service_role_key, addresses.jwt_secret, addresses.db_url):
        assert secret not in shown


async def test_a_failed_start_stops_what_had_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAUTI_POSTGREST_BIN", "/bin/false")
    stack = Stack(StackConfig(data_dir=tmp_path / "data", port=0, seed=False, worker=False, functions=False))
    with pytest.raises(StartFailed, match="PostgREST ended with code 1"):
        await stack.__aenter__()
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()
