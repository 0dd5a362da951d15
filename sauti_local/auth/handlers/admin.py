"""/admin/users: accounts, for holders of the service key."""

from __future__ import annotations

import secrets
import uuid
from typing import Any, Final

import psycopg
from aiohttp import web
from yarl import URL

from sauti_local.auth import sessions, users, validation
from sauti_local.auth.audit import record
from sauti_local.auth.body import Body, read_body
from sauti_local.auth.caller import require_admin
from sauti_local.auth.database import SERVICE, Connection
from sauti_local.auth.errors import (
    AuthError,
    database_error,
    duplicate_address,
    email_exists,
    phone_exists,
    validation_failed,
)
from sauti_local.auth.grants import loaded
from sauti_local.auth.passwords import is_bcrypt_hash
from sauti_local.auth.users import User

_DEFAULT_PER_PAGE: Final = 50
_MAX_OFFSET: Final = 2**63 - 1


async def _authorize(request: web.Request) -> None:
    async with request.app[SERVICE].pool.connection() as connection:
        await require_admin(request, connection)


def _user_id(request: web.Request) -> uuid.UUID:
    try:
        return uuid.UUID(request.match_info["user_id"])
    except ValueError:
        raise AuthError(404, "validation_failed", "user_id must be an UUID") from None


async def _required(connection: Connection, user_id: uuid.UUID, *, lock: bool = False) -> User:
    user = await users.find_user(connection, user_id, lock=lock)
    if user is None:
        raise AuthError(404, "user_not_found", "User not found")
    return user


def _whole_number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name) or str(default)
    if not (text.isascii() and text.isdecimal()) or int(text[:20]) > _MAX_OFFSET:
        raise validation_failed(f"Bad Pagination Parameters: {name} must be a whole number")
    return int(text[:20]) or default


def _newest_first(request: web.Request) -> bool:
    field, _, direction = request.query.get("sort", "created_at desc").partition(" ")
    if field != "created_at" or direction.lower() not in {"", "asc", "desc"}:
        raise validation_failed("Bad Sort Parameters: only 'created_at', with 'asc' or 'desc', is allowed")
    return direction.lower() != "asc"


