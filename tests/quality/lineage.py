"""Follows the columns of ``reports`` through the SQL of the truth: who mentions them, and who writes them where.

A report's row is known under the aliases of ``public.reports``, under variables and parameters of that type, and as
``new`` and ``old`` in its triggers. A mention of a column under one of these names is a read of it; a row used whole,
as in ``to_jsonb(r)``, is a read of all of it, unless it is handed to a function of ours, which is looked at itself, or
carried on under the name ``report``. Names hold for a whole function, so the answer errs towards a read too many.
Functions are parsed by libpg_query, which knows all of PostgreSQL; the columns of views are traced by sqlglot.
"""

# ruff: noqa: N802, N815  (the visitor finds its methods by the names of PostgreSQL's nodes)

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from pglast import ast
from pglast.parser import parse_sql
from pglast.visitors import Visitor
from sqlglot import exp
from sqlglot.lineage import lineage

from tests.quality.sql_files import Function, SqlFile, walk

REPORTS = "reports"
CARRIED = "report"
#: What stands before the table itself, as in ``(select * from public.reports)``.
_BEFORE_A_TABLE = {"from", "join", "into", "only", "table", "update", "using"}


@dataclass(frozen=True)
class Write:
    """A statement that writes a table, and the columns of reports that it mentions."""

    table: str
    columns: frozenset[str]


@dataclass
class Mentions(Visitor):
    """What one statement says about reports; ``rows`` are the names under which its rows are known."""

    rows: frozenset[str]
    columns: frozenset[str]
    found: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)
    bare: set[str] = field(default_factory=set)
    handed_on: set[int] = field(default_factory=set)  # where whole rows stand as arguments of functions of ours

    def visit_RangeVar(self, _: Any, node: Any) -> None:
        if (node.schemaname, node.relname) == ("public", REPORTS):
            self.aliases.add(node.alias.aliasname if node.alias else REPORTS)

    def visit_InsertStmt(self, _: Any, node: Any) -> None:
        self.written.add(node.relation.relname)

    visit_UpdateStmt = visit_InsertStmt
    visit_MergeStmt = visit_InsertStmt

    def visit_FuncCall(self, _: Any, node: Any) -> None:
        if len(node.funcname) == 2 and node.funcname[0].sval in ("private", "public"):
            for argument in node.args or ():
                value = argument.arg if isinstance(argument, ast.NamedArgExpr) else argument
                if isinstance(value, ast.ColumnRef):
                    self.handed_on.add(value.location)

    def visit_ResTarget(self, _: Any, node: Any) -> None:
        if node.name == CARRIED and isinstance(node.val, ast.ColumnRef):
            self.handed_on.add(node.val.location)

    def visit_ColumnRef(self, _: Any, node: Any) -> None:
        names = [part.sval if isinstance(part, ast.String) else "*" for part in node.fields]
        if names[-1] == CARRIED or (len(names) == 1 and names[0] in self.rows):
            self.found.update(self.columns if node.location not in self.handed_on else ())
        elif len(names) == 1:
            self.bare.add(names[0])
        elif names[-2] in self.rows and names[-1] == "*":
            self.bare.add("*")
        elif names[-2] in self.rows:
            self.found.update(self.columns & {names[-1]})

    def visit_A_Indirection(self, _: Any, node: Any) -> None:
        if isinstance(node.arg, ast.ColumnRef) and isinstance(node.arg.fields[-1], ast.String):
            field_name = node.indirection[-1]
            self.handed_on.add(node.arg.location)
            if node.arg.fields[-1].sval in self.rows and isinstance(field_name, ast.String):
                self.found.update(self.columns & {field_name.sval})


