"""One appointment, one event in each calendar: jobs in order, mappings that never go back, credentials for nobody."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.cases import Cases, OpenCase, Row, accept, call
from tests.support.jobs import Jobs
from tests.support.refusals import forbidden, refused

CIPHERTEXT = "v1.key1." + "A" * 16 + "." + "B" * 40
URL = "https://dav.example.org/asha/sessions/"
CALENDAR = ["calendar_event"]


@pytest.fixture
def jobs(cases: Cases) -> Jobs:
    return Jobs(cases, cases.database.as_service())


def connect(cases: Cases, user_id: uuid.UUID, url: str = URL, credentials: str = CIPHERTEXT) -> Row:
    row: Row = call(
        cases.database.as_service(), "store_calendar_connection", user_id, "caldav", "asha", url, credentials
    )
    return row


@pytest.fixture
def connected(cases: Cases) -> tuple[OpenCase, Row]:
    """A case whose professional had connected a calendar before accepting."""
    professional = cases.professional()
    connection = connect(cases, professional.id)
    return cases.accepted(professional=professional), connection


class TestConnecting:
    def test_the_owner_sees_the_connection_and_nobody_sees_the_credentials(self, cases: Cases) -> None:
        professional = cases.professional()
        connection = connect(cases, professional.id)
        assert "credentials" not in connection
        (row,) = professional.sql.execute("select * from public.calendar_connections").fetchall()
        assert (row["id"], row["status"], row["detail_level"]) == (connection["id"], "active", "neutral")
        assert CIPHERTEXT not in str(row)
        assert cases.professional().sql.execute("select * from public.calendar_connections").fetchall() == []
        for actor in (professional.sql, cases.admin(), cases.database.as_anon(), cases.database.as_service()):
            with forbidden():
                actor.execute("select * from private.calendar_credentials")

    def test_connecting_again_renews_the_same_connection(self, cases: Cases) -> None:
        professional = cases.professional()
        first = connect(cases, professional.id)
        cases.sql.execute("update public.calendar_connections set status = 'needs_reauth', last_error = 'needs_reauth'")
        renewed = CIPHERTEXT.replace("B", "C")
        second = connect(cases, professional.id, credentials=renewed)
        assert (second["id"], second["status"], second["last_error"]) == (first["id"], "active", None)
        assert cases.one("select ciphertext from private.calendar_credentials") == {"ciphertext": renewed}

    def test_what_runs_with_the_old_credentials_cannot_end_the_renewed_connection(
        self, cases: Cases, jobs: Jobs
    ) -> None:
        case = cases.accepted()
        connect(cases, case.professional.id)
        job = jobs.claim_one(kinds=["calendar_event"], lease_seconds=30)
        assert jobs.context(job)["connection"]["credentials"] == CIPHERTEXT
        renewed = CIPHERTEXT.replace("B", "C")
        connect(cases, case.professional.id, credentials=renewed)
        with refused("invalid_transition"):
            jobs.fail(job, "needs_reauth")
        assert cases.one("select status from public.calendar_connections") == {"status": "active"}
        # Nobody writes or cleans beside what the old attempt may still have under way.
        doubtful = cases.one("select max(leased_until) as until from private.outbox_jobs where state = 'pending'")[
            "until"
        ]
        assert doubtful == job["leased_until"]
        assert jobs.claim(kinds=["calendar_event"]) == []
        cases.pass_time(seconds=31)
        again = jobs.claim_one(kinds=["calendar_event"])
        assert again["job_id"] == job["job_id"]
        assert jobs.context(again)["connection"]["credentials"] == renewed

    @pytest.mark.parametrize(
        "wrong",
        [
            {"provider": "yahoo"},
            {"provider": None},
            {"account_label": "two\nlines"},
            {"account_label": None},
            {"account_label": "x" * 201},
            {"calendar_id": "x" * 1001},
            {"calendar_id": "https://a\r\nHost: b"},
            {"calendar_id": None},
            {"credentials": '{"password": "hunter2"}'},
            {"credentials": "v2." + CIPHERTEXT[3:]},
            {"credentials": CIPHERTEXT + "\n"},
            {"credentials": ""},
            {"credentials": None},
            {"credentials": CIPHERTEXT + "A" * 20000},
        ],
        ids=str,
    )
    def test_what_is_no_connection_or_no_ciphertext_is_not_stored(self, cases: Cases, wrong: dict[str, Any]) -> None:
        right = {"provider": "caldav", "account_label": "asha", "calendar_id": URL, "credentials": CIPHERTEXT}
        values = right | wrong
        with refused("invalid_input") as told:
            call(cases.database.as_service(), "store_calendar_connection", cases.survivor().id, *values.values())
        assert "hunter2" not in told.details
        assert cases.count("public.calendar_connections") == 0

    def test_only_the_service_key_stores(self, cases: Cases) -> None:
        professional = cases.professional()
        for actor in (professional.sql, cases.admin(), cases.database.as_anon()):
            with forbidden():
                call(actor, "store_calendar_connection", professional.id, "caldav", "a", URL, CIPHERTEXT)
        with refused("not_found"):
            connect(cases, uuid.uuid4())

    def test_the_owner_disconnects_and_everything_of_it_goes(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        case, connection = connected
        job = jobs.claim_one(kinds=CALENDAR)
        with refused("not_found"):
            call(cases.professional().sql, "delete_calendar_connection", connection["id"])
        case.professional.sql.execute("select public.delete_calendar_connection(%s)", (connection["id"],))
        for relation in ("public.calendar_connections", "private.calendar_credentials", "public.calendar_events"):
            assert cases.count(relation) == 0
        with refused("invalid_transition"):
            jobs.complete(job, {"outcome": "synced"})
        with refused("not_found"):
            call(case.professional.sql, "delete_calendar_connection", connection["id"])

    def test_the_owner_chooses_how_much_events_say_and_nothing_else(
        self, cases: Cases, connected: tuple[OpenCase, Row]
    ) -> None:
        actor = connected[0].professional.sql
        assert actor.execute("update public.calendar_connections set detail_level = 'full'").rowcount == 1
        for assignment in ("status = 'active'", "calendar_id = 'https://elsewhere.example'", "user_id = user_id"):
            with forbidden():
                actor.execute(f"update public.calendar_connections set {assignment}")


class TestJobs:
    def test_each_calendar_of_both_parties_gets_the_appointment(self, cases: Cases, jobs: Jobs) -> None:
        professional, survivor = cases.professional(), cases.survivor()
        connections = {
            connect(cases, professional.id)["id"],
            connect(cases, professional.id, URL + "second/")["id"],
            connect(cases, survivor.id)["id"],
        }
        connect(cases, cases.professional().id)
        accept(professional.sql, cases.offer(cases.file_report(survivor), professional)["id"])
        contexts = [jobs.context(job) for job in jobs.claim(kinds=CALENDAR)]
        assert {uuid.UUID(context["connection"]["id"]) for context in contexts} == connections
        assert {context["operation"] for context in contexts} == {"upsert"}

    def test_the_worker_gets_what_the_calendar_may_know_and_the_ciphertext(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        case, connection = connected
        context = jobs.context(jobs.claim_one(kinds=CALENDAR))
        assert context["state"] == "due"
        assert context["connection"] == {
            "id": str(connection["id"]),
            "user_id": str(case.professional.id),
            "provider": "caldav",
            "calendar_id": URL,
            "detail_level": "neutral",
            "locale": "en",
            "time_zone": "UTC",
            "credentials": CIPHERTEXT,
        }
        assert context["mapping"] is None
        event = context["event"]
        assert event["uid"] == f"{case.appointment['appointment_id']}@sauti"
        assert event["case_code"] == cases.report(case.report_id)["case_code"]
        assert (event["sequence"], event["status"], event["duration_minutes"]) == (0, "confirmed", 60)
        assert not {"service_type", "incident_type", "survivor_name", "survivor_id"} & set(event)

    def test_a_calendar_that_is_connected_later_gets_what_is_to_come(self, cases: Cases, jobs: Jobs) -> None:
        professional = cases.professional()
        cases.accepted(professional=professional)
        cases.pass_time(hours=3)
        coming = cases.accepted(professional=professional)
        connect(cases, professional.id)
        context = jobs.context(jobs.claim_one(kinds=CALENDAR))
        assert context["event"]["appointment_id"] == str(coming.appointment["appointment_id"])

    def test_a_calendar_that_lost_its_access_gets_no_jobs(self, cases: Cases, jobs: Jobs) -> None:
        professional = cases.professional()
        connect(cases, professional.id)
        cases.sql.execute("update public.calendar_connections set status = 'needs_reauth'")
        cases.accepted(professional=professional)
        assert jobs.claim(kinds=CALENDAR) == []

    def test_changes_are_carried_one_after_the_other(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        case, _ = connected
        cases.sql.execute("update public.appointments set appointment_date = appointment_date + interval '1 hour'")
        call(case.professional.sql, "cancel_appointment", case.appointment["appointment_id"])
        assert cases.count("private.outbox_jobs", "kind = 'calendar_event'") == 3
        first = jobs.claim_one(kinds=CALENDAR)
        # The present state counts, not that of the time of queueing.
        assert jobs.context(first)["operation"] == "delete"
        jobs.complete(first, {"outcome": "removed", "sequence": 2})
        for _ in range(2):
            later = jobs.claim_one(kinds=CALENDAR)
            assert jobs.context(later) == {"state": "obsolete"}
            jobs.complete(later, {"outcome": "obsolete"})
        assert jobs.claim(kinds=CALENDAR) == []

    def test_a_completed_session_stays_in_the_calendar(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        case, _ = connected
        job = jobs.claim_one(kinds=CALENDAR)
        call(case.professional.sql, "complete_appointment", case.appointment["appointment_id"])
        assert jobs.context(job)["operation"] == "upsert"


class TestMapping:
    def mapping(self, cases: Cases) -> Row:
        return cases.one("select * from public.calendar_events")

    def test_it_is_written_with_the_settlement_and_handed_to_the_next_job(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        case, connection = connected
        jobs.complete(
            jobs.claim_one(kinds=CALENDAR),
            {"outcome": "synced", "external_event_id": "evt-1", "etag": '"1"', "sequence": 0},
        )
        row = self.mapping(cases)
        assert (row["external_event_id"], row["etag"], row["synced_sequence"], row["sync_status"]) == (
            "evt-1",
            '"1"',
            0,
            "synced",
        )
        (own,) = case.professional.sql.execute("select * from public.calendar_events").fetchall()
        assert own["connection_id"] == connection["id"]
        assert case.survivor.sql.execute("select * from public.calendar_events").fetchall() == []
        call(case.professional.sql, "cancel_appointment", case.appointment["appointment_id"])
        job = jobs.claim_one(kinds=CALENDAR)
        context = jobs.context(job)
        assert context["operation"] == "delete"
        assert context["mapping"] == {
            "external_event_id": "evt-1",
            "etag": '"1"',
            "synced_sequence": 0,
            "is_final": False,
        }
        jobs.complete(job, {"outcome": "removed", "sequence": 1})
        row = self.mapping(cases)
        assert (row["external_event_id"], row["sync_status"], row["synced_sequence"]) == ("evt-1", "removed", 1)

    def test_what_stands_there_already_is_not_sent_again(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        case, _ = connected
        jobs.complete(jobs.claim_one(kinds=CALENDAR), {"outcome": "synced", "external_event_id": "e", "sequence": 0})
        connect(cases, case.professional.id)
        assert jobs.context(jobs.claim_one(kinds=CALENDAR)) == {"state": "obsolete"}

    def test_an_older_result_never_overwrites_a_newer_one(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        job = jobs.claim_one(kinds=CALENDAR)
        cases.sql.execute(
            "insert into public.calendar_events (appointment_id, connection_id, provider, external_event_id,"
            " synced_sequence, sync_status) values (%s, %s, 'caldav', 'newer', 5, 'synced')",
            (connected[0].appointment["appointment_id"], connected[1]["id"]),
        )
        jobs.complete(job, {"outcome": "synced", "external_event_id": "older", "sequence": 0})
        row = self.mapping(cases)
        assert (row["external_event_id"], row["synced_sequence"]) == ("newer", 5)

    def test_a_failure_is_remembered_as_a_symbol_and_healed_by_success(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        jobs.fail(jobs.claim_one(kinds=CALENDAR), "calendar_unavailable", 0)
        assert (self.mapping(cases)["sync_status"], self.mapping(cases)["last_error"]) == (
            "failed",
            "calendar_unavailable",
        )
        connection = cases.one("select * from public.calendar_connections")
        assert (connection["status"], connection["last_error"]) == ("active", "calendar_unavailable")
        jobs.complete(jobs.claim_one(kinds=CALENDAR), {"outcome": "synced", "external_event_id": "e", "sequence": 0})
        connection = cases.one("select * from public.calendar_connections")
        assert (connection["last_error"], connection["last_synced_at"]) == (None, cases.now())
        assert (self.mapping(cases)["sync_status"], self.mapping(cases)["last_error"]) == ("synced", None)

    def test_lost_access_stops_the_connection_and_tells_its_owner_once(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        case, _ = connected
        second = connect(cases, case.professional.id, URL + "second/")
        claimed = jobs.claim(kinds=CALENDAR)
        assert len(claimed) == 2
        for job in claimed:
            assert jobs.fail(job, "needs_reauth") == "dead"
        assert cases.count("public.calendar_connections", "status = 'needs_reauth'") == 2
        told = cases.sql.execute("select user_id from public.notifications where kind = 'calendar_needs_reauth'")
        assert [row["user_id"] for row in told] == [case.professional.id] * 2
        # The jobs of a connection without access have no reason any more.
        call(jobs.worker, "retry_jobs", None)
        for job in jobs.claim(kinds=CALENDAR):
            assert jobs.context(job) == {"state": "obsolete"}
        assert second["status"] == "active"

    def test_what_was_cancelled_meanwhile_is_removed_after_the_access_is_back(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        case, _ = connected
        jobs.complete(jobs.claim_one(kinds=CALENDAR), {"outcome": "synced", "external_event_id": "e", "sequence": 0})
        cases.sql.execute("update public.calendar_connections set status = 'needs_reauth'")
        call(case.professional.sql, "cancel_appointment", case.appointment["appointment_id"])
        assert jobs.claim(kinds=CALENDAR) == []
        connect(cases, case.professional.id)
        assert jobs.context(jobs.claim_one(kinds=CALENDAR))["operation"] == "delete"

    def test_what_a_dead_worker_wrote_before_the_access_went_is_removed_too(
        self, cases: Cases, jobs: Jobs, connected: tuple[OpenCase, Row]
    ) -> None:
        """It died before it could say under which name it had written, so nothing is remembered of the event."""
        case, _ = connected
        jobs.claim_one(kinds=CALENDAR, lease_seconds=10)
        cases.sql.execute("update public.calendar_connections set status = 'needs_reauth'")
        cases.pass_time(seconds=11)
        job = jobs.claim_one(kinds=CALENDAR)
        assert jobs.context(job) == {"state": "obsolete"}
        jobs.complete(job, {"outcome": "obsolete"})
        call(case.professional.sql, "cancel_appointment", case.appointment["appointment_id"])
        connect(cases, case.professional.id)
        job = jobs.claim_one(kinds=CALENDAR)
        assert jobs.context(job)["operation"] == "delete"
        jobs.complete(job, {"outcome": "removed", "sequence": 1})
        connect(cases, case.professional.id)
        assert jobs.claim(kinds=CALENDAR) == []


def test_a_party_that_is_gone_gets_nothing_more(cases: Cases, jobs: Jobs) -> None:
    survivor = cases.survivor()
    connect(cases, survivor.id)
    professional = cases.professional()
    accept(professional.sql, cases.offer(cases.file_report(survivor), professional)["id"])
    job = jobs.claim_one(kinds=CALENDAR)
    cases.sql.execute("update public.appointments set survivor_id = null")
    assert jobs.context(job) == {"state": "obsolete"}
