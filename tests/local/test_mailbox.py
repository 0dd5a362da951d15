"""The mail sink keeps what it gets, word for word, delivers nothing and runs nothing."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import httpx
import pytest

from sauti_local.mailbox import Mailbox

CALENDAR = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    sink = Mailbox()
    await sink.start()
    yield sink
    await sink.stop()


@pytest.fixture
async def web(mailbox: Mailbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{mailbox.web_port}", trust_env=False) as client:
        yield client


def message(subject: str = "Appointment", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Sauti <no-reply@sauti.local>"
    mail["To"] = "Asha <asha@example.org>"
    mail["Subject"] = subject
    for name, value in headers.items():
        mail[name] = value
    mail.set_content("Grüße\nsecond line\n")
    return mail


async def send(mailbox: Mailbox, mail: EmailMessage, *recipients: str) -> None:
    def transmit() -> None:
        with smtplib.SMTP("127.0.0.1", mailbox.smtp_port, timeout=10) as client:
            client.send_message(mail, to_addrs=recipients or None)

    await asyncio.to_thread(transmit)


async def held(web: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await web.get("/messages.json")
    assert answer.headers["Content-Type"].startswith("application/json")
    messages: list[dict[str, Any]] = answer.json()
    return messages


async def test_a_message_with_all_parts_is_listed_with_all_parts(mailbox: Mailbox, web: httpx.AsyncClient) -> None:
    mail = message("Termin für später")
    mail.add_alternative("<p>Grüße</p>", subtype="html")
    mail.add_attachment(CALENDAR.encode(), maintype="text", subtype="calendar", filename="appointment.ics")
    mail.add_attachment(b"\x00\xff", maintype="application", subtype="octet-stream", filename="x.bin")
    await send(mailbox, mail)
    (seen,) = await held(web)
    assert seen["from"] == "Sauti <no-reply@sauti.local>"
    assert seen["to"] == ["asha@example.org"]
    assert seen["subject"] == "Termin für später"
    assert (seen["text"], seen["html"]) == ("Grüße\nsecond line\n", "<p>Grüße</p>\n")
    assert seen["attachments"] == [
        {"filename": "appointment.ics", "content_type": "text/calendar", "content": CALENDAR},
        {"filename": "x.bin", "content_type": "application/octet-stream", "content": "AP8="},
    ]
    assert {"id", "received_at"} <= set(seen)


async def test_recipients_are_those_of_the_envelope(mailbox: Mailbox, web: httpx.AsyncClient) -> None:
    await send(mailbox, message(), "hidden@example.org", "other@example.org")
    assert [mail["to"] for mail in await held(web)] == [["hidden@example.org", "other@example.org"]]


async def test_the_oldest_comes_first_and_every_message_has_its_own_id(
    mailbox: Mailbox, web: httpx.AsyncClient
) -> None:
    for number in range(3):
        await send(mailbox, message(f"{number}", **{"Message-ID": "<same@sauti>"}))
    messages = await held(web)
    assert [mail["subject"] for mail in messages] == ["0", "1", "2"]
    assert len({mail["id"] for mail in messages}) == 3


async def test_delete_empties_it(mailbox: Mailbox, web: httpx.AsyncClient) -> None:
    await send(mailbox, message())
    assert (await web.delete("/messages.json")).status_code == 204
    assert await held(web) == []


async def test_a_message_without_headers_or_with_broken_ones_is_kept(mailbox: Mailbox, web: httpx.AsyncClient) -> None:
    def transmit() -> None:
        with smtplib.SMTP("127.0.0.1", mailbox.smtp_port, timeout=10) as client:
            client.sendmail("a@b.c", ["d@e.f"], b"no headers at all\r\n")
            client.sendmail("a@b.c", ["d@e.f"], b"Content-Type: text/plain; charset=no-such\r\n\r\n\xff\xfe\r\n")
            client.sendmail("a@b.c", ["d@e.f"], b"From: a@b.c, <\r\nSubject: =?utf-8?b?!!?=\r\n\r\nx\r\n")

    await asyncio.to_thread(transmit)
    assert len(await held(web)) == 3


async def test_the_page_shows_mail_and_runs_none_of_it(mailbox: Mailbox, web: httpx.AsyncClient) -> None:
    mail = message('<script>alert("subject")</script>')
    mail.add_alternative('<script>alert("body")</script>', subtype="html")
    await send(mailbox, mail)
    listed = (await web.get("/")).text
    assert "&lt;script&gt;alert(&quot;subject&quot;)" in listed
    (seen,) = await held(web)
    shown = (await web.get(f"/messages/{seen['id']}")).text
    assert "<script>" not in listed + shown
    assert "<iframe sandbox srcdoc=" in shown
    assert "Grüße" in shown
    assert (await web.get("/messages/other")).status_code == 404
