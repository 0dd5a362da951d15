"""No token but a true one gives anything, and a true one gives no more than its owner has."""

from __future__ import annotations

import time
import uuid

import httpx
import jwt
import pytest

from sauti_local.stack import Stack
from tests.support.api import Caller, People, assert_error, file_report


@pytest.fixture
def survivor(people: People) -> Caller:
    survivor = people.user()
    file_report(survivor, consent_to_share=False)
    return survivor


@pytest.mark.parametrize(
    "forgery",
    [
        {"secret": "a secret of somebody else, long enough"},
        {"algorithm": "none"},
        {"exp": 1},
        {"algorithm": "HS512", "secret": "a secret of somebody else, long enough for sixty-four bytes of key material"},
    ],
    ids=str,
)
@pytest.mark.parametrize("role", ["authenticated", "service_role", "postgres"])
def test_a_forged_or_expired_token_reads_nothing(
    people: People, survivor: Caller, forgery: dict[str, object], role: str
) -> None:
    token = people.token(sub=survivor.id, role=role, **forgery)  # type: ignore[arg-type]
    caller = people.with_token(token)
    for answer in (caller.get("reports"), caller.rpc("claim_jobs", worker_id="w", max_jobs=1, lease_seconds=1)):
        assert answer.status_code == 401, answer.text
        assert set(answer.json()) == {"code", "message", "details", "hint"}


@pytest.mark.parametrize("role", ["postgres", "supabase_admin", "authenticator", "nobody", "supabase_auth_admin"])
def test_even_a_signed_token_becomes_no_role_outside_the_api(people: People, survivor: Caller, role: str) -> None:
    answer = people.with_token(people.token(sub=survivor.id, role=role)).get("reports")
    assert answer.status_code in (400, 401, 403), answer.text
    assert "report_id" not in answer.text


def test_a_tampered_token_is_worth_nothing(people: People, survivor: Caller) -> None:
    assert survivor.user
    head, body, signature = survivor.user.access_token.split(".")
    claims = jwt.decode(survivor.user.access_token, options={"verify_signature": False})
    forged = jwt.encode(claims | {"role": "service_role"}, "x" * 40, algorithm="HS256").split(".")[1]
    for token in (f"{head}.{forged}.{signature}", f"{head}.{body}.", f"{head}.{body}", "nonsense"):
        assert people.with_token(token).get("reports").status_code == 401


def test_no_metadata_makes_anybody_more(stack: Stack, people: People) -> None:
    caller = people.user()
    assert caller.user
    url = f"{stack.addresses.api_url}/auth/v1"
    claimed = {
        "data": {"user_type": "admin", "role": "service_role", "verification_status": "verified"},
        "app_metadata": {"role": "service_role", "user_type": "admin"},
        "role": "service_role",
    }
    httpx.put(f"{url}/user", json=claimed, headers=caller.user.headers, trust_env=False)
    refreshed = httpx.post(
        f"{url}/token?grant_type=refresh_token",
        json={"refresh_token": caller.user.refresh_token},
        headers={"apikey": stack.addresses.anon_key},
        trust_env=False,
    ).json()
    claims = jwt.decode(refreshed["access_token"], options={"verify_signature": False})
    assert claims["role"] == "authenticated"
    assert "role" not in claims["app_metadata"]
    risen = people.with_token(refreshed["access_token"])
    (profile,) = risen.rows("profiles")
    assert profile["user_type"] == "survivor"
    assert risen.rows("escalations") == []
    assert risen.rpc("run_due_timers").status_code == 403


def test_claims_in_a_true_token_that_name_power_give_none(people: People) -> None:
    # As if Auth were told to write them: our rules read the profile, never the metadata.
    caller = people.user()
    token = people.token(
        sub=caller.id,
        role="authenticated",
        user_metadata={"user_type": "admin"},
        app_metadata={"user_type": "admin", "role": "service_role"},
        user_type="admin",
    )
    risen = people.with_token(token)
    file_report(people.user(), required_services=["shelter"])
    assert risen.rows("escalations") == []
    assert risen.rows("match_breakdowns") == []


def test_a_token_without_a_user_is_nobody(people: People, survivor: Caller) -> None:
    (report,) = survivor.rows("reports")
    caller = people.with_token(people.token(role="authenticated"))
    assert caller.rows("reports") == []
    assert_error(caller.rpc("withdraw_report", report_id=report["report_id"]), "not_authenticated", 401)


@pytest.mark.parametrize("subject", ["", "' or true --", "00000000-0000-0000-0000-00000000000"])
def test_a_subject_that_is_no_id_is_an_error_of_the_caller(people: People, survivor: Caller, subject: str) -> None:
    answer = people.with_token(people.token(role="authenticated", sub=subject)).get("reports")
    assert 400 <= answer.status_code < 500
    assert "report_id" not in answer.text


def test_a_visitor_is_told_to_sign_in(people: People) -> None:
    visitor = people.visitor()
    for function, arguments in (
        ("open_case", {"match_id": "00000000-0000-0000-0000-000000000000"}),
        ("accept_match", {"match_id": "00000000-0000-0000-0000-000000000000", "mode": "meet_now"}),
        ("complete_case", {"match_id": "00000000-0000-0000-0000-000000000000"}),
        ("withdraw_report", {"report_id": "00000000-0000-0000-0000-000000000000"}),
    ):
        assert_error(visitor.rpc(function, **arguments), "not_authenticated", 401)


def test_queue_functions_are_for_the_service_key(people: People) -> None:
    for caller in (people.user(), people.professional(), people.admin(), people.visitor()):
        for function, arguments in (
            ("claim_jobs", {"worker_id": "w", "max_jobs": 1, "lease_seconds": 60}),
            ("run_due_timers", {}),
            ("list_jobs", {}),
            ("retry_jobs", {}),
            ("outbox_statistics", {}),
            ("job_context", {"job_id": 1, "lease_token": "00000000-0000-0000-0000-000000000000"}),
        ):
            answer = caller.rpc(function, **arguments)
            assert answer.status_code in (401, 403), (function, answer.text)
    assert people.service().rpc("outbox_statistics").status_code == 200


def test_a_token_is_good_until_it_expires(people: People, survivor: Caller) -> None:
    soon = people.with_token(people.token(sub=survivor.id, role="authenticated", exp=int(time.time()) + 60))
    assert len(soon.rows("reports")) == 1


@pytest.mark.parametrize("prefer", ["return=minimal", "return=representation"])
@pytest.mark.parametrize("share", [True, False], ids=["shared", "recorded"])
def test_the_token_of_an_account_that_is_gone_files_nothing(people: People, share: bool, prefer: str) -> None:
    """The key to the profile is checked at commit, when the answer has been made already."""
    people.professional()
    stranger = people.with_token(people.token(sub=str(uuid.uuid4()), role="authenticated"))
    report = {"incident_type": "stalking", "required_services": ["counseling"], "consent_to_share": share}
    answer = stranger.send("POST", "/reports", json=report, headers={"Prefer": prefer})
    assert (answer.status_code, answer.json()["code"]) == (409, "23503"), answer.text
    assert people.service().rows("matched_services") == []
    assert stranger.rows("reports") == []
