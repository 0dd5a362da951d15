"""The last part of a case: what strangers could see, the session, completion, the boost, the archive."""

from __future__ import annotations

from datetime import UTC, datetime

from sauti_local.demo.outside import (
    account_of,
    entries,
    event_in,
    indiscretions,
    invitation_in,
    mail,
    notification_of,
    unfolded,
    words_of_the_case,
)
from sauti_local.demo.people import Person, Row, caller, new_password
from sauti_local.demo.secrecy import leaks
from sauti_local.demo.stage import Accepted, Cast, Filed, Stage
from sauti_local.demo.waiting import eventually

_COMPARABLE = (
    "incident_type", "urgency", "required_services", "gender", "age_category", "preferred_language",
    "preferred_professional_gender", "special_needs", "consent_to_share", "consent_location", "latitude", "longitude",
)  # fmt: skip


async def read_offer_mail(stage: Stage, cast: Cast, filed: Filed) -> None:
    """Each professional has a mail about the offer, from which nobody could tell what it is about."""
    report = stage.report
    report.tell("The worker has mailed the professionals. A stranger reads over their shoulders.")
    addresses = sorted(person.email or "" for person in cast.professionals)

    def recipients(messages: list[Row]) -> list[str]:
        return sorted(address for message in messages for address in message["to"])

    messages = await eventually(lambda: mail(stage), lambda seen: recipients(seen) == addresses, stage.patience)
    report.equal("one mail for each of them, none for anybody else", recipients(messages), addresses)
    report.show({"subject": messages[0]["subject"], "text": messages[0]["text"].strip().splitlines()[0]})
    found = indiscretions(await _words(cast, filed), messages)
    report.equal("no incident, service, name or story in subject, text, HTML or headers", found, [])


async def read_calendar(stage: Stage, cast: Cast, filed: Filed, accepted: Accepted) -> None:
    """The appointment stands in the winner's calendar, once, and says nothing."""
    report, winner, appointment = stage.report, accepted.winner, accepted.appointment
    report.tell(f"The worker carries the appointment to {winner.first_name}'s calendar.")
    calendar = account_of(stage, winner)
    documents = await eventually(lambda: entries(stage, calendar), lambda seen: len(seen) > 0, stage.patience)
    report.time("acceptance → event in the calendar", datetime.now(UTC).timestamp() - accepted.committed_at)
    report.check("an event stands in the calendar", len(documents) > 0, expected="an event", seen=documents)

    outbox = await eventually(
        lambda: cast.service.call("outbox_statistics"),
        lambda seen: seen["pending"] == seen["running"] == 0,
        stage.patience,
    )
    report.equal(
        "the outbox is empty and nothing is dead",
        {state: outbox[state] for state in ("pending", "running", "dead")},
        {"pending": 0, "running": 0, "dead": 0},
    )
    documents = await entries(stage, calendar)
    event = event_in(documents[0])
    report.equal("the event is there exactly once", len(documents), 1)
    if event is None:
        raise LookupError("the calendar object does not hold one event")
    report.show({"summary": str(event["summary"]), "description": str(event["description"]).replace("\n", " · ")})
    report.equal(
        "its id and its time are the appointment's",
        [str(event["uid"]).startswith(appointment["appointment_id"]), event.decoded("dtstart")],
        [True, datetime.fromisoformat(appointment["appointment_date"])],
    )
    report.check(
        "it names the case by its code",
        filed.report["case_code"] in str(event["description"]),
        expected=filed.report["case_code"],
        seen=str(event["description"]),
    )
    found = leaks(await _words(cast, filed), unfolded(documents[0]))
    report.equal("no incident, service, name or story in it", found, [])
    other = await entries(stage, account_of(stage, accepted.rival))
    report.equal(f"nothing stands in {accepted.rival.first_name}'s calendar", other, [])
    synced = await winner.api.select("calendar_events", "appointment_id,sync_status")
    report.equal(
        f"{winner.first_name} reads that it is synced",
        synced,
        [{"appointment_id": appointment["appointment_id"], "sync_status": "synced"}],
    )


