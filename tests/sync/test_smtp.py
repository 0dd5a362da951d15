"""SMTP: every answer of a server becomes the right verdict, and no text of its making goes further."""

import asyncio
import ssl
from email.message import EmailMessage

import pytest
from aiosmtpd.smtp import SMTP

from sauti_sync.errors import Permanent, Retryable
from sauti_sync.messages.mail import compose
from sauti_sync.messages.render import Facts, render
from sauti_sync.messages.sender import Sender, parse_address
from sauti_sync.messages.smtp import SmtpTransport
from sauti_sync.messages.smtp_address import SmtpAddress
from tests.sync.certificates import Authority
from tests.sync.smtp_server import MailServer, mail_server

SENDER = Sender.parse("Appointments <no-reply@app.example>")
TO = "canary@reader.example"


def message() -> EmailMessage:
    text = render("offer_made", "en", Facts(link="https://app.example"))
    return compose(text, SENDER, parse_address(TO), "5f6b3c52")


def transport(
    server: MailServer,
    query: str = "",
    user: str = "",
    timeout: float = 5.0,
    scheme: str = "smtp",
    host: str = "127.0.0.1",
    trust: ssl.SSLContext | None = None,
) -> SmtpTransport:
    address = SmtpAddress.parse(f"{scheme}://{user}{host}:{server.port}{query}")
    return SmtpTransport(address, SENDER, timeout=timeout, trust=trust)


async def test_a_message_is_handed_over_with_its_envelope() -> None:
    async with mail_server() as server:
        mail = transport(server)
        await mail.send(message(), TO)
        await mail.close()
    (text,) = server.accepted
    assert b"Message-ID: <5f6b3c52@app.example>\r\n" in text
    assert b"\r\nDate: " in text
    assert f"RCPT TO:<{TO}>" in server.commands
    assert "EHLO app.example" in server.commands, "the name of this machine is not told"


async def test_a_connection_is_used_again_and_a_dead_one_is_replaced() -> None:
    async with mail_server() as server:
        mail = transport(server)
        await mail.send(message(), TO)
        await mail.send(message(), TO)
        assert server.connections == 1
        server.answers["RSET"] = None
        await mail.send(message(), TO)
        assert server.connections == 2
        await mail.close()
    assert len(server.accepted) == 3


async def test_messages_sent_at_once_do_not_share_a_connection() -> None:
    async with mail_server() as server:
        mail = transport(server)
        await asyncio.gather(*(mail.send(message(), TO) for _ in range(6)))
        await mail.close()
    assert len(server.accepted) == 6


@pytest.mark.parametrize(
    ("answers", "kind", "symbol"),
    [
        ({"RCPT": "550 canary unknown"}, Permanent, "recipient_refused"),
        ({"RCPT": "450 canary busy"}, Retryable, "recipient_deferred"),
        ({"MAIL": "553 canary"}, Permanent, "sender_refused"),
        ({"MAIL": "451 canary"}, Retryable, "sender_deferred"),
        ({"DATA": "554 canary"}, Permanent, "message_refused"),
        ({"DATA": "452 canary"}, Retryable, "message_deferred"),
        ({"END": "550 canary spam"}, Permanent, "message_refused"),
        ({"END": "451 canary later"}, Retryable, "message_deferred"),
        ({"END": None}, Retryable, "smtp_unavailable"),
        ({"MAIL": None}, Retryable, "smtp_unavailable"),
        ({"CONNECT": None}, Retryable, "smtp_unavailable"),
        ({"CONNECT": "554 canary no"}, Retryable, "smtp_unavailable"),
        ({"CONNECT": "gibberish canary"}, Retryable, "smtp_unavailable"),
        ({"MAIL": "gibberish canary"}, Retryable, "smtp_unavailable"),
    ],
)
async def test_an_answer_becomes_a_verdict_without_its_words(
    answers: dict[str, str | None], kind: type[Exception], symbol: str
) -> None:
    async with mail_server(answers=answers) as server:
        with pytest.raises(kind, match=f"^{symbol}$") as verdict:
            await transport(server).send(message(), TO)
    assert "canary" not in repr(verdict.value)
    assert verdict.value.__suppress_context__


async def test_a_server_that_is_not_there_is_worth_a_retry() -> None:
    async with mail_server() as server:
        gone = server
    with pytest.raises(Retryable, match="smtp_unavailable"):
        await transport(gone).send(message(), TO)


async def test_a_server_that_stops_in_the_middle_is_worth_a_retry() -> None:
    async with mail_server(answers={"CONNECT": "220-there is more"}) as server:
        with pytest.raises(Retryable, match="smtp_unavailable"):
            await transport(server, timeout=0.2).send(message(), TO)


async def test_a_wrong_password_is_the_operators_mistake_and_loses_no_mail() -> None:
    answers: dict[str, str | None] = {"AUTH": "535 canary"}
    async with mail_server(answers=answers, extensions=("AUTH PLAIN",)) as server:
        with pytest.raises(Retryable, match="smtp_auth_refused"):
            await transport(server, "?starttls=never", "user:pass@").send(message(), TO)


async def test_a_password_is_not_sent_in_the_clear() -> None:
    async with mail_server(extensions=("AUTH PLAIN",)) as server:
        with pytest.raises(Retryable, match="smtp_insecure"):
            await transport(server, user="user:pass@").send(message(), TO)
    assert not any(command.startswith("AUTH") for command in server.commands)


async def test_the_answer_to_quit_does_not_matter() -> None:
    async with mail_server(answers={"QUIT": None}) as server:
        mail = transport(server)
        await mail.send(message(), TO)
        await mail.close()
    assert len(server.accepted) == 1


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def test_a_password_goes_out_after_starttls(authority: Authority) -> None:
    tls = authority.server("localhost")
    async with mail_server(extensions=("STARTTLS", "AUTH PLAIN"), tls=tls, answers={"AUTH": "235 ok"}) as server:
        mail = transport(server, user="user:pass@", host="localhost", trust=authority.client())
        await mail.send(message(), TO)
        await mail.close()
    words = [command[:8] for command in server.commands]
    assert words.index("STARTTLS") < words.index("AUTH PLA")
    assert len(server.accepted) == 1


async def test_mail_goes_out_over_tls_from_the_start(authority: Authority) -> None:
    async with mail_server(tls=authority.server("localhost"), implicit_tls=True) as server:
        mail = transport(server, scheme="smtps", host="localhost", trust=authority.client())
        await mail.send(message(), TO)
        await mail.close()
    assert len(server.accepted) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_a_certificate_of_another_name_or_of_nobody_known_is_refused(authority: Authority, known: bool) -> None:
    tls = authority.server("elsewhere.example") if known else Authority().server("localhost")
    async with mail_server(tls=tls, implicit_tls=True) as server:
        with pytest.raises(Retryable, match="smtp_unavailable"):
            await transport(server, scheme="smtps", host="localhost", trust=authority.client()).send(message(), TO)
    assert server.commands == []


async def test_an_offer_of_starttls_that_fails_is_not_passed_over(authority: Authority) -> None:
    taken: list[str] = []

    class Handler:
        async def handle_MAIL(self, *arguments: object) -> str:  # noqa: N802  # the name that aiosmtpd looks for
            taken.append("MAIL")
            return "250 ok"

    def protocol() -> SMTP:
        return SMTP(Handler(), tls_context=Authority().server("localhost"), loop=asyncio.get_running_loop())

    listener = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(Retryable, match="smtp_unavailable"):
            await transport(MailServer(port=port), host="localhost", trust=authority.client()).send(message(), TO)
        await asyncio.sleep(0.01)
    assert taken == []
