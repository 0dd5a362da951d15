"""The routes for appointments: accepting a case by making one, and pushing one into the own calendars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from sauti_local.stack import Addresses
from tests.functions.callers import Caller, assert_refused, call, connect
from tests.support.users import User, sign_up

ACCEPT = "/api/appointments"
PUSH = "/api/calendar/create-event"
IN_A_MONTH = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT09:00:00Z}"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@dataclass
class Offer:
    """An open offer, and who may accept it."""

    addresses: Addresses
    http: httpx.AsyncClient
    professional: User
    match_id: str

    @property
    def base(self) -> str:
        return f"{self.addresses.api_url}/functions/v1"

    async def accept(self, token: str | None = None, **order: Any) -> httpx.Response:
        body = {"match_id": self.match_id, "mode": "meet_now"} | order
        return await call(self.http, self.base, "POST", ACCEPT, token or self.professional.access_token, json=body)

    async def push(self, token: str, appointment_id: Any) -> httpx.Response:
        return await call(self.http, self.base, "POST", PUSH, token, json={"appointment_id": appointment_id})

    def count(self, relation: str) -> int:
        with psycopg.connect(self.addresses.db_url) as connection:
            query = f"select count(*) from {relation} where professional_id = %s"
            return int(connection.execute(query.encode(), [self.professional.id]).fetchall()[0][0])


@pytest.fixture
async def offer(http: httpx.AsyncClient, addresses: Addresses) -> Offer:
    """Made by real matching: the professional's service reaches a place where there is no other."""
    professional, survivor = sign_up(addresses, "professional"), sign_up(addresses)
    latitude = int(professional.id[:4], 16) / 65536 * 120 - 60
    longitude = int(professional.id[4:8], 16) / 65536 * 340 - 170
    with psycopg.connect(addresses.db_url) as connection:
        connection.execute(
            "update public.professionals set verification_status = 'verified' where id = %s", [professional.id]
        )
        connection.execute(
            "insert into public.support_services (professional_id, name, service_type, latitude, longitude,"
            " coverage_radius_km, verification_status) values (%s, 'Help', 'counseling', %s, %s, 1, 'verified')",
            [professional.id, latitude, longitude],
        )
    report = {
        "incident_type": "emotional", "required_services": ["counseling"], "consent_to_share": True,
        "consent_location": True, "latitude": latitude, "longitude": longitude,
    }  # fmt: skip
    filed = await http.post(f"{addresses.api_url}/rest/v1/reports", json=report, headers=survivor.headers)
    assert filed.status_code == 201, filed.text
    url = f"{addresses.api_url}/rest/v1/matched_services"
    [row] = (await http.get(url, headers=professional.headers)).json()
    return Offer(addresses, http, professional, row["id"])


async def test_accepting_gives_the_appointment(offer: Offer) -> None:
    response = await offer.accept()
    assert response.status_code == 200, response.text
    row = response.json()
    assert (row["matched_services"], row["status"], row["created_via"]) == (offer.match_id, "confirmed", "meet_now")
    assert (await offer.accept()).json()["appointment_id"] == row["appointment_id"]
    assert offer.count("public.appointments") == 1


async def test_accepting_for_later_takes_time_duration_and_type(offer: Offer) -> None:
    starts_at = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    order = {"starts_at": starts_at.isoformat(), "duration_minutes": 45, "appointment_type": "first talk"}
    row = (await offer.accept(mode="schedule_later", **order)).json()
    assert datetime.fromisoformat(row["appointment_date"]) == starts_at
    assert (row["duration_minutes"], row["appointment_type"]) == (45, "first talk")


@pytest.mark.parametrize(
    "order, status, symbol",
    [
        ({"match_id": None}, 422, "invalid_input"),
        ({"match_id": "1"}, 422, "invalid_input"),
        ({"match_id": UNKNOWN_ID}, 404, "not_found"),
        ({"mode": None}, 422, "invalid_input"),
        ({"mode": "whenever"}, 422, "invalid_input"),
        ({"mode": "schedule_later", "starts_at": "tomorrow"}, 422, "invalid_input"),
        ({"mode": "schedule_later", "starts_at": "2020-01-01T00:00:00Z"}, 422, "in_the_past"),
        ({"duration_minutes": "60"}, 422, "invalid_input"),
        (
            {"mode": "schedule_later", "starts_at": IN_A_MONTH, "duration_minutes": 5},
            422,
            "invalid_duration",
        ),
        ({"appointment_type": "x" * 61}, 422, "invalid_input"),
    ],
    ids=[
        "no match",
        "no id",
        "unknown match",
        "no mode",
        "unknown mode",
        "time in words",
        "past",
        "duration a text",
        "too short",
        "long type",
    ],
)
async def test_a_bad_acceptance_accepts_nothing(offer: Offer, order: dict[str, Any], status: int, symbol: str) -> None:
    assert_refused(await offer.accept(**order), status, symbol)
    assert offer.count("public.appointments") == 0


async def test_another_professional_and_nobody_cannot_accept(offer: Offer) -> None:
    other = sign_up(offer.addresses, "professional")
    assert_refused(await offer.accept(other.access_token), 404, "not_found")
    assert_refused(await offer.accept(offer.addresses.anon_key), 401, "not_authenticated")
    assert offer.count("public.appointments") == 0


async def test_pushing_queues_the_callers_own_calendars(offer: Offer) -> None:
    appointment_id = (await offer.accept()).json()["appointment_id"]
    token = offer.professional.access_token
    assert (await offer.push(token, appointment_id)).json() == {"queued": 0}
    calendar = f"{offer.addresses.caldav_url}/{offer.professional.id}/sessions/"
    assert (
        await connect(offer.http, offer.addresses, Caller(offer.professional.id, token, calendar))
    ).status_code == 200
    with psycopg.connect(offer.addresses.db_url) as connection:
        connection.execute(
            "update private.outbox_jobs set state = 'done', finished_at = now() where appointment_id = %s",
            [appointment_id],
        )
    assert (await offer.push(token, appointment_id)).json() == {"queued": 1}
    stranger = sign_up(offer.addresses)
    assert_refused(await offer.push(stranger.access_token, appointment_id), 404, "not_found")
    assert_refused(await offer.push(token, UNKNOWN_ID), 404, "not_found")
    assert_refused(await offer.push(token, 7), 422, "invalid_input")
