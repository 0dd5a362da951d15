"""Bad input and bad tokens: always GoTrue's shape, never a 500, nothing written."""

from __future__ import annotations

import json
import uuid
from typing import Any

import jwt
import pytest

from tests.local.auth.conftest import PASSWORD, SECRET, Auth, bearer, new_email

NO_SIGNATURE = jwt.encode({"sub": str(uuid.uuid4()), "role": "service_role"}, "", algorithm="none")

BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "bad_json"),
    (b"{", 400, "bad_json"),
    (b"[]", 400, "bad_json"),
    (b'"text"', 400, "bad_json"),
    (b"\xff\xfe", 400, "bad_json"),
    (b'{"email": NaN}', 400, "bad_json"),
    (b'{"data": {"n": 1e999}}', 400, "bad_json"),
    (b'{"data": {"n": ' + b"9" * 5000 + b"}}", 400, "bad_json"),
    (b'{"data": ' + b"[" * 200 + b"]" * 200 + b"}", 400, "bad_json"),
    (b'{"data": ' + b"[" * 100_000, 400, "bad_json"),
    (b'{"email": 5, "password": "correct horse"}', 400, "bad_json"),
    (b'{"email": ["a@example.org"], "password": "correct horse"}', 400, "bad_json"),
    (b'{"email": "a@example.org", "password": {"$ne": 1}}', 400, "bad_json"),
    (b'{"data": "text"}', 400, "bad_json"),
    (b'{"data": [1]}', 400, "bad_json"),
    (b'{"data": {"name": "a\\u0000b"}}', 400, "validation_failed"),
    (b'{"data": {"na\\u0000me": 1}}', 400, "validation_failed"),
    (b'{"email": "a\\u0000@example.org", "password": "correct horse"}', 400, "validation_failed"),
    (b'{"email": "a@example.org", "password": "correct\\u0000horse"}', 400, "validation_failed"),
    (b'{"email": "a@example.org"}', 400, "validation_failed"),
    (b'{"email": "a@example.org", "password": ""}', 400, "validation_failed"),
    (b'{"email": "a@example.org", "password": "' + b"x" * 73 + b'"}', 400, "validation_failed"),
    (b'{"email": "no address", "password": "correct horse"}', 400, "validation_failed"),
    (b'{"email": "a@example.org\\n", "password": "correct horse"}', 400, "validation_failed"),
    (b'{"email": "' + b"a" * 300 + b'@example.org", "password": "correct horse"}', 400, "validation_failed"),
    ('{"email": "\u00e9@example.org", "password": "correct horse"}'.encode(), 400, "validation_failed"),
    (b'{"phone": "call me", "password": "correct horse"}', 400, "validation_failed"),
    (b'{"email": "a@example.org", "phone": "15550100", "password": "correct horse"}', 400, "validation_failed"),
    (b'{"email": "a@example.org", "password": "short"}', 422, "weak_password"),
    (b'{"data": {"x": "' + b"x" * (1 << 20) + b'"}}', 413, "request_entity_too_large"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_BODIES, ids=[str(n) for n in range(len(BAD_BODIES))])
async def test_a_bad_sign_up_is_refused_and_writes_nothing(auth: Auth, body: bytes, status: int, code: str) -> None:
    before = await auth.rows("select count(*) as n from auth.users")
    answer = await auth.http.post("/signup", content=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == status
    assert answer.json()["error_code"] == code
    assert answer.json()["msg"]
    assert answer.headers["x-sb-error-code"] == code
    assert await auth.rows("select count(*) as n from auth.users") == before


@pytest.mark.parametrize(
    ("asked", "echoed"),
    [("2024-01-01", "2024-01-01"), ("2026-05-01", "2024-01-01"), ("2023-12-31", None), ("yesterday", None), ("", None)],
)
async def test_the_error_form_follows_the_api_version_of_the_caller(auth: Auth, asked: str, echoed: str | None) -> None:
    body = {"email": new_email(), "password": "short"}
    answer = await auth.http.post("/signup", json=body, headers={"X-Supabase-Api-Version": asked})
    assert answer.status_code == 422
    assert answer.headers.get("X-Supabase-Api-Version") == echoed
    message = "Password should be at least 6 characters."
    weak = {"weak_password": {"reasons": ["length"]}}
    if echoed:
        assert answer.json() == {"code": "weak_password", "message": message, **weak}
    else:
        assert answer.json() == {"code": 422, "error_code": "weak_password", "msg": message, **weak}


async def test_text_that_utf8_cannot_hold_is_stored_with_replacement_characters(auth: Auth) -> None:
    answer = await auth.http.post("/signup", content=b'{"data": {"name": "a\\ud800b", "pair": "\\ud83d\\ude00"}}')
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["user_metadata"] == {"name": "a\ufffdb", "pair": "\U0001f600"}


async def test_metadata_cannot_reach_the_columns_of_the_account(auth: Auth) -> None:
    data = {"sub": str(uuid.uuid4()), "email": "other@example.org", "email_verified": False, "role": "service_role"}
    email = new_email()
    body = {"email": email, "password": PASSWORD, "data": data, "app_metadata": {"x": 1}, "role": "service_role"}
    answer = (await auth.http.post("/signup", json=body)).json()
    user = answer["user"]
    assert (user["email"], user["role"]) == (email, "authenticated")
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert user["identities"][0]["identity_data"]["sub"] == user["id"]
    assert user["identities"][0]["identity_data"]["email"] == email
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert (claims["role"], claims["sub"], claims["email"]) == ("authenticated", user["id"], email)


def _token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    whole = {"sub": str(uuid.uuid4()), "aud": "authenticated", "role": "authenticated", "exp": 4_000_000_000}
    return jwt.encode({name: value for name, value in (whole | claims).items() if value is not None}, secret, algorithm)


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        (None, 401, "no_authorization"),
        ("", 401, "no_authorization"),
        ("Basic YTpi", 401, "no_authorization"),
        ("Bearer", 401, "no_authorization"),
        ("Bearer a b", 401, "no_authorization"),
        ("Bearer nonsense", 403, "bad_jwt"),
        ("Bearer a.b.c", 403, "bad_jwt"),
        (f"Bearer {NO_SIGNATURE}", 403, "bad_jwt"),
        (f"Bearer {_token('another secret of at least 32 characters')}", 403, "bad_jwt"),
        (f"Bearer {_token(SECRET * 2, 'HS512')}", 403, "bad_jwt"),
        (f"Bearer {_token(exp=1)}", 403, "bad_jwt"),
        (f"Bearer {_token(exp='never')}", 403, "bad_jwt"),
        (f"Bearer {_token(exp=True)}", 403, "bad_jwt"),
        (f"Bearer {_token(nbf=4_000_000_000)}", 403, "bad_jwt"),
        (f"Bearer {_token(sub=None)}", 403, "bad_jwt"),
        (f"Bearer {_token(sub='')}", 403, "bad_jwt"),
        (f"Bearer {_token(sub='nobody')}", 400, "bad_jwt"),
        (f"Bearer {_token()}", 403, "user_not_found"),
    ],
)
async def test_a_bad_token_is_refused(auth: Auth, authorization: str | None, status: int, code: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in (("GET", "/user"), ("PUT", "/user"), ("POST", "/logout")):
        answer = await auth.http.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code), (method, path, answer.text)


