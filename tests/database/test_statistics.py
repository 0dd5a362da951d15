"""Statistics tell nothing about fewer than five: whatever is asked, added and subtracted."""

from __future__ import annotations

import random
from datetime import date, timedelta
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest

from tests.support.cases import Cases, Sql, call
from tests.support.refusals import refused

DIMENSIONS = {
    "incident_type": "incident_type",
    "urgency": "urgency_level",
    "gender": "gender_type",
    "age_category": "age_category",
    "service_type": "service_type",
}
#: Those in which each case counts exactly once, so that their totals are equal.
PARTITIONS = ("incident_type", "urgency", "gender", "age_category")
K = 5

Cell = tuple[date, str, str]


def months(cases: Cases, count: int) -> list[date]:
    """First days of the `count` months before the present one, oldest first."""
    first = cases.now().date().replace(day=1)
    found = []
    for _ in range(count):
        first = (first - timedelta(days=1)).replace(day=1)
        found.append(first)
    return found[::-1]


def ask(sql: Sql, start: date, end: date, dimension: str) -> dict[Cell, int | None]:
    rows = sql.execute("select * from public.case_statistics(%s, %s, %s)", (start, end, dimension)).fetchall()
    return {(row["month"], dimension, row["value"]): row["cases"] for row in rows}


