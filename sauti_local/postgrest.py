"""The real PostgREST on a database, set as on a hosted project."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import aiohttp

from sauti_local.paths import postgrest_binary
from sauti_local.ports import LOOPBACK, free_port
from sauti_local.processes import Child, start_on_free_port

_START_SECONDS = 20.0


class PostgREST:
    """One PostgREST process; `url` is valid after `start`."""

    def __init__(
        self, database_url: str, jwt_secret: str, log: Path, *, public_url: str = "", max_rows: int = 1000
    ) -> None:
        """Describe it.

        Args:
            database_url: libpq address for the role ``authenticator``.
            jwt_secret: HS256 secret of the project.
            log: Log file.
            public_url: Address that the OpenAPI description gives.
            max_rows: Most rows of one answer.
        """
        self._max_rows = max_rows
        self._public_url = public_url
        self._database_url = database_url
        self._jwt_secret = jwt_secret
        self._log = log
        self._admin_port = 0
        self.child: Child | None = None
        self.url = ""

    async def start(self) -> None:
        """Start it and wait until it has read the schema.

        Raises:
            StartFailed: it ended, or was not ready in time.
        """
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:

            async def has_read_the_schema(_: int) -> bool:
                try:
                    async with session.get(f"http://{LOOPBACK}:{self._admin_port}/ready") as response:
                        return response.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    return False

            self.child, port = await start_on_free_port(self._spawn, has_read_the_schema, _START_SECONDS)
        self.url = f"http://{LOOPBACK}:{port}"

    async def stop(self) -> None:
        """Stop it. Not running: nothing to do."""
        if self.child is not None:
            await self.child.stop((signal.SIGTERM, 3.0))
            self.child = None

    def _spawn(self, port: int) -> Child:
        self._admin_port = free_port()
        settings = {
            "PGRST_DB_URI": self._database_url,
            "PGRST_DB_SCHEMAS": "public",
            "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_MAX_ROWS": str(self._max_rows),
            "PGRST_DB_POOL": "20",
            "PGRST_DB_USE_LEGACY_GUCS": "false",
            "PGRST_JWT_SECRET": self._jwt_secret,
            "PGRST_OPENAPI_SERVER_PROXY_URI": self._public_url,
            "PGRST_SERVER_HOST": LOOPBACK,
            "PGRST_SERVER_PORT": str(port),
            "PGRST_ADMIN_SERVER_PORT": str(self._admin_port),
            "PGRST_LOG_LEVEL": "error",
        }
        settings = {key: value for key, value in settings.items() if value}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "PGRST_"))}
        return Child("PostgREST", [postgrest_binary()], self._log, environment=inherited | settings)
