"""Tokens are spent by one worker, keys can be changed, consents come back once, disconnecting leaves nothing behind."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.cases import Cases, Row, call
from tests.support.jobs import Jobs
from tests.support.races import race
from tests.support.refusals import forbidden, refused

OLD = "v1.key1." + "A" * 16 + "." + "B" * 40
NEW = "v1.key2." + "A" * 16 + "." + "C" * 40
DISCONNECT = ["calendar_disconnect"]


@pytest.fixture
def jobs(cases: Cases) -> Jobs:
    return Jobs(cases, cases.database.as_service())


def connect(cases: Cases, user_id: uuid.UUID, credentials: str = OLD, label: str = "asha") -> Row:
    row: Row = call(
        cases.database.as_service(), "store_calendar_connection", user_id, "google", label, "primary", credentials
    )
    return row


class TestRefreshing:
    @pytest.fixture
    def connection(self, cases: Cases) -> Row:
        return connect(cases, cases.professional().id)

    def begin(self, jobs: Jobs, connection: Row, seen: str = OLD, seconds: int = 30) -> dict[str, Any]:
        turn: dict[str, Any] = call(jobs.worker, "begin_token_refresh", connection["id"], seen, seconds)
        return turn

    def test_one_worker_spends_and_the_others_get_what_it_brings(self, jobs: Jobs, connection: Row) -> None:
        turn = self.begin(jobs, connection)
        assert turn["state"] == "granted"
        assert self.begin(jobs, connection) == {"state": "busy"}
        call(jobs.worker, "finish_token_refresh", connection["id"], turn["lease"], NEW, None)
        assert self.begin(jobs, connection) == {"state": "fresh", "credentials": NEW}

    def test_a_worker_that_died_with_the_right_loses_it(self, cases: Cases, jobs: Jobs, connection: Row) -> None:
        dead = self.begin(jobs, connection)
        cases.pass_time(seconds=30)
        alive = self.begin(jobs, connection)
        assert alive["state"] == "granted"
        with refused("invalid_transition"):
            call(jobs.worker, "finish_token_refresh", connection["id"], dead["lease"], OLD, None)
        call(jobs.worker, "finish_token_refresh", connection["id"], alive["lease"], NEW, None)
        assert cases.one("select ciphertext from private.calendar_credentials") == {"ciphertext": NEW}

    def test_a_right_that_is_given_back_can_be_taken(self, jobs: Jobs, connection: Row) -> None:
        turn = self.begin(jobs, connection)
        call(jobs.worker, "finish_token_refresh", connection["id"], turn["lease"], None, None)
        assert self.begin(jobs, connection)["state"] == "granted"

    def test_a_withdrawn_consent_stops_the_connection_and_tells_its_owner_once(
        self, cases: Cases, jobs: Jobs, connection: Row
    ) -> None:
        turn = self.begin(jobs, connection)
        call(jobs.worker, "finish_token_refresh", connection["id"], turn["lease"], None, "needs_reauth")
        assert cases.one("select status, last_error from public.calendar_connections") == {
            "status": "needs_reauth",
            "last_error": "needs_reauth",
        }
        assert cases.count("public.notifications", "kind = 'calendar_needs_reauth'") == 1
        assert self.begin(jobs, connection) == {"state": "gone"}

    def test_only_the_worker_refreshes(self, cases: Cases, connection: Row) -> None:
        for actor in (cases.database.as_user(connection["user_id"]), cases.database.as_anon(), cases.admin()):
            for function, arguments in (
                ("begin_token_refresh", (connection["id"], OLD, 30)),
                ("finish_token_refresh", (connection["id"], uuid.uuid4(), NEW, None)),
                ("list_credentials", ("key2", 10, "", "")),
                ("replace_credentials", ("calendar", str(connection["id"]), OLD, NEW)),
                ("begin_calendar_oauth", (connection["user_id"], "google", "0" * 64, OLD)),
                ("take_calendar_oauth", ("google", "0" * 64)),
            ):
                with forbidden():
                    call(actor, function, *arguments)


def test_of_eight_workers_at_once_one_may_spend(committed: Cases) -> None:
    connection = connect(committed, committed.professional().id)
    workers = [committed.database.as_service() for _ in range(8)]

    def begin(worker: Any) -> str:
        return str(call(worker, "begin_token_refresh", connection["id"], OLD, 30)["state"])

    states = race(committed.database, [lambda worker=worker: begin(worker) for worker in workers])
    assert sorted(states) == ["busy"] * 7 + ["granted"]


class TestRotation:
    def listed(self, jobs: Jobs, key: str = "key2") -> list[Row]:
        return jobs.worker.execute("select * from public.list_credentials(%s)", (key,)).fetchall()

    def test_everything_under_another_key_is_listed(self, cases: Cases, jobs: Jobs) -> None:
        asha, amina = cases.professional(), cases.professional()
        connection = connect(cases, asha.id)
        gone = connect(cases, amina.id)
        call(amina.sql, "delete_calendar_connection", gone["id"])
        call(jobs.worker, "store_cal_com_connection", asha.id, "https://cal.example/asha", OLD)
        rows = self.listed(jobs)
        assert [(row["kind"], row["user_id"], row["provider"]) for row in rows] == [
            ("cal_com", asha.id, "cal_com"),
            ("calendar", asha.id, "google"),
            ("retired", amina.id, "google"),
        ]
        assert rows[1]["id"] == str(connection["id"])
        for row in rows:
            assert call(jobs.worker, "replace_credentials", row["kind"], row["id"], OLD, NEW) is True
        assert self.listed(jobs) == []
        assert len(self.listed(jobs, "key1")) == 3

    def test_tokens_that_were_refreshed_meanwhile_are_not_overwritten(self, cases: Cases, jobs: Jobs) -> None:
        connection = connect(cases, cases.professional().id, NEW)
        assert call(jobs.worker, "replace_credentials", "calendar", str(connection["id"]), OLD, NEW) is False

    @pytest.mark.parametrize(
        ("kind", "identifier", "ciphertext"),
        [
            ("other", str(uuid.UUID(int=7)), NEW),
            ("calendar", "1", NEW),
            ("retired", str(uuid.UUID(int=7)), NEW),
            ("calendar", str(uuid.UUID(int=7)), "plain"),
            (None, str(uuid.UUID(int=7)), NEW),
            ("calendar", None, NEW),
        ],
    )
    def test_a_senseless_replacement_is_refused(self, jobs: Jobs, kind: Any, identifier: Any, ciphertext: str) -> None:
        with refused("invalid_input"):
            call(jobs.worker, "replace_credentials", kind, identifier, OLD, ciphertext)


class TestConsent:
    HASH = "0123456789abcdef" * 4

    def test_a_state_is_taken_once_by_its_own_provider(self, cases: Cases, jobs: Jobs) -> None:
        user_id = cases.professional().id
        call(jobs.worker, "begin_calendar_oauth", user_id, "google", self.HASH, OLD)
        assert call(jobs.worker, "take_calendar_oauth", "microsoft", self.HASH) is None
        taken = call(jobs.worker, "take_calendar_oauth", "google", self.HASH)
        assert taken == {"user_id": str(user_id), "verifier": OLD}
        assert call(jobs.worker, "take_calendar_oauth", "google", self.HASH) is None

    def test_a_state_ages(self, cases: Cases, jobs: Jobs) -> None:
        call(jobs.worker, "begin_calendar_oauth", cases.professional().id, "google", self.HASH, OLD)
        cases.pass_time(minutes=10)
        assert call(jobs.worker, "take_calendar_oauth", "google", self.HASH) is None
        assert cases.count("private.oauth_states") == 0

    @pytest.mark.parametrize(
        ("provider", "state_hash", "verifier"),
        [("caldav", HASH, OLD), ("google", "short", OLD), ("google", HASH, "plain"), (None, HASH, OLD)],
    )
    def test_a_senseless_state_is_refused(
        self, cases: Cases, jobs: Jobs, provider: Any, state_hash: str, verifier: str
    ) -> None:
        with refused("invalid_input"):
            call(jobs.worker, "begin_calendar_oauth", cases.professional().id, provider, state_hash, verifier)


class TestDisconnecting:
    def test_the_connection_goes_at_once_and_the_worker_cleans_up_after_it(self, cases: Cases, jobs: Jobs) -> None:
        professional = cases.professional()
        connection = connect(cases, professional.id)
        case = cases.accepted(professional=professional)
        jobs.complete(
            jobs.claim_one(kinds=["calendar_event"]), {"outcome": "synced", "external_event_id": "evt", "sequence": 0}
        )
        call(professional.sql, "delete_calendar_connection", connection["id"])
        assert cases.count("public.calendar_connections") == cases.count("private.calendar_credentials") == 0
        job = jobs.claim_one(kinds=DISCONNECT)
        context = jobs.context(job)
        assert context["connection"]["credentials"] == OLD
        assert context["events"] == [
            {"appointment_id": str(case.appointment["appointment_id"]), "external_event_id": "evt"}
        ]
        jobs.complete(job, {"outcome": "disconnected"})
        assert cases.count("private.calendar_retirements") == 0

    def test_an_event_that_is_being_written_is_cleaned_up_after_its_lease(self, cases: Cases, jobs: Jobs) -> None:
        professional = cases.professional()
        connection = connect(cases, professional.id)
        case = cases.accepted(professional=professional)
        writing = jobs.claim_one(kinds=["calendar_event"], lease_seconds=30)
        call(professional.sql, "delete_calendar_connection", connection["id"])
        with refused("invalid_transition"):
            jobs.complete(writing, {"outcome": "synced", "external_event_id": "evt", "sequence": 0})
        assert jobs.claim(kinds=DISCONNECT) == []
        cases.pass_time(seconds=91)
        context = jobs.context(jobs.claim_one(kinds=DISCONNECT))
        assert context["events"] == [
            {"appointment_id": str(case.appointment["appointment_id"]), "external_event_id": None}
        ]

    @pytest.mark.parametrize("error", ["calendar_refused", "credentials_unreadable"])
    def test_credentials_are_forgotten_also_when_the_cleaning_fails(self, cases: Cases, jobs: Jobs, error: str) -> None:
        professional = cases.professional()
        call(professional.sql, "delete_calendar_connection", connect(cases, professional.id)["id"])
        assert jobs.fail(jobs.claim_one(kinds=DISCONNECT), error) == "dead"
        assert cases.count("private.calendar_retirements") == 0

    def test_connecting_again_ends_the_cleaning_and_takes_the_events_over(self, cases: Cases, jobs: Jobs) -> None:
        professional = cases.professional()
        connection = connect(cases, professional.id)
        cases.accepted(professional=professional)
        jobs.complete(
            jobs.claim_one(kinds=["calendar_event"]), {"outcome": "synced", "external_event_id": "evt", "sequence": 0}
        )
        call(professional.sql, "delete_calendar_connection", connection["id"])
        cleaning = jobs.claim_one(kinds=DISCONNECT, lease_seconds=30)
        connect(cases, professional.id, NEW)
        with refused("invalid_transition"):
            jobs.extend(cleaning)
        assert jobs.claim(kinds=["calendar_event"]) == [], "not before the cleaner has lost its lease"
        cases.pass_time(seconds=31)
        context = jobs.context(jobs.claim_one(kinds=["calendar_event"]))
        assert context["mapping"]["external_event_id"] == "evt"

    def test_a_person_who_is_erased_leaves_no_event_behind(self, cases: Cases, jobs: Jobs) -> None:
        survivor = cases.survivor()
        connect(cases, survivor.id)
        cases.sql.execute("delete from public.profiles where id = %s", (survivor.id,))
        assert jobs.context(jobs.claim_one(kinds=DISCONNECT))["connection"]["user_id"] == str(survivor.id)
