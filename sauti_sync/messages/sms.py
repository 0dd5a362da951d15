"""What the SMS providers have in common: numbers, the interface, and the way their answers become errors."""

from __future__ import annotations

import re
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from sauti_sync.errors import Outage, Permanent, Retryable
from sauti_sync.messages.retry_after import seconds_to_wait

_TIMEOUT = httpx.Timeout(20.0, connect=10.0)
_INTERNATIONAL = re.compile(r"\+[1-9][0-9]{6,14}")


class SmsTransport(Protocol):
    """Anything that can hand an SMS over."""

    async def send(self, to: str, text: str) -> None:
        """Returns once the provider has accepted the message; raises Retryable or Permanent. `to` is E.164."""

    async def close(self) -> None:
        """Give back all connections."""


def parse_phone(text: str, country_code: str | None = None) -> str:
    """A telephone number as E.164 (`+254712345678`); raises ValueError without repeating it.

    `00` stands for `+`. A number with one leading zero is a national one and needs `country_code` (`254`).
    """
    number = re.sub(r"[ ()./-]", "", text)
    if number.startswith("00"):
        number = f"+{number[2:]}"
    elif number.startswith("0") and country_code is not None:
        number = f"+{country_code}{number[1:]}"
    if not _INTERNATIONAL.fullmatch(number):
        raise ValueError("expected a telephone number with its country code")
    return number


def client_for(base_url: str, **options: Any) -> httpx.AsyncClient:
    """An HTTP client for a provider's API."""
    # A proxy named in the environment is for the way out of this machine.
    is_here = urlsplit(base_url).hostname in ("127.0.0.1", "::1", "localhost")
    return httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT, trust_env=not is_here, **options)


async def post(http: httpx.AsyncClient, path: str, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Post a form; status and JSON object (empty when there is none).

    Raises Outage `sms_unavailable` (no answer, 5xx) and `sms_auth_refused` (401, 403), Retryable `sms_deferred` (429).
    """
    try:
        response = await http.post(path, data=fields)
    except httpx.HTTPError:
        # Also when the request had arrived and the answer was lost: a second message is better than none.
        raise Outage("sms_unavailable") from None
    wait = seconds_to_wait(response.headers.get("retry-after"), response.headers.get("date"))
    if response.status_code in (401, 403):
        raise Outage("sms_auth_refused", wait)
    if response.status_code == 429:
        raise Retryable("sms_deferred", wait)
    if response.status_code >= 500:
        raise Outage("sms_unavailable", wait)
    try:
        body = response.json()
    except ValueError:
        body = None
    return response.status_code, body if isinstance(body, dict) else {}


def refused() -> Permanent:
    """The provider will never deliver this message to this number."""
    return Permanent("recipient_refused")
