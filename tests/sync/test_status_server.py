"""`/healthz` and `/metrics`: true answers, and no way in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest

from sauti_sync.metrics import Metrics
from sauti_sync.status_server import StatusServer


class Served:
    def __init__(self) -> None:
        self.healthy = True
        self.metrics = Metrics()
        self.server = StatusServer(lambda: (self.healthy, {"status": "ok"}), self.metrics.expose)
        self.port = 0


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    served.port = await served.server.start("127.0.0.1", 0)
    yield served
    await served.server.stop()
    await asyncio.sleep(0)


async def ask(served: Served, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.request(method, f"http://127.0.0.1:{served.port}{path}")


async def test_health_is_told_by_the_status(served: Served) -> None:
    answer = await ask(served, "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    served.healthy = False
    assert (await ask(served, "/healthz?x=1")).status_code == 503


async def test_metrics_are_in_the_format_of_prometheus(served: Served) -> None:
    served.metrics.observe_outbox({"pending": 3, "running": 1, "dead": 2, "oldest_pending_seconds": 7.5})
    answer = await ask(served, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'sauti_outbox_jobs{state="dead"} 2.0' in answer.text
    assert "sauti_outbox_oldest_pending_seconds 7.5" in answer.text


async def test_head_has_no_body_and_other_requests_are_refused(served: Served) -> None:
    head = await ask(served, "/healthz", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert (await ask(served, "/healthz", "POST")).status_code == 405
    assert (await ask(served, "/")).status_code == 404
    assert (await ask(served, "/../etc/passwd")).status_code == 404


@pytest.mark.parametrize("request_bytes", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe\r\n\r\n", b"x" * 20_000])
async def test_nonsense_closes_the_connection_and_nothing_else(served: Served, request_bytes: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(request_bytes)
    async with asyncio.timeout(8):
        with suppress(ConnectionError):
            assert not (await reader.read()).startswith(b"HTTP/1.1 2")
    writer.close()
    assert (await ask(served, "/healthz")).status_code == 200
