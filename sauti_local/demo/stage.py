"""What every step of the demo works with."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from sauti_local.demo.people import Caller, Person, Row
from sauti_local.demo.report import Report
from sauti_local.stack import Addresses


@dataclass(frozen=True)
class Stage:
    """The running stack and the one who tells the story.

    Attributes:
        addresses: The stack.
        http: Connections to it that everybody shares.
        report: Prints steps, checks and timings.
        patience: Seconds that the stack has for what it does on its own: live events, mail, calendar entries.
    """

    addresses: Addresses
    http: httpx.AsyncClient
    report: Report
    patience: float = 10.0


@dataclass(frozen=True)
class Cast:
    """The accounts of the story.

    Attributes:
        professionals: Three verified ones, each with a service of the kind that is asked for.
        newcomer: A professional with such a service whom nobody has verified.
        neighbour: A second survivor.
        admin: An administrator.
        service: The holder of the service-role key.
    """

    professionals: tuple[Person, ...]
    newcomer: Person
    neighbour: Person
    admin: Person
    service: Caller


@dataclass(frozen=True)
class Filed:
    """A report and whose it is.

    Attributes:
        survivor: Who filed it.
        report: The row as the survivor reads it.
        sent_at: POSIX time just before it was sent.
    """

    survivor: Person
    report: Row
    sent_at: float


@dataclass(frozen=True)
class Accepted:
    """Who got the case.

    Attributes:
        winner: The professional.
        rival: The one who was a moment later.
        match_id: The winner's offer.
        appointment: The row that the acceptance gave.
        committed_at: POSIX time of the commit.
    """

    winner: Person
    rival: Person
    match_id: str
    appointment: Row
    committed_at: float
