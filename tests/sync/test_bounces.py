"""Mail that comes back: believed by its return path alone, and understood by two fields of the report."""

import email
import io
import os
import re
import subprocess
import sys
import time
import uuid
from email.policy import SMTP

import pytest

from sauti_sync.commands.bounces import judge
from sauti_sync.errors import Permanent, Retryable
from sauti_sync.messages import bounces
from sauti_sync.messages.return_path import Reference, ReturnPath, parse_mailbox
from sauti_sync.messages.sender import Sender
from sauti_sync.messages.smtp import SmtpTransport
from sauti_sync.messages.smtp_address import SmtpAddress
from tests.sync.smtp_server import mail_server
from tests.sync.stage import ROOT, Stage
from tests.sync.waiting import until as wait_until

KEY = "a.service.key"
PATH = ReturnPath.of("bounces@mail.example", KEY)
MESSAGE = str(uuid.UUID(int=7))
READER = "reader@elsewhere.example"
SENDER = Sender.parse("Appointments <no-reply@mail.example>")


def back(path: ReturnPath = PATH, message: str = MESSAGE, reader: str = READER) -> str:
    address = path.address(message, reader)
    assert address is not None
    return address


def report(
    to: str | None = None, status: str = "5.1.1", action: str = "failed", kind: str = "delivery-status", head: str = ""
) -> bytes:
    """As Postfix writes it."""
    return "\r\n".join(
        [
            "Return-Path: <>",
            f"Delivered-To: {back() if to is None else to}",
            *([head] if head else []),
            "From: MAILER-DAEMON@elsewhere.example (Mail Delivery System)",
            "Subject: Undelivered Mail Returned to Sender",
            "MIME-Version: 1.0",
            f'Content-Type: multipart/report; report-type={kind}; boundary="b"',
            "",
            "--b",
            "Content-Type: text/plain; charset=us-ascii",
            "",
            f"<{READER}>: host mx.elsewhere.example said: 550 no such user canary",
            "",
            "--b",
            "Content-Type: message/delivery-status",
            "",
            "Reporting-MTA: dns; mail.elsewhere.example",
            "Arrival-Date: Mon, 23 Nov 2026 10:00:00 +0000",
            "",
            f"Final-Recipient: rfc822; {READER}",
            f"Action: {action}",
            f"Status: {status}",
            "Diagnostic-Code: smtp; 550 5.1.1 no such user",
            "",
            "--b",
            "Content-Type: text/rfc822-headers",
            "",
            "Subject: Appointment confirmed",
            "",
            "--b--",
            "",
        ]
    ).encode()


class TestReturnPath:
    def test_it_refers_to_a_mail_and_an_address_and_names_neither_person_nor_address(self) -> None:
        address = back()
        assert re.fullmatch(r"bounces\+[a-z2-7]{48}@mail\.example", address)
        assert len(address.partition("@")[0]) <= 64
        reference = PATH.read(address)
        assert reference is not None
        assert (reference.message_id, len(reference.address_digest)) == (MESSAGE, 10)
        assert PATH.read(address.upper()) == PATH.read(f"<{address}>") == reference

    def test_every_mail_and_every_address_has_its_own(self) -> None:
        others = {back(message=str(uuid.uuid4())), back(reader="other@elsewhere.example"), back()}
        assert len(others) == 3
        assert len({PATH.read(address) for address in others}) == 3

    def test_a_made_up_or_changed_reference_is_none(self) -> None:
        name, _, domain = back().partition("@")
        user, _, code = name.partition("+")
        forged = [f"{user}+{code[:i]}{'a' if code[i] != 'a' else 'b'}{code[i + 1 :]}@{domain}" for i in range(48)]
        forged += [f"{user}+{'a' * 48}@{domain}", f"{user}+{code[:-1]}@{domain}", f"{user}+{code}a@{domain}"]
        forged += [f"{user}@{domain}", f"+{code}@{domain}", f"other+{code}@{domain}", f"{user}+{code}@other.example"]
        forged += ["", "@", "+@", f"{user}+{code}", f"{user}+{code[:-1]}\u0130@{domain}", "\0" * 99]
        assert [address for address in forged if PATH.read(address) is not None] == []

    def test_another_project_s_reference_is_none(self) -> None:
        assert PATH.read(back(ReturnPath.of("bounces@mail.example", "another.service.key"))) is None

    def test_a_message_without_a_uuid_has_none(self) -> None:
        assert PATH.address("n-1", READER) is None

    @pytest.mark.parametrize(
        "wrong", ["", "x", "a+b@mail.example", "sixteen.letters.@mail.example", "a b@mail.example", "a@", "@b"]
    )
    def test_a_mailbox_leaves_room_for_a_reference(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="expected one mail address"):
            parse_mailbox(wrong)
        assert parse_mailbox("fifteen.letters@mail.example").username == "fifteen.letters"


