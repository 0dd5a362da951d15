"""A file of the truth, parsed: its statements in order, with their text and the functions it defines."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pglast import ast
from pglast.parser import parse_plpgsql_json, parse_sql


@dataclass(frozen=True)
class Statement:
    """One top-level statement. ``line`` is 1-based and is that of its first token after comments."""

    node: Any  # of pglast.ast
    text: str
    line: int


@dataclass(frozen=True)
class Function:
    """A ``create function`` statement, with what a rule asks of it."""

    statement: Statement
    index: int  # of the statement in its file

    @property
    def node(self) -> Any:
        return self.statement.node

    @property
    def schema(self) -> str:
        names = [part.sval for part in self.node.funcname]
        return names[0] if len(names) == 2 else ""

    @property
    def name(self) -> str:
        return str(self.node.funcname[-1].sval)

    @property
    def options(self) -> dict[str, Any]:
        """Give the clauses by name: language, volatility, security, set (a list), as, …"""
        found: dict[str, Any] = {"set": []}
        for option in self.node.options or ():
            if option.defname == "set":
                found["set"].append(option.arg)
            else:
                found[option.defname] = option.arg
        return found

    @property
    def language(self) -> str:
        option = self.options.get("language")
        return str(option.sval) if option is not None else ""

    @property
    def body(self) -> str:
        parts = self.options.get("as")
        return str(parts[0].sval) if parts else ""

    @property
    def is_trigger(self) -> bool:
        returned = self.node.returnType
        return returned is not None and returned.names[-1].sval == "trigger"

    @cached_property
    def plpgsql(self) -> dict[str, Any]:
        """Give the parse tree of a plpgsql body, as libpg_query prints it.

        The parser has no catalog: it knows the schemas public and pg_catalog and takes every type for a row.
        """
        text = re.sub(r"\b(?:public|private|auth)\.\w+\[\]", "text[]", self.statement.text)
        (tree,) = json.loads(parse_plpgsql_json(re.sub(r"\b(?:private|auth|extensions|realtime)\.", "public.", text)))
        return dict(tree["PLpgSQL_function"])


@dataclass(frozen=True)
class SqlFile:
    """Text of one file and where it stands: ``place`` is the path below the root, with slashes."""

    place: str
    text: str

    @classmethod
    def read(cls, path: Path, root: Path) -> SqlFile:
        return cls(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))

    @property
    def folder(self) -> str:
        return self.place.split("/")[-2]

    @property
    def stem(self) -> str:
        return self.place.split("/")[-1].removesuffix(".sql")

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        found = []
        for parsed in parse_sql(self.text):  # locations count characters and skip leading comments
            start = parsed.stmt_location
            end = start + parsed.stmt_len if parsed.stmt_len else len(self.text)
            found.append(Statement(parsed.stmt, self.text[start:end], self.text.count("\n", 0, start) + 1))
        return tuple(found)

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        return tuple(
            Function(statement, index)
            for index, statement in enumerate(self.statements)
            if isinstance(statement.node, ast.CreateFunctionStmt)
        )


def walk(tree: Any, kind: str) -> list[dict[str, Any]]:
    """Give every node of one kind in a plpgsql parse tree, in the order of the text."""
    found: list[dict[str, Any]] = []
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == kind:
                found.append(value)
            found.extend(walk(value, kind))
    elif isinstance(tree, list):
        for value in tree:
            found.extend(walk(value, kind))
    return found
