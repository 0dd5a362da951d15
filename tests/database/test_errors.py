"""Errors: registered, told alike, and without a word about anybody."""

from __future__ import annotations

import re
import uuid
from typing import Any

import psycopg
import pytest

from tests.support import canary
from tests.support.cases import Cases, Sql, accept, call
from tests.support.refusals import STATUS

#: Raised by no function of the way of a case; each belongs to one that is named here.
ELSEWHERE = {
    "outside_availability": "reschedule_appointment, book_appointment",
    "too_many_requests": "book_appointment",
    "not_allowed": "a service function through another key than the service's",
}


def test_the_registry_says_what_the_contract_says(cases: Cases) -> None:
    rows = cases.sql.execute("select symbol, status::int as status, details, hint from private.error_codes").fetchall()
    assert {row["symbol"]: row["status"] for row in rows} == STATUS
    for row in rows:
        assert re.fullmatch(r"[A-Z].*\.", row["details"]), row
        assert re.fullmatch(r"[A-Z].*\.", row["hint"]), row


def test_an_unregistered_symbol_cannot_be_raised(cases: Cases) -> None:
    with pytest.raises(psycopg.errors.NoDataFound):
        cases.sql.execute("select private.raise_error('no_such_symbol')")


def test_every_function_raises_registered_symbols_only(cases: Cases) -> None:
    sources = cases.sql.execute(
        "select proname, prosrc from pg_proc where pronamespace in ('public'::regnamespace, 'private'::regnamespace)"
    ).fetchall()
    for source in sources:
        raised = set(re.findall(r"raise_error\(\s*'([a-z_]+)'", source["prosrc"]))
        assert raised <= set(STATUS), source["proname"]
        if source["proname"] != "raise_error":
            assert not re.search(r"raise exception", source["prosrc"]), source["proname"]


def test_every_registered_symbol_is_raised_by_something(cases: Cases) -> None:
    text = " ".join(
        row["prosrc"]
        for row in cases.sql.execute(
            "select prosrc from pg_proc where pronamespace in ('public'::regnamespace, 'private'::regnamespace)"
        )
    )
    unused = {symbol for symbol in STATUS if f"'{symbol}'" not in text}
    assert unused <= set(ELSEWHERE)


def attempts(cases: Cases, actor: Sql, ids: list[uuid.UUID]) -> list[psycopg.Error]:
    """What the functions of a case say to somebody who tries each with each id."""
    errors: list[psycopg.Error] = []
    signatures: list[tuple[str, tuple[Any, ...]]] = [
        ("request_support", ()),
        ("withdraw_report", ()),
        ("complete_case", ()),
        ("dispute_completion", ()),
        ("decline_match", ("reason",)),
        ("open_case", ()),
        ("confirm_appointment", ()),
        ("complete_appointment", ()),
        ("cancel_appointment", ("reason",)),
        ("accept_match", ("meet_now",)),
        ("delete_calendar_connection", ()),
    ]
    for function, rest in signatures:
        for given in ids:
            try:
                call(actor, function, given, *rest)
            except psycopg.Error as error:
                errors.append(error)
    return errors


def test_no_error_tells_anything_about_a_person(cases: Cases) -> None:
    professional = cases.professional()
    survivor, report_id = canary.plant(cases)
    hunter = canary.Hunter(cases, survivor, report_id)
    other = cases.professional(service_type="legal_aid")
    offer = cases.offer(report_id, professional)
    appointment = accept(professional.sql, offer["id"])
    ids = [offer["id"], report_id, appointment["appointment_id"], uuid.uuid4()]
    for actor in (other.sql, cases.survivor().sql, cases.admin(), cases.database.as_anon()):
        errors = attempts(cases, actor, ids)
        assert len(errors) == 11 * len(ids)
        for error in errors:
            assert (error.sqlstate or "").startswith("PT"), error
            said = " ".join(
                filter(None, (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint))
            )
            assert not hunter.traces_in(said)
            assert not [given for given in ids if str(given) in said]


def test_the_survivors_own_mistakes_are_not_quoted_back(cases: Cases) -> None:
    # A log of errors must not become a log of stories.
    survivor = cases.survivor()
    for column, value in (
        ("incident_description", "canary" * 4000),
        ("survivor_name", "canary\n"),
        ("contact_email", "canary"),
        ("contact_phone", "canary"),
        ("emergency_contact", "canary" * 100),
        ("special_needs", ["canary\n"]),
    ):
        with pytest.raises(psycopg.Error) as caught:
            cases.file_report(survivor, **{column: value})
        diagnosis = caught.value.diag
        said = f"{diagnosis.message_primary} {diagnosis.message_detail} {diagnosis.message_hint}"
        assert "canary" not in said, column
