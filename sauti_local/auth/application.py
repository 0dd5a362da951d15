"""The aiohttp application that the gateway mounts at /auth/v1."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from sauti_local.auth.database import SERVICE, Service
from sauti_local.auth.errors import answer_errors
from sauti_local.auth.handlers import admin, information, logout, signup, token, user
from sauti_local.auth.passwords import Passwords
from sauti_local.auth.settings import AuthSettings


def auth_application(settings: AuthSettings) -> web.Application:
    """The Auth stand-in over the database of `settings`; its connections live from start-up to clean-up."""
    application = web.Application(middlewares=[answer_errors])

    async def serve(application: web.Application) -> AsyncIterator[None]:
        pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            settings.db_url,
            connection_class=AsyncConnection[DictRow],
            kwargs={"row_factory": dict_row, "application_name": "sauti_local.auth"},
            min_size=1,
            max_size=8,
            open=False,
            # A restarted database must not cost one failed request for each idle connection.
            check=AsyncConnectionPool.check_connection,
            timeout=10,
            name="auth",
        )
        async with pool:
            application[SERVICE] = Service(settings, Passwords(settings.bcrypt_rounds), pool)
            yield

    application.cleanup_ctx.append(serve)
    application.add_routes(
        [
            web.post("/signup", signup.sign_up),
            web.post("/token", token.token),
            web.get("/user", user.get_user),
            web.put("/user", user.update_user),
            web.post("/logout", logout.log_out),
            web.get("/settings", information.settings),
            web.get("/health", information.health),
            web.get("/.well-known/jwks.json", information.jwks),
            web.get("/admin/users", admin.list_users),
            web.post("/admin/users", admin.create_user),
            web.get("/admin/users/{user_id}", admin.get_user),
            web.put("/admin/users/{user_id}", admin.update_user),
            web.delete("/admin/users/{user_id}", admin.delete_user),
        ]
    )
    return application
