"""Schema `realtime` as a migration and a trigger meet it: what a hosted project allows, and no more."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow

from sauti_local.paths import NODE_MODULES
from sauti_local.postgres import SUPERUSER, Postgres
from tests.support.loop_thread import LoopThread

POSTGRES_15 = NODE_MODULES / "postgres-15-linux-x64" / "native" / "bin"

FORBIDDEN = [
    "create table realtime.mine ()",
    "create function realtime.mine() returns int language sql as 'select 1'",
    "create view realtime.mine as select 1",
    "create index on realtime.messages (event)",
    "create rule mine as on insert to realtime.messages do instead nothing",
    "create trigger mine after insert on realtime.messages for each row execute function public.nothing()",
    "alter table realtime.messages disable row level security",
    "alter table realtime.messages_default disable row level security",
    "alter table realtime.messages add column mine int",
    "alter table realtime.messages rename to mine",
    "comment on table realtime.messages is 'mine'",
    "drop table realtime.messages",
    "drop index realtime.messages_inserted_at_topic_index",
    "truncate realtime.messages",
    "delete from realtime.messages",
    "create or replace function realtime.topic() returns text language sql as 'select null'",
    "drop function realtime.topic()",
    "drop event trigger realtime_refuse_ddl",
]


@pytest.fixture(scope="module", params=[17, 15])
def project(
    request: pytest.FixtureRequest,
    postgres_server: Postgres,
    loop_thread: LoopThread,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., psycopg.Connection[TupleRow]]]:
    """Connects to a prepared database of that version, as a role; each statement commits."""
    server = postgres_server
    if request.param == 15:
        if not POSTGRES_15.exists():
            pytest.skip("the packages of PostgreSQL 15 are for Linux on x64")
        server = Postgres(tmp_path_factory.mktemp("postgres") / "data", binaries=POSTGRES_15, throwaway=True)
        loop_thread.run(server.start())
        loop_thread.run(server.prepare_cluster())
    name = f"schema_{uuid.uuid4().hex}"
    loop_thread.run(server.create_database(name))
    loop_thread.run(server.prepare_database(name))
    connections = []

    def connect(user: str = "postgres") -> psycopg.Connection[TupleRow]:
        connections.append(psycopg.connect(server.url(name, user), autocommit=True))
        return connections[-1]

    yield connect
    for connection in connections:
        connection.close()
    loop_thread.run(server.stop() if request.param == 15 else server.drop_database(name))


Connect = Callable[..., psycopg.Connection[TupleRow]]


def test_a_migration_may_make_alter_comment_and_drop_policies_on_messages(project: Connect) -> None:
    connection = project()
    for statement in (
        "create policy mine on realtime.messages for select to authenticated using (realtime.topic() = 'x')",
        "comment on policy mine on realtime.messages is 'mine'",
        "alter policy mine on realtime.messages using (false)",
        "drop policy mine on realtime.messages",
    ):
        connection.execute(statement)


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_a_migration_may_change_nothing_else_in_the_schema(project: Connect, statement: str) -> None:
    connection = project()
    connection.execute(
        "create or replace function public.nothing() returns trigger language plpgsql as 'begin return new; end'"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_a_migration_is_free_elsewhere(project: Connect) -> None:
    project().execute(
        "create table public.mine (id int primary key); comment on table public.mine is 'mine';"
        " create index on public.mine (id); alter table public.mine add column more int; drop table public.mine"
    )


def test_send_adds_an_id_and_keeps_one_that_is_there(project: Connect) -> None:
    connection = project()
    connection.execute("select realtime.send('{\"n\": 1}', 'e', 'send'), realtime.send('{\"id\": 7}', 'e', 'send')")
    rows = connection.execute(
        "select payload, event, private, extension, id::text from realtime.messages where topic = 'send' order by"
        " payload ? 'n' desc"
    ).fetchall()
    assert rows[0][:4] == ({"n": 1, "id": rows[0][4]}, "e", True, "broadcast")
    assert rows[1][0] == {"id": 7}


def test_send_runs_as_its_caller_and_an_error_is_a_warning(project: Connect) -> None:
    connection, heard = project(SUPERUSER), []
    connection.add_notice_handler(lambda notice: heard.append((notice.severity, notice.message_primary)))
    with connection.transaction():
        connection.execute("set local role authenticated")
        connection.execute("select realtime.send('{}', 'e', 'refused')")
        assert connection.execute("select 'the transaction goes on'").fetchone()
    ((severity, message),) = heard
    assert severity == "WARNING"
    assert str(message).startswith("WarnSendingBroadcastMessage: new row violates row-level security")
    assert connection.execute("select count(*) from realtime.messages where topic = 'refused'").fetchone() == (0,)


def test_a_policy_sees_the_topic_of_what_is_sent(project: Connect) -> None:
    project().execute(
        "create policy only_mine on realtime.messages for insert to authenticated"
        " with check (realtime.topic() = 'mine' and topic = 'mine')"
    )
    connection = project(SUPERUSER)
    with connection.transaction():
        connection.execute("set local role authenticated")
        connection.execute("select realtime.send('{}', 'e', 'mine'), realtime.send('{}', 'e', 'other')")
    rows = connection.execute("select topic from realtime.messages where topic in ('mine', 'other')").fetchall()
    assert rows == [("mine",)]


def test_a_message_of_any_day_has_a_partition(project: Connect) -> None:
    project().execute(
        "insert into realtime.messages (topic, extension, inserted_at)"
        " values ('days', 'broadcast', now() - interval '1 year'), ('days', 'broadcast', now() + interval '1 year')"
    )


def test_nobody_of_the_api_reads_messages_without_a_policy(project: Connect) -> None:
    project().execute("select realtime.send('{}', 'e', 'unread')")
    connection = project(SUPERUSER)
    for role, count in (("anon", 0), ("authenticated", 0)):
        with connection.transaction():
            connection.execute(f"set local role {role}".encode())
            assert connection.execute("select count(*) from realtime.messages").fetchone() == (count,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute("select count(*) from realtime.messages_default")


def test_row_broadcasts_are_for_rows(project: Connect) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="for each row"):
        project().execute(
            "do $$ declare r record; begin select 1 as x into r;"
            " perform realtime.broadcast_changes('t', 'e', 'INSERT', 'a', 'b', r, r, 'STATEMENT'); end $$"
        )
