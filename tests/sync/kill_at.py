"""Runs a worker that kills itself with SIGKILL at a chosen point: ``python -m tests.sync.kill_at <point>``.

The points are methods of the worker that are wrapped here; the worker itself knows nothing of it.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from sauti_sync.calendars.caldav import CalDavCalendar
from sauti_sync.commands.worker import run_worker
from sauti_sync.messages.smtp import SmtpTransport
from sauti_sync.worker import Worker

POINTS = ("after_claim", "before_effect", "after_effect", "before_settling")
Method = Callable[..., Any]


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_before(_: Method) -> Method:
    return die


def dying_after(effect: Callable[..., Awaitable[Any]]) -> Method:
    async def act_and_die(*arguments: Any, **options: Any) -> None:
        await effect(*arguments, **options)
        die()

    return act_and_die


def arm(point: str) -> None:
    match point:
        case "after_claim":
            Worker._start = dying_before(Worker._start)  # type: ignore[method-assign]
        case "before_settling":
            Worker._settle = dying_before(Worker._settle)  # type: ignore[method-assign]
        case "before_effect" | "after_effect":
            wrap = dying_before if point == "before_effect" else dying_after
            SmtpTransport.send = wrap(SmtpTransport.send)  # type: ignore[method-assign]
            CalDavCalendar.put = wrap(CalDavCalendar.put)  # type: ignore[method-assign]
            CalDavCalendar.remove = wrap(CalDavCalendar.remove)  # type: ignore[method-assign]
        case _:
            raise SystemExit(f"points: {', '.join(POINTS)}")


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.exit(run_worker())
