"""SMS: what goes to the providers, and what their answers mean."""

import base64
from typing import Any

import pytest
from pydantic import SecretStr

from sauti_sync.errors import Outage, Permanent, Retryable, SautiError
from sauti_sync.events import Job, Lease
from sauti_sync.handlers.sms import SmsHandler
from sauti_sync.messages.africas_talking import AfricasTalking
from sauti_sync.messages.retry_after import seconds_to_wait
from sauti_sync.messages.sms import SmsTransport, parse_phone
from sauti_sync.messages.twilio import Twilio
from tests.sync.sms_provider import SmsProvider, sms_provider

SECRET = SecretStr("canary-secret")
TO, TEXT = "+254712345678", "Your appointment is confirmed. https://app.example"


def african(code: int) -> tuple[int, dict[str, str], Any]:
    return 201, {}, {"SMSMessageData": {"Message": "…", "Recipients": [{"statusCode": code, "number": TO}]}}


def transport_to(provider: SmsProvider, name: str) -> SmsTransport:
    if name == "twilio":
        return Twilio("AC1", SECRET, "+15005550006", provider.url)
    return AfricasTalking("sandbox", SECRET, "SENDER", provider.url)


async def outcome(name: str, answer: tuple[int, dict[str, str], Any] | None) -> SautiError | None:
    async with sms_provider() as provider:
        provider.answer = answer
        transport = transport_to(provider, name)
        try:
            await transport.send(TO, TEXT)
        except SautiError as error:
            return error
        finally:
            await transport.close()
        return None


async def test_twilio_gets_one_form_under_the_account() -> None:
    async with sms_provider() as provider:
        transport = transport_to(provider, "twilio")
        await transport.send(TO, TEXT)
        await transport.close()
    assert provider.paths == ["/2010-04-01/Accounts/AC1/Messages.json"]
    assert provider.forms == [{"To": TO, "From": "+15005550006", "Body": TEXT}]
    assert provider.headers[0]["authorization"] == "Basic " + base64.b64encode(b"AC1:canary-secret").decode()


async def test_a_messaging_service_of_twilio_is_named_as_such() -> None:
    async with sms_provider() as provider:
        transport = Twilio("AC1", SECRET, "MG42", provider.url)
        await transport.send(TO, TEXT)
        await transport.close()
    assert provider.forms == [{"To": TO, "MessagingServiceSid": "MG42", "Body": TEXT}]


async def test_africas_talking_gets_one_form_with_its_key() -> None:
    async with sms_provider() as provider:
        provider.answer = african(101)
        transport = transport_to(provider, "africastalking")
        await transport.send(TO, TEXT)
        await transport.close()
    assert provider.paths == ["/version1/messaging"]
    assert provider.forms == [{"username": "sandbox", "to": TO, "message": TEXT, "from": "SENDER"}]
    assert provider.headers[0]["apikey"] == "canary-secret"
    assert provider.headers[0]["accept"] == "application/json"


@pytest.mark.parametrize("name", ["twilio", "africastalking"])
@pytest.mark.parametrize(
    ("answer", "kind", "symbol", "after"),
    [
        (None, Outage, "sms_unavailable", None),
        ((500, {}, {}), Outage, "sms_unavailable", None),
        ((503, {"Retry-After": "7"}, {}), Outage, "sms_unavailable", 7.0),
        ((401, {}, {"message": f"canary {TO}"}), Outage, "sms_auth_refused", None),
        ((403, {}, {}), Outage, "sms_auth_refused", None),
        ((429, {"Retry-After": "30"}, {}), Retryable, "sms_deferred", 30.0),
        ((200, {}, "canary"), Retryable, "sms_answer_invalid", None),
    ],
)
async def test_answers_that_both_share(
    name: str, answer: Any, kind: type[SautiError], symbol: str, after: float | None
) -> None:
    error = await outcome(name, answer)
    assert type(error) is kind
    assert (error.symbol, error.after) == (symbol, after)
    assert "canary" not in repr(error)


