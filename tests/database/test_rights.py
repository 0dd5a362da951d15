"""The rights of a person over what is held about them: to have all of it, and to have none of it left."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.support.canary import REPORT, Hunter, plant
from tests.support.cases import Cases, OpenCase, Survivor, accept, call
from tests.support.races import Gate, deadlocks
from tests.support.refusals import refused

CIPHERTEXT = "v1.k.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAA"
CALENDAR = "https://calendar.example/canarycalendar/"


def dump(cases: Cases) -> str:
    """Every row of every table of the database, ours and the platform's."""
    house = cases.database.as_superuser()
    tables = house.execute(
        "select n.nspname as space, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema', 'supabase_migrations')"
        " and n.nspname !~ '^pg_'"
        " order by 1, 2"
    ).fetchall()
    assert {"auth", "public", "private", "realtime"} <= {row["space"] for row in tables}
    rows = []
    for table in tables:
        name = sql.Identifier(table["space"], table["name"])
        for row in house.execute(sql.SQL("select to_jsonb(t)::text as row from {} t").format(name)).fetchall():
            rows.append(f"{table['space']}.{table['name']} {row['row']}")
    return "\n".join(rows)


def connect(cases: Cases, user_id: uuid.UUID, address: str = CALENDAR) -> uuid.UUID:
    connection_id: uuid.UUID = cases.one(
        "select (public.store_calendar_connection(%s, 'caldav', %s, %s, %s)).id",
        user_id, "canarylabel" if address == CALENDAR else "other", address, CIPHERTEXT,
    )["id"]  # fmt: skip
    return connection_id


def work(cases: Cases) -> list[dict[str, Any]]:
    """Do every due job as the worker does, and give back what it was told about each."""
    told = []
    for job in cases.sql.execute("select * from public.claim_jobs('w', 1000, 60)").fetchall():
        lease = (job["job_id"], job["lease_token"])
        context = cases.one("select public.job_context(%s, %s) as context", *lease)["context"]
        if context["state"] in ("postponed", "lost"):
            continue
        told.append(context)
        outcome = {"upsert": "synced", "delete": "removed"}.get(context.get("operation", ""), "done")
        result = {"outcome": outcome, "external_event_id": "event.ics", "sequence": 99}
        cases.sql.execute("select public.complete_job(%s, %s, %s)", (*lease, Jsonb(result)))
    return told


def lived(cases: Cases) -> tuple[OpenCase, Hunter]:
    """A survivor who left a trace in everything."""
    professional = cases.professional()
    survivor, report_id = plant(cases, contact_preference="email")
    connect(cases, survivor.id)
    connect(cases, professional.id, "https://calendar.example/other/")
    match_id = cases.offer(report_id, professional)["id"]
    appointment = accept(professional.sql, match_id, cases.now() + timedelta(days=3))
    work(cases)
    call(professional.sql, "open_case", match_id)
    call(cases.admin(), "break_glass", report_id, "canaryreason: a danger to life was reported.")
    for party in (survivor, professional):
        party.sql.execute("insert into public.messages (matched_services, body) values (%s, 'canarychat')", (match_id,))
    professional.sql.execute(
        "insert into public.case_notes (matched_services, body) values (%s, 'canarynote')", (match_id,)
    )
    professional.sql.execute("update public.case_notes set body = 'canarynote again'")
    other = cases.professional()
    booked = cases.one(
        "insert into public.appointments (professional_id, survivor_id, appointment_date, created_via, location)"
        " values (%s, %s, private.clock() + interval '9 days', 'public_booking', 'canaryplace') returning *",
        other.id, survivor.id,
    )  # fmt: skip
    cases.sql.execute(
        "insert into public.appointment_clients (appointment_id, client_name, client_email, message)"
        " values (%s, 'Canaryclient', 'canaryclient@canary.example', 'canarymessage')",
        (booked["appointment_id"],),
    )
    survivor.sql.execute("select public.cancel_appointment(%s, 'canarycancel')", (booked["appointment_id"],))
    call(survivor.sql, "export_my_data")
    cases.database.as_superuser().execute(
        "insert into auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)"
        " values (null, gen_random_uuid(), %s, now(), '')",
        (Jsonb({"action": "login", "actor_id": str(survivor.id), "actor_username": "canarylogin@canary.example"}),),
    )
    cases.run_due_timers()
    return OpenCase(survivor, professional, report_id, match_id, appointment), Hunter(cases, survivor, report_id)


def test_an_export_holds_everything_about_the_caller_and_is_in_the_ledger(cases: Cases) -> None:
    case, _ = lived(cases)
    exported = call(case.survivor.sql, "export_my_data")
    (report,) = exported["reports"]
    for column, value in REPORT.items():
        if isinstance(value, str) and column != "contact_preference":
            assert report[column] == value
    assert exported["account"]["id"] == exported["profile"]["id"] == str(case.survivor.id)
    for part in ("consents", "appointments", "messages", "bookings", "calendar_connections", "access_log", "ledger"):
        assert exported[part], part
    text = json.dumps(exported)
    assert CIPHERTEXT not in text
    assert "canarynote" not in text
    assert cases.count("private.audit_log", "event = 'data_exported' and subject_id = %s", case.survivor.id) == 2


