"""`sauti-sync doctor`: is this project whole, and if not, what is to be done?

Looks through the same doors as the worker, changes nothing but a probe job, and prints no value of the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

import httpx
from rich.console import Console
from rich.table import Table

from sauti_sync.config import ProjectSettings, WorkerSettings
from sauti_sync.doorbell import Doorbell
from sauti_sync.errors import ConfigurationError, QueueRefused, SautiError
from sauti_sync.health.database import database_findings
from sauti_sync.health.finding import Finding, State
from sauti_sync.messages.sender import Sender
from sauti_sync.messages.smtp import SmtpTransport
from sauti_sync.messages.smtp_address import SmtpAddress
from sauti_sync.outbox import DataApiQueue

_FUNCTIONS = (
    "claim_jobs", "take_jobs", "job_context", "job_contexts", "complete_job", "complete_jobs",
    "fail_job", "extend_lease", "run_due_timers", "list_jobs", "retry_jobs", "outbox_statistics",
    "queue_probe", "book_appointment",
)  # fmt: skip
_ANSWER_SECONDS = 8.0
_PROBE_SECONDS = 15.0
_LATE_SECONDS = 300.0
_MARKS = {State.OK: "[green]ok[/green]", State.WARNING: "[yellow]look[/yellow]", State.BROKEN: "[red]broken[/red]"}


def run_doctor(as_json: bool = False, probe: bool = True) -> int:
    """Print what was found; 0 when nothing is broken."""
    findings = asyncio.run(_examine(probe))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table("", "what", "found", "what to do")
        for finding in findings:
            table.add_row(_MARKS[finding.state], finding.what, finding.found, finding.advice)
        Console().print(table)
    return 1 if any(finding.state is State.BROKEN for finding in findings) else 0


async def _examine(probe: bool) -> list[Finding]:
    findings: list[Finding] = []
    settings: ProjectSettings | None = None
    try:
        settings = WorkerSettings.from_environment()
        findings.append(Finding("environment", State.OK, "complete enough for a worker"))
    except ConfigurationError as error:
        findings += [
            Finding("environment", State.BROKEN, problem, "Correct this variable.") for problem in error.problems
        ]
        with suppress(ConfigurationError):
            settings = ProjectSettings.from_environment()
    if isinstance(settings, WorkerSettings):
        findings += _provider_findings(settings)
        findings += [finding async for finding in _mail_findings(settings)]
        findings += [finding async for finding in _push_findings(settings)]
    if settings is not None:
        findings += [finding async for finding in _project_findings(settings, probe)]
    if url := os.environ.get("SAUTI_DB_URL"):
        findings += await database_findings(url)
    else:
        advice = "Set SAUTI_DB_URL to have migrations, extensions and access checked."
        findings.append(Finding("database", State.WARNING, "not looked at", advice))
    return findings


def _provider_findings(settings: WorkerSettings) -> Iterator[Finding]:
    if settings.token_keys is None:
        yield Finding(
            "token keys",
            State.WARNING,
            "none: calendars are not served",
            "sauti-sync keys generate, then SAUTI_TOKEN_KEYS.",
        )
    else:
        yield Finding("token keys", State.OK, "readable")
    for name in ("google", "microsoft"):
        given = [getattr(settings, f"{name}_{part}") is not None for part in ("client_id", "client_secret")]
        if all(given):
            yield Finding(f"{name} calendars", State.OK, "configured")
        elif any(given):
            advice = f"SAUTI_{name.upper()}_CLIENT_ID and SAUTI_{name.upper()}_CLIENT_SECRET belong together."
            yield Finding(f"{name} calendars", State.BROKEN, "half configured", advice)
        else:
            yield Finding(f"{name} calendars", State.WARNING, "not configured", "Needed only for these calendars.")
    if settings.push_url is None:
        yield Finding("push", State.OK, "not configured: calendars are read by the clock")
    if settings.sms_provider is None:
        yield Finding("sms", State.WARNING, "not configured", "People who chose SMS get none: see SAUTI_SMS_PROVIDER.")
    else:
        yield Finding("sms", State.OK, f"configured: {settings.sms_provider}")


async def _mail_findings(settings: WorkerSettings) -> AsyncIterator[Finding]:
    if settings.smtp_url is None or settings.mail_from is None:
        yield Finding("mail", State.BROKEN, "not configured", "Set SAUTI_SMTP_URL and SAUTI_MAIL_FROM.")
        return
    address = SmtpAddress.parse(settings.smtp_url.get_secret_value())
    try:
        await SmtpTransport(address, Sender.parse(settings.mail_from), timeout=_ANSWER_SECONDS).check()
        yield Finding("mail", State.OK, "the server answers and lets us in")
    except SautiError as error:
        yield Finding("mail", State.BROKEN, error.symbol, "See the table of errors in docs/operations.md.")


async def _push_findings(settings: WorkerSettings) -> AsyncIterator[Finding]:
    if settings.push_url is None:
        return
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=not settings.is_on_this_machine) as http:
            answer = await http.post(f"{settings.push_url}/api/calendar/google/changes")
            # A message without a token is told apart from an address where nothing is.
            is_ours = answer.status_code == 404 and answer.json().get("code") == "PT404"
    except (httpx.HTTPError, ValueError, AttributeError):
        is_ours = False
    if is_ours:
        yield Finding("push", State.OK, "the address answers")
    else:
        advice = (
            "SAUTI_PUSH_URL is the public address of the Edge Functions: …/functions/v1. Deploy them, or correct it."
        )
        yield Finding("push", State.BROKEN, "the address is none of ours", advice)


async def _project_findings(settings: ProjectSettings, probe: bool) -> AsyncIterator[Finding]:
    queue = DataApiQueue(settings)
    try:
        try:
            statistics = await queue.statistics()
        except QueueRefused as error:
            yield Finding("data api", State.BROKEN, error.symbol, _REFUSALS.get(error.status, "Apply the migrations."))
            return
        except SautiError as error:
            yield Finding("data api", State.BROKEN, error.symbol, "Check SUPABASE_URL, and that the project is awake.")
            return
        yield Finding("data api", State.OK, "answers, and takes the service key")
        yield await _functions(settings)
        yield await _auth(settings)
        yield await _doorbell(settings)
        dead = int(statistics.get("dead", 0))
        if dead:
            yield Finding(
                "dead letters", State.WARNING, f"{dead}", "sauti-sync jobs dead says why, jobs retry replays."
            )
        else:
            yield Finding("dead letters", State.OK, "none")
        async for finding in _late(queue):
            yield finding
        if probe:
            yield await _probe(queue)
    finally:
        await queue.close()


#: What a status of the Data API means here.
_REFUSALS = {
    401: "SUPABASE_SERVICE_ROLE_KEY is not a key of this project.",
    403: "SUPABASE_SERVICE_ROLE_KEY is not the service-role key.",
    404: "The functions are not there: apply the migrations (supabase db push).",
}


async def _functions(settings: ProjectSettings) -> Finding:
    answer = await _get(settings, "/rest/v1/")
    paths = answer.get("paths") if answer else None
    if not isinstance(paths, dict):
        return Finding("functions", State.WARNING, "their list is not readable", "")
    missing = [name for name in _FUNCTIONS if f"/rpc/{name}" not in paths]
    if missing:
        return Finding(
            "functions", State.BROKEN, f"missing: {', '.join(missing)}", "Apply the migrations (supabase db push)."
        )
    return Finding("functions", State.OK, "all there")


async def _auth(settings: ProjectSettings) -> Finding:
    if await _get(settings, "/auth/v1/settings") is None:
        return Finding("auth", State.BROKEN, "no answer", "Nobody can sign in; see the project's status.")
    return Finding("auth", State.OK, "answers")


async def _get(settings: ProjectSettings, path: str) -> dict[str, object] | None:
    key = settings.supabase_service_role_key.get_secret_value()
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=not settings.is_on_this_machine) as http:
            response = await http.get(f"{settings.supabase_url}{path}", headers=headers)
            body = response.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    return body if isinstance(body, dict) else None


class _Listener:
    """Remembers the first news of a doorbell."""

    def __init__(self) -> None:
        self.news: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def doorbell_up(self) -> None:
        self._tell("up")

    def doorbell_down(self, reason: str) -> None:
        self._tell(reason)

    def _tell(self, news: str) -> None:
        if not self.news.done():
            self.news.set_result(news)


async def _doorbell(settings: ProjectSettings) -> Finding:
    listener = _Listener()
    bell = asyncio.create_task(Doorbell(settings, lambda: None, listener).run())
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            news = await listener.news
    except TimeoutError:
        news = "no answer"
    finally:
        bell.cancel()
        with suppress(asyncio.CancelledError):
            await bell
    if news == "up":
        return Finding("realtime doorbell", State.OK, "joined")
    return Finding("realtime doorbell", State.WARNING, news, "Workers poll meanwhile: jobs wait for a poll interval.")


async def _late(queue: DataApiQueue) -> AsyncIterator[Finding]:
    now = datetime.now(UTC)
    late = Counter(
        row.kind
        for row in await queue.list_jobs("pending", 1000)
        if (now - datetime.fromisoformat(row.run_at)).total_seconds() > _LATE_SECONDS
    )
    if not late:
        yield Finding("waiting jobs", State.OK, "none is late")
    for kind, count in sorted(late.items()):
        advice = "No worker serves this kind, or too few do: start one whose environment is enough for it."
        yield Finding(
            "waiting jobs", State.BROKEN, f"{count} of kind {kind} for over {_LATE_SECONDS / 60:.0f} minutes", advice
        )


async def _probe(queue: DataApiQueue) -> Finding:
    started = time.monotonic()
    job_id = int(await queue.call("queue_probe"))

    async def is_done() -> bool:
        return any(row.job_id == job_id and row.state == "done" for row in await queue.list_jobs(None, 200))

    if await _within(_PROBE_SECONDS, is_done):
        return Finding("worker", State.OK, f"took a probe and settled it in {time.monotonic() - started:.1f} s")
    return Finding(
        "worker", State.BROKEN, f"none took a probe in {_PROBE_SECONDS:.0f} s", "Start one: sauti-sync worker."
    )


async def _within(seconds: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if await condition():
            return True
        await asyncio.sleep(0.1)
    return False