@pytest.mark.parametrize(
    ("code", "kind", "symbol"),
    [
        (100, type(None), None),
        (102, type(None), None),
        (403, Permanent, "recipient_refused"),
        (406, Permanent, "recipient_refused"),
        (405, Outage, "sms_account_refused"),
        (500, Retryable, "sms_deferred"),
    ],
)
async def test_status_codes_of_africas_talking(code: int, kind: type[SautiError], symbol: str | None) -> None:
    error = await outcome("africastalking", african(code))
    assert type(error) is kind
    assert (error.symbol if error else None) == symbol


@pytest.mark.parametrize(
    ("code", "kind", "symbol"),
    [
        (21211, Permanent, "recipient_refused"),
        (21610, Permanent, "recipient_refused"),
        (21606, Outage, "sms_account_refused"),
        (99999, Retryable, "sms_answer_invalid"),
    ],
)
async def test_error_codes_of_twilio(code: int, kind: type[SautiError], symbol: str) -> None:
    error = await outcome("twilio", (400, {}, {"code": code, "message": f"canary {TO}"}))
    assert type(error) is kind
    assert error.symbol == symbol


@pytest.mark.parametrize(
    ("text", "country", "number"),
    [
        ("+254 712 345 678", None, TO),
        ("00254-712-345678", None, TO),
        ("0712 345678", "254", TO),
        ("(0712) 345.678", "254", TO),
        ("+1 (212) 555-0100", "254", "+12125550100"),
    ],
)
def test_numbers_become_international(text: str, country: str | None, number: str) -> None:
    assert parse_phone(text, country) == number


@pytest.mark.parametrize(
    "text", ["0712345678", "712345678", "+0712345678", "+254", "", "+2547123456789012", "+25٤712345678"]
)
def test_a_number_that_could_be_somebody_elses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a telephone number") as refusal:
        parse_phone(text)
    assert not text or text not in str(refusal.value)


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("120", None, 120.0),
        (" 0 ", None, 0.0),
        ("Mon, 23 Nov 2026 10:00:30 GMT", "Mon, 23 Nov 2026 10:00:00 GMT", 30.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", "Mon, 23 Nov 2026 10:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 10:00:30 GMT", None, None),
        ("-5", None, None),
        ("soon", "Mon, 23 Nov 2026 10:00:00 GMT", None),
        ("²", None, None),
        (None, None, None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(header: str | None, date: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header, date) == seconds


CONTEXT = {
    "state": "due",
    "kind": "sms",
    "message": {
        "id": "7b2e", "template": "appointment_confirmed", "to": "0712 345 678", "locale": "sw-KE",
        "time_zone": "Africa/Nairobi", "case_code": "KAZI-417",
    },
    "appointment": {
        "appointment_id": "a1", "starts_at": "2026-11-23T11:05:00+00:00", "ends_at": "2026-11-23T12:05:00+00:00",
        "status": "confirmed", "sequence": 0, "time_zone": "UTC", "revised_at": "2026-11-22T00:00:00+00:00",
        "created_at": "2026-11-22T00:00:00+00:00", "location": "Canary Street Shelter",
    },
}  # fmt: skip


class Memory:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def send(self, to: str, text: str) -> None:
        self.sent.append((to, text))

    async def close(self) -> None:
        pass


def lease() -> Lease:
    return Lease(Job(1, "sms", 1, 3, "token", None), float("inf"), None)


async def test_an_sms_is_neutral_and_in_the_readers_language_and_zone() -> None:
    memory = Memory()
    assert await SmsHandler(memory, "https://app.example", "254").handle(CONTEXT, lease()) == {"outcome": "sent"}
    assert memory.sent == [
        (TO, "Miadi yako imethibitishwa. Jumatatu 23 Nov, 14:05 (UTC+03:00) https://app.example"),
    ]


async def test_a_number_without_a_country_is_a_dead_letter() -> None:
    memory = Memory()
    with pytest.raises(Permanent, match="phone_invalid"):
        await SmsHandler(memory, "https://app.example").handle(CONTEXT, lease())
    assert memory.sent == []
