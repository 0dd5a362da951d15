"""What a built database says about itself: relations, functions, types, policies, privileges, and their comments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import dict_row

T = TypeVar("T")

# Roles a caller of the Data API can have, weakest first.
ROLES = ("anon", "authenticated", "service_role")
VERBS = ("select", "insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table or view; ``default`` is SQL, or None."""

    name: str
    type: str
    nullable: bool
    default: str | None
    comment: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A row level security policy; ``using`` and ``check`` are SQL, or None."""

    name: str
    verb: str
    roles: tuple[str, ...]
    using: str | None
    check: str | None
    comment: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role may do to a relation; ``columns`` None means the whole row."""

    role: str
    verb: str
    columns: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view."""

    schema: str
    name: str
    kind: str  # "table" or "view"
    rls: bool
    comment: str
    columns: tuple[Column, ...]
    policies: tuple[Policy, ...]
    grants: tuple[Grant, ...]

    def grant(self, role: str, verb: str) -> Grant | None:
        """Give what the role may do with this verb, or None."""
        return next((grant for grant in self.grants if (grant.role, grant.verb) == (role, verb)), None)

    def policy(self, role: str, verb: str) -> Policy | None:
        """Give the policy that decides on rows for this role and verb, or None."""
        return next((policy for policy in self.policies if policy.verb == verb and role in policy.roles), None)


@dataclass(frozen=True, slots=True)
class Function:
    """A function; ``executable_by`` are those of ROLES that may call it."""

    schema: str
    name: str
    arguments: str
    result: str
    definer: bool
    volatility: str
    is_trigger: bool
    comment: str
    executable_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enumerated type and its values in order."""

    name: str
    values: tuple[str, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A registered error of our own SQL."""

    symbol: str
    status: int
    details: str
    hint: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything the reference pages print, in the order in which they print it."""

    relations: tuple[Relation, ...]
    functions: tuple[Function, ...]
    enumerations: tuple[Enumeration, ...]
    errors: tuple[ErrorCode, ...]


def read_catalog(connection: psycopg.Connection[Any]) -> Catalog:
    """Read schemas public and private, and realtime.messages for its policies."""
    parameters = {"roles": list(ROLES), "verbs": list(VERBS)}
    with connection.cursor(row_factory=dict_row) as cursor:

        def rows(query: LiteralString) -> list[dict[str, Any]]:
            found = cursor.execute(query, parameters).fetchall()
            return [{key: tuple(v) if isinstance(v, list) else v for key, v in row.items()} for row in found]

        def by_relation(make: Callable[..., T], query: LiteralString) -> Mapping[int, tuple[T, ...]]:
            found: defaultdict[int, tuple[T, ...]] = defaultdict(tuple)
            for row in rows(query):
                found[row.pop("oid")] += (make(**row),)
            return found

        columns, policies = by_relation(Column, _COLUMNS), by_relation(Policy, _POLICIES)
        grants = by_relation(Grant, _GRANTS)
        relations = []
        for row in rows(_RELATIONS):
            oid = row.pop("oid")
            relations.append(Relation(**row, columns=columns[oid], policies=policies[oid], grants=grants[oid]))
        return Catalog(
            tuple(relations),
            tuple(Function(**row) for row in rows(_FUNCTIONS)),
            tuple(Enumeration(**row) for row in rows(_ENUMERATIONS)),
            tuple(ErrorCode(**row) for row in rows(_ERRORS)),
        )


_RELATIONS = """
select c.oid, n.nspname as schema, c.relname as name, c.relrowsecurity as rls,
  case when c.relkind in ('v', 'm') then 'view' else 'table' end as kind,
  coalesce(obj_description(c.oid, 'pg_class'), '') as comment
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where (n.nspname in ('public', 'private') or (n.nspname, c.relname) = ('realtime', 'messages'))
  and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
order by n.nspname collate "C", c.relname collate "C"
"""

_COLUMNS = """
select c.oid, a.attname as name, format_type(a.atttypid, a.atttypmod) as type, not a.attnotnull as nullable,
  case when a.attidentity <> '' then 'generated' else pg_get_expr(f.adbin, f.adrelid) end as default,
  coalesce(col_description(c.oid, a.attnum), '') as comment
from pg_attribute a
join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
left join pg_attrdef f on f.adrelid = c.oid and f.adnum = a.attnum
where (n.nspname in ('public', 'private') or (n.nspname, c.relname) = ('realtime', 'messages'))
  and a.attnum > 0 and not a.attisdropped
order by c.oid, a.attnum
"""

_POLICIES = """
select p.polrelid as oid, p.polname as name,
  case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
    else 'all' end as verb,
  array(
    select coalesce(r.rolname, 'public') from unnest(p.polroles) as role (oid) left join pg_roles r on r.oid = role.oid
    order by 1
  )::text[] as roles,
  pg_get_expr(p.polqual, p.polrelid) as using, pg_get_expr(p.polwithcheck, p.polrelid) as check,
  coalesce(obj_description(p.oid, 'pg_policy'), '') as comment
from pg_policy p
order by p.polrelid, p.polname collate "C"
"""

_GRANTS = """
select c.oid, role.name as role, verb.name as verb, case when not whole then columns end as columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace
cross join unnest(%(roles)s::text[]) with ordinality as role (name, place)
cross join unnest(%(verbs)s::text[]) with ordinality as verb (name, place)
cross join lateral (
  select has_table_privilege(role.name, c.oid, verb.name) as whole, array(
    select a.attname::text from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      and case when verb.name <> 'delete' then has_column_privilege(role.name, c.oid, a.attnum, verb.name) end
    order by a.attnum
  ) as columns
) as t
where (n.nspname in ('public', 'private') or (n.nspname, c.relname) = ('realtime', 'messages'))
  and c.relkind in ('r', 'p', 'v', 'm') and (whole or columns <> '{}')
order by c.oid, role.place, verb.place
"""

_FUNCTIONS = """
select n.nspname as schema, p.proname as name, pg_get_function_arguments(p.oid) as arguments,
  pg_get_function_result(p.oid) as result, p.prosecdef as definer,
  case p.provolatile when 'v' then 'volatile' when 's' then 'stable' else 'immutable' end as volatility,
  p.prorettype = 'trigger'::regtype as is_trigger,
  coalesce(obj_description(p.oid, 'pg_proc'), '') as comment,
  array(
    select role.name from unnest(%(roles)s::text[]) with ordinality as role (name, place)
    where has_function_privilege(role.name, p.oid, 'execute') order by role.place
  ) as executable_by
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('public', 'private')
order by n.nspname collate "C", p.proname collate "C", p.pronargs
"""

_ENUMERATIONS = """
select t.typname as name, coalesce(obj_description(t.oid, 'pg_type'), '') as comment,
  array(select e.enumlabel::text from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder) as "values"
from pg_type t join pg_namespace n on n.oid = t.typnamespace
where n.nspname = 'public' and t.typtype = 'e'
order by t.typname collate "C"
"""

_ERRORS = "select symbol, status, details, hint from private.error_codes order by status, symbol"
