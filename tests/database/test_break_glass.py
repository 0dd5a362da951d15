"""The emergency door: an administrator, a reason, three traces, and the survivor is told."""

from __future__ import annotations

import uuid

import pytest

from tests.support.canary import plant
from tests.support.cases import Cases, call
from tests.support.refusals import refused

REASON = "Call from the police about a danger to life, case 4711."


def test_an_administrator_opens_a_report_and_everybody_concerned_knows(cases: Cases) -> None:
    admin = cases.admin()
    survivor, report_id = plant(cases)
    told = call(admin, "break_glass", report_id, REASON)
    assert told["survivor_name"] == "Canaryname Canarysurname"
    assert told["match_id"] is None
    (entry,) = survivor.sql.execute("select * from public.access_log").fetchall()
    assert (entry["door"], entry["actor_role"], entry["reason"]) == ("break_glass", "admin", REASON)
    assert entry["opened_at"] == cases.now()
    ledger = cases.one("select * from private.audit_log where event = 'break_glass'")
    assert ledger["detail"] == {"report_id": str(report_id), "reason": REASON}
    assert (ledger["subject_id"], ledger["facts"]) == (survivor.id, {})
    notices = survivor.sql.execute(
        "select kind from public.notifications where report_id = %s", (report_id,)
    ).fetchall()
    assert [row["kind"] for row in notices] == ["access_opened"]


def test_each_opening_is_an_entry_of_its_own(cases: Cases) -> None:
    admin = cases.admin()
    survivor, report_id = plant(cases)
    for _ in range(2):
        call(admin, "break_glass", report_id, REASON)
    assert len(survivor.sql.execute("select * from public.access_log").fetchall()) == 2


@pytest.mark.parametrize("reason", [None, "", "too short", " " * 30, "x" * 19, "\n" * 25 + "curious", "x" * 1001])
def test_without_a_reason_it_stays_shut(cases: Cases, reason: str | None) -> None:
    admin = cases.admin()
    _, report_id = plant(cases)
    with refused("invalid_input"):
        call(admin, "break_glass", report_id, reason)
    assert cases.count("private.access_log_entries") == 0


def test_only_administrators_have_this_door(cases: Cases) -> None:
    professional = cases.professional()
    survivor, report_id = plant(cases)
    for nobody in (professional.sql, survivor.sql, cases.survivor().sql):
        for target in (report_id, uuid.uuid4()):
            with refused("not_allowed"):
                call(nobody, "break_glass", target, REASON)
    with refused("not_authenticated"):
        call(cases.database.as_anon(), "break_glass", report_id, REASON)
    assert cases.count("private.access_log_entries") == 0


def test_what_is_not_shared_stays_shut(cases: Cases) -> None:
    admin = cases.admin()
    _, recorded = plant(cases, consent_to_share=False)
    with refused("consent_required"):
        call(admin, "break_glass", recorded, REASON)
    survivor, withdrawn = plant(cases)
    call(survivor.sql, "withdraw_report", withdrawn)
    with refused("report_withdrawn"):
        call(admin, "break_glass", withdrawn, REASON)
    with refused("not_found"):
        call(admin, "break_glass", uuid.uuid4(), REASON)
    assert cases.count("private.access_log_entries") == 0


def test_a_former_administrator_finds_it_locked(cases: Cases) -> None:
    admin = cases.admin()
    _, report_id = plant(cases)
    cases.sql.execute("update public.profiles set user_type = 'survivor' where user_type = 'admin'")
    with refused("not_allowed"):
        call(admin, "break_glass", report_id, REASON)
    assert cases.count("private.audit_log", "event = 'role_changed'") == 2
