"""Upserts, bulk writes, orderings and provoked errors: nothing is written for others, and nothing of theirs is told."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.api import Caller, People, file_report

STORY = "canarystory"


@dataclass(frozen=True)
class Scene:
    """A survivor with a story, the professional who was asked, and somebody who writes."""

    survivor: Caller
    report: dict[str, Any]
    professional: Caller
    attacker: Caller

    def unchanged(self) -> bool:
        (row,) = self.survivor.rows("reports", report_id=f"eq.{self.report['report_id']}")
        return {name for name in row if row[name] != self.report[name]} <= {"match_status"}


@pytest.fixture
def scene(people: People) -> Scene:
    professional, survivor = people.professional(), people.user()
    report = file_report(survivor, incident_description=STORY, survivor_name=STORY)
    return Scene(survivor, report, professional, people.user())


def tells(answer: httpx.Response, scene: Scene) -> set[str]:
    hidden = (STORY, scene.survivor.id, scene.report["case_code"])
    return {value for value in hidden if value in answer.text}


@pytest.mark.parametrize("resolution", ["merge-duplicates", "ignore-duplicates"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_upsert_onto_somebody_elses_report_changes_and_tells_nothing(
    scene: Scene, method: str, resolution: str
) -> None:
    key = scene.report["report_id"]
    row = {
        "report_id": key,
        "user_id": scene.attacker.id,
        "incident_type": "other",
        "required_services": ["counseling"],
        "incident_description": "taken over",
    }
    parameters = {"report_id": f"eq.{key}"} if method == "PUT" else {"on_conflict": "report_id"}
    answer = scene.attacker.send(
        method,
        "/reports",
        params=parameters,
        json=row,
        headers={"Prefer": f"resolution={resolution}, return=representation"},
    )
    assert answer.status_code in (200, 201, 400, 401, 403, 404, 409), answer.text
    assert answer.status_code >= 400 or answer.json() == []
    assert not tells(answer, scene)
    assert scene.unchanged()
    assert scene.attacker.rows("reports") == []


@pytest.mark.parametrize(
    ("relation", "column", "value"),
    [
        ("profiles", "user_type", "admin"),
        ("professionals", "verification_status", "verified"),
        ("matched_services", "match_status_type", "accepted"),
        ("notifications", "kind", "case_closed"),
        ("consents", "purpose", "share_report"),
    ],
)
def test_an_upsert_gives_nobody_power(scene: Scene, relation: str, column: str, value: str) -> None:
    for caller in (scene.attacker, scene.professional):
        before = caller.rows(relation)
        row = {"id": before[0]["id"] if before else str(uuid.uuid4()), column: value}
        answer = caller.send("POST", f"/{relation}", json=row, headers={"Prefer": "resolution=merge-duplicates"})
        assert answer.status_code in (400, 401, 403, 409), answer.text
        assert caller.rows(relation) == before


def test_a_bulk_write_with_one_foreign_row_writes_none(scene: Scene) -> None:
    rows = [
        {"user_id": owner, "incident_type": "other", "required_services": ["counseling"]}
        for owner in (scene.attacker.id, scene.survivor.id)
    ]
    answer = scene.attacker.send("POST", "/reports", json=rows)
    assert answer.status_code == 403
    assert not tells(answer, scene)
    assert scene.attacker.rows("reports") == []
    assert len(scene.survivor.rows("reports")) == 1


@pytest.mark.parametrize(
    ("relation", "change"),
    [
        ("reports", {"incident_description": "taken over"}),
        ("profiles", {"display_name": "taken over"}),
        ("notifications", {"read_at": "2030-01-01T00:00:00Z"}),
    ],
)
def test_a_write_without_a_filter_reaches_own_rows_only(scene: Scene, relation: str, change: dict[str, Any]) -> None:
    others = {caller: caller.rows(relation) for caller in (scene.survivor, scene.professional)}
    scene.attacker.send("PATCH", f"/{relation}", json=change)
    scene.attacker.send("DELETE", f"/{relation}")
    assert {caller: caller.rows(relation) for caller in others} == others


def test_no_order_by_a_hidden_column_tells_the_story(people: People) -> None:
    professional = people.professional()
    for story in ("b", "a", "c"):
        file_report(people.user(), incident_description=story, survivor_name=story)
    for column in ("incident_description", "survivor_name", "case_code"):
        orders = [
            professional.get("matched_services", select="id,reports(*)", order=f"reports({column}).{way}").json()
            for way in ("asc", "desc")
        ]
        assert orders[0] == orders[1]
        assert all(row["reports"] is None for row in orders[0])
        assert len(orders[0]) == 3


def test_an_error_repeats_nothing_of_anybody(scene: Scene) -> None:
    (offer,) = scene.professional.rows("matched_services")
    taken = scene.professional.call("accept_match", match_id=offer["id"], mode="meet_now")
    other = file_report(scene.attacker, incident_description="another")
    (second,) = scene.professional.rows("matched_services", report_id=f"eq.{other['report_id']}")
    again = {name: scene.report[name] for name in ("report_id", "incident_type", "required_services")}
    calls = [
        scene.professional.rpc("accept_match", match_id=second["id"], mode="meet_now"),
        scene.professional.rpc(
            "accept_match", match_id=second["id"], mode="schedule_later", starts_at=taken["appointment_date"]
        ),
        scene.attacker.send("POST", "/reports", json=other | {"user_id": scene.attacker.id}),
        scene.attacker.send(
            "POST",
            "/reports",
            json=again,
        ),
        scene.attacker.send("POST", "/blocked_professionals", json={"professional_id": str(uuid.uuid4())}),
        scene.attacker.send("POST", "/messages", json={"matched_services": offer["id"], "body": "let me in"}),
    ]
    assert [call.json()["message"] for call in calls[:2]] == ["slot_taken", "slot_taken"]
    for answer in calls:
        assert answer.status_code in (400, 403, 404, 409), answer.text
        assert not tells(answer, scene)
        assert taken["appointment_id"] not in answer.text
        assert "canary" not in answer.text
