"""Somebody else's live events cannot be joined, replayed, forged or overheard on the running project."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from sauti_local.stack import Stack
from tests.support.api import Caller, People, file_report

_SECONDS = 10.0


class Ear:
    """A bare websocket of the Realtime protocol, version 1."""

    def __init__(self, stack: Stack, token: str) -> None:
        self.token = token
        addresses = stack.addresses
        url = addresses.api_url.replace("http", "ws", 1)
        self.socket: ClientConnection = connect(
            f"{url}/realtime/v1/websocket?apikey={addresses.anon_key}&vsn=1.0.0", proxy=None
        )

    def join(self, topic: str, **config: Any) -> dict[str, Any]:
        """Join and give back the reply."""
        payload = {"config": {"broadcast": {"self": False}, "postgres_changes": []} | config}
        self.send(topic, "phx_join", payload | {"access_token": self.token})
        return self.until(lambda frame: frame["event"] == "phx_reply" and frame["topic"] == f"realtime:{topic}")

    def send(self, topic: str, event: str, payload: dict[str, Any]) -> None:
        """Send a frame."""
        frame = {"topic": f"realtime:{topic}", "event": event, "payload": payload, "ref": "1", "join_ref": "1"}
        self.socket.send(json.dumps(frame))

    def until(self, wanted: Any) -> dict[str, Any]:
        """The first frame that is wanted."""
        return self.frames_until(wanted)[-1]

    def frames_until(self, wanted: Any) -> list[dict[str, Any]]:
        """Every frame up to the one that is wanted."""
        frames: list[dict[str, Any]] = []
        deadline = time.monotonic() + _SECONDS
        while not (frames and wanted(frames[-1])):
            frames.append(json.loads(self.socket.recv(timeout=max(0.01, deadline - time.monotonic()))))
        return frames


def token_of(caller: Caller) -> str:
    assert caller.user is not None
    return caller.user.access_token


@pytest.fixture
def ears(stack: Stack) -> Iterator[Any]:
    opened: list[Ear] = []

    def listen(caller: Caller) -> Ear:
        opened.append(Ear(stack, token_of(caller)))
        return opened[-1]

    yield listen
    for ear in opened:
        ear.socket.close()


@pytest.mark.parametrize("replay", [None, {"since": 0, "limit": 25}])
def test_a_foreign_topic_is_neither_joined_nor_replayed(people: People, ears: Any, replay: Any) -> None:
    professional, survivor, intruder = people.professional(), people.user(), people.professional("legal_aid")
    file_report(survivor)
    ear = ears(intruder)
    broadcast = {"self": False} | ({"replay": replay} if replay else {})
    for victim in (professional, survivor):
        reply = ear.join(f"user:{victim.id}", private=True, broadcast=broadcast)
        assert reply["payload"]["status"] == "error", reply
        assert "messages" not in json.dumps(reply)
    assert ear.join("sauti_sync", private=True, broadcast=broadcast)["payload"]["status"] == "error"


def test_the_public_twin_of_a_private_topic_and_foreign_rows_are_silent(people: People, ears: Any) -> None:
    professional, survivor, intruder = people.professional(), people.user(), people.professional("legal_aid")
    ear = ears(intruder)
    tables = ("matched_services", "appointments", "notifications", "messages")
    changes = [{"event": "*", "schema": "public", "table": table} for table in tables]
    assert ear.join(f"user:{professional.id}")["payload"]["status"] == "ok"
    ear.join("rows", postgres_changes=changes)
    ear.until(lambda frame: frame["event"] == "system" and frame["payload"]["extension"] == "postgres_changes")
    assert ear.join(f"user:{intruder.id}", private=True)["payload"]["status"] == "ok"

    file_report(survivor)
    (offer,) = professional.rows("matched_services")
    professional.call("accept_match", match_id=offer["id"], mode="meet_now")
    # The intruder's own offer comes after everything that they must not hear.
    file_report(survivor, required_services=["legal_aid"])
    heard = ear.frames_until(
        lambda frame: frame["event"] == "postgres_changes" and frame["payload"]["data"]["table"] == "notifications"
    )
    assert offer["id"] not in json.dumps(heard)
    assert survivor.id not in json.dumps(heard)


def test_nobody_sends_into_a_private_topic(stack: Stack, people: People, ears: Any) -> None:
    professional, intruder = people.professional(), people.user()
    ear, liar = ears(professional), ears(intruder)
    topic = f"user:{professional.id}"
    assert ear.join(topic, private=True)["payload"]["status"] == "ok"
    liar.join(topic, private=True)
    forged = {"type": "broadcast", "event": "match", "payload": {"id": "forged"}}
    liar.send(topic, "broadcast", forged)
    ear.send(topic, "broadcast", forged)
    for caller in (intruder, professional):
        assert caller.user is not None
        httpx.post(
            f"{stack.addresses.api_url}/realtime/v1/api/broadcast",
            json={"messages": [{"topic": topic, "event": "match", "payload": {"id": "forged"}, "private": True}]},
            headers=caller.user.headers,
            trust_env=False,
        )
    file_report(people.user())
    heard = ear.frames_until(
        lambda frame: frame["event"] == "broadcast" and frame["payload"]["event"] == "notification"
    )
    assert "forged" not in json.dumps(heard)
