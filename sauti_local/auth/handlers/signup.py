"""POST /signup: e-mail or phone with a password, or nothing at all for an anonymous account."""

from __future__ import annotations

from typing import Any

import psycopg
from aiohttp import web

from sauti_local.auth import users, validation
from sauti_local.auth.audit import record
from sauti_local.auth.body import Body, read_body
from sauti_local.auth.database import SERVICE
from sauti_local.auth.errors import (
    database_error,
    duplicate_address,
    user_already_exists,
    validation_failed,
)
from sauti_local.auth.grants import loaded, origin_of, start_session


async def sign_up(request: web.Request) -> web.Response:
    """Make an account and sign it in."""
    body = await read_body(request)
    if not body.text("email") and not body.text("phone"):
        return await _sign_up_anonymously(request, body)

    service = request.app[SERVICE]
    email, phone, password = body.text("email"), body.text("phone"), body.text("password")
    data = body.mapping("data") or {}
    if not password:
        raise validation_failed("Signup requires a valid password")
    validation.check_password_strength(password, service.settings)
    if email and phone:
        raise validation_failed("Only an email address or phone number should be provided on signup.")
    provider = "email" if email else "phone"
    email = validation.checked_email(email) if email else ""
    phone = validation.checked_phone(phone) if phone else ""

    now = service.now()
    encrypted_password = await service.passwords.hash(password)
    try:
        async with service.pool.connection() as connection:
            taken = (
                await users.email_is_taken(connection, email)
                if email
                else await users.phone_is_taken(connection, phone)
            )
            if taken:
                raise user_already_exists()
            user_id = await users.insert_user(
                connection,
                now,
                email=email,
                phone=phone,
                encrypted_password=encrypted_password,
                app_metadata={"provider": provider, "providers": [provider]},
                user_metadata=data,
            )
            user = await loaded(connection, user_id)
            identity_data: dict[str, Any] = {**data, "sub": str(user_id), "email_verified": False}
            identity_data |= {"phone_verified": False, provider: email or phone}
            await users.save_identity(connection, user, provider, now, identity_data)
            changes: dict[str, object] = {"role": users.DEFAULT_ROLE, f"{provider}_confirmed_at": now}
            if email:
                changes["raw_user_meta_data"] = {**user.user_metadata, "email_verified": True}
            await users.update_user(connection, user_id, now, changes)
            await record(connection, "user_signedup", now, actor=user, traits={"provider": provider})
            await record(connection, "login", now, actor=user, traits={"provider": provider})
            response = await start_session(service, connection, user_id, "password", origin_of(request), now)
    except psycopg.Error as error:
        # Two sign-ups of one address at once: the unique key decides, the loser gets the same answer as a latecomer.
        if duplicate_address(error) is not None:
            raise user_already_exists() from error
        raise database_error("Database error saving new user", error) from error
    return web.json_response(response)


async def _sign_up_anonymously(request: web.Request, body: Body) -> web.Response:
    service = request.app[SERVICE]
    data = body.mapping("data") or {}
    now = service.now()
    try:
        async with service.pool.connection() as connection:
            user_id = await users.insert_user(connection, now, app_metadata={}, user_metadata=data, is_anonymous=True)
            await users.update_user(connection, user_id, now, {"role": users.DEFAULT_ROLE})
            response = await start_session(service, connection, user_id, "anonymous", origin_of(request), now)
    except psycopg.Error as error:
        raise database_error("Database error creating anonymous user", error) from error
    return web.json_response(response)
