"""The first half of a case: accounts, apps and calendars, the report, the offers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sauti_local.demo.live import Ear, Heard, refused_topic
from sauti_local.demo.outside import account_of
from sauti_local.demo.people import Person, Refusal, Row, caller, refused, sign_in_anonymously, sign_up
from sauti_local.demo.secrecy import OFFERED, leaks, telling
from sauti_local.demo.stage import Cast, Filed, Stage

_TIME_ZONE = "Africa/Nairobi"
# No time zone is so far from another: a time of day in somebody's mail is never one of hers by accident.
_SAFE_SPAN = timedelta(hours=2, minutes=13)
_PROFESSIONALS: tuple[tuple[str, Row, Row], ...] = (
    (
        "Wangari Mwangi",
        {"professional_title": "Counsellor", "gender": "female", "languages": ["sw", "en"]},
        {"name": "Tumaini talks", "latitude": -1.2921, "longitude": 36.8219},
    ),
    (
        "Otieno Ouma",
        {"professional_title": "Psychologist", "gender": "male", "languages": ["sw", "luo"]},
        {"name": "Shoulder to shoulder", "latitude": -1.3032, "longitude": 36.7826},
    ),
    (
        "Zawadi Kiptoo",
        {"professional_title": "Trauma therapist", "gender": "female", "languages": ["sw", "en"]},
        {"name": "Mto wa heri", "latitude": -1.2686, "longitude": 36.8065},
    ),
)
_NEWCOMER: tuple[str, Row, Row] = (
    "Juma Hassan",
    {"professional_title": "Social worker", "gender": "male", "languages": ["sw"]},
    {"name": "New start", "latitude": -1.2864, "longitude": 36.8172},
)
_SERVICE: Row = {
    "service_type": "counseling", "incident_types": ["domestic_violence", "emotional"], "coverage_radius_km": 40,
    "crisis_24_7": True,
}  # fmt: skip


async def sign_up_cast(stage: Stage) -> Cast:
    """Accounts through the Auth API, services by their owners, verification with the service-role key."""
    report, addresses, http = stage.report, stage.addresses, stage.http
    report.tell("Three professionals, a newcomer, a second survivor and an administrator sign up.")
    service = await caller(addresses, http, addresses.service_role_key)

    def professional(name: str, role: str) -> Coroutine[Any, Any, Person]:
        return sign_up(addresses, http, name, role, f"{name.split()[0].lower()}@clinic.example", "professional")

    *professionals, newcomer, neighbour, admin = await asyncio.gather(
        *(professional(name, "professional") for name, _, _ in _PROFESSIONALS),
        professional(_NEWCOMER[0], "professional, not verified"),
        sign_up(addresses, http, "Neema Achieng", "survivor", "neema@post.example"),
        sign_up(addresses, http, "Baraka Njeri", "administrator", "baraka@sauti.example"),
    )
    everybody = [*professionals, newcomer, neighbour, admin]
    profiles = await asyncio.gather(*(person.api.one("profiles") for person in everybody))
    report.equal(
        f"sign-up made {len(everybody)} profiles; everybody reads their own and no other",
        [profile["id"] for profile in profiles],
        [person.user_id for person in everybody],
    )

    report.tell("The professionals fill in their cards and add a service each.")
    described = list(zip([*professionals, newcomer], [*_PROFESSIONALS, _NEWCOMER], strict=True))
    await asyncio.gather(
        *(
            person.api.update("professionals", card | {"time_zone": _TIME_ZONE}, id=person.user_id)
            for person, (_, card, _) in described
        )
    )
    services = await asyncio.gather(
        *(person.api.insert("support_services", _SERVICE | place) for person, (_, _, place) in described)
    )
    report.equal("every service waits for verification", {row["verification_status"] for row in services}, {"pending"})
    tried = await refused(
        newcomer.api.update("professionals", {"verification_status": "verified"}, id=newcomer.user_id)
    )
    report.check(
        f"{newcomer.first_name} cannot verify himself: {tried}",
        isinstance(tried, Refusal) and (await newcomer.api.one("professionals"))["verification_status"] == "pending",
        expected="a refusal, and the status still pending",
        seen=tried,
    )

    report.tell("The holder of the service-role key verifies three of them and makes the administrator.")
    verified = {"verification_status": "verified"}
    await asyncio.gather(
        *(service.update("professionals", verified, id=person.user_id) for person in professionals),
        *(service.update("support_services", verified, professional_id=person.user_id) for person in professionals),
        service.update("profiles", {"user_type": "admin"}, id=admin.user_id),
    )
    cards = await asyncio.gather(*(person.api.one("professionals") for person in [*professionals, newcomer]))
    report.equal(
        f"three professionals are verified, {newcomer.first_name} is not",
        [card["verification_status"] for card in cards],
        ["verified"] * len(professionals) + ["pending"],
    )
    return Cast(tuple(professionals), newcomer, neighbour, admin, service)


async def open_apps(stage: Stage, cast: Cast) -> dict[str, Ear]:
    """Everybody listens on the own private topic; by user id."""
    report = stage.report
    report.tell("Each professional joins the private topic user:<id> and listens to changes of matched_services.")
    ears = [Ear(person) for person in (*cast.professionals, cast.newcomer)]
    await asyncio.gather(*(ear.open(stage.patience) for ear in ears))
    listener, other = cast.newcomer, cast.professionals[0]
    reason = await refused_topic(listener, f"user:{other.user_id}")
    report.check(
        f"{listener.first_name} may not join the topic of {other.first_name}",
        "Unauthorized" in reason,
        expected="Unauthorized",
        seen=reason or "joined",
    )
    return {ear.person.user_id: ear for ear in ears}


async def connect_calendars(stage: Stage, cast: Cast) -> None:
    """Two professionals connect a CalDAV calendar through the Edge Function."""
    report = stage.report
    report.tell("Two professionals connect their CalDAV calendars: POST /functions/v1/api/calendar/caldav.")
    for person in cast.professionals[:2]:
        calendar = account_of(stage, person)
        body = {"url": calendar.url, "username": calendar.username, "password": calendar.password}
        answer = await person.api.client.functions.invoke("api/calendar/caldav", {"body": body, "responseType": "json"})
        connection: Row = answer if isinstance(answer, dict) else json.loads(answer)
        report.equal(
            f"{person.first_name}'s calendar is connected, and the row is all that can be read of it",
            await person.api.select("calendar_connections"),
            [connection],
        )
        report.check(
            "the row holds no credentials",
            not {"credentials", "ciphertext", "password", "username"} & set(connection),
            expected="no column for them",
            seen=sorted(connection),
        )


async def file_report(stage: Stage, ears: dict[str, Ear]) -> Filed:
    """A survivor without a name, an address or a password tells her story and consents to share it."""
    report = stage.report
    report.tell("Amani opens the app. No name, no address, no password: an anonymous account.")
    survivor = await sign_in_anonymously(stage.addresses, stage.http, "Amani", "survivor")
    ears[survivor.user_id] = Ear(survivor)
    await ears[survivor.user_id].open(stage.patience)

    report.tell("She tells what happened, says how she may be reached, and consents to share it.")
    now = datetime.now(UTC)
    told: Row = {
        "incident_type": "domestic_violence",
        "incident_description": "He came home from the harbour and broke the blue door. I hid with my daughter at the "
        "baker's until morning. I am afraid to go back for our papers.",
        "incident_date": (now.date() - timedelta(days=9)).isoformat(),
        "urgency": "high",
        "required_services": ["counseling"],
        "gender": "female",
        "age_category": "adult",
        "survivor_name": "Amani Chebet",
        "contact_email": "quiet-river@post.example",
        "contact_phone": "+254 700 555 0143",
        "contact_preference": "email",
        "safe_contact_from": f"{now - _SAFE_SPAN:%H:%M:%S}",
        "safe_contact_until": f"{now + _SAFE_SPAN:%H:%M:%S}",
        "emergency_contact": "my sister Halima, at the bakery",
        "preferred_language": "sw",
        "consent_to_share": True,
        "consent_location": True,
        "latitude": -1.28642,
        "longitude": 36.81723,
    }
    await survivor.api.insert("reports", told)
    stored = await survivor.api.one("reports")
    report.equal("it is stored as hers", stored["user_id"], survivor.user_id)
    report.equal("she reads it again, word for word", {name: stored[name] for name in told}, told)
    progress = await survivor.api.one("report_progress", report_id=stored["report_id"])
    report.equal("her progress says that somebody has been found already", progress["stage"], "matched")
    report.show({"case code": stored["case_code"], "status": stored["status"], "progress": progress["stage"]})
    return Filed(survivor, stored, now.timestamp())


async def hear_offers(stage: Stage, cast: Cast, ears: dict[str, Ear], filed: Filed) -> None:
    """The offers were made in the transaction of the report, and reach the professionals' apps."""
    report, report_id = stage.report, filed.report["report_id"]
    report.tell("Matching ran in the transaction of the report. The professionals' apps ring.")

    def is_new_offer(heard: Heard) -> bool:
        return heard.kind == "change" and heard.event == "INSERT" and heard.row.get("report_id") == report_id

    listening = [ears[person.user_id] for person in cast.professionals]
    arrived = await asyncio.gather(*(ear.first(is_new_offer, stage.patience) for ear in listening))
    changes = [change for change in arrived if change is not None]
    report.equal("a live change reached each of the three professionals", len(changes), len(listening))
    offers = [await person.api.one("matched_services", report_id=report_id) for person in cast.professionals]
    report.equal(
        "it is the offer that each of them reads", [_shape(c.row) for c in changes], [_shape(o) for o in offers]
    )
    calls = await asyncio.gather(
        *(ear.first(partial(_is_ring_for, offer), stage.patience) for ear, offer in zip(listening, offers, strict=True))
    )
    report.equal(
        "their private topics rang with ids and states only",
        [call and (call.event, call.row) for call in calls],
        [
            ("match", {"op": "INSERT", "table": "matched_services", "id": offer["id"], "status": "pending"})
            for offer in offers
        ],
    )
    newcomer = cast.newcomer
    report.equal(
        f"{newcomer.first_name}, who is not verified, heard nothing and was offered nothing",
        [ears[newcomer.user_id].heard, await newcomer.api.select("matched_services")],
        [[], []],
    )
    heard = [message.row for ear in listening for message in ear.heard]
    found = leaks(telling(filed.report).values(), heard)
    report.equal("nothing that was heard tells anything of the report", found, [])

    times = [
        (change.committed_at.timestamp(), change.heard_at.timestamp(), call.heard_at.timestamp())
        for change, call in zip(changes, calls, strict=True)
        if change.committed_at is not None and call is not None
    ]
    report.show(
        {
            person.first_name: f"heard the ring {(rang - commit) * 1000:.0f} ms and the change "
            f"{(changed - commit) * 1000:.0f} ms after the commit"
            for person, (commit, changed, rang) in zip(cast.professionals, times, strict=True)
        }
    )
    report.time("report → committed offers", times[0][0] - filed.sent_at)
    report.time("commit → private topic", max(rang - commit for commit, _, rang in times))
    report.time("commit → live change", max(changed - commit for commit, changed, _ in times))


def _is_ring_for(offer: Row, heard: Heard) -> bool:
    return heard.kind == "broadcast" and heard.row.get("id") == offer["id"]


def _shape(offer: Row) -> Row:
    """What of an offer reads the same live and through the Data API."""
    return {name: offer.get(name) for name in ("id", "service_id", "match_score", "match_status_type", *OFFERED)}
