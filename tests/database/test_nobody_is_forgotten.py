"""500 reports, over a day of declining, silent and vanishing professionals: none waits unseen beyond its time."""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import Error

from tests.support.cases import NAIROBI, Cases, Professional, Sql, accept, call, north

REPORTS = 500
#: From one poll of the timers to the next.
INTERVALS = [timedelta(minutes=minutes) for minutes in (5, 15, 60, 180)]
SERVICES = ["counseling", "legal_aid", "medical"]
#: When each step of the response clock is due, by urgency: high, others (contract §6).
PACE = {
    "nudged_at": (timedelta(minutes=10), timedelta(minutes=20)),
    "widened_at": (timedelta(minutes=20), timedelta(minutes=40)),
    "opened_at": (timedelta(hours=6), timedelta(hours=12)),
    "escalated_at": (timedelta(hours=12), timedelta(hours=24)),
}


def poll(cases: Cases) -> None:
    """The worker's polls at one moment, until nothing is due."""
    # A search that finds nobody is work too: a poll takes a limited number of clocks, and may be all searches.
    steps = ["expired", "searched", *(step.removesuffix("_at") for step in PACE)]
    counts = dict.fromkeys(steps, 1)
    while any(counts[step] for step in steps):
        counts = cases.run_due_timers()


def cast(cases: Cases, luck: random.Random) -> list[Professional]:
    return [
        cases.professional(
            service_type=luck.choice(SERVICES),
            place=north(luck.uniform(0, 120), NAIROBI),
            coverage_radius_km=luck.choice([5, 30, 80]),
            max_active_cases=luck.randint(1, 4),
            is_remote=luck.random() < 0.2,
            specialisations=luck.choice([[], ["children"]]),
        )
        for _ in range(40)
    ]


def act(cases: Cases, luck: random.Random, admin: Sql, professionals: list[Professional]) -> None:
    """Some accept, some decline, most are silent, and now and then one vanishes in one of three ways."""
    for professional in luck.sample(professionals, len(professionals) // 2):
        open_offers = cases.sql.execute(
            "select id from public.matched_services where professional_id = %s and match_status_type = 'pending'"
            " order by id limit 2",
            (professional.id,),
        ).fetchall()
        for offer in open_offers:
            try:
                if luck.random() < 0.3:
                    accept(professional.sql, offer["id"], cases.now() + timedelta(hours=luck.randint(2, 400)))
                elif luck.random() < 0.5:
                    call(professional.sql, "decline_match", offer["id"])
            except Error as error:
                if not (error.sqlstate or "").startswith("PT"):
                    raise
    if professionals and luck.random() < 0.6:
        gone = professionals.pop(luck.randrange(len(professionals)))
        way = luck.choice(["suspended", "away", "erased"])
        if way == "suspended":
            call(admin, "verify_professional", gone.id, "suspended", "Nobody could reach them any more.")
        elif way == "erased":
            call(gone.sql, "erase_my_data")
        else:
            gone.sql.execute("update public.professionals set out_of_office_until = 'infinity' where id = auth.uid()")


@pytest.mark.timeout(600)
def test_no_report_waits_beyond_its_time_without_a_professional_or_an_escalation(committed: Cases) -> None:
    cases, luck = committed, random.Random(500)
    admin = cases.admin()
    professionals = cast(cases, luck)
    survivors = [cases.survivor() for _ in range(50)]
    late: list[Any] = []
    #: When the last poll began.
    polled = cases.now()
    #: Report → when somebody must have seen it.
    deadlines: dict[uuid.UUID, datetime] = {}
    while len(deadlines) < REPORTS or cases.now() < max(deadlines.values()) + max(INTERVALS):
        for _ in range(min(REPORTS - len(deadlines), REPORTS // 4)):
            columns: dict[str, Any] = {"consent_location": False}
            if luck.random() < 0.7:
                latitude, longitude = north(luck.uniform(0, 150), NAIROBI)
                columns = {"consent_location": True, "latitude": latitude, "longitude": longitude}
            urgency = luck.choice(["low", "medium", "high"])
            report_id = cases.file_report(
                luck.choice(survivors),
                urgency=urgency,
                required_services=luck.sample(SERVICES, luck.randint(1, 2)),
                age_category=luck.choice(["adult", "adult", "child"]),
                **columns,
            )
            high, others = PACE["escalated_at"]
            deadlines[report_id] = cases.now() + (high if urgency == "high" else others)
        act(cases, luck, admin, professionals)
        cases.pass_time(seconds=luck.choice(INTERVALS).total_seconds())
        before, polled = polled, cases.now()
        poll(cases)
        late += late_steps(cases, before, polled)
        late += [(waiting, "unseen") for waiting in unseen(cases) if deadlines[waiting[0]] <= cases.now()]
    assert late == []
    outcomes = cases.one(
        "select count(*) filter (where settled_at is not null) as taken,"
        " count(*) filter (where settled_at is null and escalated_at is not null) as escalated"
        " from private.response_clocks"
    )
    assert min(outcomes.values()) > REPORTS / 10, outcomes


def unseen(cases: Cases) -> list[tuple[uuid.UUID, str]]:
    """Every help asked for that nobody has accepted to give and no administrator sees; told from no clock of ours."""
    rows = cases.sql.execute(
        "select r.report_id, s.service_type::text from public.reports r"
        " cross join unnest(r.required_services) as s (service_type)"
        " where not exists (select 1 from public.matched_services m where m.report_id = r.report_id"
        "   and m.service_type = s.service_type and m.match_status_type in ('accepted', 'completed'))"
        " and not exists (select 1 from private.escalations e where e.report_id = r.report_id"
        "   and e.service_type = s.service_type and e.resolved_at is null and e.reason <> 'no_child_specialist')"
    ).fetchall()
    return [(row["report_id"], row["service_type"]) for row in rows]


def late_steps(cases: Cases, before: datetime, polled: datetime) -> list[Any]:
    """Clocks that run with a step that was due and was not taken, or that the poll before should have taken."""
    found: list[Any] = []
    for step, (high, others) in PACE.items():
        found += cases.sql.execute(
            f"select c.report_id, c.service_type, %s as step from private.response_clocks c"
            f" cross join lateral (select c.started_at + case c.urgency when 'high' then %s else %s end as at) due"
            f" where c.settled_at is null"
            f" and ((c.{step} is null and due.at <= private.clock()) or (c.{step} >= %s and due.at <= %s))",
            (step, high, others, polled, before),
        ).fetchall()
    return found
