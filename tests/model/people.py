"""Who and what there is in the oracle's world."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.model.cells import Row

#: What the answers of a request may be refused with; see `Refused`.
NOT_FOUND = frozenset({"not_found"})


@dataclass(frozen=True)
class Refused:
    """The caller must be refused, with one of these symbols: the contract does not rank them."""

    symbols: frozenset[str]


def refused(*symbols: str) -> Refused:
    """Any of these is a right answer."""
    return Refused(frozenset(symbols))


@dataclass(eq=False)
class Person:
    """Somebody with an account; `professional` is the card of those who have one."""

    name: str
    id: str
    profile: Row
    professional: Row | None = None
    away_until: datetime | None = None
    #: Whether they are leaving: nobody is offered to them any more.
    gone: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether they coordinate."""
        return bool(self.profile["user_type"] == "admin")

    @property
    def is_verified(self) -> bool:
        """Whether they may take cases."""
        return self.professional is not None and self.professional["verification_status"] == "verified"


@dataclass(eq=False)
class Service:
    """A service; `distance` in km north of where places are given, None: it has no place."""

    row: Row
    owner: Person
    distance: float | None

    @property
    def is_verified(self) -> bool:
        """Whether it may be offered cases."""
        return bool(self.row["verification_status"] == "verified")


@dataclass(eq=False)
class Offer:
    """A report in front of a professional."""

    row: Row
    report: Report
    service: Service
    expires: datetime
    breakdown: Row
    #: Whether somebody has accepted it, ever.
    was_accepted: bool = False
    #: When it ended, if it did by anything but time or a rival.
    closed: datetime | None = None

    @property
    def owner(self) -> Person:
        """Whom it was made to."""
        return self.service.owner

    @property
    def kind(self) -> str:
        """The service that was asked for."""
        return str(self.row["service_type"])

    @property
    def status(self) -> str:
        """Its state."""
        return str(self.row["match_status_type"])


@dataclass(eq=False)
class ResponseClock:
    """What has been done for one required service of a report."""

    started: datetime
    searched: datetime
    steps: set[str] = field(default_factory=set)
    settled: bool = False

    @property
    def stage(self) -> int:
        """0: within the radius, 1: it was widened, 2: it was dropped."""
        return 2 if "open" in self.steps else 1 if "widen" in self.steps else 0


@dataclass(eq=False)
class Escalation:
    """A required service in front of the administrators."""

    cells: dict[str, Any]
    reason: str
    kind: str
    resolved: bool = False


@dataclass(eq=False)
class Report:
    """A story and what is done about it."""

    row: Row
    owner: Person
    filed: datetime
    archived: datetime | None = None
    anonymised: bool = False
    clocks: dict[str, ResponseClock] = field(default_factory=dict)
    offers: list[Offer] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Its state."""
        return str(self.row["status"])

    def offers_of(self, kind: str, *states: str) -> list[Offer]:
        """Its offers for one required service, in these states."""
        return [offer for offer in self.offers if offer.kind == kind and offer.status in states]


@dataclass(eq=False)
class Consent:
    """What a survivor consented to."""

    row: Row
    report: Report
    purpose: str
    withdrawn: datetime | None = None


@dataclass(eq=False)
class HandOver:
    """A case that its professional wants to pass on; `offered` is the offer made after the survivor's consent."""

    row: Row
    offer: Offer
    service: Service
    offered: Offer | None = None

    @property
    def status(self) -> str:
        """Its state."""
        return str(self.row["status"])

    @property
    def is_open(self) -> bool:
        """Whether it may still come about."""
        return self.status in ("requested", "consented")


@dataclass(eq=False)
class Notice:
    """What somebody was told; it goes with what it is about."""

    row: Row
    told: datetime
    kind: str
    offer: Offer | None
    appointment: Appointment | None
    report: Report | None


@dataclass(eq=False)
class Opening:
    """An entry of a survivor's access log."""

    row: Row
    opened: datetime
    report: Report
    offer: Offer | None
    actor: Person


@dataclass(eq=False)
class Appointment:
    """A session: of an accepted case, or booked from outside. `client` and `token` are the booking's."""

    row: Row
    professional: Person
    survivor: Person | None
    offer: Offer | None
    starts: datetime
    minutes: int
    made: datetime
    held_until: datetime | None = None
    client: Row | None = None
    token: str | None = None

    @property
    def ends(self) -> datetime:
        """When it is over."""
        return self.starts + timedelta(minutes=self.minutes)

    @property
    def status(self) -> str:
        """Its state."""
        return str(self.row["status"])

    @property
    def is_live(self) -> bool:
        """Whether it takes up time."""
        return self.status in ("requested", "confirmed")

    @property
    def parties(self) -> list[Person]:
        """Who meets and has an account."""
        return [self.professional] if self.survivor is None else [self.professional, self.survivor]
