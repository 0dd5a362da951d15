"""A canary in every personal field; after a full random run with the worker it is only where it may be.

Searched as text: every answer that anybody got from the API, every frame that anybody heard, everybody's statistics and
subscription, every table of every schema as the superuser reads it (the outbox, logs of access and audit among them),
every mail, SMS and calendar entry, every log file of the stack, the worker's numbers, and what the commands print.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.model.canary_run import Run, WorkingStack
from tests.model.columns import NOT_TOLD, free_columns, planted_columns
from tests.model.places import everywhere, tables
from tests.model.town import town_on
from tests.support.loop_thread import LoopThread
from tests.support.races import until
from tests.support.users import PASSWORD

STEPS = 200


@pytest.fixture(scope="module")
def working(loop_thread: LoopThread) -> Iterator[WorkingStack]:
    """A stack with its worker."""
    with WorkingStack(loop_thread) as running:
        yield running


@pytest.mark.timeout(240)
def test_after_a_random_run_every_canary_is_only_where_it_may_be(working: WorkingStack) -> None:
    with town_on(working.stack, seed=5) as town:
        town.aviary.keep(PASSWORD, "password of an account")
        run = Run(town)
        run.go_until_everything_has_happened(STEPS, working.outside)
        run.until_quiet()
        town.say_that_it_is_over()
        until(town.all_have_heard, "everybody has heard everything")

        columns = free_columns(town)
        planted = planted_columns(town, columns, town.aviary.canaries)
        assert columns - planted - NOT_TOLD.keys() == set(), "a column with neither a canary nor a reason to have none"
        assert planted & NOT_TOLD.keys() == set(), "a column with a reason that is none"

        seen = everywhere(town, working.outside)
        found = list(town.aviary.found(seen))
        astray = sorted({(canary.what, place) for canary, place in found if not canary.may_be_in(place)})
        assert not astray
        # The hunt finds what is there.
        where = Counter(place[0] for _, place in found)
        assert {"table", "answer", "frame", "mail to", "mail", "sms to", "calendar", "ics"} <= where.keys(), where
        assert sum(text.count('"subject"') for place, text in seen.items() if place[0] == "mail") > 20
        assert "sauti_attempts_total" in seen["metrics", "metrics"]
        assert '"what"' in seen["command", "doctor --json"]
        assert "kind" in seen["command", "jobs list --json"]
        for citizen in town.citizens.values():
            refusal = "not_authenticated" if citizen is town.visitor else "not_allowed"
            assert citizen is run.admin or seen["statistics", citizen.name].count(refusal) == 5

        # The eyes are open: one story in the result of a job, and it is astray.
        story = next(canary for canary in town.aviary.canaries if canary.what == "story")
        town.sql.execute(
            "update private.outbox_jobs set result = to_jsonb(%s::text)"
            " where id = (select max(id) from private.outbox_jobs)",
            (story.text,),
        )
        leaks = [place for canary, place in town.aviary.found(tables(town)) if not canary.may_be_in(place)]
        assert leaks == [("table", "private.outbox_jobs")]
