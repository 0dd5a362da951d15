"""POST /token: the password grant and the refresh grant."""

from __future__ import annotations

import datetime

from aiohttp import web

from sauti_local.auth import sessions, users, validation
from sauti_local.auth.audit import record
from sauti_local.auth.body import read_body
from sauti_local.auth.database import SERVICE, Connection, Service
from sauti_local.auth.errors import AuthError, WeakPasswordError, bad_request, validation_failed
from sauti_local.auth.grants import origin_of, session_response, start_session
from sauti_local.auth.tokens import check_refresh_token_form
from sauti_local.auth.users import User


async def token(request: web.Request) -> web.Response:
    """Dispatch on `grant_type`."""
    match request.query.get("grant_type"):
        case "password":
            return await _password_grant(request)
        case "refresh_token":
            return await _refresh_grant(request)
        case _:
            raise bad_request("invalid_credentials", "unsupported_grant_type")


def _wrong_credentials() -> AuthError:
    return bad_request("invalid_credentials", "Invalid login credentials")


async def _find(connection: Connection, email: str, phone: str) -> User | None:
    if email:
        return await users.find_by_email(connection, email)
    return await users.find_by_phone(connection, validation.bare_phone(phone))


async def _password_grant(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    body = await read_body(request)
    email, phone, password = body.text("email"), body.text("phone"), body.text("password")
    if email and phone:
        raise validation_failed("Only an email address or phone number should be provided on login.")
    if not email and not phone:
        raise validation_failed("missing email or phone")

    async with service.pool.connection() as connection:
        user = await _find(connection, email, phone)
    matches = await service.passwords.verify(password, user.encrypted_password if user else None)
    if user is None or not user.encrypted_password:
        raise _wrong_credentials()
    if user.is_banned(service.now()):
        raise bad_request("user_banned", "User is banned")
    if not matches:
        raise _wrong_credentials()
    if email and user.email_confirmed_at is None:
        raise bad_request("email_not_confirmed", "Email not confirmed")
    if phone and user.phone_confirmed_at is None:
        raise bad_request("phone_not_confirmed", "Phone not confirmed")

    now = service.now()
    async with service.pool.connection() as connection:
        # Checked again under the lock: a password changed, or an account removed meanwhile, opens no session.
        current = await users.find_user(connection, user.id, lock=True)
        if current is None or current.encrypted_password != user.encrypted_password:
            raise _wrong_credentials()
        await record(connection, "login", now, actor=user, traits={"provider": "email" if email else "phone"})
        response = await start_session(service, connection, user.id, "password", origin_of(request), now)
    try:
        validation.check_password_strength(password, service.settings)
    except WeakPasswordError as weak:
        response["weak_password"] = {"message": weak.message, "reasons": weak.reasons}
    return web.json_response(response)


def _used_already() -> AuthError:
    return bad_request("refresh_token_already_used", "Invalid Refresh Token: Already Used")


async def _refresh_grant(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    body = await read_body(request)
    presented = body.text("refresh_token")
    check_refresh_token_form(presented)

    now = service.now()
    async with service.pool.connection() as connection:
        used = await sessions.lock_refresh_token(connection, presented)
        user = await users.find_user(connection, used.user_id) if used else None
        if used is None or user is None:
            raise bad_request("refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
        if user.is_banned(now):
            raise bad_request("user_banned", "Invalid Refresh Token: User Banned")
        if used.session_id is None:
            raise bad_request("session_not_found", "Invalid Refresh Token: No Valid Session Found")
        issued = await _exchange(service, connection, user, used, now)
        if issued is not None:
            await sessions.touch_session(connection, used.session_id, origin_of(request), now)
            response = await session_response(service, connection, user, used.session_id, issued)
    # Outside of the transaction: the revocation of the family must be committed, not rolled back with the refusal.
    if issued is None:
        raise _used_already()
    return web.json_response(response)


async def _exchange(
    service: Service,
    connection: Connection,
    user: User,
    used: sessions.RefreshToken,
    now: datetime.datetime,
) -> str | None:
    """The refresh token to go on with; None when `used` was used before, its family now being revoked.

    Two kinds of reuse are let through, as with GoTrue: the parent of the active token gives the active token again (the
    client never stored the last answer), and a token revoked moments ago gives a new one (two tabs at once).
    """
    assert used.session_id is not None
    if used.revoked:
        active = await sessions.active_token(connection, used.session_id)
        if active is not None and active[1] == used.token:
            await record(connection, "token_refreshed", now, actor=user)
            return active[0]
        interval = datetime.timedelta(seconds=service.settings.refresh_reuse_interval)
        # No active token means that the family was revoked for abuse: then nothing of it is good again.
        if active is None or now > used.updated_at + interval:
            await sessions.revoke_family(connection, used.session_id, now)
            return None
    await record(connection, "token_refreshed", now, actor=user)
    await record(connection, "token_revoked", now, actor=user)
    return await sessions.swap_token(connection, used, used.session_id, now)
