"""Broadcast: from client to client, over HTTP and from the database; public and private topics do not mix."""

from __future__ import annotations

import json
import uuid
from typing import Any

import aiohttp
import psycopg
import pytest
from realtime.exceptions import RealtimeHTTPError

from tests.local.realtime.backend import Backend, Listener, push_broadcast


async def test_reaches_the_others_in_a_public_topic_and_not_the_sender(backend: Backend) -> None:
    sender = await (await Listener.join(await backend.client(), "lobby")).joined()
    other = await (await Listener.join(await backend.client(), "lobby")).joined()
    await sender.channel.send_broadcast("wave", {"n": 1})
    await other.channel.send_broadcast("wave", {"n": 2})
    assert (await other.next())["payload"] == {"n": 1}
    assert (await sender.next())["payload"] == {"n": 2}


async def test_reaches_the_sender_who_asks_for_it_and_is_acknowledged(backend: Backend) -> None:
    wire = await backend.wire()
    await wire.join("realtime:lobby", broadcast={"self": True, "ack": True})
    await wire.push("realtime:lobby", "broadcast", {"type": "broadcast", "event": "wave", "payload": {"n": 1}})
    heard = [(await wire.receive())[1:] for _ in range(2)]
    assert heard == [
        ("broadcast", {"type": "broadcast", "event": "wave", "payload": {"n": 1}}),
        ("phx_reply", {"status": "ok", "response": {}}),
    ]


async def test_public_and_private_topics_of_one_name_are_two(backend: Backend) -> None:
    user = str(uuid.uuid4())
    public = await (await Listener.join(await backend.client(user), "room")).joined()
    private = await (await Listener.join(await backend.client(user), "room", private=True)).joined()
    await backend.send("room", "secret")
    await backend.send("room", "open", private=False)
    assert (await public.next())["event"] == "open"
    assert (await private.next())["event"] == "secret"
    await public.channel.send_broadcast("from public", {})
    await backend.send("room", "last")
    assert (await private.next())["event"] == "last"


async def test_from_the_database_reaches_only_the_user_it_is_for(backend: Backend) -> None:
    users = [str(uuid.uuid4()) for _ in range(2)]
    topics = [f"user:{user}" for user in users]
    listeners = [
        await (await Listener.join(await backend.client(user), topic, private=True)).joined()
        for user, topic in zip(users, topics, strict=True)
    ]
    payload = {"op": "INSERT", "table": "matched_services", "id": 1, "status": "pending"}
    await backend.send(topics[0], "match", payload)
    for topic in topics:
        await backend.send(topic, "last")
    heard = await listeners[0].next()
    assert (heard["event"], heard["payload"]) == ("match", payload)
    assert heard["meta"]["id"]
    assert [(await listener.next())["event"] for listener in listeners] == ["last", "last"]


async def test_from_a_transaction_that_is_rolled_back_is_never_heard(backend: Backend) -> None:
    user = str(uuid.uuid4())
    listener = await (await Listener.join(await backend.client(user), f"user:{user}", private=True)).joined()
    async with await psycopg.AsyncConnection.connect(backend.db_url) as connection:
        await connection.execute("select realtime.send('{}', 'undone', %s)", (f"user:{user}",))
        await connection.rollback()
    await backend.send(f"user:{user}", "done")
    assert (await listener.next())["event"] == "done"


async def test_that_no_policy_lets_a_member_insert_is_dropped_without_acknowledgement(backend: Backend) -> None:
    user = str(uuid.uuid4())
    wire = await backend.wire()
    topic = f"user:{user}"
    await wire.join(f"realtime:{topic}", backend.token(user), private=True, broadcast={"self": True, "ack": True})
    await wire.push(f"realtime:{topic}", "broadcast", {"event": "forged", "payload": {}})
    await backend.send(topic, "real")
    _, event, payload = await wire.receive()
    assert (event, payload["event"]) == ("broadcast", "real")


async def test_that_a_policy_allows_reaches_the_members_of_the_private_topic(backend: Backend) -> None:
    users = [str(uuid.uuid4()) for _ in range(2)]
    sender, other = [
        await (await Listener.join(await backend.client(user), "room", private=True)).joined() for user in users
    ]
    await sender.channel.send_broadcast("hello", {"n": 1})
    assert (await other.next())["payload"] == {"n": 1}


async def test_over_http_by_the_client_library_is_checked_like_any_other(backend: Backend) -> None:
    user = str(uuid.uuid4())
    client = await backend.client(user)
    room = await (await Listener.join(client, "room", private=True)).joined()
    own = await (await Listener.join(client, f"user:{user}", private=True)).joined()
    await room.channel.http_send("hello", {"n": 1})
    assert (await room.next())["payload"] == {"n": 1}
    with pytest.raises(RealtimeHTTPError):
        await own.channel.http_send("forged", {})
    await backend.send(f"user:{user}", "real")
    assert (await own.next())["event"] == "real"


