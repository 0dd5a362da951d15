"""docs/api.md, docs/access.md and docs/errors.md say what the database says, and what the API answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from sauti_local.catalog import read_catalog
from sauti_local.reference import PLATFORM_ERRORS, pages, stale_pages
from sauti_local.stack import Stack
from tests.support.users import User

Connection = psycopg.Connection[tuple[str, ...]]


def test_the_pages_are_fresh(catalog: Connection) -> None:
    stale = stale_pages(read_catalog(catalog))
    assert stale == [], "run `python -m sauti_local.reference write`"


@pytest.mark.parametrize(
    ("change", "page"),
    [
        ("comment on table public.reports is 'Another.'", "docs/api.md"),
        ("comment on column public.reports.urgency is 'Another.'", "docs/api.md"),
        ("alter type public.urgency_level add value 'never'", "docs/api.md"),
        ("grant select (case_code) on public.reports to anon", "docs/access.md"),
        ("alter policy select_own on public.reports using (true)", "docs/access.md"),
        ("grant execute on function private.case_file to authenticated", "docs/access.md"),
        ("insert into private.error_codes values ('new_symbol', 418, 'x', 'y')", "docs/errors.md"),
    ],
)
def test_a_page_goes_stale_with(change: str, page: str, catalog: Connection) -> None:
    before = pages(read_catalog(catalog))
    catalog.execute(change.encode())
    after = pages(read_catalog(catalog))
    assert before[page] != after[page]


# Each promise of the errors page about the platform, kept by the real PostgREST in front of the real database.
REPORT: dict[str, Any] = {"incident_type": "stalking", "required_services": ["legal_aid"]}
ANSWERS = {
    "unknown enumeration value": ("22P02", "POST", "reports", REPORT | {"incident_type": "boredom"}),
    "broken uuid": ("22P02", "POST", "rpc/open_case", {"match_id": "not-a-uuid"}),
    "NUL byte": ("22P05", "POST", "reports", REPORT | {"incident_description": "a\0b"}),
    "unreadable date": ("22007", "POST", "reports", REPORT | {"incident_date": "tomorrow-ish"}),
    "date out of range": ("22008", "POST", "reports", REPORT | {"incident_date": "2026-02-31"}),
    "missing value": ("23502", "POST", "blocked_professionals", {}),
    "nobody of this id": (
        "23503",
        "POST",
        "blocked_professionals",
        {"professional_id": "00000000-0000-4000-8000-000000000000"},
    ),
    "forbidden column": ("42501", "POST", "reports", REPORT | {"status": "active"}),
    "row of another": ("42501", "POST", "reports", REPORT | {"user_id": "00000000-0000-4000-8000-000000000000"}),
    "unreadable filter": ("PGRST100", "GET", "reports?user_id=is_like.3", None),
    "exactly one row": ("PGRST116", "GET", "reports?limit=1", None),
    "unrelated embedding": ("PGRST200", "GET", "reports?select=*,calendar_busy(*)", None),
    "unknown function": ("PGRST202", "POST", "rpc/open_sesame", {}),
    "unknown column": ("PGRST204", "POST", "reports", REPORT | {"colour": "red"}),
}


def promised_status(code: str) -> str:
    (status,) = [status for codes, status, _ in PLATFORM_ERRORS if code in codes.split(", ")]
    return status


@pytest.mark.parametrize("case", ANSWERS)
def test_the_platform_answers_as_the_errors_page_says(case: str, stack: Stack, new_user: Callable[..., User]) -> None:
    code, method, path, body = ANSWERS[case]
    headers = new_user("survivor").headers
    if code == "PGRST116":
        headers = headers | {"Accept": "application/vnd.pgrst.object+json"}
    answer = httpx.request(
        method, f"{stack.addresses.api_url}/rest/v1/{path}", json=body, headers=headers, timeout=30, trust_env=False
    )
    assert answer.json()["code"] == code
    assert str(answer.status_code) in promised_status(code)


def test_a_visitor_is_told_to_sign_in(stack: Stack) -> None:
    answer = httpx.get(
        f"{stack.addresses.api_url}/rest/v1/reports",
        headers={"apikey": stack.addresses.anon_key},
        timeout=30,
        trust_env=False,
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "42501")
