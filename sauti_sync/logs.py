"""Logs: one JSON object per line on standard error, holding ids, kinds and fixed words only.

Two rules make a leak impossible rather than unlikely: fields outside an allow-list are dropped, and nothing of another
library's log record but its logger, level and place gets through. httpx, for one, logs every address it calls.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

_FIELDS = frozenset(
    {
        "event", "level", "at", "worker",
        "job_id", "kind", "attempt", "outcome", "error", "milliseconds", "lag_milliseconds", "retry_in_seconds",
        "count", "kinds", "reason", "logger", "place", "type", "port", "concurrency", "poll_seconds", "lease_seconds",
        "provider",
    }
)  # fmt: skip


def configure(stream: TextIO | None = None) -> None:
    """Set up logging for the whole process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _drop_unknown_fields,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_Sealed(level=logging.WARNING))
    root.setLevel(logging.WARNING)


def logger() -> structlog.typing.FilteringBoundLogger:
    """The worker's logger."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log


def place_of(error: BaseException) -> str:
    """Where an unexpected error was raised, `module.py:line`, in the innermost frame of ours; never its message."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "sauti_sync" in frame.filename]
    chosen = (ours or list(frames))[-1:]
    return f"{Path(chosen[0].filename).name}:{chosen[0].lineno}" if chosen else "unknown"


def _drop_unknown_fields(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name in _FIELDS and value is not None}


class _Sealed(logging.Handler):
    """Passes on that a library complained, not what it said."""

    def emit(self, record: logging.LogRecord) -> None:
        problem = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        logger().warning("library", logger=record.name, place=f"{record.filename}:{record.lineno}", type=problem)
