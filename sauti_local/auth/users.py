"""Accounts: `auth.users` with their `auth.identities`."""

from __future__ import annotations

import base64
import datetime
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from sauti_local.auth.database import Connection

AUDIENCE: Final = "authenticated"
DEFAULT_ROLE: Final = "authenticated"

_NIL: Final = uuid.UUID(int=0)


def _timestamp(moment: datetime.datetime) -> str:
    """RFC 3339 in UTC, as Go prints it."""
    return moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat() + "Z"


@dataclass(frozen=True)
class Identity:
    """One way in which an account can be recognised: its e-mail address or its phone number."""

    id: uuid.UUID
    provider_id: str
    user_id: uuid.UUID
    data: dict[str, Any]
    provider: str
    last_sign_in_at: datetime.datetime | None
    created_at: datetime.datetime
    updated_at: datetime.datetime
    email: str | None

    def as_json(self) -> dict[str, Any]:
        """The identity as the clients know it: their `id` is the provider's id."""
        body: dict[str, Any] = {
            "identity_id": str(self.id),
            "id": self.provider_id,
            "user_id": str(self.user_id),
            "identity_data": self.data,
            "provider": self.provider,
        }
        if self.last_sign_in_at:
            body["last_sign_in_at"] = _timestamp(self.last_sign_in_at)
        body["created_at"] = _timestamp(self.created_at)
        body["updated_at"] = _timestamp(self.updated_at)
        if self.email:
            body["email"] = self.email
        return body


@dataclass(frozen=True)
class User:
    """A row of `auth.users` with its identities, oldest first. Missing texts are empty."""

    id: uuid.UUID
    aud: str
    role: str
    email: str
    phone: str
    encrypted_password: str
    email_confirmed_at: datetime.datetime | None
    phone_confirmed_at: datetime.datetime | None
    confirmed_at: datetime.datetime | None
    last_sign_in_at: datetime.datetime | None
    app_metadata: dict[str, Any]
    user_metadata: dict[str, Any]
    created_at: datetime.datetime
    updated_at: datetime.datetime
    banned_until: datetime.datetime | None
    deleted_at: datetime.datetime | None
    is_anonymous: bool
    identities: tuple[Identity, ...]

    def is_banned(self, now: datetime.datetime) -> bool:
        """Whether a ban is in force."""
        return self.banned_until is not None and now < self.banned_until

    def identity(self, provider: str) -> Identity | None:
        """The account's identity of `provider` (`email` or `phone`)."""
        return next((identity for identity in self.identities if identity.provider == provider), None)

    def as_json(self) -> dict[str, Any]:
        """The account as the clients know it: unset times are left out, unset texts are empty."""
        body: dict[str, Any] = {"id": str(self.id), "aud": self.aud, "role": self.role, "email": self.email}
        if self.email_confirmed_at:
            body["email_confirmed_at"] = _timestamp(self.email_confirmed_at)
        body["phone"] = self.phone
        for name in ("phone_confirmed_at", "confirmed_at", "last_sign_in_at"):
            if moment := getattr(self, name):
                body[name] = _timestamp(moment)
        body["app_metadata"] = self.app_metadata
        body["user_metadata"] = self.user_metadata
        body["identities"] = [identity.as_json() for identity in self.identities]
        body["created_at"] = _timestamp(self.created_at)
        body["updated_at"] = _timestamp(self.updated_at)
        for name in ("banned_until", "deleted_at"):
            if moment := getattr(self, name):
                body[name] = _timestamp(moment)
        body["is_anonymous"] = self.is_anonymous
        return body


# Rows of seeds may leave out what GoTrue always sets, hence the defaults.
_COLUMNS: Final[LiteralString] = """
    u.id, coalesce(u.aud, '') as aud, coalesce(u.role, '') as role, coalesce(u.email, '') as email,
    coalesce(u.phone, '') as phone, coalesce(u.encrypted_password, '') as encrypted_password,
    u.email_confirmed_at, u.phone_confirmed_at, u.confirmed_at, u.last_sign_in_at,
    coalesce(u.raw_app_meta_data, '{}') as app_metadata, coalesce(u.raw_user_meta_data, '{}') as user_metadata,
    coalesce(u.created_at, 'epoch') as created_at, coalesce(u.updated_at, u.created_at, 'epoch') as updated_at,
    u.banned_until, u.deleted_at, u.is_anonymous
"""


