"""`sauti-sync worker` as a process, on the real stack: from a commit in the database to a mailbox and a calendar."""

import asyncio
import json
import signal
import socket
import statistics
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from icalendar import Calendar

from sauti_sync.messages import render
from tests.sync.silent_server import SilentServer
from tests.sync.smtp_server import mail_server
from tests.sync.stage import SHORT_LEASE, Stage, WorkerProcess
from tests.sync.waiting import until

ONLY_BY_DOORBELL = {"SAUTI_POLL_SECONDS": "600"}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


async def test_an_appointment_reaches_mailbox_and_calendar_by_the_doorbell_alone(stage: Stage) -> None:
    stage.connect_calendar()
    worker = stage.start_worker(**ONLY_BY_DOORBELL)
    await until(lambda: worker.lines("doorbell_up"), 15, what=worker.log())
    appointment = stage.add_appointment(location="Canary Street Shelter", meeting_url="https://meet.example/canary")
    await until(stage.are_done, 10, what=worker.log())

    (mail,) = stage.mails()
    assert mail["subject"] == "Appointment confirmed"
    assert stage.stack.config.app_url in mail["text"]
    assert stage.stack.config.app_url in mail["html"]
    headers = dict(mail["headers"])
    (notification,) = stage.sql("select id from public.notifications where appointment_id = %s", appointment)
    assert headers["Message-ID"] == f"<{notification['id']}@sauti.local>"
    assert headers["Auto-Submitted"] == "auto-generated"
    (attachment,) = mail["attachments"]
    assert (attachment["filename"], attachment["content_type"]) == ("appointment.ics", "text/calendar")
    (mailed,) = Calendar.from_ical(attachment["content"]).walk("VEVENT")

    (stored,) = stage.events()
    for event in (mailed, stored):
        assert event["UID"] == f"{appointment}@sauti"
        assert event["SUMMARY"] == "Appointment"
        assert event["SEQUENCE"] == 0
        assert "anary" not in event.to_ical().decode()
    (mapping,) = stage.sql("select * from public.calendar_events where appointment_id = %s", appointment)
    assert mapping["external_event_id"] == f"{appointment}.ics"
    assert await worker.stop() == 0


async def test_a_move_and_a_cancellation_follow_in_order(stage: Stage) -> None:
    stage.connect_calendar()
    worker = stage.start_worker()
    appointment = stage.add_appointment()
    await until(lambda: stage.are_done("calendar_event"), 15, what=worker.log())
    (before,) = stage.events()
    stage.sql(
        "update public.appointments set appointment_date = appointment_date + interval '2 days'"
        " where appointment_id = %s",
        appointment,
    )
    await until(lambda: stage.states("calendar_event") == ["done"] * 2, 10, what=worker.log())
    (moved,) = stage.events()
    assert (moved["UID"], moved["SEQUENCE"]) == (before["UID"], 1)
    assert moved.decoded("DTSTART") == before.decoded("DTSTART") + timedelta(days=2)
    stage.sql("update public.appointments set status = 'cancelled' where appointment_id = %s", appointment)
    await until(lambda: stage.states() == ["done"] * 6, 10, what=worker.log())
    assert stage.events() == []
    cancelled = [mail for mail in stage.mails() if mail["subject"] == "Appointment cancelled"]
    assert "METHOD:CANCEL" in cancelled[0]["attachments"][0]["content"]
    assert "STATUS:CANCELLED" in cancelled[0]["attachments"][0]["content"]
    assert await worker.stop() == 0


async def test_an_appointment_cancelled_before_the_worker_came_is_announced_to_nobody(stage: Stage) -> None:
    stage.connect_calendar()
    appointment = stage.add_appointment()
    stage.sql("update public.appointments set status = 'cancelled' where appointment_id = %s", appointment)
    worker = stage.start_worker()
    await until(stage.are_done, 15, what=worker.log())
    assert [mail["subject"] for mail in stage.mails()] == ["Appointment cancelled"]
    assert stage.events() == []
    assert "obsolete" in [line["outcome"] for line in worker.lines("attempt")]


async def test_from_commit_to_the_mail_server_in_no_time(stage: Stage) -> None:
    handed_over: list[float] = []
    async with mail_server() as server:
        url = f"smtp://127.0.0.1:{server.port}"
        worker = stage.start_worker(SAUTI_SMTP_URL=url, SAUTI_TOKEN_KEYS="", **ONLY_BY_DOORBELL)
        await until(lambda: worker.lines("doorbell_up"), 15, what=worker.log())
        for day in range(1, 22):
            count = len(server.accepted)
            stage.add_appointment(day)
            committed = time.monotonic()
            while len(server.accepted) == count:
                assert time.monotonic() - committed < 10, worker.log()
                await asyncio.sleep(0.0005)
            handed_over.append(time.monotonic() - committed)
        assert await worker.stop() == 0
    median = statistics.median(handed_over[1:]) * 1000
    print(f"commit to mail server: p50 {median:.1f} ms, worst {max(handed_over[1:]) * 1000:.1f} ms")
    # The aim is 60 ms; the bound leaves room for a busy machine, and still rules a poll out.
    assert median < 250


