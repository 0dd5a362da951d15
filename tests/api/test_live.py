"""What Realtime carries while a case runs: ids and states to those concerned, and to nobody else anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent, RealtimeSubscribeStates

from sauti_local.stack import Stack
from tests.support.api import Caller, People, file_report

#: Published; `*` is all that is, and no other table can be listened to.
TABLES = ("matched_services", "appointments", "notifications", "*")


class Wiretap:
    """Everything that one person hears: the own topic and the row changes of every table."""

    def __init__(self, client: AsyncRealtimeClient, caller: Caller) -> None:
        self.client = client
        self.caller = caller
        self.messages: list[dict[str, Any]] = []
        self.ready = 0

    async def listen(self) -> None:
        """Join, and wait until the row changes come too."""
        assert self.caller.user
        await self.client.set_auth(self.caller.user.access_token)
        own = self.client.channel(f"user:{self.caller.id}", {"config": {"private": True}})  # type: ignore[typeddict-item]
        own.on_broadcast("*", lambda message: self.messages.append({"broadcast": message}))
        changes = self.client.channel("changes")
        for table in TABLES:
            changes.on_postgres_changes(
                RealtimePostgresChangesListenEvent.All,
                lambda message: self.messages.append({"change": message["data"]}),
                table=table,
                schema="public",
            )
        changes.on_system(lambda message: self._system(message))
        states: list[RealtimeSubscribeStates] = []
        await own.subscribe(lambda state, error: states.append(state))
        await changes.subscribe(lambda state, error: states.append(state))
        async with asyncio.timeout(10):
            while self.ready == 0:
                await asyncio.sleep(0.01)
        assert states == [RealtimeSubscribeStates.SUBSCRIBED] * 2

    def _system(self, message: Any) -> None:
        if message.extension == "postgres_changes":
            self.ready += 1

    def text(self) -> str:
        return json.dumps(self.messages, default=str).lower()

    async def heard(self, what: str) -> None:
        """Wait until something that was heard holds the text."""
        async with asyncio.timeout(10):
            while what.lower() not in self.text():
                await asyncio.sleep(0.01)


@pytest.fixture
async def taps(stack: Stack, people: People) -> AsyncIterator[dict[str, Wiretap]]:
    """The two sides, a rival, and people who have no business here, all listening."""
    addresses = stack.addresses
    url = addresses.api_url.replace("http", "ws", 1) + "/realtime/v1"
    everybody = {
        "professional": people.professional(),
        "rival": people.professional(),
        "survivor": people.user(),
        "unverified": people.professional(verified=False),
        "another survivor": people.user(),
        "anonymous": people.user(anonymous=True),
        "administrator": people.admin(),
    }
    taps = {
        who: Wiretap(AsyncRealtimeClient(url, addresses.anon_key, auto_reconnect=False), caller)
        for who, caller in everybody.items()
    }
    try:
        await asyncio.gather(*(tap.listen() for tap in taps.values()))
        yield taps
    finally:
        for tap in taps.values():
            await tap.client.close()


async def test_no_live_message_tells_more_than_ids_states_and_masked_facts(taps: dict[str, Wiretap]) -> None:
    professional, survivor, rival = (taps[who].caller for who in ("professional", "survivor", "rival"))
    report = await asyncio.to_thread(
        file_report,
        survivor,
        survivor_name="Canaryname",
        incident_description="canarystory",
        contact_email="canary@canary.example",
        gender="female",
    )
    (offer,) = professional.rows("matched_services")
    (rivals,) = rival.rows("matched_services")
    # Before the acceptance: the masked facts of the own offer, in the row changes.
    for who in ("professional", "rival"):
        await taps[who].heard("female")
    for who, own in (("professional", offer["id"]), ("rival", rivals["id"])):
        text = taps[who].text()
        assert own in text
        for hidden in ("canary", report["case_code"].lower(), survivor.id):
            assert hidden not in text, (who, hidden)
    assert rivals["id"] not in taps["professional"].text()

    appointment = professional.call("accept_match", match_id=offer["id"], mode="meet_now")
    professional.call("complete_appointment", appointment_id=appointment["appointment_id"])
    professional.call("complete_case", match_id=offer["id"])
    survivor.call("complete_case", match_id=offer["id"])
    for who in ("professional", "survivor"):
        await taps[who].heard("case_closed")
        await taps[who].heard('"match_status_type": "completed"')
    await taps["rival"].heard('"match_status_type": "superseded"')

    for who, tap in taps.items():
        text = tap.text()
        assert "canary" not in text, who
        assert report["case_code"].lower() not in text, who
        if who != "professional":
            assert who == "survivor" or survivor.id not in text, who
        if who in ("rival", "unverified", "another survivor", "anonymous", "administrator"):
            assert appointment["appointment_id"] not in text, who
            assert offer["id"] not in text, who
        if who in ("unverified", "another survivor", "anonymous", "administrator"):
            assert tap.messages == [], who
    for message in taps["survivor"].messages:
        if "broadcast" in message:
            assert set(message["broadcast"]["payload"]) <= {"op", "table", "id", "status"}


@pytest.mark.parametrize("table", ["reports", "profiles", "match_breakdowns", "support_services"])
async def test_nobody_can_listen_to_a_table_that_is_not_published(stack: Stack, people: People, table: str) -> None:
    url = stack.addresses.api_url.replace("http", "ws", 1) + "/realtime/v1"
    survivor = people.user()
    assert survivor.user
    client = AsyncRealtimeClient(url, stack.addresses.anon_key, auto_reconnect=False)
    try:
        await client.set_auth(survivor.user.access_token)
        refusals: asyncio.Queue[str] = asyncio.Queue()
        channel = client.channel("changes")
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.All, lambda _: None, table=table, schema="public"
        )
        await channel.subscribe(lambda state, error: refusals.put_nowait(f"{state} {error}"))
        async with asyncio.timeout(10):
            while "Unable to subscribe" not in await refusals.get():
                pass
    finally:
        await client.close()
