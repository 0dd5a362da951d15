"""What is committed can be installed, read and used by a stranger: locks, paths, links and commands."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from sauti_local.paths import ROOT
from sauti_sync.cli import app
from tests.quality import rules_of_catalog, rules_of_files

DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONVENTIONS.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE",
)
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def tracked() -> list[Path]:
    """The files of the repository: committed, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The text of every file of the repository, by its path below the root."""
    return {path.relative_to(ROOT).as_posix(): path.read_bytes().decode() for path in tracked()}


def breaches(texts: dict[str, str], pattern: str) -> list[str]:
    found = []
    for place, text in texts.items():
        found += [f"{place}: {match[0]}" for match in re.finditer(pattern, text)]
    return found


def test_the_documents_are_there() -> None:
    assert [name for name in DOCUMENTS if not (ROOT / name).is_file()] == []


def unhashed(lock: str) -> list[str]:
    """The requirements of a lock file that name no hash."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"(?m)^\s*#.*\n?", "", lock).strip())
    return [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_python_lock_pins_by_hash(lock: Path) -> None:
    assert "==" in lock.read_text()
    assert unhashed(lock.read_text()) == []
    assert unhashed("# made by x\na==1 \\\n    --hash=sha256:00\nb==2\n    # via a\n") == ["b==2"]


def test_the_javascript_lock_pins_by_hash_and_names_no_index() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if "integrity" not in package] == []
    assert not (ROOT / "uv.lock").exists()


def test_no_file_names_a_package_index(texts: dict[str, str]) -> None:
    hosts = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs", "org"))]
    options = [f"--{option}" for option in ("index-url", "extra-index-url", "find-links")]
    locks = {place: text for place, text in texts.items() if place.endswith((".lock", "package-lock.json"))}
    assert breaches(texts, "|".join(map(re.escape, hosts))) == []
    assert breaches(locks, "|".join(map(re.escape, options))) == []
    assert breaches({"x": f"see https://{hosts[0]}/simple"}, "|".join(map(re.escape, hosts))) != []


def test_no_file_names_a_place_on_somebody_s_machine(texts: dict[str, str]) -> None:
    homes = "|".join(f"/{folder}/" for folder in ("home/[a-z]+", "Users/[A-Za-z]+", "root"))
    pattern = rf"(?<![\w.>]){re.escape(str(ROOT))}\b|(?<![\w.:/>-])(?:{homes})"
    if len(ROOT.parts) > 2:  # a checkout at /x would match too much
        assert breaches(texts, pattern) == []
    assert breaches({"x": f"cd {ROOT} && ls"}, pattern) != []


def test_nothing_is_left_for_later(texts: dict[str, str]) -> None:
    marks = r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b"
    assert breaches(texts, marks) == []
    assert breaches({"x": "-- TO" + "DO: later"}, marks) != []


def test_there_is_no_emoji(texts: dict[str, str]) -> None:
    emoji = "[\U0001f000-\U0001faff\u2705\u274c\u2728\u26a0\u2764\u2b50\ufe0f]"
    # Tests send them: they are four bytes long in UTF-8, and people write them.
    assert breaches({place: text for place, text in texts.items() if not place.startswith("tests/")}, emoji) == []
    assert breaches({"x": "done " + chr(0x1F389)}, emoji) != []


def test_text_files_end_with_a_newline_and_have_none_of_windows(texts: dict[str, str]) -> None:
    assert [place for place, text in texts.items() if text and not text.endswith("\n")] == []
    assert [place for place, text in texts.items() if "\r\n" in text and "/fixtures/" not in place] == []


FOLDERS = r"(?:sauti_sync|sauti_local|supabase|policies|seeds|tests|benchmarks|docs|\.ci)"
PLACE = re.compile(rf"(?<![\w/.@-]){FOLDERS}/[\w./*-]*[\w*/]")


