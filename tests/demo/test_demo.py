"""The demo as a person starts it: it holds, it fails when something does not, and it leaves nothing behind."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sauti_local.calendar import python_environment
from sauti_local.ports import free_port
from tests.support.dev_process import Family

SECONDS = 60
STEPS = (
    "The stack starts",
    "The cast signs up",
    "The professionals open their apps",
    "A survivor files a report",
    "Offers arrive live",
    "The inbox tells nothing",
    "A professional looks",
    "What is forbidden is refused",
    "Two accept at the same moment",
    "The one door to the story",
    "The calendar",
    "The mail",
    "The session is held",
    "The professional completes first",
    "The survivor confirms, and the report is archived",
    "She keeps her account",
)


class DemoProcess:
    """A running demo; what it prints is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.printed = ""

    def read_until(self, text: str) -> None:
        """Read until a line holds the text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if text in line:
                return
        raise AssertionError(f"it ended before it said {text!r}:\n{self.printed}")

    def finish(self) -> int:
        """Read the rest and wait; gives back the exit status."""
        rest, _ = self.process.communicate(timeout=SECONDS)
        self.printed += rest
        return self.process.returncode


@contextlib.contextmanager
def demo(temporary: Path, *command: str, **environment: str) -> Iterator[DemoProcess]:
    """Start ``demo`` (or another command of Python's), with its output in a pipe."""
    with subprocess.Popen(
        [sys.executable, "-P", *(command or ("-m", "sauti_sync", "demo"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=python_environment() | {"TMPDIR": str(temporary)} | environment,
    ) as process:
        # Whatever the test does, reading a pipe ends at the latest when the process does.
        try:
            yield DemoProcess(process)
        finally:
            process.kill()


def left_in(temporary: Path) -> list[Path]:
    """Folders of ours; what programs of others cache there is theirs."""
    return list(temporary.glob("sauti*"))


def variant(arguments: str) -> tuple[str, str]:
    """The demo with another stack, and little patience."""
    return "-c", (
        "import sys; from sauti_local.demo import run; from sauti_local.stack import StackConfig;"
        f"sys.exit(run(False, patience=1.0, config=StackConfig(port=0, seed=False, {arguments})))"
    )


def test_the_whole_case_is_played_and_each_step_says_what_was_checked(tmp_path: Path) -> None:
    began = time.monotonic()
    with demo(tmp_path) as running:
        running.read_until("The stack starts")
        running.read_until("Starting the worker")
        running.read_until("She keeps her account")
        family = Family(running.process.pid)
        assert running.finish() == 0, running.printed
    assert time.monotonic() - began < SECONDS
    steps = re.split(r"^ ?\d+\. ", running.printed.partition("Timings")[0], flags=re.M)[1:]
    assert tuple(step.splitlines()[0] for step in steps) == STEPS
    for step in steps[1:]:
        assert "✓" in step
    for step in steps:
        assert re.search(r"^ +\d+(\.\d+ s| ms)$", step, re.M), step
    assert "✗" not in running.printed
    for timing in ("stack start", "report → committed offers", "commit → live change", "acceptance", "total"):
        assert re.search(rf"^{timing} +\d+(\.\d+ s| ms)", running.printed, re.M), timing
    # Plain lines: nothing that only a terminal understands.
    assert "\x1b" not in running.printed
    assert "\r" not in running.printed
    assert len(family.names) >= 5
    assert family.survivors() == []
    assert left_in(tmp_path) == []


def test_mail_that_does_not_arrive_fails_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path, *variant(""), SAUTI_SMTP_URL=f"smtp://127.0.0.1:{free_port()}") as running:
        running.read_until("The inbox tells nothing")
        family = Family(running.process.pid)
        assert running.finish() == 1
    *_, failed, expected, seen, _, last = running.printed.splitlines()
    assert failed == "    ✗ one mail for each of them, none for anybody else"
    assert expected.strip().startswith("expected: [")
    assert "clinic.example" in expected
    assert seen.split() == ["seen:", "[]"]
    assert last.startswith(
        "Step 6 failed: one mail for each of them, none for anybody else. The logs of the stack are in "
    )
    assert "Timings" not in running.printed
    assert family.survivors() == []
    assert left_in(tmp_path) == []
    logs = Path(last.rpartition(" are in ")[2].rstrip("."))
    assert {"worker.log", "postgres.log", "postgrest.log"} <= {log.name for log in logs.iterdir()}


def test_a_missing_part_fails_the_demo_at_the_step_that_needs_it(tmp_path: Path) -> None:
    with demo(tmp_path, *variant("functions=False, worker=False")) as running:
        assert running.finish() == 1
    assert "✗ the step gets to its end" in running.printed
    assert "Step 3 failed: " in running.printed
    assert "Traceback" not in running.printed


def test_a_stack_that_does_not_start_is_a_sentence(tmp_path: Path) -> None:
    with demo(tmp_path, SAUTI_POSTGREST_BIN="/bin/false") as running:
        assert running.finish() == 1
    assert "\nsauti: PostgREST ended with code 1 while starting." in running.printed
    assert "Traceback" not in running.printed
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "moment",
    ["Starting PostgreSQL", "Applying migrations", "Starting the API", "cast signs up", "Two accept"],
)
def test_ctrl_c_at_any_moment_leaves_nothing(tmp_path: Path, moment: str) -> None:
    with demo(tmp_path) as running:
        running.read_until(moment)
        family = Family(running.process.pid)
        running.process.send_signal(signal.SIGINT)
        assert running.finish() == 130, running.printed
    assert "Traceback" not in running.printed
    assert family.survivors() == []
    assert left_in(tmp_path) == []


def test_keep_leaves_the_stack_running_until_ctrl_c(tmp_path: Path) -> None:
    with demo(tmp_path, "-m", "sauti_sync", "demo", "--keep") as running:
        running.read_until("Who can sign in")
        said = dict(re.findall(r"^  (API|Anon key|Service role key|Mail|Calendars) +(\S+)", running.printed, re.M))
        running.read_until("administrator")
        people = re.findall(
            r"^  (\S+ ?\S+) +(\S+@\S+) +(\S+) +(survivor|professional|administrator)", running.printed, re.M
        )
        assert len(people) >= 7
        for _, email, password, _ in people:
            answer = httpx.post(
                f"{said['API']}/auth/v1/token?grant_type=password",
                json={"email": email, "password": password},
                headers={"apikey": said["Anon key"]},
                trust_env=False,
            )
            assert answer.status_code == 200, answer.text
        assert httpx.get(f"{said['Mail']}/messages.json", trust_env=False).json()
        users = httpx.get(
            f"{said['API']}/auth/v1/admin/users",
            headers={"apikey": said["Service role key"], "Authorization": f"Bearer {said['Service role key']}"},
            trust_env=False,
        ).json()["users"]
        assert {person[1] for person in people} == {user["email"] for user in users}
        family = Family(running.process.pid)
        running.process.send_signal(signal.SIGINT)
        assert running.finish() == 0
    assert family.survivors() == []
    assert left_in(tmp_path) == []
