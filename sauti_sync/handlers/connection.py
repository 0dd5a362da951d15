"""What every calendar job is told of its connection, and how it becomes an open calendar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sauti_sync.calendars.interface import Account, Calendar, Opener
from sauti_sync.credentials import TokenKeys
from sauti_sync.errors import Permanent


class Part(BaseModel):
    """A part of a context."""

    # hide_input_in_errors: a context that does not fit must not be quoted.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Connection(Part):
    """`connection` of the context."""

    id: str | None = None
    user_id: str = Field(repr=False)
    provider: str
    calendar_id: str = Field(default="", repr=False)
    credentials: str = Field(repr=False)
    detail_level: Literal["neutral", "full"] = "neutral"
    locale: str = "en"
    time_zone: str = "UTC"


class Calendars:
    """Opens the calendar of a connection, whoever provides it."""

    def __init__(self, keys: TokenKeys, openers: Mapping[str, Opener]) -> None:
        self._keys = keys
        self._openers = openers

    def open(self, connection: Connection) -> Calendar:
        """Decrypt and open; raises Permanent `provider_unknown` and what `TokenKeys.decrypt` raises."""
        opener = self._openers.get(connection.provider)
        if opener is None:
            raise Permanent("provider_unknown")
        secret = self._keys.decrypt(connection.credentials, connection.user_id, connection.provider)
        return opener(
            Account(
                user_id=connection.user_id,
                provider=connection.provider,
                calendar_id=connection.calendar_id,
                secret=secret,
                ciphertext=connection.credentials,
                connection_id=connection.id,
            )
        )
