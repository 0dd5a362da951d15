"""The moody stand-ins do not lie about what was done: a chaos run would blame the worker for it."""

from random import Random

import httpx
import pytest

from tests.sync.chaos_providers import Mood, MoodyGoogle, MoodyMicrosoft, MoodyStandIn

PATHS = {"google": "/calendar/v3/calendars/primary/events/one", "microsoft": "/v1.0/me/events/one"}


@pytest.mark.parametrize("kind", [MoodyGoogle, MoodyMicrosoft])
async def test_nothing_is_said_to_be_deleted_by_who_is_not_let_in(
    kind: type[MoodyGoogle] | type[MoodyMicrosoft], monkeypatch: pytest.MonkeyPatch
) -> None:
    mood = Mood("google" if kind is MoodyGoogle else "microsoft", Random(1), 1.0, 1)
    monkeypatch.setattr(mood, "draw", lambda _: "act and 410")
    server: MoodyStandIn = kind(mood)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            answer = await client.delete(PATHS[mood.name], headers={"Authorization": "Bearer spent"})
    finally:
        await server.stop()
    assert answer.status_code == 401
