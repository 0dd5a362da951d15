"""Schema `auth` gives and refuses what it does on a hosted project."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from psycopg import errors

from sauti_local.postgres import SUPERUSER, Postgres

TABLES = "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'auth'"


def _connect(postgres_server: Postgres, database: str, user: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(postgres_server.url(database, user))


def test_migrations_may_key_and_trigger_on_users(postgres_server: Postgres, auth_database: str) -> None:
    user_id = uuid.uuid4()
    with _connect(postgres_server, auth_database, "postgres") as connection:
        connection.execute("create table public.people (id uuid primary key references auth.users on delete cascade)")
        connection.execute(
            """
            create function public.make_person() returns trigger language plpgsql security definer set search_path = ''
            as $$ begin insert into public.people values (new.id); return null; end $$
            """
        )
        connection.execute(
            "create trigger make_person after insert on auth.users for each row execute function public.make_person()"
        )
        connection.execute("insert into auth.users (id) values (%s)", [user_id])
        assert connection.execute("select id from public.people").fetchall() == [(user_id,)]
        connection.execute("delete from auth.users where id = %s", [user_id])
        assert connection.execute("select id from public.people").fetchall() == []
        connection.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        "create table auth.mine (id int)",
        "create function auth.mine() returns int language sql as 'select 1'",
        "alter table auth.users add column mine text",
        "create policy mine on auth.users for select using (true)",
        "drop table auth.refresh_tokens",
        "create or replace function auth.uid() returns uuid language sql as 'select gen_random_uuid()'",
        "insert into auth.schema_migrations values ('1')",
    ],
)
def test_migrations_may_not_change_the_schema_itself(
    postgres_server: Postgres, auth_database: str, statement: str
) -> None:
    with (
        _connect(postgres_server, auth_database, "postgres") as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_no_api_role_reaches_a_table(postgres_server: Postgres, auth_database: str, role: str) -> None:
    with _connect(postgres_server, auth_database, SUPERUSER) as connection:
        tables = [str(name) for (name,) in connection.execute(TABLES)]
        assert {"auth.users", "auth.identities", "auth.sessions", "auth.refresh_tokens"} < set(tables)
        for table in tables:
            for right in ("select", "insert", "update", "delete"):
                granted = connection.execute("select has_table_privilege(%s, %s, %s)", [role, table, right]).fetchone()
                assert granted == (False,), (role, table, right)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (None, None, None, None)),
        ({"request.jwt.claims": ""}, (None, None, None, None)),
        (
            {"request.jwt.claims": '{"sub": "00000000-0000-0000-0000-000000000001", "role": "r", "email": "e"}'},
            (uuid.UUID(int=1), "r", "e", {"sub": str(uuid.UUID(int=1)), "role": "r", "email": "e"}),
        ),
        (
            {
                "request.jwt.claim.sub": str(uuid.UUID(int=2)),
                "request.jwt.claim.role": "s",
                "request.jwt.claims": '{"sub": "00000000-0000-0000-0000-000000000001", "role": "r"}',
            },
            (uuid.UUID(int=2), "s", None, {"sub": str(uuid.UUID(int=1)), "role": "r"}),
        ),
    ],
)
def test_the_callers_claims_are_read_from_the_request(
    postgres_server: Postgres, auth_database: str, settings: dict[str, str], expected: tuple[object, ...]
) -> None:
    with _connect(postgres_server, auth_database, "authenticator") as connection:
        connection.execute("set local role authenticated")
        for name, value in settings.items():
            connection.execute("select set_config(%s, %s, true)", [name, value])
        row = connection.execute("select auth.uid(), auth.role(), auth.email(), auth.jwt()").fetchone()
        assert row == expected


def test_the_functions_are_as_the_planner_knows_them(postgres_server: Postgres, auth_database: str) -> None:
    with _connect(postgres_server, auth_database, SUPERUSER) as connection:
        rows = connection.execute(
            """
            select p.proname, l.lanname, p.provolatile, p.prosecdef, p.proowner::regrole::text
              from pg_proc p join pg_language l on l.oid = p.prolang
             where p.pronamespace = 'auth'::regnamespace order by 1
            """
        ).fetchall()
    assert rows == [(name, "sql", "s", False, "supabase_auth_admin") for name in ("email", "jwt", "role", "uid")]


def test_an_address_is_unique_among_accounts_that_sign_in_with_it(
    postgres_server: Postgres, auth_database: str
) -> None:
    insert = b"insert into auth.users (id, email, is_sso_user) values (gen_random_uuid(), 'twice@example.org', %s)"
    with _connect(postgres_server, auth_database, "supabase_auth_admin") as connection:
        connection.execute(insert, [False])
        connection.execute(insert, [True])
        connection.execute(insert, [True])
        with pytest.raises(errors.UniqueViolation) as refused:
            connection.execute(insert, [False])
        assert refused.value.diag.constraint_name == "users_email_partial_key"
        connection.rollback()
