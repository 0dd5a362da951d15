"""Busy times come in, clashes are told to one person, and what owners do by hand to our events is respected."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.support.cases import Cases, OpenCase, Row, call
from tests.support.jobs import Jobs
from tests.support.refusals import forbidden, refused

CIPHERTEXT = "v1.key1." + "A" * 16 + "." + "B" * 40
PULL = ["calendar_pull"]
EVENT = ["calendar_event"]
HOUR = timedelta(hours=1)
A, B = "a" * 32, "b" * 32


@pytest.fixture
def jobs(cases: Cases) -> Jobs:
    return Jobs(cases, cases.database.as_service())


class Reading:
    """A professional with a case and a calendar that is read."""

    def __init__(self, cases: Cases, jobs: Jobs) -> None:
        self.cases, self.jobs = cases, jobs
        professional = cases.professional()
        self.connection: Row = call(
            jobs.worker, "store_calendar_connection", professional.id, "google", "asha", "primary", CIPHERTEXT
        )
        self.case: OpenCase = cases.accepted(professional=professional)
        self.starts_at: datetime = self.case.appointment["appointment_date"]

    @property
    def appointment_id(self) -> uuid.UUID:
        appointment_id: uuid.UUID = self.case.appointment["appointment_id"]
        return appointment_id

    def absent(self) -> dict[str, Any]:
        """What the reader says of our event when it knew it and a whole reading does not show it."""
        return {"appointment_id": str(self.appointment_id), "gone": True, "absent": True}

    def due(self) -> tuple[Row, dict[str, Any]]:
        """The next reading, and its context."""
        self.cases.pass_time(minutes=5)
        assert self.cases.run_due_timers()["pulls"] == 1
        job = self.jobs.claim_one(kinds=PULL)
        return job, self.jobs.context(job)

    def store(self, job: Row, context: dict[str, Any], **pulled: Any) -> dict[str, int]:
        reading = {
            "as_of": context["pull"]["as_of"], "from": context["pull"]["from"], "until": context["pull"]["until"],
            "cursor": "next", "is_full": context["pull"]["cursor"] is None, "changes": [], "own": [],
        } | pulled  # fmt: skip
        counts: dict[str, int] = call(
            self.jobs.worker, "store_calendar_busy", job["job_id"], job["lease_token"], Jsonb(reading)
        )
        self.jobs.complete(job, {"outcome": "pulled"})
        return counts

    def read(self, **pulled: Any) -> dict[str, int]:
        """One reading, from the timer to the settlement."""
        return self.store(*self.due(), **pulled)

    def busy(self) -> list[tuple[str, datetime, datetime]]:
        rows = self.cases.sql.execute(
            "select source, lower(during) as low, upper(during) as high from public.calendar_busy"
            " order by during, source"
        ).fetchall()
        return [(row["source"], row["low"], row["high"]) for row in rows]

    def told(self, kind: str) -> list[uuid.UUID]:
        rows = self.cases.sql.execute("select user_id from public.notifications where kind = %s", (kind,)).fetchall()
        return [row["user_id"] for row in rows]

    def synced(self, **result: Any) -> None:
        """The worker has written the appointment's event."""
        job = self.jobs.claim_one(kinds=EVENT)
        assert self.jobs.context(job)["state"] == "due"
        sequence = self.cases.one("select sequence from public.appointments")["sequence"]
        done = {"outcome": "synced", "external_event_id": "evt", "etag": '"1"', "sequence": sequence}
        self.jobs.complete(job, done | result)

    def seen(self, by: timedelta = timedelta(), gone: bool = False) -> dict[str, Any]:
        """Our event as it was read."""
        times = {"starts_at": (self.starts_at + by).isoformat(), "ends_at": (self.starts_at + by + HOUR).isoformat()}
        return {"appointment_id": str(self.appointment_id), "gone": gone} | ({} if gone else times)

    def mapping(self) -> Row:
        return self.cases.one("select * from public.calendar_events")


@pytest.fixture
def reading(cases: Cases, jobs: Jobs) -> Reading:
    return Reading(cases, jobs)


def span(start: datetime, length: timedelta = HOUR) -> list[str]:
    return [start.isoformat(), (start + length).isoformat()]


