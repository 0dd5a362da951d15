"""Before acceptance a professional knows the masked facts and nothing else, however they ask."""

from __future__ import annotations

import itertools
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support import canary
from tests.support.canary import Hunter
from tests.support.cases import Cases, Professional, Row, Sql, Survivor, accept, call
from tests.support.refusals import refused

#: Every column of an offer, by the contract.
OFFER_COLUMNS = {
    "id",
    "report_id",
    "service_id",
    "professional_id",
    "service_type",
    "incident_type",
    "urgency",
    "gender",
    "age_category",
    "match_score",
    "match_status_type",
    "offered_at",
    "expires_at",
    "responded_at",
    "decline_reason",
    "professional_completed_at",
    "survivor_completed_at",
    "closed_at",
    "created_at",
}


@dataclass(frozen=True)
class Planted:
    """A report full of canaries with a pending offer."""

    cases: Cases
    survivor: Survivor
    report_id: uuid.UUID
    professional: Professional
    offer: Row
    hunter: Hunter


@pytest.fixture
def planted(cases: Cases) -> Planted:
    professional = cases.professional()
    survivor, report_id = canary.plant(cases)
    offer = cases.offer(report_id, professional)
    return Planted(cases, survivor, report_id, professional, offer, Hunter(cases, survivor, report_id))


def outsiders(planted: Planted) -> dict[str, Sql]:
    """Everybody who has no business with the report."""
    cases = planted.cases
    return {
        "a verified professional without an offer": cases.professional(service_type="legal_aid").sql,
        "an unverified professional": cases.professional(verified=False).sql,
        "another survivor": cases.survivor().sql,
        "an anonymous user": cases.database.as_user(cases.database.add_user(anonymous=True), anonymous=True),
        "a visitor": cases.database.as_anon(),
        "an administrator": cases.admin(),
    }


def relations(cases: Cases) -> list[str]:
    return [
        row["name"]
        for row in cases.sql.execute(
            "select format('%I.%I', n.nspname, c.relname) as name from pg_class c"
            " join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'p', 'v', 'm') and n.nspname in ('public', 'private', 'auth', 'realtime')"
            " order by 1"
        )
    ]


def columns(cases: Cases, relation: str) -> list[str]:
    return [
        row["attname"]
        for row in cases.sql.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped",
            (relation,),
        )
    ]


def attempt(actor: Sql, query: Any, values: Any = None) -> list[Row]:
    """What a query gives; nothing when it is refused."""
    try:
        return actor.execute(query, values).fetchall()
    except psycopg.Error as error:
        # A refusal may say nothing either; handed back so that it is searched as well.
        return [{"error": str(error)}]


def everything_readable(cases: Cases, actor: Sql) -> dict[str, list[Row]]:
    """Each relation as a whole, and column by column where the whole is refused."""
    seen: dict[str, list[Row]] = {}
    for relation in relations(cases):
        rows = attempt(actor, f"select * from {relation}")
        if rows and "error" in rows[0]:
            for column in columns(cases, relation):
                rows += attempt(actor, f'select "{column}" from {relation}')
        seen[relation] = rows
    return seen


def test_every_personal_column_of_a_report_holds_a_canary(cases: Cases) -> None:
    not_personal = {
        "report_id",
        "case_code",
        "user_id",
        "incident_type",
        "urgency",
        "required_services",
        "gender",
        "age_category",
        "consent_to_share",
        "consent_location",
        "status",
        "match_status",
        "ismatched",
        "created_at",
        "archived_at",
        "anonymised_at",
    }
    assert set(columns(cases, "public.reports")) == not_personal | set(canary.REPORT) - {"consent_location"} | {
        "consent_location"
    }


def test_the_hunter_finds_the_canaries_where_they_are(planted: Planted) -> None:
    report = planted.cases.report(planted.report_id)
    profile = planted.cases.one("select * from public.profiles where id = %s", planted.survivor.id)
    assert planted.hunter.traces_in(report) | planted.hunter.traces_in(profile) >= set(planted.hunter.traces[:-1])