def test_an_export_holds_nothing_of_anybody_else(cases: Cases) -> None:
    case, hunter = lived(cases)
    stranger = cases.professional()
    for person in (stranger.sql, cases.survivor().sql):
        assert hunter.traces_in(call(person, "export_my_data")) == set()
    exported = call(case.professional.sql, "export_my_data")
    assert exported["reports"] == []
    own = ("messages", "case_notes", "case_note_versions")
    told = hunter.traces_in({key: value for key, value in exported.items() if key not in own})
    # The one who holds the case knows whose session it is.
    assert told <= {str(case.survivor.id)}
    assert [row["body"] for row in exported["case_notes"]] == ["canarynote again"]


def test_every_table_with_a_user_of_ours_is_in_the_export_or_is_known_not_to_be(cases: Cases) -> None:
    """A table that comes later and hangs on a person has to be thought of here."""
    rows = cases.sql.execute(
        "select distinct conrelid::regclass::text as name from pg_constraint where contype = 'f'"
        " and confrelid in ('public.profiles'::regclass, 'public.professionals'::regclass)"
        " and connamespace::regnamespace::text in ('public', 'private')"
    ).fetchall()
    source = cases.one("select prosrc from pg_proc where oid = 'private.export_my_data()'::regprocedure")["prosrc"]
    secrets_and_machinery = {
        "private.calendar_feeds", "private.cal_com_secrets", "private.cal_com_deliveries", "private.cal_com_bookings",
        "private.completion_boosts", "private.matching_lanes", "private.waiting_professionals", "private.oauth_states",
        "cal_com_conflicts",
    }  # fmt: skip
    missing = {
        row["name"].removeprefix("public.")
        for row in rows
        if row["name"].removeprefix("public.").removeprefix("private.") not in source
    }
    assert missing <= secrets_and_machinery


def test_after_erasure_a_dump_of_the_database_holds_nothing_of_the_person(committed: Cases) -> None:
    case, hunter = lived(committed)
    before = dump(committed)
    assert {"canary", str(case.survivor.id)} <= hunter.traces_in(before)
    statistics = committed.sql.execute("select * from private.case_facts order by id").fetchall()
    call(case.survivor.sql, "erase_my_data")
    assert committed.sql.execute("select * from private.case_facts order by id").fetchall() == statistics
    left = dump(committed)
    found = [line for line in left.splitlines() if hunter.traces_in(line)]
    # The worker still has to empty the calendar: ciphertext, and the id to which it is bound.
    assert {line.split(" ")[0] for line in found} <= {"private.calendar_retirements", "private.outbox_jobs"}
    assert hunter.traces_in("\n".join(found)) <= {str(case.survivor.id), "canary"}
    told = work(committed)
    sent_about = [context for context in told if context.get("kind") != "calendar_disconnect"]
    assert hunter.traces_in(sent_about) == set()
    removed = [context for context in told if context.get("operation") == "delete"]
    assert [context["event"]["appointment_id"] for context in removed] == [str(case.appointment["appointment_id"])]
    committed.pass_time(days=40)
    committed.run_due_timers()
    work(committed)
    rest = [line for line in dump(committed).splitlines() if hunter.traces_in(line)]
    # The names of all dimensions' values are in the statistics of the month that has ended, whoever there was.
    assert [line for line in rest if not line.startswith("private.published_statistics")] == []
    assert committed.count("private.published_statistics") > 0
    assert committed.sql.execute("select * from private.verify_audit_log()").fetchall() == []


def test_the_other_party_hears_that_the_session_is_cancelled(cases: Cases) -> None:
    case, hunter = lived(cases)
    call(case.survivor.sql, "erase_my_data")
    (notice,) = case.professional.sql.execute(
        "select * from public.notifications where kind = 'appointment_cancelled'"
    ).fetchall()
    assert notice["appointment_id"] == case.appointment["appointment_id"]
    (session,) = case.professional.sql.execute("select * from public.appointments").fetchall()
    assert (session["status"], session["survivor_id"], session["matched_services"]) == ("cancelled", None, None)
    assert hunter.traces_in(dict(session)) == set()
    with refused("not_found"):
        call(case.professional.sql, "open_case", case.match_id)


def test_past_sessions_lose_the_case_code_in_the_calendar_of_the_professional(cases: Cases) -> None:
    case = cases.accepted()
    connect(cases, case.professional.id, "https://calendar.example/professional/")
    connect(cases, case.survivor.id)
    cases.pass_time(days=1)
    cases.run_due_timers()
    call(case.professional.sql, "complete_appointment", case.appointment["appointment_id"])
    work(cases)
    cases.sql.execute(
        "insert into public.calendar_events"
        " (appointment_id, connection_id, provider, external_event_id, synced_sequence, sync_status)"
        " select %s, c.id, 'caldav', 'event.ics', 9, 'synced' from public.calendar_connections c"
        " on conflict (appointment_id, connection_id) do update set synced_sequence = 9, sync_status = 'synced'",
        (case.appointment["appointment_id"],),
    )
    call(case.survivor.sql, "erase_my_data")
    (rewritten,) = [context for context in work(cases) if context.get("operation") == "upsert"]
    assert rewritten["connection"]["user_id"] == str(case.professional.id)
    assert rewritten["event"]["case_code"] is None
    assert rewritten["mapping"]["external_event_id"] == "event.ics"


