"""SECURITY.md justifies every function with the rights of its owner, and none that is not there."""

from __future__ import annotations

import re

from sauti_local.paths import ROOT, SUPABASE

DEFINER = re.compile(r"create or replace function private\.(\w+)\([^$]*?\nsecurity definer\n", re.DOTALL)


def definers() -> set[str]:
    """Names of the definer functions that are no trigger functions, from the truth."""
    texts = [path.read_text() for path in (SUPABASE / "schemas").glob("*/*.sql")]
    return {name for text in texts for name in DEFINER.findall(text) if not name.startswith("tg_")}


def test_every_definer_function_is_justified() -> None:
    document = (ROOT / "SECURITY.md").read_text()
    section = document.split("## Functions with the rights of their owner")[1].split("\n## ")[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert named == definers()


def test_every_path_that_the_document_names_exists() -> None:
    document = (ROOT / "SECURITY.md").read_text()
    paths = re.findall(
        r"`((?:policies|supabase|sauti_sync|sauti_local|tests|docs)/[\w./-]*)`|\]\(([\w./-]+)\)", document
    )
    missing = [path for pair in paths for path in pair if path and not (ROOT / path).exists()]
    assert missing == []