def test_a_pending_offer_shows_the_masked_facts_and_no_more(planted: Planted) -> None:
    (offer,) = planted.professional.sql.execute("select * from public.matched_services").fetchall()
    assert set(offer) == OFFER_COLUMNS
    assert {name: offer[name] for name in canary.MASKED} == canary.MASKED
    assert offer["service_type"] == "counseling"
    assert offer["match_status_type"] == "pending"
    assert offer["match_score"] % 5 == 0
    assert not planted.hunter.traces_in(offer)
    filled = {name for name, value in offer.items() if value is not None}
    assert OFFER_COLUMNS - filled == {
        "responded_at",
        "decline_reason",
        "professional_completed_at",
        "survivor_completed_at",
        "closed_at",
    }


def test_with_a_pending_offer_no_relation_and_no_column_tells_more(planted: Planted) -> None:
    seen = everything_readable(planted.cases, planted.professional.sql)
    assert not planted.hunter.traces_in(seen)
    assert len(seen["public.matched_services"]) == 1
    about_the_report = {
        relation for relation, rows in seen.items() if str(planted.report_id) in json.dumps(rows, default=str)
    }
    assert about_the_report == {"public.matched_services"}


def test_outsiders_read_nothing_of_a_report_nor_of_its_offer(planted: Planted) -> None:
    for who, actor in outsiders(planted).items():
        seen = everything_readable(planted.cases, actor)
        assert not planted.hunter.traces_in(seen), who
        text = json.dumps(seen, default=str)
        assert str(planted.report_id) not in text, who
        if who != "an administrator":
            assert str(planted.offer["id"]) not in text, who
            assert seen["public.matched_services"] == [] or "error" in seen["public.matched_services"][0], who


def test_an_administrator_sees_only_masked_facts_of_an_escalation(planted: Planted) -> None:
    cases = planted.cases
    survivor, report_id = canary.plant(cases, required_services=["shelter"])
    hunter = Hunter(cases, survivor, report_id)
    admin = cases.admin()
    (escalation,) = admin.execute("select * from public.escalations").fetchall()
    assert escalation["report_id"] == report_id
    assert {name: escalation[name] for name in canary.MASKED} == canary.MASKED
    assert not hunter.traces_in(everything_readable(cases, admin))


def type_of(cases: Cases, relation: str, column: str) -> str:
    name: str = cases.one(
        "select format_type(atttypid, null) as type from pg_attribute where attrelid = %s::regclass and attname = %s",
        relation,
        column,
    )["type"]
    return name


def test_a_filter_on_a_hidden_value_finds_nothing(planted: Planted) -> None:
    actor = planted.professional.sql
    stored = planted.cases.report(planted.report_id)
    for column in canary.REPORT:
        kind = type_of(planted.cases, "public.reports", column)
        (found,) = actor.execute(
            f'select count(*) as n from public.reports where "{column}" = %s::{kind}', (stored[column],)
        ).fetchall()
        assert found == {"n": 0}, column
    (joined,) = actor.execute(
        "select count(*) as n from public.matched_services m join public.reports r on r.report_id = m.report_id"
    ).fetchall()
    assert joined == {"n": 0}


def test_a_leaky_function_in_a_filter_never_meets_a_hidden_row(planted: Planted) -> None:
    # A division by zero, or a cast that quotes its input, would tell the value in its error.
    actor = planted.professional.sql
    for column in canary.REPORT:
        for expression in (
            f'("{column}"::text)::integer > 0',
            f'1 / (length("{column}"::text) - length("{column}"::text)) > 0',
        ):
            rows = attempt(actor, f"select 1 from public.reports where {expression}")
            assert not planted.hunter.traces_in(rows)
            assert rows == [], (column, rows)