async def test_a_stop_hands_running_jobs_back_for_the_next_worker(stage: Stage) -> None:
    async with mail_server(answers={"END": "250-there is more"}) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        worker = stage.start_worker(SAUTI_SMTP_URL=url, SAUTI_GRACE_SECONDS="0.2", SAUTI_LEASE_SECONDS="60")
        stage.add_appointment()
        await until(lambda: server.accepted, 15, what=worker.log())
        assert await worker.stop() == 0
    (job,) = stage.jobs("mail")
    assert (job["state"], job["last_error"]) == ("pending", "worker_stopped")
    assert worker.lines("worker_stopped")
    second = stage.start_worker()
    await until(stage.are_done, 10, what=second.log())


async def test_a_stop_by_ctrl_c_lets_running_jobs_finish(stage: Stage) -> None:
    async with mail_server(answers={"END": "250-there is more"}) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        worker = stage.start_worker(SAUTI_SMTP_URL=url, SAUTI_GRACE_SECONDS="20", SAUTI_LEASE_SECONDS="60")
        stage.add_appointment()
        await until(lambda: server.accepted, 15, what=worker.log())
        worker.signal(signal.SIGINT)
        await until(lambda: worker.lines("draining"), 5, what=worker.log())
        for writer in server.talks.values():
            writer.write(b"250 taken\r\n")
        assert await worker.ended() == 0
    assert stage.states("mail") == ["done"]


async def test_a_worker_that_stood_still_settles_nothing_afterwards(stage: Stage) -> None:
    async with mail_server(answers={"END": "250-there is more"}) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        stalled = stage.start_worker(SAUTI_SMTP_URL=url, **SHORT_LEASE)
        stage.add_appointment()
        await until(lambda: server.accepted, 15, what=stalled.log())
        stalled.signal(signal.SIGSTOP)
        rescuer = stage.start_worker()
        await until(stage.are_done, 15, what=rescuer.log())
        (job,) = stage.jobs("mail")
        for writer in server.talks.values():
            writer.write(b"250 taken\r\n")
        stalled.signal(signal.SIGCONT)
        await until(lambda: stalled.lines("attempt"), 10, what=stalled.log())
        assert [line["outcome"] for line in stalled.lines("attempt")] == ["lease_lost"]
        assert await stalled.stop() == 0
    assert stage.jobs("mail") == [job], "the late answer changed nothing"


async def test_dead_letters_are_listed_and_replayed(stage: Stage) -> None:
    async with mail_server(answers={"RCPT": "550 canary no such reader"}) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        worker = stage.start_worker(SAUTI_SMTP_URL=url)
        stage.add_appointment()
        await until(lambda: stage.states("mail") == ["dead"], 15, what=worker.log())
        assert await worker.stop() == 0
    (job,) = stage.jobs("mail")
    listing = stage.start_worker("jobs", "dead", "--json")
    assert await listing.ended() == 0
    (row,) = [row for row in json.loads(listing.log()) if row["job_id"] == job["id"]]
    assert (row["last_error"], row["attempts"]) == ("recipient_refused", 1)
    replay = stage.start_worker("jobs", "retry", str(job["id"]))
    assert await replay.ended() == 0
    assert "1 job put back" in replay.log()
    second = stage.start_worker()
    await until(lambda: stage.are_done("mail"), 15, what=second.log())
    assert len(stage.mails()) == 1


async def test_a_calendar_that_refuses_the_password_is_set_aside_and_its_owner_told(stage: Stage) -> None:
    stage.connect_calendar(password="wrong")
    stage.add_appointment()
    worker = stage.start_worker()
    await until(lambda: "Calendar disconnected" in [mail["subject"] for mail in stage.mails()], 15, what=worker.log())
    (connection,) = stage.sql(
        "select status from public.calendar_connections where user_id = %s", stage.professional.id
    )
    assert connection["status"] == "needs_reauth"
    assert stage.states("calendar_event") == ["dead"]


async def test_without_permission_no_calendar_on_a_private_network_is_reached(stage: Stage) -> None:
    stage.connect_calendar()
    stage.add_appointment()
    worker = stage.start_worker(SAUTI_ALLOW_PRIVATE_CALDAV="0")
    await until(lambda: stage.states("calendar_event") == ["dead"], 15, what=worker.log())
    assert [job["last_error"] for job in stage.jobs("calendar_event")] == ["calendar_address_refused"]
    assert stage.events() == []


