"""The search for what tells anything of a report finds it, wherever it stands."""

from __future__ import annotations

from typing import Any

import pytest

from sauti_local.demo.secrecy import leaks, telling

REPORT = {
    "report_id": "0f0f0f0f-0000-4000-8000-000000000001",
    "case_code": "LUMO-KITA-42",
    "user_id": "0f0f0f0f-0000-4000-8000-000000000002",
    "incident_type": "stalking",
    "incident_description": "He waits at the gate. I changed my way home three times.",
    "urgency": "high",
    "required_services": ["counseling"],
    "gender": "female",
    "age_category": "adult",
    "survivor_name": "Amani Chebet",
    "contact_email": "quiet-river@post.example",
    "emergency_contact": None,
    "latitude": -1.28642,
    "status": "pending",
    "consent_to_share": True,
}


def found(seen: Any) -> list[str]:
    return leaks(telling(REPORT).values(), seen)


def test_masked_facts_keys_and_states_tell_nothing() -> None:
    assert set(telling(REPORT)) == {
        "case_code", "user_id", "incident_description", "survivor_name", "contact_email", "latitude",
    }  # fmt: skip
    assert (
        found({"incident_type": "stalking", "gender": "female", "id": REPORT["report_id"], "status": "pending"}) == []
    )


def test_a_column_nobody_thought_of_tells() -> None:
    assert telling(REPORT | {"shoe_colour": "crimson"})["shoe_colour"] == ["crimson"]


@pytest.mark.parametrize(
    "seen",
    [
        "He waits at the gate. I changed my way home three times.",
        {"note": "she said: i changed my way home three times"},
        [{"deep": [{"er": ["AMANI"]}]}],
        {"Chebet": 1},
        {"mail": "quiet-river"},
        {"place": {"y": -1.28642}},
        "about LUMO-KITA-42.",
        REPORT["user_id"],
    ],
)
def test_a_piece_is_found_wherever_it_stands(seen: Any) -> None:
    assert found(seen)


@pytest.mark.parametrize("seen", [None, [], {}, 0, True, "Aman", "-1.28", {"at": "the gate"}])
def test_what_tells_nothing_is_not_found(seen: Any) -> None:
    assert found(seen) == []