#: Columns whose statistics the policies and joins need; they hold keys, states and times of writing.
ESTIMATED = {
    "public.reports": {"report_id", "user_id"},
    "public.matched_services": OFFER_COLUMNS
    - {"service_type", "incident_type", "urgency", "gender", "age_category", "match_score", "decline_reason"},
    "public.appointments": {
        "appointment_id",
        "professional_id",
        "survivor_id",
        "matched_services",
        "appointment_date",
        "duration_minutes",
        "status",
        "created_via",
        "cancelled_by",
        "sequence",
        "series_id",
        "time_zone",
        "created_at",
        "updated_at",
    },
    "public.profiles": set(),
}


@pytest.mark.parametrize("relation", list(ESTIMATED))
def test_the_planners_estimate_does_not_move_with_hidden_values(cases: Cases, relation: str) -> None:
    # It is what `Prefer: count=planned` gives back.
    professional = cases.professional()
    facts = canary.REPORT | canary.MASKED
    for _ in range(3):
        case = cases.accepted(professional=cases.professional(), **facts)
        cases._update("public.profiles", {"id": case.survivor.id}, canary.PROFILE)
        for _ in range(20):
            cases.file_report(case.survivor, **facts)
    cases.sql.execute(
        "update public.appointments set location = 'canaryroom', meeting_url = 'https://canary.example/',"
        " cancel_reason = 'canary'"
    )
    cases.sql.execute("update public.matched_services set decline_reason = 'canary'")
    cases.sql.execute(f"analyze {relation}")

    def estimate(column: str, literal: str | None) -> int:
        condition = sql.SQL("{} is null") if literal is None else sql.SQL("{} = {}")
        names = [sql.SQL(relation), sql.Identifier(column), *([] if literal is None else [sql.Literal(literal)])]
        (plan,) = professional.sql.execute(
            sql.SQL("explain (format json) select 1 from {} where ").format(names[0]) + condition.format(*names[1:])
        ).fetchall()
        rows: int = plan["QUERY PLAN"][0]["Plan"]["Plan Rows"]
        return rows

    searched = set(columns(cases, relation)) - ESTIMATED[relation]
    assert searched
    for column in searched:
        frequent = cases.one(
            f'select "{column}"::text as value from {relation} group by 1 order by count(*) desc limit 1'
        )
        rare = cases.one(f'select min("{column}"::text) as value from {relation}')
        absent = {"boolean": "false", "text": "nothing like it"}
        kind = type_of(cases, relation, column)
        estimates = {value: estimate(column, value) for value in (frequent["value"], rare["value"], absent.get(kind))}
        assert len({rows for value, rows in estimates.items() if value is not None}) <= 1, (column, estimates)


def arguments(planted: Planted, types: list[str]) -> list[tuple[Any, ...]]:
    """Values to try a function with: every id of the case, and something for all else."""
    tries: dict[str, list[Any]] = {
        "uuid": [planted.offer["id"], planted.report_id, planted.survivor.id],
        "text": ["meet_now"],
        "integer": [60],
        "bigint": [1],
        "timestamp with time zone": [None],
        "numeric": [1],
        "jsonb": ["{}"],
        "text[]": [None],
        "bigint[]": [None],
        "date": ["2026-01-01"],
        "public.service_type": ["counseling"],
        "service_type": ["counseling"],
        "public.reports": [None],
    }
    return list(itertools.product(*(tries.get(type_name, [None]) for type_name in types)))