class TestSchedule:
    def test_a_professionals_calendar_is_read_every_few_minutes(self, cases: Cases, reading: Reading) -> None:
        job, context = reading.due()
        assert context["pull"]["cursor"] is None
        assert context["connection"]["credentials"] == CIPHERTEXT
        reading.store(job, context)
        assert cases.run_due_timers()["pulls"] == 0
        _, later = reading.due()
        assert later["pull"]["cursor"] == "next"

    def test_one_reading_at_a_time_and_done_ones_fill_no_table(self, cases: Cases, reading: Reading) -> None:
        for _ in range(3):
            reading.read()
        cases.pass_time(minutes=5)
        cases.run_due_timers()
        cases.pass_time(minutes=5)
        cases.run_due_timers()
        assert cases.count("private.outbox_jobs", "kind = 'calendar_pull'") == 1

    def test_a_reading_is_queued_without_reading_the_jobs_of_before(self, cases: Cases, reading: Reading) -> None:
        reading.read()
        cases.sql.execute(
            "insert into private.outbox_jobs (kind, dedupe_key, run_at, state, finished_at, connection_id)"
            " select 'calendar_event', 'done:' || n, private.clock(), 'done', private.clock(), %s"
            " from generate_series(1, 1000) as n",
            (reading.connection["id"],),
        )
        cases.sql.execute("analyze private.outbox_jobs")
        read = (
            "select seq_tup_read + idx_tup_fetch as rows from pg_stat_xact_all_tables"
            " where relid = 'private.outbox_jobs'::regclass"
        )
        before = cases.one(read)["rows"]
        reading.due()
        assert cases.one(read)["rows"] - before < 100

    def test_everything_is_read_again_once_a_day(self, cases: Cases, reading: Reading) -> None:
        reading.read()
        cases.pass_time(hours=24)
        _, context = reading.due()
        assert context["pull"]["cursor"] is None

    def test_a_survivors_calendar_is_not_read(self, cases: Cases, jobs: Jobs) -> None:
        survivor = cases.survivor()
        call(jobs.worker, "store_calendar_connection", survivor.id, "google", "s", "primary", CIPHERTEXT)
        assert cases.run_due_timers()["pulls"] == 0

    def test_a_calendar_that_cannot_be_read_waits_longer_each_time(
        self, cases: Cases, jobs: Jobs, reading: Reading
    ) -> None:
        job, _ = reading.due()
        assert jobs.fail(job, "calendar_not_found") == "dead"
        job, _ = reading.due()
        jobs.fail(job, "calendar_not_found")
        cases.pass_time(minutes=5)
        assert cases.run_due_timers()["pulls"] == 0
        reading.due()

    def test_lost_access_stops_the_reading_and_tells_the_owner(
        self, cases: Cases, jobs: Jobs, reading: Reading
    ) -> None:
        job, _ = reading.due()
        jobs.fail(job, "needs_reauth")
        cases.pass_time(hours=48)
        assert cases.run_due_timers()["pulls"] == 0
        assert reading.told("calendar_needs_reauth") == [reading.case.professional.id]


