"""An address from which mail came back: nothing more goes there, its owner is told in the app, another is served."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import pytest

from sauti_sync.messages.return_path import ReturnPath
from tests.support.cases import Cases, OpenCase, Row, call
from tests.support.jobs import Jobs
from tests.support.refusals import forbidden, refused

MAIL = ["mail"]
ADDRESS = "me@example.org"


@pytest.fixture
def jobs(cases: Cases) -> Jobs:
    return Jobs(cases, cases.database.as_service())


@pytest.fixture
def case(cases: Cases) -> OpenCase:
    return cases.accepted(contact_preference="email", contact_email=ADDRESS)


def digest(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:10]


def sent(jobs: Jobs) -> list[dict[str, Any]]:
    """Send all mail that is due; the messages."""
    found = []
    for job in jobs.claim(kinds=MAIL):
        context = jobs.context(job)
        if context["state"] == "due":
            found.append(context["message"])
        jobs.complete(job)
    return found


def to(messages: list[dict[str, Any]], address: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["to"] == address]


def bounce(jobs: Jobs, message_id: str, address: str = ADDRESS) -> str:
    outcome: str = call(jobs.worker, "record_bounce", message_id, digest(address))
    return outcome


def move(case: OpenCase) -> None:
    case.professional.sql.execute(
        "select public.reschedule_appointment(appointment_id, appointment_date + interval '3 hours')"
        " from public.appointments"
    )


def notices(cases: Cases) -> list[Row]:
    return cases.sql.execute(
        "select user_id, appointment_id from public.notifications where kind = 'mail_undeliverable'"
    ).fetchall()


def test_the_digest_is_that_of_the_return_path(cases: Cases) -> None:
    path = ReturnPath.of("bounces@mail.example", "key")
    for address in (ADDRESS, "Case@Example.org", "an@exämple.org"):
        reference = path.read(str(path.address(str(uuid.uuid4()), address)))
        assert reference is not None
        stored = cases.one("select private.address_digest(%s) as it", address)["it"]
        assert reference.address_digest == stored == digest(address)


def test_no_more_mail_goes_there_and_the_person_is_told_in_the_app_alone(
    cases: Cases, jobs: Jobs, case: OpenCase
) -> None:
    (message,) = to(sent(jobs), ADDRESS)
    assert bounce(jobs, message["id"]) == "recorded"
    assert notices(cases) == [{"user_id": case.survivor.id, "appointment_id": None}]
    move(case)
    others = sent(jobs)
    assert others, "the professional is written to as before"
    assert to(others, ADDRESS) == []
    assert not [message for message in others if message["template"] == "mail_undeliverable"]


def test_a_second_report_changes_nothing(cases: Cases, jobs: Jobs, case: OpenCase) -> None:
    (message,) = to(sent(jobs), ADDRESS)
    assert [bounce(jobs, message["id"]) for _ in range(3)] == ["recorded", "known", "known"]
    assert len(notices(cases)) == 1


def test_a_corrected_address_is_served_at_once_and_the_old_one_stays_known(
    cases: Cases, jobs: Jobs, case: OpenCase
) -> None:
    (message,) = to(sent(jobs), ADDRESS)
    bounce(jobs, message["id"])
    case.survivor.sql.execute("update public.reports set contact_email = 'new@example.org'")
    move(case)
    assert len(to(sent(jobs), "new@example.org")) == 1
    case.survivor.sql.execute("update public.reports set contact_email = %s", (ADDRESS,))
    move(case)
    assert to(sent(jobs), ADDRESS) == []


def test_a_report_about_an_address_that_was_changed_meanwhile_does_not_touch_the_new_one(
    jobs: Jobs, case: OpenCase
) -> None:
    (message,) = to(sent(jobs), ADDRESS)
    case.survivor.sql.execute("update public.reports set contact_email = 'new@example.org'")
    assert bounce(jobs, message["id"]) == "recorded"
    move(case)
    assert len(to(sent(jobs), "new@example.org")) == 1


def test_one_person_s_address_is_not_another_s(cases: Cases, jobs: Jobs, case: OpenCase) -> None:
    (message,) = to(sent(jobs), ADDRESS)
    bounce(jobs, message["id"])
    cases.accepted(contact_preference="email", contact_email=ADDRESS)
    assert len(to(sent(jobs), ADDRESS)) == 1


class TestClients:
    @pytest.fixture
    def booked(self, cases: Cases) -> Row:
        professional = cases.professional()
        row = cases.one(
            "insert into public.appointments (professional_id, appointment_date, duration_minutes, status, created_via)"
            " values (%s, private.clock() + interval '2 days', 60, 'confirmed', 'public_booking') returning *",
            professional.id,
        )
        cases.sql.execute(
            "insert into public.appointment_clients (appointment_id, client_name, client_email) values (%s, 'C', %s)",
            (row["appointment_id"], ADDRESS),
        )
        cases.sql.execute("update public.appointments set appointment_date = appointment_date + interval '1 hour'")
        return row

    def test_of_a_client_s_address_the_professional_is_told_by_mail_too(
        self, cases: Cases, jobs: Jobs, booked: Row
    ) -> None:
        message = to(sent(jobs), ADDRESS)[0]
        assert bounce(jobs, message["id"]) == "recorded"
        assert notices(cases) == [{"user_id": booked["professional_id"], "appointment_id": booked["appointment_id"]}]
        assert [told["template"] for told in sent(jobs)] == ["mail_undeliverable"]
        cases.sql.execute("update public.appointments set status = 'cancelled'")
        assert to(sent(jobs), ADDRESS) == []


def test_a_message_that_is_gone_is_unknown_and_nothing_is_written(cases: Cases, jobs: Jobs, case: OpenCase) -> None:
    sent(jobs)
    before = cases.count("public.notifications")
    assert bounce(jobs, str(uuid.uuid4())) == "unknown"
    assert cases.count("private.undeliverable_addresses") == 0
    assert cases.count("public.notifications") == before


@pytest.mark.parametrize("wrong", [None, "", "A" * 10, "a" * 9, "a" * 11, ADDRESS])
def test_an_address_is_never_stored(cases: Cases, jobs: Jobs, case: OpenCase, wrong: str | None) -> None:
    (message,) = to(sent(jobs), ADDRESS)
    with refused("invalid_input"):
        call(jobs.worker, "record_bounce", message["id"], wrong)
    with refused("invalid_input"):
        call(jobs.worker, "record_bounce", None, digest(ADDRESS))


def test_only_the_service_key_records_and_nobody_reads(cases: Cases, jobs: Jobs, case: OpenCase) -> None:
    (message,) = to(sent(jobs), ADDRESS)
    for actor in (case.survivor.sql, case.professional.sql, cases.admin(), cases.database.as_anon()):
        with forbidden():
            call(actor, "record_bounce", message["id"], digest(ADDRESS))
    assert cases.count("private.undeliverable_addresses") == 0
    for actor in (case.survivor.sql, cases.admin(), cases.database.as_anon(), jobs.worker):
        with forbidden():
            actor.execute("select * from private.undeliverable_addresses")


def test_an_export_says_that_mail_came_back_and_an_erasure_forgets_it(cases: Cases, jobs: Jobs, case: OpenCase) -> None:
    (message,) = to(sent(jobs), ADDRESS)
    bounce(jobs, message["id"])
    exported = call(case.survivor.sql, "export_my_data")
    assert [list(row) for row in exported["undeliverable_addresses"]] == [["created_at"]]
    call(case.survivor.sql, "erase_my_data")
    assert cases.count("private.undeliverable_addresses") == 0
