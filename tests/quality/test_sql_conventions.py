"""The SQL keeps CONVENTIONS.md, and each rule is able to say no."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from sauti_local.paths import ROOT
from sauti_local.schema import truth_files
from tests.quality import rules_of_catalog, rules_of_files
from tests.quality.sql_files import SqlFile

FILES = tuple(SqlFile.read(path, ROOT) for path in truth_files())

Connection = psycopg.Connection[tuple[str]]


@pytest.fixture
def connection(road: str) -> Iterator[Connection]:
    """A transaction on the migrated database that leaves no trace."""
    with psycopg.connect(road) as connection:
        yield connection
        connection.rollback()


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
def test_the_database_keeps(name: str, connection: Connection) -> None:
    assert connection.execute(rules_of_catalog.RULES[name].query.encode()).fetchall() == []


@pytest.mark.parametrize("name", rules_of_catalog.RULES)
def test_a_database_that_breaks_it_is_found_by(name: str, connection: Connection) -> None:
    rule = rules_of_catalog.RULES[name]
    connection.execute(rules_of_catalog.THINGS.encode())
    assert (rule.culprit,) not in connection.execute(rule.query.encode()).fetchall()
    connection.execute(rule.breach.encode())
    assert (rule.culprit,) in connection.execute(rule.query.encode()).fetchall()


def test_every_error_symbol_that_functions_raise_is_registered(connection: Connection) -> None:
    registered = {symbol for (symbol,) in connection.execute("select symbol from private.error_codes")}
    raised = {(file.place, symbol) for file in FILES for symbol in rules_of_files.error_symbols(file)}
    assert raised
    assert {(place, symbol) for place, symbol in raised if symbol not in registered} == set()


def test_every_error_symbol_is_a_constant() -> None:
    # A symbol assembled at run time could be one that is not registered, and then an error inside the error.
    for file in FILES:
        calls = file.text.count(f"private.{rules_of_files.HELPER}(")
        named = file.text.count(f"function private.{rules_of_files.HELPER}(")
        assert calls - named == len(rules_of_files.error_symbols(file)), file.place
