"""Making and changing accounts, with the real client."""

from __future__ import annotations

import asyncio
from typing import Any

import bcrypt
import jwt
import pytest
from supabase import AuthApiError, AuthWeakPasswordError

from tests.local.auth.conftest import PASSWORD, SECRET, Auth, bearer, new_email


def _claims(auth: Auth, token: str) -> dict[str, Any]:
    return jwt.decode(token, SECRET, algorithms=["HS256"], audience="authenticated", options={"verify_iat": False})


async def test_signing_up_with_an_address_gives_a_session_and_a_confirmed_account(auth: Auth) -> None:
    client, email = await auth.client(), new_email()
    answer = await client.auth.sign_up(
        {"email": email.upper(), "password": PASSWORD, "options": {"data": {"user_type": "professional"}}}
    )
    assert answer.session is not None
    assert answer.user is not None
    user = answer.user
    assert (user.email, user.role, user.aud, user.is_anonymous) == (email, "authenticated", "authenticated", False)
    assert user.email_confirmed_at is not None
    assert user.confirmed_at is not None
    assert user.last_sign_in_at is not None
    assert user.app_metadata == {"provider": "email", "providers": ["email"]}
    assert user.user_metadata == {"user_type": "professional", "email_verified": True}
    assert [(identity.provider, identity.id) for identity in user.identities or []] == [("email", user.id)]
    assert (user.identities or [])[0].identity_data["email"] == email
    assert answer.session.expires_in == 3600
    assert answer.session.expires_at == int(auth.clock()) + 3600

    claims = _claims(auth, answer.session.access_token)
    assert claims.pop("session_id")
    assert claims == {
        "iss": "http://127.0.0.1:1/auth/v1",
        "sub": user.id,
        "aud": "authenticated",
        "iat": int(auth.clock()),
        "exp": int(auth.clock()) + 3600,
        "email": email,
        "phone": "",
        "role": "authenticated",
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": int(auth.clock())}],
        "is_anonymous": False,
    }


async def test_the_database_keeps_a_bcrypt_hash_and_never_the_password(auth: Auth) -> None:
    email = new_email()
    await auth.signed_up(email)
    [row] = await auth.rows("select * from auth.users where email = %s", email)
    assert bcrypt.checkpw(PASSWORD.encode(), row["encrypted_password"].encode())
    assert PASSWORD not in repr(row)
    entries = await auth.rows(
        "select payload from auth.audit_log_entries where payload->>'actor_id' = %s", str(row["id"])
    )
    assert [entry["payload"]["action"] for entry in entries] == ["user_signedup", "login"]
    assert PASSWORD not in repr(entries)


async def test_an_address_signs_up_once(auth: Auth) -> None:
    email = new_email()
    await auth.signed_up(email)
    with pytest.raises(AuthApiError) as refused:
        await auth.signed_up(email.upper())
    assert (refused.value.status, refused.value.code) == (422, "user_already_exists")