async def read_appointment_mail(stage: Stage, cast: Cast, filed: Filed, accepted: Accepted) -> None:
    """Both parties have a mail with the appointment attached."""
    report, appointment = stage.report, accepted.appointment
    addresses = sorted([accepted.winner.email or "", filed.report["contact_email"]])
    report.tell("Both have a mail: hers at the address she gave, within the hours she called safe.")

    async def invitations() -> list[Row]:
        return [message for message in await mail(stage) if invitation_in(message) is not None]

    messages = await eventually(invitations, lambda seen: len(seen) >= len(addresses), stage.patience)
    report.equal(
        "one mail with an appointment for each party",
        sorted(address for message in messages for address in message["to"]),
        addresses,
    )
    arrived = [datetime.fromisoformat(message["received_at"]).timestamp() for message in messages]
    report.time("acceptance → mail in the sink", max(arrived) - accepted.committed_at)
    report.show(
        {
            "subject": messages[0]["subject"],
            "text": " · ".join(line for line in messages[0]["text"].splitlines() if line)[:140],
            "attached": messages[0]["attachments"][0]["filename"],
        }
    )
    events = [event for message in messages if (event := invitation_in(message)) is not None]
    entry = event_in((await entries(stage, account_of(stage, accepted.winner)))[0])
    expected = (entry and str(entry["uid"]), datetime.fromisoformat(appointment["appointment_date"]))
    report.equal(
        "what is attached has the id and the time of the event in the calendar",
        [(str(event["uid"]), event.decoded("dtstart")) for event in events],
        [expected] * len(addresses),
    )
    report.equal(
        "no incident, service, name or story in any mail so far",
        indiscretions(await _words(cast, filed), await mail(stage)),
        [],
    )


async def hold_session(stage: Stage, filed: Filed, accepted: Accepted) -> None:
    """The session is held, and the survivor's progress moves."""
    report, winner = stage.report, accepted.winner
    hers = filed.survivor.first_name
    report.tell(f"{winner.first_name} and {hers} meet. Afterwards the session is marked as held.")
    held = await winner.api.call("complete_appointment", appointment_id=accepted.appointment["appointment_id"])
    report.equal("the appointment is completed", held["status"], "completed")
    progress = await _progress(filed)
    report.equal(
        f"{hers}'s progress moves",
        [progress["stage"], progress["completed_sessions"], progress["next_appointment_id"]],
        ["session_completed", 1, None],
    )


async def complete_first(stage: Stage, cast: Cast, filed: Filed, accepted: Accepted) -> list[Filed]:
    """The professional completes first, and is preferred in the next matching; the second report too is given back."""
    report, winner = stage.report, accepted.winner
    report.tell(f"{winner.first_name} marks the case as completed.")
    await winner.api.call("complete_case", match_id=accepted.match_id)
    progress = await _progress(filed)
    report.equal(f"{filed.survivor.first_name} is asked to confirm", progress["stage"], "awaiting_confirmation")

    report.tell(f"Meanwhile {cast.neighbour.first_name} files a report of the same kind from the same place.")
    sent_at = datetime.now(UTC).timestamp()
    second = await cast.neighbour.api.insert("reports", {name: filed.report[name] for name in _COMPARABLE})
    before = await cast.admin.api.one("match_breakdowns", match_id=accepted.match_id)
    after = {person.user_id: await _breakdown(cast, person, second) for person in cast.professionals}
    mine = after[winner.user_id]
    report.show(
        {
            "before": f"score {before['score']}, of which boost {before['parts']['boost']}",
            "now": f"score {mine['score']}, of which boost {mine['parts']['boost']}",
        }
    )
    report.equal("there was no boost before", before["parts"]["boost"], 0)
    report.check(
        f"{winner.first_name} is boosted now, and the score is higher",
        mine["parts"]["boost"] > 0 and mine["score"] > before["score"],
        expected=f"a boost, and more than {before['score']}",
        seen=mine,
    )
    report.equal(
        "nobody else is",
        [row["parts"]["boost"] for user_id, row in after.items() if user_id != winner.user_id],
        [0] * (len(after) - 1),
    )
    report.equal(
        f"{winner.first_name} is the first choice for the new case",
        max(after, key=lambda user_id: after[user_id]["score"]),
        winner.user_id,
    )
    return [filed, Filed(cast.neighbour, second, sent_at)]


