"""The SQL keeps CONVENTIONS.md, and each rule is able to say no."""

from __future__ import annotations

import psycopg
import pytest

from sauti_local.paths import ROOT
from sauti_local.schema import truth_files
from tests.quality import rules_of_catalog, rules_of_files
from tests.quality.sql_files import SqlFile

FILES = tuple(SqlFile.read(path, ROOT) for path in truth_files())

Connection = psycopg.Connection[tuple[str, ...]]


@pytest.mark.parametrize("rule", rules_of_files.RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps(rule: rules_of_files.Rule) -> None:
    assert FILES
    assert [breach for file in FILES for breach in rule(file)] == []


@pytest.mark.parametrize("rule", rules_of_files.RULES, ids=lambda rule: rule.__name__)
def test_a_file_that_breaks_it_is_found_by(rule: rules_of_files.Rule) -> None:
    assert [breach for file in rules_of_files.GOOD_FILES for breach in rule(file)] == []
    for file in rules_of_files.BREACHES[rule]:
        assert list(rule(file)), file.text


@pytest.mark.parametrize("name", rules_of_catalog.RULES)
def test_the_database_keeps(name: str, catalog: Connection) -> None:
    assert catalog.execute(rules_of_catalog.RULES[name].query.encode()).fetchall() == []


@pytest.mark.parametrize("name", rules_of_catalog.RULES)
def test_a_database_that_breaks_it_is_found_by(name: str, catalog: Connection) -> None:
    rule = rules_of_catalog.RULES[name]
    catalog.execute(rules_of_catalog.THINGS.encode())
    assert (rule.culprit,) not in catalog.execute(rule.query.encode()).fetchall()
    catalog.execute(rule.breach.encode())
    assert (rule.culprit,) in catalog.execute(rule.query.encode()).fetchall()


def test_every_error_symbol_that_functions_raise_is_registered(catalog: Connection) -> None:
    registered = {symbol for (symbol,) in catalog.execute("select symbol from private.error_codes")}
    raised = {(file.place, tuple(symbols)) for file in FILES for symbols in rules_of_files.error_symbols(file)}
    assert raised
    # No symbol at all: assembled at run time, so it could be one that is not registered, an error inside the error.
    assert {(place, symbols) for place, symbols in raised if not symbols or not registered.issuperset(symbols)} == set()


def test_a_symbol_that_is_assembled_or_unknown_is_seen() -> None:
    def symbols(argument: str) -> list[list[str]]:
        return rules_of_files.error_symbols(SqlFile("a/b.sql", f"perform private.raise_error({argument});"))

    assert symbols("'not_found', 'x'") == [["not_found"]]
    assert symbols("case when a = 'x' then 'not_found' else 'not_allowed' end") == [["not_found", "not_allowed"]]
    assert symbols("v_symbol") == [[]]
    assert symbols("'not_' || v_what") == [["not_"]]
