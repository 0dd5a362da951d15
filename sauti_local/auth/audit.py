"""`auth.audit_log_entries`, as GoTrue writes them."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any, Final

from psycopg.types.json import Json

from sauti_local.auth.database import Connection
from sauti_local.auth.users import User

_LOG_TYPES: Final = {
    "login": "account",
    "logout": "account",
    "user_signedup": "team",
    "user_deleted": "team",
    "token_revoked": "token",
    "token_refreshed": "token",
    "user_modified": "user",
    "user_updated_password": "user",
    "user_repeated_signup": "user",
}


async def record(
    connection: Connection,
    action: str,
    now: datetime.datetime,
    *,
    actor: User | None,
    traits: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry in the caller's transaction; without an `actor` the service key did it."""
    payload: dict[str, Any] = {
        "action": action,
        "actor_id": str(actor.id if actor else uuid.UUID(int=0)),
        "actor_username": (actor.phone or actor.email) if actor else "service_role",
        "actor_via_sso": False,
        "log_type": _LOG_TYPES[action],
    }
    if traits is not None:
        payload["traits"] = dict(traits)
    await connection.execute(
        """
        insert into auth.audit_log_entries (instance_id, id, payload, created_at)
        values ('00000000-0000-0000-0000-000000000000', %s, %s, %s)
        """,
        [uuid.uuid4(), Json(payload), now],
    )
