"""The whole case with the real Python client: filed, offered live, accepted, opened, completed, archived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from realtime import RealtimeSubscribeStates
from supabase import AsyncClient, AsyncClientOptions, create_async_client

from sauti_local.stack import Stack
from tests.support.api import People
from tests.support.users import PASSWORD

SECONDS = 10.0
SignIn = Callable[[str | None], Awaitable[AsyncClient]]


@pytest.fixture
async def sign_in(stack: Stack) -> AsyncIterator[SignIn]:
    """Somebody signs in with the client library."""
    clients: list[AsyncClient] = []
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:

        async def client_of(email: str | None) -> AsyncClient:
            assert email is not None
            options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
            client = await create_async_client(stack.addresses.api_url, stack.addresses.anon_key, options)
            clients.append(client)
            await client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
            return client

        yield client_of
        for client in clients:
            await client.remove_all_channels()
            await client.realtime.close()


class Ears:
    """Live events of one person's private topic, as they come."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    @classmethod
    async def of(cls, client: AsyncClient, user_id: str) -> Ears:
        """Join the topic; fails when that is refused."""
        ears = cls()
        session = await client.auth.get_session()
        assert session is not None
        await client.realtime.set_auth(session.access_token)
        channel = client.channel(f"user:{user_id}", {"config": {"private": True}})  # type: ignore[typeddict-item]
        channel.on_broadcast("*", lambda message: ears.heard.put_nowait((message["event"], message["payload"])))
        joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(state: RealtimeSubscribeStates, error: Exception | None) -> None:
            if not joined.done():
                if state == RealtimeSubscribeStates.SUBSCRIBED:
                    joined.set_result(None)
                else:
                    joined.set_exception(error or LookupError(str(state)))

        await channel.subscribe(told)
        async with asyncio.timeout(SECONDS):
            await joined
        return ears

    async def until(self, event: str, status: str) -> dict[str, Any]:
        """Wait for an event with a state; gives back its payload."""
        async with asyncio.timeout(SECONDS):
            while True:
                name, payload = await self.heard.get()
                if (name, payload.get("status")) == (event, status):
                    return payload


async def test_a_case_from_the_report_to_the_archive(people: People, sign_in: SignIn) -> None:
    helper, person = people.professional(), people.user()
    assert helper.user
    assert person.user
    professional, survivor = await sign_in(helper.user.email), await sign_in(person.user.email)
    professionals_ears = await Ears.of(professional, helper.id)
    survivors_ears = await Ears.of(survivor, person.id)

    report: Any = (
        await survivor.table("reports")
        .insert(
            {
                "incident_type": "stalking",
                "incident_description": "the story",
                "survivor_name": "Amina",
                "contact_phone": "+254 700 000001",
                "required_services": ["counseling"],
                "urgency": "high",
                "consent_to_share": True,
            }
        )
        .execute()
    ).data[0]

    live = await professionals_ears.until("match", "pending")
    assert set(live) - {"id"} == {"op", "table", "status"}
    offers: Any = (await professional.table("matched_services").select("*").execute()).data
    assert [offer["id"] for offer in offers] == [live["id"]]
    assert (await professional.table("reports").select("*").execute()).data == []

    appointment: Any = (
        await professional.rpc("accept_match", {"match_id": live["id"], "mode": "meet_now"}).execute()
    ).data
    assert (await survivors_ears.until("match", "accepted"))["id"] == live["id"]
    assert (await survivors_ears.until("appointment", "confirmed"))["id"] == appointment["appointment_id"]

    case: Any = (await professional.rpc("open_case", {"match_id": live["id"]}).execute()).data
    assert (case["incident_description"], case["survivor_name"]) == ("the story", "Amina")
    log: Any = (await survivor.table("access_log").select("*").execute()).data
    assert [(entry["actor_id"], entry["door"]) for entry in log] == [(helper.id, "open_case")]

    await professional.rpc("complete_appointment", {"appointment_id": appointment["appointment_id"]}).execute()
    await survivors_ears.until("appointment", "completed")
    await professional.rpc("complete_case", {"match_id": live["id"]}).execute()
    await survivors_ears.until("notification", "completion_requested")
    await survivor.rpc("complete_case", {"match_id": live["id"]}).execute()
    await professionals_ears.until("match", "completed")

    progress: Any = (await survivor.table("report_progress").select("*").single().execute()).data
    assert progress["report_id"] == report["report_id"]
    assert (progress["stage"], progress["completed_sessions"]) == ("archived", 1)


async def test_a_private_topic_of_somebody_else_cannot_be_joined(people: People, sign_in: SignIn) -> None:
    helper, person = people.professional(), people.user()
    assert helper.user
    professional = await sign_in(helper.user.email)
    with pytest.raises(Exception, match="Unauthorized"):
        await Ears.of(professional, person.id)
