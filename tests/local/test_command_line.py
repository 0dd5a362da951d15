"""The command line: what it offers, what it costs, and what it says when it cannot go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sauti_local.processes import python_environment

WITHOUT_LOCAL_STACK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sauti_local", "benchmarks"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from sauti_sync.cli import main
main()
"""


def run(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in python_environment().items() if not name.startswith("SUPABASE_")}
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=cwd,
        env=variables | {"COLUMNS": "100", "NO_COLOR": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def commands(help_text: str) -> set[str]:
    """First words in the box of commands."""
    return {line.split()[1] for line in help_text.split("Commands")[1].splitlines() if line.startswith("│ ")} - {"│"}


def test_the_repository_offers_the_local_stack_too(tmp_path: Path) -> None:
    answer = run("-m", "sauti_sync", "--help", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert {"demo", "dev", "test", "worker", "jobs", "keys"} <= commands(answer.stdout)


def test_an_installed_worker_offers_what_it_can_do_without_the_repository(tmp_path: Path) -> None:
    answer = run("-c", WITHOUT_LOCAL_STACK, "--help", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert {"worker", "jobs", "keys"} <= commands(answer.stdout)
    assert not {"demo", "dev", "test", "bench"} & commands(answer.stdout)


def test_looking_at_the_help_loads_none_of_the_machinery() -> None:
    code = "import sys, sauti_sync.cli; print(sorted({'aiohttp', 'psycopg', 'supabase', 'httpx'} & set(sys.modules)))"
    assert run("-c", code).stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dev", "--port", "70000"], "--port"),
        (["dev", "--port", "many"], "--port"),
        (["jobs", "retry", "x"], "integer"),
        (["worker"], "SUPABASE_URL"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_use_is_status_2_and_names_what_is_wrong(arguments: list[str], words: str) -> None:
    answer = run("-m", "sauti_sync", *arguments)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_error_of_the_local_stack_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = run("-m", "sauti_sync", "dev", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert answer.returncode == 1
    assert answer.stderr.startswith("sauti: The data directory ")
    assert "Traceback" not in answer.stderr


def test_tests_can_be_chosen_from_anywhere(tmp_path: Path) -> None:
    name = "tests/local/test_postgres.py::test_library_links_are_made_once_and_again"
    answer = run("-m", "sauti_sync", "test", "--numprocesses=0", "-q", name, cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.splitlines()[-1].startswith("1 passed")
    missing = run("-m", "sauti_sync", "test", "--numprocesses=0", "-q", f"{name}_not", cwd=tmp_path)
    assert missing.returncode == 4
