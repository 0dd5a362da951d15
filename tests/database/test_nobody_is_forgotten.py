"""Over a day of declining, silent and vanishing professionals, no report waits unseen beyond its time."""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import Error

from tests.support.cases import NAIROBI, Cases, Professional, Sql, accept, call, north

#: `SAUTI_CLOCK_REPORTS=500` for a longer run.
REPORTS = int(os.environ.get("SAUTI_CLOCK_REPORTS", "120"))
STEP = timedelta(minutes=90)
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
    counts = {"expired": 1}
    while any(counts[name] for name in counts if name in {"expired", *(step.removesuffix("_at") for step in PACE)}):
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
def test_no_report_waits_beyond_its_time_without_a_professional_or_an_escalation(cases: Cases) -> None:
    luck = random.Random(500)
    admin = cases.admin()
    professionals = cast(cases, luck)
    survivors = [cases.survivor() for _ in range(50)]
    late: list[Any] = []
    filed = 0
    last: datetime = cases.now()
    while filed < REPORTS or cases.now() < last + timedelta(hours=26):
        for _ in range(min(REPORTS - filed, max(20, REPORTS // 4))):
            columns: dict[str, Any] = {"consent_location": False}
            if luck.random() < 0.7:
                latitude, longitude = north(luck.uniform(0, 150), NAIROBI)
                columns = {"consent_location": True, "latitude": latitude, "longitude": longitude}
            cases.file_report(
                luck.choice(survivors),
                urgency=luck.choice(["low", "medium", "high"]),
                required_services=luck.sample(SERVICES, luck.randint(1, 2)),
                age_category=luck.choice(["adult", "adult", "child"]),
                **columns,
            )
            filed += 1
            last = cases.now()
        act(cases, luck, admin, professionals)
        cases.pass_time(seconds=STEP.total_seconds())
        poll(cases)
        late += unseen(cases)
    assert late == []
    outcomes = cases.one(
        "select count(*) filter (where settled_at is not null) as taken,"
        " count(*) filter (where settled_at is null and escalated_at is not null) as escalated"
        " from private.response_clocks"
    )
    assert min(outcomes.values()) > 20, outcomes


def unseen(cases: Cases) -> list[Any]:
    """Clocks that run and have a step which was due now or earlier and was not taken, or was taken too late."""
    found: list[Any] = []
    for step, (high, others) in PACE.items():
        found += cases.sql.execute(
            f"select c.report_id, c.service_type, %s as step from private.response_clocks c where c.settled_at is null"
            f" and c.started_at + case c.urgency when 'high' then %s else %s end <= private.clock()"
            f" and (c.{step} is null or c.{step} > c.started_at + case c.urgency when 'high' then %s else %s end + %s)",
            (step, high, others, high, others, STEP),
        ).fetchall()
    found += cases.sql.execute(
        "select c.report_id, c.service_type, 'escalation' as step from private.response_clocks c"
        " where c.settled_at is null"
        " and c.started_at + case c.urgency when 'high' then %s else %s end <= private.clock()"
        " and not exists (select 1 from private.escalations e where e.report_id = c.report_id"
        "   and e.service_type = c.service_type and e.resolved_at is null and e.reason <> 'no_child_specialist')",
        PACE["escalated_at"],
    ).fetchall()
    return found
