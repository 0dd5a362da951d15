"""The wire protocol, both versions: answers, refusals, limits; nothing that a client sends ends anything but itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import struct
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from sauti_local.realtime import Limits
from sauti_local.realtime.database import Database
from sauti_local.realtime.frames import Broadcast, Message, decode, encode, encode_broadcast, encode_reply
from tests.local.realtime.backend import SECONDS, Backend, push_broadcast, read_broadcast

VERSIONS = pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
ROOM = "realtime:lobby"


@VERSIONS
async def test_a_join_a_heartbeat_and_a_leave_are_answered_with_their_refs(backend: Backend, version: str) -> None:
    wire = await backend.wire(version)
    frames: list[Any] = []
    for topic, event in ((ROOM, "phx_join"), ("phoenix", "heartbeat"), (ROOM, "phx_leave")):
        await wire.push(topic, event, {})
        frames.append(await wire.socket.receive_json())
    frames.append(await wire.socket.receive_json())
    ok = {"status": "ok", "response": {}}
    joined = {"status": "ok", "response": {"postgres_changes": []}}
    if version == "2.0.0":
        assert frames == [
            ["1", "1", ROOM, "phx_reply", joined],
            [None, "2", "phoenix", "phx_reply", ok],
            ["1", "3", ROOM, "phx_reply", ok],
            ["1", "1", ROOM, "phx_close", {}],
        ]
    else:
        assert frames == [
            {"topic": ROOM, "event": "phx_reply", "payload": joined, "ref": "1"},
            {"topic": "phoenix", "event": "phx_reply", "payload": ok, "ref": "2"},
            {"topic": ROOM, "event": "phx_reply", "payload": ok, "ref": "3"},
            {"topic": ROOM, "event": "phx_close", "payload": {}, "ref": "1"},
        ]


async def test_a_broadcast_reaches_either_version_from_either(backend: Backend) -> None:
    old, new = await backend.wire("1.0.0"), await backend.wire("2.0.0")
    for wire in (old, new):
        await wire.join(ROOM)
    payload = {"type": "broadcast", "event": "é", "payload": {"n": "\U0001f600"}}
    await old.push(ROOM, "broadcast", payload)
    assert await new.until("broadcast") == payload
    await new.push(ROOM, "broadcast", payload)
    assert await old.until("broadcast") == payload
    await backend.send("lobby", "é", {"id": "x", "n": "\U0001f600"}, private=False)
    for wire in (old, new):
        heard = await wire.until("broadcast")
        assert (heard["event"], heard["payload"]) == ("é", {"id": "x", "n": "\U0001f600"})


async def test_joining_again_replaces_the_channel(backend: Backend) -> None:
    wire = await backend.wire("2.0.0")
    await wire.push(ROOM, "phx_join", {}, "a")
    await wire.until("phx_reply")
    await wire.push(ROOM, "phx_join", {}, "b")
    assert await wire.socket.receive_json() == ["a", "a", ROOM, "phx_close", {}]
    assert (await wire.socket.receive_json())[:2] == ["b", "b"]
    await backend.send("lobby", "once", private=False)
    await backend.send("lobby", "twice", private=False)
    assert [(await wire.until("broadcast"))["event"] for _ in range(2)] == ["once", "twice"]


async def test_a_frame_for_an_earlier_channel_of_the_topic_does_nothing(backend: Backend) -> None:
    wire = await backend.wire("2.0.0")
    await wire.join(ROOM)
    await wire.socket.send_json(["0", "9", ROOM, "phx_leave", {}])
    await backend.send("lobby", "still here", private=False)
    assert (await wire.until("broadcast"))["event"] == "still here"


@pytest.mark.parametrize("topic", ["realtime:", "lobby", "", "phoenix"])
async def test_a_topic_that_is_none_cannot_be_joined(backend: Backend, topic: str) -> None:
    wire = await backend.wire()
    assert (await wire.join(topic))["status"] == "error"


MALFORMED = [
    "",
    "null",
    "[]",
    "{}",
    "5",
    "[1,2,3]",
    "[" * 100_000,
    '{"topic":',
    '{"topic":"realtime:lobby","event":"phx_join","payload":[],"ref":"1"}',
    '{"topic":5,"event":"phx_join","payload":{},"ref":"1"}',
    '{"topic":"realtime:\\u0000","event":"phx_join","payload":{},"ref":"1"}',
    '{"topic":"realtime:\\ud800","event":"phx_join","payload":{},"ref":"1"}',
    '{"topic":"realtime:x","event":"phx_join","payload":{},"ref":{}}',
    '{"topic":"realtime:x","event":"phx_join","payload":{"n":NaN},"ref":"1"}',
    '{"topic":"realtime:x","event":"phx_join","payload":{"n":1e999},"ref":"1"}',
    '["1","1","realtime:x","phx_join",7]',
    b"",
    b"\x03",
    b"\x03\xff\xff\xff\xff\xff\x01abc",
    b"\x03\x00\x00\x02\x01\x00\x01\xff\xff\xff{}",
    push_broadcast(ROOM, "e", b"{not json", is_json=True),
    push_broadcast(ROOM, "e", b"NaN", is_json=True),
    b"\x00" * 20,
    b"\x09\x01\x01\x01\x01abcd",
]


@VERSIONS
async def test_what_is_no_frame_is_dropped_and_the_connection_lives(backend: Backend, version: str) -> None:
    wire = await backend.wire(version)
    await wire.join(ROOM)
    for frame in MALFORMED:
        await (wire.socket.send_str(frame) if isinstance(frame, str) else wire.socket.send_bytes(frame))
    assert await wire.alive()


@VERSIONS
async def test_random_bytes_end_nothing(backend: Backend, version: str) -> None:
    chance = random.Random(7)
    wire = await backend.wire(version)
    await wire.join(ROOM)
    for _ in range(300):
        data = bytes([chance.choice([0, 3, 4])]) + chance.randbytes(chance.randrange(60))
        await wire.socket.send_bytes(data)
        await wire.socket.send_str(
            json.dumps([chance.choice(["1", None, 5, {}, [], "phx_join", ROOM]) for _ in range(5)])
        )
    assert await wire.alive()


@pytest.mark.parametrize(
    "config",
    [
        None,
        5,
        [],
        {"broadcast": 5, "presence": [], "postgres_changes": {}, "private": 7},
        {"broadcast": {"ack": "yes"}, "presence": {"enabled": "true", "key": {}}, "postgres_changes": [None, 5, "x"]},
        {"postgres_changes": [{"event": {}, "schema": [], "table": 5, "filter": {}}]},
        {"private": "true"},
    ],
)
async def test_a_join_whose_configuration_is_odd_is_answered(backend: Backend, config: Any) -> None:
    wire = await backend.wire()
    await wire.push("realtime:room", "phx_join", {"config": config})
    assert (await wire.until("phx_reply"))["status"] in ("ok", "error")
    assert await wire.alive()


@pytest.mark.parametrize(
    "event, payload",
    [
        ("access_token", {}),
        ("access_token", {"access_token": {}}),
        ("presence", {}),
        ("presence", {"event": 5}),
        ("presence", {"event": "track", "payload": "x"}),
        ("presence", {"event": "dance"}),
        ("broadcast", {}),
        ("unknown", {"x": 1}),
        ("phx_reply", {}),
        ("phx_close", {}),
    ],
)
async def test_an_odd_event_on_a_channel_leaves_it_open(backend: Backend, event: str, payload: Any) -> None:
    wire = await backend.wire()
    await wire.join(ROOM)
    await wire.push(ROOM, event, payload)
    await backend.send("lobby", "still here", private=False)
    assert (await wire.until("broadcast"))["event"] == "still here"


async def test_more_channels_than_allowed_are_refused(start_backend: Callable[..., Any]) -> None:
    backend: Backend = await start_backend(Limits(channels_per_client=2))
    wire = await backend.wire()
    answers = [await wire.join(f"realtime:{n}") for n in range(3)]
    assert [answer["status"] for answer in answers] == ["ok", "ok", "error"]
    assert answers[2]["response"]["reason"].startswith("ChannelRateLimitReached")
    await wire.push("realtime:0", "phx_leave", {})
    await wire.until("phx_close")
    assert (await wire.join("realtime:3"))["status"] == "ok"


async def test_joins_faster_than_allowed_are_refused(start_backend: Callable[..., Any]) -> None:
    backend: Backend = await start_backend(Limits(joins_per_second=1))
    wire = await backend.wire()
    answers = [await wire.join(f"realtime:{n}") for n in range(8)]
    refused = [answer for answer in answers if answer["status"] == "error"]
    assert refused
    assert all(answer["response"]["reason"].startswith("ClientJoinRateLimitReached") for answer in refused)


async def test_messages_faster_than_allowed_close_the_channel_and_no_other(start_backend: Callable[..., Any]) -> None:
    backend: Backend = await start_backend(Limits(messages_per_second=5))
    wire, other = await backend.wire(), await backend.wire()
    for each in (wire, other):
        await each.join(ROOM)
    for n in range(60):
        await wire.push(ROOM, "broadcast", {"event": "e", "payload": {"n": n}})
    assert (await wire.until("system"))["message"] == "Too many messages per second"
    assert (await wire.receive())[1] == "phx_close"
    assert await other.alive()


async def test_more_bindings_than_allowed_are_refused(start_backend: Callable[..., Any]) -> None:
    backend: Backend = await start_backend(Limits(bindings_per_channel=2))
    wire = await backend.wire()
    bindings = [{"event": "*", "schema": "public", "table": "open_board"}] * 3
    assert (await wire.join(ROOM, postgres_changes=bindings))["status"] == "error"


async def test_a_frame_larger_than_allowed_ends_its_connection_alone(backend: Backend) -> None:
    wire, other = await backend.wire(), await backend.wire()
    with contextlib.suppress(ConnectionError):  # the server may hang up before it has read all of it
        await wire.socket.send_str("x" * 5_000_001)
    async with asyncio.timeout(SECONDS):
        assert (await wire.socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert await other.alive()


async def deaf_client(backend: Backend) -> asyncio.StreamWriter:
    """A client that joins the room and reads nothing after the handshake."""
    reader, writer = await asyncio.open_connection("127.0.0.1", backend.http.port, limit=1024)
    path = f"/realtime/v1/websocket?apikey={backend.token()}"
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    join = json.dumps({"topic": ROOM, "event": "phx_join", "payload": {}, "ref": "1"}).encode()
    writer.write(bytes([0x81, 0x80 | len(join), 0, 0, 0, 0]) + join)  # a text frame, masked with zeros
    await reader.readexactly(2)
    return writer


async def test_a_client_that_does_not_read_is_cut_off_and_others_hear_on(start_backend: Callable[..., Any]) -> None:
    backend: Backend = await start_backend(Limits(send_buffer_size=2_000_000))
    writer = await deaf_client(backend)
    other = await backend.wire()
    await other.join(ROOM)
    try:
        for n in range(60):
            await backend.send("lobby", "big", {"n": n, "x": "x" * 500_000}, private=False)
            assert (await other.until("broadcast"))["payload"]["n"] == n
            if backend.server.connection_count == 1:
                break
        assert backend.server.connection_count == 1
        assert await other.alive()
    finally:
        writer.transport.abort()


async def test_a_fault_of_ours_ends_the_channel_and_no_other(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> bool:
        raise RuntimeError

    monkeypatch.setattr(Database, "may_write", fail)
    wire = await backend.wire()
    user = str(uuid.uuid4())
    await wire.join("realtime:room", backend.token(user), private=True)
    await wire.join(ROOM)
    await wire.push("realtime:room", "broadcast", {"event": "e", "payload": {}})
    assert (await wire.receive())[:2] == ("realtime:room", "phx_error")
    await backend.send("lobby", "still here", private=False)
    assert (await wire.until("broadcast"))["event"] == "still here"


async def test_no_log_holds_what_people_say_or_who_they_are(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sauti_local")
    caplog.set_level(logging.DEBUG, "psycopg")
    marker, user = f"marker{uuid.uuid4().hex}", str(uuid.uuid4())
    wire, failing = await backend.wire(), await backend.wire()
    binding = {"event": "*", "schema": "public", "table": "notes", "filter": f"body=eq.{marker}"}
    await wire.join("realtime:room", backend.token(user), private=True, postgres_changes=[binding])
    await failing.join("realtime:c", backend.token(marker), postgres_changes=[binding])
    await failing.join("realtime:d", backend.token(marker), private=True)
    await wire.push("realtime:room", "broadcast", {"event": "e", "payload": {"text": marker}})
    await wire.push("realtime:room", "presence", {"event": "track", "payload": marker})
    await wire.push("realtime:room", marker, {"text": marker})
    await wire.socket.send_str(f'{{"{marker}"')
    await backend.execute("insert into notes (owner, body) values (%s, %s)", user, marker)
    assert (await wire.until("postgres_changes"))["data"]["record"]["body"] == marker
    await backend.send("room", "e", {"text": marker})
    await wire.until("broadcast")
    records = [record.getMessage() + str(record.exc_text) for record in caplog.records]
    assert any("policy failed" in record for record in records)
    assert not [record for record in records if marker in record or user in record]


async def test_a_silent_client_is_let_go(start_backend: Callable[..., Any]) -> None:
    backend: Backend = await start_backend(Limits(idle_seconds=0.1))
    wire = await backend.wire()
    async with asyncio.timeout(SECONDS):
        assert (await wire.socket.receive()).type == aiohttp.WSMsgType.CLOSE


async def test_a_client_that_vanishes_leaves_no_member_behind(backend: Backend) -> None:
    vanishing, other = await backend.wire(), await backend.wire()
    await vanishing.join(ROOM, presence={"enabled": True, "key": "v"})
    await other.join(ROOM, presence={"enabled": True})
    await vanishing.push(ROOM, "presence", {"event": "track", "payload": {}})
    assert "v" in (await other.until("presence_diff"))["joins"]
    vanishing.socket._response.connection.transport.abort()  # type: ignore[union-attr]
    assert "v" in (await other.until("presence_diff"))["leaves"]


async def test_an_unknown_version_is_refused(backend: Backend) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await backend.wire("9.9.9")
    assert refused.value.status == 403


async def test_stopping_says_goodbye_and_a_stopped_server_takes_nobody(backend: Backend) -> None:
    wire = await backend.wire()
    await wire.join(ROOM)
    async with asyncio.timeout(SECONDS):
        stopping = asyncio.create_task(backend.server.stop())
        closed = await wire.socket.receive()
        await stopping
    assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await backend.wire()
    await backend.server.stop()


def test_a_broadcast_whose_names_are_too_long_for_the_binary_frame_is_sent_as_text() -> None:
    frame = encode_broadcast("2.0.0", "realtime:" + "t" * 300, Broadcast("e", b'{"n":1}', True, "id"))
    assert isinstance(frame, str)
    assert json.loads(frame)[4] == {"type": "broadcast", "event": "e", "payload": {"n": 1}, "meta": {"id": "id"}}


def test_the_binary_frame_of_a_broadcast_has_sizes_in_bytes_not_characters() -> None:
    frame = encode_broadcast("2.0.0", "realtime:é", Broadcast("ü", b'{"n":1}', True, "id"))
    assert isinstance(frame, bytes)
    assert struct.unpack("5B", frame[:5]) == (4, len("realtime:é".encode()), 2, 11, 1)
    assert read_broadcast(frame)[2] == {"event": "ü", "payload": {"n": 1}, "meta": {"id": "id"}}


def test_version_one_is_text_with_the_ref_named() -> None:
    message = Message("t", "e", {}, ref="7", join_ref="5")
    assert json.loads(encode_reply("1.0.0", message, "ok", {}))["ref"] == "7"
    assert json.loads(encode("1.0.0", "t", "e", '{"a":1}')) == {
        "topic": "t",
        "event": "e",
        "payload": {"a": 1},
        "ref": None,
    }
    assert decode('{"topic":"t","event":"e","payload":{},"ref":null}', "1.0.0") == Message("t", "e", {})
