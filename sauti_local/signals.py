"""Stopping in order when the user or the system says so."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_by_signals(on_stop: Callable[[], None]) -> Iterator[None]:
    """The first signal calls `on_stop` and cancels the current task, which then stops in order.

    A second one is not patient; even then nothing is left running, because the kernel ends the processes of the stack
    with this one.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    told = False

    def stop() -> None:
        nonlocal told
        if told:
            os._exit(130)
        told = True
        on_stop()
        task.cancel()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
