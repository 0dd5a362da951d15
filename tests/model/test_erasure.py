"""Somebody leaves while the worker works: afterwards nothing of theirs is in the database, sent, or in any calendar.

A random run fills everything first. Then a survivor, a professional with full details in the calendar, and a
professional whose page visitors have booked on delete their accounts, one after the other. The mail sink, the SMS
provider and the calendars' host are real servers, the worker is the stack's own process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.model.canaries import Place
from tests.model.canary_run import MORE_ROUNDS, MORE_STEPS, Run, WorkingStack
from tests.model.places import answers, calendars, entries, sent, statistics, tables
from tests.model.town import Citizen, Town, town_on
from tests.support.loop_thread import LoopThread
from tests.support.races import until

STEPS = 80
MONTHS = re.compile(r'{"month":"2[^}]+}')
OURS = re.compile(r"UID:([0-9a-f-]{36})@sauti")


@pytest.fixture(scope="module")
def working(loop_thread: LoopThread) -> Iterator[WorkingStack]:
    """A stack with its worker."""
    with WorkingStack(loop_thread) as running:
        yield running


def ours_in(town: Town, citizen: Citizen) -> set[str]:
    """The appointments whose events stand in somebody's calendar."""
    return {uid for entry in entries(town, citizen.calendar_user) for uid in OURS.findall(entry)}


def is_waited_for(town: Town, run: Run) -> bool:
    """Whether sessions to come stand in the calendars of all three, and a visitor's with its reminder to be sent."""
    (booked,) = town.sql.execute(
        "select count(*) from public.appointments a join public.appointment_clients c using (appointment_id)"
        " where a.professional_id = %s and a.survivor_id is null and a.status in ('requested', 'confirmed')"
        " and a.appointment_date > private.clock()",
        (run.professionals[1].caller.id,),
    ).fetchall()
    leaving = (run.survivors[0], *run.professionals[:2])
    # What is in a calendar may be about to go from it.
    to_come = {
        str(appointment_id)
        for (appointment_id,) in town.sql.execute(
            "select appointment_id from public.appointments"
            " where status in ('requested', 'confirmed') and appointment_date > private.clock()"
        ).fetchall()
    }
    return booked[0] > 0 and all(ours_in(town, one) & to_come for one in leaving)


def traces(town: Town, citizen: Citizen, seen: dict[Place, str]) -> set[tuple[str, Place]]:
    """Where something of somebody is."""
    found = {(canary.what, place) for canary, place in town.aviary.found(seen) if citizen.name in canary.people}
    return found | {("id", place) for place, text in seen.items() if citizen.caller.id in text}


@pytest.mark.timeout(300)
def test_nothing_of_a_person_is_left_or_sent_after_they_have_gone(working: WorkingStack) -> None:
    with town_on(working.stack, seed=8) as town:
        run = Run(town)
        # Enough for a cell of the statistics that may be shown.
        for _ in range(8):
            town.report(run.survivors[1])
        run.go_until_everything_has_happened(STEPS, working.outside)
        # A month has ended, so there are statistics of it.
        town.pass_hours(24 * 32)
        for _ in range(MORE_ROUNDS):
            run.go(MORE_STEPS)
            run.until_quiet()
            if is_waited_for(town, run):
                break
        assert is_waited_for(town, run)
        published, facts = statistics(town)["statistics", "admin"], rows(town, "case_facts")
        assert re.search(r'"cases":\d', published)

        gone: list[Citizen] = []
        since = datetime.now(UTC)
        for leaving in (run.survivors[0], run.professionals[0], run.professionals[1]):
            assert "table" in {place[0] for _, place in traces(town, leaving, tables(town))}
            assert ours_in(town, leaving)
            leaving.caller.call("erase_my_data")
            # A message that is being sent while the account ends is not sent afterwards.
            since = datetime.now(UTC)
            working.outside.sms.forms.clear()
            gone.append(leaving)
            town.move_out(leaving)
            for citizen in town.citizens.values():
                citizen.caller.texts.clear()
            # The cleaning waits for what an earlier attempt has sent and nobody has answered.
            run.until_quiet()
            town.pass_hours(1)
            until(lambda: rows(town, "calendar_retirements") == "", "the calendars are emptied")
            run.until_quiet()
            assert ours_in(town, leaving) == set()
            assert len(entries(town, leaving.calendar_user)) == 1, "what is the owner's own stays"
            assert_gone(town, working, gone, since)
            assert (statistics(town)["statistics", "admin"], rows(town, "case_facts")) == (published, facts)
        # Reminders, purges and publications of more than a month.
        town.pass_hours(24 * 40)
        run.until_quiet()
        assert_gone(town, working, gone, since)
        months = {row for text in published.splitlines() for row in MONTHS.findall(text)}
        assert months <= set(MONTHS.findall(statistics(town)["statistics", "admin"]))


def rows(town: Town, table: str) -> str:
    """A private table as text."""
    (found,) = town.sql.execute(
        f"select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from private.{table} t"
    )
    return str(found[0])


def assert_gone(town: Town, working: WorkingStack, gone: list[Citizen], since: datetime) -> None:
    """Nothing of those who left is in the database, in what was sent since, in answers and in calendars."""
    seen = tables(town) | sent(town, working.outside, since) | answers(town) | calendars(town)
    # Frames that were heard before are the listener's.
    seen = {place: text for place, text in seen.items() if place[0] != "frame"}
    for citizen in gone:
        assert (citizen.name, sorted(traces(town, citizen, seen))) == (citizen.name, [])
    # In the calendars of those who stay, only what still takes place.
    held = {
        str(appointment_id)
        for (appointment_id,) in town.sql.execute(
            "select appointment_id from public.appointments where status <> 'cancelled'"
        ).fetchall()
    }
    for citizen in town.citizens.values():
        assert ours_in(town, citizen) <= held
