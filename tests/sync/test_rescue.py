"""A worker that dies is found out by its lease: another one has its jobs done soon; a worker that lives keeps them."""

import time

import pytest

from sauti_sync.config import WorkerSettings
from sauti_sync.worker import Options
from tests.sync.silent_server import SilentServer
from tests.sync.stage import Stage
from tests.sync.waiting import until

PROMISED_SECONDS = 30
LEASE_SECONDS = 3
POLL_SECONDS = 1.0
#: What claiming, sending and settling may take on a busy machine.
WORK_SECONDS = 2.0


@pytest.mark.parametrize("road", ["data api", "direct"])
async def test_the_jobs_of_a_dead_worker_are_done_within_a_lease_and_a_poll(stage: Stage, road: str) -> None:
    times = {"SAUTI_LEASE_SECONDS": str(LEASE_SECONDS), "SAUTI_POLL_SECONDS": str(POLL_SECONDS)}
    if road == "direct":
        times["SAUTI_DB_URL"] = stage.stack.addresses.db_url
    silent = SilentServer()
    async with silent.running():
        busy = stage.start_worker(SAUTI_SMTP_URL=f"smtp://127.0.0.1:{silent.port}", **times)
        await until(lambda: busy.lines("worker_started"), 20, busy.log())
        stage.add_appointment()
        stage.add_appointment(2)
        await until(lambda: silent.connections == 2, 10, busy.log())

        helper = stage.start_worker(**times)
        await until(lambda: helper.lines("doorbell_up"), 20, helper.log())
        # Longer than a lease: the worker lives, so its jobs stay with it.
        claimed = time.monotonic()
        await until(lambda: time.monotonic() > claimed + LEASE_SECONDS + POLL_SECONDS, LEASE_SECONDS + 5)
        assert helper.lines("attempt") == []
        assert [row["attempts"] for row in stage.jobs("mail")] == [1, 1]

        busy.kill()
        died = time.monotonic()
        await until(lambda: stage.are_done("mail"), LEASE_SECONDS + POLL_SECONDS + WORK_SECONDS, helper.log())
        print(f"\n{road}: rescued after {time.monotonic() - died:.2f} s of {LEASE_SECONDS + POLL_SECONDS:.0f}")
    assert len(stage.mails()) == 2
    assert [row["attempts"] for row in stage.jobs("mail")] == [2, 2]


def test_the_defaults_rescue_a_dead_worker_s_jobs_within_thirty_seconds() -> None:
    defaults = {name: field.default for name, field in WorkerSettings.model_fields.items()}
    options = Options("any")
    for lease, poll in (
        (defaults["lease_seconds"], defaults["poll_seconds"]),
        (options.lease_seconds, options.poll_seconds),
    ):
        assert lease + poll <= PROMISED_SECONDS
