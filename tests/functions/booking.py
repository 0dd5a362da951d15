"""A professional with a booking page, and visitors who come to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg

from sauti_local.stack import Addresses
from tests.support.users import User, sign_up

BOOK = "/api/appointments/public"
#: What a booking writes, and mail with it.
WRITTEN = (
    "public.appointments", "public.appointment_clients", "public.notifications", "private.booking_tokens",
    "private.booking_counters", "private.outbox_jobs",
)  # fmt: skip


@dataclass
class BookingPage:
    """The page of one professional, Monday to Friday from nine to five, UTC."""

    addresses: Addresses
    professional: User
    slug: str

    @property
    def monday(self) -> datetime:
        """Nine o'clock on a Monday, two to three weeks from now."""
        day = datetime.now(UTC) + timedelta(days=14)
        return (day + timedelta(days=-day.weekday() % 7)).replace(hour=9, minute=0, second=0, microsecond=0)

    def order(self, hours: float = 0, **changes: Any) -> dict[str, Any]:
        """A good booking; `changes` of its fields, None leaves one out."""
        order = {
            "booking_slug": self.slug,
            "starts_at": (self.monday + timedelta(hours=hours)).isoformat(),
            "duration_minutes": 60,
            "appointment_type": "consultation",
            "client": {"client_name": "Zawadi Mwangi", "client_email": f"zawadi@{self.slug}.example.org"},
        } | changes
        return {name: value for name, value in order.items() if value is not None}

    async def book(self, http: httpx.AsyncClient, order: Any, token: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await http.post(f"{self.addresses.api_url}/functions/v1{BOOK}", json=order, headers=headers)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.addresses.db_url) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def written(self) -> list[int]:
        """How many rows there are of everything that a booking writes."""
        return [self.rows(f"select count(*) from {relation}")[0][0] for relation in WRITTEN]


def open_page(addresses: Addresses) -> BookingPage:
    """A verified professional who takes public bookings."""
    professional = sign_up(addresses, "professional")
    slug = f"page-{professional.id[:8]}"
    with psycopg.connect(addresses.db_url) as connection:
        connection.execute(
            "update public.professionals set verification_status = 'verified', is_public_booking = true,"
            " booking_slug = %s where id = %s",
            [slug, professional.id],
        )
    return BookingPage(addresses, professional, slug)
