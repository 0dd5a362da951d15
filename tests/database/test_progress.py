"""The survivor always knows how far the case has come, and nobody else does."""

from __future__ import annotations

import uuid

from tests.support.cases import Cases, Row, Survivor, accept, call
from tests.support.refusals import forbidden


def progress(survivor: Survivor) -> Row:
    (row,) = survivor.sql.execute("select * from public.report_progress").fetchall()
    return row


def test_the_stages_of_a_case_in_their_order(cases: Cases) -> None:
    survivor = cases.survivor()
    report_id = cases.file_report(survivor, consent_to_share=False)
    assert progress(survivor)["stage"] == "created"
    assert progress(survivor)["services"] == {"counseling": "created"}

    professional = cases.professional()
    call(survivor.sql, "request_support", report_id)
    assert progress(survivor)["stage"] == "matched"

    match_id = cases.offer(report_id, professional)["id"]
    appointment = accept(professional.sql, match_id)
    told = progress(survivor)
    assert told["stage"] == "accepted_scheduled"
    assert told["next_appointment_id"] == appointment["appointment_id"]
    assert told["next_appointment_date"] == appointment["appointment_date"]
    assert told["completed_sessions"] == 0

    cases.pass_time(hours=2)
    call(professional.sql, "complete_appointment", appointment["appointment_id"])
    told = progress(survivor)
    assert (told["stage"], told["completed_sessions"], told["next_appointment_id"]) == ("session_completed", 1, None)

    call(professional.sql, "complete_case", match_id)
    assert progress(survivor)["stage"] == "awaiting_confirmation"
    call(survivor.sql, "dispute_completion", match_id)
    assert progress(survivor)["stage"] == "session_completed"

    call(professional.sql, "complete_case", match_id)
    call(survivor.sql, "complete_case", match_id)
    told = progress(survivor)
    assert (told["stage"], told["services"]) == ("archived", {"counseling": "archived"})


def test_an_escalated_and_a_withdrawn_report_say_so(cases: Cases) -> None:
    survivor = cases.survivor()
    report_id = cases.file_report(survivor)
    assert (progress(survivor)["stage"], progress(survivor)["services"]) == ("escalated", {"counseling": "escalated"})
    call(survivor.sql, "withdraw_report", report_id)
    assert (progress(survivor)["stage"], progress(survivor)["services"]) == ("withdrawn", {"counseling": "withdrawn"})


def test_a_report_that_found_somebody_after_all_says_so(cases: Cases) -> None:
    survivor = cases.survivor()
    report_id = cases.file_report(survivor)
    assert progress(survivor)["stage"] == "escalated"
    professional = cases.professional()
    assert (progress(survivor)["stage"], progress(survivor)["services"]) == ("matched", {"counseling": "matched"})
    call(professional.sql, "decline_match", cases.offer(report_id, professional)["id"])
    assert (progress(survivor)["stage"], progress(survivor)["services"]) == ("escalated", {"counseling": "escalated"})


def test_silence_is_told_even_while_somebody_is_still_asked(cases: Cases) -> None:
    cases.sql.execute("update private.matching_settings set offer_ttl_others = '9 days'")
    survivor = cases.survivor()
    cases.professional()
    cases.file_report(survivor)
    cases.pass_time(hours=25)
    cases.run_due_timers()
    assert (progress(survivor)["stage"], progress(survivor)["services"]) == ("escalated", {"counseling": "escalated"})


def test_each_service_has_its_own_stage(cases: Cases) -> None:
    survivor = cases.survivor()
    counselor = cases.professional()
    cases.professional(service_type="legal_aid")
    report_id = cases.file_report(survivor, required_services=["counseling", "legal_aid", "shelter"])
    accept(counselor.sql, cases.offer(report_id, counselor)["id"])
    told = progress(survivor)
    assert told["services"] == {"counseling": "accepted_scheduled", "legal_aid": "matched", "shelter": "escalated"}
    assert told["stage"] == "accepted_scheduled"


def test_the_next_appointment_is_the_soonest_live_one_to_come(cases: Cases) -> None:
    case = cases.accepted()
    call(case.professional.sql, "cancel_appointment", case.appointment["appointment_id"])
    assert progress(case.survivor)["next_appointment_id"] is None
    cases.sql.execute(
        "insert into public.appointments (professional_id, survivor_id, matched_services, appointment_date, status,"
        " created_via) select %s, %s, %s, private.clock() + n * interval '1 day', 'confirmed', 'follow_up'"
        " from generate_series(-1, 3) as n",
        (case.professional.id, case.survivor.id, case.match_id),
    )
    told = progress(case.survivor)
    assert told["next_appointment_date"] == cases.now()


def test_nobody_else_reads_it(cases: Cases) -> None:
    case = cases.accepted()
    for actor in (case.professional.sql, cases.survivor().sql, cases.admin()):
        assert actor.execute("select * from public.report_progress").fetchall() == []
        told = actor.execute("select private.service_stages(%s) as stages", (case.report_id,)).fetchall()
        assert told == [{"stages": None}]
    for actor in (cases.database.as_anon(), cases.database.as_service()):
        with forbidden():
            actor.execute("select * from public.report_progress")
    assert progress(case.survivor)["report_id"] == case.report_id
    assert isinstance(case.report_id, uuid.UUID)