async def _identities(connection: Connection, user_ids: list[uuid.UUID]) -> dict[uuid.UUID, list[Identity]]:
    cursor = await connection.execute(
        """
        select id, provider_id, user_id, identity_data as data, provider, last_sign_in_at,
               coalesce(created_at, 'epoch') as created_at, coalesce(updated_at, created_at, 'epoch') as updated_at,
               email
          from auth.identities where user_id = any(%s) order by created_at, id
        """,
        [user_ids],
    )
    found: dict[uuid.UUID, list[Identity]] = {user_id: [] for user_id in user_ids}
    for row in await cursor.fetchall():
        found[row["user_id"]].append(Identity(**row))
    return found


async def _load(connection: Connection, condition: LiteralString, parameters: Mapping[str, object]) -> list[User]:
    cursor = await connection.execute(f"select {_COLUMNS} from auth.users u {condition}", parameters)  # noqa: S608
    rows = await cursor.fetchall()
    identities = await _identities(connection, [row["id"] for row in rows]) if rows else {}
    return [User(**row, identities=tuple(identities[row["id"]])) for row in rows]


async def find_user(connection: Connection, user_id: uuid.UUID, *, lock: bool = False) -> User | None:
    """The account `user_id`; with `lock`, nobody else writes it before this transaction ends."""
    parameters = {"id": user_id}
    if lock:
        found = await _load(connection, "where u.id = %(id)s for update", parameters)
    else:
        found = await _load(connection, "where u.id = %(id)s", parameters)
    return found[0] if found else None


async def find_by_email(connection: Connection, email: str) -> User | None:
    """The account that signs in with this address (any case)."""
    found = await _load(
        connection,
        "where u.email = %(email)s and u.aud = %(aud)s and not u.is_sso_user",
        {"email": email.lower(), "aud": AUDIENCE},
    )
    return found[0] if found else None


async def find_by_phone(connection: Connection, phone: str) -> User | None:
    """The account that signs in with this bare number."""
    found = await _load(
        connection,
        "where u.phone = %(phone)s and u.aud = %(aud)s and not u.is_sso_user",
        {"phone": phone, "aud": AUDIENCE},
    )
    return found[0] if found else None


async def email_is_taken(connection: Connection, email: str, *, besides: uuid.UUID | None = None) -> bool:
    """Whether an account other than `besides` has the address, as its own or in an identity."""
    cursor = await connection.execute(
        """
        select exists (select from auth.users where email = %(email)s and id is distinct from %(besides)s)
            or exists (select from auth.identities where email = %(email)s and user_id is distinct from %(besides)s)
               as taken
        """,
        {"email": email, "besides": besides},
    )
    row = await cursor.fetchone()
    return row is not None and bool(row["taken"])


async def phone_is_taken(connection: Connection, phone: str, *, besides: uuid.UUID | None = None) -> bool:
    """Whether an account other than `besides` has the bare number."""
    cursor = await connection.execute(
        "select exists (select from auth.users where phone = %s and id is distinct from %s) as taken",
        [phone, besides],
    )
    row = await cursor.fetchone()
    return row is not None and bool(row["taken"])


async def list_users(
    connection: Connection, *, limit: int, offset: int, newest_first: bool, containing: str
) -> tuple[list[User], int]:
    """A page of the accounts, and how many there are in all. `containing` filters e-mail address and full name."""
    condition: LiteralString = """
        where u.aud = %(aud)s and (%(filter)s = '' or strpos(u.email, %(filter)s) > 0
               or strpos(lower(u.raw_user_meta_data ->> 'full_name'), lower(%(filter)s)) > 0)
    """
    parameters = {"aud": AUDIENCE, "filter": containing, "limit": limit, "offset": offset}
    cursor = await connection.execute(f"select count(*) as total from auth.users u {condition}", parameters)  # noqa: S608
    row = await cursor.fetchone()
    order: LiteralString = "desc" if newest_first else "asc"
    page = f"{condition} order by u.created_at {order}, u.id limit %(limit)s offset %(offset)s"
    return await _load(connection, page, parameters), int(row["total"]) if row else 0