async def test_over_http_many_at_once_sends_what_is_allowed_and_drops_the_rest(backend: Backend) -> None:
    user = str(uuid.uuid4())
    room = await (await Listener.join(await backend.client(user), "room", private=True)).joined()
    own = await (await Listener.join(await backend.client(user), f"user:{user}", private=True)).joined()
    lobby = await (await Listener.join(await backend.client(), "lobby")).joined()
    body = {
        "messages": [
            {"topic": "room", "event": "e", "payload": {"n": 1}, "private": True},
            {"topic": f"user:{user}", "event": "forged", "payload": {}, "private": True},
            {"topic": "lobby", "event": "e", "payload": {"n": 2}},
        ]
    }
    headers = {"Authorization": f"Bearer {backend.token(user)}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        assert (await http.post(f"{backend.url}/api/broadcast", json=body)).status == 202
        refused = await http.post(f"{backend.url}/api/broadcast", json={"messages": [{"topic": "room"}]})
        assert refused.status == 422
        for name in ("a\0b", "\ud800", 5):
            message: dict[str, Any] = {"topic": name, "event": "e", "payload": {}, "private": True}
            assert (await http.post(f"{backend.url}/api/broadcast", json={"messages": [message]})).status == 422
        for path, nonsense in (
            ("", b"\xff{"),
            ("", b"[" * 100_000),
            ("/a%00b/events/e", b"{}"),
            ("/a/events/e", b"NaN"),
        ):
            as_json = {"Content-Type": "application/json"}
            answer = await http.post(f"{backend.url}/api/broadcast{path}", data=nonsense, headers=as_json)
            assert answer.status == 422
        expired = {"Authorization": f"Bearer {backend.token(user, seconds=-1)}"}
        assert (await http.post(f"{backend.url}/api/broadcast", json=body, headers=expired)).status == 401
    assert (await room.next())["payload"] == {"n": 1}
    assert (await lobby.next())["payload"] == {"n": 2}
    await backend.send(f"user:{user}", "real")
    assert (await own.next())["event"] == "real"


async def test_by_the_service_role_over_http_needs_no_policy(backend: Backend) -> None:
    user = str(uuid.uuid4())
    own = await (await Listener.join(await backend.client(user), f"user:{user}", private=True)).joined()
    headers = {"Authorization": f"Bearer {backend.token(role='service_role')}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        address = f"{backend.url}/api/broadcast/user%3A{user}/events/hello?private=true"
        assert (await http.post(address, json={"n": 1})).status == 202
    assert (await own.next())["payload"] == {"n": 1}


@pytest.mark.parametrize("is_json", [True, False])
async def test_in_its_binary_form_passes_between_clients_of_version_two(backend: Backend, is_json: bool) -> None:
    sender, other, older = await backend.wire("2.0.0"), await backend.wire("2.0.0"), await backend.wire("1.0.0")
    for wire in (sender, other, older):
        await wire.join("realtime:lobby")
    body = b'{"n": 1}' if is_json else b"\x00\xff"
    await sender.socket.send_bytes(push_broadcast("realtime:lobby", "wave", body, is_json=is_json))
    payload = {"n": 1} if is_json else body
    assert await other.receive() == ("realtime:lobby", "broadcast", {"event": "wave", "payload": payload})
    await sender.socket.send_bytes(push_broadcast("realtime:lobby", "last", b"{}", is_json=True))
    first = await older.until("broadcast")
    # The older version cannot carry bytes: only what is JSON comes through.
    assert (first["event"], first["payload"]) == (("wave", {"n": 1}) if is_json else ("last", {}))


async def test_larger_than_allowed_is_refused(backend: Backend) -> None:
    wire = await backend.wire()
    await wire.join("realtime:lobby", broadcast={"ack": True, "self": True})
    await wire.push("realtime:lobby", "broadcast", {"event": "big", "payload": {"x": "x" * 3_000_001}})
    assert await wire.until("phx_reply") == {"status": "error", "response": {"reason": "payload_size_exceeded"}}


async def test_bytes_from_the_database_arrive_as_they_were(backend: Backend) -> None:
    wire = await backend.wire("2.0.0")
    user = str(uuid.uuid4())
    await wire.join(f"realtime:user:{user}", backend.token(user), private=True)
    await backend.execute("select realtime.send_binary(%s, 'bytes', %s)", b"\x00\x01\xff", f"user:{user}")
    assert (await wire.until("broadcast"))["payload"] == b"\x00\x01\xff"


async def test_whole_rows_from_the_database_go_to_a_private_topic(backend: Backend) -> None:
    user = str(uuid.uuid4())
    listener = await (await Listener.join(await backend.client(user), f"user:{user}", private=True)).joined()
    await backend.execute(
        "do $$ begin perform realtime.broadcast_changes('user:" + user + "', 'changed', 'INSERT', 'open_board',"
        " 'public', row(1, 'x')::public.open_board, null::public.open_board); end $$"
    )
    heard = await listener.next()
    assert json.loads(json.dumps(heard["payload"]["record"])) == {"id": 1, "body": "x"}
    assert (heard["payload"]["operation"], heard["payload"]["table"]) == ("INSERT", "open_board")
