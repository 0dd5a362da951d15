"""No column of ``reports`` reaches a professional, but for the masked facts: followed through the SQL itself.

The tests of the policies ask the same question of a running database; this one asks every statement, run or not.
"""

from __future__ import annotations

import psycopg
import pytest

from sauti_local.catalog import Catalog, read_catalog
from sauti_local.paths import ROOT
from sauti_local.schema import truth_files
from tests.quality.lineage import calls, reads, report_columns, view_sources, writes
from tests.quality.sql_files import Function, SqlFile

FILES = tuple(SqlFile.read(path, ROOT) for path in truth_files())
COLUMNS = report_columns(FILES)
FUNCTIONS = {f"{f.schema}.{f.name}": f for file in FILES for f in file.functions}

MASKED = frozenset({"gender", "age_category", "incident_type", "urgency"})
KEY = frozenset({"report_id"})
# Of the state of a case, what functions compare and pass on; none of it is anything that happened to a person.
STATE = frozenset(
    {
        "user_id",
        "status",
        "match_status",
        "ismatched",
        "archived_at",
        "anonymised_at",
        "created_at",
        "consent_to_share",
        "required_services",
    }
)
STORY = COLUMNS - MASKED - KEY - STATE

# The functions that touch the story, and the functions of the API through which a caller can get what they give back.
# Empty: what they give back is no part of it.
READERS: dict[str, frozenset[str]] = {
    "private.tg_reports__validate": frozenset(),  # judges the row that its own writer sends
    "private.tg_reports__record_consents": frozenset(),  # writes down what its own writer consents to
    "private.export_my_data": frozenset({"public.export_my_data"}),  # to the survivor alone
    "private.best_candidates": frozenset(),  # gives scores and their parts; the parts are for administrators
    "private.case_file": frozenset({"public.open_case", "public.break_glass"}),  # the two doors, logged
    "private.appointment_facts": frozenset(
        {
            "public.job_context",
            "public.job_contexts",
            "public.take_jobs",
            "public.calendar_feed",
        }
    ),  # the case code, for calendars
    "private.case_code_for": frozenset(
        {"public.add_to_calendar_links", "public.calendar_feed"}
    ),  # of one party's own case
    "private.tg_notifications__deliver": frozenset(),  # chooses the kind of a job
    # the address, the number and the hours, for the worker
    "private.message_context": frozenset({"public.job_context", "public.job_contexts", "public.take_jobs"}),
}
# Views whose rows only the survivor can see, by the policy on reports.
SURVIVORS_VIEWS = {"report_progress": frozenset({"status", "match_status"})}


@pytest.fixture
def described(catalog: psycopg.Connection[tuple[str, ...]]) -> Catalog:
    return read_catalog(catalog)


def written_columns(functions: dict[str, Function], tables: set[str]) -> set[tuple[str, str, str]]:
    """(function, table, column) for each column of reports that a statement writing one of the tables mentions."""
    return {
        (name, write.table, column)
        for name, function in functions.items()
        for write in writes(function, COLUMNS)
        if write.table in tables
        for column in write.columns
    }


def doors(reader: str, functions: dict[str, Function], api: set[str]) -> frozenset[str]:
    """The functions of the API from which the reader is called, however indirectly."""
    reached, fresh = set(), {reader}
    while fresh:
        reached |= fresh
        fresh = {name for name, function in functions.items() if calls(function) & fresh} - reached
    return frozenset(reached & api)


def test_what_is_written_where_a_professional_reads_is_masked(described: Catalog) -> None:
    readable = {relation.name for relation in described.relations if relation.grant("authenticated", "select")}
    assert {"matched_services", "appointments", "notifications"} <= readable
    found = written_columns(FUNCTIONS, readable - {"reports"})
    assert {column for _, table, column in found if table == "matched_services"} == MASKED | KEY
    # The survivor's own log, and the state of a case that a withdrawal compares, tell a professional nothing.
    allowed = {
        ("private.open_case", "access_log_entries", "user_id"),
        ("private.break_glass", "access_log_entries", "user_id"),
        # Who holds the case knows whose it is: from the appointment.
        ("private.request_hand_over", "hand_overs", "user_id"),
        ("private.escalate", "escalations", "created_at"),
    }
    assert {entry for entry in found if entry[2] not in MASKED | KEY} - allowed == set()


def test_only_the_known_functions_touch_the_story() -> None:
    touching = {name for name, function in FUNCTIONS.items() if reads(function, COLUMNS) & STORY}
    assert touching == set(READERS)


@pytest.mark.parametrize("reader", [reader for reader, expected in READERS.items() if expected])
def test_the_story_leaves_by_the_known_doors_only(reader: str, described: Catalog) -> None:
    api = {f"public.{f.name}" for f in described.functions if f.schema == "public" and f.executable_by}
    assert doors(reader, FUNCTIONS, api) == READERS[reader]


def test_the_worker_s_door_is_the_worker_s_alone(described: Catalog) -> None:
    found = {f.name: f.executable_by for f in described.functions if f.schema == "public" and "job_context" in f.name}
    assert found == {"job_context": ("service_role",), "job_contexts": ("service_role",)}


def test_matching_gives_back_scores_and_nothing_else(described: Catalog) -> None:
    (function,) = [f for f in described.functions if f.name == "best_candidates"]
    assert function.result == "TABLE(service_id uuid, professional_id uuid, score numeric, parts jsonb)"
    assert {name for name, f in FUNCTIONS.items() if "private.best_candidates" in calls(f)} == {"private.write_offers"}


