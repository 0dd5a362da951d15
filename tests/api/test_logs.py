"""No log of the stack becomes a copy of somebody's story, whatever goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sauti_local.stack import Stack
from tests.support.api import People, file_report

STORY: dict[str, Any] = {
    "survivor_name": "Canaryname",
    "incident_description": "canarystory",
    "contact_email": "canarymail@canary.example",
    "emergency_contact": "canarysister",
}


def sizes(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def written_since(before: dict[Path, int], folder: Path) -> str:
    text = ""
    for path in sizes(folder):
        with path.open("rb") as log:
            log.seek(before.get(path, 0))
            text += log.read().decode(errors="replace")
    return text


def test_neither_a_good_report_nor_a_bad_one_is_logged(stack: Stack, people: People) -> None:
    before = sizes(stack.addresses.logs)
    professional, survivor = people.professional(), people.user()
    plain = {"incident_type": "emotional", "required_services": ["counseling"]}
    file_report(survivor, **STORY)
    mistakes: tuple[dict[str, Any], ...] = (
        {"required_services": []},
        {"survivor_name": "canary\n"},
        {"contact_email": "canary"},
        {"emergency_contact": "canary" * 100},
        {"incident_description": "canary" * 5000},
        {"latitude": 1},
        {"incident_date": "infinity"},
    )
    for wrong in mistakes:
        answer = survivor.send("POST", "/reports", json=plain | STORY | wrong)
        assert answer.status_code == 422
        assert "canary" not in answer.text.lower()
    (report,) = survivor.rows("reports")
    taken = survivor.send("POST", "/reports", json=plain | STORY | {"report_id": report["report_id"]})
    assert (taken.status_code, "canary" in taken.text.lower()) == (409, False)
    survivor.send(
        "PATCH", "/reports", params={"report_id": f"eq.{report['report_id']}"}, json={"contact_email": "canary"}
    )
    (offer,) = professional.rows("matched_services")
    professional.call("accept_match", match_id=offer["id"], mode="meet_now")
    assert professional.call("open_case", match_id=offer["id"])["survivor_name"] == "Canaryname"
    professional.call("complete_case", match_id=offer["id"])
    logged = written_since(before, stack.addresses.logs).lower()
    assert "canary" not in logged
