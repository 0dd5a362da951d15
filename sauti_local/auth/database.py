"""Connections, and what every handler shares."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiohttp import web
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

from sauti_local.auth.passwords import Passwords
from sauti_local.auth.settings import AuthSettings

Connection: TypeAlias = AsyncConnection[DictRow]
Pool: TypeAlias = AsyncConnectionPool[Connection]


@dataclass(frozen=True)
class Service:
    """The running stand-in. `pool.connection()` is a transaction: it commits at the end, or nothing was written."""

    settings: AuthSettings
    passwords: Passwords
    pool: Pool

    def now(self) -> datetime.datetime:
        """The clock of the settings, UTC."""
        return datetime.datetime.fromtimestamp(self.settings.clock(), datetime.UTC)


SERVICE: Final = web.AppKey("service", Service)
