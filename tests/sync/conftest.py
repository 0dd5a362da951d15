"""Logging as in the worker, and a stage for worker processes."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from sauti_local.stack import Stack
from sauti_sync import logs
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
