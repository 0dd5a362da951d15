"""SMS through Africa's Talking: `POST <base>/version1/messaging`, one form per message.

Source: the provider's API reference, "Send SMS" and its status codes.
"""

from __future__ import annotations

from pydantic import SecretStr

from sauti_sync.errors import Outage, Retryable
from sauti_sync.messages.sms import client_for, post, refused

BASE_URL = "https://api.africastalking.com"
_ACCEPTED = frozenset({100, 101, 102})  # processed, sent, queued
_REFUSED = frozenset({403, 404, 406, 409})  # invalid number, unsupported number, blacklisted, do-not-disturb
_OURS = frozenset({402, 405})  # sender id not ours, no credit: every message would meet the same


class AfricasTalking:
    """One account; `username` and its API key."""

    def __init__(self, username: str, api_key: SecretStr, sender: str | None, base_url: str | None = None) -> None:
        self._username = username
        self._sender = sender
        headers = {"apiKey": api_key.get_secret_value(), "Accept": "application/json"}
        self._http = client_for(base_url or BASE_URL, headers=headers)

    async def send(self, to: str, text: str) -> None:
        """Hand over one message."""
        fields = {"username": self._username, "to": to, "message": text}
        if self._sender is not None:
            fields["from"] = self._sender
        _, body = await post(self._http, "/version1/messaging", fields)
        code = _status_code(body)
        if code in _ACCEPTED:
            return
        if code in _REFUSED:
            raise refused()
        if code in _OURS:
            raise Outage("sms_account_refused")
        raise Retryable("sms_answer_invalid" if code is None else "sms_deferred")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def _status_code(body: dict[str, object]) -> int | None:
    data = body.get("SMSMessageData")
    recipients = data.get("Recipients") if isinstance(data, dict) else None
    first = recipients[0] if isinstance(recipients, list) and recipients else None
    code = first.get("statusCode") if isinstance(first, dict) else None
    return code if isinstance(code, int) else None
