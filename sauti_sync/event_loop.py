"""The event loop of long-running processes: uvloop where there is one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on the faster loop."""
    # A full collection walks everything that was imported and holds the loop meanwhile, for up to 80 ms; what stays as
    # long as the process need not be walked.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(main)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
