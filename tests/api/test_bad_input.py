"""What a broken or hostile client sends: the right error, in the right shape, and nothing written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import Caller, People, assert_error, file_report

PLAIN: dict[str, Any] = {"incident_type": "emotional", "required_services": ["counseling"], "consent_to_share": True}


@pytest.fixture
def survivor(people: People) -> Caller:
    return people.user()


@pytest.mark.parametrize(
    ("columns", "symbol"),
    [
        ({"latitude": 1, "longitude": 36}, "consent_required"),
        ({"required_services": []}, "invalid_input"),
        ({"required_services": [["counseling"]]}, "invalid_input"),
        ({"incident_description": "x" * 20001}, "invalid_input"),
        ({"incident_date": "infinity"}, "invalid_input"),
        ({"contact_email": "nobody"}, "invalid_input"),
        ({"survivor_name": "a\r\nb"}, "invalid_input"),
        ({"special_needs": [None]}, "invalid_input"),
        ({"latitude": "NaN", "longitude": 0, "consent_location": True}, "invalid_input"),
        ({"urgency": None}, "invalid_input"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_a_report_may_not_hold_is_a_registered_error(
    survivor: Caller, columns: dict[str, Any], symbol: str
) -> None:
    assert_error(survivor.send("POST", "/reports", json=PLAIN | columns), symbol, 422)
    assert survivor.rows("reports") == []


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"incident_type": "bad luck"}, "22P02"),
        ({"required_services": ["magic"]}, "22P02"),
        ({"required_services": [["counseling"], []]}, "22P02"),
        ({"urgency": "HIGH"}, "22P02"),
        ({"consent_to_share": "perhaps"}, "22P02"),
        ({"latitude": "here", "longitude": 1}, "22P02"),
        ({"incident_date": "yesterweek"}, "22007"),
        ({"incident_date": "2026-02-30"}, "22008"),
        ({"special_needs": "none"}, "22P02"),
        ({"latitude": 1e400}, ""),
    ],
    ids=str,
)
def test_what_no_type_can_hold_is_a_client_error(survivor: Caller, columns: dict[str, Any], code: str) -> None:
    if code == "":
        answer = survivor.send(
            "POST",
            "/reports",
            content=b'{"incident_type":"emotional","required_services":["counseling"],"latitude":1e400}',
            headers={"Content-Type": "application/json"},
        )
    else:
        answer = survivor.send("POST", "/reports", json=PLAIN | columns)
        assert answer.json()["code"] == code
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"code", "message", "details", "hint"}
    assert survivor.rows("reports") == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"incident_type": "emotional", "required_services": ["counseling"], "survivor_name": "a\\u0000b"}',
        b'{"incident_type": "emotional", "required_services": ["counseling"], "survivor_name": "\\ud800"}',
        b'{"incident_type": "emotional", "required_services": ["counseling"], "survivor_name": "\xff\xfe"}',
        b'{"incident_type": "emotional"',
        b"",
        b"null",
        b"[1]",
        b'"report"',
        b"[" * 10000,
    ],
    ids=lambda body: repr(body[-24:]),
)
def test_a_body_that_is_no_report_is_a_client_error(survivor: Caller, body: bytes) -> None:
    answer = survivor.send("POST", "/reports", content=body, headers={"Content-Type": "application/json"})
    # PostgREST reads a bare value as no rows at all.
    assert answer.status_code == 201 if body in (b"null", b'"report"') else 400 <= answer.status_code < 500
    assert survivor.rows("reports") == []


def test_columns_that_only_functions_set_are_refused(survivor: Caller) -> None:
    for columns in ({"status": "active"}, {"ismatched": True}, {"case_code": "X"}, {"match_status": "accepted"}):
        answer = survivor.send("POST", "/reports", json=PLAIN | columns)
        assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    answer = survivor.send("POST", "/reports", json=PLAIN | {"no_such_column": 1})
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST204")
    assert survivor.rows("reports") == []


def test_one_bad_report_in_a_batch_files_none(survivor: Caller) -> None:
    batch = [PLAIN, PLAIN, PLAIN | {"required_services": []}]
    assert_error(survivor.send("POST", "/reports", json=batch), "invalid_input", 422)
    assert survivor.rows("reports") == []


class TestUpserts:
    """`Prefer: resolution=…` must not be a way around anything."""

    def test_nobody_takes_over_anothers_report(self, people: People, survivor: Caller) -> None:
        report = file_report(survivor, survivor_name="mine", consent_to_share=False)
        thief = people.user()
        for resolution in ("merge-duplicates", "ignore-duplicates"):
            for columns in ({}, {"user_id": thief.id}, {"user_id": survivor.id}):
                answer = thief.send(
                    "POST",
                    "/reports",
                    json=PLAIN | {"report_id": report["report_id"], "survivor_name": "stolen"} | columns,
                    headers={"Prefer": f"resolution={resolution}, return=representation"},
                )
                assert "mine" not in answer.text
                assert answer.status_code >= 400 or answer.json() == []
        assert survivor.rows("reports") == [report]
        assert thief.rows("reports") == []

    def test_the_owner_does_not_rewrite_what_is_settled(self, survivor: Caller) -> None:
        report = file_report(survivor, consent_to_share=False)
        answer = survivor.send(
            "POST",
            "/reports",
            json=PLAIN | {"report_id": report["report_id"], "urgency": "high"},
            headers={"Prefer": "resolution=merge-duplicates"},
        )
        assert answer.status_code == 403
        answer = survivor.send("PUT", f"/reports?report_id=eq.{report['report_id']}", json=report | {"urgency": "high"})
        assert answer.status_code in (400, 403)
        assert survivor.rows("reports") == [report]


class TestAcceptance:
    @pytest.fixture
    def professional(self, people: People, survivor: Caller) -> Caller:
        professional = people.professional()
        file_report(survivor)
        return professional

    @pytest.mark.parametrize(
        ("arguments", "symbol"),
        [
            ({"mode": "meet_now", "duration_minutes": 29}, "invalid_duration"),
            ({"mode": "meet_now", "duration_minutes": 121}, "invalid_duration"),
            ({"mode": "schedule_later"}, "invalid_input"),
            ({"mode": "schedule_later", "starts_at": "infinity"}, "invalid_input"),
            ({"mode": "schedule_later", "starts_at": "2020-01-01T10:00:00Z"}, "in_the_past"),
            ({"mode": "whenever"}, "invalid_input"),
            ({"mode": None}, "invalid_input"),
        ],
        ids=str,
    )
    def test_a_time_that_cannot_be_leaves_the_offer_open(
        self, professional: Caller, arguments: dict[str, Any], symbol: str
    ) -> None:
        (offer,) = professional.rows("matched_services")
        assert_error(professional.rpc("accept_match", match_id=offer["id"], **arguments), symbol, 422)
        assert professional.rows("matched_services") == [offer]
        assert professional.rows("appointments") == []
        assert_error(professional.rpc("open_case", match_id=offer["id"]), "case_not_open", 409)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"match_id": "me", "mode": "meet_now"},
            {"match_id": 7, "mode": "meet_now"},
            {"mode": "schedule_later", "starts_at": "soon"},
            {"mode": "meet_now", "duration_minutes": "an hour"},
            {"mode": "meet_now", "duration_minutes": 1e12},
            {"mode": "meet_now", "duration_minutes": 60.5},
            {"mode": "meet_now", "surprise": True},
        ],
        ids=str,
    )
    def test_arguments_of_the_wrong_type_are_client_errors(
        self, professional: Caller, arguments: dict[str, Any]
    ) -> None:
        (offer,) = professional.rows("matched_services")
        answer = professional.send("POST", "/rpc/accept_match", json={"match_id": offer["id"]} | arguments)
        assert answer.status_code in (400, 404), answer.text
        assert professional.rows("matched_services") == [offer]

    def test_an_offer_cannot_be_taken_by_writing_it(self, professional: Caller) -> None:
        (offer,) = professional.rows("matched_services")
        for method in ("PATCH", "PUT", "DELETE", "POST"):
            answer = professional.send(
                method, f"/matched_services?id=eq.{offer['id']}", json=offer | {"match_status_type": "accepted"}
            )
            assert answer.status_code in (400, 403), (method, answer.text)
        assert professional.rows("matched_services") == [offer]

    def test_a_foreign_offer_and_no_offer_are_the_same_answer(self, people: People, professional: Caller) -> None:
        (offer,) = professional.rows("matched_services")
        stranger = people.professional("legal_aid")
        answers = [
            stranger.rpc("accept_match", match_id=match_id, mode="meet_now")
            for match_id in (offer["id"], "00000000-0000-4000-8000-000000000000")
        ]
        for answer in answers:
            assert_error(answer, "not_found", 404)
        assert answers[0].text == answers[1].text

    def test_a_taken_hour_is_a_conflict_that_names_nobody(
        self, people: People, professional: Caller, survivor: Caller
    ) -> None:
        file_report(people.user())
        first, second = professional.rows("matched_services")
        appointment = professional.call("accept_match", match_id=first["id"], mode="meet_now")
        answer = professional.rpc("accept_match", match_id=second["id"], mode="meet_now")
        assert_error(answer, "slot_taken", 409)
        assert appointment["appointment_id"] not in answer.text
        assert survivor.id not in answer.text
