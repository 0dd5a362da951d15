"""Who may be in a channel: decided by policies at the join and at every new token, and for no longer than the token."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import aiohttp
import jwt
import pytest
from realtime import RealtimeSubscribeStates

from sauti_local.realtime import Limits
from tests.local.realtime.backend import SECRET, Backend, Listener

USER = str(uuid.UUID(int=1))
OTHER = str(uuid.UUID(int=2))
OWN = f"realtime:user:{USER}"


async def test_a_private_channel_of_another_user_is_refused_by_name(backend: Backend) -> None:
    intruder = await Listener.join(await backend.client(OTHER), f"user:{USER}", private=True)
    state, error = await intruder.state()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR
    assert "Unauthorized: You do not have permissions to read from this Channel topic" in error


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_a_refusal_begins_with_unauthorized_and_leaves_no_channel(backend: Backend, version: str) -> None:
    wire = await backend.wire(version)
    refused = await wire.join(OWN, backend.token(OTHER), private=True)
    assert refused["status"] == "error"
    assert refused["response"]["reason"].startswith("Unauthorized")
    await wire.push(OWN, "broadcast", {"event": "e", "payload": {}})
    assert (await wire.until("phx_reply"))["response"] == {"reason": "unmatched topic"}


async def test_what_is_private_is_not_heard_on_the_public_topic_of_an_intruder(backend: Backend) -> None:
    intruder = await (await Listener.join(await backend.client(OTHER), f"user:{USER}")).joined()
    await backend.send(f"user:{USER}", "secret")
    await backend.send(f"user:{USER}", "open", private=False)
    assert (await intruder.next())["event"] == "open"


async def test_a_visitor_is_refused_even_when_a_policy_of_theirs_fails(backend: Backend) -> None:
    wire = await backend.wire()
    refused = await wire.join("realtime:room", backend.token(), private=True)
    assert refused["response"]["reason"].startswith("Unauthorized")
    assert await wire.alive()


async def test_the_service_role_may_join_any_private_channel(backend: Backend) -> None:
    worker = await (await Listener.join(await backend.client(role="service_role"), "sauti_sync", private=True)).joined()
    await backend.send("sauti_sync", "jobs")
    assert (await worker.next())["event"] == "jobs"


@pytest.mark.parametrize("role", ["postgres", "supabase_admin", "authenticator", "nobody", "a\0b", ""])
async def test_a_role_that_is_not_one_of_the_api_is_refused(backend: Backend, role: str) -> None:
    wire = await backend.wire()
    token = jwt.encode({"role": role, "exp": int(backend.clock()) + 60}, SECRET, "HS256")
    for private in (True, False):
        assert (await wire.join("realtime:room", token, private=private))["status"] == "error"


@pytest.mark.parametrize(
    "token, reason",
    [
        ("nonsense", "MalformedJWT"),
        (jwt.encode({"role": "anon", "sub": "\ud800", "exp": 4_000_000_000}, SECRET, "HS256"), "MalformedJWT"),
        (jwt.encode({"role": "anon", "sub": "a\0", "exp": 4_000_000_000}, SECRET, "HS256"), "MalformedJWT"),
        (
            jwt.encode({"role": "service_role", "exp": 4_000_000_000}, "somebody else's secret of 32 chars", "HS256"),
            "JwtSignatureError",
        ),
        (jwt.encode({"role": "service_role", "exp": 4_000_000_000}, None, "none"), "JwtSignatureError"),
        (jwt.encode({"role": "service_role", "exp": 1}, SECRET, "HS256"), "InvalidJWTToken: Token has expired"),
        (jwt.encode({"role": "service_role"}, SECRET, "HS256"), "InvalidJWTToken: Fields `role` and `exp`"),
        (jwt.encode({"exp": 4_000_000_000}, SECRET, "HS256"), "InvalidJWTToken: Fields `role` and `exp`"),
    ],
)
async def test_a_token_that_proves_nothing_is_refused(backend: Backend, token: str, reason: str) -> None:
    wire = await backend.wire()
    refused = await wire.join("realtime:lobby", token)
    assert refused["status"] == "error"
    assert refused["response"]["reason"].startswith(reason)


@pytest.mark.parametrize("query", ["", "?apikey=nonsense", "?apikey="])
async def test_a_websocket_without_a_valid_key_is_not_opened(backend: Backend, query: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{backend.url}/websocket{query}")
    assert refused.value.status == 401


async def test_a_refreshed_token_keeps_the_channel_beyond_the_end_of_the_old(backend: Backend) -> None:
    wire = await backend.wire()
    await wire.join(OWN, backend.token(USER, seconds=100), private=True)
    await wire.push(OWN, "access_token", {"access_token": backend.token(USER, seconds=1000)})
    assert await wire.alive()
    backend.clock.seconds += 500
    await backend.send(f"user:{USER}", "still here")
    assert (await wire.until("broadcast"))["event"] == "still here"


async def test_the_client_library_refreshes_the_token_of_a_channel(backend: Backend) -> None:
    client = await backend.client(USER)
    listener = await (await Listener.join(client, f"user:{USER}", private=True)).joined()
    await client.set_auth(backend.token(USER, seconds=7200))
    await backend.send(f"user:{USER}", "still here")
    assert (await listener.next())["event"] == "still here"


async def test_a_new_token_that_may_not_read_closes_the_channel(backend: Backend) -> None:
    wire = await backend.wire()
    await wire.join(OWN, backend.token(USER), private=True)
    await wire.push(OWN, "access_token", {"access_token": backend.token(OTHER)})
    system = await wire.until("system")
    assert (system["status"], system["extension"], system["channel"]) == ("error", "system", f"user:{USER}")
    assert "permission" in system["message"]
    assert (await wire.receive())[:2] == (OWN, "phx_close")
    await backend.send(f"user:{USER}", "secret")
    await wire.join("realtime:lobby")
    await backend.send("lobby", "open", private=False)
    assert (await wire.until("broadcast"))["event"] == "open"


async def test_a_new_token_that_may_read_less_closes_the_channel(backend: Backend) -> None:
    wire = await backend.wire()
    gold, plain = backend.token(USER, tier="gold"), backend.token(USER)
    await wire.join("realtime:stage", gold, private=True, presence={"enabled": True})
    await wire.push("realtime:stage", "access_token", {"access_token": plain})
    assert "no longer have permission" in (await wire.until("system"))["message"]
    assert (await wire.receive())[:2] == ("realtime:stage", "phx_close")
    assert (await wire.join("realtime:stage", plain, private=True, presence={"enabled": True}))["status"] == "ok"
    await wire.push("realtime:stage", "access_token", {"access_token": gold})
    await backend.send("stage", "still here")
    assert (await wire.until("broadcast"))["event"] == "still here"


@pytest.mark.parametrize("token", ["nonsense", "expired"])
async def test_a_new_token_that_proves_nothing_closes_the_channel(backend: Backend, token: str) -> None:
    wire = await backend.wire()
    await wire.join(OWN, backend.token(USER), private=True)
    new = backend.token(USER, seconds=-1) if token == "expired" else token
    await wire.push(OWN, "access_token", {"access_token": new})
    assert (await wire.until("system"))["status"] == "error"
    assert (await wire.receive())[1] == "phx_close"


@pytest.mark.parametrize("token", [None, 5, "sb_publishable_key"])
async def test_a_new_token_that_is_none_changes_nothing(backend: Backend, token: Any) -> None:
    wire = await backend.wire()
    await wire.join(OWN, backend.token(USER), private=True)
    await wire.push(OWN, "access_token", {"access_token": token})
    await backend.send(f"user:{USER}", "still here")
    assert (await wire.until("broadcast"))["event"] == "still here"


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_the_end_of_the_token_closes_the_channel_without_being_asked(
    start_backend: Callable[..., Any], version: str
) -> None:
    backend: Backend = await start_backend(Limits(token_check_seconds=0.05))
    wire = await backend.wire(version)
    await wire.join(OWN, backend.token(USER, seconds=100), private=True)
    backend.clock.seconds += 101
    system = await wire.until("system")
    assert (system["status"], system["channel"]) == ("error", f"user:{USER}")
    assert system["message"].startswith("Token has expired")
    assert (await wire.receive())[:2] == (OWN, "phx_close")
    await backend.send(f"user:{USER}", "secret")
    await wire.join("realtime:lobby", backend.token())
    await backend.send("lobby", "open", private=False)
    assert (await wire.until("broadcast"))["event"] == "open"


async def test_the_client_library_is_told_that_its_channel_closed(start_backend: Callable[..., Any]) -> None:
    backend: Backend = await start_backend(Limits(token_check_seconds=0.05))
    listener = await (await Listener.join(await backend.client(USER), f"user:{USER}", private=True)).joined()
    backend.clock.seconds += 3601
    assert (await listener.state())[0] == RealtimeSubscribeStates.CHANNEL_ERROR
    assert (await listener.state())[0] == RealtimeSubscribeStates.CLOSED


async def test_a_policy_can_read_the_topic_the_claims_and_the_headers(backend: Backend) -> None:
    topic = f"claims-{uuid.uuid4().hex}"
    await backend.execute(
        f'create policy "{topic}" on realtime.messages for select to service_role using (true);'
        f'create policy "{topic}-members" on realtime.messages for select to authenticated using ('
        f"  realtime.topic() = '{topic}' and auth.jwt() ->> 'team' = 'blue'"
        f"  and current_setting('request.headers', true)::jsonb ->> 'x-app' = 'sauti')",
        user="postgres",
    )
    try:
        answers = []
        for team, headers in (("blue", {"x-app": "sauti"}), ("red", {"x-app": "sauti"}), ("blue", {})):
            async with aiohttp.ClientSession(headers=headers) as session:
                address = f"{backend.url}/websocket?apikey={backend.token()}"
                async with session.ws_connect(address) as socket:
                    config = {"config": {"private": True}, "access_token": backend.token(USER, team=team)}
                    await socket.send_json(
                        {"topic": f"realtime:{topic}", "event": "phx_join", "payload": config, "ref": "1"}
                    )
                    answers.append((await socket.receive_json())["payload"]["status"])
        assert answers == ["ok", "error", "error"]
    finally:
        await backend.execute(
            f'drop policy "{topic}" on realtime.messages; drop policy "{topic}-members" on realtime.messages'
        )


async def test_asking_leaves_nothing_in_the_table_of_messages(backend: Backend) -> None:
    topic = f"probe-{uuid.uuid4().hex}"
    wire = await backend.wire()
    await wire.join(f"realtime:{topic}", backend.token(role="service_role"), private=True, presence={"enabled": True})
    await wire.push(f"realtime:{topic}", "broadcast", {"event": "e", "payload": {}})
    assert await wire.alive()
    assert await backend.execute("select count(*) from realtime.messages where topic = %s", topic) == [(0,)]
