"""An SMS provider that answers as it is told, for both APIs. Loopback only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class SmsProvider:
    """`answer` is (status, headers, JSON); None hangs up after having taken the message."""

    url: str = ""
    answer: tuple[int, dict[str, str], Any] | None = (201, {}, {"sid": "SM1", "status": "queued"})
    forms: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        if self.answer is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        status, headers, body = self.answer
        return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def sms_provider() -> AsyncIterator[SmsProvider]:
    provider = SmsProvider()
    application = web.Application()
    application.router.add_post("/{path:.*}", provider.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()