def test_no_view_shows_more_than_masked_facts(described: Catalog, catalog: psycopg.Connection[tuple[str, ...]]) -> None:
    schema = {r.name: {column.name: column.type for column in r.columns} for r in described.relations}
    views = [relation for relation in described.relations if (relation.schema, relation.kind) == ("public", "view")]
    assert views
    for view in views:
        (query,) = catalog.execute("select pg_get_viewdef(%s::regclass)", (f"public.{view.name}",)).fetchone() or ("",)
        assert view_sources(query, schema) <= MASKED | KEY | SURVIVORS_VIEWS.get(view.name, frozenset()), view.name


def test_reports_are_under_owner_policies_alone(described: Catalog) -> None:
    (reports,) = [relation for relation in described.relations if relation.name == "reports"]
    own = "(user_id = ( SELECT auth.uid() AS uid))"
    for policy in reports.policies:
        assert policy.roles == ("authenticated",)
        assert {policy.using, policy.check} <= {own, None}
    assert reports.grant("anon", "select") is None


# The proof that the eyes are open: each of these carries a name out, and is seen.

HEAD = "create function private.leak(report public.reports) returns jsonb language {} as $$ {} $$;"
LEAKS = {
    "a copy in an insert": (
        "sql",
        "insert into public.messages (body) select r.survivor_name from public.reports as r",
    ),
    "a copy without an alias": ("sql", "insert into public.messages (body) select survivor_name from public.reports"),
    "a copy in an update": ("sql", "update public.appointments set location = report.survivor_name"),
    "a copy in a merge": (
        "sql",
        "merge into public.messages m using public.reports r on m.id = r.report_id"
        " when not matched then insert (body) values (r.survivor_name)",
    ),
    "a whole row as json": ("sql", "insert into public.messages (body) select to_jsonb(r) from public.reports as r"),
    "a parameter in plpgsql": (
        "plpgsql",
        "begin insert into public.messages (body) values (report.survivor_name); end;",
    ),
    "a field of a composite": (
        "plpgsql",
        "begin insert into public.messages (body) values ((v_locked.report).survivor_name); end;",
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_seen(leak: str) -> None:
    (function,) = SqlFile("x/leak.sql", HEAD.format(*LEAKS[leak])).functions
    assert "survivor_name" in {
        column for _, _, column in written_columns({"private.leak": function}, {"messages", "appointments"})
    }


def test_a_read_is_seen_in_a_default_an_assignment_and_an_output() -> None:
    for body in (
        "declare v_name text := report.survivor_name; begin return null; end;",
        "declare v_name text; begin v_name := upper(report.survivor_name); return null; end;",
        "begin return jsonb_build_object('n', report.survivor_name); end;",
        "begin return to_jsonb(report); end;",
    ):
        (function,) = SqlFile("x/leak.sql", HEAD.format("plpgsql", body)).functions
        assert "survivor_name" in reads(function, COLUMNS)


@pytest.mark.parametrize(
    "body",
    [
        "select r.survivor_name from public.reports as r",
        "select * from public.reports",
        "table public.reports",
        "with r as (select * from public.reports) select r.survivor_name from r",
        "select m.id::text, x.survivor_name from public.matched_services as m"
        " join (select * from public.reports) as x using (report_id)",
        "select exists (select 1 from public.reports where survivor_name like 'A%')",
        "update public.reports set status = 'active' returning survivor_name",
    ],
)
def test_a_read_is_seen_in_a_function_of_language_sql(body: str) -> None:
    text = f"create function private.leak() returns setof text language sql as $$ {body} $$;"
    (function,) = SqlFile("x/leak.sql", text).functions
    assert "survivor_name" in reads(function, COLUMNS)


@pytest.mark.parametrize(
    "query",
    [
        "select r.survivor_name from public.reports as r",
        "select to_jsonb(r) as story from public.reports as r",
        "select r as story from public.reports as r",
        "select m.id, (select max(r.case_code) from public.reports as r) as code from public.matched_services as m",
        "select m.id, x.name from public.matched_services as m,"
        " lateral (select r.survivor_name as name from public.reports as r where r.report_id = m.report_id) as x",
        "select display_name as name from public.profiles union all select survivor_name from public.reports",
        "with r as (select * from public.reports) select count(*) filter (where true), max(r.contact_email) from r",
    ],
)
def test_a_view_that_leaks_is_seen_in_the_database_s_own_words(
    query: str, described: Catalog, catalog: psycopg.Connection[tuple[str, ...]]
) -> None:
    schema = {r.name: {column.name: column.type for column in r.columns} for r in described.relations}
    with catalog.transaction(force_rollback=True):
        catalog.execute("create view public.leak as " + query)  # type: ignore[arg-type]
        (words,) = catalog.execute("select pg_get_viewdef('public.leak'::regclass)").fetchone() or ("",)
    assert not view_sources(words, schema) <= MASKED | KEY


def test_a_column_is_followed_through_a_view() -> None:
    schema = {"reports": dict.fromkeys(COLUMNS, "text"), "profiles": {"id": "uuid"}}
    query = """
        with r as (select survivor_name as n, gender from reports)
        select upper(x.n) as label, x.gender from (select * from r) as x
        """
    assert view_sources(query, schema) == {"survivor_name", "gender"}


def test_a_second_door_is_seen() -> None:
    text = (
        "create function public.peek(r public.reports) returns jsonb language sql as $$ select private.case_file(r) $$;"
    )
    (function,) = SqlFile("x/peek.sql", text).functions
    assert "public.peek" in doors("private.case_file", FUNCTIONS | {"public.peek": function}, {"public.peek"})
