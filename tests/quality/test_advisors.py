"""The real Splinter lints, as the dashboard of a hosted project runs them, find nothing to say."""

from __future__ import annotations

import psycopg
import pytest

from sauti_local.supabase_cli import advisors
from tests.quality.conftest import Copy

# Says only that a new database has not been used yet.
EXPECTED = {"unused_index"}

MUTATIONS = {
    "rls_disabled_in_public": "alter table public.reports disable row level security",
    "auth_rls_initplan": "alter policy select_own on public.reports using (user_id = auth.uid())",
    "security_definer_view": "alter view public.report_progress set (security_invoker = false)",
    "unindexed_foreign_keys": "drop index public.reports_user_id_idx",
}


def findings(url: str) -> list[tuple[str, str]]:
    return [(finding["name"], finding["detail"]) for finding in advisors(url) if finding["name"] not in EXPECTED]


def test_the_advisors_find_nothing(road: str) -> None:
    assert findings(road) == []


def test_the_advisors_see_the_api_schema(road: str) -> None:
    # Without this setting many lints look at no table at all and stay silent.
    with psycopg.connect(road) as connection:
        assert connection.execute("show pgrst.db_schemas").fetchone() == ("public",)


@pytest.mark.parametrize("lint", MUTATIONS)
def test_the_advisors_see(lint: str, road: str, copy: Copy) -> None:
    with copy() as mutant:
        with psycopg.connect(mutant) as connection:
            connection.execute(MUTATIONS[lint].encode())
        assert lint in {name for name, _ in findings(mutant)}