class TestBusyTimes:
    def test_a_reading_replaces_what_it_names_and_nothing_else(self, cases: Cases, reading: Reading) -> None:
        day = cases.now() + timedelta(days=2)
        reading.read(changes=[{"source": A, "spans": [span(day)]}, {"source": B, "spans": [span(day + HOUR)]}])
        assert reading.busy() == [(A, day, day + HOUR), (B, day + HOUR, day + 2 * HOUR)]
        reading.read(changes=[{"source": A, "spans": [span(day + 3 * HOUR)]}])
        assert reading.busy() == [(B, day + HOUR, day + 2 * HOUR), (A, day + 3 * HOUR, day + 4 * HOUR)]
        reading.read(changes=[{"source": B, "spans": []}])
        assert reading.busy() == [(A, day + 3 * HOUR, day + 4 * HOUR)]

    def test_a_whole_reading_replaces_everything(self, cases: Cases, reading: Reading) -> None:
        day = cases.now() + timedelta(days=2)
        reading.read(changes=[{"source": A, "spans": [span(day)]}])
        reading.read(is_full=True, changes=[{"source": B, "spans": [span(day), span(day + HOUR)]}])
        assert reading.busy() == [(B, day, day + HOUR), (B, day + HOUR, day + 2 * HOUR)]

    def test_free_slots_do_not_show_busy_times(self, cases: Cases, reading: Reading) -> None:
        day = (cases.now() + timedelta(days=8)).date()
        while day.isoweekday() > 5:
            day += timedelta(days=1)
        query = "select slot_start from public.available_slots(%s, %s, %s)"
        professional = reading.case.professional

        def slots() -> list[datetime]:
            return [
                row["slot_start"] for row in professional.sql.execute(query, (professional.id, day, day)).fetchall()
            ]

        before = slots()
        reading.read(changes=[{"source": A, "spans": [span(before[0], timedelta(hours=3))]}])
        after = slots()
        assert after
        assert min(after) >= before[0] + timedelta(hours=3)

    def test_nobody_else_sees_when_a_professional_is_busy(self, cases: Cases, jobs: Jobs, reading: Reading) -> None:
        reading.read(changes=[{"source": A, "spans": [span(cases.now() + timedelta(days=2))]}])
        query = "select * from public.calendar_busy"
        assert len(reading.case.professional.sql.execute(query).fetchall()) == 1
        assert reading.case.survivor.sql.execute(query).fetchall() == []
        assert cases.professional().sql.execute(query).fetchall() == []

    @pytest.mark.parametrize(
        "wrong", [{"changes": None}, {"own": {}}, {"cursor": "x" * 1_048_577}], ids=["changes", "own", "cursor"]
    )
    def test_what_is_no_reading_is_refused(self, reading: Reading, wrong: dict[str, Any]) -> None:
        job, context = reading.due()
        with refused("invalid_input"):
            reading.store(job, context, **wrong)

    def test_a_late_worker_stores_nothing(self, cases: Cases, jobs: Jobs, reading: Reading) -> None:
        job, context = reading.due()
        cases.pass_time(seconds=90)
        jobs.claim_one(kinds=PULL)
        with refused("invalid_transition"):
            reading.store(job, context, changes=[{"source": A, "spans": [span(cases.now())]}])
        assert reading.busy() == []

    def test_only_the_worker_stores(self, cases: Cases, reading: Reading) -> None:
        for actor in (reading.case.professional.sql, cases.database.as_anon(), cases.admin()):
            with forbidden():
                call(actor, "store_calendar_busy", 1, uuid.uuid4(), Jsonb({}))


class TestClashes:
    def test_a_new_clash_is_told_to_the_professional_once_and_to_nobody_else(self, reading: Reading) -> None:
        clash = {"source": A, "spans": [span(reading.starts_at + HOUR / 2)]}
        assert reading.read(changes=[clash])["clashes"] == 1
        assert reading.told("calendar_clash") == [reading.case.professional.id]
        assert reading.read(changes=[clash])["clashes"] == 0
        assert reading.read(is_full=True, changes=[clash])["clashes"] == 0
        assert reading.told("calendar_clash") == [reading.case.professional.id]

    def test_a_time_beside_it_is_no_clash(self, reading: Reading) -> None:
        reading.read(changes=[{"source": A, "spans": [span(reading.starts_at - HOUR), span(reading.starts_at + HOUR)]}])
        assert reading.told("calendar_clash") == []

    def test_a_cancelled_appointment_clashes_with_nothing(self, reading: Reading) -> None:
        call(reading.case.professional.sql, "cancel_appointment", reading.appointment_id)
        reading.read(changes=[{"source": A, "spans": [span(reading.starts_at)]}])
        assert reading.told("calendar_clash") == []


