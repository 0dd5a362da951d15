"""A running stack in a process of its own, and what the questions ask of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from sauti_local.paths import ROOT

_START_SECONDS = 120
_STOP_SECONDS = 30


@dataclass(frozen=True)
class Account:
    """A signed-up user: id and headers for the API."""

    id: str
    token: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Project:
    """How to reach the stack; see CONTRACT §10."""

    api_url: str
    anon_key: str
    service_role_key: str
    db_url: str
    mail_url: str

    def sql(self) -> psycopg.Connection[dict[str, Any]]:
        """A superuser's connection that commits each statement."""
        return psycopg.connect(self.db_url, autocommit=True, row_factory=dict_row)

    def client(self, headers: dict[str, str]) -> httpx.Client:
        """An HTTP client with one kept connection to the Data API."""
        return httpx.Client(base_url=f"{self.api_url}/rest/v1", headers=headers, timeout=60, trust_env=False)

    @property
    def service_headers(self) -> dict[str, str]:
        """Of the service role."""
        return {"apikey": self.service_role_key, "Authorization": f"Bearer {self.service_role_key}"}

    def sign_up(self, user_type: str = "survivor") -> Account:
        """A new user, through the Auth API."""
        answer = httpx.post(
            f"{self.api_url}/auth/v1/signup",
            headers={"apikey": self.anon_key},
            json={
                "email": f"{uuid.uuid4().hex}@example.org",
                "password": uuid.uuid4().hex,
                "data": {"user_type": user_type},
            },
            timeout=30,
            trust_env=False,
        ).raise_for_status()
        session = answer.json()
        token = session["access_token"]
        return Account(session["user"]["id"], token, {"apikey": self.anon_key, "Authorization": f"Bearer {token}"})


@contextlib.contextmanager
def running_project(*, worker: bool) -> Iterator[Project]:
    """Start ``sauti dev`` in a folder of its own, without seeds' people in the way, and stop it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="sauti-bench-"))
    command = [sys.executable, "-m", "sauti_sync", "dev", "--port", "0", "--data-dir", str(folder), "--json"]
    if not worker:
        command.append("--no-worker")
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the stack did not start; exit code {process.wait(_START_SECONDS)}")
        told = json.loads(line)
        yield Project(**{key: told[key] for key in Project.__dataclass_fields__})
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