async def test_of_two_simultaneous_sign_ups_one_wins_and_the_other_is_told(auth: Auth) -> None:
    body = {"email": new_email(), "password": PASSWORD}
    answers = await asyncio.gather(*(auth.http.post("/signup", json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 422, 422, 422, 422, 422]
    assert {answer.json().get("error_code") for answer in answers} == {None, "user_already_exists"}
    [row] = await auth.rows("select count(*) as n from auth.identities where email = %s", body["email"])
    assert row["n"] == 1


async def test_an_anonymous_account_needs_nothing_and_keeps_its_metadata(auth: Auth) -> None:
    client = await auth.client()
    answer = await client.auth.sign_in_anonymously({"options": {"data": {"display_name": "A."}}})
    assert answer.user is not None
    assert answer.session is not None
    assert answer.user.is_anonymous
    assert answer.user.user_metadata == {"display_name": "A."}
    assert answer.user.identities == []
    claims = _claims(auth, answer.session.access_token)
    assert (claims["is_anonymous"], claims["role"], claims["email"]) == (True, "authenticated", "")
    assert claims["amr"][0]["method"] == "anonymous"


async def test_an_anonymous_account_becomes_permanent_and_stays_the_same(auth: Auth) -> None:
    client, email = await auth.client(), new_email()
    before = await client.auth.sign_in_anonymously({"options": {"data": {"display_name": "A."}}})
    assert before.user is not None
    upgraded = await client.auth.update_user({"email": email, "password": PASSWORD})
    assert upgraded.user.id == before.user.id
    assert upgraded.user.email == email
    assert upgraded.user.is_anonymous is False
    assert upgraded.user.email_confirmed_at is not None
    assert upgraded.user.user_metadata == {"display_name": "A.", "email_verified": True}
    assert [identity.provider for identity in upgraded.user.identities or []] == ["email"]

    refreshed = await client.auth.refresh_session()
    assert refreshed.session is not None
    assert _claims(auth, refreshed.session.access_token)["is_anonymous"] is False

    again = await (await auth.client()).auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert again.user is not None
    assert again.user.id == before.user.id


async def test_an_anonymous_account_gets_no_password_without_an_address(auth: Auth) -> None:
    client = await auth.client()
    await client.auth.sign_in_anonymously()
    with pytest.raises(AuthApiError) as refused:
        await client.auth.update_user({"password": PASSWORD})
    assert (refused.value.status, refused.value.code) == (422, "validation_failed")


async def test_an_anonymous_account_cannot_take_the_address_of_another(auth: Auth) -> None:
    email = new_email()
    await auth.signed_up(email)
    client = await auth.client()
    await client.auth.sign_in_anonymously()
    with pytest.raises(AuthApiError) as refused:
        await client.auth.update_user({"email": email, "password": PASSWORD})
    assert (refused.value.status, refused.value.code) == (422, "email_exists")
    answer = await client.auth.get_user()
    assert answer is not None
    assert answer.user.is_anonymous
    assert not answer.user.email


async def test_signing_in_needs_the_right_password(auth: Auth) -> None:
    email = new_email()
    await auth.signed_up(email)
    client = await auth.client()
    answer = await client.auth.sign_in_with_password({"email": email.upper(), "password": PASSWORD})
    assert answer.user is not None
    assert answer.user.email == email
    with pytest.raises(AuthApiError) as refused:
        await client.auth.sign_in_with_password({"email": email, "password": "wrong horse"})
    assert (refused.value.status, refused.value.code) == (400, "invalid_credentials")
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), PASSWORD * 9):
        direct = await auth.http.post("/token?grant_type=password", json={"email": email, "password": wrong})
        assert (direct.status_code, direct.json()["error_code"]) == (400, "invalid_credentials")


async def test_a_password_longer_than_bcrypt_reads_is_not_cut_to_one_that_fits(auth: Auth) -> None:
    body = {"email": new_email(), "password": "x" * 72}
    assert (await auth.http.post("/signup", json=body)).status_code == 200
    assert (await auth.http.post("/token?grant_type=password", json=body)).status_code == 200
    longer = body | {"password": "x" * 73}
    assert (await auth.http.post("/token?grant_type=password", json=longer)).status_code == 400