def end_of(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def values(cases: Cases) -> dict[str, list[str]]:
    found = {
        dimension: [
            row["v"]
            for row in cases.sql.execute(f"select unnest(enum_range(null::public.{kind}))::text as v").fetchall()
        ]
        for dimension, kind in DIMENSIONS.items()
    }
    found["age_category"].append("not_said")
    return found


def invent(cases: Cases, luck: random.Random, month: date, known: dict[str, list[str]], count: int) -> dict[Cell, int]:
    """Write so many cases, skewed so that small cells are common, and give back the true counts."""
    truth = {(month, dimension, value): 0 for dimension in known for value in known[dimension]}
    picks = {name: luck.sample(options, luck.randint(1, len(options))) for name, options in known.items()}
    rows = []
    for _ in range(count):
        row: dict[str, Any] = {
            name: picks[name][min(int(luck.expovariate(0.6)), len(picks[name]) - 1)] for name in PARTITIONS
        }
        services = luck.sample(picks["service_type"], luck.randint(1, min(3, len(picks["service_type"]))))
        for name in PARTITIONS:
            truth[month, name, row[name]] += 1
        for service in services:
            truth[month, "service_type", service] += 1
        age = None if row["age_category"] == "not_said" else row["age_category"]
        rows.append((month, row["incident_type"], row["urgency"], row["gender"], age, services))
    for facts in rows:
        cases.sql.execute(
            "insert into private.case_facts (month, incident_type, urgency, gender, age_category, required_services)"
            " values (%s, %s, %s, %s, %s, %s::public.service_type[])",
            facts,
        )
    return truth


def determined(published: dict[Cell, int | None]) -> dict[Cell, Fraction]:
    """Every hidden cell whose value follows from what is published: the equations are solved exactly.

    Unknown are the hidden cells and the total of each month; each partition of a month adds up to its total.
    """
    unknown: list[Any] = [cell for cell, cases in published.items() if cases is None]
    in_months = sorted({cell[0] for cell in published})
    unknown += in_months
    place = {name: index for index, name in enumerate(unknown)}
    system: list[list[Fraction]] = []
    for month in in_months:
        for dimension in PARTITIONS:
            equation = [Fraction(0)] * (len(unknown) + 1)
            equation[place[month]] = Fraction(1)
            for cell, cases in published.items():
                if cell[:2] == (month, dimension):
                    if cases is None:
                        equation[place[cell]] -= 1
                    else:
                        equation[-1] += cases
            system.append(equation)
    pivots: list[int] = []
    for column in range(len(unknown)):
        row = next((r for r in range(len(pivots), len(system)) if system[r][column]), None)
        if row is None:
            continue
        here = len(pivots)
        system[here], system[row] = system[row], system[here]
        system[here] = [value / system[here][column] for value in system[here]]
        for other, equation in enumerate(system):
            if other != here and equation[column]:
                factor = equation[column]
                system[other] = [a - factor * b for a, b in zip(equation, system[here], strict=True)]
        pivots.append(column)
    return {
        unknown[column]: system[row][-1]
        for row, column in enumerate(pivots)
        if sum(1 for value in system[row][:-1] if value) == 1 and isinstance(unknown[column], tuple)
    }


def hidden_sums(published: dict[Cell, int | None]) -> list[int]:
    """What the hidden cells of a dimension add up to, wherever the total is known from another one."""
    sums = []
    for month in {cell[0] for cell in published}:
        cells = {d: [n for c, n in published.items() if c[:2] == (month, d)] for d in PARTITIONS}
        cells = {dimension: counts for dimension, counts in cells.items() if counts}
        totals = [sum(n for n in counts if n is not None) for counts in cells.values() if None not in counts]
        if totals:
            sums += [totals[0] - sum(n for n in counts if n is not None) for counts in cells.values() if None in counts]
    return sums


@pytest.mark.parametrize("part", range(4))
def test_no_cell_below_five_is_recovered_from_all_queries_over_random_data(cases: Cases, part: int) -> None:
    admin = cases.admin()
    known = values(cases)
    luck = random.Random(20261122 + part)
    seen_complement = 0
    for _ in range(50):
        cases.sql.execute("delete from private.case_facts; delete from private.published_statistics")
        truth: dict[Cell, int] = {}
        for month in months(cases, 2):
            truth |= invent(cases, luck, month, known, luck.choice([0, 3, 7, 12, 25, 60]))
        starts = [start + timedelta(days=luck.choice([-9, -1, 0])) for start in months(cases, 2)]
        ends = [end_of(month) + timedelta(days=luck.choice([0, 1])) for month in months(cases, 2)]
        queries = [
            ask(admin, start, end, dimension)
            for dimension in DIMENSIONS
            for start in starts
            for end in ends
            if start <= end
        ]
        published: dict[Cell, int | None] = {}
        for answer in queries:
            for cell, shown in answer.items():
                assert published.setdefault(cell, shown) == shown
                assert shown is None or shown == truth[cell] >= K
        for one, other in combinations(queries, 2):
            totals = [sum(n for n in answer.values() if n is not None) for answer in (one, other)]
            if set(one) < set(other) or set(other) < set(one):
                assert totals[0] == totals[1] or abs(totals[0] - totals[1]) >= K
        assert determined(published) == {}
        assert all(total >= K for total in hidden_sums(published))
        seen_complement += sum(1 for cell, shown in published.items() if shown is None and truth[cell] >= K)
    assert seen_complement > 0


def test_the_solver_sees_a_single_hidden_cell() -> None:
    month = date(2026, 1, 1)
    published: dict[Cell, int | None] = {
        (month, "urgency", "low"): 10,
        (month, "urgency", "high"): 7,
        (month, "gender", "female"): 15,
        (month, "gender", "male"): None,
    }
    assert determined(published) == {(month, "gender", "male"): 2}
    assert hidden_sums(published) == [2]


def test_filed_reports_are_counted_in_their_month_and_published_a_day_after_it(cases: Cases) -> None:
    admin = cases.admin()
    month = cases.now().date().replace(day=1)
    for _ in range(6):
        cases.file_report(cases.survivor(), gender="female", urgency="high")
    later = cases.survivor()
    report_id = cases.file_report(later, gender="female", urgency="high", consent_to_share=False)
    cases.file_report(cases.survivor(), gender="female", urgency="high", consent_to_share=False)
    call(later.sql, "request_support", report_id)
    wide = (month - timedelta(days=400), month + timedelta(days=400))
    assert ask(admin, *wide, "gender") == {}
    days = (end_of(month) - cases.now().date()).days + 1
    cases.pass_time(days=days)
    assert ask(admin, *wide, "gender") == {}
    cases.pass_time(days=1, hours=1)
    shown = ask(admin, *wide, "gender")
    # The others are zero, so the smallest other cell has to hide with them: this one.
    assert set(shown.values()) == {None}
    assert cases.count("private.case_facts") == 0


def test_a_month_is_frozen_once_it_is_published(cases: Cases) -> None:
    admin = cases.admin()
    (month,) = months(cases, 1)
    known = values(cases)
    truth = invent(cases, random.Random(4), month, known, 80)
    before = ask(admin, month, end_of(month), "incident_type")
    assert any(before.values())
    assert truth
    invent(cases, random.Random(5), month, known, 80)
    assert ask(admin, month, end_of(month), "incident_type") == before
    assert cases.count("private.case_facts") == 0


def test_days_are_narrowed_to_whole_months(cases: Cases) -> None:
    admin = cases.admin()
    (month,) = months(cases, 1)
    invent(cases, random.Random(6), month, values(cases), 80)
    whole = ask(admin, month, end_of(month), "gender")
    assert {cell[0] for cell in whole} == {month}
    assert ask(admin, month + timedelta(days=1), end_of(month), "gender") == {}
    assert ask(admin, month, end_of(month) - timedelta(days=1), "gender") == {}
    assert ask(admin, month - timedelta(days=20), end_of(month) + timedelta(days=20), "gender") == whole


def test_only_administrators_ask(cases: Cases) -> None:
    today = date(2026, 11, 22)
    for nobody in (cases.survivor().sql, cases.professional().sql):
        with refused("not_allowed"):
            ask(nobody, today, today, "gender")
    with refused("not_authenticated"):
        ask(cases.database.as_anon(), today, today, "gender")


@pytest.mark.parametrize(
    ("start", "end", "dimension"),
    [
        (None, "2026-01-31", "gender"),
        ("2026-01-01", None, "gender"),
        ("2026-02-01", "2026-01-01", "gender"),
        ("-infinity", "infinity", "gender"),
        ("2026-01-01", "2026-01-31", "user_id"),
        ("2026-01-01", "2026-01-31", None),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(cases: Cases, start: Any, end: Any, dimension: Any) -> None:
    admin = cases.admin()
    with refused("invalid_input"):
        admin.execute("select * from public.case_statistics(%s::date, %s::date, %s)", (start, end, dimension))
