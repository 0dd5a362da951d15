"""The road and the truth build the same database, and the comparison that says so can be trusted.

Each mutation is one of the ways in which a guard gets lost without anybody reading a line that says so.
"""

from __future__ import annotations

import psycopg
import pytest

from sauti_local.schema import is_released, stale_migrations
from sauti_local.supabase_cli import difference
from tests.quality.conftest import Copy

MUTATIONS = {
    "a policy is dropped": "drop policy select_own on public.reports",
    "a policy lets more rows through": "alter policy select_own on public.reports using (true)",
    "a policy's comment is changed": "comment on policy select_own on public.reports is 'Anybody.'",
    "row level security is off": "alter table public.reports disable row level security",
    "a view forgets security_invoker": "alter view public.report_progress reset (security_invoker)",
    "a function loses security definer": "alter function private.accept_match security invoker",
    "a function loses its search_path": "alter function private.accept_match reset search_path",
    "everybody may execute a function": "grant execute on function private.accept_match to public",
    "a role may write one more column": "grant update (status) on public.reports to authenticated",
    "a role may read one more table": "grant select on private.outbox_jobs to authenticated",
    "a table leaves the publication": "alter publication supabase_realtime drop table public.matched_services",
    "an index is dropped": "drop index public.reports_user_id_idx",
    "a check is loosened": """
        alter table public.reports drop constraint reports_description_length;
        alter table public.reports add constraint reports_description_length
          check (length(incident_description) <= 200000)
        """,
    "an exclusion constraint is dropped": "alter table public.appointments drop constraint appointments_no_overlap",
    "a trigger is disabled": "alter table public.reports disable trigger _100_validate_insert",
    "a default changes": "alter table public.reports alter consent_to_share set default true",
    "new tables are granted again": "alter default privileges in schema public grant select on tables to anon",
}


def test_the_migrations_are_the_baseline_of_the_truth_until_the_first_release() -> None:
    assert is_released() or stale_migrations() == []


def test_the_two_builds_are_alike(road: str, truth: str) -> None:
    assert difference(road, truth) == ""
    assert difference(truth, road) == ""


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_difference_is_seen_when(mutation: str, road: str, copy: Copy) -> None:
    with copy() as mutant:
        with psycopg.connect(mutant) as connection:
            connection.execute(MUTATIONS[mutation].encode())
        assert difference(road, mutant) != ""
