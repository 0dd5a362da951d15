"""The admin calls of the service key."""

from __future__ import annotations

import uuid
from typing import Any

import bcrypt
import pytest
from supabase import AuthApiError

from tests.local.auth.conftest import PASSWORD, Auth, bearer, new_email


async def test_the_service_key_makes_reads_changes_and_removes_an_account(auth: Auth) -> None:
    admin, email = (await auth.admin()).auth.admin, new_email()
    made = (
        await admin.create_user(
            {
                "email": email,
                "password": PASSWORD,
                "email_confirm": True,
                "user_metadata": {"display_name": "A."},
                "app_metadata": {"team": "x"},
            }
        )
    ).user
    assert made.email_confirmed_at is not None
    assert made.role == "authenticated"
    assert made.user_metadata == {"display_name": "A.", "email_verified": True}
    assert made.app_metadata == {"provider": "email", "providers": ["email"], "team": "x"}
    assert made.last_sign_in_at is None

    client = await auth.client()
    await client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert (await admin.get_user_by_id(made.id)).user.last_sign_in_at is not None

    changed = (
        await admin.update_user_by_id(
            made.id, {"password": "another horse", "app_metadata": {"team": None}, "user_metadata": {"n": 1}}
        )
    ).user
    assert changed.app_metadata == {"provider": "email", "providers": ["email"]}
    assert changed.user_metadata == {"display_name": "A.", "email_verified": True, "n": 1}
    with pytest.raises(AuthApiError, match="Session from session_id"):
        await client.auth.get_user()
    await client.auth.sign_in_with_password({"email": email, "password": "another horse"})

    await admin.delete_user(made.id)
    with pytest.raises(AuthApiError) as gone:
        await admin.get_user_by_id(made.id)
    assert (gone.value.status, gone.value.code) == (404, "user_not_found")
    for table in ("users where id", "identities where user_id", "sessions where user_id"):
        assert await auth.rows(f"select from auth.{table} = %s", made.id) == []
    with pytest.raises(AuthApiError) as refused:
        await client.auth.get_user()
    assert refused.value.code == "user_not_found"
    await auth.signed_up(email)


async def test_a_soft_deleted_account_frees_its_address_and_cannot_sign_in(auth: Auth) -> None:
    email = new_email()
    client = await auth.signed_up(email, display_name="A.")
    answer = await client.auth.get_user()
    assert answer is not None
    await (await auth.admin()).auth.admin.delete_user(answer.user.id, should_soft_delete=True)
    [row] = await auth.rows("select * from auth.users where id = %s", answer.user.id)
    assert row["deleted_at"] is not None
    assert email not in repr(row)
    assert row["raw_user_meta_data"] == {}
    with pytest.raises(AuthApiError):
        await client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    await auth.signed_up(email)


async def test_accounts_are_listed_newest_first_in_pages(auth: Auth) -> None:
    mark = uuid.uuid4().hex
    emails = [f"{n}.{mark}@example.org" for n in range(5)]
    for email in emails:
        await auth.signed_up(email)
        auth.clock.advance(1)
    headers = bearer(auth.service_key)
    first = await auth.http.get(f"/admin/users?page=1&per_page=2&filter={mark}", headers=headers)
    assert [user["email"] for user in first.json()["users"]] == [emails[4], emails[3]]
    assert first.json()["aud"] == "authenticated"
    assert first.headers["X-Total-Count"] == "5"
    assert first.headers["Link"] == (
        f'</admin/users?page=2&per_page=2&filter={mark}>; rel="next", '
        f'</admin/users?page=3&per_page=2&filter={mark}>; rel="last"'
    )
    last = await auth.http.get(f"/admin/users?page=3&per_page=2&filter={mark}", headers=headers)
    assert [user["email"] for user in last.json()["users"]] == [emails[0]]
    assert 'rel="next"' not in last.headers["Link"]
    listed = await (await auth.admin()).auth.admin.list_users(page=1, per_page=1000)
    assert {user.email for user in listed} >= set(emails)


async def test_an_address_of_somebody_else_is_refused(auth: Auth) -> None:
    admin, taken = (await auth.admin()).auth.admin, new_email()
    await auth.signed_up(taken)
    other = (await admin.create_user({"email": new_email()})).user
    for attempt in (admin.create_user({"email": taken}), admin.update_user_by_id(other.id, {"email": taken})):
        with pytest.raises(AuthApiError) as refused:
            await attempt
        assert (refused.value.status, refused.value.code) == (422, "email_exists")
    with pytest.raises(AuthApiError) as same_id:
        await admin.create_user({"id": other.id, "email": new_email()})
    assert same_id.value.status == 422


async def test_an_unconfirmed_account_cannot_sign_in_nor_be_taken_over_by_a_sign_up(auth: Auth) -> None:
    admin, email = (await auth.admin()).auth.admin, new_email()
    made = (await admin.create_user({"email": email, "password": PASSWORD})).user
    client = await auth.client()
    with pytest.raises(AuthApiError) as refused:
        await client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert (refused.value.status, refused.value.code) == (400, "email_not_confirmed")
    with pytest.raises(AuthApiError):
        await auth.signed_up(email)
    await admin.update_user_by_id(made.id, {"email_confirm": True})
    await client.auth.sign_in_with_password({"email": email, "password": PASSWORD})