async def test_a_missing_account_and_a_wrong_password_are_the_same_answer_and_the_same_work(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[bytes] = []
    check = bcrypt.checkpw

    def counted(secret: bytes, stored: bytes) -> bool:
        checks.append(secret)
        return check(secret, stored)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    email = new_email()
    await auth.signed_up(email)
    await auth.http.post("/signup", json={})  # an account without a password
    answers = [
        await auth.http.post("/token?grant_type=password", json={"email": address, "password": "wrong horse"})
        for address in (email, new_email())
    ]
    assert answers[0].status_code == answers[1].status_code == 400
    assert answers[0].json() == answers[1].json()
    assert checks == [b"wrong horse"] * 2


async def test_a_phone_number_signs_up_and_signs_in(auth: Auth) -> None:
    client, phone = await auth.client(), f"+254{int(new_email()[:10], 16) % 10**9:09}"
    answer = await client.auth.sign_up({"phone": phone, "password": PASSWORD})
    assert answer.user is not None
    assert answer.user.phone == phone[1:]
    assert answer.user.phone_confirmed_at is not None
    signed_in = await (await auth.client()).auth.sign_in_with_password({"phone": phone, "password": PASSWORD})
    assert signed_in.user is not None
    assert signed_in.user.id == answer.user.id


async def test_an_account_changes_its_address_metadata_and_phone(auth: Auth) -> None:
    client, email = await auth.signed_up(display_name="A.", locale="en"), new_email()
    answer = await client.auth.update_user({"email": email, "phone": "+1 555 0100", "data": {"display_name": None}})
    assert answer.user.email == email
    assert answer.user.phone == "15550100"
    assert answer.user.user_metadata == {"locale": "en", "email_verified": True}
    assert sorted(identity.provider for identity in answer.user.identities or []) == ["email", "phone"]
    fetched = await client.auth.get_user()
    assert fetched is not None
    assert fetched.user == answer.user
    await (await auth.client()).auth.sign_in_with_password({"email": email, "password": PASSWORD})
    await auth.rows("update auth.users set phone = null where id = %s", answer.user.id)


async def test_simultaneous_changes_of_metadata_are_all_kept(auth: Auth) -> None:
    client = await auth.signed_up()
    session = await client.auth.get_session()
    assert session is not None
    headers = bearer(session.access_token)
    await asyncio.gather(*(auth.http.put("/user", json={"data": {f"k{n}": n}}, headers=headers) for n in range(6)))
    fetched = await client.auth.get_user()
    assert fetched is not None
    assert fetched.user.user_metadata == {"email_verified": True} | {f"k{n}": n for n in range(6)}


async def test_a_new_password_replaces_the_old_one_and_ends_the_other_sessions(auth: Auth) -> None:
    email = new_email()
    here = await auth.signed_up(email)
    elsewhere = await auth.client()
    await elsewhere.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    await here.auth.update_user({"password": "another horse"})
    assert await here.auth.get_user() is not None
    with pytest.raises(AuthApiError) as gone:
        await elsewhere.auth.get_user()
    assert (gone.value.status, gone.value.code) == (403, "session_not_found")
    with pytest.raises(AuthApiError):
        await elsewhere.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    await elsewhere.auth.sign_in_with_password({"email": email, "password": "another horse"})


async def test_the_same_and_a_weak_password_are_refused(auth: Auth) -> None:
    client = await auth.signed_up()
    with pytest.raises(AuthApiError) as same:
        await client.auth.update_user({"password": PASSWORD})
    assert (same.value.status, same.value.code) == (422, "same_password")
    with pytest.raises(AuthWeakPasswordError) as weak:
        await client.auth.update_user({"password": "short"})
    assert (weak.value.status, weak.value.reasons) == (422, ["length"])
    with pytest.raises(AuthWeakPasswordError):
        await (await auth.client()).auth.sign_up({"email": new_email(), "password": "short"})


async def test_nobody_writes_their_own_app_metadata(auth: Auth) -> None:
    client = await auth.signed_up()
    session = await client.auth.get_session()
    assert session is not None
    answer = await auth.http.put("/user", json={"app_metadata": {"admin": True}}, headers=bearer(session.access_token))
    assert (answer.status_code, answer.json()["error_code"]) == (403, "not_admin")


async def test_a_trigger_that_fails_leaves_no_trace_of_the_sign_up(auth: Auth) -> None:
    await auth.rows(
        """
        create function auth.refuse() returns trigger language plpgsql as $$
          begin
            if new.raw_user_meta_data ? 'refuse' then raise exception 'no profile for you'; end if;
            return new;
          end $$;
        create trigger refuse after insert on auth.users for each row execute function auth.refuse();
        """
    )
    counted = "select (select count(*) from auth.users) + (select count(*) from auth.audit_log_entries) as n"
    try:
        before = await auth.rows(counted)
        email = new_email()
        with pytest.raises(AuthApiError) as refused:
            await auth.signed_up(email, refuse=True)
        assert (refused.value.status, refused.value.code) == (500, "unexpected_failure")
        assert refused.value.message == "Database error saving new user"
        with pytest.raises(AuthApiError) as anonymous:
            await (await auth.client()).auth.sign_in_anonymously({"options": {"data": {"refuse": True}}})
        assert anonymous.value.message == "Database error creating anonymous user"
        assert await auth.rows(counted) == before
        # Callers of the first API version get what the trigger raised.
        first_form = await auth.http.post(
            "/signup", json={"email": email, "password": PASSWORD, "data": {"refuse": True}}
        )
        assert first_form.status_code == 500
        assert first_form.json()["code"] == "P0001"
        assert first_form.json()["message"] == "no profile for you"
    finally:
        await auth.rows("drop function auth.refuse() cascade")
    await auth.signed_up(email, refuse=True)