class TestByHand:
    def test_a_deleted_event_comes_back_once_and_is_then_left_alone(
        self, cases: Cases, jobs: Jobs, reading: Reading
    ) -> None:
        reading.synced()
        reading.read(own=[reading.seen(gone=True)])
        reading.synced()
        assert (reading.mapping()["deletions"], reading.mapping()["sync_status"]) == (1, "synced")
        reading.read(own=[reading.seen(gone=True)])
        assert reading.mapping()["sync_status"] == "dismissed"
        assert jobs.claim(kinds=EVENT) == []
        # Also when the appointment moves: its owner does not want it there.
        cases.sql.execute("update public.appointments set appointment_date = appointment_date + interval '1 day'")
        assert jobs.context(jobs.claim_one(kinds=EVENT)) == {"state": "obsolete"}

    def test_the_owner_can_ask_for_it_again(self, jobs: Jobs, reading: Reading) -> None:
        reading.synced()
        reading.read(own=[reading.seen(gone=True)])
        reading.synced()
        reading.read(own=[reading.seen(gone=True)])
        assert call(reading.case.professional.sql, "push_calendar_event", reading.appointment_id) == {"queued": 1}
        reading.synced()
        assert reading.mapping()["sync_status"] == "synced"

    def test_looking_again_is_no_writing(self, cases: Cases, jobs: Jobs, reading: Reading) -> None:
        reading.read()
        jobs.fail(jobs.claim_one(kinds=EVENT), "calendar_unavailable", retry_in=0)
        cases.pass_time(minutes=4, seconds=30)
        reading.synced()
        assert cases.count("private.outbox_jobs", "looks_again and state = 'pending'") == 1
        cases.pass_time(seconds=20)
        reading.read(own=[reading.seen(gone=True)])
        assert (reading.mapping()["deletions"], reading.mapping()["sync_status"]) == (1, "pending")
        jobs.clear()
        cases.sql.execute("update public.calendar_events set sync_status = 'synced'")
        cases.sql.execute(
            "insert into private.outbox_jobs (kind, dedupe_key, appointment_id, connection_id, looks_again, run_at)"
            " values ('calendar_event', 'look', %s, %s, true, private.clock())",
            (reading.appointment_id, reading.connection["id"]),
        )
        assert call(reading.case.professional.sql, "push_calendar_event", reading.appointment_id) == {"queued": 1}

    def test_what_is_moved_out_of_the_time_that_is_read_was_not_deleted(
        self, cases: Cases, jobs: Jobs, reading: Reading
    ) -> None:
        reading.synced()
        reading.read()
        cases.sql.execute("update public.appointments set appointment_date = private.clock() + interval '150 days'")
        reading.synced()
        reading.read(own=[reading.seen(gone=True)])
        assert (reading.mapping()["deletions"], reading.mapping()["sync_status"]) == (0, "synced")
        cases.sql.execute("update public.appointments set appointment_date = private.clock() + interval '20 days'")
        reading.synced()
        reading.read(own=[reading.seen(gone=True)])
        assert (reading.mapping()["deletions"], reading.mapping()["sync_status"]) == (1, "pending")

    def test_a_deletion_that_was_met_while_writing_counts_too(self, jobs: Jobs, reading: Reading) -> None:
        reading.synced(recreated=True)
        assert reading.mapping()["deletions"] == 1
        reading.read(own=[reading.seen(gone=True)])
        assert reading.mapping()["sync_status"] == "dismissed"

    def test_what_a_whole_reading_does_not_show_was_deleted(self, jobs: Jobs, reading: Reading) -> None:
        reading.synced()
        reading.read(is_full=True, own=[reading.absent()])
        assert reading.mapping()["deletions"] == 1

    def test_what_a_part_does_not_show_was_not(self, reading: Reading) -> None:
        reading.read(own=[])
        reading.synced()
        reading.read(own=[])
        reading.read(is_full=False, own=[reading.absent()])
        assert reading.mapping()["deletions"] == 0

    def test_an_event_that_the_reader_could_not_know_was_not_deleted(self, reading: Reading) -> None:
        # Its settlement bears the time of its own beginning, and may commit after the reading has begun.
        reading.synced()
        reading.read(is_full=True, own=[])
        assert (reading.mapping()["deletions"], reading.mapping()["sync_status"]) == (0, "synced")

    def test_a_moved_event_is_told_to_its_owner_once_and_not_moved_back(
        self, cases: Cases, jobs: Jobs, reading: Reading
    ) -> None:
        reading.synced()
        for _ in range(3):
            reading.read(own=[reading.seen(by=HOUR)])
        assert reading.told("calendar_event_moved") == [reading.case.professional.id]
        assert jobs.claim(kinds=EVENT) == []
        assert cases.one("select appointment_date from public.appointments")["appointment_date"] == reading.starts_at

    def test_an_event_at_its_time_is_in_order(self, reading: Reading) -> None:
        reading.synced()
        reading.read(own=[reading.seen()])
        assert reading.told("calendar_event_moved") == []
        assert reading.mapping()["deletions"] == 0

    def test_our_own_change_is_not_taken_for_the_owners(self, cases: Cases, jobs: Jobs, reading: Reading) -> None:
        reading.synced()
        # Read before, stored after the worker has written the event anew.
        job, context = reading.due()
        cases.sql.execute("update public.appointments set appointment_date = appointment_date + interval '1 hour'")
        reading.store(job, context, own=[reading.seen()])
        job, context = reading.due()
        cases.pass_time(seconds=1)
        reading.synced()
        reading.store(job, context, own=[reading.seen(gone=True)])
        assert reading.told("calendar_event_moved") == []
        assert (reading.mapping()["deletions"], reading.mapping()["sync_status"]) == (0, "synced")
