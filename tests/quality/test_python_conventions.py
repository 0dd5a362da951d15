"""The Python keeps CONVENTIONS.md: linted, formatted, typed, in layers; and each check is able to say no."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sauti_local.paths import ROOT

WORKER = sorted((ROOT / "sauti_sync").rglob("*.py"))
LOCAL = sorted((ROOT / "sauti_local").rglob("*.py"))

# Facts in, result out: these may be called from anywhere, at any time, any number of times.
PURE = ("sauti_sync/ics.py", "sauti_sync/backoff.py", "sauti_sync/messages/render.py")
IMPURE = {"aiosmtplib", "asyncio", "httpx", "os", "psycopg", "smtplib", "socket", "subprocess", "supabase", "threading"}


def tool(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_ruff_finds_nothing() -> None:
    finished = tool("ruff", "check", "--no-cache", "--output-format", "concise", ".")
    assert finished.returncode == 0, finished.stdout


def test_ruff_would_format_nothing() -> None:
    finished = tool("ruff", "format", "--no-cache", "--check", "--output-format", "concise", ".")
    assert finished.returncode == 0, finished.stdout


@pytest.mark.timeout(300)
def test_mypy_finds_nothing() -> None:
    finished = tool("mypy")
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ('"""Doc."""\n\n\ndef f(x: int) -> int:\n    return x\n', "D103"),
        ('"""Doc."""\n\nimport os\n', "F401"),
        ('"""Doc."""\n\nA = "' + "x" * 120 + '"\n', "E501"),
        ('"""Doc."""\n\nimport datetime\n\nNOW = datetime.datetime.now()\n', "DTZ005"),
        ('"""Doc."""\n\nimport subprocess\n\nsubprocess.run("ls", shell=True, check=True)\n', "S602"),
    ],
)
def test_ruff_sees(code: str, rule: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "--stdin-filename", "sauti_sync/example.py", "-"],
        input=code,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert rule in finished.stdout


@pytest.mark.timeout(300)
def test_mypy_sees_an_untyped_function_and_a_wrong_type(tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    example.write_text('def f(x):\n    return x\n\n\ny: int = "one"\n')
    finished = tool("mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path), str(example))
    assert "[no-untyped-def]" in finished.stdout
    assert "[assignment]" in finished.stdout


def imported(source: str) -> Iterator[str]:
    """The top-level packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_the_worker_runs_without_the_local_stack() -> None:
    # The command line reaches for it inside the commands that only a checkout has.
    users = {path.name for path in WORKER if "sauti_local" in imported(path.read_text())}
    assert users == {"cli.py"}


@pytest.mark.parametrize("place", PURE)
def test_a_pure_module_does_no_input_or_output(place: str) -> None:
    source = (ROOT / place).read_text()
    assert set(imported(source)) & IMPURE == set()
    assert "open(" not in source
    assert ".now(" not in source, "a pure function is told the time"


def test_an_import_inside_a_function_is_seen() -> None:
    assert set(imported("def f():\n    from httpx import get\n    import os.path\n")) == {"httpx", "os"}


def dataclasses_that_change(source: str) -> list[str]:
    """The names of dataclasses that are not frozen."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if any(d.startswith("dataclass") and "frozen=True" not in d for d in decorators):
                found.append(node.name)
    return found


def test_the_worker_s_records_are_frozen() -> None:
    assert {path.name: dataclasses_that_change(path.read_text()) for path in WORKER} == {
        path.name: [] for path in WORKER
    }
    assert dataclasses_that_change("@dataclass\nclass A: ...\n@dataclass(frozen=True)\nclass B: ...") == ["A"]


@pytest.mark.parametrize("module", ["sauti_sync.errors", "sauti_local.errors"])
def test_errors_are_drawn_as_a_tree_at_the_top_of_their_file(module: str) -> None:
    errors = importlib.import_module(module)
    drawn = errors.__doc__ or ""
    classes = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(classes) > 1
    assert [name for name in classes if name not in drawn] == []


@pytest.mark.parametrize("path", WORKER + LOCAL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_is_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500
