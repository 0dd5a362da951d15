"""SMS through Twilio: `POST <base>/2010-04-01/Accounts/<sid>/Messages.json`, one form per message.

Source: the provider's API reference, "Messages resource" and its error dictionary.
"""

from __future__ import annotations

from pydantic import SecretStr

from sauti_sync.errors import Outage, Retryable
from sauti_sync.messages.sms import client_for, post, refused

BASE_URL = "https://api.twilio.com"
#: Invalid, unreachable, blocked by the account's region settings, unsubscribed, not a mobile.
_REFUSED = frozenset({21211, 21217, 21408, 21610, 21612, 21614})
#: Sender not ours or not able, account suspended or out of credit: every message would meet the same.
_OURS = frozenset({20005, 21212, 21603, 21606, 21607, 21659, 30002})


class Twilio:
    """One account; `sid` and its auth token. A sender that begins with `MG` is a messaging service."""

    def __init__(self, sid: str, token: SecretStr, sender: str, base_url: str | None = None) -> None:
        self._path = f"/2010-04-01/Accounts/{sid}/Messages.json"
        self._sender = {"MessagingServiceSid" if sender.startswith("MG") else "From": sender}
        self._http = client_for(base_url or BASE_URL, auth=(sid, token.get_secret_value()))

    async def send(self, to: str, text: str) -> None:
        """Hand over one message."""
        status, body = await post(self._http, self._path, {"To": to, "Body": text} | self._sender)
        if status == 201:
            return
        code = body.get("code")
        if code in _REFUSED:
            raise refused()
        if code in _OURS or status == 404:
            raise Outage("sms_account_refused")
        raise Retryable("sms_answer_invalid")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
