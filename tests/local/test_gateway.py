"""The gateway lets nobody in without a key, speaks as the hosted one does, and passes everything else on untouched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sauti_local.functions import FunctionServer
from sauti_local.gateway import GatewaySettings, gateway_application
from sauti_local.keys import Keys, api_key
from sauti_local.project import ProjectConfig
from sauti_local.stack import Stack

KEYS = Keys.generate()


@asynccontextmanager
async def serving(settings: GatewaySettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway with these settings."""
    async with TestServer(gateway_application(settings, None, None)) as server:
        url = str(server.make_url(""))
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield client


@pytest.fixture
async def upstream() -> AsyncIterator[TestServer]:
    """Tells what it was sent."""

    async def echo(request: web.Request) -> web.StreamResponse:
        if request.path == "/stream":
            stream = web.StreamResponse(headers={"Content-Range": "0-1/*", "Access-Control-Allow-Origin": "null"})
            await stream.prepare(request)
            for number in range(3):
                await stream.write(f"{number}\n".encode())
            return stream
        return web.json_response(
            {
                "method": request.method,
                "target": request.raw_path,
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": (await request.read()).decode("latin-1"),
            },
            status=int(request.query.get("status", 200)),
            headers={"X-From": "upstream", "Connection": "X-Private", "X-Private": "hop"},
        )

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", echo)
    async with TestServer(application) as server:
        yield server


@pytest.fixture
async def gateway(upstream: TestServer) -> AsyncIterator[httpx.AsyncClient]:
    settings = GatewaySettings(
        anon_key=KEYS.anon_key,
        service_role_key=KEYS.service_role_key,
        jwt_secret=KEYS.jwt_secret,
        rest_url=str(upstream.make_url("")).rstrip("/"),
        functions_url=str(upstream.make_url("")).rstrip("/"),
        functions_without_jwt=frozenset({"open"}),
    )
    async with serving(settings) as client:
        yield client


KEY = {"apikey": KEYS.anon_key}


async def test_without_a_key_nobody_comes_in(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get("/rest/v1/reports", headers={"Authorization": f"Bearer {KEYS.service_role_key}"})
    assert answer.status_code == 401
    assert answer.json() == {
        "message": "No API key found in request",
        "hint": "No `apikey` request header or url param was found.",
    }


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        "é",
        KEYS.anon_key[:-1],
        KEYS.anon_key + "=",
        api_key("service_role", "another secret of thirty-two bytes"),
        api_key("postgres", KEYS.jwt_secret),
        jwt.encode({"role": "service_role"}, "", algorithm="none"),
    ],
    ids=["blank", "short", "not ascii", "cut", "padded", "other secret", "other role", "unsigned"],
)
async def test_only_the_two_keys_of_this_project_open(gateway: httpx.AsyncClient, key: str) -> None:
    answer = await gateway.get("/rest/v1/reports", params={"apikey": key} if key else {"apikey": " "})
    assert answer.status_code == 401
    assert answer.json()["message"] == "Invalid API key"


