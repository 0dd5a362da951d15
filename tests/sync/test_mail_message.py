"""Mail messages: their parts, their headers, and what cannot get into them."""

import email
import email.policy
from email.message import EmailMessage

import pytest

from sauti_sync.ics import Method
from sauti_sync.messages import render
from sauti_sync.messages.mail import compose
from sauti_sync.messages.render import Facts
from sauti_sync.messages.sender import Sender, parse_address
from sauti_sync.messages.smtp_address import SmtpAddress, StartTls

SENDER = Sender.parse("Appointments <no-reply@app.example>")
TEXT = render.render("appointment_confirmed", "en", Facts(link="https://app.example", case_code="KAZI-417"))
ID = "5f6b3c52-7e4d-4c55-9f0e-1f0f7a3d2b10"


def as_received(message: EmailMessage) -> EmailMessage:
    parsed = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_a_message_is_plain_text_html_and_a_calendar_attachment() -> None:
    document = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
    message = as_received(compose(TEXT, SENDER, parse_address("a@b.example"), ID, (Method.CANCEL, document)))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/calendar",
    ]  # fmt: skip
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "appointment.ics"
    assert attachment.get_param("method") == "CANCEL"
    assert attachment.get_payload(decode=True) == document


def test_without_an_appointment_there_is_no_attachment() -> None:
    message = as_received(compose(TEXT, SENDER, parse_address("a@b.example"), ID))
    assert message.get_content_type() == "multipart/alternative"


def test_the_message_id_is_the_notification_so_a_second_copy_is_recognised() -> None:
    first, second = (compose(TEXT, SENDER, parse_address("a@b.example"), ID) for _ in range(2))
    assert first["Message-ID"] == second["Message-ID"] == f"<{ID}@app.example>"


def test_headers_are_these_and_no_others() -> None:
    message = as_received(compose(TEXT, SENDER, parse_address("a@b.example"), ID))
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Appointments <no-reply@app.example>"
    assert message["To"] == "a@b.example"
    assert set(message.keys()) == {
        "From", "To", "Subject", "Message-ID", "Content-Language", "Auto-Submitted", "X-Auto-Response-Suppress",
        "MIME-Version", "Content-Type",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "a@", "@b", "a@b.example, c@d.example", "a@b.example\r\nBcc: c@d.example", "a@b.example\nx",
        "<a@b.example>", "A <a@b.example>", "a@b.example\x00", "a b@c.example", "a@b..example",
        f"{'a' * 330}@b.example",
        "a@b.example;c@d.example", "undisclosed: ;", "a@" + "x" * 64 + ".é", "ü@b.example",
    ],
)  # fmt: skip
def test_only_one_bare_address_is_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="expected one mail address") as refusal:
        parse_address(text)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("text", ["a@b.example", "a.b+c@d.example", '"a b"@c.example', "o'neil@x.example"])
def test_addresses_that_are_in_use_are_accepted(text: str) -> None:
    assert parse_address(text).domain


def test_domains_travel_in_ascii() -> None:
    assert parse_address("a@bücher.example").addr_spec == "a@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("url", "host", "port", "implicit", "start_tls"),
    [
        ("smtp://mail.example", "mail.example", 25, False, StartTls.AUTO),
        ("smtp://u:p%40ss@mail.example", "mail.example", 587, False, StartTls.REQUIRE),
        ("smtp://u:p@mail.example:2525?starttls=never", "mail.example", 2525, False, StartTls.NEVER),
        ("smtps://u:p@mail.example", "mail.example", 465, True, StartTls.NEVER),
        ("smtp://127.0.0.1:1025/", "127.0.0.1", 1025, False, StartTls.AUTO),
        ("smtp://[::1]:1025", "::1", 1025, False, StartTls.AUTO),
    ],
)
def test_mail_servers_are_read(url: str, host: str, port: int, implicit: bool, start_tls: StartTls) -> None:
    address = SmtpAddress.parse(url)
    assert (address.host, address.port, address.implicit_tls, address.start_tls) == (host, port, implicit, start_tls)
    assert "p@ss" not in repr(address)


def test_a_password_with_reserved_characters_is_decoded() -> None:
    assert SmtpAddress.parse("smtps://u%3a:p%40ss@mail.example").password == "p@ss"


@pytest.mark.parametrize(
    "url", ["", "smtp:", "smtp://", "http://h", "smtp://h:x", "smtp://h/x", "smtp://h?tls=1", "smtp://h?starttls=x"]
)
def test_wrong_mail_servers_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"smtp|starttls"):
        SmtpAddress.parse(url)