async def test_health_and_metrics_are_served(stage: Stage) -> None:
    port = free_port()
    worker = stage.start_worker(SAUTI_METRICS_PORT=port)
    stage.add_appointment()
    await until(stage.are_done, 15, what=worker.log())
    async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{port}") as http:

        async def counted() -> bool:
            return 'sauti_attempts_total{kind="mail",outcome="done"} 1.0' in (await http.get("/metrics")).text

        await until(counted, 5)
        health = await http.get("/healthz")
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        metrics = (await http.get("/metrics")).text
    for name in ("sauti_outbox_jobs", "sauti_lag_seconds_bucket", "sauti_doorbell_up", "sauti_claims_total"):
        assert name in metrics


@pytest.mark.parametrize("variable", ["SUPABASE_URL", "SAUTI_SMTP_URL", "SAUTI_TOKEN_KEYS"])
async def test_a_wrong_environment_is_said_and_exits_with_2(stage: Stage, variable: str) -> None:
    worker = stage.start_worker(**{variable: "canary"})
    assert await worker.ended() == 2
    assert variable in worker.log()
    assert "canary" not in worker.log()


async def test_a_taken_metrics_port_is_said_and_exits_with_2(stage: Stage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        worker = stage.start_worker(SAUTI_METRICS_PORT=str(taken.getsockname()[1]))
        assert await worker.ended() == 2
    assert "SAUTI_METRICS_PORT" in worker.log()


async def test_nothing_personal_is_left_behind(stage: Stage) -> None:
    canaries = [stage.professional.email or "", stage.professional.id, "canary", "Canary Street", "wrong-canary"]
    port = free_port()
    stage.connect_calendar()
    stage.connect_calendar(
        f"{stage.stack.addresses.caldav_url}/canary/sessions/", username="canary", password="wrong-canary"
    )
    stage.add_appointment(1, location="Canary Street Shelter", meeting_url="https://meet.example/canary")
    async with mail_server(answers={"RCPT": f"450 {stage.professional.email} is busy, canary"}) as server:
        url = f"smtp://canary:canary@127.0.0.1:{server.port}?starttls=never"
        server.extensions = ("AUTH PLAIN",)
        server.answers["AUTH"] = "235 welcome canary"
        failing = stage.start_worker(SAUTI_SMTP_URL=url, SAUTI_METRICS_PORT=port)
        await until(lambda: len(failing.lines("attempt")) >= 5, 15, what=failing.log())
        async with httpx.AsyncClient(trust_env=False) as http:
            metrics = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        assert await failing.stop() == 0
    worker = stage.start_worker()
    await until(lambda: set(stage.states()) == {"done", "dead"}, 20, what=worker.log())
    assert await worker.stop() == 0
    keys = [stage.stack.addresses.service_role_key, stage.stack.environment["SAUTI_TOKEN_KEYS"].partition(":")[2]]
    outbox = json.dumps([row["last_error"] for row in stage.jobs()] + [row["result"] for row in stage.jobs()])
    for place in (failing.log(), worker.log(), metrics, outbox):
        for canary in (*canaries, *keys):
            assert canary.lower() not in place.lower(), canary


def test_every_notification_of_the_database_has_a_text(stage: Stage) -> None:
    (constraint,) = stage.sql(
        "select pg_get_constraintdef(oid) as rule from pg_constraint where conname = 'notifications_kind_known'"
    )
    kinds = set(constraint["rule"].split("'")[1::2])
    assert kinds == set(render.templates("en"))


async def test_a_worker_that_crashes_while_its_database_is_silent_ends(tmp_path: Path) -> None:
    """A call that hangs in its connecting must not keep the process alive."""
    (tmp_path / "crashing.py").write_text(
        "import asyncio, sys\n"
        "from sauti_sync.commands import worker\n"
        "class Asked(worker.DirectQueue):\n"
        "    def __init__(self, url):\n"
        "        super().__init__(url)\n"
        "        self.question = asyncio.create_task(self.statistics())\n"
        "worker.DirectQueue = Asked\n"
        "async def crash(*_):\n"
        "    await asyncio.sleep(0.5)\n"
        "    raise ZeroDivisionError('canary')\n"
        "worker.StatusServer.start = crash\n"
        "sys.exit(worker.run_worker())\n"
    )
    database = SilentServer()
    async with database.running():
        environment = {
            "PYTHONPATH": str(tmp_path),
            "SUPABASE_URL": "http://127.0.0.1:9",
            "SUPABASE_SERVICE_ROLE_KEY": "canary",
            "SAUTI_APP_URL": "https://app.example",
            "SAUTI_METRICS_PORT": "0",
            "SAUTI_DB_URL": f"postgresql://127.0.0.1:{database.port}/canary",
        }
        worker = WorkerProcess(environment, tmp_path / "log", "crashing", "")
        try:
            assert await worker.ended(20) == 1
        finally:
            worker.kill()
    assert database.connections > 0
    assert [line["type"] for line in worker.lines("worker_crashed")] == ["ZeroDivisionError"]
    assert "canary" not in worker.log()