async def confirm_and_archive(stage: Stage, cast: Cast, filed: list[Filed], accepted: Accepted) -> None:
    """The survivor confirms; the case is closed and the report archived."""
    report, mine, winner = stage.report, filed[0], accepted.winner
    hers = mine.survivor.first_name
    report.tell(f"{hers} confirms that the case is completed.")
    offer = await mine.survivor.api.one("matched_services")
    closed = await mine.survivor.api.call("complete_case", match_id=offer["id"])
    report.equal(
        "the offer is completed, marked by both",
        [closed["id"], closed["match_status_type"], bool(closed["closed_at"])],
        [accepted.match_id, "completed", True],
    )
    stored = await mine.survivor.api.one("reports")
    report.check(
        "the report is archived",
        stored["status"] == "archived" and stored["archived_at"] is not None,
        expected="archived",
        seen=stored["status"],
    )
    report.equal(f"{hers}'s progress says so", (await _progress(mine))["stage"], "archived")

    # A request to confirm that was answered before it was sent is sent no more.
    due = {
        *await _notifications(winner),
        *await _notifications(mine.survivor, kind="appointment_confirmed"),
        *await _notifications(mine.survivor, kind="case_closed"),
    }

    async def mailed() -> list[str]:
        return sorted(one for message in await mail(stage) if (one := notification_of(message)) in due)

    seen = await eventually(mailed, lambda seen: len(seen) >= len(due), stage.patience)
    report.equal(f"{len(due)} notifications of the two were mailed, each once", seen, sorted(due))
    report.equal(
        "no incident, service, name or story in any mail",
        indiscretions(await _words(cast, *filed), await mail(stage)),
        [],
    )


async def keep_account(stage: Stage, filed: Filed) -> None:
    """The anonymous account becomes a permanent one and keeps everything."""
    report, survivor = stage.report, filed.survivor
    report.tell(
        f"{survivor.first_name} keeps her account: she adds an address and a password, and signs in again elsewhere."
    )
    survivor.email, survivor.password = "amani@post.example", new_password()
    await survivor.api.client.auth.update_user({"email": survivor.email, "password": survivor.password})
    elsewhere = await caller(stage.addresses, stage.http, stage.addresses.anon_key)
    answer = await elsewhere.client.auth.sign_in_with_password({"email": survivor.email, "password": survivor.password})
    report.equal("it is the same account", answer.user and answer.user.id, survivor.user_id)
    report.equal(
        "her report and its access log are there",
        [await elsewhere.select("reports"), await elsewhere.select("access_log")],
        [await survivor.api.select("reports"), await survivor.api.select("access_log")],
    )


async def _progress(filed: Filed) -> Row:
    return await filed.survivor.api.one("report_progress", report_id=filed.report["report_id"])


async def _breakdown(cast: Cast, person: Person, filed_report: Row) -> Row:
    """Why a professional was offered a report, as the administrator reads it."""
    offer = await person.api.one("matched_services", report_id=filed_report["report_id"])
    return await cast.admin.api.one("match_breakdowns", match_id=offer["id"])


async def _notifications(person: Person, **equal: str) -> list[str]:
    return [row["id"] for row in await person.api.select("notifications", "id", **equal)]


async def _words(cast: Cast, *filed: Filed) -> list[list[str]]:
    services = [row for person in cast.professionals for row in await person.api.select("support_services")]
    return words_of_the_case(cast, services, [one.report for one in filed])