def report_columns(files: Iterable[SqlFile]) -> frozenset[str]:
    """Give the names of the columns of public.reports."""
    for file in files:
        for statement in file.statements:
            node = statement.node
            if isinstance(node, ast.CreateStmt) and (node.relation.schemaname, node.relation.relname) == (
                "public",
                REPORTS,
            ):
                return frozenset(str(e.colname) for e in node.tableElts if isinstance(e, ast.ColumnDef))
    raise AssertionError("no file creates public.reports")


def reads(function: Function, columns: frozenset[str]) -> frozenset[str]:
    """Give the columns of reports that the function mentions."""
    return frozenset().union(*(mentions.found for mentions in _statements(function, columns)))


def writes(function: Function, columns: frozenset[str]) -> list[Write]:
    """Give the writes of the function with the columns of reports that each statement mentions."""
    return [
        Write(table, frozenset(mentions.found))
        for mentions in _statements(function, columns)
        for table in sorted(mentions.written)
    ]


def calls(function: Function) -> frozenset[str]:
    """Give the names of our functions that the function calls, as schema.name."""
    return frozenset(re.findall(r"\b((?:private|public)\.\w+)\s*\(", function.body))


def view_sources(query: str, schema: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    """Give the columns of reports from which the output columns of a view's query come.

    ``schema`` maps each relation's name to its columns and their types.
    """
    found: set[str] = set()
    parsed = sqlglot.parse_one(query, dialect="postgres")
    # The lineage ends at a lateral subquery, so what one gives out counts as if it were the view's own.
    for lateral in parsed.find_all(exp.Lateral):
        if isinstance(lateral.this, exp.Subquery):
            found |= view_sources(lateral.this.this.sql(dialect="postgres"), schema)
    for output in parsed.named_selects:
        for node in lineage(output, query, schema=dict(schema), dialect="postgres").walk():
            if isinstance(node.expression, exp.Table) and node.expression.name == REPORTS:
                found.add(node.name.rsplit(".", 1)[-1])
    return frozenset(found)


def _statements(function: Function, columns: frozenset[str]) -> Iterator[Mentions]:
    trees = [parse_sql(text) for text in _texts(function)]
    variables = _row_variables(function)
    rows = variables | {CARRIED}
    held = bool(variables)  # then ``select r.* into v_report`` reads nothing by itself
    for tree in trees:
        scout = Mentions(frozenset(), columns)
        scout(tree)
        rows |= scout.aliases
    for tree in trees:
        mentions = Mentions(frozenset(rows), columns)
        mentions(tree)
        if mentions.aliases:
            mentions.found |= columns & mentions.bare
            if "*" in mentions.bare and not held:
                mentions.found |= columns
        yield mentions


def _row_variables(function: Function) -> set[str]:
    """Give the parameters and variables of type public.reports, and new and old of a trigger on reports."""
    found = set(re.findall(r"(\w+)\s+public\.reports\s*(?=[,;:)])", function.statement.text)) - _BEFORE_A_TABLE
    return found | ({"new", "old"} if function.name.startswith(f"tg_{REPORTS}__") else set())


def _defaults(function: Function) -> Iterator[str]:
    """Give the initial values of declared variables, which libpg_query leaves out for types that it does not know."""
    declared = re.search(r"\bdeclare\b(.*?)\bbegin\b", function.body, re.DOTALL | re.IGNORECASE)
    return iter(re.findall(r":=\s*(.*?);", declared[1], re.DOTALL) if declared else ())


def _texts(function: Function) -> Iterator[str]:
    """Give the SQL in a body, as statements: the body of language sql, or each expression and statement of plpgsql."""
    if function.language == "sql":
        yield function.body
        return
    for found in walk(function.plpgsql, "PLpgSQL_expr"):
        query, mode = str(found["query"]), found.get("parseMode", 0)
        if mode >= 3:  # an assignment: what is assigned counts
            query = re.split(r":=|(?<![<>!:])=(?!>)", query, maxsplit=1)[1]
        yield query if mode == 0 else f"select {query}"
    for value in _defaults(function):
        yield f"select {value}"