async def insert_user(
    connection: Connection,
    now: datetime.datetime,
    *,
    email: str = "",
    phone: str = "",
    encrypted_password: str = "",
    app_metadata: Mapping[str, Any],
    user_metadata: Mapping[str, Any],
    is_anonymous: bool = False,
    user_id: uuid.UUID | None = None,
    aud: str = AUDIENCE,
) -> uuid.UUID:
    """Write the row of a new account and give back its id.

    As with GoTrue, role and confirmation come in a later UPDATE of the same transaction: a trigger `after insert`
    must not count on them.
    """
    user_id = user_id or uuid.uuid4()
    await connection.execute(
        """
        insert into auth.users (
          instance_id, id, aud, role, email, phone, encrypted_password, raw_app_meta_data, raw_user_meta_data,
          is_anonymous, created_at, updated_at, confirmation_token, recovery_token, email_change_token_new, email_change
        ) values (
          %(instance_id)s, %(id)s, %(aud)s, '', nullif(%(email)s, ''), nullif(%(phone)s, ''), %(encrypted_password)s,
          %(app_metadata)s, %(user_metadata)s, %(is_anonymous)s, %(now)s, %(now)s, '', '', '', ''
        )
        """,
        {
            "instance_id": _NIL,
            "id": user_id,
            "aud": aud,
            "email": email,
            "phone": phone,
            "encrypted_password": encrypted_password,
            "app_metadata": Jsonb(app_metadata),
            "user_metadata": Jsonb(user_metadata),
            "is_anonymous": is_anonymous,
            "now": now,
        },
    )
    return user_id


async def update_user(
    connection: Connection, user_id: uuid.UUID, now: datetime.datetime, changes: Mapping[str, object]
) -> None:
    """Set columns of `auth.users` (names → values; dictionaries are stored as jsonb)."""
    values = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in changes.items()}
    values["updated_at"] = now
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    statement = sql.SQL("update auth.users set {} where id = {}").format(assignments, sql.Placeholder("user_id"))
    await connection.execute(statement, {**values, "user_id": user_id})


async def save_identity(
    connection: Connection, user: User, provider: str, now: datetime.datetime, data: Mapping[str, Any]
) -> None:
    """Add the account's identity of `provider`, or merge `data` into the one it has."""
    if (identity := user.identity(provider)) is not None:
        await connection.execute(
            "update auth.identities set identity_data = identity_data || %s, updated_at = %s where id = %s",
            [Jsonb(data), now, identity.id],
        )
        return
    await connection.execute(
        """
        insert into auth.identities
          (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
        values (%(provider_id)s, %(user_id)s, %(data)s, %(provider)s, %(now)s, %(now)s, %(now)s)
        """,
        {
            "provider_id": str(user.id),
            "user_id": user.id,
            "data": Jsonb({"sub": str(user.id), "email_verified": False, "phone_verified": False, **data}),
            "provider": provider,
            "now": now,
        },
    )


def merged(old: Mapping[str, Any], updates: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with `updates` applied: a null removes its key."""
    return {key: value for key, value in {**old, **updates}.items() if key not in updates or value is not None}


async def delete_user(connection: Connection, user_id: uuid.UUID) -> None:
    """Remove the account; identities, sessions and everything that cascades go with it."""
    await connection.execute("delete from auth.users where id = %s", [user_id])


async def soft_delete_user(connection: Connection, user: User, now: datetime.datetime) -> None:
    """Keep the row, make its owner unknowable: addresses become hashes, metadata and password go, sessions end."""

    def hidden(value: str) -> str:
        digest = hashlib.sha256(f"{user.id}{value}".encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    await update_user(
        connection,
        user.id,
        now,
        {
            "email": hidden(user.email),
            "phone": hidden(user.phone)[:15],
            "encrypted_password": None,
            "raw_app_meta_data": {},
            "raw_user_meta_data": {},
            "deleted_at": now,
        },
    )
    for identity in user.identities:
        await connection.execute(
            "update auth.identities set identity_data = '{}', provider_id = %s, updated_at = %s where id = %s",
            [hidden(f"{identity.provider}:{identity.provider_id}"), now, identity.id],
        )
    await connection.execute("delete from auth.sessions where user_id = %s", [user.id])
