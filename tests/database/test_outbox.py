"""The outbox: nobody does a job twice at once, none is lost, and a stale lease changes nothing."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.support.cases import Cases, Row, accept, call
from tests.support.database import Database
from tests.support.jobs import Jobs
from tests.support.races import Gate, deadlocks, race, until
from tests.support.refusals import forbidden, refused

STALE = {"job_id": 1, "lease_token": uuid.UUID(int=0)}


@pytest.fixture
def jobs(cases: Cases) -> Jobs:
    return Jobs(cases, cases.database.as_service())


class TestClaiming:
    def test_urgent_jobs_go_first_then_the_oldest(self, jobs: Jobs) -> None:
        late = jobs.add()
        urgent = jobs.add(priority=10)
        later = jobs.add()
        assert jobs.claimed_ids(max_jobs=1) == [urgent]
        assert jobs.claimed_ids(max_jobs=1) == [late]
        assert jobs.claimed_ids() == [later]
        assert jobs.claim() == []

    def test_a_batch_is_handed_out_in_the_same_order(self, jobs: Jobs) -> None:
        late, urgent, later, pushed = jobs.add(), jobs.add(priority=10), jobs.add(), jobs.add(priority=20)
        for function in ("claim_jobs('w', 4, 60)", "take_jobs('w', 4, 60)"):
            rows = jobs.worker.execute(f"select * from public.{function}").fetchall()
            assert [row["job_id"] for row in rows] == [urgent, pushed, late, later]
            for row in rows:
                jobs.fail(row, "worker_stopped", retry_in=0)

    def test_what_a_dead_worker_has_left_goes_before_a_backlog_and_after_the_urgent(
        self, cases: Cases, jobs: Jobs
    ) -> None:
        unhurried = jobs.add(priority=70)
        assert jobs.claimed_ids(lease_seconds=10) == [unhurried]
        ordinary, urgent = jobs.add(), jobs.add(priority=10)
        cases.pass_time(seconds=11)
        assert [jobs.claimed_ids(max_jobs=1) for _ in range(3)] == [[urgent], [unhurried], [ordinary]]

    def test_a_batch_holds_at_most_what_was_asked_for(self, jobs: Jobs) -> None:
        everything = {jobs.add() for _ in range(7)}
        first, second = set(jobs.claimed_ids(max_jobs=5)), set(jobs.claimed_ids(max_jobs=5))
        assert (len(first), len(second)) == (5, 2)
        assert first | second == everything

    def test_a_job_is_not_claimed_before_its_time(self, cases: Cases, jobs: Jobs) -> None:
        job_id = jobs.add(due_in=timedelta(minutes=5))
        assert jobs.claim() == []
        cases.pass_time(minutes=5)
        assert jobs.claimed_ids() == [job_id]

    def test_a_worker_takes_only_the_kinds_it_asks_for(self, jobs: Jobs) -> None:
        mail, event = jobs.add(kind="mail"), jobs.add(kind="calendar_event")
        assert jobs.claimed_ids(kinds=["calendar_event"]) == [event]
        assert jobs.claimed_ids(kinds=[]) == []
        assert jobs.claimed_ids(kinds=["mail", "other"]) == [mail]

    def test_a_claim_waits_for_the_disk_when_its_worker_will_change_something_outside(self, jobs: Jobs) -> None:
        """What a crash takes back is claimed again, and then two are at it."""
        waiting = []
        for kinds in (["mail"], ["sms"], ["calendar_event"], ["probe", "mail"], ["probe"], ["calendar_pull"]):
            for kind in kinds:
                jobs.add(kind=kind)
            jobs.worker.execute("select set_config('synchronous_commit', 'on', true)")
            assert len(jobs.worker.execute("select * from public.take_jobs('w', 9, 60)").fetchall()) == len(kinds)
            if jobs.worker.execute("show synchronous_commit").fetchone() == {"synchronous_commit": "on"}:
                waiting.append(kinds)
            jobs.clear()
        assert waiting == [["mail"], ["sms"], ["calendar_event"], ["probe", "mail"]]

    def test_the_claim_tells_attempt_lease_and_age(self, cases: Cases, jobs: Jobs) -> None:
        job_id = jobs.add(max_attempts=3)
        job = jobs.claim_one(lease_seconds=90, worker="w-1")
        assert (job["job_id"], job["kind"], job["attempt"], job["max_attempts"]) == (job_id, "mail", 1, 3)
        assert job["leased_until"] == cases.now() + timedelta(seconds=90)
        assert jobs.row(job_id)["worker_id"] == "w-1"

    @pytest.mark.parametrize(
        ("worker", "max_jobs", "seconds"),
        [
            (None, 1, 60),
            ("w" * 201, 1, 60),
            ("line\nbreak", 1, 60),
            ("w", 0, 60),
            ("w", 1001, 60),
            ("w", None, 60),
            ("w", -1, 60),
            ("w", 1, 0),
            ("w", 1, 3601),
            ("w", 1, None),
        ],
    )
    def test_a_senseless_claim_is_refused(self, jobs: Jobs, worker: Any, max_jobs: Any, seconds: Any) -> None:
        job_id = jobs.add()
        with refused("invalid_input"):
            jobs.claim(max_jobs, seconds, None, worker)
        assert jobs.state(job_id) == "pending"


class TestLeases:
    def test_a_leased_job_is_not_claimed_again_until_the_lease_ends(self, cases: Cases, jobs: Jobs) -> None:
        job_id = jobs.add()
        first = jobs.claim_one(lease_seconds=60)
        cases.pass_time(seconds=59)
        assert jobs.claim() == []
        cases.pass_time(seconds=1)
        second = jobs.claim_one()
        assert second["job_id"] == job_id
        assert second["attempt"] == 2
        assert second["lease_token"] != first["lease_token"]

    def test_an_extended_lease_holds_from_now_on(self, cases: Cases, jobs: Jobs) -> None:
        jobs.add()
        job = jobs.claim_one(lease_seconds=60)
        cases.pass_time(seconds=50)
        assert jobs.extend(job, 60) == cases.now() + timedelta(seconds=60)
        cases.pass_time(seconds=59)
        assert jobs.claim() == []
        cases.pass_time(seconds=1)
        assert len(jobs.claim()) == 1

    @pytest.mark.parametrize("seconds", [0, -1, 3601, None])
    def test_a_senseless_extension_is_refused(self, jobs: Jobs, seconds: Any) -> None:
        jobs.add()
        job = jobs.claim_one()
        with refused("invalid_input"):
            jobs.extend(job, seconds)

    @pytest.mark.parametrize("act", [Jobs.context, Jobs.complete, Jobs.fail, Jobs.extend])
    def test_a_stale_token_can_do_nothing(self, cases: Cases, jobs: Jobs, act: Callable[[Jobs, Any], Any]) -> None:
        job_id = jobs.add()
        stale = jobs.claim_one(lease_seconds=1)
        cases.pass_time(seconds=2)
        fresh = jobs.claim_one()
        before = jobs.row(job_id)
        for token in (stale["lease_token"], uuid.uuid4(), None):
            with refused("invalid_transition"):
                act(jobs, stale | {"lease_token": token})
        with refused("invalid_transition"):
            act(jobs, fresh | {"job_id": job_id + 1})
        assert jobs.row(job_id) == before
        jobs.complete(fresh)
        assert jobs.state(job_id) == "done"

    @pytest.mark.parametrize("act", [Jobs.context, Jobs.fail, Jobs.extend])
    def test_a_settled_job_can_be_neither_read_nor_failed(self, jobs: Jobs, act: Callable[[Jobs, Any], Any]) -> None:
        job_id = jobs.add()
        job = jobs.claim_one()
        jobs.complete(job, {"outcome": "sent"})
        with refused("invalid_transition"):
            act(jobs, job)
        assert jobs.row(job_id)["result"] == {"outcome": "sent"}

    def test_a_late_but_unchallenged_settlement_counts(self, cases: Cases, jobs: Jobs) -> None:
        # The work was done; claiming it again would do it twice.
        job_id = jobs.add()
        job = jobs.claim_one(lease_seconds=1)
        cases.pass_time(seconds=10)
        jobs.complete(job)
        assert jobs.state(job_id) == "done"

    def test_completing_twice_is_completing_once(self, cases: Cases, jobs: Jobs) -> None:
        job_id = jobs.add()
        job = jobs.claim_one()
        jobs.complete(job, {"outcome": "sent"})
        before = jobs.row(job_id)
        cases.pass_time(seconds=1)
        jobs.complete(job, {"outcome": "other"})
        assert jobs.row(job_id) == before


class TestFailing:
    def test_a_failed_job_waits_as_long_as_the_worker_says(self, cases: Cases, jobs: Jobs) -> None:
        job_id = jobs.add()
        assert jobs.fail(jobs.claim_one(), retry_in=30.5) == "pending"
        assert jobs.row(job_id)["run_at"] == cases.now() + timedelta(seconds=30.5)
        assert jobs.row(job_id)["last_error"] == "smtp_unavailable"
        cases.pass_time(seconds=30)
        assert jobs.claim() == []
        cases.pass_time(seconds=1)
        assert jobs.claim_one()["attempt"] == 2

    def test_a_permanent_error_is_a_dead_letter(self, cases: Cases, jobs: Jobs) -> None:
        job_id = jobs.add()
        assert jobs.fail(jobs.claim_one(), "address_refused") == "dead"
        cases.pass_time(days=30)
        assert jobs.claim() == []
        assert jobs.row(job_id)["last_error"] == "address_refused"
        assert jobs.row(job_id)["finished_at"] is not None

    def test_the_last_attempt_is_final(self, jobs: Jobs) -> None:
        jobs.add(max_attempts=3)
        states = [jobs.fail(jobs.claim_one(), retry_in=0) for _ in range(3)]
        assert states == ["pending", "pending", "dead"]
        assert jobs.claim() == []

    def test_a_job_that_kills_its_workers_dies_itself(self, cases: Cases, jobs: Jobs) -> None:
        job_id = jobs.add(max_attempts=2)
        for _ in range(2):
            jobs.claim_one(lease_seconds=1)
            cases.pass_time(seconds=1)
        assert jobs.claim() == []
        assert (jobs.state(job_id), jobs.row(job_id)["last_error"]) == ("dead", "lease_expired")

    @pytest.mark.parametrize(
        "error", [None, "", "x", "550 mailbox full for amina@example.org", "UPPER", "a" * 81, "a b"]
    )
    def test_a_providers_own_words_never_get_in(self, jobs: Jobs, error: Any) -> None:
        job_id = jobs.add()
        job = jobs.claim_one()
        with refused("invalid_input"):
            jobs.fail(job, error)
        assert jobs.row(job_id)["last_error"] is None

    @pytest.mark.parametrize("seconds", [-1, 604801, float("nan"), float("inf")])
    def test_a_senseless_delay_is_refused(self, jobs: Jobs, seconds: float) -> None:
        job_id = jobs.add()
        job = jobs.claim_one()
        with refused("invalid_input"):
            jobs.fail(job, retry_in=seconds)
        assert jobs.state(job_id) == "running"

    def test_a_huge_result_is_refused(self, jobs: Jobs) -> None:
        job_id = jobs.add()
        job = jobs.claim_one()
        with refused("invalid_input"):
            jobs.complete(job, {"outcome": [str(uuid.uuid4()) for _ in range(2000)]})
        assert jobs.state(job_id) == "running"


class TestDeadLetters:
    def test_dead_letters_are_listed_and_revived_with_fresh_attempts(self, cases: Cases, jobs: Jobs) -> None:
        first, second, alive = jobs.add(max_attempts=1), jobs.add(max_attempts=1), jobs.add(due_in=timedelta(days=1))
        for job in jobs.claim():
            jobs.fail(job, retry_in=1)
        listed = jobs.worker.execute("select * from public.list_jobs('dead')").fetchall()
        assert {row["job_id"] for row in listed} == {first, second}
        assert call(jobs.worker, "retry_jobs", [first]) == 1
        assert call(jobs.worker, "retry_jobs", [first, alive, 0]) == 0
        revived = jobs.claim_one()
        assert (revived["job_id"], revived["attempt"]) == (first, 1)
        jobs.complete(revived)
        assert call(jobs.worker, "retry_jobs", None) == 1
        assert jobs.state(first) == "done"
        assert jobs.claimed_ids() == [second]

    def test_the_list_shows_states_and_symbols_and_is_bounded(self, jobs: Jobs) -> None:
        for _ in range(5):
            jobs.add()
        rows = jobs.worker.execute("select * from public.list_jobs(max_jobs => 3)").fetchall()
        assert len(rows) == 3
        assert set(rows[0]) == {
            "job_id",
            "kind",
            "state",
            "attempts",
            "max_attempts",
            "run_at",
            "last_error",
            "created_at",
            "finished_at",
        }
        assert jobs.worker.execute("select * from public.list_jobs(max_jobs => -1)").fetchall() == []
        assert len(jobs.worker.execute("select * from public.list_jobs(null, null)").fetchall()) == 5

    def test_the_statistics_count_states_and_age(self, cases: Cases, jobs: Jobs) -> None:
        empty = call(jobs.worker, "outbox_statistics")
        assert empty == {"pending": 0, "running": 0, "dead": 0, "oldest_pending_seconds": 0}
        jobs.add(kind="dies")
        jobs.fail(jobs.claim_one())
        jobs.add(kind="runs")
        jobs.claim_one()
        jobs.add()
        jobs.add(due_in=timedelta(days=1))
        cases.pass_time(seconds=40)
        told = call(jobs.worker, "outbox_statistics")
        assert (told["pending"], told["running"], told["dead"]) == (2, 1, 1)
        assert told["oldest_pending_seconds"] == 40


class TestOrder:
    def test_jobs_of_one_key_run_one_after_the_other(self, jobs: Jobs) -> None:
        first, second, other = jobs.add(ordering_key="a"), jobs.add(ordering_key="a"), jobs.add(ordering_key="b")
        claimed = jobs.claim()
        assert [job["job_id"] for job in claimed] == [first, other]
        assert jobs.claim() == []
        jobs.complete(claimed[0])
        assert jobs.claimed_ids() == [second]

    def test_the_younger_waits_while_the_older_backs_off_however_urgent(self, cases: Cases, jobs: Jobs) -> None:
        older = jobs.add(ordering_key="a")
        younger = jobs.add(ordering_key="a", priority=1)
        jobs.fail(jobs.claim_one(), retry_in=60)
        assert jobs.claim() == []
        cases.pass_time(seconds=60)
        job = jobs.claim_one()
        assert job["job_id"] == older
        jobs.complete(job)
        assert jobs.claimed_ids() == [younger]

    def test_a_dead_job_does_not_hold_up_the_next(self, jobs: Jobs) -> None:
        jobs.add(ordering_key="a")
        younger = jobs.add(ordering_key="a")
        jobs.fail(jobs.claim_one())
        assert jobs.claimed_ids() == [younger]

    def test_a_revived_job_does_not_run_beside_the_younger(self, cases: Cases, jobs: Jobs) -> None:
        older, younger = jobs.add(ordering_key="a"), jobs.add(ordering_key="a")
        jobs.fail(jobs.claim_one())
        running = jobs.claim_one(lease_seconds=60)
        assert running["job_id"] == younger
        call(jobs.worker, "retry_jobs", None)
        assert jobs.claim() == []
        cases.pass_time(seconds=60)
        # The younger's worker is gone: the older goes first.
        assert jobs.claimed_ids() == [older]


class TestClaimersAtOnce:
    def test_two_claimers_never_share_a_job(self, committed: Cases, database: Database) -> None:
        jobs = Jobs(committed, database.as_service())
        committed.sql.execute(
            "insert into private.outbox_jobs (kind, dedupe_key, run_at, ordering_key)"
            " select 'mail', n::text, private.clock(), case when n % 2 = 0 then (n % 10)::text end"
            " from generate_series(1, 300) as n"
        )
        claimers = [Jobs(committed, database.as_service()) for _ in range(6)]

        def drain(worker: Jobs, name: str) -> list[int]:
            done: list[int] = []
            for batch in iter(lambda: worker.claim(7, 3600, None, name), []):
                for job in batch:
                    done.append(job["job_id"])
                    worker.complete(job)
            return done

        shares = race(database, [partial(drain, worker, f"worker {n}") for n, worker in enumerate(claimers)])
        assert all(isinstance(share, list) for share in shares), shares
        # One claimer may stop while another still holds the head of a key.
        until(lambda: drain(jobs, "last") == [], "the outbox is empty")
        everything = list(itertools.chain.from_iterable(shares))
        assert len(everything) == len(set(everything))
        assert committed.count("private.outbox_jobs", "state = 'done' and attempts = 1") == 300
        assert deadlocks(database) == 0

    def test_a_claimer_passes_by_what_another_is_taking(self, committed: Cases, database: Database) -> None:
        jobs = Jobs(committed, database.as_service())
        taken, free = jobs.add(), jobs.add()
        with Gate(database, "select 1 from private.outbox_jobs where id = %s for update", taken) as gate:
            gate.start(jobs.claimed_ids)
            assert gate.ended() == [[free]]

    def test_a_claimer_does_not_wait_to_bury_the_dead(self, committed: Cases, database: Database) -> None:
        jobs = Jobs(committed, database.as_service())
        dying = jobs.add(max_attempts=1)
        jobs.claim_one(lease_seconds=1)
        committed.pass_time(seconds=2)
        alive = jobs.add()
        with Gate(database, "select 1 from private.outbox_jobs where id = %s for update", dying) as gate:
            gate.start(jobs.claimed_ids)
            assert gate.ended() == [[alive]]
            gate.open()
        assert jobs.claim() == []
        assert jobs.state(dying) == "dead"

    def test_a_job_that_goes_while_a_list_is_settled_costs_the_others_nothing(
        self, committed: Cases, database: Database
    ) -> None:
        jobs = Jobs(committed, database.as_service())
        mail, going, staying = jobs.add(), jobs.add(kind="calendar_event"), jobs.add(kind="calendar_event")
        leases = [{"job_id": job["job_id"], "lease_token": str(job["lease_token"])} for job in jobs.claim()]

        def settle() -> dict[int, bool]:
            rows = jobs.worker.execute("select * from public.complete_jobs(%s)", (Jsonb(leases),)).fetchall()
            return {row["job_id"]: row["is_settled"] for row in rows}

        with Gate(database, "delete from private.outbox_jobs where id = %s", going) as gate:
            gate.start(settle)
            gate.until_waiting(1)
            assert gate.open(commit=True) == [{mail: True, going: False, staying: True}]
        assert (jobs.state(mail), jobs.state(staying)) == ("done", "done")


class TestWhoMayCall:
    CALLS = (
        "select * from public.claim_jobs('w', 1, 60)",
        "select * from public.take_jobs('w', 1, 60)",
        "select * from public.job_contexts('[]')",
        "select * from public.complete_jobs('[]')",
        "select public.queue_probe()",
        "select public.job_context(1, gen_random_uuid())",
        "select public.complete_job(1, gen_random_uuid(), '{}')",
        "select public.fail_job(1, gen_random_uuid(), 'error', 1)",
        "select public.extend_lease(1, gen_random_uuid(), 60)",
        "select public.run_due_timers()",
        "select * from public.list_jobs()",
        "select public.retry_jobs()",
        "select public.outbox_statistics()",
        "select * from private.claim_jobs('w', 1, 60, null)",
        "select private.run_due_timers()",
        "select * from private.outbox_jobs",
    )

    @pytest.mark.parametrize("statement", CALLS)
    def test_nobody_but_the_service_key(self, cases: Cases, statement: str) -> None:
        for actor in (cases.professional().sql, cases.survivor().sql, cases.admin(), cases.database.as_anon()):
            with forbidden():
                actor.execute(statement)

    def test_the_service_key_does_not_read_the_outbox_itself(self, jobs: Jobs) -> None:
        with forbidden():
            jobs.worker.execute("select * from private.outbox_jobs")


class TestDoorbell:
    def rings(self, cases: Cases) -> list[Row]:
        return (
            cases.database.as_superuser()
            .execute("select * from realtime.messages where topic = 'sauti_sync'")
            .fetchall()
        )

    def test_one_statement_that_adds_jobs_rings_once_and_says_nothing(self, cases: Cases) -> None:
        cases.sql.execute(
            "insert into private.outbox_jobs (kind, dedupe_key, run_at)"
            " select 'mail', n::text, now() from generate_series(1, 5) as n"
        )
        (ring,) = self.rings(cases)
        assert (ring["event"], ring["private"], ring["extension"]) == ("jobs", True, "broadcast")
        assert set(ring["payload"]) <= {"id"}

    def test_the_ring_over_realtime_can_be_left_out(self, cases: Cases) -> None:
        cases.sql.execute("update private.message_settings set rings_realtime = false")
        cases.sql.execute("insert into private.outbox_jobs (kind, dedupe_key, run_at) values ('mail', 'x', now())")
        assert self.rings(cases) == []

    def test_a_statement_that_adds_none_does_not_ring(self, cases: Cases) -> None:
        cases.sql.execute(
            "insert into private.outbox_jobs (kind, dedupe_key, run_at) select 'mail', 'x', now() where false"
        )
        assert self.rings(cases) == []


class TestMailContext:
    @pytest.fixture
    def offered(self, cases: Cases, jobs: Jobs) -> Row:
        """The claimed mail job of an offer, with the offer and its professional."""
        professional = cases.professional()
        survivor = cases.survivor()
        report_id = cases.file_report(survivor)
        offer = cases.offer(report_id, professional)
        return {"job": jobs.claim_one(), "offer": offer, "professional": professional, "survivor": survivor}

    def test_an_offer_is_announced_without_any_fact(self, cases: Cases, jobs: Jobs, offered: Row) -> None:
        context = jobs.context(offered["job"])
        notification = cases.one("select * from public.notifications")
        assert context == {
            "state": "due",
            "kind": "mail",
            "message": {
                "id": str(notification["id"]),
                "template": "offer_made",
                "to": f"{offered['professional'].id}@example.org",
                "locale": "en",
                "time_zone": "UTC",
                "case_code": None,
            },
            "appointment": None,
        }

    @pytest.mark.parametrize("ending", ["accepted by a rival", "declined", "expired", "withdrawn", "read"])
    def test_an_offer_that_has_gone_is_not_announced(self, cases: Cases, jobs: Jobs, offered: Row, ending: str) -> None:
        professional, offer = offered["professional"], offered["offer"]
        match ending:
            case "accepted by a rival":
                cases.sql.execute(
                    "update public.matched_services set match_status_type = 'superseded' where id = %s", (offer["id"],)
                )
            case "declined":
                call(professional.sql, "decline_match", offer["id"])
            case "expired":
                cases.pass_time(hours=24)
            case "withdrawn":
                call(offered["survivor"].sql, "withdraw_report", offer["report_id"])
            case "read":
                professional.sql.execute("update public.notifications set read_at = now()")
        assert jobs.context(offered["job"]) == {"state": "obsolete"}

    def test_a_cancelled_session_confirms_itself_to_nobody(self, cases: Cases, jobs: Jobs) -> None:
        case = cases.accepted(contact_preference="email")
        confirmations = [job for job in jobs.claim() if jobs.context(job)["state"] == "due"]
        assert len(confirmations) == 2
        call(case.professional.sql, "cancel_appointment", case.appointment["appointment_id"])
        assert {jobs.context(job)["state"] for job in confirmations} == {"obsolete"}
        cancellations = [jobs.context(job) for job in jobs.claim()]
        assert [told["message"]["template"] for told in cancellations] == ["appointment_cancelled"] * 2

    def test_both_parties_get_code_and_times_of_the_appointment_and_nothing_of_the_case(
        self, cases: Cases, jobs: Jobs
    ) -> None:
        case = cases.accepted(contact_preference="email", contact_email="safe@example.org")
        told = [context for job in jobs.claim() if (context := jobs.context(job))["state"] == "due"]
        code = cases.report(case.report_id)["case_code"]
        assert {context["message"]["to"] for context in told} == {
            "safe@example.org",
            f"{case.professional.id}@example.org",
        }
        for context in told:
            assert context["message"]["template"] == "appointment_confirmed"
            assert context["message"]["case_code"] == code
            assert set(context["appointment"]) == {
                "appointment_id",
                "uid",
                "starts_at",
                "ends_at",
                "duration_minutes",
                "status",
                "sequence",
                "time_zone",
                "meeting_url",
                "location",
                "case_code",
                "created_at",
                "revised_at",
            }
            assert context["appointment"]["uid"] == f"{case.appointment['appointment_id']}@sauti"

    @pytest.mark.parametrize("preference", ["phone_call", "sms", "in_app", "do_not_contact"])
    def test_a_survivor_who_did_not_choose_mail_gets_none(self, cases: Cases, jobs: Jobs, preference: str) -> None:
        case = cases.accepted(contact_preference=preference, contact_email="never@example.org")
        told = [context for job in jobs.claim() if (context := jobs.context(job))["state"] == "due"]
        assert [context["message"]["to"] for context in told] == [f"{case.professional.id}@example.org"]

    def test_the_preference_is_read_when_the_mail_goes_not_when_it_is_queued(self, cases: Cases, jobs: Jobs) -> None:
        case = cases.accepted(contact_preference="email")
        claimed = jobs.claim()
        case.survivor.sql.execute("update public.reports set contact_preference = 'do_not_contact'")
        states = sorted(jobs.context(job)["state"] for job in claimed)
        # One offer that is taken, one confirmation for each party.
        assert states == ["due", "obsolete", "obsolete"]

    def test_somebody_without_an_address_gets_no_mail(self, cases: Cases, jobs: Jobs) -> None:
        professional = cases.professional()
        user_id = cases.database.add_user(anonymous=True)
        survivor = type(cases.survivor())(user_id, cases.database.as_user(user_id, anonymous=True))
        offer = cases.offer(cases.file_report(survivor, contact_preference="email"), professional)
        accept(professional.sql, offer["id"])
        told = [context for job in jobs.claim() if (context := jobs.context(job))["state"] == "due"]
        assert [context["message"]["to"] for context in told] == [f"{professional.id}@example.org"]

    def test_a_mail_waits_for_safe_hours_without_spending_an_attempt(self, cases: Cases, jobs: Jobs) -> None:
        now = cases.now()
        opens = (now + timedelta(hours=3)).replace(second=0, microsecond=0)
        closes = opens + timedelta(hours=1)
        cases.accepted(contact_preference="email", safe_contact_from=opens.time(), safe_contact_until=closes.time())
        postponed = [job for job in jobs.claim() if jobs.context(job)["state"] == "postponed"]
        (job,) = postponed
        row = jobs.row(job["job_id"])
        assert (row["state"], row["attempts"], row["lease_token"]) == ("pending", 0, None)
        assert row["run_at"] == opens
        with refused("invalid_transition"):
            jobs.complete(job)
        cases.pass_time(seconds=(opens - now).total_seconds() - 1)
        assert job["job_id"] not in jobs.claimed_ids(lease_seconds=1)
        cases.pass_time(seconds=2)
        (again,) = [found for found in jobs.claim() if found["job_id"] == job["job_id"]]
        assert again["attempt"] == 1
        assert jobs.context(again)["state"] == "due"

    def test_safe_hours_are_read_in_the_survivors_own_zone(self, cases: Cases, jobs: Jobs) -> None:
        case = cases.accepted(contact_preference="email", safe_contact_from="00:00", safe_contact_until="00:01")
        cases._update("public.profiles", {"id": case.survivor.id}, {"time_zone": "Asia/Kathmandu"})
        (job,) = [found for found in jobs.claim() if jobs.context(found)["state"] == "postponed"]
        run_at = jobs.row(job["job_id"])["run_at"]
        assert (run_at.hour, run_at.minute) == (18, 15)

    def test_a_job_about_nothing_is_obsolete(self, jobs: Jobs) -> None:
        jobs.add()
        jobs.add(kind="calendar_event")
        jobs.add(kind="unknown_kind")
        assert {jobs.context(job)["state"] for job in jobs.claim()} == {"obsolete"}

    def test_urgent_offers_go_before_everything_else(self, cases: Cases, jobs: Jobs) -> None:
        professional = cases.professional()
        cases.file_report(cases.survivor(), urgency="low")
        cases.file_report(cases.survivor(), urgency="high")
        first = jobs.claim_one(max_jobs=1)
        notification = cases.one(
            "select m.urgency from private.outbox_jobs j join public.notifications n on n.id = j.notification_id"
            " join public.matched_services m on m.id = n.matched_services where j.id = %s",
            first["job_id"],
        )
        assert notification["urgency"] == "high"
        assert professional


class TestCost:
    """A worker plans when the queue is empty and keeps the plan while it fills: no call may then read all there is."""

    @pytest.fixture
    def filled(self, cases: Cases, jobs: Jobs) -> None:
        """A queue of which everything was planned when it held one job, and which now keeps a thousand done ones."""
        jobs.add()
        cases.sql.execute("analyze private.outbox_jobs, private.job_keys")
        # Functions keep a general plan from the sixth call on.
        for _ in range(8):
            self.work_through(jobs, 3)
            cases.run_due_timers()
        cases.sql.execute(
            "insert into private.outbox_jobs (kind, dedupe_key, run_at, state, lease_token, finished_at)"
            " select 'probe', 'done:' || n, private.clock(), 'done', gen_random_uuid(), private.clock()"
            " from generate_series(1, 1000) as n"
        )
        cases.sql.execute("insert into private.job_keys select 'pruned:' || n from generate_series(1, 1000) as n")

    def work_through(self, jobs: Jobs, count: int) -> None:
        """Claim, read, extend and settle, alone and together."""
        for _ in range(count):
            jobs.add(kind="probe")
        failing, alone, *others = jobs.claim()
        jobs.fail(failing)
        jobs.context(alone)
        jobs.extend(alone)
        jobs.complete(alone)
        leases = [{"job_id": job["job_id"], "lease_token": str(job["lease_token"])} for job in others]
        jobs.worker.execute("select * from public.job_contexts(%s)", (Jsonb(leases),))
        # One that is stale sends the rest the long way.
        stale = {"job_id": alone["job_id"], "lease_token": str(uuid.uuid4())}
        for settlements in (leases[1:], [stale, *leases[:1]]):
            jobs.worker.execute("select * from public.complete_jobs(%s)", (Jsonb(settlements),))

    def rows_read(self, cases: Cases) -> int:
        """Rows of the outbox and of the kept keys that this transaction has read so far."""
        read: int = cases.one(
            "select sum(seq_tup_read + idx_tup_fetch) as read from pg_stat_xact_all_tables"
            " where relid in ('private.outbox_jobs'::regclass, 'private.job_keys'::regclass)"
        )["read"]
        return read

    @pytest.mark.usefixtures("filled")
    def test_working_through_a_few_jobs_reads_a_few_rows(self, cases: Cases, jobs: Jobs) -> None:
        before = self.rows_read(cases)
        self.work_through(jobs, 10)
        assert 10 < self.rows_read(cases) - before < 150

    @pytest.mark.usefixtures("filled")
    def test_the_timers_read_no_job_that_is_kept(self, cases: Cases) -> None:
        before = self.rows_read(cases)
        cases.run_due_timers()
        assert self.rows_read(cases) - before < 50


def test_a_change_that_is_undone_queues_nothing(committed: Cases, database: Database) -> None:
    professional = committed.professional()
    offer = committed.offer(committed.file_report(committed.survivor()), professional)
    before = committed.count("private.outbox_jobs")
    with professional.sql.transaction(force_rollback=True):  # type: ignore[union-attr]
        accept(professional.sql, offer["id"])
    assert committed.count("private.outbox_jobs") == before
    assert committed.count("public.notifications", "kind <> 'offer_made'") == 0


def test_a_result_of_a_calendar_job_without_its_rows_is_kept_and_harmless(jobs: Jobs) -> None:
    job_id = jobs.add(kind="calendar_event")
    jobs.complete(jobs.claim_one(), {"outcome": "synced", "external_event_id": "x", "sequence": 1})
    assert jobs.row(job_id)["result"]["outcome"] == "synced"
    assert jobs.cases.count("public.calendar_events") == 0


def test_the_result_may_be_any_json(jobs: Jobs) -> None:
    results: tuple[Any, ...] = (None, [], "sent", 1, {"outcome": "synced", "sequence": "no number"})
    for value in results:
        jobs.add()
        job = jobs.claim_one()
        call(jobs.worker, "complete_job", job["job_id"], job["lease_token"], Jsonb(value))
