"""Many hands on one case: exactly one wins, the others are told so, and nobody deadlocks."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.support.cases import Cases, OpenCase, accept, call
from tests.support.database import Database
from tests.support.races import Gate, deadlocks, race
from tests.support.refusals import refused

RIVALS = 32
HOLD_SURVIVOR = (
    "select 1 from public.profiles p join public.reports r on r.user_id = p.id where r.report_id = %s for update of p"
)
HOLD_REPORT = "select 1 from public.reports where report_id = %s for update"
HOLD_PROFESSIONAL = "select 1 from public.professionals where id = %s for update"


def rivals_for_one_report(cases: Cases) -> tuple[uuid.UUID, list[Callable[[], Any]]]:
    """A report, and thirty-two acceptances of it, each over a connection of its own."""
    cases.sql.execute("update private.matching_settings set offers_medium = %s", (RIVALS,))
    rivals = [cases.professional() for _ in range(RIVALS)]
    report_id = cases.file_report(cases.survivor())
    match_ids = {offer["professional_id"]: offer["id"] for offer in cases.offers(report_id, "pending")}
    return report_id, [partial(accept, rival.sql, match_ids[rival.id]) for rival in rivals]


@pytest.mark.parametrize("held", [HOLD_SURVIVOR, HOLD_REPORT], ids=["at the survivor", "at the report"])
def test_of_thirty_two_who_wait_to_accept_one_wins_and_the_rest_hear_it(
    committed: Cases, database: Database, held: str
) -> None:
    report_id, acceptances = rivals_for_one_report(committed)
    with Gate(database, held, report_id) as gate:
        gate.start(*acceptances)
        gate.until_waiting(RIVALS)
        outcomes = gate.open()
    losers = Counter(told for told in outcomes if isinstance(told, str))
    assert losers == {"match_not_pending": RIVALS - 1}
    (winner,) = [told["professional_id"] for told in outcomes if isinstance(told, dict)]
    assert committed.count("public.appointments") == 1
    assert committed.offered_to(report_id, "accepted") == {winner}
    assert len(committed.offers(report_id, "superseded")) == RIVALS - 1
    assert deadlocks(database) == 0


def test_of_thirty_two_who_run_freely_one_wins_and_the_rest_hear_it(committed: Cases, database: Database) -> None:
    report_id, acceptances = rivals_for_one_report(committed)
    outcomes = race(database, acceptances)
    assert Counter(told for told in outcomes if isinstance(told, str)) == {"match_not_pending": RIVALS - 1}
    assert len(committed.offers(report_id, "accepted")) == committed.count("public.appointments") == 1
    assert deadlocks(database) == 0


def test_two_clicks_of_one_professional_are_one_appointment(committed: Cases, database: Database) -> None:
    professional = committed.professional()
    offer = committed.offer(committed.file_report(committed.survivor()), professional)
    with Gate(database, HOLD_PROFESSIONAL, professional.id) as gate:
        gate.start(partial(accept, professional.sql, offer["id"]))
        gate.start(partial(accept, committed.database.as_user(professional.id), offer["id"]))
        gate.until_waiting(2)
        first, second = gate.open()
    assert first == second
    assert committed.count("public.appointments") == 1


def test_a_professional_who_accepts_two_cases_at_one_time_gets_one_and_the_other_stays_open(
    committed: Cases, database: Database
) -> None:
    professional = committed.professional()
    reports = [committed.file_report(committed.survivor()) for _ in range(2)]
    starts_at = committed.now() + timedelta(days=1)
    with Gate(database, HOLD_PROFESSIONAL, professional.id) as gate:
        for report_id in reports:
            match_id = committed.offer(report_id, professional)["id"]
            session = committed.database.as_user(professional.id)
            gate.start(partial(accept, session, match_id, starts_at))
        gate.until_waiting(2)
        outcomes = gate.open()
    assert [told for told in outcomes if isinstance(told, str)] == ["slot_taken"]
    states = sorted(committed.offer(report_id, professional)["match_status_type"] for report_id in reports)
    assert states == ["accepted", "pending"]
    assert committed.count("public.appointments") == 1
    assert deadlocks(database) == 0


def test_two_professionals_cannot_take_one_survivors_hour_twice(committed: Cases, database: Database) -> None:
    helpers = [committed.professional(), committed.professional(service_type="legal_aid")]
    report_id = committed.file_report(committed.survivor(), required_services=["counseling", "legal_aid"])
    starts_at = committed.now() + timedelta(days=1)
    with Gate(database, HOLD_SURVIVOR, report_id) as gate:
        for helper in helpers:
            gate.start(partial(accept, helper.sql, committed.offer(report_id, helper)["id"], starts_at))
        gate.until_waiting(2)
        outcomes = gate.open()
    assert [told for told in outcomes if isinstance(told, str)] == ["slot_taken"]
    assert sorted(committed.offer(report_id, helper)["match_status_type"] for helper in helpers) == [
        "accepted",
        "pending",
    ]


@pytest.mark.parametrize("first", ["accept", "withdraw"])
def test_an_acceptance_and_a_withdrawal_leave_no_live_appointment(
    committed: Cases, database: Database, first: str
) -> None:
    professional = committed.professional()
    committed.professional()
    survivor = committed.survivor()
    report_id = committed.file_report(survivor)
    match_id = committed.offer(report_id, professional)["id"]
    calls = {
        "accept": partial(accept, professional.sql, match_id),
        "withdraw": partial(call, survivor.sql, "withdraw_report", report_id),
    }
    order = [first, *(name for name in calls if name != first)]
    with Gate(database, HOLD_PROFESSIONAL, professional.id) as gate:
        for position, name in enumerate(order, 1):
            gate.start(calls[name])
            gate.until_waiting(position)
        outcomes = dict(zip(order, gate.open(), strict=True))
    assert outcomes["withdraw"]["status"] == "withdrawn"
    assert committed.report(report_id)["status"] == "withdrawn"
    assert committed.count("public.appointments", "status <> 'cancelled'") == 0
    assert {offer["match_status_type"] for offer in committed.offers(report_id)} <= {"withdrawn", "superseded"}
    if first == "withdraw":
        assert outcomes["accept"] == "report_withdrawn"
        assert committed.count("public.appointments") == 0
    with refused("report_withdrawn"):
        call(professional.sql, "open_case", match_id)
    assert committed.count("private.access_log_entries") == 0
    assert deadlocks(database) == 0


@pytest.mark.parametrize("first", ["accept", "decline"])
def test_an_acceptance_and_a_decline_by_one_professional_exclude_each_other(
    committed: Cases, database: Database, first: str
) -> None:
    professional = committed.professional()
    report_id = committed.file_report(committed.survivor())
    match_id = committed.offer(report_id, professional)["id"]
    calls = {
        "accept": partial(accept, professional.sql, match_id),
        "decline": partial(call, committed.database.as_user(professional.id), "decline_match", match_id),
    }
    order = [first, *(name for name in calls if name != first)]
    with Gate(database, HOLD_PROFESSIONAL, professional.id) as gate:
        for position, name in enumerate(order, 1):
            gate.start(calls[name])
            gate.until_waiting(position)
        winner, loser = gate.open()
    assert isinstance(winner, dict)
    assert loser == "match_not_pending"
    assert (
        committed.offer(report_id, professional)["match_status_type"]
        == {
            "accept": "accepted",
            "decline": "declined",
        }[first]
    )
    assert committed.count("public.appointments") == (1 if first == "accept" else 0)


def test_an_acceptance_that_waits_while_its_professional_is_suspended_is_refused(
    committed: Cases, database: Database
) -> None:
    professional = committed.professional()
    report_id = committed.file_report(committed.survivor())
    match_id = committed.offer(report_id, professional)["id"]
    suspend = "update public.professionals set verification_status = 'suspended' where id = %s"
    with Gate(database, suspend, professional.id) as gate:
        gate.start(partial(accept, professional.sql, match_id))
        gate.until_waiting(1)
        (told,) = gate.open(commit=True)
    assert told in ("not_verified", "match_not_pending")
    assert committed.count("public.appointments") == 0


def test_an_acceptance_that_waits_while_its_service_is_rejected_is_refused(
    committed: Cases, database: Database
) -> None:
    professional = committed.professional()
    report_id = committed.file_report(committed.survivor())
    match_id = committed.offer(report_id, professional)["id"]
    reject = "update public.support_services set verification_status = 'rejected' where id = %s"
    with Gate(database, reject, professional.service_id) as gate:
        gate.start(partial(accept, professional.sql, match_id))
        gate.until_waiting(1)
        assert gate.open(commit=True) == ["not_verified"]
    assert committed.offer(report_id, professional)["match_status_type"] == "withdrawn"


def test_a_rejection_passes_by_the_case_that_is_being_accepted(committed: Cases, database: Database) -> None:
    # The acceptance holds the report and needs the service: who holds the service must not wait for the report.
    professional = committed.professional()
    busy, free = (committed.file_report(committed.survivor()) for _ in range(2))
    match_id = committed.offer(busy, professional)["id"]
    reject = partial(committed.sql.execute, "update public.support_services set verification_status = 'rejected'")
    hold_service = "select 1 from public.support_services where id = %s for update"
    with Gate(database, hold_service, professional.service_id) as gate:
        gate.start(reject)
        gate.until_waiting(1)
        gate.start(partial(accept, professional.sql, match_id))
        gate.until_waiting(2)
        _, accepted = gate.open()
    assert accepted["status"] == "confirmed"
    assert committed.offer(busy, professional)["match_status_type"] == "accepted"
    assert committed.offer(free, professional)["match_status_type"] == "withdrawn"
    assert deadlocks(database) == 0


def test_an_acceptance_and_a_block_exclude_each_other(committed: Cases, database: Database) -> None:
    professional, survivor = committed.professional(), committed.survivor()
    report_id = committed.file_report(survivor)
    match_id = committed.offer(report_id, professional)["id"]
    block = "insert into public.blocked_professionals (professional_id) values (%s)"
    # Not "for update": that would hold up the foreign key of the block already. Who of the two goes first is open.
    with Gate(database, HOLD_PROFESSIONAL.replace("update", "no key update"), professional.id) as gate:
        gate.start(
            partial(accept, professional.sql, match_id), partial(survivor.sql.execute, block, (professional.id,))
        )
        gate.until_waiting(2)
        accepted, _ = gate.open()
    state = committed.offer(report_id, professional)["match_status_type"]
    assert (accepted == "match_not_pending", state) in ((True, "withdrawn"), (False, "accepted"))
    assert committed.count("public.appointments") == int(state == "accepted")
    assert committed.count("public.blocked_professionals") == 1
    assert deadlocks(database) == 0


def test_a_case_that_is_being_withdrawn_does_not_open(committed: Cases, database: Database) -> None:
    case = committed.accepted()
    with Gate(database, "update public.reports set status = 'withdrawn' where report_id = %s", case.report_id) as gate:
        gate.start(partial(call, case.professional.sql, "open_case", case.match_id))
        gate.until_waiting(1)
        assert gate.open(commit=True) == ["report_withdrawn"]
    assert committed.count("private.access_log_entries") == 0


def test_the_timers_do_not_wait_for_an_acceptance_nor_take_its_offer(committed: Cases, database: Database) -> None:
    professional = committed.professional()
    report_id = committed.file_report(committed.survivor())
    match_id = committed.offer(report_id, professional)["id"]
    with Gate(database, HOLD_REPORT, report_id) as gate:
        gate.start(partial(accept, professional.sql, match_id))
        gate.until_waiting(1)
        committed.pass_time(hours=25)
        assert committed.run_due_timers()["expired"] == 0
        assert gate.waiting() == 1
        (appointment,) = gate.open()
    assert appointment["status"] == "confirmed"
    assert committed.run_due_timers()["expired"] == 0
    assert committed.offer(report_id, professional)["match_status_type"] == "accepted"


def test_an_offer_that_expires_while_its_acceptance_waits_is_not_accepted(committed: Cases, database: Database) -> None:
    professional = committed.professional()
    report_id = committed.file_report(committed.survivor())
    match_id = committed.offer(report_id, professional)["id"]
    with Gate(database, HOLD_PROFESSIONAL, professional.id) as gate:
        gate.start(partial(accept, professional.sql, match_id))
        gate.until_waiting(1)
        committed.pass_time(hours=25)
        assert committed.run_due_timers()["expired"] == 1
        assert gate.open() == ["match_expired"]
    assert committed.count("public.appointments") == 0


def test_professionals_who_decline_at_once_are_each_replaced_by_somebody_else(
    committed: Cases, database: Database
) -> None:
    committed.sql.execute("update private.matching_settings set offers_medium = 8")
    everybody = [committed.professional() for _ in range(20)]
    report_id = committed.file_report(committed.survivor())
    asked = committed.offered_to(report_id)
    with Gate(database, HOLD_REPORT, report_id) as gate:
        for professional in everybody:
            if professional.id in asked:
                match_id = committed.offer(report_id, professional)["id"]
                gate.start(partial(call, professional.sql, "decline_match", match_id))
        gate.until_waiting(8)
        outcomes = gate.open()
    assert [told["match_status_type"] for told in outcomes] == ["declined"] * 8
    assert len(committed.offered_to(report_id, "pending")) == 8
    assert not committed.offered_to(report_id, "pending") & asked
    assert deadlocks(database) == 0


class TestCompletion:
    @pytest.fixture
    def case(self, committed: Cases) -> OpenCase:
        return committed.accepted()

    def boosts(self, cases: Cases) -> int:
        return cases.count("private.completion_boosts")

    @pytest.mark.parametrize("first", ["complete", "dispute"])
    def test_a_completion_and_a_dispute_leave_a_boost_only_with_the_mark(
        self, committed: Cases, database: Database, case: OpenCase, first: str
    ) -> None:
        call(case.professional.sql, "complete_case", case.match_id)
        calls = {
            "complete": partial(call, committed.database.as_user(case.professional.id), "complete_case", case.match_id),
            "dispute": partial(call, case.survivor.sql, "dispute_completion", case.match_id),
        }
        order = [first, *(name for name in calls if name != first)]
        with Gate(database, HOLD_PROFESSIONAL, case.professional.id) as gate:
            for position, name in enumerate(order, 1):
                gate.start(calls[name])
                gate.until_waiting(position)
            outcomes = gate.open()
        assert all(isinstance(told, dict) for told in outcomes), outcomes
        marked = committed.offer(case.report_id, case.professional)["professional_completed_at"] is not None
        assert marked == (first == "dispute")
        assert self.boosts(committed) == int(marked)

    def test_both_sides_at_once_close_the_case_once(self, committed: Cases, database: Database, case: OpenCase) -> None:
        with Gate(database, HOLD_PROFESSIONAL, case.professional.id) as gate:
            gate.start(
                partial(call, case.professional.sql, "complete_case", case.match_id),
                partial(call, case.survivor.sql, "complete_case", case.match_id),
            )
            gate.until_waiting(2)
            outcomes = gate.open()
        assert sorted(told["match_status_type"] for told in outcomes) == ["accepted", "completed"]
        assert committed.report(case.report_id)["status"] == "archived"
        assert committed.count("public.notifications", "kind = 'case_closed'") == 2
        assert self.boosts(committed) == 1

    def test_a_confirmation_and_a_dispute_of_one_survivor_exclude_each_other(
        self, committed: Cases, database: Database, case: OpenCase
    ) -> None:
        call(case.professional.sql, "complete_case", case.match_id)
        with Gate(database, HOLD_PROFESSIONAL, case.professional.id) as gate:
            gate.start(partial(call, case.survivor.sql, "complete_case", case.match_id))
            gate.until_waiting(1)
            gate.start(partial(call, committed.database.as_user(case.survivor.id), "dispute_completion", case.match_id))
            gate.until_waiting(2)
            confirmed, disputed = gate.open()
        assert confirmed["match_status_type"] == "completed"
        assert disputed == "invalid_transition"
        assert self.boosts(committed) == 1
