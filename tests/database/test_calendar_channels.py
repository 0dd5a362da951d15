"""Providers tell of changes: believed with a token, read once, whoever tells it and however often."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.database.test_calendar_reading import PULL, Reading
from tests.support.cases import Cases, Row, call
from tests.support.jobs import Jobs
from tests.support.races import Gate, deadlocks, race
from tests.support.refusals import forbidden, refused

TOKEN_HASH = hashlib.sha256(b"a channel's token").hexdigest()
WEEK = timedelta(days=7)
CIPHERTEXT = "v1.key1." + "A" * 16 + "." + "B" * 40
DISCONNECT = ["calendar_disconnect"]


@pytest.fixture
def jobs(cases: Cases) -> Jobs:
    return Jobs(cases, cases.database.as_service())


class Channel:
    """A channel that the worker has opened in a first reading."""

    def __init__(self, reading: Reading, jobs: Jobs, life: timedelta = WEEK) -> None:
        self.reading, self.jobs, self.cases = reading, jobs, reading.cases
        job, context = reading.due()
        assert context["channels"] == []
        self.id: uuid.UUID = self.begin(job)
        self.settle(job, self.id, "resource", self.cases.now() + life)
        reading.store(job, context)

    def begin(self, job: Row, token_hash: str = TOKEN_HASH) -> uuid.UUID:
        channel_id: uuid.UUID = call(
            self.jobs.worker, "begin_calendar_channel", job["job_id"], job["lease_token"], token_hash
        )
        return channel_id

    def settle(self, job: Row, *values: object) -> None:
        call(self.jobs.worker, "settle_calendar_channel", job["job_id"], job["lease_token"], *values)

    def tell(self, number: int | None = 5, provider: str = "google", **changes: Any) -> int:
        notice = {
            "channel_id": str(self.id), "token_hash": TOKEN_HASH, "resource_id": "resource", "message": number,
            "state": "exists",
        } | changes  # fmt: skip
        told: int = call(self.jobs.worker, "notice_calendar_changes", provider, Jsonb([notice]))
        return told

    def pulls(self) -> list[str]:
        rows = self.cases.sql.execute(
            "select state from private.outbox_jobs where kind = 'calendar_pull' order by id"
        ).fetchall()
        return [row["state"] for row in rows]

    def written(self) -> list[Row]:
        return [
            self.cases.one("select * from private.calendar_channels"),
            self.cases.one("select * from private.calendar_pulls"),
            *self.cases.sql.execute("select * from private.outbox_jobs order by id").fetchall(),
        ]


@pytest.fixture
def reading(cases: Cases, jobs: Jobs) -> Reading:
    return Reading(cases, jobs)


@pytest.fixture
def channel(reading: Reading, jobs: Jobs) -> Channel:
    return Channel(reading, jobs)


class TestTelling:
    def test_a_change_is_read_at_once(self, channel: Channel, cases: Cases, jobs: Jobs) -> None:
        cases.pass_time(minutes=1)
        assert channel.tell() == 1
        assert channel.pulls() == ["pending"]
        assert jobs.context(jobs.claim_one(kinds=PULL))["state"] == "due"

    def test_many_messages_are_one_reading_and_one_more_after_a_pause(
        self, channel: Channel, cases: Cases, jobs: Jobs
    ) -> None:
        cases.pass_time(minutes=1)
        for number in range(2, 12):
            assert channel.tell(number) == 1
        assert channel.pulls() == ["pending"]
        job = jobs.claim_one(kinds=PULL)
        # The reading may be past what changes now.
        assert channel.tell(12) == 1
        assert channel.pulls() == ["running"]
        jobs.complete(job, {"outcome": "pulled"})
        cases.run_due_timers()
        assert channel.pulls() == ["done"], "not within push_seconds"
        cases.pass_time(seconds=10)
        assert cases.run_due_timers()["pulls"] == 1
        assert channel.pulls() == ["pending"]

    def test_the_last_change_within_the_pause_is_not_forgotten(
        self, channel: Channel, cases: Cases, jobs: Jobs
    ) -> None:
        cases.pass_time(minutes=1)
        channel.tell(2)
        jobs.complete(jobs.claim_one(kinds=PULL), {"outcome": "pulled"})
        assert channel.tell(3) == 1
        assert channel.pulls() == ["done"]
        cases.pass_time(seconds=10)
        assert cases.run_due_timers()["pulls"] == 1

    def test_the_first_message_of_a_channel_is_no_change(self, channel: Channel, cases: Cases) -> None:
        cases.pass_time(minutes=1)
        assert channel.tell(1, state="sync") == 1
        assert channel.pulls() == ["done"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"token_hash": "0" * 64},
            {"token_hash": None},
            {"channel_id": str(uuid.UUID(int=7))},
            {"channel_id": None},
            {"resource_id": "another"},
            {"provider": "microsoft"},
            {"number": 4},
            {"number": 3},
            {"number": None},
        ],
        ids=str,
    )
    def test_what_is_not_believed_writes_nothing(self, channel: Channel, cases: Cases, wrong: dict[str, Any]) -> None:
        channel.tell(4)
        cases.pass_time(minutes=20)
        before = channel.written()
        assert channel.tell(**({"number": 9} | wrong)) == 0
        assert channel.written() == before

    @pytest.mark.parametrize(
        "change",
        [
            "update public.calendar_connections set status = 'needs_reauth'",
            "update private.calendar_channels set expires_at = private.clock()",
            "update private.calendar_channels set token_hash = null",
        ],
    )
    def test_a_channel_that_has_ended_is_not_believed(self, channel: Channel, cases: Cases, change: str) -> None:
        cases.pass_time(minutes=20)
        cases.sql.execute(change)
        before = channel.written()
        assert channel.tell() == 0
        assert channel.written() == before

    def test_a_calendar_that_fails_keeps_its_pause(self, channel: Channel, cases: Cases, jobs: Jobs) -> None:
        cases.pass_time(minutes=20)
        channel.tell(2)
        jobs.fail(jobs.claim_one(kinds=PULL), "calendar_too_large")
        before = channel.written()[1:]
        cases.pass_time(seconds=30)
        assert channel.tell(3) == 1
        assert channel.written()[1:] == before

    @pytest.mark.parametrize("notices", [{}, [], [{}] * 101, "x", None], ids=["object", "none", "many", "text", "null"])
    def test_what_is_no_list_of_messages_is_refused(self, jobs: Jobs, notices: object) -> None:
        with refused("invalid_input"):
            call(jobs.worker, "notice_calendar_changes", "google", Jsonb(notices))
        with refused("invalid_input"):
            call(jobs.worker, "notice_calendar_changes", "caldav", Jsonb([{}]))

    def test_microsoft_has_no_numbers_and_says_that_a_channel_is_lost(
        self, channel: Channel, cases: Cases, jobs: Jobs
    ) -> None:
        cases.sql.execute("update public.calendar_connections set provider = 'microsoft'")
        cases.pass_time(minutes=1)
        assert channel.tell(None, "microsoft") == 1
        assert jobs.context(jobs.claim_one(kinds=PULL))["channels"][0]["is_current"]
        assert channel.tell(None, "microsoft", state="lost") == 1
        assert channel.tell(None, "microsoft") == 0
        (told,) = cases.one("select private.calendar_pull_context(id) as it from public.calendar_connections")["it"][
            "channels"
        ]
        assert not told["is_current"]

    def test_only_the_service_key_tells(self, channel: Channel, cases: Cases) -> None:
        professional = channel.reading.case.professional.sql
        for actor in (professional, cases.admin(), cases.database.as_anon()):
            for function, values in (
                ("notice_calendar_changes", ("google", Jsonb([{}]))),
                ("begin_calendar_channel", (1, uuid.uuid4(), TOKEN_HASH)),
                ("settle_calendar_channel", (1, uuid.uuid4(), channel.id, None, None)),
            ):
                with forbidden():
                    call(actor, function, *values)
        for actor in (professional, cases.admin(), cases.database.as_anon(), cases.database.as_service()):
            with forbidden():
                actor.execute("select * from private.calendar_channels")


def test_sixteen_messages_at_once_make_one_reading(committed: Cases) -> None:
    jobs = Jobs(committed, committed.database.as_service())
    channel = Channel(Reading(committed, jobs), jobs)
    committed.pass_time(minutes=1)
    notice = {
        "channel_id": str(channel.id), "token_hash": TOKEN_HASH, "resource_id": "resource", "message": 9,
        "state": "exists",
    }  # fmt: skip

    def tell() -> int:
        told: int = call(committed.database.as_service(), "notice_calendar_changes", "google", Jsonb([notice]))
        return told

    results = race(committed.database, [tell] * 16)
    assert sorted(results) == [0] * 15 + [1]
    assert channel.pulls() == ["pending"]


class TestOpening:
    def test_a_channel_is_renewed_in_the_last_quarter_of_its_time(
        self, channel: Channel, reading: Reading, cases: Cases
    ) -> None:
        def is_current(**passed: int) -> list[bool]:
            cases.pass_time(**passed)
            job, context = reading.due()
            reading.store(job, context)
            return [told["is_current"] for told in context["channels"]]

        assert is_current(minutes=30) == [True]
        assert is_current(days=5) == [True]
        assert is_current(hours=8) == [False]

    def test_the_newest_of_two_channels_is_the_current_one(
        self, channel: Channel, reading: Reading, jobs: Jobs, cases: Cases
    ) -> None:
        cases.pass_time(minutes=30)
        job, context = reading.due()
        newer = channel.begin(job)
        channel.settle(job, newer, "resource2", cases.now() + WEEK)
        reading.store(job, context)
        cases.pass_time(minutes=30)
        job, context = reading.due()
        current = {told["channel_id"]: told["is_current"] for told in context["channels"]}
        assert current == {str(channel.id): False, str(newer): True}
        channel.settle(job, channel.id, None, None)
        assert [told["channel_id"] for told in jobs.context(job)["channels"]] == [str(newer)]

    def test_readings_are_rare_while_a_channel_is_open_and_ordinary_afterwards(
        self, channel: Channel, reading: Reading, cases: Cases
    ) -> None:
        cases.pass_time(minutes=10)
        assert cases.run_due_timers()["pulls"] == 1, "queued before the channel was open"
        cases.sql.execute("delete from private.outbox_jobs where kind = 'calendar_pull'")
        cases.pass_time(minutes=10)
        assert cases.run_due_timers()["pulls"] == 0
        cases.pass_time(minutes=20)
        assert cases.run_due_timers()["pulls"] == 1

    def test_a_provider_s_first_message_tells_what_a_dead_worker_could_not(
        self, reading: Reading, jobs: Jobs, cases: Cases
    ) -> None:
        job, _ = reading.due()
        channel_id = call(jobs.worker, "begin_calendar_channel", job["job_id"], job["lease_token"], TOKEN_HASH)
        notice = {"channel_id": str(channel_id), "token_hash": TOKEN_HASH, "resource_id": "seen", "message": 1}
        assert call(jobs.worker, "notice_calendar_changes", "google", Jsonb([notice | {"state": "sync"}])) == 1
        cases.pass_time(minutes=5)
        (again,) = jobs.claim(kinds=PULL)
        (told,) = jobs.context(again)["channels"]
        assert told == {"channel_id": str(channel_id), "resource_id": "seen", "is_current": False}

    def test_a_worker_without_the_lease_opens_and_ends_nothing(
        self, channel: Channel, reading: Reading, jobs: Jobs, cases: Cases
    ) -> None:
        cases.pass_time(minutes=30)
        late, _ = reading.due()
        cases.pass_time(minutes=5)
        jobs.claim_one(kinds=PULL)
        before = cases.sql.execute("select * from private.calendar_channels").fetchall()
        with refused("invalid_transition"):
            channel.begin(late)
        with refused("invalid_transition"):
            channel.settle(late, channel.id, None, None)
        assert cases.sql.execute("select * from private.calendar_channels").fetchall() == before

    def test_a_job_settles_the_channels_of_its_own_calendar_alone(
        self, channel: Channel, jobs: Jobs, cases: Cases
    ) -> None:
        cases.pass_time(minutes=30)
        other = cases.professional()
        call(jobs.worker, "store_calendar_connection", other.id, "google", "other", "primary", CIPHERTEXT)
        cases.sql.execute(
            "update private.calendar_pulls set next_at = 'infinity' from public.calendar_connections as c"
            " where c.id = connection_id and c.user_id <> %s",
            (other.id,),
        )
        cases.run_due_timers()
        job = jobs.claim_one(kinds=PULL)
        channel.settle(job, channel.id, None, None)
        channel.settle(job, channel.id, "mine", cases.now() + WEEK)
        assert cases.one("select resource_id from private.calendar_channels") == {"resource_id": "resource"}

    @pytest.mark.parametrize("token_hash", [None, "", "a" * 63, "A" * 64, "a" * 65])
    def test_a_token_is_kept_as_a_hash_or_not_at_all(
        self, reading: Reading, jobs: Jobs, token_hash: str | None
    ) -> None:
        job, _ = reading.due()
        with refused("invalid_input"):
            call(jobs.worker, "begin_calendar_channel", job["job_id"], job["lease_token"], token_hash)

    def test_what_came_to_nothing_goes_with_the_next_opening(
        self, channel: Channel, reading: Reading, cases: Cases
    ) -> None:
        for _ in range(3):
            cases.pass_time(minutes=40)
            job, context = reading.due()
            channel.begin(job)
            reading.store(job, context)
        assert cases.count("private.calendar_channels") == 3, "the open one, and those of the last hour"


class TestEnding:
    def test_disconnecting_leaves_what_has_to_be_stopped_and_believes_nothing_any_more(
        self, channel: Channel, cases: Cases, jobs: Jobs
    ) -> None:
        owner, connection = channel.reading.case.professional.sql, channel.reading.connection
        owner.execute("select public.delete_calendar_connection(%s)", (connection["id"],))
        assert cases.count("private.calendar_channels") == 0
        assert channel.tell() == 0
        context = jobs.context(jobs.claim_one(kinds=DISCONNECT))
        assert context["channels"] == [{"channel_id": str(channel.id), "resource_id": "resource"}]

    def test_who_connects_again_before_the_cleaning_has_it_stopped_by_the_next_reading(
        self, channel: Channel, cases: Cases, jobs: Jobs
    ) -> None:
        reading = channel.reading
        owner, connection = reading.case.professional, reading.connection
        owner.sql.execute("select public.delete_calendar_connection(%s)", (connection["id"],))
        call(jobs.worker, "store_calendar_connection", owner.id, "google", "asha", "primary", CIPHERTEXT)
        assert channel.tell() == 0
        _, context = reading.due()
        assert context["channels"] == [{"channel_id": str(channel.id), "resource_id": "resource", "is_current": False}]


class TestDisconnectingMeanwhile:
    """Who disconnects while the provider tells and the worker stores waits for them, and nobody for ever."""

    @pytest.fixture
    def open_channel(self, committed: Cases) -> Channel:
        jobs = Jobs(committed, committed.database.as_service())
        channel = Channel(Reading(committed, jobs), jobs)
        committed.pass_time(minutes=30)
        return channel

    def disconnect(self, channel: Channel) -> None:
        owner = channel.cases.database.as_user(channel.reading.case.professional.id)
        owner.execute("select public.delete_calendar_connection(%s)", (channel.reading.connection["id"],))

    @pytest.mark.parametrize("first", ["tell", "disconnect"])
    def test_a_message_and_its_end_take_turns(self, open_channel: Channel, first: str) -> None:
        database = open_channel.cases.database
        calls = [open_channel.tell, lambda: self.disconnect(open_channel)]
        with Gate(database, "select 1 from private.calendar_pulls for update") as gate:
            for waiting, call_ in enumerate(calls if first == "tell" else reversed(calls), 1):
                gate.start(call_)
                gate.until_waiting(waiting)
            assert gate.open() == ([1, None] if first == "tell" else [None, 0])
        assert deadlocks(database) == 0

    def test_a_reading_that_is_stored_and_its_end_take_turns(self, open_channel: Channel) -> None:
        reading, database = open_channel.reading, open_channel.cases.database
        job, context = reading.due()
        pulled = {
            "as_of": context["pull"]["as_of"], "cursor": "next", "is_full": True, "changes": [], "own": [],
        }  # fmt: skip

        def store() -> Any:
            worker = database.as_service()
            return call(worker, "store_calendar_busy", job["job_id"], job["lease_token"], Jsonb(pulled))

        with Gate(database, "select 1 from private.calendar_credentials for update") as gate:
            gate.start(lambda: self.disconnect(open_channel))
            gate.until_waiting(1)
            gate.start(store)
            gate.until_waiting(2)
            assert gate.open() == [None, "invalid_transition"]
        assert deadlocks(database) == 0
