"""Messages: along the channel that a person chose, in time, once, and not after they have become pointless."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from psycopg.types.json import Jsonb

from tests.support.cases import Cases, OpenCase, Row, call
from tests.support.database import Database
from tests.support.jobs import Jobs
from tests.support.races import race

PHONE = "+254 712 345 678"


@pytest.fixture
def jobs(cases: Cases) -> Jobs:
    return Jobs(cases, cases.database.as_service())


def due(jobs: Jobs) -> list[Row]:
    """Do all that can be claimed, as a worker does; the contexts of what was due."""
    contexts = []
    for job in jobs.claim():
        context = jobs.context(job)
        if context["state"] == "due":
            contexts.append(context)
        if context["state"] != "postponed":
            jobs.complete(job)
    return contexts


def told(contexts: list[Row]) -> list[tuple[str, str, str]]:
    return sorted((c["kind"], c["message"]["template"], c["message"]["to"]) for c in contexts)


def professional_of(case: OpenCase) -> str:
    return f"{case.professional.id}@example.org"


class TestChannels:
    def test_a_survivor_who_chose_sms_gets_sms_at_the_reports_number(self, cases: Cases, jobs: Jobs) -> None:
        case = cases.accepted(contact_preference="sms", contact_phone=PHONE, contact_email="never@example.org")
        assert told(due(jobs)) == [
            ("mail", "appointment_confirmed", professional_of(case)),
            ("sms", "appointment_confirmed", PHONE),
        ]

    def test_sms_without_a_number_is_no_message(self, cases: Cases, jobs: Jobs) -> None:
        case = cases.accepted(contact_preference="sms", contact_email="never@example.org")
        assert told(due(jobs)) == [("mail", "appointment_confirmed", professional_of(case))]

    @pytest.mark.parametrize("preference", ["phone_call", "in_app", "do_not_contact"])
    def test_a_number_alone_is_no_permission(self, cases: Cases, jobs: Jobs, preference: str) -> None:
        case = cases.accepted(contact_preference=preference, contact_phone=PHONE, contact_email="never@example.org")
        assert told(due(jobs)) == [("mail", "appointment_confirmed", professional_of(case))]

    @pytest.mark.parametrize(("before", "after"), [("email", "sms"), ("sms", "email")])
    def test_who_changes_channel_before_it_goes_gets_it_there_and_only_there(
        self, cases: Cases, jobs: Jobs, before: str, after: str
    ) -> None:
        case = cases.accepted(contact_preference=before, contact_phone=PHONE, contact_email="me@example.org")
        case.survivor.sql.execute(
            "update public.reports set contact_preference = %s::public.contact_preference", (after,)
        )
        first = told(due(jobs))
        assert first == [("mail", "appointment_confirmed", professional_of(case))]
        wanted = ("sms", PHONE) if after == "sms" else ("mail", "me@example.org")
        (job,) = jobs.claim(kinds=[wanted[0]])
        assert job["attempt"] == 1, "changing channel is no attempt"
        context = jobs.context(job)
        assert (context["kind"], context["message"]["to"]) == wanted

    def test_an_sms_waits_for_safe_hours_and_obeys_a_later_no(self, cases: Cases, jobs: Jobs) -> None:
        now = cases.now()
        opens = (now + timedelta(hours=3)).replace(second=0, microsecond=0)
        case = cases.accepted(
            contact_preference="sms", contact_phone=PHONE,
            safe_contact_from=opens.time(), safe_contact_until=(opens + timedelta(hours=1)).time(),
        )  # fmt: skip
        (job,) = [job for job in jobs.claim(kinds=["sms"]) if jobs.context(job)["state"] == "postponed"]
        assert jobs.row(job["job_id"])["run_at"] == opens
        case.survivor.sql.execute("update public.reports set contact_preference = 'do_not_contact'")
        cases.pass_time(seconds=(opens - now).total_seconds() + 1)
        (again,) = jobs.claim(kinds=["sms"])
        assert jobs.context(again) == {"state": "obsolete"}


class TestReminders:
    @pytest.fixture
    def case(self, cases: Cases, jobs: Jobs) -> OpenCase:
        """An appointment in two days; all that was to be said about making it is said."""
        case = cases.accepted(contact_preference="sms", contact_phone=PHONE)
        self.move(cases, case, timedelta(days=2))
        due(jobs)
        assert self.remind(cases) == 0
        return case

    def move(self, cases: Cases, case: OpenCase, ahead: timedelta) -> None:
        cases.sql.execute(
            "update public.appointments set appointment_date = private.clock() + %s where appointment_id = %s",
            (ahead, case.appointment["appointment_id"]),
        )

    def remind(self, cases: Cases) -> int:
        """Let the timers run, as a worker does; how many reminders they wrote."""
        count: int = cases.run_due_timers()["reminded"]
        return count

    def test_both_are_reminded_a_day_and_an_hour_before_and_at_no_other_time(
        self, cases: Cases, jobs: Jobs, case: OpenCase
    ) -> None:
        expected = [
            ("mail", "appointment_reminder", professional_of(case)),
            ("sms", "appointment_reminder", PHONE),
        ]
        for hours in (24, 23):
            cases.pass_time(hours=hours, seconds=-1)
            assert self.remind(cases) == 0
            cases.pass_time(seconds=1)
            assert self.remind(cases) == 1
            assert self.remind(cases) == 0, "written once however often the timers run"
            contexts = due(jobs)
            assert told(contexts) == expected
            assert {context["appointment"]["appointment_id"] for context in contexts} == {
                str(case.appointment["appointment_id"])
            }
            assert due(jobs) == []
        cases.pass_time(hours=2)
        assert self.remind(cases) == 0

    @pytest.mark.parametrize("change", ["cancelled", "moved", "withdrawn"])
    def test_what_no_longer_holds_is_not_reminded_of(self, cases: Cases, case: OpenCase, change: str) -> None:
        match change:
            case "moved":
                self.move(cases, case, timedelta(days=9))
            case "cancelled":
                call(case.professional.sql, "cancel_appointment", case.appointment["appointment_id"])
            case "withdrawn":
                call(case.survivor.sql, "withdraw_report", case.report_id)
        cases.pass_time(hours=24)
        assert self.remind(cases) == 0
        assert cases.count("public.notifications", "kind = 'appointment_reminder'") == 0

    def test_a_moved_appointment_is_reminded_of_again_at_its_new_time(
        self, cases: Cases, jobs: Jobs, case: OpenCase
    ) -> None:
        cases.pass_time(hours=24)
        assert self.remind(cases) == 1
        self.move(cases, case, timedelta(days=9))
        assert {template for _, template, _ in told(due(jobs))} == {"appointment_changed"}, "the first is pointless now"
        cases.pass_time(days=7)
        assert self.remind(cases) == 0
        cases.pass_time(days=1)
        assert self.remind(cases) == 1

    @pytest.mark.parametrize(("late_hours", "reminders"), [(11.9, 1), (12.1, 0), (22.4, 0), (23.4, 1), (23.6, 0)])
    def test_after_an_outage_a_reminder_goes_only_while_half_of_its_lead_is_left(
        self, cases: Cases, case: OpenCase, late_hours: float, reminders: int
    ) -> None:
        cases.pass_time(hours=24 + late_hours)
        assert self.remind(cases) == reminders
        assert self.remind(cases) == 0

    def test_an_appointment_made_within_the_lead_has_no_reminder_of_it(self, cases: Cases, jobs: Jobs) -> None:
        assert self.remind(cases) == 0
        cases.pass_time(seconds=4)
        case = cases.accepted()
        assert case.appointment["appointment_date"] <= cases.now() + timedelta(minutes=60)
        cases.pass_time(seconds=5)
        assert self.remind(cases) == 0

    def test_leads_are_a_setting_that_takes_effect_from_now_on(self, cases: Cases, case: OpenCase) -> None:
        cases.sql.execute("update private.message_settings set reminder_minutes = '{10080,30}'")
        assert self.remind(cases) == 0, "a lead that is past already reminds nobody"
        assert cases.count("private.reminder_marks", "lead_minutes in (30, 10080)") == 2
        cases.pass_time(hours=24)
        assert self.remind(cases) == 0
        cases.pass_time(hours=23, minutes=30)
        assert self.remind(cases) == 1

    def test_many_at_once_are_taken_in_portions_and_none_is_left_out(self, cases: Cases) -> None:
        cases.sql.execute("update private.message_settings set reminder_minutes = '{5760}'")
        professionals = [cases.professional() for _ in range(3)]
        for days in (5, 6, 7):
            for professional in professionals:
                cases.sql.execute(
                    "insert into public.appointments (professional_id, appointment_date, duration_minutes, status,"
                    " created_via) values (%s, private.clock() + make_interval(days => %s), 60, 'confirmed',"
                    " 'scheduled_acceptance')",
                    (professional.id, days),
                )
        statement = "select private.send_reminders(2) as count"
        assert cases.one(statement)["count"] == 0
        cases.pass_time(days=3)
        # Three begin at each instant, and none of an instant is parted from the others.
        assert [cases.one(statement)["count"] for _ in range(4)] == [3, 3, 3, 0]

    def test_the_reminder_holds_no_address_and_the_outside_client_is_reminded_too(
        self, cases: Cases, jobs: Jobs
    ) -> None:
        professional = cases.professional()
        appointment = cases.one(
            "insert into public.appointments (professional_id, appointment_date, duration_minutes, status, created_via)"
            " values (%s, private.clock() + interval '2 days', 60, 'confirmed', 'public_booking') returning *",
            professional.id,
        )
        cases.sql.execute(
            "insert into public.appointment_clients (appointment_id, client_name, client_email, locale)"
            " values (%s, 'Canary', 'canary@example.org', 'fr')",
            (appointment["appointment_id"],),
        )
        for job in jobs.claim():
            jobs.complete(job)
        assert self.remind(cases) == 0
        cases.pass_time(hours=24)
        assert self.remind(cases) == 1
        contexts = due(jobs)
        # The two mails are in no order of their own.
        assert sorted(told(contexts)) == sorted(
            [
                ("mail", "appointment_reminder", f"{professional.id}@example.org"),
                ("mail", "appointment_reminder", "canary@example.org"),
            ]
        )
        assert "anary" not in str(cases.sql.execute("select * from private.outbox_jobs").fetchall())


class TestWaitingMessages:
    def test_many_messages_are_one_notification_in_a_while(self, cases: Cases, jobs: Jobs) -> None:
        case = cases.accepted(contact_preference="sms", contact_phone=PHONE)
        due(jobs)

        def write() -> None:
            cases.sql.execute("select private.notify_message_waiting(%s, %s)", (case.match_id, case.survivor.id))

        for _ in range(3):
            write()
            cases.pass_time(minutes=9)
        assert told(due(jobs)) == [("sms", "message_waiting", PHONE)]
        cases.pass_time(minutes=4)
        write()
        assert told(due(jobs)) == [("sms", "message_waiting", PHONE)]

    def test_two_messages_at_once_are_one_notification(self, committed: Cases, database: Database) -> None:
        case = committed.accepted()
        writers = [database.as_admin_sql() for _ in range(4)]
        statement = "select private.notify_message_waiting(%s, %s)"
        race(database, [partial(writer.execute, statement, (case.match_id, case.survivor.id)) for writer in writers])
        assert committed.count("public.notifications", "kind = 'message_waiting'") == 1


class TestPruning:
    def test_old_jobs_go_and_are_never_queued_again(self, cases: Cases, jobs: Jobs) -> None:
        done, dead = jobs.add(), jobs.add()
        for job in jobs.claim():
            if job["job_id"] == done:
                jobs.complete(job)
            else:
                jobs.fail(job)
        key = jobs.row(done)["dedupe_key"]
        cases.pass_time(days=29)
        assert call(jobs.worker, "run_due_timers")["pruned"] == 0
        cases.pass_time(days=2)
        assert call(jobs.worker, "run_due_timers")["pruned"] == 1
        assert jobs.state(dead) == "dead"
        again = "insert into private.outbox_jobs (kind, dedupe_key, run_at) values ('mail', %s, private.clock())"
        cases.sql.execute(again, (key,))
        assert cases.count("private.outbox_jobs") == 1
        cases.sql.execute(again, ("another",))
        assert cases.count("private.outbox_jobs") == 2


class TestManyAtOnce:
    def leases(self, claimed: list[Row]) -> list[dict[str, str]]:
        return [{"job_id": job["job_id"], "lease_token": str(job["lease_token"])} for job in claimed]

    def contexts(self, jobs: Jobs, leases: list[dict[str, str]]) -> dict[int, str]:
        rows = jobs.worker.execute("select * from public.job_contexts(%s)", (Jsonb(leases),)).fetchall()
        return {row["job_id"]: row["context"]["state"] for row in rows}

    def settle(self, jobs: Jobs, leases: list[dict[str, str]]) -> dict[int, bool]:
        given = [lease | {"result": {"outcome": "sent"}} for lease in leases]
        rows = jobs.worker.execute("select * from public.complete_jobs(%s)", (Jsonb(given),)).fetchall()
        return {row["job_id"]: row["is_settled"] for row in rows}

    def test_a_stale_lease_costs_the_others_nothing(self, cases: Cases, jobs: Jobs) -> None:
        first, second, third = jobs.add(kind="probe"), jobs.add(kind="calendar_event"), jobs.add()
        leases = self.leases(jobs.claim())
        leases[2]["lease_token"] = "00000000-0000-0000-0000-000000000000"
        assert self.contexts(jobs, leases) == {first: "due", second: "obsolete", third: "lost"}
        assert self.settle(jobs, leases) == {first: True, second: True, third: False}
        assert [jobs.state(job) for job in (first, second, third)] == ["done", "done", "running"]

    @pytest.mark.parametrize("kind", ["probe", "calendar_event"])
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_of_two_leases_of_one_job_the_older_is_stale(
        self, cases: Cases, jobs: Jobs, kind: str, newest_first: bool
    ) -> None:
        job_id = jobs.add(kind=kind)
        (old,) = self.leases(jobs.claim(lease_seconds=5))
        cases.pass_time(seconds=6)
        (new,) = self.leases(jobs.claim())
        given = [lease | {"result": {"outcome": "sent"}} for lease in ((new, old) if newest_first else (old, new))]
        contexts = jobs.worker.execute("select * from public.job_contexts(%s)", (Jsonb(given),)).fetchall()
        lost = {str(row["lease_token"]): row["context"]["state"] == "lost" for row in contexts}
        assert lost == {old["lease_token"]: True, new["lease_token"]: False}
        rows = jobs.worker.execute("select * from public.complete_jobs(%s)", (Jsonb(given),)).fetchall()
        settled = {str(row["lease_token"]): row["is_settled"] for row in rows}
        assert settled == {old["lease_token"]: False, new["lease_token"]: True}
        assert jobs.state(job_id) == "done"

    def test_settling_twice_is_settling_once(self, cases: Cases, jobs: Jobs) -> None:
        ids = [jobs.add() for _ in range(3)]
        leases = self.leases(jobs.claim())
        assert set(self.settle(jobs, leases).values()) == {True}
        before = [jobs.row(job) for job in ids]
        cases.pass_time(seconds=5)
        assert set(self.settle(jobs, leases).values()) == {True}
        assert [jobs.row(job) for job in ids] == before


@pytest.mark.parametrize("symbol", ["worker_stopped", "provider_paused"])
def test_a_job_that_is_handed_back_untried_loses_no_attempt(jobs: Jobs, symbol: str) -> None:
    job_id = jobs.add(max_attempts=1)
    for _ in range(5):
        assert jobs.fail(jobs.claim_one(), symbol, retry_in=0) == "pending"
    assert jobs.row(job_id)["attempts"] == 0


def test_a_probe_shows_that_a_worker_is_there(jobs: Jobs) -> None:
    job_id = call(jobs.worker, "queue_probe")
    job = jobs.claim_one(kinds=["probe"])
    assert job["job_id"] == job_id
    assert jobs.context(job) == {"state": "due", "kind": "probe"}
    jobs.complete(job, {"outcome": "seen"})
    assert jobs.state(job_id) == "done"
