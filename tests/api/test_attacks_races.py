"""Who is faster by a moment gains nothing: races between real connections, seen to wait for the locks."""

from __future__ import annotations

import pytest

from tests.support.cases import Cases, accept, call
from tests.support.database import Database
from tests.support.races import Gate


@pytest.fixture
def cases(database: Database) -> Cases:
    return Cases(database)


def test_a_door_that_waits_behind_a_withdrawal_stays_shut(database: Database, cases: Cases) -> None:
    case = cases.accepted()
    report = case.report_id
    with Gate(database, "select 1 from public.reports where report_id = %s for update", report) as gate:
        gate.start(lambda: call(case.survivor.sql, "withdraw_report", report))
        gate.until_waiting(1)
        gate.start(lambda: call(case.professional.sql, "open_case", case.match_id))
        gate.until_waiting(2)
        _, opened = gate.open()
    assert opened == "report_withdrawn"
    assert cases.count("private.access_log_entries") == 0


def test_an_administrator_who_waits_behind_a_withdrawal_reads_nothing(database: Database, cases: Cases) -> None:
    case, admin = cases.accepted(), cases.admin()
    report = case.report_id
    with Gate(database, "select 1 from public.reports where report_id = %s for update", report) as gate:
        gate.start(lambda: call(case.survivor.sql, "withdraw_report", report))
        gate.until_waiting(1)
        gate.start(lambda: call(admin, "break_glass", report, "the caller may be in danger now"))
        gate.until_waiting(2)
        _, opened = gate.open()
    assert opened == "report_withdrawn"
    assert cases.count("private.access_log_entries") == 0


def test_a_message_that_waits_behind_a_withdrawal_is_not_written(database: Database, cases: Cases) -> None:
    case = cases.accepted()
    report = case.report_id

    def write() -> object:
        return case.professional.sql.execute(
            "insert into public.messages (matched_services, body) values (%s, 'where are you?')", (case.match_id,)
        )

    with Gate(database, "select 1 from public.reports where report_id = %s for update", report) as gate:
        gate.start(lambda: call(case.survivor.sql, "withdraw_report", report))
        gate.until_waiting(1)
        gate.start(write)
        gate.until_waiting(2)
        _, written = gate.open()
    assert written == "report_withdrawn"
    assert cases.count("public.messages") == 0


def test_an_acceptance_that_waits_behind_a_suspension_does_not_unmask(database: Database, cases: Cases) -> None:
    professional, admin = cases.professional(), cases.admin()
    report = cases.file_report(cases.survivor())
    offer = cases.offer(report, professional)["id"]
    lock = "select 1 from public.professionals where id = %s for no key update"
    with Gate(database, lock, professional.id) as gate:
        gate.start(lambda: call(admin, "verify_professional", professional.id, "suspended", "reported by a client"))
        gate.until_waiting(1)
        gate.start(lambda: accept(professional.sql, offer))
        gate.until_waiting(2)
        judged, accepted = gate.open()
    assert judged["verification_status"] == "suspended"
    assert accepted in ("not_verified", "match_not_pending")
    assert cases.count("public.appointments") == 0