async def test_a_ready_made_hash_is_taken_and_nonsense_is_not(auth: Auth) -> None:
    admin, email = (await auth.admin()).auth.admin, new_email()
    ready = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await admin.create_user({"email": email, "password_hash": ready, "email_confirm": True})
    await (await auth.client()).auth.sign_in_with_password({"email": email, "password": PASSWORD})
    for wrong in ("plain", ready[:-1], ready + "x"):
        with pytest.raises(AuthApiError):
            await admin.create_user({"email": new_email(), "password_hash": wrong})


async def test_a_banned_account_is_out_until_the_ban_ends(auth: Auth) -> None:
    admin, email = (await auth.admin()).auth.admin, new_email()
    client = await auth.signed_up(email)
    session = await client.auth.get_session()
    assert session is not None
    banned = (await admin.update_user_by_id(session.user.id, {"ban_duration": "1h30m"})).user
    assert banned.id == session.user.id
    sign_in = {"email": email, "password": PASSWORD}
    for answer, status in (
        (await auth.http.post("/token?grant_type=password", json=sign_in), 400),
        (await auth.refresh(session.refresh_token), 400),
        (await auth.http.get("/user", headers=bearer(session.access_token)), 403),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (status, "user_banned")
    auth.clock.advance(5400)
    assert (await auth.http.post("/token?grant_type=password", json=sign_in)).status_code == 200
    await admin.update_user_by_id(session.user.id, {"ban_duration": "24h"})
    await admin.update_user_by_id(session.user.id, {"ban_duration": "none"})
    assert (await auth.http.post("/token?grant_type=password", json=sign_in)).status_code == 200


async def test_an_anonymous_account_is_made_permanent_by_an_admin(auth: Auth) -> None:
    client = await auth.client()
    anonymous = (await client.auth.sign_in_anonymously()).user
    assert anonymous is not None
    admin = (await auth.admin()).auth.admin
    changed = (await admin.update_user_by_id(anonymous.id, {"email": new_email(), "email_confirm": True})).user
    assert (changed.id, changed.is_anonymous) == (anonymous.id, False)


CALLS = [
    ("GET", "/admin/users"),
    ("POST", "/admin/users"),
    ("GET", f"/admin/users/{uuid.UUID(int=7)}"),
    ("PUT", f"/admin/users/{uuid.UUID(int=7)}"),
    ("DELETE", f"/admin/users/{uuid.UUID(int=7)}"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_only_the_service_key_is_an_admin(auth: Auth, method: str, path: str) -> None:
    user = (await auth.http.post("/signup", json={"data": {"role": "service_role"}})).json()["access_token"]
    for headers, status, code in (
        ({}, 401, "no_authorization"),
        (bearer("nonsense"), 403, "bad_jwt"),
        (bearer(auth.anon_key), 403, "not_admin"),
        (bearer(user), 403, "not_admin"),
    ):
        answer = await auth.http.request(method, path, headers=headers, json={"email": new_email()})
        assert (answer.status_code, answer.json()["error_code"]) == (status, code)


BAD_REQUESTS: list[tuple[str, str, Any, int, str]] = [
    ("POST", "", {}, 400, "validation_failed"),
    ("POST", "", [], 400, "bad_json"),
    ("POST", "", {"email": "no address"}, 400, "validation_failed"),
    ("POST", "", {"email": "a@example.org", "id": "7"}, 400, "validation_failed"),
    ("POST", "", {"email": "a@example.org", "id": str(uuid.UUID(int=0))}, 400, "validation_failed"),
    ("POST", "", {"email": "a@example.org", "role": "r" * 300}, 400, "validation_failed"),
    ("POST", "", {"email": "a@example.org", "email_confirm": "yes"}, 400, "bad_json"),
    ("POST", "", {"email": "a@example.org", "password": "x" * 73}, 400, "validation_failed"),
    ("POST", "", {"email": "a@example.org", "password": "x", "password_hash": "y"}, 400, "validation_failed"),
    ("POST", "", {"email": "a@example.org", "ban_duration": "a while"}, 400, "validation_failed"),
    ("POST", "", {"email": "a@example.org", "ban_duration": "9" * 300 + "h"}, 400, "validation_failed"),
    ("GET", "?page=x", None, 400, "validation_failed"),
    ("GET", "?page=-1", None, 400, "validation_failed"),
    ("GET", "?per_page=" + "9" * 5000, None, 400, "validation_failed"),
    ("GET", "?page=9223372036854775807&per_page=2", None, 400, "validation_failed"),
    ("GET", "?page=%D9%A3", None, 400, "validation_failed"),
    ("GET", "?sort=email", None, 400, "validation_failed"),
    ("GET", "?filter=%00", None, 400, "validation_failed"),
    ("GET", "/nobody", None, 404, "validation_failed"),
    ("DELETE", "/nobody", None, 404, "validation_failed"),
    ("GET", f"/{uuid.uuid4()}", None, 404, "user_not_found"),
    ("PUT", f"/{uuid.uuid4()}", {}, 404, "user_not_found"),
    ("DELETE", f"/{uuid.uuid4()}", None, 404, "user_not_found"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"), BAD_REQUESTS, ids=[str(n) for n in range(len(BAD_REQUESTS))]
)
async def test_a_bad_admin_request_is_refused(
    auth: Auth, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = await auth.http.request(method, f"/admin/users{path}", headers=bearer(auth.service_key), json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text


async def test_a_page_of_zero_is_the_first_page(auth: Auth) -> None:
    answer = await auth.http.get("/admin/users?page=0&per_page=0", headers=bearer(auth.service_key))
    assert answer.status_code == 200
