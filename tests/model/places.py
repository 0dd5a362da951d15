"""Every place in which a canary could be, as text."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from psycopg import sql

from sauti_local.paths import ROOT
from tests.model.canaries import Place
from tests.model.town import Town
from tests.sync.sms_provider import SmsProvider

DIMENSIONS = ("incident_type", "urgency", "gender", "age_category", "service_type")
_EVER = datetime.min.replace(tzinfo=UTC)
_READABLE = (
    "select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace"
    " and c.relkind in ('r', 'p', 'v', 'm') order by 1"
)
_TABLES = (
    "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema',"
    " 'supabase_migrations') order by 1, 2"
)


@dataclass
class Outside:
    """Where the worker of a run sends messages and shows its numbers."""

    sms: SmsProvider
    metrics_url: str
    environment: dict[str, str] = field(repr=False)


def everywhere(town: Town, outside: Outside) -> dict[Place, str]:
    """All of it."""
    return answers(town) | statistics(town) | tables(town) | sent(town, outside) | calendars(town) | told(town, outside)


def answers(town: Town) -> dict[Place, str]:
    """What everybody was answered up to now, and is of every relation; what they heard; their subscriptions."""
    places: dict[Place, str] = {}
    relations = [name for (name,) in town.sql.execute(_READABLE).fetchall()]
    for citizen in town.citizens.values():
        for relation in relations:
            citizen.caller.get(relation)
        if citizen.caller.user is not None:
            citizen.caller.rpc("export_my_data")
        places[citizen.answer] = "\n".join(citizen.caller.texts)
        if citizen.listener:
            places[citizen.frame] = "\n".join(citizen.listener.frames)
        if citizen.feed:
            places[citizen.ics] = _unfolded(httpx.get(citizen.feed, trust_env=False, timeout=30).text)
    return places


def statistics(town: Town) -> dict[Place, str]:
    """What everybody is told of every dimension."""
    days = {"from_date": "2000-01-01", "to_date": "2100-01-01"}
    return {
        ("statistics", citizen.name): "\n".join(
            citizen.caller.rpc("case_statistics", dimension=dimension, **days).text for dimension in DIMENSIONS
        )
        for citizen in town.citizens.values()
    }


def tables(town: Town) -> dict[Place, str]:
    """Every table of every schema, ours and the platform's, as the superuser reads it."""
    places: dict[Place, str] = {}
    for schema, name in town.sql.execute(_TABLES).fetchall():
        relation = sql.Identifier(schema, name)
        rows = town.sql.execute(sql.SQL("select coalesce(json_agg(t), '[]')::text from only {} as t").format(relation))
        places["table", f"{schema}.{name}"] = str((rows.fetchone() or ("",))[0])
    return places


def sent(town: Town, outside: Outside, since: datetime = _EVER) -> dict[Place, str]:
    """SMS, and the mail that came later than a moment."""
    received = httpx.get(f"{town.addresses.mail_url}/messages.json", trust_env=False).json()
    mails = [mail for mail in received if datetime.fromisoformat(mail["received_at"]) > since]
    places: dict[Place, str] = {("mail to", ""): json.dumps([mail["to"] for mail in mails])}
    for mail in mails:
        (address,) = mail.pop("to")
        mail["headers"] = [header for header in mail["headers"] if header[0].lower() != "to"]
        reader = ("mail", town.reader_at(address))
        text = json.dumps(mail).replace("\\r", "\r").replace("\\n", "\n")
        places[reader] = places.get(reader, "") + _unfolded(text) + "\n"
    forms = [{key.lower(): value for key, value in form.items()} for form in outside.sms.forms]
    places["sms to", ""] = json.dumps([form.pop("to") for form in forms])
    places["sms", ""] = json.dumps(forms)
    return places


def calendars(town: Town) -> dict[Place, str]:
    """What stands in everybody's calendar, as its host keeps it."""
    return {citizen.calendar: "\n".join(entries(town, citizen.calendar_user)) for citizen in town.citizens.values()}


def entries(town: Town, user: str) -> list[str]:
    """The events in somebody's calendar."""
    folder: Path = town.addresses.logs.parent / "calendars"
    return [
        _unfolded(path.read_text())
        for path in folder.rglob("*.ics")
        if user and user in path.parts and ".Radicale.cache" not in path.parts
    ]


def told(town: Town, outside: Outside) -> dict[Place, str]:
    """What operators see: log files, the worker's numbers, and what the commands print."""
    places: dict[Place, str] = {}
    for path in town.addresses.logs.iterdir():
        # What the calendar's host writes into its own log is not ours.
        if path.name != "radicale.log":
            places["log", path.name] = path.read_text(errors="replace")
    for page in ("metrics", "healthz"):
        places["metrics", page] = httpx.get(f"{outside.metrics_url}/{page}", trust_env=False, timeout=30).text
    environment = os.environ | outside.environment | {"SAUTI_DB_URL": town.addresses.db_url}
    for command in (["doctor", "--json"], ["doctor"], ["jobs", "list", "--json"], ["jobs", "dead", "--json"]):
        ran = subprocess.run(
            [sys.executable, "-m", "sauti_sync", *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        places["command", " ".join(command)] = ran.stdout + ran.stderr
    return places


def _unfolded(text: str) -> str:
    """Calendars fold long lines, even in the middle of a word."""
    return re.sub(r"\r?\n[ \t]", "", text)
