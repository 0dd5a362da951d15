"""The real JavaScript client, under Deno: it speaks version 2.0.0 of the protocol, with its binary frames."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from pathlib import Path
from typing import Any

from sauti_local.functions import deno_environment
from sauti_local.paths import ROOT, deno_binary
from tests.local.realtime.backend import Backend, Listener

SCRIPT = Path(__file__).with_name("javascript_channels.ts")
SECONDS = 30


async def play(backend: Backend, users: list[str]) -> dict[str, Any]:
    """Run the script to its end, causing what it waits for. What it saw, by step."""
    environment = deno_environment() | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    del environment["DENO_NO_PACKAGE_JSON"]
    process = await asyncio.create_subprocess_exec(
        deno_binary(), "run", "--quiet", "--no-prompt", "--no-lock", "--cached-only", "--allow-net", "--allow-env",
        "--allow-read", os.fspath(SCRIPT),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    plan = {
        "url": str(backend.http.make_url("")).rstrip("/"),
        "anon_key": backend.token(),
        "tokens": [backend.token(user) for user in users],
    }
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(SECONDS):
            process.stdin.write(json.dumps(plan).encode())
            process.stdin.close()
            while line := await process.stdout.readline():
                step = json.loads(line)
                seen[step.pop("step")] = step
                if "listening" in seen and "live" not in seen:
                    for owner, amount in ((users[0], 9), (users[1], 5), (users[1], 6)):
                        await backend.execute("insert into notes (owner, amount) values (%s, %s)", owner, amount)
                    await backend.send("room", "answer", {"id": "a", "n": 3})
            assert await process.wait() == 0
    except TimeoutError:
        raise AssertionError(f"the script hangs after {list(seen)}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return seen


async def test_the_javascript_client_gets_all_that_the_protocol_promises(backend: Backend) -> None:
    users = [str(uuid.uuid4()) for _ in range(2)]
    python = await (await Listener.join(await backend.client(users[0]), "room", private=True)).joined()
    seen = await play(backend, users)
    assert seen["joined"] == {"answers": ["SUBSCRIBED", "SUBSCRIBED"]}
    wave = {"text": "é \U0001f600"}
    assert seen["broadcast"] == {
        "acknowledged": ["ok", "ok"],
        "wave": wave,
        "bytes": [0, 255, 7],
        "http": {"n": 1},
    }
    (meta,) = seen["presence"]["state"]["ada"]
    assert (seen["presence"]["tracked"], meta["mood"]) == ("ok", "calm")
    row = seen["live"]["row"]
    assert (row["owner"], row["amount"]) == (users[1], 6)
    assert seen["live"]["answer"] == {"id": "a", "n": 3}
    assert seen["left"] == {"answers": ["ok", "ok"]}
    heard = [await python.next() for _ in range(3)]
    assert [(message["event"], message["payload"]) for message in heard] == [
        ("wave", wave),
        ("http", {"n": 1}),
        ("answer", {"id": "a", "n": 3}),
    ]
