"""Matching as a competent client app would do it over REST, with the score of the contract.

It asks for the verified, active services of the kind in pages of 1,000 (what a hosted project gives at most), with the
professional embedded and only the columns it needs; for open cases and blocks in one request each; it scores everybody
by that, asks in one request more for the calendars of the best fifteen, and inserts the best five offers in one. It
leaves out the boost, which no client may read, and a crash between its requests loses the case: both are in its favour.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

Row = dict[str, Any]
Span = tuple[datetime, datetime]

PAGE = 1_000
OFFERS = 5
SHORTLIST = 15
_HALF_WAIT = timedelta(hours=72)
_WEEK = timedelta(days=7)
_HOUR = timedelta(hours=1)
_OFFICE_HOURS: list[Row] = [
    {"weekday": weekday, "start_time": "09:00:00", "end_time": "17:00:00"} for weekday in range(1, 6)
]
_SERVICE_COLUMNS = (
    "id,professional_id,incident_types,latitude,longitude,coverage_radius_km,is_remote,max_active_cases,languages,"
    "professionals!inner(gender,languages,verification_status,out_of_office_until)"
)
_CALENDAR_COLUMNS = (
    "id,time_zone,availability_rules(weekday,start_time,end_time),availability_exceptions(kind,during),"
    "appointments(appointment_date,duration_minutes,status),calendar_busy(during)"
)


def match(client: httpx.Client, report: Row, survivor_id: str) -> None:
    """Offer the report to the five best services.

    Args:
        client: To the Data API, with the service key: no client app may do what this does.
        report: As it was filed.
        survivor_id: Who filed it.
    """
    now = datetime.now(UTC)
    candidates = _services(client)
    open_cases = Counter(
        row["service_id"]
        for row in _get(
            client, "matched_services", select="service_id", match_status_type="eq.accepted",
            professional_completed_at="is.null",
        )
    )  # fmt: skip
    blocks = _get(
        client, "blocked_professionals", select="survivor_id,professional_id",
        **{"or": f"(survivor_id.eq.{survivor_id},professional_id.eq.{survivor_id})"},
    )  # fmt: skip
    nobody = {row[column] for row in blocks for column in ("survivor_id", "professional_id")} | {survivor_id}
    scored = []
    for service in candidates:
        if service["professional_id"] not in nobody and _is_here(service["professionals"], now):
            points = _score(service, report, open_cases[service["id"]])
            if points > 0:
                scored.append((points, service["id"], service))
    scored.sort(reverse=True)
    shortlist = scored[:SHORTLIST]
    free = {
        row["id"]: _soonest_free(row, now)
        for row in _get(
            client, "professionals", select=_CALENDAR_COLUMNS,
            id=f"in.({','.join(service['professional_id'] for _, _, service in shortlist)})",
        )
    }  # fmt: skip
    best = sorted(
        (
            (points + _availability(free[service["professional_id"]], now), key, service)
            for points, key, service in shortlist
        ),
        reverse=True,
    )
    client.post(
        "/matched_services",
        json=[
            {
                "report_id": report["report_id"],
                "service_id": service["id"],
                "professional_id": service["professional_id"],
                "service_type": "counseling",
                "incident_type": report["incident_type"],
                "urgency": "medium",
                "gender": "prefer_not_to_say",
                "match_score": round(points / 5) * 5,
            }
            for points, _, service in best[:OFFERS]
        ],
        headers={"Prefer": "return=minimal"},
    ).raise_for_status()


def _get(client: httpx.Client, relation: str, **params: str) -> list[Row]:
    rows: list[Row] = client.get(f"/{relation}", params=params).raise_for_status().json()
    return rows


def _services(client: httpx.Client) -> list[Row]:
    candidates: list[Row] = []
    while True:
        page = _get(
            client, "support_services", select=_SERVICE_COLUMNS, service_type="eq.counseling", is_active="eq.true",
            verification_status="eq.verified", order="id", limit=str(PAGE), offset=str(len(candidates)),
            **{"professionals.verification_status": "eq.verified"},
        )  # fmt: skip
        candidates += page
        if len(page) < PAGE:
            return candidates


def _is_here(professional: Row, now: datetime) -> bool:
    away_until = professional["out_of_office_until"]
    return away_until is None or datetime.fromisoformat(away_until) <= now


def _score(service: Row, report: Row, open_cases: int) -> float:
    """Everything but availability; 0 for no candidate."""
    incidents = service["incident_types"]
    if (incidents and report["incident_type"] not in incidents) or open_cases >= service["max_active_cases"]:
        return 0.0
    kilometres = _kilometres(service["latitude"], service["longitude"], report["latitude"], report["longitude"])
    if kilometres > service["coverage_radius_km"] and not service["is_remote"]:
        return 0.0
    professional = service["professionals"]
    return (
        (25.0 if incidents else 12.5)
        + 20.0 * max(math.pow(0.5, kilometres / 20), 0.4 if service["is_remote"] else 0.0)
        + (10.0 if report["preferred_language"] in professional["languages"] + service["languages"] else 0.0)
        + (10.0 if report["preferred_professional_gender"] == professional["gender"] else 0.0)
        + 10.0
        + 5.0 * (1 - open_cases / float(service["max_active_cases"]))
    )


def _kilometres(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great-circle distance (haversine)."""
    phi, other_phi = math.radians(latitude), math.radians(other_latitude)
    half = (
        math.sin((other_phi - phi) / 2) ** 2
        + math.cos(phi) * math.cos(other_phi) * math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    )
    return 2 * 6371.0088 * math.asin(math.sqrt(half))


def _availability(free: datetime | None, now: datetime) -> float:
    return 0.0 if free is None else 15.0 * math.pow(0.5, max(free - now, timedelta()) / _HALF_WAIT)


def _soonest_free(professional: Row, now: datetime) -> datetime | None:
    """The first free hour within a week."""
    zone = ZoneInfo(professional["time_zone"])
    today = now.astimezone(zone).date()
    days = [today + timedelta(days=n) for n in range(8)]
    working = [
        tuple(datetime.combine(day, time.fromisoformat(rule[edge]), zone) for edge in ("start_time", "end_time"))
        for day in days
        for rule in professional["availability_rules"] or _OFFICE_HOURS
        if rule["weekday"] == day.isoweekday()
    ]
    exceptions = professional["availability_exceptions"]
    working += [_span(row["during"]) for row in exceptions if row["kind"] == "open"]
    taken = [_span(row["during"]) for row in exceptions if row["kind"] == "blocked"]
    taken += [_span(row["during"]) for row in professional["calendar_busy"]]
    for row in professional["appointments"]:
        if row["status"] in ("requested", "confirmed"):
            starts_at = datetime.fromisoformat(row["appointment_date"])
            taken.append((starts_at, starts_at + timedelta(minutes=row["duration_minutes"])))
    return min(_first_hours(working, sorted(taken), now), default=None)


def _first_hours(working: Iterable[tuple[datetime, ...]], taken: list[Span], now: datetime) -> Iterable[datetime]:
    """The first free hour of each working time that has one."""
    for opens_at, closes_at in working:
        start, end = max(opens_at, now), min(closes_at, now + _WEEK)
        for busy_from, busy_until in taken:
            if busy_from < start + _HOUR and busy_until > start:
                start = busy_until
        if start + _HOUR <= end:
            yield start


def _span(text: str) -> Span:
    """A range as PostgREST writes it."""
    lower, upper = text[1:-1].replace('"', "").split(",")
    return datetime.fromisoformat(lower), datetime.fromisoformat(upper)