def test_a_settled_job_of_the_outbox_keeps_no_id_of_who_has_left(cases: Cases) -> None:
    survivor = cases.survivor()
    connections = [connect(cases, survivor.id), connect(cases, survivor.id, "https://calendar.example/second/")]
    call(survivor.sql, "delete_calendar_connection", connections[0])
    work(cases)
    call(survivor.sql, "erase_my_data")
    jobs = cases.sql.execute("select * from private.outbox_jobs where kind = 'calendar_disconnect'").fetchall()
    assert len(jobs) == 2
    assert str(survivor.id) not in str([dict(job) for job in jobs])
    # One account's calendars are still taken one after the other.
    assert len({job["ordering_key"] for job in jobs}) == 1


def test_a_calendar_to_be_emptied_has_neither_its_address_nor_the_host_of_another(cases: Cases) -> None:
    for _ in range(2):
        survivor = cases.survivor()
        connect(cases, survivor.id)
        call(survivor.sql, "erase_my_data")
    told = [context["connection"] for context in work(cases) if context.get("kind") == "calendar_disconnect"]
    assert len({urlsplit(connection["calendar_id"]).netloc for connection in told} - {""}) == 2
    assert "calendar.example" not in json.dumps(told)


def test_erasure_twice_is_erasure_once(cases: Cases) -> None:
    survivor, _ = plant(cases)
    other = cases.survivor()
    for _ in range(2):
        call(survivor.sql, "erase_my_data")
    assert cases.count("public.profiles", "id = %s", other.id) == 1
    assert cases.count("private.audit_log", "event = 'account_erased'") == 1
    with refused("not_authenticated"):
        call(cases.database.as_anon(), "erase_my_data")


def test_a_professional_who_leaves_hands_the_cases_over(cases: Cases) -> None:
    case = cases.accepted()
    waiting = cases.professional()
    connect(cases, case.survivor.id)
    connect(cases, case.professional.id, "https://calendar.example/professional/")
    work(cases)
    call(case.professional.sql, "erase_my_data")
    assert cases.count("public.professionals", "id = %s", case.professional.id) == 0
    assert cases.offered_to(case.report_id, "pending") == {waiting.id}
    assert cases.one("select reason from private.escalations")["reason"] == "professional_left"
    kinds = case.survivor.sql.execute("select kind from public.notifications").fetchall()
    assert "case_reopened" in {row["kind"] for row in kinds}
    told = [context for context in work(cases) if context.get("kind") in ("calendar_event", "calendar_disconnect")]
    own = [context for context in told if context["kind"] == "calendar_disconnect"]
    others = [context for context in told if context.get("operation") == "delete"]
    assert [event["appointment_id"] for context in own for event in context["events"]] == [
        str(case.appointment["appointment_id"])
    ]
    assert [context["event"]["appointment_id"] for context in others] == [str(case.appointment["appointment_id"])]
    assert cases.count("private.calendar_tombstones") == 0


@pytest.mark.parametrize("who", ["survivor", "professional", "admin"])
def test_auth_deletes_any_user_without_a_foreign_key_in_the_way(committed: Cases, who: str) -> None:
    case, hunter = lived(committed)
    admin_id = committed.one("select id from public.profiles where user_type = 'admin' limit 1")["id"]
    user_id = {"survivor": case.survivor.id, "professional": case.professional.id, "admin": admin_id}[who]
    committed.database.as_superuser().execute("delete from auth.users where id = %s", (user_id,))
    assert committed.count("public.profiles", "id = %s", user_id) == 0
    assert committed.sql.execute("select * from private.verify_audit_log()").fetchall() == []
    if who == "survivor":
        found = [line for line in dump(committed).splitlines() if hunter.traces_in(line)]
        assert {line.split(" ")[0] for line in found} <= {"private.calendar_retirements", "private.outbox_jobs"}
    else:
        assert call(case.survivor.sql, "export_my_data")["reports"]


def test_erasing_while_the_case_is_being_accepted_ends_in_one_order_or_the_other(committed: Cases) -> None:
    professional = committed.professional()
    survivor: Survivor = committed.survivor()
    match_id = committed.offer(committed.file_report(survivor), professional)["id"]
    hold = "select 1 from public.professionals where id = %s for update"
    with Gate(committed.database, hold, professional.id) as gate:
        gate.start(lambda: accept(professional.sql, match_id))
        gate.until_waiting(1)
        gate.start(lambda: call(survivor.sql, "erase_my_data"))
        gate.until_waiting(2)
        gate.open()
    assert committed.count("public.reports") == 0
    assert committed.count("public.appointments", "status <> 'cancelled' or survivor_id is not null") == 0
    assert deadlocks(committed.database) == 0
