"""What a person sees of the demo: numbered steps, what was done, what was checked, how long it took.

Plain lines, printed as things happen: the same on a terminal, in a pipe and in a log of CI.
"""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from sauti_local.errors import StackError

_INDENT = " " * 4
_LONGEST = 600


class DemoFailed(Exception):
    """A step did not hold; everything there is to say about it has been printed."""


class Report:
    """Prints the story and keeps the timings."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps = 0
        self._checks = 0
        self._timings: list[tuple[str, float]] = []
        self._began = time.perf_counter()
        speaks_unicode = console.encoding.lower().startswith("utf")
        self._held, self._broken = ("✓", "✗") if speaks_unicode else ("ok", "FAILED")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step of the story.

        Raises:
            DemoFailed: a check in it failed, or it did not get to its end.
            StackError: the stack did not start; its message says what to do.
        """
        self._steps += 1
        self._line(f"\n{self._steps:2}. {title}", style="bold")
        began = time.perf_counter()
        try:
            yield
        except (DemoFailed, StackError):
            raise
        except Exception as error:
            self._fail("the step gets to its end", "no error", f"{type(error).__name__}: {error}")
        self._line(f"{_INDENT}{_duration(time.perf_counter() - began)}", style="dim")

    def tell(self, sentence: str) -> None:
        """Say what is being done."""
        for line in textwrap.wrap(sentence, 96):
            self._line(_INDENT + line)

    def show(self, facts: dict[str, Any]) -> None:
        """Show a few values as they came from the API."""
        width = max(map(len, facts))
        for name, value in facts.items():
            self._line(f"{_INDENT}  {name:<{width}}  {value if isinstance(value, str) else _text(value)}", style="cyan")

    def check(self, promise: str, holds: bool, *, expected: Any, seen: Any) -> None:
        """Print a check.

        Args:
            promise: What must be true, as a sentence.
            holds: Whether it is.
            expected: Printed when it is not.
            seen: Printed when it is not.

        Raises:
            DemoFailed: it is not.
        """
        if not holds:
            self._fail(promise, expected, seen)
        self._checks += 1
        self._line(f"{_INDENT}{self._held} {promise}", style="green")

    def equal(self, promise: str, seen: Any, expected: Any) -> None:
        """Print a check that two values are the same.

        Raises:
            DemoFailed: they are not.
        """
        if isinstance(seen, dict) and isinstance(expected, dict) and seen != expected:
            differing = [key for key in seen | expected if seen.get(key) != expected.get(key)]
            seen, expected = ({key: side.get(key) for key in differing} for side in (seen, expected))
        self.check(promise, seen == expected, expected=expected, seen=seen)

    def time(self, what: str, seconds: float) -> None:
        """Remember a line of the table of timings."""
        self._timings.append((what, seconds))

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Remember how long the block takes."""
        began = time.perf_counter()
        yield
        self.time(what, time.perf_counter() - began)

    def say(self, line: str = "", *, style: str | None = None) -> None:
        """Print a line outside the steps."""
        self._line(line, style=style)

    def finish(self) -> None:
        """Print the timings."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for what, seconds in self._timings:
            table.add_row(what, _duration(seconds))
        table.add_row("total", _duration(time.perf_counter() - self._began), style="bold")
        self._line("\nTimings", style="bold")
        self._console.print(table)
        self._line(f"\nAll {self._checks} checks in {self._steps} steps held.", style="bold green")

    def _fail(self, promise: str, expected: Any, seen: Any) -> None:
        self._line(f"{_INDENT}{self._broken} {promise}", style="bold red")
        for name, value in (("expected", expected), ("seen", seen)):
            first, *others = _text(value).splitlines() or [""]
            self._line(f"{_INDENT}    {name + ':':9} {first}", style="red")
            for line in others:
                self._line(f"{_INDENT}    {'':9} {line}", style="red")
        raise DemoFailed(f"Step {self._steps} failed: {promise}.")

    def _line(self, text: str = "", *, style: str | None = None) -> None:
        # Folding is the terminal's business: in a log, and when copied, a line stays one line.
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _text(value: Any) -> str:
    """A value, readable and bounded."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
