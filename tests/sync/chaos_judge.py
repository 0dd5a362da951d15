"""What a chaos run has left, compared with the database; and the table that is printed of it."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from icalendar import Calendar, Event

from sauti_local.calendar import PASSWORD, calendar_url
from sauti_sync.calendars.microsoft import PROPERTY
from tests.sync.chaos import Chaos
from tests.sync.chaos_providers import CANARY, Copy

#: One event: whose appointment it shows, and when it begins.
Entry = tuple[str, datetime]
WINDOWS_ZONES = {"UTC": "UTC"}


@dataclass
class Verdict:
    """What was found; every list is empty when all is well."""

    connections: int = 0
    events: int = 0
    differences: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    stale_records: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    #: Jobs with an attempt whose lease ended before the database could be told what it had done.
    untold: set[int] = field(default_factory=set)
    second_looks: int = 0
    mails_expected: int = 0
    mails_delivered: int = 0
    mails_outdated: int = 0
    mails_before_outdated: int = 0
    mails_lost: list[str] = field(default_factory=list)
    duplicates: Counter[str] = field(default_factory=Counter)
    unexplained_duplicates: list[str] = field(default_factory=list)


def judge(run: Chaos) -> Verdict:
    verdict = Verdict()
    appointments = {
        str(row["appointment_id"]): row
        for row in run.project.sql(
            "select appointment_id, professional_id::text, appointment_date, status::text, sequence"
            " from public.appointments"
        )
    }
    _compare_calendars(run, appointments, verdict)
    _look_at_records(run, verdict)
    for worker in run.workers:
        for line in worker.process.lines("attempt"):
            verdict.attempts[f"{line['kind']} {line['outcome']}"] += 1
            if line["outcome"] in ("lease_lost", "unsettled"):
                verdict.untold.add(line["job_id"])
    _count_mails(run, appointments, verdict)
    verdict.leaks = _leaks(run)
    return verdict


# Calendars


def _compare_calendars(run: Chaos, appointments: dict[str, Any], verdict: Verdict) -> None:
    connections = run.project.sql("select user_id::text as user, provider::text from public.calendar_connections")
    verdict.connections = len(connections)
    for connection in connections:
        owner, provider = connection["user"], connection["provider"]
        wanted = Counter(
            (key, row["appointment_date"])
            for key, row in appointments.items()
            if row["professional_id"] == owner and row["status"] in ("requested", "confirmed")
        )
        there = Counter(_entries(run, owner, provider))
        verdict.events += there.total()
        for sign, some in (("missing or stale", wanted - there), ("too many", there - wanted)):
            for key, starts_at in some:
                row = appointments.get(key, {})
                verdict.differences.append(
                    f"{provider}: {key} at {starts_at} {sign}; is {row.get('status')} {row.get('appointment_date')}"
                )


def _entries(run: Chaos, owner: str, provider: str) -> Iterable[Entry]:
    if provider == "google":
        for event in run.google.live(owner):
            key = event["extendedProperties"]["private"]["appointment"]
            yield key, datetime.fromisoformat(event["start"]["dateTime"]).astimezone(UTC)
    elif provider == "microsoft":
        for event in run.microsoft.live(owner):
            (key,) = (mark["value"] for mark in event["singleValueExtendedProperties"] if mark["id"] == PROPERTY)
            zone = ZoneInfo(WINDOWS_ZONES[event["start"]["timeZone"]])
            yield key, datetime.fromisoformat(event["start"]["dateTime"]).replace(tzinfo=zone)
    else:
        address = calendar_url(run.project.calendar.url, owner, "sessions")
        answer = httpx.get(address, auth=(owner, PASSWORD), trust_env=False, timeout=60)
        if answer.status_code != 404:
            for event in Calendar.from_ical(answer.raise_for_status().content).walk("VEVENT"):
                yield str(event["UID"]).partition("@")[0], event.decoded("DTSTART")


def _look_at_records(run: Chaos, verdict: Verdict) -> None:
    (looks,) = run.project.sql("select count(*) as count from private.outbox_jobs where looks_again")
    verdict.second_looks = looks["count"]
    jobs = run.project.sql(
        "select kind, state, attempts, last_error, count(*) as count from private.outbox_jobs"
        " where kind in ('mail', 'calendar_event', 'calendar_pull') group by 1, 2, 3, 4"
    )
    for job in jobs:
        words = f"{job['count']} x {job['kind']}: {job['last_error']}, {job['attempts']} attempts"
        if job["state"] == "dead" and job["last_error"] != "needs_reauth":
            verdict.dead.append(words)
        elif job["state"] in ("pending", "running") and job["kind"] != "calendar_pull":
            verdict.unsettled.append(f"{words}, {job['state']}")
    verdict.stale_records = [
        f"{row['provider']} {row['sync_status']} {row['synced_sequence']} of {row['sequence']}, {row['status']}"
        for row in run.project.sql(
            "select c.provider::text, e.sync_status::text, e.synced_sequence, a.sequence, a.status::text"
            " from public.calendar_connections as c join public.appointments as a on a.professional_id = c.user_id"
            " left join public.calendar_events as e"
            " on e.appointment_id = a.appointment_id and e.connection_id = c.id"
            " where a.status <> 'cancelled' and"
            " (e.sync_status is distinct from 'synced' or e.synced_sequence is distinct from a.sequence)"
        )
    ]
    # Nobody has touched a calendar by hand.
    verdict.false_alarms = [
        f"{row['count']} x {row['kind']}"
        for row in run.project.sql(
            "select kind::text, count(*) as count from public.notifications"
            " where kind in ('calendar_event_moved', 'calendar_clash') group by 1"
            " union all select 'deleted by hand at ' || provider, count(*) from public.calendar_events"
            " where deletions > 0 group by provider"
        )
    ]


# Mail


def _count_mails(run: Chaos, appointments: dict[str, Any], verdict: Verdict) -> None:
    copies = run.mail.by_id()
    jobs = run.project.sql(
        "select id, coalesce(notification_id::text, id::text) as message, result from private.outbox_jobs"
        " where kind = 'mail'"
    )
    sent = {row["message"]: row["id"] for row in jobs if row["result"] != {"outcome": "obsolete"}}
    verdict.mails_expected = len(sent)
    verdict.mails_outdated = len(jobs) - len(sent)
    verdict.mails_delivered = len(sent.keys() & copies.keys())
    # Taken without a word, and outdated when it was to be sent again.
    verdict.mails_before_outdated = len(copies.keys() - sent.keys())
    verdict.mails_lost = [f"never came: {key}" for key in sent if key not in copies]
    verdict.mails_lost += _outdated_readers(copies, appointments)
    for key, same in copies.items():
        for earlier, later in pairwise(same):
            reason = _reason(run, verdict.untold, sent.get(key), earlier, later)
            verdict.duplicates[reason] += 1
            if reason == "unexplained":
                verdict.unexplained_duplicates.append(key)


def _reason(run: Chaos, untold: set[int], job_id: int | None, earlier: Copy, later: Copy) -> str:
    """Why a message was sent again."""
    if not earlier.was_answered:
        return "the mail server had acted without answering"
    # A death is noted a moment after it happens.
    since, until = earlier.at - 0.5, later.at
    if any(since <= kill.at <= until and job_id in {lease[0] for lease in kill.leases} for kill in run.kills):
        return "its worker was killed before it could settle"
    if any(since - 10 <= at <= until for at in run.postgres_kills):
        return "PostgreSQL was killed before it was settled"
    if job_id in untold:
        return "its lease ended before the database could be told"
    return "unexplained"


def _outdated_readers(copies: dict[str, list[Copy]], appointments: dict[str, Any]) -> list[str]:
    """Whose last mail about an appointment does not say how it stands."""
    last: dict[str, tuple[int, bool, datetime]] = {}
    for same in copies.values():
        found = _event_of(same[0].text)
        if found is not None:
            event, method = found
            key = str(event["UID"]).partition("@")[0]
            said = (int(event["SEQUENCE"]), method == "CANCEL", event.decoded("DTSTART"))
            last[key] = max(last.get(key, said), said)
    return [
        f"{key}: last mail says {last.get(key)}, the database {row['sequence']} {row['status']}"
        for key, row in appointments.items()
        if last.get(key) != (row["sequence"], row["status"] == "cancelled", row["appointment_date"])
    ]


def _event_of(text: bytes) -> tuple[Event, str] | None:
    for part in message_from_bytes(text).walk():
        if part.get_content_type() == "text/calendar":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            document = Calendar.from_ical(payload)
            (event,) = document.walk("VEVENT")
            assert isinstance(event, Event)
            return event, str(document["METHOD"])
    return None


# Secrets


def _leaks(run: Chaos) -> list[str]:
    left = "".join(worker.process.log() for worker in run.workers)
    left += json.dumps(run.project.sql("select * from private.outbox_jobs"), default=str)
    tokens = [*run.google.access, *run.google.refresh, *run.microsoft.access, *run.microsoft.refresh]
    secrets = [CANARY, run.keys.partition(":")[2], run.project.keys.service_role_key, *tokens]
    return [f"secret {number}" for number, secret in enumerate(secrets) if secret in left]


# The table


def table(run: Chaos, verdict: Verdict) -> str:
    rows: list[tuple[str, object]] = [("changes", run.made.total())]
    rows += [(f"  {kind}", count) for kind, count in sorted(run.made.items())]
    rows.append(("faults injected", sum(mood.injected.total() for mood in run.moods.values())))
    for name, mood in run.moods.items():
        rows.append((f"  {name}", mood.injected.total()))
        rows += [(f"    {kind}", count) for kind, count in sorted(mood.injected.items())]
    rows += sorted(run.events.items())
    rows.append(("attempts", verdict.attempts.total()))
    rows += [(f"  {outcome}", count) for outcome, count in sorted(verdict.attempts.items())]
    rows += [
        ("calendar jobs to look again", verdict.second_looks),
        ("requests that arrived: google", len(run.google.asked)),
        ("requests that arrived: microsoft", len(run.microsoft.asked)),
        ("requests that arrived: caldav", run.caldav.requests),
        ("calendars", verdict.connections),
        ("events in them", verdict.events),
        ("differences from the database", len(verdict.differences)),
        ("mails expected", verdict.mails_expected),
        ("mails delivered", verdict.mails_delivered),
        ("mails outdated before they went", verdict.mails_outdated - verdict.mails_before_outdated),
        ("mails taken without an answer, then outdated", verdict.mails_before_outdated),
        ("mails lost", len(verdict.mails_lost)),
        ("duplicates of mails", verdict.duplicates.total()),
    ]
    rows += [(f"  {reason}", count) for reason, count in sorted(verdict.duplicates.items())]
    rows += [
        ("dead jobs", sum(int(re.match(r"\d+", line)[0]) for line in verdict.dead)),  # type: ignore[index]
        ("longest rescue of a dead worker's jobs, seconds", round(max(run.rescues, default=0.0), 1)),
        ("rescues", len(run.rescues)),
        ("duration, seconds", round(run.seconds)),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value:>8}" for name, value in rows)