@pytest.mark.parametrize("schema", ["public", "private"])
def test_no_function_tells_more_before_acceptance(planted: Planted, schema: str) -> None:
    cases = planted.cases
    functions = cases.sql.execute(
        "select p.proname as name, array(select format_type(t, null) from unnest(p.proargtypes) as t) as types"
        " from pg_proc p where p.pronamespace = %s::regnamespace and p.prorettype <> 'trigger'::regtype order by 1",
        (schema,),
    ).fetchall()
    assert len(functions) > 10
    actors = outsiders(planted) | {"the professional who was asked": planted.professional.sql}
    for function in functions:
        # What the professional may do with the offer is proved elsewhere, and would change it for the others.
        if function["name"] in ("accept_match", "decline_match"):
            continue
        for values in arguments(planted, function["types"]):
            query = sql.SQL("select * from {}.{}({})").format(
                sql.Identifier(schema),
                sql.Identifier(function["name"]),
                sql.SQL(", ").join(sql.SQL("%s::" + type_name) for type_name in function["types"]),
            )
            for who, actor in actors.items():
                told = attempt(actor, query, values)
                # What the caller passed in may come back.
                traces = planted.hunter.traces_in(told) - {str(value) for value in values}
                assert not traces, (who, function["name"], values)
    assert cases.count("private.access_log_entries") == 0
    assert cases.report(planted.report_id)["status"] == "pending"


def test_what_is_queued_announced_and_kept_for_matching_holds_no_personal_data(planted: Planted) -> None:
    cases = planted.cases
    accept(planted.professional.sql, planted.offer["id"])
    call(planted.professional.sql, "complete_case", planted.offer["id"])
    for relation in (
        "private.outbox_jobs",
        "private.escalations",
        "private.response_clocks",
        "private.completion_boosts",
        "private.matching_lanes",
        "public.matched_services",
        "public.match_breakdowns",
    ):
        rows = cases.database.as_superuser().execute(f"select * from {relation}").fetchall()
        assert rows or relation.endswith("escalations")
        assert not planted.hunter.traces_in(rows), relation
    messages = cases.database.as_superuser().execute("select payload, event from realtime.messages").fetchall()
    assert messages
    assert not planted.hunter.traces_in(messages)
    notifications = cases.sql.execute("select to_jsonb(n) - 'user_id' as row from public.notifications n").fetchall()
    assert not planted.hunter.traces_in(notifications)


def test_after_acceptance_the_tables_tell_the_professional_no_more_than_the_appointment(planted: Planted) -> None:
    accept(planted.professional.sql, planted.offer["id"])
    seen = everything_readable(planted.cases, planted.professional.sql)
    assert planted.hunter.traces_in(seen) == {str(planted.survivor.id)}
    with_the_id = [
        relation for relation, rows in seen.items() if str(planted.survivor.id) in json.dumps(rows, default=str)
    ]
    assert with_the_id == ["public.appointments"]


def test_a_rival_learns_nothing_from_an_acceptance(planted: Planted) -> None:
    cases = planted.cases
    rival = cases.professional()
    survivor, report_id = canary.plant(cases)
    hunter = Hunter(cases, survivor, report_id)
    offer = cases.offer(report_id, planted.professional)
    accept(planted.professional.sql, offer["id"])
    assert not hunter.traces_in(everything_readable(cases, rival.sql))
    with refused("case_not_open"):
        call(rival.sql, "open_case", cases.offer(report_id, rival)["id"])


def test_the_score_is_too_coarse_to_tell_a_distance(cases: Cases) -> None:
    # In working hours, and with all of one part instead of half of it, the score is in the middle of a step.
    cases.set_time(datetime(2027, 3, 1, 8, tzinfo=UTC))
    professional = cases.professional(incident_types=["emotional"])
    for metres in (0, 100, 300):
        survivor = cases.survivor()
        report_id = cases.file_report(
            survivor, consent_location=True, latitude=-1.2921 + metres / 111_195.08, longitude=36.8219
        )
        offer = cases.offer(report_id, professional)
        assert offer["match_score"] % 5 == 0
        assert abs(offer["match_score"] - offer["score"]) <= 2.5
    scores = {row["match_score"] for row in professional.sql.execute("select match_score from public.matched_services")}
    assert len(scores) == 1