async def test_a_key_in_the_address_is_as_good_as_one_in_the_header(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/rest/v1/reports", params=KEY)).status_code == 200


async def test_the_key_speaks_for_who_brings_no_token_and_only_then(gateway: httpx.AsyncClient) -> None:
    seen = (await gateway.get("/rest/v1/x", headers=KEY)).json()["headers"]
    assert seen["authorization"] == f"Bearer {KEYS.anon_key}"
    seen = (await gateway.get("/rest/v1/x", headers=KEY | {"Authorization": "Bearer mine"})).json()["headers"]
    assert seen["authorization"] == "Bearer mine"


async def test_method_address_body_and_status_pass_unchanged(gateway: httpx.AsyncClient) -> None:
    raw = "/rest/v1/rpc/f?a=eq.%C3%A4%2Fb%20c&b=in.(1,2)&a=gt.1&status=409"
    body = bytes(range(256)) * 4096
    answer = await gateway.request("PATCH", raw, headers=KEY | {"Prefer": "count=exact"}, content=body)
    seen = answer.json()
    assert (answer.status_code, answer.headers["X-From"]) == (409, "upstream")
    assert (seen["method"], seen["target"]) == ("PATCH", raw.removeprefix("/rest/v1"))
    assert seen["headers"]["prefer"] == "count=exact"
    assert seen["body"].encode("latin-1") == body


async def test_headers_of_one_connection_stay_on_it(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get("/rest/v1/x", headers=KEY | {"Connection": "X-Mine", "X-Mine": "hop", "TE": "trailers"})
    assert not {"x-mine", "te"} & set(answer.json()["headers"])
    assert "X-Private" not in answer.headers


async def test_pages_of_any_origin_may_ask_and_read(gateway: httpx.AsyncClient) -> None:
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    answer = await gateway.options(
        "/rest/v1/reports", headers=asked | {"Access-Control-Request-Headers": "apikey,prefer"}
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == "apikey,prefer"
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    streamed = await gateway.get("/rest/v1/stream", headers=KEY)
    assert (streamed.text, streamed.headers.get_list("Access-Control-Allow-Origin")) == ("0\n1\n2\n", ["*"])
    refused = await gateway.get("/rest/v1/reports")
    assert refused.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_part_that_is_down_is_a_502_without_a_word_about_it() -> None:
    settings = GatewaySettings(KEYS.anon_key, KEYS.service_role_key, KEYS.jwt_secret, rest_url="http://127.0.0.1:9")
    async with serving(settings) as client:
        answer = await client.get("/rest/v1/reports", headers=KEY)
    assert answer.status_code == 502
    assert "127.0.0.1" not in answer.text


def token(**claims: Any) -> str:
    return jwt.encode({"role": "authenticated", "sub": "x", "exp": time.time() + 3600} | claims, KEYS.jwt_secret)


@pytest.mark.parametrize(
    ("authorization", "status", "message"),
    [
        (None, 401, "Missing authorization header"),
        ("Bearer nonsense", 401, "Invalid JWT"),
        (f"Basic {KEYS.anon_key}", 401, "Invalid JWT"),
        (f"Bearer {token(exp=time.time() - 60)}", 401, "Invalid JWT"),
        (f"Bearer {jwt.encode({'role': 'authenticated'}, 'x' * 32)}", 401, "Invalid JWT"),
        (f"Bearer {token(aud='authenticated')}", 200, None),
        (f"Bearer {KEYS.anon_key}", 200, None),
    ],
    ids=["none", "nonsense", "other scheme", "expired", "other secret", "user", "anon key"],
)
async def test_a_function_that_wants_a_jwt_sees_only_good_ones(
    gateway: httpx.AsyncClient, authorization: str | None, status: int, message: str | None
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = await gateway.post("/functions/v1/closed/path", headers=headers)
    assert answer.status_code == status
    assert answer.json().get("message") == message
    if status == 200:
        assert answer.json()["target"] == "/closed/path"


async def test_a_function_without_jwt_check_sees_everybody(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/functions/v1/open/x?y=z")).json()["target"] == "/open/x?y=z"


async def test_preflight_requests_to_functions_are_the_functions_own(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.options("/functions/v1/closed", headers={"Access-Control-Request-Method": "POST"})
    assert answer.json()["method"] == "OPTIONS"
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "path", ["open/../closed", "open/%2e%2e/closed", "open/x/%2E./%2e%2e/closed", "open/..%5cclosed"]
)
async def test_a_path_cannot_borrow_the_rule_of_another_function(gateway: httpx.AsyncClient, path: str) -> None:
    url = httpx.URL(str(gateway.base_url)).copy_with(raw_path=f"/functions/v1/{path}".encode())
    answer = await gateway.send(httpx.Request("GET", url))
    # 401: the path was resolved before the rule was looked up.
    assert answer.status_code in (401, 404)


def test_settings_of_the_project_are_read_from_its_config(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        "[functions.open]\nverify_jwt = false\n[functions.closed]\nverify_jwt = true\n[functions.plain]\n"
        "[auth]\njwt_expiry = 60\nminimum_password_length = 12\n[api]\nmax_rows = 5\n"
    )
    assert ProjectConfig.read(config) == ProjectConfig(frozenset({"open"}), 60, 12, 5)
    assert ProjectConfig.read(tmp_path / "none") == ProjectConfig()


def test_of_our_functions_only_those_that_check_callers_themselves_go_without_a_jwt() -> None:
    assert ProjectConfig.read().functions_without_jwt <= {"api", "calendar-feed", "cal-com-webhook"}


async def test_functions_of_one_process_do_not_harm_each_other(tmp_path: Path) -> None:
    sources = {
        "hello": "Deno.serve((request) => Response.json({path: new URL(request.url).pathname,"
        " secret: Deno.env.get('SAUTI_X')}));",
        "object": "Deno.serve({ port: 1, handler: () => new Response('object') });",
        "throws": "Deno.serve(() => { throw new Error('private detail'); });",
        "rejects": "Deno.serve(() => { Promise.reject(new Error('late')); return new Response('sent'); });",
        "broken": "import './missing.ts'; Deno.serve(() => new Response('never'));",
        "silent": "export {};",
        "reads": "Deno.serve(() => { try { Deno.readTextFileSync('/etc/hostname'); return new Response('read'); }"
        " catch (error) { return new Response(error.name); } });",
        "_shared": "Deno.serve(() => new Response('shared'));",
    }
    folder = tmp_path / "with spaces & more"
    for name, source in sources.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "index.ts").write_text(source)
    server = FunctionServer({"SAUTI_X": "y"}, tmp_path / "log", folder)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            seen = {name: await client.get(f"/{name}/a") for name in [*sources, "other", "rejects", "hello"]}
    finally:
        await server.stop()
    assert seen["hello"].json() == {"path": "/hello/a", "secret": "y"}
    assert (seen["object"].text, seen["rejects"].text) == ("object", "sent")
    assert seen["reads"].text in ("NotCapable", "PermissionDenied")
    statuses = {name: answer.status_code for name, answer in seen.items()}
    assert statuses | {"throws": 500, "broken": 503, "silent": 503, "_shared": 404, "other": 404} == statuses
    assert "private detail" not in seen["throws"].text


async def test_the_running_gateway_serves_its_four_parts(stack: Stack) -> None:
    key = {"apikey": stack.addresses.anon_key}
    async with httpx.AsyncClient(base_url=stack.addresses.api_url, headers=key, trust_env=False) as client:
        assert (await client.get("/rest/v1/")).json()["basePath"] == "/rest/v1"
        assert (await client.get("/auth/v1/settings")).status_code == 200
        assert (await client.get("/realtime/v1/websocket", params=key)).status_code in (400, 426)
        assert (await client.post("/functions/v1/none", headers={"Authorization": f"Bearer {key['apikey']}"})).json()[
            "code"
        ] == "NOT_FOUND"
        assert (await client.get("/else")).status_code == 404


async def test_a_client_that_goes_away_is_no_error_of_the_gateway(caplog: pytest.LogCaptureFixture) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        asked.set()
        await gone.wait()
        return web.Response(text="late")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", slow)
    async with TestServer(application) as upstream:
        rest_url = str(upstream.make_url("")).rstrip("/")
        settings = GatewaySettings(KEYS.anon_key, KEYS.service_role_key, KEYS.jwt_secret, rest_url=rest_url)
        # Not a TestServer, which cancels the handler of a connection that is lost.
        runner = web.AppRunner(gateway_application(settings, None, None), shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            _, writer = await asyncio.open_connection(*runner.addresses[0])
            writer.write(f"GET /rest/v1/t HTTP/1.1\r\nHost: gateway\r\napikey: {KEYS.anon_key}\r\n\r\n".encode())
            async with asyncio.timeout(10):
                await asked.wait()
                writer.transport.abort()
                assert runner.server is not None
                while any(connection.connected for connection in runner.server.connections):
                    await asyncio.sleep(0.01)
                gone.set()
                while runner.server.connections:
                    await asyncio.sleep(0.01)
        finally:
            await runner.cleanup()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
