"""Presence, as far as the client libraries need it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from sauti_local.realtime.presence import Presences
from tests.local.realtime.backend import SECONDS, Backend, Wire

ROOM = "realtime:room"


async def present(backend: Backend, key: str, version: str = "1.0.0", **config: Any) -> Wire:
    wire = await backend.wire(version)
    token = backend.token(str(uuid.uuid4()))
    assert (await wire.join(ROOM, token, presence={"key": key, "enabled": True}, **config))["status"] == "ok"
    return wire


async def test_the_client_libraries_presence_is_in_step(backend: Backend) -> None:
    synced: list[asyncio.Queue[set[str]]] = [asyncio.Queue(), asyncio.Queue()]
    channels = []
    for name, queue in zip(("ada", "ben"), synced, strict=True):
        channel = (await backend.client()).channel(
            "lobby", {"config": {"broadcast": None, "presence": {"key": name, "enabled": True}, "private": False}}
        )

        def on_sync(channel: Any = channel, queue: asyncio.Queue[set[str]] = queue) -> None:
            queue.put_nowait(set(channel.presence_state()))

        channel.on_presence_sync(on_sync)
        await channel.subscribe()
        channels.append(channel)

    async def until(queue: asyncio.Queue[set[str]], keys: set[str]) -> None:
        async with asyncio.timeout(SECONDS):
            while await queue.get() != keys:
                pass

    await channels[0].track({"mood": "calm"})
    for queue in synced:
        await until(queue, {"ada"})
    await channels[1].track({"mood": "busy"})
    for queue in synced:
        await until(queue, {"ada", "ben"})
    await channels[0].untrack()
    for queue in synced:
        await until(queue, {"ben"})
    await channels[1].unsubscribe()
    await until(synced[0], set())


async def test_who_joins_is_told_who_is_there(backend: Backend) -> None:
    first = await present(backend, "a")
    assert await first.until("presence_state") == {}
    await first.push(ROOM, "presence", {"event": "track", "payload": {"n": 1}})
    assert (await first.until("presence_diff"))["joins"]["a"]["metas"][0]["n"] == 1
    second = await present(backend, "b", "2.0.0")
    (meta,) = (await second.until("presence_state"))["a"]["metas"]
    assert (meta["n"], bool(meta["phx_ref"])) == (1, True)


async def test_presence_in_a_private_topic_needs_a_policy_to_insert(backend: Backend) -> None:
    user = str(uuid.uuid4())
    wire = await backend.wire()
    await wire.join(f"realtime:user:{user}", backend.token(user), private=True, presence={"enabled": True})
    await wire.until("presence_state")
    await wire.push(f"realtime:user:{user}", "presence", {"event": "track", "payload": {}})
    assert (await wire.until("phx_reply"))["status"] == "error"
    allowed = await present(backend, "a", private=True)
    await allowed.push(ROOM, "presence", {"event": "track", "payload": {}})
    assert "a" in (await allowed.until("presence_diff"))["joins"]
    assert (await allowed.until("phx_reply"))["status"] == "ok"


def test_what_is_said_anew_replaces_what_was_said() -> None:
    presences = Presences()
    first = presences.track("owner", "k", {"n": 1})
    assert first is not None
    assert presences.track("owner", "k", {"n": 1}) is None
    second = presences.track("owner", "k", {"n": 2})
    assert second is not None
    (old,), (new,) = second["leaves"]["k"]["metas"], second["joins"]["k"]["metas"]
    assert (old, new["n"], new["phx_ref_prev"]) == (first["joins"]["k"]["metas"][0], 2, old["phx_ref"])
    assert presences.state() == {"k": {"metas": [new]}}


def test_one_key_may_be_several_people() -> None:
    presences = Presences()
    presences.track("one", "k", {"n": 1})
    presences.track("two", "k", {"n": 2})
    assert [meta["n"] for meta in presences.state()["k"]["metas"]] == [1, 2]
    presences.untrack("one")
    assert [meta["n"] for meta in presences.state()["k"]["metas"]] == [2]
    assert presences.untrack("one") is None
