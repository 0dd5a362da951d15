"""GET and PUT /user: the caller's own account."""

from __future__ import annotations

from typing import Any

import psycopg
from aiohttp import web

from sauti_local.auth import sessions, users, validation
from sauti_local.auth.audit import record
from sauti_local.auth.body import read_body
from sauti_local.auth.caller import Caller, authenticate
from sauti_local.auth.database import SERVICE, Service
from sauti_local.auth.errors import (
    database_error,
    duplicate_address,
    email_exists,
    forbidden,
    phone_exists,
    unprocessable,
)
from sauti_local.auth.grants import loaded


async def get_user(request: web.Request) -> web.Response:
    """The caller's account."""
    async with request.app[SERVICE].pool.connection() as connection:
        caller = await authenticate(request, connection)
    return web.json_response(caller.user.as_json())


async def _checked_password(service: Service, caller: Caller, password: str, has_address: bool) -> str:
    """The hash of a new password. Raises `validation_failed` or `same_password` (422)."""
    if caller.user.is_anonymous and not has_address:
        message = "Updating password of an anonymous user without an email or phone is not allowed"
        raise unprocessable("validation_failed", message)
    current = caller.user.encrypted_password
    if current and await service.passwords.verify(password, current):
        raise unprocessable("same_password", "New password should be different from the old password.")
    return await service.passwords.hash(password)


async def update_user(request: web.Request) -> web.Response:
    """Change address, password or metadata. The first address of an anonymous account makes it permanent."""
    service = request.app[SERVICE]
    async with service.pool.connection() as connection:
        caller = await authenticate(request, connection)

    body = await read_body(request)
    email, phone, password = body.text("email"), body.text("phone"), body.optional_text("password")
    data, app_metadata = body.mapping("data"), body.mapping("app_metadata")
    email = validation.checked_email(email) if email else ""
    phone = validation.checked_phone(phone) if phone else ""
    if password is not None:
        validation.check_password_strength(password, service.settings)
    if app_metadata is not None:
        raise forbidden("not_admin", "Updating app_metadata requires admin privileges")
    encrypted_password: str | None = None
    if password is not None:
        encrypted_password = await _checked_password(service, caller, password, bool(email or phone))

    now = service.now()
    try:
        async with service.pool.connection() as connection:
            user = await users.find_user(connection, caller.user.id, lock=True)
            if user is None:
                raise forbidden("user_not_found", "User from sub claim in JWT does not exist")
            if email and email != user.email and await users.email_is_taken(connection, email, besides=user.id):
                raise email_exists()
            if phone and phone != user.phone and await users.phone_is_taken(connection, phone, besides=user.id):
                raise phone_exists()

            changes: dict[str, object] = {}
            metadata: dict[str, Any] = users.merged(user.user_metadata, data or {})
            if encrypted_password is not None:
                changes["encrypted_password"] = encrypted_password
                await record(connection, "user_updated_password", now, actor=user)
            if email and email != user.email:
                await users.save_identity(connection, user, "email", now, {"email": email, "email_verified": True})
                changes |= {"email": email, "is_anonymous": False}
                if user.email_confirmed_at is None:
                    changes["email_confirmed_at"] = now
                    metadata["email_verified"] = True
            if phone and phone != user.phone:
                await users.save_identity(connection, user, "phone", now, {"phone": phone, "phone_verified": True})
                changes |= {"phone": phone, "phone_confirmed_at": now, "is_anonymous": False}
            if metadata != user.user_metadata:
                changes["raw_user_meta_data"] = metadata
            await users.update_user(connection, user.id, now, changes)
            if encrypted_password is not None:
                # Whoever knew the old password is out; the caller's own session goes on.
                await sessions.end_all_sessions(connection, user.id, besides=caller.session_id)
            await record(connection, "user_modified", now, actor=user)
            updated = await loaded(connection, user.id)
    except psycopg.Error as error:
        raise duplicate_address(error) or database_error("Error updating user", error) from error
    return web.json_response(updated.as_json())
