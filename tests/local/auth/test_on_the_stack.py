"""Behind the gateway of a running stack: the tokens are good for the Data API."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from sauti_local.stack import Stack
from tests.support.users import User


async def test_postgrest_knows_the_user_of_a_new_session(stack: Stack, new_user: Callable[..., User]) -> None:
    users = [new_user("professional"), new_user(anonymous=True)]
    async with httpx.AsyncClient(base_url=stack.addresses.api_url, trust_env=False) as http:
        for user in users:
            own = await http.get("/rest/v1/profiles?select=id,user_type", headers=user.headers)
            assert own.status_code == 200, own.text
            assert [row["id"] for row in own.json()] == [user.id]


async def test_the_gateway_wants_a_key_and_lets_it_speak_for_callers_without_a_token(stack: Stack) -> None:
    addresses = stack.addresses
    async with httpx.AsyncClient(base_url=f"{addresses.api_url}/auth/v1", trust_env=False) as http:
        assert (await http.get("/settings")).status_code == 401
        assert (await http.get("/settings", headers={"apikey": addresses.anon_key})).status_code == 200
        for key, status in ((addresses.anon_key, 403), (addresses.service_role_key, 200)):
            assert (await http.get("/admin/users", headers={"apikey": key})).status_code == status
        unknown = await http.get("/nowhere", headers={"apikey": addresses.anon_key})
        assert unknown.status_code == 404
        assert unknown.headers["Access-Control-Allow-Origin"] == "*"
