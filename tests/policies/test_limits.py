"""No text that a client can write is without a limit."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.cases import Cases, call
from tests.support.refusals import refused

#: How a check constraint can bound a text.
BOUNDS = (
    "length(",
    "is_clean_text(",
    "is_short_list(",
    "cardinality(",
    " = ANY ",
    "is_time_zone(",
    "{",
    "<@",
    "is_plain_line(",
)


def test_every_writable_text_column_is_bounded_by_a_constraint(cases: Cases) -> None:
    columns = cases.sql.execute(
        "select c.oid::regclass::text as relation, a.attname as column, array("
        " select pg_get_constraintdef(k.oid) from pg_constraint k"
        " where k.conrelid = c.oid and k.contype = 'c' and a.attnum = any (k.conkey)) as checks"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped"
        " and a.atttypid in ('text'::regtype, 'text[]'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype)"
        " and exists (select 1 from unnest(array['anon', 'authenticated']) as role, unnest(array['INSERT', 'UPDATE'])"
        " as verb where has_column_privilege(role, c.oid, a.attnum, verb))"
    ).fetchall()
    assert len(columns) > 20
    unbounded = [
        f"{row['relation']}.{row['column']}"
        for row in columns
        if not any(bound in check for check in row["checks"] for bound in BOUNDS)
    ]
    assert unbounded == []


def test_huge_arguments_are_refused_by_the_functions(cases: Cases) -> None:
    huge = "x" * 1_000_000
    professional = cases.professional()
    offer = cases.offer(cases.file_report(cases.survivor()), professional)
    with refused("invalid_input"):
        call(professional.sql, "decline_match", offer["id"], huge)
    with refused("invalid_input"):
        call(professional.sql, "accept_match", offer["id"], huge)
    with refused("invalid_input"):
        call(professional.sql, "accept_match", offer["id"], "meet_now", None, 60, huge)
    case = cases.accepted()
    with refused("invalid_input"):
        call(case.survivor.sql, "cancel_appointment", case.appointment["appointment_id"], huge)
    assert cases.offer(offer["report_id"], professional)["match_status_type"] == "pending"


def test_an_array_of_many_texts_is_refused(cases: Cases) -> None:
    professional = cases.professional()
    for relation, column in (("professionals", "languages"), ("support_services", "languages")):
        for items in (["x"] * 1000, ["x" * 1000], [["a", "b"], ["c", "d"]]):
            with pytest.raises(psycopg.errors.CheckViolation):
                professional.sql.execute(f"update public.{relation} set {column} = %s", (items,))
