"""The real JavaScript client, under Deno, against the running stack: from sign-up to live event to sign-out.

One run of `javascript_client.ts` tells what it saw, step by step; each promise is a test of its own.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sauti_local.functions import deno_environment
from sauti_local.paths import ROOT, deno_binary
from sauti_local.stack import Stack
from tests.support.loop_thread import LoopThread

SCRIPT = Path(__file__).with_name("javascript_client.ts")
SECONDS = 60
Steps = dict[str, dict[str, Any]]


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    while line := await stream.readline():
        yield json.loads(line)


def notify(db_url: str, user_id: str) -> str:
    """Write a notification for a user, as the database does when something happens; its id."""
    with psycopg.connect(db_url) as connection:
        row = connection.execute(
            "insert into public.notifications (user_id, kind) values (%s, 'offer_made') returning id::text", [user_id]
        ).fetchone()
    assert row is not None
    return str(row[0])


async def play(stack: Stack) -> Steps:
    """Run the script to its end, causing the live events it waits for. What it saw, by step."""
    addresses = stack.addresses
    marker = uuid.uuid4().hex
    plan = {
        "api_url": addresses.api_url,
        "anon_key": addresses.anon_key,
        "calendar_url": f"{addresses.caldav_url}/ada/{marker}/",
        "marker": marker,
    }
    environment = deno_environment() | {name: stack.environment[name] for name in ("NO_PROXY", "no_proxy")}
    # The functions do without our package.json; this script takes the client from it.
    del environment["DENO_NO_PACKAGE_JSON"]
    process = await asyncio.create_subprocess_exec(
        deno_binary(), "run", "--quiet", "--no-prompt", "--no-lock", "--cached-only", "--allow-net", "--allow-env",
        "--allow-read", SCRIPT,
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    seen: Steps = {}
    try:
        async with asyncio.timeout(SECONDS):
            process.stdin.write(json.dumps(plan).encode())
            process.stdin.close()
            async for step in lines(process.stdout):
                seen[step.pop("step")] = step
                if "listening" in seen and "live" not in seen:
                    # Ben's comes first: had it reached Ada, it would be what she saw.
                    listening = seen["listening"]
                    listening["ben_notification"] = await asyncio.to_thread(notify, addresses.db_url, listening["ben"])
                    listening["ada_notification"] = await asyncio.to_thread(notify, addresses.db_url, listening["ada"])
                if "refresh" in seen and "still_live" not in seen:
                    seen["refresh"]["notification"] = await asyncio.to_thread(
                        notify, addresses.db_url, seen["listening"]["ada"]
                    )
            assert await process.wait() == 0, (await errors).decode()
    except TimeoutError:
        raise AssertionError(f"the script hangs after {list(seen)}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await errors
    return seen


@pytest.fixture(scope="module")
def seen(stack: Stack, loop_thread: LoopThread) -> Steps:
    """What the script saw."""
    return loop_thread.run(play(stack))


def test_sign_up_opens_a_session_and_makes_the_profile(seen: Steps) -> None:
    step = seen["sign_up"]
    assert (step["error"], step["role"], step["session"]) == (None, "authenticated", True)
    assert seen["profile"] == {
        "error": None,
        "row": {"id": step["id"], "user_type": "survivor", "display_name": "Ada"},
    }


def test_an_anonymous_account_becomes_permanent_and_keeps_its_report(seen: Steps) -> None:
    step = seen["anonymous"]
    assert (step["error"], step["insert"], step["is_anonymous"]) == (None, None, True)
    assert step["report"]["status"] == "recorded"
    upgrade = seen["upgrade"]
    assert (upgrade["error"], upgrade["is_anonymous"]) == (None, False)
    assert upgrade["before"] == upgrade["after"] == step["report"]["user_id"]
    assert [report["report_id"] for report in upgrade["reports"]] == [step["report"]["report_id"]]


def test_a_survivor_selects_own_reports_and_no_others(seen: Steps) -> None:
    step = seen["reports"]
    assert (step["error"], step["count"]) == (None, 1)
    assert step["own"] == [{"report_id": step["inserted"], "user_id": seen["sign_up"]["id"]}]
    assert step["foreign"] == []
    assert step["stranger"] in (0, "42501")


def test_a_refused_call_has_the_registered_shape(seen: Steps) -> None:
    step = seen["rpc_error"]
    assert step["status"] == 404
    error = step["error"]
    assert (error["code"], error["message"]) == ("PT404", "not_found")
    assert error["details"]
    assert error["hint"]


def test_functions_answer_the_client(seen: Steps) -> None:
    step = seen["functions"]
    assert step["error"] is None
    assert step["connection"]["user_id"] == seen["sign_up"]["id"]
    assert (step["wrong"]["code"], step["wrong"]["message"]) == ("PT422", "invalid_input")


def test_a_live_event_reaches_its_user_on_the_private_topic(seen: Steps) -> None:
    listening = seen["listening"]
    assert [joined["status"] for joined in listening["joined"]] == ["SUBSCRIBED"] * 3
    event = seen["live"]["event"]
    assert event["event"] == "notification"
    assert event["payload"]["table"] == "notifications"
    assert event["payload"]["id"] == listening["ada_notification"]


def test_another_persons_topic_cannot_be_joined(seen: Steps) -> None:
    intruder = seen["listening"]["intruder"]
    assert intruder["status"] == "CHANNEL_ERROR"
    assert "Unauthorized" in intruder["reason"]


def test_changes_reach_only_those_who_may_select_the_row(seen: Steps) -> None:
    listening, live = seen["listening"], seen["live"]
    assert live["ada"]["id"] == listening["ada_notification"]
    assert live["ben"]["id"] == listening["ben_notification"]


def test_a_refreshed_session_goes_on_living(seen: Steps) -> None:
    step = seen["refresh"]
    assert (step["error"], step["renewed"], step["reports"]) == (None, True, 1)
    assert seen["still_live"]["event"]["payload"]["id"] == step["notification"]


def test_after_sign_out_nothing_is_left_of_the_session(seen: Steps) -> None:
    step = seen["sign_out"]
    assert (step["error"], step["session"]) == (None, None)
    assert step["old_token"] == "AuthSessionMissingError"
    assert step["old_refresh_token"] == "refresh_token_not_found"
    assert step["reports"] in (0, "42501")
