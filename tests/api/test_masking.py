"""Everything that PostgREST can be asked, asked by people who may know the masked facts or nothing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.api import Caller, People, file_report

STORY: dict[str, Any] = {
    "incident_description": "canarystory",
    "incident_date": "1987-06-05",
    "survivor_name": "Canaryname",
    "contact_email": "canarymail@canary.example",
    "contact_phone": "+254 700 314159",
    "contact_preference": "phone_call",
    "safe_contact_from": "03:33:31",
    "safe_contact_until": "04:44:41",
    "emergency_contact": "canarysister",
    "preferred_language": "canarytongue",
    "preferred_professional_gender": "non_binary",
    "special_needs": ["canaryneed"],
    "consent_location": True,
    "latitude": -1.2718281,
    "longitude": 36.8314159,
}
TRACES = ("canary", "1987-06-05", "314159", "03:33:31", "04:44:41", "2718281", "phone_call", "non_binary")
RELATIONS = (
    "profiles",
    "professionals",
    "support_services",
    "reports",
    "matched_services",
    "match_breakdowns",
    "report_progress",
    "appointments",
    "notifications",
    "access_log",
    "escalations",
    "blocked_professionals",
    "availability_rules",
    "availability_exceptions",
    "calendar_connections",
    "calendar_events",
    "google_calendar_events",
    "calendar_busy",
)


@dataclass(frozen=True)
class Scene:
    """A planted report with one pending offer, and who looks at it."""

    survivor: Caller
    report: dict[str, Any]
    professional: Caller
    match_id: str
    onlookers: dict[str, Caller]

    def traces(self, answer: httpx.Response) -> set[str]:
        """What of the story is in an answer, headers included."""
        text = f"{answer.headers} {answer.text}".lower()
        hidden = (*TRACES, self.report["case_code"], self.survivor.id)
        return {trace for trace in hidden if trace.lower() in text}


@pytest.fixture(scope="module")
def scene(audience: People) -> Scene:
    """Nobody changes it."""
    people = audience
    professional = people.professional()
    survivor = people.user()
    report = file_report(survivor, **STORY, gender="female", age_category="adult", urgency="high")
    (offer,) = professional.rows("matched_services")
    onlookers = {
        "asked": professional,
        "not asked": people.professional("legal_aid"),
        "unverified": people.professional(verified=False),
        "another survivor": people.user(),
        "anonymous": people.user(anonymous=True),
        "administrator": people.admin(),
        "visitor": people.visitor(),
    }
    return Scene(survivor, report, professional, offer["id"], onlookers)


def test_the_professional_who_is_asked_sees_the_masked_facts(scene: Scene) -> None:
    (offer,) = scene.professional.rows("matched_services")
    assert (offer["gender"], offer["age_category"], offer["incident_type"]) == ("female", "adult", "emotional")
    assert (offer["service_type"], offer["urgency"], offer["match_status_type"]) == ("counseling", "high", "pending")


def test_no_relation_read_whole_tells_the_story(scene: Scene) -> None:
    for (who, actor), relation in itertools.product(scene.onlookers.items(), RELATIONS):
        for query, accept in (
            ("", "application/json"),
            ("?order=created_at&limit=1", "text/csv"),
            ("?select=*", "application/vnd.pgrst.object+json"),
        ):
            answer = actor.send("GET", f"/{relation}{query}", headers={"Accept": accept})
            assert not scene.traces(answer), (who, relation, answer.text)
            if who not in ("asked", "administrator"):
                assert scene.report["report_id"] not in answer.text, (who, relation)
                assert scene.match_id not in answer.text, (who, relation)


def test_embedding_the_report_gives_nothing(scene: Scene) -> None:
    for who, actor in scene.onlookers.items():
        for query in (
            "/matched_services?select=*,reports(*)",
            "/matched_services?select=id,reports!matched_services_report_id_fkey(survivor_name)",
            "/matched_services?select=id,report:report_id(*)",
            "/matched_services?select=id,...reports(survivor_name,contact_phone)",
            "/matched_services?select=id,reports(profiles(*))",
            "/matched_services?select=id,support_services(matched_services(reports(*)))",
            "/professionals?select=*,matched_services(*,reports(*))",
            "/profiles?select=*,reports(*)",
            "/notifications?select=*,reports(*),matched_services(*,reports(*))",
            "/appointments?select=*,matched_services(reports(*))",
            "/escalations?select=*,reports(*)",
        ):
            answer = actor.send("GET", query)
            assert not scene.traces(answer), (who, query, answer.text)
    (row,) = scene.professional.rows("matched_services", select="id,reports(survivor_name)")
    assert row == {"id": scene.match_id, "reports": None}


def test_no_filter_on_the_report_can_be_answered(scene: Scene) -> None:
    actor = scene.professional
    for column, value in STORY.items():
        if isinstance(value, list):
            right = f"cs.{{{','.join(value)}}}"
        else:
            right = f"eq.{str(value).lower() if isinstance(value, bool) else value}"
        for condition in (right, "not.is.null", "is.null"):
            assert actor.rows("reports", select="report_id", **{column: condition}) == [], column
            inner = actor.rows(
                "matched_services", select="id,reports!inner(report_id)", **{f"reports.{column}": condition}
            )
            assert inner == [], column
    assert actor.rows("matched_services", select="id,reports!inner(report_id)") == []
    assert len(actor.rows("matched_services", select="id,reports(report_id)", order="reports(report_id)")) == 1


@pytest.mark.parametrize("kind", ["exact", "planned", "estimated"])
def test_no_count_moves_with_the_story(scene: Scene, kind: str) -> None:
    for who, actor in scene.onlookers.items():
        for column in ("survivor_name", "contact_phone", "contact_email", "incident_description", "preferred_language"):
            totals = set()
            for value in (STORY[column], "nothing like it"):
                answer = actor.send(
                    "HEAD", "/reports", params={column: f"eq.{value}"}, headers={"Prefer": f"count={kind}"}
                )
                totals.add(answer.headers.get("Content-Range", "").partition("/")[2])
            assert len(totals) == 1, (who, column, totals)
        if kind == "exact" and who != "visitor":
            answer = actor.send("GET", "/reports", headers={"Prefer": "count=exact"})
            assert answer.headers["Content-Range"] == "*/0", who


def test_aggregates_plans_and_other_schemas_are_closed(scene: Scene) -> None:
    for actor in scene.onlookers.values():
        for query in (
            "/reports?select=count()",
            "/reports?select=survivor_name.max()",
            "/matched_services?select=count()",
        ):
            answer = actor.send("GET", query)
            assert answer.status_code >= 400 or answer.json() in ([], [{"count": 0}], [{"count": 1}], [{"max": None}])
            assert not scene.traces(answer)
        for accept in ("application/vnd.pgrst.plan+json", "application/vnd.pgrst.plan+text; options=analyze|verbose"):
            assert actor.send("GET", "/matched_services", headers={"Accept": accept}).status_code >= 400
        for schema in ("private", "auth", "realtime", "pg_catalog", "information_schema", "extensions"):
            for relation in ("users", "reports", "outbox_jobs", "access_log_entries", "messages", "pg_stats"):
                answer = actor.send("GET", f"/{relation}", headers={"Accept-Profile": schema})
                assert answer.status_code == 406, (schema, relation)
            answer = actor.send("POST", "/rpc/open_case", json={}, headers={"Content-Profile": schema})
            assert answer.status_code == 406


def test_the_functions_of_the_case_tell_onlookers_nothing(scene: Scene) -> None:
    ids = (scene.match_id, scene.report["report_id"], scene.survivor.id)
    functions = {
        "open_case": "match_id",
        "complete_case": "match_id",
        "dispute_completion": "match_id",
        "request_support": "report_id",
        "withdraw_report": "report_id",
        "confirm_appointment": "appointment_id",
        "complete_appointment": "appointment_id",
        "cancel_appointment": "appointment_id",
        "delete_calendar_connection": "connection_id",
    }
    for (who, actor), (function, argument), value in itertools.product(scene.onlookers.items(), functions.items(), ids):
        answer = actor.send("POST", f"/rpc/{function}?select=*", json={argument: value})
        assert 400 <= answer.status_code < 500, (who, function, answer.text)
        assert not scene.traces(answer), (who, function)


def test_the_description_of_the_api_names_nothing_private(scene: Scene) -> None:
    for actor in scene.onlookers.values():
        answer = actor.send("GET", "/")
        described = set(answer.json()["definitions"])
        assert not described & {"outbox_jobs", "calendar_credentials", "access_log_entries", "matching_settings"}
        assert not scene.traces(answer) - {"phone_call", "non_binary"}
