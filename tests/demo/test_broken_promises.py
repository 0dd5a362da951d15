"""A database that breaks a promise turns the demo red, at the step that looks for it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from rich.console import Console

from sauti_local.calendar import PASSWORD
from sauti_local.demo.report import DemoFailed, Report
from sauti_local.demo.story import play
from sauti_local.stack import Addresses, Stack, StackConfig
from tests.support.loop_thread import LoopThread

BREACHES = {
    "an offer carries the name": (
        "Offers arrive live",
        """
        alter table public.matched_services add column note text;
        create function public.breach() returns trigger language plpgsql as $$
        begin
          new.note := (select r.survivor_name from public.reports as r where r.report_id = new.report_id);
          return new;
        end $$;
        create trigger breach before insert on public.matched_services for each row execute function public.breach();
        """,
        "drop function public.breach cascade; alter table public.matched_services drop column note",
    ),
    "everybody reads reports": (
        "A professional looks",
        "create policy breach on public.reports for select to authenticated using (true)",
        "drop policy breach on public.reports",
    ),
    "a look is not logged": (
        "The one door to the story",
        """
        create function public.breach() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger breach before insert on private.access_log_entries
        for each row execute function public.breach();
        """,
        "drop function public.breach cascade",
    ),
    "a calendar entry names the survivor": (
        "The calendar",
        """
        alter table public.calendar_connections alter column detail_level set default 'full';
        create function public.breach() returns trigger language plpgsql as $$
        begin
          new.location := (
            select 'With ' || r.survivor_name
            from public.matched_services as m
            join public.reports as r on r.report_id = m.report_id
            where m.id = new.matched_services
          );
          return new;
        end $$;
        create trigger breach before insert on public.appointments for each row execute function public.breach();
        """,
        "drop function public.breach cascade;"
        "alter table public.calendar_connections alter column detail_level set default 'neutral'",
    ),
    "completion gives no boost": (
        "The professional completes first",
        "update private.matching_settings set boost_per_case = 0",
        "update private.matching_settings set boost_per_case = default",
    ),
}


@pytest.fixture(scope="module")
def whole_stack(loop_thread: LoopThread) -> Iterator[Addresses]:
    """A stack with a worker, for this module alone."""
    running = Stack(StackConfig(port=0, seed=False))
    loop_thread.run(running.__aenter__())
    try:
        yield running.addresses
    finally:
        loop_thread.run(running.__aexit__(None, None, None))


@pytest.fixture
def empty_stack(whole_stack: Addresses) -> Addresses:
    """The same stack with nobody on it, no mail and no calendar entry."""
    run_sql(whole_stack, "truncate auth.users, private.outbox_jobs cascade")
    with httpx.Client(trust_env=False) as http:
        http.delete(f"{whole_stack.mail_url}/messages.json").raise_for_status()
        for name in ("wangari", "otieno"):
            http.delete(f"{whole_stack.caldav_url}/{name}/sessions/", auth=(name, PASSWORD)).raise_for_status()
    return whole_stack


def run_sql(addresses: Addresses, statements: str) -> None:
    with psycopg.connect(addresses.db_url, autocommit=True) as connection:
        connection.execute(statements)


async def played(addresses: Addresses) -> tuple[bool, list[str]]:
    """Whether the whole story held, and the steps that it came to."""
    written = io.StringIO()
    try:
        await play(addresses, Report(Console(file=written, width=200)), patience=5.0)
    except DemoFailed:
        held = False
    else:
        held = True
    lines = written.getvalue().splitlines()
    assert ("    ✗ " in written.getvalue()) is not held, written.getvalue()
    return held, [line.partition(". ")[2] for line in lines if line[:2].strip().isdigit()]


@pytest.mark.parametrize("breach", BREACHES)
async def test_a_broken_promise_is_noticed_where_it_is_looked_for(empty_stack: Addresses, breach: str) -> None:
    step, make, undo = BREACHES[breach]
    run_sql(empty_stack, make)
    try:
        held, steps = await played(empty_stack)
    finally:
        run_sql(empty_stack, undo)
    assert (held, steps[-1]) == (False, step)


async def test_without_a_breach_the_same_stack_holds(empty_stack: Addresses) -> None:
    held, steps = await played(empty_stack)
    assert held
    assert steps[-1] == "She keeps her account"
