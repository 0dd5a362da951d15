"""A project made before 30 October 2026 grants every new object in ``public`` to the API roles by default.

On such a project each grant that we do not make would be made for us: every table writable by anybody. The first
migration takes that back, so both kinds of project end with the same privileges.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from sauti_local.migrations import push_migrations
from sauti_local.postgres import SUPERUSER, Postgres
from sauti_local.throwaway import new_database

# As the platform sets them up: for objects made by either role.
OLDER_DEFAULTS = "".join(
    f"alter default privileges for role {role} in schema public grant all on {kind}"
    " to postgres, anon, authenticated, service_role;\n"
    for role in ("postgres", "supabase_admin")
    for kind in ("tables", "functions", "sequences")
)

PRIVILEGES = """
select 'relation', c.oid::regclass::text, coalesce(r.rolname, 'public'), g.privilege_type
from pg_class c join pg_namespace n on n.oid = c.relnamespace
cross join aclexplode(
  coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))
) g
left join pg_roles r on r.oid = g.grantee
where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'S')
union all
select 'column', format('%s.%I', c.oid::regclass, a.attname), coalesce(r.rolname, 'public'), g.privilege_type
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
cross join aclexplode(a.attacl) g left join pg_roles r on r.oid = g.grantee
where n.nspname in ('public', 'private')
union all
select 'function', p.oid::regprocedure::text, coalesce(r.rolname, 'public'), g.privilege_type
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g left join pg_roles r on r.oid = g.grantee
where n.nspname in ('public', 'private')
order by 1, 2, 3, 4
"""

# What the next migration would give away without saying so.
NEW_OBJECTS = """
create table public.tomorrow (id bigint generated always as identity primary key);
create function public.tomorrow_function() returns int language sql as 'select 1';
"""


def privileges(url: str) -> list[tuple[str, str, str, str]]:
    """What each role may do in our schemas, with objects that a careless later migration makes."""
    with psycopg.connect(url) as connection:
        connection.execute(NEW_OBJECTS)
        found = connection.execute(PRIVILEGES).fetchall()
        connection.rollback()
    return found


@pytest.fixture(scope="module")
def older_project(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a migrated database that began with the older default privileges."""
    url = new_database(postgres_server, "older_project")
    with psycopg.connect(postgres_server.url("older_project", SUPERUSER)) as connection:
        connection.execute(OLDER_DEFAULTS)
    asyncio.run(push_migrations(url, Path(tmp_path_factory.mktemp("older")) / "push.log", seed=False))
    return url


def test_an_older_project_ends_with_the_same_privileges(road: str, older_project: str) -> None:
    assert privileges(older_project) == privileges(road)


def test_the_older_defaults_are_a_danger_without_the_first_migration(postgres_server: Postgres) -> None:
    url = new_database(postgres_server, "older_and_bare")
    with psycopg.connect(postgres_server.url("older_and_bare", SUPERUSER)) as connection:
        connection.execute(OLDER_DEFAULTS)
    assert ("relation", "tomorrow", "anon", "INSERT") in privileges(url)


def test_a_later_careless_table_is_closed_to_the_api_roles(older_project: str) -> None:
    roles = {role for kind, name, role, _ in privileges(older_project) if name.startswith("tomorrow")}
    assert roles == {"postgres"}