class TestJudging:
    def test_a_report_that_an_address_does_not_exist_is_understood(self) -> None:
        expected = PATH.read(back())
        assert isinstance(expected, Reference)
        assert judge(report(), None, PATH) == expected
        assert judge(report(to="somebody@else.example"), back(), PATH) == expected

    @pytest.mark.parametrize(
        ("status", "says"),
        [
            ("5.1.0", True), ("5.1.1", True), ("5.1.2", True), ("5.1.3", True), ("5.1.6", True), ("5.1.10", True),
            ("5.2.1", True), ("5.4.4", True), ("5.1.7", False), ("5.1.8", False), ("5.2.2", False), ("5.0.0", False),
            ("5.3.0", False), ("5.4.7", False), ("5.7.1", False), ("4.1.1", False), ("2.1.5", False), ("5.1.1 x", True),
            ("5.1", False), ("x", False), ("", False), ("5.1.1111", False), ("55.1.1", False),
        ],
    )  # fmt: skip
    def test_only_some_statuses_are_about_the_address(self, status: str, says: bool) -> None:
        assert isinstance(judge(report(status=status), None, PATH), Reference) is says

    @pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", "", "FAILEDX"])
    def test_only_a_failure_is_one(self, action: str) -> None:
        assert judge(report(action=action), None, PATH) == "no_report"
        assert isinstance(judge(report(action="Failed (bad)"), None, PATH), Reference)

    @pytest.mark.parametrize(
        ("content", "outcome"),
        [
            (None, "too_large"),
            (b"", "not_ours"),
            (b"\xff\xfe\0", "not_ours"),
            (report(to="bounces@mail.example"), "not_ours"),
            (report(to=back(message=MESSAGE)[:-1]), "not_ours"),
            (report(kind="disposition-notification"), "no_report"),
            (report(kind="feedback-report"), "no_report"),
            (report().replace(b"multipart/report", b"multipart/mixed"), "no_report"),
            (report().replace(b"message/delivery-status", b"text/plain"), "no_report"),
            (report().replace(b'boundary="b"', b'boundary="c"'), "no_report"),
            (report().replace(b'boundary="b"', b"x=y"), "no_report"),
            (f"To: {back()}\r\nSubject: I am away\r\n\r\nStatus: 5.1.1\r\nAction: failed".encode(), "no_report"),
            (report(status="5.7.1"), "not_about_the_address"),
        ],
    )
    def test_what_is_no_such_report_is_refused(self, content: bytes | None, outcome: str) -> None:
        assert judge(content, None, PATH) == outcome

    def test_a_given_recipient_is_the_only_one_that_counts(self) -> None:
        assert judge(report(), "somebody@else.example", PATH) == "not_ours"

    def test_the_report_inside_a_forwarded_report_is_not_this_one(self) -> None:
        head = f"To: {back()}\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n".encode()
        assert judge(head + report(), None, PATH) == "no_report"

    @pytest.mark.parametrize("deep", [50, 400, 20_000])
    def test_parts_within_parts_cost_neither_time_nor_life(self, deep: int) -> None:
        lines = [f"To: {back()}"]
        for level in range(deep):
            lines += [
                f"Content-Type: multipart/report; report-type=delivery-status; boundary=b{level}",
                "",
                f"--b{level}",
            ]
        content = "\r\n".join(lines).encode()[: bounces.LONGEST]
        began = time.process_time()
        assert judge(content, None, PATH) in ("no_report", "not_ours")
        assert time.process_time() - began < 10

    def test_many_headers_and_recipients_are_bounded(self) -> None:
        many = report(head="\r\n".join(f"X-Original-To: a{n}@x.example" for n in range(9000)))
        assert isinstance(judge(many, None, PATH), Reference)
        late = report(to="x@y.example", head=f"To: {'a@b.example, ' * 60}{back()}")
        assert judge(late, None, PATH) == "not_ours"


class TestSending:
    @staticmethod
    async def sent(answers: dict[str, str | None], extensions: tuple[str, ...] = ()) -> list[str]:
        message = email.message_from_string("Subject: x\n\ntext", policy=SMTP)
        async with mail_server(answers=answers, extensions=extensions) as server:
            transport = SmtpTransport(SmtpAddress.parse(f"smtp://127.0.0.1:{server.port}"), SENDER)
            try:
                await transport.send(message, READER, back())  # type: ignore[arg-type]
            finally:
                await transport.close()
            return server.commands

    async def test_a_mail_leaves_with_its_return_path_and_asks_for_headers_only(self) -> None:
        commands = await self.sent({}, ("DSN",))
        assert [line for line in commands if line.startswith("MAIL")] == [f"MAIL FROM:<{back()}> RET=HDRS"]
        assert [line for line in commands if line.startswith("RCPT")] == [f"RCPT TO:<{READER}> NOTIFY=FAILURE"]
        plain = await self.sent({})
        assert [line for line in plain if line.startswith("MAIL")] == [f"MAIL FROM:<{back()}>"]

    @pytest.mark.parametrize(
        ("answer", "kind", "symbol"),
        [
            ("550 5.1.1 canary unknown", Permanent, "recipient_unknown"),
            ("550 5.2.1 closed", Permanent, "recipient_unknown"),
            ("550 5.7.1 relaying denied", Permanent, "recipient_refused"),
            ("552 5.2.2 full", Permanent, "recipient_refused"),
            ("550 no such user 5.1.1", Permanent, "recipient_refused"),
            ("450 4.1.1 later", Retryable, "recipient_deferred"),
            ("450 5.1.1 later", Retryable, "recipient_deferred"),
        ],
    )
    async def test_a_server_that_knows_at_once_says_the_same(
        self, answer: str, kind: type[Exception], symbol: str
    ) -> None:
        with pytest.raises(kind, match=f"^{symbol}$"):
            await self.sent({"RCPT": answer})


