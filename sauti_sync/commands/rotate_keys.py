"""`sauti-sync keys rotate`: all credentials under the first key of `SAUTI_TOKEN_KEYS`.

Safe to interrupt and to repeat, and beside running workers: a row is replaced only if it is still what was read.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import SecretStr, field_validator

from sauti_sync.config import ProjectSettings
from sauti_sync.credentials import TokenKeys
from sauti_sync.errors import Permanent, QueueRefused, QueueUnavailable, Retryable, SautiError

_PAGE = 100


class RotationSettings(ProjectSettings):
    """What a rotation needs of the environment."""

    token_keys: SecretStr

    @field_validator("token_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr) -> SecretStr:
        TokenKeys.parse(value.get_secret_value())
        return value


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many were put under the first key, and how many could not be opened."""

    rotated: int
    unreadable: int


def rotate_keys(as_json: bool = False) -> int:
    """Rotate; the exit status: 0 all are under the first key, 1 some are not, 2 wrong environment."""
    try:
        settings = RotationSettings.from_environment()
        done = asyncio.run(_rotate(settings))
    except SautiError as error:
        print(f"sauti-sync keys: {error}", file=sys.stderr)
        return 2 if error.symbol == "configuration" else 1
    if as_json:
        print(json.dumps({"rotated": done.rotated, "unreadable": done.unreadable}))
    else:
        print(f"{done.rotated} put under the first key.")
        if done.unreadable:
            print(
                f"{done.unreadable} cannot be opened: put the key they are under behind the others in"
                " SAUTI_TOKEN_KEYS and rotate again, or have their owners connect again.",
                file=sys.stderr,
            )
    return 1 if done.unreadable else 0


async def _rotate(settings: RotationSettings) -> Rotated:
    keys = TokenKeys.parse(settings.token_keys.get_secret_value())
    service_key = settings.supabase_service_role_key.get_secret_value()
    rotated, stuck, after = 0, 0, ("", "")
    async with httpx.AsyncClient(
        base_url=f"{settings.supabase_url}/rest/v1/rpc/",
        headers={"apikey": service_key, "Authorization": f"Bearer {service_key}"},
        timeout=httpx.Timeout(20.0),
        trust_env=not settings.is_on_this_machine,
    ) as http:
        # Page by page behind the last one seen, so that what cannot be opened does not stand in the way.
        while True:
            page = {"key_id": keys.first, "max_rows": _PAGE, "after_kind": after[0], "after_id": after[1]}
            rows = await _call(http, "list_credentials", page)
            if not rows:
                return Rotated(rotated, stuck)
            for row in rows:
                if await _replace(http, keys, row):
                    rotated += 1
                else:
                    stuck += 1
                after = (row["kind"], row["id"])


async def _replace(http: httpx.AsyncClient, keys: TokenKeys, row: dict[str, Any]) -> bool:
    """Whether the row is under the first key now."""
    try:
        secret = keys.decrypt(row["ciphertext"], row["user_id"], row["provider"])
    except (Permanent, Retryable):
        return False
    parameters = {
        "kind": row["kind"],
        "id": row["id"],
        "seen": row["ciphertext"],
        "ciphertext": keys.encrypt(secret, row["user_id"], row["provider"]),
    }
    # Not replaced: a worker has just stored another one, under its own first key, or the row is gone.
    await _call(http, "replace_credentials", parameters)
    return True


async def _call(http: httpx.AsyncClient, function: str, parameters: dict[str, Any]) -> Any:
    try:
        response = await http.post(function, json=parameters)
        answer = response.json() if response.content else None
    except (httpx.HTTPError, ValueError):
        raise QueueUnavailable("database_unavailable") from None
    if response.is_success:
        return answer
    if response.status_code == 429 or response.status_code >= 500:
        raise QueueUnavailable("database_unavailable")
    raise QueueRefused(f"database_refused_{response.status_code}", response.status_code)
