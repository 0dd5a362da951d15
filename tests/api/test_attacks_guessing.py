"""Somebody else's id and one that does not exist are one answer, in words and in time, whatever function is asked."""

from __future__ import annotations

import statistics
import time
import uuid
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from sauti_local.stack import Stack
from tests.support.api import Caller, People, file_report

#: A value for every other argument that a function must have.
VALUES: dict[str, Any] = {
    "text": "meet_now",
    "integer": 60,
    "boolean": True,
    "jsonb": {},
    "date": "2031-01-06",
    "timestamp with time zone": "2031-01-06T09:00:00Z",
    "verification_status": "verified",
}
_ROUNDS = 25


@dataclass(frozen=True)
class Scene:
    """An accepted case with an appointment, and everybody who has no part in it."""

    ids: dict[str, str]
    outsiders: dict[str, Caller]


@pytest.fixture(scope="module")
def scene(audience: People, stack: Stack) -> Scene:
    professional, survivor = audience.professional(), audience.user()
    report = file_report(survivor)
    (offer,) = professional.rows("matched_services")
    appointment = professional.call("accept_match", match_id=offer["id"], mode="meet_now")
    colleague = audience.professional()
    (service,) = colleague.rows("support_services")
    hand_over = professional.call("request_hand_over", match_id=offer["id"], service_id=service["id"])
    with psycopg.connect(stack.addresses.db_url, autocommit=True) as connection:
        (connected,) = connection.execute(
            "insert into public.calendar_connections (user_id, provider, account_label, calendar_id)"
            " values (%s, 'caldav', 'mine', 'https://calendar.example/mine/') returning id::text",
            (professional.id,),
        ).fetchall()
    ids = {
        "hand_over_id": hand_over["id"],
        "connection_id": connected[0],
        "match_id": offer["id"],
        "report_id": report["report_id"],
        "appointment_id": appointment["appointment_id"],
        "professional_id": professional.id,
        "service_id": offer["service_id"],
        "user_id": survivor.id,
    }
    outsiders = {
        "another professional": audience.professional("legal_aid"),
        "an unverified professional": audience.professional("medical", verified=False),
        "another survivor": audience.user(),
        "an anonymous user": audience.user(anonymous=True),
        "a visitor": audience.visitor(),
    }
    return Scene(ids, outsiders)


def functions(stack: Stack) -> list[tuple[str, dict[str, str]]]:
    """Functions of the API that take an id and that a client may call: name, arguments without a default."""
    with psycopg.connect(stack.addresses.db_url) as connection:
        rows = connection.execute(
            "select p.proname, p.proargnames[1:p.pronargs], array(select format_type(t, null)"
            " from unnest(p.proargtypes) as t), p.pronargs - p.pronargdefaults from pg_proc p"
            " where p.pronamespace = 'public'::regnamespace"
            " and has_function_privilege('authenticated', p.oid, 'execute')"
            " and 'uuid'::regtype = any (p.proargtypes) order by 1"
        ).fetchall()
    return [(name, dict(list(zip(names, types, strict=True))[:needed])) for name, names, types, needed in rows]


def arguments(needed: dict[str, str], ids: dict[str, str]) -> dict[str, Any]:
    """What to call a function with."""
    return {
        name: ids[name] if kind == "uuid" else VALUES[kind.removeprefix("public.")] for name, kind in needed.items()
    }


def test_a_foreign_id_is_answered_as_one_that_does_not_exist(stack: Stack, scene: Scene) -> None:
    asked = functions(stack)
    assert len(asked) > 12
    ids = {argument for _, needed in asked for argument, kind in needed.items() if kind == "uuid"}
    assert ids - scene.ids.keys() == set(), "an id that nobody has to guess"
    made_up = {name: str(uuid.uuid4()) for name in scene.ids}
    for name, needed in asked:
        for who, caller in scene.outsiders.items():
            foreign = caller.rpc(name, **arguments(needed, scene.ids))
            missing = caller.rpc(name, **arguments(needed, made_up))
            assert (foreign.status_code, foreign.text) == (missing.status_code, missing.text), (name, who)
            assert not {value for value in scene.ids.values() if value in foreign.text}, (name, who)


@pytest.mark.parametrize(
    "relation", ["reports", "matched_services", "appointments", "profiles", "messages", "consents"]
)
def test_a_foreign_row_is_answered_as_one_that_does_not_exist(scene: Scene, relation: str) -> None:
    key = {"reports": "report_id", "matched_services": "match_id", "appointments": "appointment_id"}.get(
        relation, "user_id"
    )
    column = {"match_id": "id", "user_id": "id"}.get(key, key)
    for who, caller in scene.outsiders.items():
        foreign = caller.get(relation, **{column: f"eq.{scene.ids[key]}"})
        missing = caller.get(relation, **{column: f"eq.{uuid.uuid4()}"})
        assert (foreign.status_code, foreign.text) == (missing.status_code, missing.text), who


@pytest.mark.parametrize(
    ("function", "extra"),
    [
        ("open_case", {}),
        ("accept_match", {"mode": "meet_now"}),
        ("complete_case", {}),
        ("cancel_appointment", {}),
        ("withdraw_report", {}),
    ],
)
def test_time_does_not_tell_a_foreign_id_from_a_missing_one(scene: Scene, function: str, extra: dict[str, Any]) -> None:
    # A coarse band: what differs by less drowns in the noise of any network.
    name = {"cancel_appointment": "appointment_id", "withdraw_report": "report_id"}.get(function, "match_id")
    caller = scene.outsiders["another professional"]
    taken: dict[str, list[float]] = {"foreign": [], "missing": []}
    for _ in range(_ROUNDS):
        for kind, value in (("foreign", scene.ids[name]), ("missing", str(uuid.uuid4()))):
            begun = time.perf_counter()
            answer = caller.rpc(function, **{name: value}, **extra)
            taken[kind].append(time.perf_counter() - begun)
            assert answer.json()["message"] == "not_found"
    fast, slow = sorted(statistics.median(times) for times in taken.values())
    assert slow - fast < max(0.01, fast), taken