def _links(request: web.Request, page: int, per_page: int, total: int) -> str:
    """The `Link` header, relative to the root of the Auth API as GoTrue gives it."""
    pages = -(-total // per_page)
    path = URL("/admin/users").with_query(request.query)
    links = [f'<{path.update_query(page=page + 1)}>; rel="next"'] if pages > page else []
    return ", ".join([*links, f'<{path.update_query(page=pages)}>; rel="last"'])


async def list_users(request: web.Request) -> web.Response:
    """A page of accounts (`page`, `per_page`, `sort`, `filter`), newest first."""
    await _authorize(request)
    page, per_page = _whole_number(request, "page", 1), _whole_number(request, "per_page", _DEFAULT_PER_PAGE)
    offset, containing = (page - 1) * per_page, request.query.get("filter", "")
    if offset > _MAX_OFFSET:
        raise validation_failed("Bad Pagination Parameters: page is too large")
    if "\x00" in containing:
        raise validation_failed("Text must not contain NUL characters")
    async with request.app[SERVICE].pool.connection() as connection:
        found, total = await users.list_users(
            connection,
            limit=per_page,
            offset=offset,
            newest_first=_newest_first(request),
            containing=containing,
        )
    return web.json_response(
        {"users": [user.as_json() for user in found], "aud": users.AUDIENCE},
        headers={"X-Total-Count": str(total), "Link": _links(request, page, per_page, total)},
    )


async def get_user(request: web.Request) -> web.Response:
    """One account."""
    await _authorize(request)
    user_id = _user_id(request)
    async with request.app[SERVICE].pool.connection() as connection:
        user = await _required(connection, user_id)
    return web.json_response(user.as_json())


def _addresses(body: Body) -> tuple[str, str]:
    email, phone = body.text("email"), body.text("phone")
    return (
        validation.checked_email(email) if email else "",
        validation.checked_phone(phone) if phone else "",
    )


def _custom_id(body: Body) -> uuid.UUID | None:
    text = body.text("id")
    if not text:
        return None
    try:
        user_id = uuid.UUID(text)
    except ValueError:
        raise validation_failed("ID must conform to the uuid v4 format") from None
    if not user_id.int:
        raise validation_failed("ID cannot be a nil uuid")
    return user_id


async def _new_hash(request: web.Request, body: Body) -> str:
    """The hash to store for a new account: the one given, that of the password, or that of a random password."""
    password, ready_made = body.optional_text("password"), body.text("password_hash")
    if password is not None and ready_made:
        raise validation_failed("Only a password or a password hash should be provided")
    if ready_made:
        if not is_bcrypt_hash(ready_made):
            raise validation_failed("password_hash must be a bcrypt hash")
        return ready_made
    password = password or secrets.token_urlsafe(48)
    validation.check_password_length(password)
    return await request.app[SERVICE].passwords.hash(password)


async def create_user(request: web.Request) -> web.Response:
    """Make an account without signing it in."""
    await _authorize(request)
    service = request.app[SERVICE]
    body = await read_body(request)
    email, phone = _addresses(body)
    if not email and not phone:
        raise validation_failed("Cannot create a user without either an email or phone")
    providers = [name for name, address in (("email", email), ("phone", phone)) if address]
    email_confirm, phone_confirm = body.flag("email_confirm"), body.flag("phone_confirm")
    app_metadata, user_metadata = body.mapping("app_metadata"), body.mapping("user_metadata")
    role = validation.checked_name(body.text("role"), "role") or users.DEFAULT_ROLE
    aud = validation.checked_name(body.text("aud"), "aud") or users.AUDIENCE
    custom_id = _custom_id(body)
    now = service.now()
    ban = body.text("ban_duration")
    banned_until = validation.ban_ends(ban, now) if ban else None

    async with service.pool.connection() as connection:
        if email and await users.email_is_taken(connection, email):
            raise email_exists()
        if phone and await users.phone_is_taken(connection, phone):
            raise phone_exists()
    encrypted_password = await _new_hash(request, body)
    try:
        async with service.pool.connection() as connection:
            user_id = await users.insert_user(
                connection,
                now,
                email=email,
                phone=phone,
                encrypted_password=encrypted_password,
                app_metadata={"provider": providers[0], "providers": providers},
                user_metadata=user_metadata or {},
                user_id=custom_id,
                aud=aud,
            )
            user = await loaded(connection, user_id)
            for provider, address in (("email", email), ("phone", phone)):
                if address:
                    await users.save_identity(connection, user, provider, now, {provider: address})
            changes: dict[str, object] = {"role": role, "banned_until": banned_until}
            if app_metadata:
                changes["raw_app_meta_data"] = users.merged(user.app_metadata, app_metadata)
            if email_confirm:
                changes["email_confirmed_at"] = now
                changes["raw_user_meta_data"] = {**user.user_metadata, "email_verified": True}
            if phone_confirm:
                changes["phone_confirmed_at"] = now
            await users.update_user(connection, user_id, now, changes)
            traits = {"user_id": str(user_id), "user_email": email, "user_phone": phone, "provider": providers[0]}
            await record(connection, "user_signedup", now, actor=None, traits=traits)
            created = await loaded(connection, user_id)
    except psycopg.Error as error:
        raise duplicate_address(error) or database_error("Database error creating new user", error) from error
    return web.json_response(created.as_json())


async def update_user(request: web.Request) -> web.Response:
    """Change anything of an account. A new password ends its sessions."""
    await _authorize(request)
    service = request.app[SERVICE]
    user_id = _user_id(request)
    async with service.pool.connection() as connection:
        await _required(connection, user_id)

    body = await read_body(request)
    email, phone = _addresses(body)
    email_confirm, phone_confirm = body.flag("email_confirm"), body.flag("phone_confirm")
    app_metadata, user_metadata = body.mapping("app_metadata"), body.mapping("user_metadata")
    role = validation.checked_name(body.text("role"), "role")
    now = service.now()
    changes: dict[str, object] = {}
    if ban := body.text("ban_duration"):
        changes["banned_until"] = validation.ban_ends(ban, now)
    password = body.optional_text("password")
    if password is not None:
        validation.check_password_strength(password, service.settings)
        changes["encrypted_password"] = await service.passwords.hash(password)
    if role:
        changes["role"] = role

    try:
        async with service.pool.connection() as connection:
            user = await _required(connection, user_id, lock=True)
            metadata: dict[str, Any] = dict(user.user_metadata)
            if email_confirm:
                changes["email_confirmed_at"] = now
                metadata["email_verified"] = True
            if phone_confirm:
                changes["phone_confirmed_at"] = now
            if email:
                if await users.email_is_taken(connection, email, besides=user.id):
                    raise email_exists()
                data: dict[str, Any] = {"email": email, "email_verified": email_confirm}
                await users.save_identity(connection, user, "email", now, data)
                changes["email"] = email
            if phone:
                if await users.phone_is_taken(connection, phone, besides=user.id):
                    raise phone_exists()
                data = {"phone": phone, "phone_verified": phone_confirm}
                await users.save_identity(connection, user, "phone", now, data)
                changes["phone"] = phone
            if (email and email_confirm) or (phone and phone_confirm):
                changes["is_anonymous"] = False
            metadata = users.merged(metadata, user_metadata or {})
            if metadata != user.user_metadata:
                changes["raw_user_meta_data"] = metadata
            if app_metadata:
                changes["raw_app_meta_data"] = users.merged(user.app_metadata, app_metadata)
            await users.update_user(connection, user.id, now, changes)
            if password is not None:
                await sessions.end_all_sessions(connection, user.id)
            await record(connection, "user_modified", now, actor=None, traits={"user_id": str(user.id)})
            updated = await loaded(connection, user.id)
    except psycopg.Error as error:
        raise duplicate_address(error) or database_error("Error updating user", error) from error
    return web.json_response(updated.as_json())


async def delete_user(request: web.Request) -> web.Response:
    """Remove an account; with `should_soft_delete`, keep an unrecognisable row."""
    await _authorize(request)
    service = request.app[SERVICE]
    user_id = _user_id(request)
    body = await read_body(request, may_be_empty=True)
    softly = body.flag("should_soft_delete")
    now = service.now()
    try:
        async with service.pool.connection() as connection:
            user = await _required(connection, user_id, lock=True)
            await record(connection, "user_deleted", now, actor=None, traits={"user_id": str(user.id)})
            if not softly:
                await users.delete_user(connection, user.id)
            elif user.deleted_at is None:
                await users.soft_delete_user(connection, user, now)
    except psycopg.Error as error:
        raise database_error("Database error deleting user", error) from error
    return web.json_response({})
