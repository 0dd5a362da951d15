"""A mail server that answers as it is told. Loopback only."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class MailServer:
    """`answers` by command, with `CONNECT` for the greeting and `END` for after the text; `None` hangs up."""

    port: int = 0
    answers: dict[str, str | None] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    accepted: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    talks: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.talks[asyncio.current_task()] = writer
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del self.talks[asyncio.current_task()]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(key: str, usual: str) -> bool:
            answer = self.answers.get(key, usual)
            if answer is None:
                return False
            writer.write(answer.encode() + b"\r\n")
            await writer.drain()
            return True

        if not await say("CONNECT", "220 ready"):
            return
        while line := await reader.readline():
            command = line.decode("utf-8", "replace").strip()
            self.commands.append(command)
            word = command[:4].upper()
            if word in ("EHLO", "HELO"):
                lines = ["mail.test", *self.extensions]
                for extension in lines[:-1]:
                    writer.write(f"250-{extension}\r\n".encode())
                if not await say("EHLO", f"250 {lines[-1]}"):
                    return
            elif word == "DATA":
                if not await say("DATA", "354 go on"):
                    return
                if not self.answers.get("DATA", "354").startswith("354"):  # type: ignore[union-attr]
                    continue
                text = await reader.readuntil(b"\r\n.\r\n")
                end = self.answers.get("END", "250 taken")
                if end is None or end.startswith("250"):
                    self.accepted.append(text)
                if not await say("END", "250 taken"):
                    return
            elif word == "STAR" and self.tls is not None:
                writer.write(b"220 go on\r\n")
                await writer.start_tls(self.tls)
            elif word == "QUIT":
                await say("QUIT", "221 bye")
                return
            elif not await say(word, "250 ok"):
                return


@asynccontextmanager
async def mail_server(*, implicit_tls: bool = False, **options: object) -> AsyncIterator[MailServer]:
    server = MailServer(**options)  # type: ignore[arg-type]
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=server.tls if implicit_tls else None)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()
        for writer in tuple(server.talks.values()):
            writer.close()
        while server.talks:
            await asyncio.sleep(0.001)
