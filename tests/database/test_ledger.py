"""The ledger: everything that matters is in it, nobody changes it, and whoever does is found out."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.support.cases import Cases, accept, call
from tests.support.races import Gate
from tests.support.refusals import forbidden, refused


def events(cases: Cases) -> list[str]:
    return [row["event"] for row in cases.sql.execute("select event from private.audit_log order by id").fetchall()]


def problems(cases: Cases, *anchor: Any) -> set[str]:
    marks = ", ".join(["%s"] * len(anchor))
    rows = cases.sql.execute(f"select problem from private.verify_audit_log({marks})", anchor).fetchall()
    return {row["problem"] for row in rows}


def seal(cases: Cases, most: int = 5000) -> int:
    sealed: int = cases.one("select private.seal_audit_log(%s) as sealed", most)["sealed"]
    return sealed


def tamper(cases: Cases, statement: str) -> None:
    """What somebody with the keys of the house can do: as superuser, without the guard."""
    house = cases.database.as_superuser()
    house.execute("set session_replication_role = replica")
    house.execute(statement)
    house.execute("set session_replication_role = origin")


def test_the_way_of_a_case_is_in_it(cases: Cases) -> None:
    case = cases.accepted()
    call(case.professional.sql, "open_case", case.match_id)
    call(case.professional.sql, "complete_case", case.match_id)
    call(case.survivor.sql, "complete_case", case.match_id)
    call(case.survivor.sql, "export_my_data")
    found = events(cases)
    assert set(found) >= {
        "verification_status",
        "consent_given",
        "offer_status",
        "report_status",
        "open_case",
        "data_exported",
        "appointment_status",
    }
    opened = cases.one("select * from private.audit_log where event = 'open_case'")
    assert (opened["actor_id"], opened["subject_id"]) == (case.professional.id, case.survivor.id)
    assert opened["detail"] == {"report_id": str(case.report_id), "match_id": str(case.match_id)}
    assert opened["facts"] == {}


def test_status_changes_are_told_with_their_two_ends(cases: Cases) -> None:
    case = cases.accepted()
    changes = cases.sql.execute(
        "select event, facts from private.audit_log where event in ('offer_status', 'report_status') order by id"
    ).fetchall()
    assert [(row["event"], row["facts"]) for row in changes] == [
        ("offer_status", {"from": "pending", "to": "accepted"}),
        ("report_status", {"from": "pending", "to": "active"}),
    ]
    assert case


def test_a_refused_opening_leaves_no_entry(cases: Cases) -> None:
    professional = cases.professional()
    match_id = cases.offer(cases.file_report(cases.survivor()), professional)["id"]
    with refused("case_not_open"):
        call(professional.sql, "open_case", match_id)
    assert "open_case" not in events(cases)


@pytest.mark.parametrize("role", ["survivor", "admin", "service", "anon"])
def test_no_role_of_the_api_reads_or_writes_it(cases: Cases, role: str) -> None:
    cases.accepted()
    actor = {
        "survivor": lambda: cases.survivor().sql,
        "admin": cases.admin,
        "service": cases.database.as_service,
        "anon": cases.database.as_anon,
    }[role]()
    for relation in ("audit_log", "audit_seals"):
        for statement in ("select * from", "delete from", "truncate"):
            with forbidden():
                actor.execute(f"{statement} private.{relation}")
    with forbidden():
        actor.execute("update private.audit_log set event = 'x'")
    with forbidden():
        actor.execute("insert into private.audit_log (event, occurred_at) values ('forged', now())")
    with forbidden():
        actor.execute("select private.record_audit('forged', null, null)")


@pytest.mark.parametrize(
    "statement",
    [
        "update private.audit_log set event = 'harmless'",
        "update private.audit_log set occurred_at = now() + interval '1 hour'",
        "update private.audit_log set facts = '{\"a\": 1}'",
        "update private.audit_log set actor_id = gen_random_uuid()",
        "update private.audit_log set actor_id = null",
        "update private.audit_log set detail = null",
        "update private.audit_log set digest = sha256('')",
        "update private.audit_log set seal_id = null where seal_id is not null",
        "delete from private.audit_log",
        "truncate private.audit_log",
        "update private.audit_seals set entries = 7",
        "delete from private.audit_seals",
        "truncate private.audit_seals cascade",
    ],
)
def test_not_even_its_owner_changes_an_entry(cases: Cases, statement: str) -> None:
    cases.accepted()
    seal(cases)
    before = cases.count("private.audit_log")
    with refused("not_allowed"):
        cases.sql.execute(statement)
    assert cases.count("private.audit_log") == before
    assert problems(cases) == set()


def test_batches_are_chained_and_verify(cases: Cases) -> None:
    cases.accepted()
    entries = cases.count("private.audit_log")
    assert seal(cases, 3) == 3
    cases.run_due_timers()
    assert cases.count("private.audit_log", "seal_id is null") == 0
    seals = cases.sql.execute("select * from private.audit_seals order by id").fetchall()
    assert [row["id"] for row in seals] == [1, 2]
    assert sum(row["entries"] for row in seals) == entries
    assert seals[1]["previous_hash"] == seals[0]["hash"]
    assert problems(cases) == set()
    assert seal(cases) == 0


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("update private.audit_log set event = 'harmless' where id = (select min(id) from private.audit_log)",
         "entry_changed"),
        ("update private.audit_log set actor_id = gen_random_uuid() where event = 'open_case'", "entry_changed"),
        ("update private.audit_log set detail = '{}' where event = 'open_case'", "entry_changed"),
        ("delete from private.audit_log where event = 'open_case'", "seal_broken"),
        ("update private.audit_log set actor_id = null, actor_salt = null where event = 'open_case'",
         "erased_without_record"),
        ("delete from private.audit_seals where id = 1", "seal_missing"),
        ("update private.audit_seals set hash = sha256('') where id = 1", "seal_broken"),
        ("update private.audit_log set seal_id = 2 where event = 'open_case'", "seal_broken"),
    ],
)  # fmt: skip
def test_tampering_is_found(cases: Cases, statement: str, problem: str) -> None:
    case = cases.accepted()
    call(case.professional.sql, "open_case", case.match_id)
    seal(cases)
    call(case.professional.sql, "open_case", case.match_id)
    seal(cases)
    tamper(cases, statement)
    assert problem in problems(cases)


def test_a_chain_that_was_computed_anew_does_not_meet_its_anchor(cases: Cases) -> None:
    cases.accepted()
    seal(cases)
    anchor = cases.one("select id, hash from private.audit_seals order by id desc limit 1")
    assert problems(cases, anchor["id"], anchor["hash"]) == set()
    tamper(cases, "delete from private.audit_seals")
    tamper(cases, "update private.audit_log set seal_id = null")
    tamper(cases, "delete from private.audit_log where event = 'offer_status'")
    seal(cases)
    assert problems(cases) == set()
    assert problems(cases, anchor["id"], anchor["hash"]) == {"anchor_missing"}


def test_a_writer_gives_no_digest_of_its_own(cases: Cases) -> None:
    row = cases.one(
        "insert into private.audit_log (event, occurred_at, actor_commitment, subject_commitment, digest)"
        " values ('forged', now(), '\\x00', '\\x00', '\\x00') returning length(digest) as n, seal_id"
    )
    assert (row["n"], row["seal_id"]) == (32, None)
    assert problems(cases) == set()


def test_the_salts_keep_equal_payloads_apart(cases: Cases) -> None:
    case = cases.accepted()
    for _ in range(2):
        call(case.professional.sql, "open_case", case.match_id)
    rows = cases.sql.execute("select * from private.audit_log where event = 'open_case'").fetchall()
    assert rows[0]["actor_commitment"] != rows[1]["actor_commitment"]
    assert rows[0]["subject_commitment"] != rows[1]["subject_commitment"]


def test_writers_do_not_wait_for_each_other_nor_for_the_sealer(committed: Cases) -> None:
    case = committed.accepted()
    with psycopg.connect(committed.database.url) as writer:
        writer.execute("select private.record_audit('slow_writer', null, null)")
        with psycopg.connect(committed.database.url) as sealer:
            sealer.execute("set lock_timeout = '2s'")
            sealer.execute("select private.seal_audit_log(5000)")
            with Gate(committed.database, "select 1") as gate:
                gate.start(lambda: call(case.professional.sql, "open_case", case.match_id))
                assert isinstance(gate.open()[0], dict)
            sealer.commit()
        writer.commit()
    assert problems(committed) == set()
    assert seal(committed) >= 2
    assert committed.count("private.audit_log", "seal_id is null") == 0
    assert problems(committed) == set()


def test_an_accepted_race_leaves_a_chain_that_verifies(committed: Cases) -> None:
    professionals = [committed.professional() for _ in range(4)]
    reports = [committed.file_report(committed.survivor()) for _ in range(4)]
    matches = [
        (professional, committed.offer(report_id, professional)["id"])
        for professional, report_id in zip(professionals, reports, strict=True)
    ]
    with Gate(committed.database, "select 1") as gate:
        gate.start(*[lambda p=p, m=m: accept(p.sql, m) for p, m in matches])  # type: ignore[misc]
        gate.start(*[lambda: committed.database.as_service().execute("select public.run_due_timers()")] * 2)
        gate.open()
    seal(committed)
    assert problems(committed) == set()
