"""How far a role reaches into a relation: what it reads, and what its writes really change."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.support.cases import Cases, Sql


def reads(actor: Sql, relation: str) -> int | None:
    """How many rows the actor sees; None when not even the question is allowed."""
    try:
        return len(actor.execute(f"select * from {relation}").fetchall())
    except psycopg.errors.InsufficientPrivilege:
        return None


def changes(cases: Cases, actor: Sql, relation: str, statement: str, values: Any = None) -> bool:
    """Whether a statement of the actor changes the relation. A forbidden one may fail or be silent: the rows tell."""
    before = snapshot(cases, relation)
    try:
        actor.execute(statement, values)
    except psycopg.errors.InsufficientPrivilege:
        assert snapshot(cases, relation) == before
        return False
    return snapshot(cases, relation) != before


def snapshot(cases: Cases, relation: str) -> list[str]:
    """The relation's rows as they are."""
    rows = cases.database.as_superuser().execute(f"select to_jsonb(t)::text as row from {relation} t order by 1")
    return [row["row"] for row in rows.fetchall()]
