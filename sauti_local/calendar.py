"""A real CalDAV server (Radicale) that lets anybody in with one password and makes calendars when they are asked for.

Run as a program it is the server process itself: ``python -m sauti_local.calendar <port> <folder>``.
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import quote
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

import aiohttp

from sauti_local.ports import LOOPBACK
from sauti_local.processes import Child, python_environment, start_on_free_port

PASSWORD = "sauti"  # noqa: S105 (printed by `dev`; the server listens on the loopback address only)
_START_SECONDS = 20.0


class CalendarServer:
    """The server process; `url` is valid after `start`. A calendar is at ``<url>/<user name>/<any name>/``."""

    def __init__(self, folder: Path, log: Path) -> None:
        """Describe it.

        Args:
            folder: Where the calendars are kept.
            log: Log file.
        """
        self._folder = folder
        self._log = log
        self.child: Child | None = None
        self.url = ""

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            StartFailed: it ended, or was not ready in time.
        """
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as session:

            async def answers(port: int) -> bool:
                try:
                    async with session.options(f"http://{LOOPBACK}:{port}/") as response:
                        return "calendar-access" in response.headers.get("DAV", "")
                except (aiohttp.ClientError, TimeoutError):
                    return False

            self.child, port = await start_on_free_port(self._spawn, answers, _START_SECONDS)
        self.url = f"http://{LOOPBACK}:{port}"

    async def stop(self) -> None:
        """Stop it. Not running: nothing to do."""
        if self.child is not None:
            await self.child.stop()
            self.child = None

    def _spawn(self, port: int) -> Child:
        command = [sys.executable, "-m", "sauti_local.calendar", str(port), os.fspath(self._folder)]
        return Child("Radicale", command, self._log, environment=python_environment())


def serve(port: int, folder: Path) -> None:
    """Serve until the process is told to stop."""
    # Radicale is only loaded in its own process.
    from radicale import config
    from radicale.app import Application
    from radicale.auth import BaseAuth

    class AnyName(BaseAuth):
        """Any user name with the one password."""

        def _login(self, login: str, password: str) -> str:
            return login if password == PASSWORD else ""

    class OnDemand(Application):
        """Makes ``/<user>/<name>/`` a calendar before the first request of that user about it is handled."""

        def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            parts = [part for part in environ.get("PATH_INFO", "").split("/") if part]
            if (
                len(parts) >= 2
                and environ["REQUEST_METHOD"] not in ("MKCALENDAR", "MKCOL", "OPTIONS")
                and _user_name(environ.get("HTTP_AUTHORIZATION", "")) == parts[0]
            ):
                self._make_calendar(*parts[:2])
            answer: Iterable[bytes] = super().__call__(environ, start_response)
            return answer

        def _make_calendar(self, user: str, name: str) -> None:
            storage = self._storage
            path = f"/{user}/{name}/"
            if any(True for _ in storage.discover(path)):
                return
            with storage.acquire_lock("w", user):
                if not any(True for _ in storage.discover(path)):
                    storage.create_collection(path, props={"tag": "VCALENDAR", "D:displayname": name})

    configuration = config.load()
    configuration.update(
        {
            "server": {"hosts": f"{LOOPBACK}:{port}"},
            "auth": {"type": AnyName, "delay": "0"},
            "rights": {"type": "owner_only"},
            "storage": {"filesystem_folder": os.fspath(folder), "_filesystem_fsync": "False"},
            "web": {"type": "none"},
            "logging": {"level": "warning"},
        },
        "sauti",
        privileged=True,
    )
    with _Server((LOOPBACK, port), _RequestHandler) as server:
        server.set_app(OnDemand(configuration))
        server.serve_forever()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _RequestHandler(WSGIRequestHandler):
    """Keeps addresses of requests, which name users, out of the log, and looks nothing up in the DNS."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """The address itself."""
        return str(self.client_address[0])


# A client that goes away while the answer is written is no error of the server.
ServerHandler.server_software = "Radicale"


def _user_name(authorization: str) -> str | None:
    """The user name of a Basic header with the right password, else None."""
    scheme, _, credentials = authorization.partition(" ")
    try:
        name, _, password = base64.b64decode(credentials).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name if scheme.lower() == "basic" and password == PASSWORD else None


def calendar_url(base: str, user: str, name: str) -> str:
    """The address of a calendar."""
    return f"{base}/{quote(user, safe='@')}/{quote(name)}/"


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