def test_a_report_is_read_to_its_end_however_long_it_is() -> None:
    from sauti_sync.commands.bounces import _read

    endless = io.BytesIO(b"x" * (bounces.LONGEST + 300_000))
    assert _read(endless) is None
    assert endless.read() == b""
    whole = io.BytesIO(b"x" * bounces.LONGEST)
    assert _read(whole) is not None


class TestTheCommand:
    MAILBOX = "bounces@mail.example"

    def run(self, stage: Stage, content: bytes, *options: str, **changes: str) -> tuple[int, str]:
        """The exit status and the word of `sauti-sync bounces`, as a mail server runs it."""
        environment = {"SAUTI_BOUNCE_ADDRESS": self.MAILBOX} | changes
        finished = subprocess.run(
            [sys.executable, "-m", "sauti_sync", "bounces", *options],
            cwd=ROOT,
            env=os.environ | stage.environment(**environment),
            input=content,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"canary" not in finished.stdout + finished.stderr
        assert b"Traceback" not in finished.stderr
        return finished.returncode, finished.stdout.decode().strip()

    async def test_a_mail_that_comes_back_is_the_last_one_to_its_address(self, stage: Stage) -> None:
        told = "select 1 from public.notifications where kind = 'mail_undeliverable' and user_id = %s"
        async with mail_server() as server:
            worker = stage.start_worker(
                SAUTI_BOUNCE_ADDRESS=self.MAILBOX, SAUTI_SMTP_URL=f"smtp://127.0.0.1:{server.port}"
            )
            stage.add_appointment(days=3)
            await wait_until(lambda: stage.are_done("mail"), 30, worker.log())
            (envelope,) = [line for line in server.commands if line.startswith("MAIL")]
            return_path = envelope.partition("<")[2].partition(">")[0]

            assert self.run(stage, report(to=return_path)) == (0, "recorded")
            assert self.run(stage, report(to="x@y.example"), "--recipient", return_path) == (0, "known")
            assert len(stage.sql(told, stage.professional.id)) == 1
            stage.add_appointment(days=4)
            await wait_until(lambda: len(stage.jobs("mail")) == 3 and stage.are_done("mail"), 30, worker.log())
            outcomes = [row["result"]["outcome"] for row in stage.jobs("mail")]
            assert outcomes == ["sent", "obsolete", "obsolete"]
            assert len(server.accepted) == 1
        assert await worker.stop() == 0
        assert "mail.example" not in worker.log()

    @pytest.mark.parametrize(("answer", "outcomes"), [("5.1.1", ["obsolete", "obsolete"]), ("5.7.1", [None])])
    async def test_a_server_that_knows_no_such_address_is_believed_at_once(
        self, stage: Stage, answer: str, outcomes: list[str | None]
    ) -> None:
        async with mail_server(answers={"RCPT": f"550 {answer} canary"}) as server:
            worker = stage.start_worker(SAUTI_SMTP_URL=f"smtp://127.0.0.1:{server.port}")
            stage.add_appointment(days=3)
            await wait_until(lambda: "dead" in stage.states("mail"), 30, worker.log())
            stage.add_appointment(days=4)
            await wait_until(
                lambda: not {"pending", "running"} & set(stage.states("mail")) and len(stage.jobs("mail")) > 1, 30
            )
        assert [(row["result"] or {}).get("outcome") for row in stage.jobs("mail")][1:] == outcomes
        assert "canary" not in worker.log()

    def test_what_is_not_ours_writes_nothing_and_is_not_sent_back(self, stage: Stage) -> None:
        before = stage.sql("select count(*) from private.undeliverable_addresses")
        for content, word in (
            (report(), "not_ours"),
            (b"", "not_ours"),
            (b"x" * 1_500_000, "too_large"),
            (os.urandom(10_000), "not_ours"),
        ):
            assert self.run(stage, content) == (0, word)
        assert stage.sql("select count(*) from private.undeliverable_addresses") == before

    def test_what_cannot_be_recorded_now_is_handed_over_again(self, stage: Stage) -> None:
        path = ReturnPath.of(self.MAILBOX, stage.stack.addresses.service_role_key)
        ours = report(to=back(path))
        assert self.run(stage, ours) == (0, "unknown")
        assert self.run(stage, ours, SUPABASE_URL="http://127.0.0.1:9") == (75, "")
        assert self.run(stage, ours, SAUTI_BOUNCE_ADDRESS="") == (75, "")
        assert self.run(stage, ours, SAUTI_BOUNCE_ADDRESS="canary") == (75, "")
