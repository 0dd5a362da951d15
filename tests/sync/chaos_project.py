"""A project whose parts can die and come back at the same address: database, Data API, Realtime, CalDAV server."""

import asyncio
import os
import random
import signal
import socket
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sauti_local.calendar import CalendarServer
from sauti_local.gateway import GatewaySettings
from sauti_local.keys import Keys
from sauti_local.migrations import push_migrations
from sauti_local.ports import LOOPBACK
from sauti_local.postgres import SUPERUSER, Postgres
from sauti_local.postgrest import PostgREST
from tests.sync.realtime_door import RealtimeDoor, serving


def lasting_port() -> int:
    """A port that no outgoing connection is given while its server is dead: below the kernel's own range."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


class Project:
    """Use: `start`, then kill what you like, `stop`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.keys = Keys.of(folder)
        self.postgres = Postgres(folder / "postgres", lasting_port(), throwaway=True)
        self.calendar = CalendarServer(folder / "calendars", folder / "radicale.log")
        self.api_url = ""
        self._postgrest: PostgREST | None = None
        self._exits = AsyncExitStack()

    async def start(self) -> None:
        await asyncio.gather(self._start_database(), self.calendar.start())
        self._postgrest = PostgREST(
            self.postgres.url(user="authenticator"), self.keys.jwt_secret, self.folder / "postgrest.log"
        )
        self.realtime = RealtimeDoor(self.db_url, self.keys.jwt_secret)
        await self._postgrest.start()
        settings = GatewaySettings(
            anon_key=self.keys.anon_key,
            service_role_key=self.keys.service_role_key,
            jwt_secret=self.keys.jwt_secret,
            rest_url=self._postgrest.url,
        )
        self.api_url = await self._exits.enter_async_context(serving(settings, self.realtime))

    async def stop(self) -> None:
        await self._exits.aclose()
        if self._postgrest is not None:
            await self._postgrest.stop()
        await self.calendar.stop()
        await self.postgres.stop()

    @property
    def db_url(self) -> str:
        return self.postgres.url(user=SUPERUSER)

    def sql(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        # No call of a test may outlast a server that died under it.
        with psycopg.connect(
            self.db_url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=5,
            options="-c statement_timeout=20s",
            tcp_user_timeout=20_000,
        ) as connection:
            cursor = connection.execute(query.encode(), arguments)
            return cursor.fetchall() if cursor.description else []

    def kill_postgres(self) -> None:
        """SIGKILL for the postmaster; its sessions notice and end."""
        if self.postgres.pid is not None:
            os.kill(self.postgres.pid, signal.SIGKILL)

    async def revive_postgres(self, seconds: float = 60.0) -> None:
        """A server on the same data and port, whatever state the last one was left in."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(psycopg.Error):
                await asyncio.to_thread(self.sql, "select 1")
                return
            assert time.monotonic() < deadline, "PostgreSQL comes back"
            with suppress(Exception):
                await self.postgres.stop()
            with suppress(Exception):
                await self.postgres.start()

    async def _start_database(self) -> None:
        await self.postgres.start()
        await self.postgres.prepare()
        await push_migrations(self.postgres.url(), self.folder / "migrations.log", seed=False)
