"""What a failed check prints, and that it ends the demo."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from sauti_local.demo.report import DemoFailed, Report
from sauti_local.errors import StartFailed


def report() -> tuple[Report, io.StringIO]:
    written = io.StringIO()
    return Report(Console(file=written, width=40)), written


def test_a_check_that_fails_prints_what_was_expected_and_seen() -> None:
    told, written = report()
    told.equal("one and one", 2, 2)
    with pytest.raises(DemoFailed, match=r"Step 1 failed: two and two\."), told.step("Sums"):
        told.equal("two and two", 5, 4)
    lines = written.getvalue().splitlines()
    assert lines[-3:] == ["    ✗ two and two", "        expected: 4", "        seen:     5"]
    assert "    ✓ one and one" in lines


def test_of_two_rows_only_what_differs_is_printed() -> None:
    told, written = report()
    with pytest.raises(DemoFailed), told.step("Rows"):
        told.equal("the same", {"a": 1, "b": 2}, {"a": 1, "b": 3})
    assert written.getvalue().splitlines()[-2:] == ['        expected: {"b": 3}', '        seen:     {"b": 2}']


@pytest.mark.parametrize("seen", [None, [], {}, "", 0, False])
def test_what_is_empty_is_not_what_was_expected(seen: Any) -> None:
    told, written = report()
    with pytest.raises(DemoFailed), told.step("Nothing"):
        told.equal("something", seen, "something")
    assert "expected: something" in written.getvalue()


def test_an_error_in_a_step_fails_the_step_and_names_the_error() -> None:
    told, written = report()
    with pytest.raises(DemoFailed), told.step("Trouble"):
        raise LookupError("no such row")
    assert "seen:     LookupError: no such row" in written.getvalue()


def test_a_stack_that_does_not_start_speaks_for_itself() -> None:
    told, _ = report()
    with pytest.raises(StartFailed), told.step("Start"):
        raise StartFailed("the reason")


def test_lines_are_not_folded_and_brackets_are_not_read_as_style() -> None:
    told, written = report()
    told.say("[bold]" + "long " * 40)
    assert written.getvalue() == "[bold]" + "long " * 40 + "\n"


def test_a_long_value_is_cut() -> None:
    told, written = report()
    with pytest.raises(DemoFailed), told.step("Length"):
        told.equal("short", "x" * 10_000, "")
    assert len(written.getvalue()) < 1000


def test_marks_are_words_where_the_terminal_has_no_unicode() -> None:
    raw = io.BytesIO()
    told = Report(Console(file=io.TextIOWrapper(raw, "ascii", write_through=True), width=40))
    told.equal("good", 1, 1)
    with pytest.raises(DemoFailed), told.step("Marks"):
        told.equal("bad", 1, 2)
    assert b"ok good" in raw.getvalue()
    assert b"FAILED bad" in raw.getvalue()


def test_the_timings_end_with_the_total() -> None:
    told, written = report()
    told.time("quick", 0.0123)
    told.time("slow", 12.3)
    told.finish()
    lines = [line.split() for line in written.getvalue().splitlines() if line.strip()]
    assert lines[1:3] == [["quick", "12", "ms"], ["slow", "12.30", "s"]]
    assert lines[3][0] == "total"
