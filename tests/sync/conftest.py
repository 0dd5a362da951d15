"""Logging as in the worker, and a stage for worker processes."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from sauti_local.calendar import CalendarServer
from sauti_local.stack import Stack
from sauti_sync import logs
from tests.support.loop_thread import LoopThread
from tests.sync.stage import Stage


@pytest.fixture(autouse=True)
def log_output() -> Iterator[io.StringIO]:
    """What a worker in this process writes to its log."""
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    structlog.reset_defaults()


@pytest.fixture
def stage(stack: Stack, tmp_path: Path) -> Iterator[Stage]:
    """A professional on the running stack, and workers that end with the test."""
    built = Stage.build(stack, tmp_path)
    yield built
    built.close()


@pytest.fixture(scope="session")
def radicale(loop_thread: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CalendarServer]:
    """A real CalDAV server."""
    folder: Path = tmp_path_factory.mktemp("radicale")
    server = CalendarServer(folder / "calendars", folder / "radicale.log")
    loop_thread.run(server.start())
    yield server
    loop_thread.run(server.stop())
