"""Objects that somebody puts before ours, and objects that somebody makes later: neither opens anything."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.cases import Cases, call
from tests.support.refusals import forbidden, refused

CLIENTS = ("anon", "authenticated", "service_role")


def test_tables_that_shadow_ours_deceive_no_function(cases: Cases) -> None:
    professional, survivor = cases.professional(), cases.survivor()
    report = cases.file_report(survivor, incident_description="canarystory")
    offer = cases.offer(report, professional)["id"]
    cases.sql.execute(
        "grant temporary on database " + cases.one("select current_database() as name")["name"] + " to public"
    )
    for statement in (
        "create temporary table matched_services as select * from public.matched_services",
        "update pg_temp.matched_services set match_status_type = 'accepted'",
        "create temporary table reports (report_id uuid, user_id uuid)",
        "create temporary table error_codes (symbol text, status integer, hint text)",
        "create function pg_temp.require_user() returns uuid language sql as 'select null::uuid'",
        "create function pg_temp.uid() returns uuid language sql as 'select null::uuid'",
        "create function pg_temp.clock() returns timestamptz language sql as 'select now() + interval ''9 years'''",
    ):
        professional.sql.execute(statement)
    professional.sql.execute("set local search_path = pg_temp, public, extensions")
    with refused("case_not_open"):
        call(professional.sql, "open_case", offer)
    assert professional.sql.execute("select * from public.reports").fetchall() == []


@pytest.mark.parametrize("schema", ["public", "private", "extensions", "auth", "realtime"])
def test_a_client_can_put_nothing_into_our_schemas(cases: Cases, schema: str) -> None:
    for actor in (
        cases.survivor().sql,
        cases.professional().sql,
        cases.database.as_anon(),
        cases.database.as_service(),
    ):
        for what in ("create table {}.mine ()", "create function {}.mine() returns int language sql as 'select 1'"):
            with forbidden():
                actor.execute(what.format(schema))


@pytest.mark.parametrize("schema", ["public", "private"])
def test_what_is_made_later_is_granted_to_nobody(cases: Cases, schema: str) -> None:
    cases.sql.execute(f"create table {schema}.later (id int generated always as identity primary key)")
    cases.sql.execute(f"create sequence {schema}.later_number")
    cases.sql.execute(f"create view {schema}.later_view as select 1 as one")
    cases.sql.execute(f"create function {schema}.later_function() returns int language sql as 'select 1'")
    actors = [cases.database.as_anon(), cases.survivor().sql]
    for actor in actors:
        for query in (
            f"select * from {schema}.later",
            f"insert into {schema}.later default values",
            f"select * from {schema}.later_view",
            f"select nextval('{schema}.later_number')",
            f"select {schema}.later_function()",
        ):
            with forbidden():
                actor.execute(query)
    for role in CLIENTS:
        privileges = cases.one(
            "select has_table_privilege(%s, %s, 'select, insert, update, delete') as relation,"
            " has_function_privilege(%s, %s, 'execute') as function",
            *(role, f"{schema}.later", role, f"{schema}.later_function()"),
        )
        assert privileges == {"relation": False, "function": False}


def test_nobody_becomes_another_role_or_turns_the_wall_off(cases: Cases) -> None:
    actor = cases.professional().sql
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        actor.execute("alter table public.reports disable row level security")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        actor.execute("create policy mine on public.reports for select to authenticated using (true)")
    # Whoever may select but not pass it on gets a warning and no more.
    actor.execute("grant select on public.reports to anon")
    assert cases.one("select has_table_privilege('anon', 'public.reports', 'select') as may") == {"may": False}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        actor.execute("set local session_replication_role = replica")
    actor.execute("set local row_security = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        actor.execute("select * from public.matched_services")
