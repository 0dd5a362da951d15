"""Case notes: for their author alone, in versions, and only as long as the author has the case."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.cases import Cases, OpenCase, Sql, call
from tests.support.refusals import forbidden, refused


def note(sql: Sql, match_id: uuid.UUID, body: str = "seen today", appointment_id: Any = None) -> Any:
    return sql.execute(
        "insert into public.case_notes (matched_services, body, appointment_id) values (%s, %s, %s) returning *",
        (match_id, body, appointment_id),
    ).fetchall()[0]


@pytest.fixture
def case(cases: Cases) -> OpenCase:
    return cases.accepted()


def test_the_author_alone_reads_a_note(cases: Cases, case: OpenCase) -> None:
    made = note(case.professional.sql, case.match_id, appointment_id=case.appointment["appointment_id"])
    assert (made["professional_id"], made["version"]) == (case.professional.id, 1)
    for nobody in (case.survivor.sql, cases.professional().sql, cases.admin(), cases.survivor().sql):
        assert nobody.execute("select * from public.case_notes").fetchall() == []
        assert nobody.execute("update public.case_notes set body = 'changed'").rowcount == 0
    for role in (cases.database.as_anon(), cases.database.as_service()):
        with forbidden():
            role.execute("select * from public.case_notes")
    assert cases.one("select body from public.case_notes")["body"] == "seen today"


def test_versions_are_kept_and_read_by_the_author_alone(cases: Cases, case: OpenCase) -> None:
    made = note(case.professional.sql, case.match_id, "one")
    for body in ("two", "two", "three"):
        case.professional.sql.execute("update public.case_notes set body = %s where id = %s", (body, made["id"]))
    now = cases.one("select body, version from public.case_notes")
    assert (now["body"], now["version"]) == ("three", 3)
    kept = case.professional.sql.execute("select version, body from public.case_note_versions order by version")
    assert [(row["version"], row["body"]) for row in kept.fetchall()] == [(1, "one"), (2, "two")]
    for nobody in (case.survivor.sql, cases.professional().sql, cases.admin()):
        assert nobody.execute("select * from public.case_note_versions").fetchall() == []
    for verb in ("delete from", "update"):
        with forbidden():
            case.professional.sql.execute(
                f"{verb} public.case_note_versions" + (" set body = 'x'" if verb == "update" else "")
            )


def test_a_note_is_never_deleted_and_never_moves(case: OpenCase) -> None:
    note(case.professional.sql, case.match_id)
    with forbidden():
        case.professional.sql.execute("delete from public.case_notes")
    with forbidden():
        case.professional.sql.execute("update public.case_notes set matched_services = gen_random_uuid()")
    with forbidden():
        case.professional.sql.execute("update public.case_notes set version = 1")


def test_nobody_writes_a_note_on_a_case_they_do_not_hold(cases: Cases, case: OpenCase) -> None:
    waiting = cases.professional()
    offered = cases.offer(cases.file_report(cases.survivor()), waiting)["id"]
    with refused("case_not_open"):
        note(waiting.sql, offered)
    for nobody in (waiting.sql, case.survivor.sql):
        with refused("not_found"):
            note(nobody, case.match_id)
    with refused("not_found"):
        case.survivor.sql.execute(
            "insert into public.case_notes (matched_services, professional_id, body) values (%s, %s, 'forged')",
            (case.match_id, case.professional.id),
        )
    assert cases.count("public.case_notes") == 0


def test_a_note_names_a_session_of_its_own_case(cases: Cases, case: OpenCase) -> None:
    other = cases.accepted()
    for appointment_id in (other.appointment["appointment_id"], uuid.uuid4()):
        with refused("not_found"):
            note(case.professional.sql, case.match_id, appointment_id=appointment_id)


@pytest.mark.parametrize("body", ["", "  \n", "x" * 20001])
def test_a_note_has_a_text_of_bounded_length(case: OpenCase, body: str) -> None:
    with refused("invalid_input"):
        note(case.professional.sql, case.match_id, body)


def test_withdrawn_consent_closes_the_notes(cases: Cases, case: OpenCase) -> None:
    note(case.professional.sql, case.match_id)
    call(case.survivor.sql, "withdraw_report", case.report_id)
    assert case.professional.sql.execute("select * from public.case_notes").fetchall() == []
    assert case.professional.sql.execute("update public.case_notes set body = 'x'").rowcount == 0
    with refused("report_withdrawn"):
        note(case.professional.sql, case.match_id)


def test_the_planner_knows_nothing_of_private_texts(cases: Cases) -> None:
    rows = cases.sql.execute(
        "select attrelid::regclass::text as relation from pg_attribute"
        " where attname = 'body' and attrelid::regclass::text in ('messages', 'case_notes', 'case_note_versions',"
        " 'public.messages', 'public.case_notes', 'public.case_note_versions') and coalesce(attstattarget, -1) = 0"
    ).fetchall()
    assert len(rows) == 3
