"""Access tokens, refresh tokens and log-out."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from supabase import AsyncClient, AuthApiError

from tests.local.auth.conftest import PASSWORD, Auth, bearer, new_email


async def _refresh_token(client: AsyncClient) -> str:
    session = await client.auth.get_session()
    assert session is not None
    return session.refresh_token


async def _access_token(client: AsyncClient) -> str:
    session = await client.auth.get_session()
    assert session is not None
    return session.access_token


async def _rotated(auth: Auth, token: str) -> str:
    answer = await auth.refresh(token)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["refresh_token"])


async def test_a_refresh_gives_new_tokens_for_the_same_session(auth: Auth) -> None:
    client = await auth.signed_up()
    before = await client.auth.get_session()
    assert before is not None
    auth.clock.advance(60)
    after = (await client.auth.refresh_session()).session
    assert after is not None
    assert after.refresh_token != before.refresh_token
    assert after.access_token != before.access_token
    assert after.expires_at == (before.expires_at or 0) + 60
    assert after.user.id == before.user.id
    tokens = await auth.rows(
        "select token, coalesce(parent, '') as parent, revoked from auth.refresh_tokens where user_id = %s order by id",
        before.user.id,
    )
    assert tokens == [
        {"token": before.refresh_token, "parent": "", "revoked": True},
        {"token": after.refresh_token, "parent": before.refresh_token, "revoked": False},
    ]


async def test_the_parent_of_the_active_token_gives_the_active_token_however_late(auth: Auth) -> None:
    first = await _refresh_token(await auth.signed_up())
    second = await _rotated(auth, first)
    auth.clock.advance(3600)
    assert await _rotated(auth, first) == second


async def test_an_old_token_works_within_the_reuse_interval(auth: Auth) -> None:
    first = await _refresh_token(await auth.signed_up())
    second = await _rotated(auth, first)
    third = await _rotated(auth, second)
    auth.clock.advance(10)
    assert await _rotated(auth, first) not in {first, second, third}


async def test_reuse_of_an_old_token_is_refused_and_ends_the_family(auth: Auth) -> None:
    first = await _refresh_token(await auth.signed_up())
    second = await _rotated(auth, first)
    third = await _rotated(auth, second)
    auth.clock.advance(11)
    for stolen in (first, third, second):
        answer = await auth.refresh(stolen)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "refresh_token_already_used"), stolen
    assert not await auth.rows(
        "select from auth.refresh_tokens where token in (%s, %s, %s) and not revoked", first, second, third
    )


async def test_reuse_leaves_the_users_other_sessions_alone(auth: Auth) -> None:
    email = new_email()
    first = await _refresh_token(await auth.signed_up(email))
    await _rotated(auth, await _rotated(auth, first))
    other = await auth.client()
    await other.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    auth.clock.advance(11)
    assert (await auth.refresh(first)).status_code == 400
    await other.auth.refresh_session()


async def test_simultaneous_refreshes_of_one_token_leave_one_active_token(auth: Auth) -> None:
    first = await _refresh_token(await auth.signed_up())
    answers = await asyncio.gather(*(auth.refresh(first) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    active = await auth.rows("select token from auth.refresh_tokens where parent = %s and not revoked", first)
    assert len(active) == 1


@pytest.mark.parametrize("token", ["", "short", "UPPERCASE123", "x" * 40, "abcdefghij\u0661\u0661"])
async def test_what_is_no_refresh_token_is_refused_by_its_form(auth: Auth, token: str) -> None:
    answer = await auth.refresh(token)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "validation_failed")


async def test_an_unknown_refresh_token_is_not_found(auth: Auth) -> None:
    answer = await auth.refresh("abcdefghij22")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "refresh_token_not_found")


async def test_an_unsupported_grant_is_refused(auth: Auth) -> None:
    for query in ("", "?grant_type=", "?grant_type=client_credentials"):
        answer = await auth.http.post(f"/token{query}", json={})
        assert (answer.status_code, answer.json()["msg"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(
    ("scope", "here_lives", "elsewhere_lives"),
    [("local", False, True), ("others", True, False), ("global", False, False)],
)
async def test_log_out_ends_the_sessions_of_its_scope(
    auth: Auth, scope: Literal["global", "local", "others"], here_lives: bool, elsewhere_lives: bool
) -> None:
    email = new_email()
    here, elsewhere = await auth.signed_up(email), await auth.client()
    await elsewhere.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    stranger = await auth.signed_up()
    sessions = {
        "here": (await _access_token(here), await _refresh_token(here), here_lives),
        "elsewhere": (await _access_token(elsewhere), await _refresh_token(elsewhere), elsewhere_lives),
        "stranger": (await _access_token(stranger), await _refresh_token(stranger), True),
    }
    await here.auth.sign_out({"scope": scope})
    for name, (access, refresh, lives) in sessions.items():
        user, refreshed = await auth.http.get("/user", headers=bearer(access)), await auth.refresh(refresh)
        if lives:
            assert (user.status_code, refreshed.status_code) == (200, 200), name
        else:
            assert (user.status_code, user.json()["error_code"]) == (403, "session_not_found"), name
            assert refreshed.json()["error_code"] == "refresh_token_not_found", name


async def test_log_out_without_a_scope_is_global_and_an_unknown_scope_is_refused(auth: Auth) -> None:
    email = new_email()
    here, elsewhere = await auth.signed_up(email), await auth.client()
    await elsewhere.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    headers = bearer(await _access_token(here))
    refused = await auth.http.post("/logout?scope=everywhere", headers=headers)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "validation_failed")
    done = await auth.http.post("/logout", headers=headers)
    assert (done.status_code, done.content) == (204, b"")
    with pytest.raises(AuthApiError):
        await elsewhere.auth.get_user()


async def test_an_access_token_ends_with_its_hour(auth: Auth) -> None:
    token = await _access_token(await auth.signed_up())
    auth.clock.advance(3599)
    assert (await auth.http.get("/user", headers=bearer(token))).status_code == 200
    auth.clock.advance(1)
    answer = await auth.http.get("/user", headers=bearer(token))
    assert (answer.status_code, answer.json()["error_code"]) == (403, "bad_jwt")