async def test_a_token_with_a_session_of_somebody_else_is_refused(auth: Auth) -> None:
    mine, theirs = [(await auth.http.post("/signup", json={})).json() for _ in range(2)]
    session = jwt.decode(theirs["access_token"], options={"verify_signature": False})["session_id"]
    for session_id, code in ((session, "session_not_found"), ("nonsense", "bad_jwt"), (7, "bad_jwt")):
        token = _token(sub=mine["user"]["id"], session_id=session_id)
        answer = await auth.http.get("/user", headers=bearer(token))
        assert (answer.status_code, answer.json()["error_code"]) == (403, code)


async def test_the_keys_of_the_project_are_nobodys_account(auth: Auth) -> None:
    for key in (auth.anon_key, auth.service_key):
        answer = await auth.http.get("/user", headers=bearer(key))
        assert (answer.status_code, answer.json()["error_code"]) == (403, "bad_jwt")


BAD_UPDATES = [
    {"email": 1},
    {"email": "no address"},
    {"phone": "call me"},
    {"phone": []},
    {"password": 1},
    {"password": "x" * 73},
    {"password": ""},
    {"data": "text"},
    {"data": {"a": "\x00"}},
    {"app_metadata": {}},
]


@pytest.mark.parametrize("body", BAD_UPDATES, ids=[json.dumps(body)[:30] for body in BAD_UPDATES])
async def test_a_bad_change_is_refused_and_writes_nothing(auth: Auth, body: dict[str, Any]) -> None:
    signed_up = (await auth.http.post("/signup", json={"email": new_email(), "password": PASSWORD})).json()
    headers = bearer(signed_up["access_token"])
    answer = await auth.http.put("/user", json={"data": {"kept": False}} | body, headers=headers)
    assert answer.status_code in {400, 403, 422}, answer.text
    assert (await auth.http.get("/user", headers=headers)).json() == signed_up["user"]


async def test_headers_that_no_column_can_hold_do_no_harm(auth: Auth) -> None:
    answer = await auth.http.post("/signup", json={}, headers={b"User-Agent": b"caf\xe9 \xff"})
    assert answer.status_code == 200


async def test_unknown_paths_and_methods_are_refused(auth: Auth) -> None:
    assert (await auth.http.get("/nowhere")).status_code == 404
    assert (await auth.http.get("/signup")).status_code == 405
    assert (await auth.http.get("/%00")).status_code == 404


async def test_settings_health_and_keys_are_public(auth: Auth) -> None:
    settings = (await auth.http.get("/settings")).json()
    assert settings["mailer_autoconfirm"] is True
    assert [name for name, on in settings["external"].items() if on] == ["anonymous_users", "email", "phone"]
    assert (await auth.http.get("/health")).json()["name"] == "GoTrue"
    assert (await auth.http.get("/.well-known/jwks.json")).json() == {"keys": []}


async def test_get_claims_of_the_client_falls_back_to_asking_the_server(auth: Auth) -> None:
    client = await auth.signed_up()
    claims = await client.auth.get_claims()
    assert claims is not None
    assert claims["claims"]["role"] == "authenticated"


async def test_a_failure_of_the_database_is_an_answer_and_a_log_line_without_personal_data(
    auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"email": new_email(), "password": PASSWORD}
    await auth.http.post("/signup", json=body)
    await auth.rows(
        "alter table auth.mfa_amr_claims add constraint broken check (authentication_method = 'never') not valid"
    )
    try:
        answer = await auth.http.post("/token?grant_type=password", json=body)
    finally:
        await auth.rows("alter table auth.mfa_amr_claims drop constraint broken")
    assert (answer.status_code, answer.json()["error_code"]) == (500, "unexpected_failure")
    assert "23514" in caplog.text
    for secret in (body["email"], PASSWORD, "Failing row"):
        assert secret not in caplog.text
        assert secret not in answer.text
    assert (await auth.http.post("/token?grant_type=password", json=body)).status_code == 200
