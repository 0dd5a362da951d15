"""Benchmarks: one file per question, each beside what it is compared with, all in one run on one stack.

    ./sauti bench                     all questions, a table each
    ./sauti bench matching offers_page
    ./sauti bench --quick             fewer repetitions and no 100,000 services
    ./sauti bench --json              one JSON document on standard output

The stack is a real one in a process of its own, with durable commits; the measuring process is the client. Figures are
wall-clock times as that client sees them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Result
from benchmarks.project import running_project

QUESTIONS = (
    "matching",
    "client_matching",
    "offers_page",
    "acceptance",
    "slots",
    "booking",
    "live_events",
    "mail_delivery",
    "job_queue",
)


def main(arguments: Sequence[str]) -> int:
    """Run the chosen questions and print their figures; 0 when every aim was met."""
    parser = argparse.ArgumentParser(prog="sauti bench", description="Run the benchmarks.")
    parser.add_argument("questions", nargs="*", metavar="question", help=f"any of: {', '.join(QUESTIONS)}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, and no 100,000 services")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args(list(arguments))
    unknown = set(options.questions) - set(QUESTIONS)
    if unknown:
        parser.error(f"no such question: {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}")

    console = Console(file=sys.stderr if options.json else sys.stdout)
    results: list[Result] = []
    for question in options.questions or QUESTIONS:
        module = importlib.import_module(f"benchmarks.{question}")
        console.print(f"[bold]{question}[/bold]: {(module.__doc__ or question).splitlines()[0]}")
        with running_project(worker=question == "mail_delivery") as project:
            for result in module.run(project, options.quick):
                results.append(result)
                console.print(f"  {result.line()}", highlight=False)
    if options.json:
        print(json.dumps([result.as_dict() for result in results]))
    else:
        console.print(_table(results))
    return 0 if all(result.held is not False for result in results) else 1


def _table(results: Sequence[Result]) -> Table:
    table = Table(title="Benchmarks", title_justify="left")
    for heading in ("what", "figure", "aim", ""):
        table.add_column(heading, justify="right" if heading == "figure" else "left")
    for result in results:
        verdict = {True: "held", False: "missed", None: ""}[result.held]
        table.add_row(result.name, result.figure(), result.aim_text(), verdict)
    return table