def missing_places(document: str, folder: Path = ROOT) -> list[str]:
    """The paths and relative links in a document behind which there is nothing; ``*`` stands for anything."""
    named = set(PLACE.findall(document))
    links = {link.split("#")[0] for link in re.findall(r"\]\(((?!https?:|mailto:|#)[^)\s]+)\)", document)}
    missing = [place for place in named if not list(ROOT.glob(place.rstrip("/")))]
    return sorted(missing + [link for link in links if not (folder / link).exists()])


@pytest.mark.parametrize("place", [*DOCUMENTS[:-1], "docs"])
def test_every_place_that_a_document_names_exists(place: str) -> None:
    path = ROOT / place
    for document in sorted(path.rglob("*.md")) if path.is_dir() else [path]:
        assert missing_places(document.read_text(), document.parent) == [], document.name


def test_a_dead_place_is_seen() -> None:
    text = "`docs/nowhere.md`, `tests/quality/`, [the log](CHANGELOG.md), [none](gone.md), `supabase/schemas/*/*.sql`"
    assert missing_places(text) == ["docs/nowhere.md", "gone.md"]


def refused(line: str) -> str | None:
    """Why the command line would not take ``./sauti …``, or None."""
    command: Any = typer.main.get_command(app)
    words = line.split()
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            return None if words == ["--help"] else f"{line}: a command is missing"
        name = words.pop(0)
        if name not in command.commands:
            return f"{line}: there is no {name}"
        command = command.commands[name]
    if command.ignore_unknown_options:
        return None
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known | {"--help"}]
    return f"{line}: there is no {unknown[0]}" if unknown else None


def commands(document: str) -> list[str]:
    """The words after ``./sauti`` wherever a document shows that command."""
    found = re.findall(r"(?<!\w)\./sauti ([a-z][^`\n#|)\"]*)", document)
    return [re.split(r"\s{2,}|&&|;|, ", line)[0].strip().rstrip(".,)") for line in found]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_every_command_that_a_document_shows_exists(name: str) -> None:
    assert [reason for line in commands((ROOT / name).read_text()) if (reason := refused(line))] == []


def test_an_unknown_command_is_seen() -> None:
    assert commands("run `./sauti dev --port 0` or\n    ./sauti fly  # away\n") == ["dev --port 0", "fly"]
    assert refused("dev --port 0 --json") is None
    assert refused("fly") == "fly: there is no fly"
    assert refused("dev --wings") == "dev --wings: there is no --wings"
    assert refused("jobs burn") == "jobs burn: there is no burn"


def test_every_command_of_the_readme_is_run_by_a_test_or_by_ci(texts: dict[str, str]) -> None:
    running = "\n".join(text for place, text in texts.items() if place.startswith(("tests/", ".ci/")))
    shown = {line.split()[0] for line in commands((ROOT / "README.md").read_text())}
    assert {"demo", "test"} <= shown
    assert [name for name in sorted(shown) if not re.search(rf'sauti {name}\b|"{name}"', running)] == []


def test_ci_runs_the_whole_suite() -> None:
    assert "./sauti test" in (ROOT / ".ci" / "run").read_text()


def test_the_conventions_and_the_rules_that_hold_them_name_each_other() -> None:
    document = (ROOT / "CONVENTIONS.md").read_text()
    named = {
        name
        for row in re.findall(r"\| ([^|\n]*) \|$", document, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    }
    sources = "\n".join(path.read_text() for path in (ROOT / "tests" / "quality").glob("*.py"))
    files = {path.name for path in tracked()} | {path.relative_to(ROOT).as_posix() for path in tracked()}
    homes = {name for name in named if not name.endswith(".py") and "/" not in name}
    assert [
        name for name in sorted(homes) if not re.search(rf'(def {name}\b|^    "{name}":)', sources, re.MULTILINE)
    ] == []
    assert [name for name in sorted(named - homes) if name not in files and not (ROOT / name).exists()] == []
    rules = {rule.__name__ for rule in rules_of_files.RULES} | set(rules_of_catalog.RULES)
    assert rules - homes == set()
