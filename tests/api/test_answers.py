"""What a function gives back tells no more than the row it is about, whatever else is asked of it."""

from __future__ import annotations

from tests.support.api import Caller, People, assert_error, file_report


def offered(people: People) -> tuple[Caller, Caller, str]:
    professional, survivor = people.professional(), people.user()
    survivor.send("PATCH", "/profiles", params={"id": f"eq.{survivor.id}"}, json={"display_name": "canary"})
    file_report(survivor, survivor_name="canary", incident_description="canary")
    (offer,) = professional.rows("matched_services")
    return professional, survivor, offer["id"]


def test_a_decline_gives_the_offer(people: People) -> None:
    professional, survivor, match_id = offered(people)
    answer = professional.send(
        "POST",
        "/rpc/decline_match?select=*,reports(*),professionals(*),support_services(*)",
        json={"match_id": match_id},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["reports"] is None
    assert "canary" not in answer.text
    assert survivor.id not in answer.text


def test_an_acceptance_gives_the_appointment(people: People) -> None:
    professional, survivor, match_id = offered(people)
    answer = professional.send(
        "POST",
        "/rpc/accept_match?select=*,matched_services(*,reports(*)),profiles!appointments_survivor_id_fkey(*)",
        json={"match_id": match_id, "mode": "meet_now"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["matched_services"]["reports"] is None
    assert answer.json()["profiles"] is None
    assert answer.json()["survivor_id"] == survivor.id
    assert "canary" not in answer.text


def test_a_withdrawn_case_gives_nothing_any_more(people: People) -> None:
    professional, survivor, match_id = offered(people)
    professional.call("accept_match", match_id=match_id, mode="meet_now")
    (report,) = survivor.rows("reports")
    survivor.call("withdraw_report", report_id=report["report_id"])
    answer = professional.rpc("open_case", match_id=match_id)
    assert_error(answer, "report_withdrawn", 409)
    assert "canary" not in answer.text
    assert survivor.rows("access_log") == []
