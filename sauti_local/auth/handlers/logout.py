"""POST /logout: end this session, the others, or all of them."""

from __future__ import annotations

from aiohttp import web

from sauti_local.auth import sessions
from sauti_local.auth.audit import record
from sauti_local.auth.caller import authenticate
from sauti_local.auth.database import SERVICE
from sauti_local.auth.errors import validation_failed


async def log_out(request: web.Request) -> web.Response:
    """End sessions by `scope`: `global` (the default), `local` or `others`. Access tokens run on until they expire."""
    service = request.app[SERVICE]
    async with service.pool.connection() as connection:
        caller = await authenticate(request, connection)
        scope = request.query.get("scope") or "global"
        if scope not in {"global", "local", "others"}:
            raise validation_failed("Unsupported logout scope")
        await record(connection, "logout", service.now(), actor=caller.user)
        if caller.session_id is None or scope == "global":
            await sessions.end_all_sessions(connection, caller.user.id)
        elif scope == "local":
            await sessions.end_session(connection, caller.session_id)
        else:
            await sessions.end_all_sessions(connection, caller.user.id, besides=caller.session_id)
    return web.Response(status=204)
