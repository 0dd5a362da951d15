"""Logging as in the worker, for every test of this folder."""

import io
from collections.abc import Iterator

import pytest
import structlog

from sauti_sync import logs


@pytest.fixture(autouse=True)
def log_output() -> Iterator[io.StringIO]:
    """What a worker in this process writes to its log."""
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    structlog.reset_defaults()
