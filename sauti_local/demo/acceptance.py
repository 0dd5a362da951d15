"""The middle of a case: a masked look, what is forbidden, two who accept at once, and the one door to the story."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

from sauti_local.demo.live import Ear, Heard
from sauti_local.demo.people import Caller, Person, Refusal, Row, caller, refused
from sauti_local.demo.secrecy import MASKED, OFFERED, leaks, scalars, telling
from sauti_local.demo.stage import Accepted, Cast, Filed, Stage


async def look_masked(stage: Stage, cast: Cast, filed: Filed) -> None:
    """A professional reads everything there is to read, and learns the masked facts."""
    report, filed_report = stage.report, filed.report
    onlooker = cast.professionals[0]
    offer = await onlooker.api.one("matched_services")
    report.tell(f"{onlooker.first_name} looks at her offer.")
    report.show({name: offer[name] for name in (*MASKED, "service_type", "urgency", "match_score")})
    report.equal(
        "the masked facts are those of the report",
        {name: offer[name] for name in OFFERED},
        {name: filed_report[name] for name in OFFERED},
    )
    report.equal("the score is rounded, so that it tells no distance", offer["match_score"] % 5, 0)

    report.tell("She, the newcomer and a visitor without an account read every table and view there is.")
    secrets, hers = telling(filed_report), filed.survivor.first_name
    visitor = await caller(stage.addresses, stage.http, stage.addresses.anon_key)
    relations = await cast.service.relations() | await onlooker.api.relations() | await visitor.relations()
    for who, api in (
        (onlooker.first_name, onlooker.api),
        (cast.newcomer.first_name, cast.newcomer.api),
        ("the visitor", visitor),
    ):
        seen = await _everything(api, relations)
        values = list(scalars(seen))
        found = leaks(secrets.values(), seen)
        report.equal(
            f"{who}: {len(relations)} tables and views, {len(values)} values, nothing of the report", found, []
        )
    pieces = sum(map(len, secrets.values()))
    own = leaks(secrets.values(), await filed.survivor.api.select("reports"))
    report.equal(f"the same search finds all {pieces} pieces of it in what {hers} reads", len(own), pieces)


async def try_forbidden(stage: Stage, cast: Cast, filed: Filed) -> None:
    """What a professional may not do before acceptance is refused, and changes nothing."""
    report, report_id = stage.report, filed.report["report_id"]
    person = cast.professionals[0]
    offer = await person.api.one("matched_services")
    jobs = await _jobs_of_cases(cast)

    report.tell(f"{person.first_name} tries what is not hers to do.")
    report.equal("reading the report gives nothing", await person.api.select("reports", report_id=report_id), [])
    embedded = await person.api.one("matched_services", "id,reports(*)")
    report.equal("embedding it in the offer gives nothing", embedded["reports"], None)
    for promise, action, symbol in (
        ("opening the case before acceptance", person.api.call("open_case", match_id=offer["id"]), "case_not_open"),
        (
            "accepting for later without a time",
            person.api.call("accept_match", match_id=offer["id"], mode="schedule_later"),
            "invalid_input",
        ),
        (
            "accepting somebody else's offer",
            person.api.call("accept_match", match_id=filed.report["report_id"], mode="meet_now"),
            "not_found",
        ),
    ):
        _refused_with(stage, promise, await refused(action), symbol)
    written = await refused(person.api.update("matched_services", {"match_status_type": "accepted"}, id=offer["id"]))
    report.check(
        f"writing the offer directly is refused: {written}",
        isinstance(written, Refusal),
        expected="a refusal",
        seen=written,
    )
    report.equal("the offer is still pending, unchanged", await person.api.one("matched_services"), offer)
    report.equal("no message and no calendar event was queued", await _jobs_of_cases(cast), jobs)


async def accept_at_once(stage: Stage, cast: Cast, ears: dict[str, Ear], filed: Filed) -> Accepted:
    """Two professionals accept at the same moment; one gets the case."""
    report, report_id = stage.report, filed.report["report_id"]
    racers = cast.professionals[:2]
    offers = [await person.api.one("matched_services", report_id=report_id) for person in racers]
    names = " and ".join(person.first_name for person in racers)
    report.tell(f"{names} accept with meet_now at the same moment.")

    async def accept(person: Person, offer: Row) -> tuple[Any, float]:
        began = time.perf_counter()
        answer = await refused(person.api.call("accept_match", match_id=offer["id"], mode="meet_now"))
        return answer, time.perf_counter() - began

    answers = await asyncio.gather(*(accept(person, offer) for person, offer in zip(racers, offers, strict=True)))
    won = [index for index, (answer, _) in enumerate(answers) if not isinstance(answer, Refusal)]
    report.check("exactly one has it", len(won) == 1, expected="one acceptance", seen=[str(a) for a, _ in answers])
    first, second = won[0], 1 - won[0]
    winner, rival = racers[first], racers[second]
    appointment, seconds = answers[first]
    _refused_with(stage, f"for {rival.first_name} it is gone", answers[second][0], "match_not_pending")
    report.time("acceptance", seconds)

    taken = await winner.api.one("matched_services", report_id=report_id)
    report.equal(f"{winner.first_name}'s offer is accepted", taken["match_status_type"], "accepted")
    others = [person for person in cast.professionals if person is not winner]
    left = [(await person.api.one("matched_services", report_id=report_id))["match_status_type"] for person in others]
    report.equal("the other offers are superseded", left, ["superseded"] * len(others))
    starts_at = datetime.fromisoformat(appointment["appointment_date"])
    wait = starts_at - datetime.fromisoformat(taken["responded_at"])
    report.check(
        "the appointment is confirmed, an hour after the acceptance",
        appointment["status"] == "confirmed" and abs(wait - timedelta(hours=1)) <= timedelta(seconds=1),
        expected="confirmed, 1:00:00 later",
        seen=f"{appointment['status']}, {wait} later",
    )

    survivor = filed.survivor
    progress = await survivor.api.one("report_progress", report_id=report_id)
    report.equal(
        f"{survivor.first_name}'s progress shows the appointment",
        [progress["stage"], progress["next_appointment_id"]],
        ["accepted_scheduled", appointment["appointment_id"]],
    )

    def is_appointment(heard: Heard) -> bool:
        return heard.event == "appointment" and heard.row.get("id") == appointment["appointment_id"]

    rang = await ears[survivor.user_id].first(is_appointment, stage.patience)
    report.check(f"{survivor.first_name}'s app rang", rang is not None, expected="an event appointment", seen=rang)

    def is_acceptance(heard: Heard) -> bool:
        return heard.kind == "change" and heard.event == "UPDATE" and heard.row.get("id") == taken["id"]

    change = await ears[winner.user_id].first(is_acceptance, stage.patience)
    heard = [message.row for person in others for message in ears[person.user_id].heard]
    found = leaks(telling(filed.report).values(), heard)
    report.equal("what the others heard of it tells nothing of the report", found, [])
    if change is None or change.committed_at is None:
        raise LookupError("no live change told of the acceptance")
    return Accepted(winner, rival, taken["id"], appointment, change.committed_at.timestamp())


async def open_case(stage: Stage, cast: Cast, filed: Filed, accepted: Accepted) -> None:
    """The one door to the story, and the log of who went through it."""
    report, survivor, winner = stage.report, filed.survivor, accepted.winner
    hers = survivor.first_name
    report.equal(f"before, nobody is in {hers}'s access log", await survivor.api.select("access_log"), [])
    report.tell(f"{winner.first_name} opens the case.")
    case = await winner.api.call("open_case", match_id=accepted.match_id)
    report.show({"story": case["incident_description"]})
    # What the survivor wrote is in both; the state of the report has moved on since.
    told = [name for name in telling(filed.report) if name not in ("user_id",)]
    report.equal(
        f"it is the report as {hers} wrote it: {len(told)} fields that nobody had seen",
        {name: case[name] for name in told},
        {name: filed.report[name] for name in told},
    )
    report.equal(
        "it lists the session to come",
        [session["appointment_id"] for session in case["sessions"]],
        [accepted.appointment["appointment_id"]],
    )
    log = await survivor.api.select("access_log")
    report.equal(
        f"{hers}'s access log shows who looked, and by which door",
        [(entry["actor_id"], entry["actor_role"], entry["door"], entry["match_id"]) for entry in log],
        [(winner.user_id, "professional", "open_case", accepted.match_id)],
    )
    report.show({"opened at": log[0]["opened_at"], "by": winner.name})

    for person in cast.professionals:
        if person is not winner:
            offer = await person.api.one("matched_services", report_id=filed.report["report_id"])
            answer = await refused(person.api.call("open_case", match_id=offer["id"]))
            _refused_with(stage, f"the door stays shut for {person.first_name}", answer, "case_not_open")
    report.equal("the professional still cannot read the report itself", await winner.api.select("reports"), [])
    report.equal("nor can the administrator", await cast.admin.api.select("reports"), [])
    report.equal("no refused look is in the log", len(await survivor.api.select("access_log")), len(log))


def _refused_with(stage: Stage, promise: str, answer: Any, symbol: str) -> None:
    """Check that an answer is the registered refusal."""
    stage.report.check(
        f"{promise}: {answer}" if isinstance(answer, Refusal) else promise,
        isinstance(answer, Refusal) and answer.message == symbol and answer.code.startswith("PT4"),
        expected=symbol,
        seen=answer if not isinstance(answer, Refusal) else str(answer),
    )


async def _everything(api: Caller, relations: set[str]) -> dict[str, Any]:
    """All rows of all tables and views that the caller may see; a refusal counts as what it says."""
    names = sorted(relations)
    rows = await asyncio.gather(*(refused(api.select(name)) for name in names))
    return {
        name: str(answer) if isinstance(answer, Refusal) else answer for name, answer in zip(names, rows, strict=True)
    }


async def _jobs_of_cases(cast: Cast) -> set[int]:
    """The jobs that an act of a person queues; readings of calendars are queued by the clock, at any moment."""
    jobs: list[Row] = await cast.service.call("list_jobs")
    return {int(job["job_id"]) for job in jobs if job["kind"] != "calendar_pull"}
