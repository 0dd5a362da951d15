"""The conversation of a case: two people, live, short, not too much at once, and over when the case is."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.cases import Cases, OpenCase, Sql, call
from tests.support.refusals import forbidden, refused

WRITE = "insert into public.messages (matched_services, body) values (%s, %s) returning *"


def write(sql: Sql, match_id: uuid.UUID, body: str = "Hello") -> Any:
    return sql.execute(WRITE, (match_id, body)).fetchall()[0]


def read(sql: Sql) -> list[str]:
    return [row["body"] for row in sql.execute("select body from public.messages order by created_at, body").fetchall()]


@pytest.fixture
def case(cases: Cases) -> OpenCase:
    return cases.accepted()


def test_both_parties_write_and_read_and_nobody_else_does(cases: Cases, case: OpenCase) -> None:
    message = write(case.survivor.sql, case.match_id, "first")
    assert (message["sender_id"], message["read_at"]) == (case.survivor.id, None)
    cases.pass_time(seconds=1)
    write(case.professional.sql, case.match_id, "second")
    for party in (case.survivor.sql, case.professional.sql):
        assert read(party) == ["first", "second"]
    for stranger in (cases.survivor().sql, cases.professional().sql, cases.admin()):
        assert read(stranger) == []
        with refused("not_found"):
            write(stranger, case.match_id)
    for role in (cases.database.as_anon(), cases.database.as_service()):
        with forbidden():
            read(role)


def test_nobody_writes_in_somebody_elses_name(cases: Cases, case: OpenCase) -> None:
    with refused("not_found"):
        case.professional.sql.execute(
            "insert into public.messages (matched_services, sender_id, body) values (%s, %s, 'forged')",
            (case.match_id, case.survivor.id),
        )
    assert cases.count("public.messages") == 0


def test_a_missing_case_and_a_foreign_one_are_the_same_answer(cases: Cases, case: OpenCase) -> None:
    stranger = cases.professional().sql
    with refused("not_found") as foreign:
        write(stranger, case.match_id)
    with refused("not_found") as missing:
        write(stranger, uuid.uuid4())
    assert foreign == missing


def test_there_is_no_conversation_before_acceptance(cases: Cases) -> None:
    professional, survivor = cases.professional(), cases.survivor()
    match_id = cases.offer(cases.file_report(survivor), professional)["id"]
    with refused("case_not_open"):
        write(professional.sql, match_id)
    with refused("not_found"):
        write(survivor.sql, match_id)


def test_a_completed_case_is_read_but_not_written_any_more(cases: Cases, case: OpenCase) -> None:
    write(case.survivor.sql, case.match_id)
    for party in (case.professional.sql, case.survivor.sql):
        call(party, "complete_case", case.match_id)
    for party in (case.professional.sql, case.survivor.sql):
        with refused("case_not_open"):
            write(party, case.match_id)
        assert read(party) == ["Hello"]


def test_withdrawn_consent_closes_the_conversation_to_the_professional(cases: Cases, case: OpenCase) -> None:
    write(case.survivor.sql, case.match_id)
    call(case.survivor.sql, "withdraw_report", case.report_id)
    assert read(case.professional.sql) == []
    for party in (case.professional.sql, case.survivor.sql):
        with refused("report_withdrawn"):
            write(party, case.match_id)


@pytest.mark.parametrize("body", ["", " \n\t", "x" * 4001])
def test_a_message_is_short_and_not_empty(case: OpenCase, body: str) -> None:
    with refused("invalid_input"):
        write(case.survivor.sql, case.match_id, body)
    assert write(case.survivor.sql, case.match_id, "x" * 4000)


def test_too_many_messages_are_refused_for_a_while(cases: Cases, case: OpenCase) -> None:
    cases.sql.execute("update private.conversation_settings set messages_per_minute = 3, messages_per_hour = 5")
    for _ in range(3):
        write(case.survivor.sql, case.match_id)
    with refused("too_many_requests"):
        write(case.survivor.sql, case.match_id)
    write(case.professional.sql, case.match_id)
    cases.pass_time(minutes=1)
    for _ in range(2):
        write(case.survivor.sql, case.match_id)
    cases.pass_time(minutes=1)
    with refused("too_many_requests"):
        write(case.survivor.sql, case.match_id)
    cases.pass_time(hours=1)
    assert write(case.survivor.sql, case.match_id)


def test_only_the_reader_marks_as_read_once_and_at_the_true_moment(cases: Cases, case: OpenCase) -> None:
    message = write(case.survivor.sql, case.match_id)
    mark = "update public.messages set read_at = '2001-01-01' where id = %s"
    assert case.survivor.sql.execute(mark, (message["id"],)).rowcount == 0
    assert cases.professional().sql.execute(mark, (message["id"],)).rowcount == 0
    assert case.professional.sql.execute(mark, (message["id"],)).rowcount == 1
    first = cases.one("select read_at from public.messages")["read_at"]
    assert first == cases.now()
    cases.pass_time(hours=1)
    case.professional.sql.execute("update public.messages set read_at = null where id = %s", (message["id"],))
    assert cases.one("select read_at from public.messages")["read_at"] == first


def test_a_message_is_never_changed_or_deleted_by_a_client(case: OpenCase) -> None:
    write(case.survivor.sql, case.match_id)
    for party in (case.survivor.sql, case.professional.sql):
        with forbidden():
            party.execute("update public.messages set body = 'never said'")
        with forbidden():
            party.execute("delete from public.messages")
    assert read(case.survivor.sql) == ["Hello"]


def test_both_apps_ring_and_the_event_says_ids_only(cases: Cases, case: OpenCase) -> None:
    message = write(case.survivor.sql, case.match_id, "a secret")
    heard = cases.sql.execute(
        "select topic, payload - 'id' as payload, payload ->> 'id' as id, private from realtime.messages"
        " where event = 'message'"
    ).fetchall()
    assert {row["topic"] for row in heard} == {f"user:{case.survivor.id}", f"user:{case.professional.id}"}
    for row in heard:
        assert row["payload"] == {"op": "INSERT", "table": "messages", "status": "sent"}
        assert (row["id"], row["private"]) == (str(message["id"]), True)


def test_messages_are_published_for_changes_under_row_level_security(cases: Cases) -> None:
    published = "pg_publication_tables"
    assert cases.count(published, "pubname = 'supabase_realtime' and tablename = 'messages'") == 1


def test_the_reader_is_told_once_in_a_while_and_not_when_everything_is_read(cases: Cases, case: OpenCase) -> None:
    told = ("public.notifications", "kind = 'message_waiting' and user_id = %s", case.professional.id)
    for _ in range(3):
        write(case.survivor.sql, case.match_id)
    assert cases.count(*told) == 1
    cases.pass_time(hours=1)
    message = write(case.survivor.sql, case.match_id)
    assert cases.count(*told) == 2
    case.professional.sql.execute("update public.messages set read_at = now() where id = %s", (message["id"],))
    assert cases.count(told[0], f"{told[1]} and read_at is null", told[2]) == 2
    case.professional.sql.execute("update public.messages set read_at = now()")
    assert cases.count(told[0], f"{told[1]} and read_at is null", told[2]) == 0
    assert cases.count("public.notifications", "kind = 'message_waiting' and user_id = %s", case.survivor.id) == 0
