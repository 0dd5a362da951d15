"""However the door is asked to open over HTTP, whoever reads the story leaves an entry in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.api import Caller, People, file_report


@dataclass(frozen=True)
class Scene:
    survivor: Caller
    professional: Caller
    match_id: str

    def entries(self) -> int:
        return len(self.survivor.rows("access_log"))


@pytest.fixture(scope="module")
def scene(audience: People) -> Scene:
    """An accepted case that the tests share: each counts the entries that it makes."""
    professional, survivor = audience.professional(), audience.user()
    file_report(survivor, survivor_name="Canaryname", incident_description="canarystory")
    (offer,) = professional.rows("matched_services")
    professional.call("accept_match", match_id=offer["id"], mode="meet_now")
    return Scene(survivor, professional, offer["id"])


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("", {"Prefer": "tx=rollback"}),
        ("", {"Prefer": "tx=rollback, handling=lenient, return=minimal"}),
        ("", {"Prefer": "handling=strict, tx=rollback"}),
        ("", {"Prefer": "params=single-object"}),
        ("", {"Prefer": "count=exact"}),
        ("", {"Range-Unit": "items", "Range": "5-9"}),
        ("", {"Accept": "text/csv"}),
        ("", {"Accept": "application/vnd.pgrst.object+json"}),
        ("", {"Accept": "application/vnd.pgrst.plan+json; options=analyze|verbose|buffers"}),
        ("", {"Accept": "application/octet-stream"}),
        ("", {"Accept": "application/geo+json"}),
        ("?select=pgrst_scalar", {}),
        ("?select=pgrst_scalar::text", {}),
        ("?select=pgrst_scalar::int", {}),
        ("?select=pgrst_scalar::xml", {}),
        ("?select=pgrst_scalar->>survivor_name::int", {}),
        ("?select=pgrst_scalar->survivor_name::int", {}),
        ("?select=x:pgrst_scalar->>survivor_name", {}),
        ("?select=survivor_name", {}),
        ("?pgrst_scalar->>survivor_name=gt.1", {}),
        ("?pgrst_scalar->>survivor_name=eq.nobody", {}),
        ("?pgrst_scalar=cs.{}", {}),
        ("?pgrst_scalar->>survivor_name=match.(", {}),
        ("?order=pgrst_scalar", {}),
        ("?limit=0", {}),
        ("?offset=1", {}),
        ("?columns=match_id", {}),
    ],
)
def test_there_is_no_reading_without_an_entry(scene: Scene, query: str, headers: dict[str, str]) -> None:
    before = scene.entries()
    answer = scene.professional.send(
        "POST", f"/rpc/open_case{query}", json={"match_id": scene.match_id}, headers=headers
    )
    read = "canary" in f"{answer.headers} {answer.text}".lower()
    assert answer.status_code < 500
    assert not read or scene.entries() == before + 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_cannot_be_fetched(scene: Scene, method: str) -> None:
    before = scene.entries()
    answer = scene.professional.send(method, "/rpc/open_case", params={"match_id": scene.match_id})
    assert answer.status_code == 405
    assert "canary" not in answer.text
    assert scene.entries() == before


@pytest.mark.parametrize("body", [{}, {"match_id": None}, {"match": 1}, [], [1], "x", None])
def test_a_senseless_call_opens_nothing(scene: Scene, body: Any) -> None:
    before = scene.entries()
    answer = scene.professional.send("POST", "/rpc/open_case", json=body)
    assert 400 <= answer.status_code < 500
    assert scene.entries() == before
