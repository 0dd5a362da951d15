"""Providers as one worker sees them: how fast it may ask, and whether asking makes sense at all. Pure: told the time.

A lane is one provider (mail server, SMS provider, Google …; for CalDAV one host). It holds a rate limit and a circuit
breaker: after a few outages in a row it is closed for a while, then one job at a time tries whether it is passable.
Jobs that meet a closed lane are handed back and lose no attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sauti_sync.backoff import Backoff
from sauti_sync.events import Json

#: Jobs a second of one worker. Google allows 10 a second for one user, Graph 4 requests at once for one mailbox.
DEFAULT_RATES = {"google": 8.0, "microsoft": 4.0, "caldav": 50.0, "sms": 10.0}
_PROVIDERS = frozenset({*DEFAULT_RATES, "mail"})
#: Outages in a row that close a lane.
_TOLERATED = 5
_CLOSED = Backoff(base=2.0, cap=60.0)
_LONGEST_CLOSED = 3600.0
#: While one job tries a lane that was closed, the others come back after this many seconds.
_TRIAL_SECONDS = 2.0
#: Shorter waits for the rate limit are waited for; longer ones hand the job back.
_SHORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Admission:
    """Go after so many seconds, or come back after so many."""

    is_open: bool
    seconds: float


class Lane:
    """One provider; `rate` in jobs a second, 0 = unlimited."""

    def __init__(self, provider: str, rate: float = 0.0) -> None:
        self.provider = provider
        self._interval = 1.0 / rate if rate > 0 else 0.0
        self._burst = max(0.0, 1.0 - self._interval)
        self._next_at = float("-inf")
        self._outages = 0
        self._closures = 0
        self._closed_until: float | None = None
        self._trial = False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed and no job has passed since."""
        return self._closed_until is not None

    def enter(self, now: float) -> Admission:
        """Ask to go; whoever may go tells afterwards how it went."""
        if self._closed_until is not None:
            if now < self._closed_until:
                return Admission(False, self._closed_until - now)
            if self._trial:
                return Admission(False, _TRIAL_SECONDS)
            self._trial = True
            return Admission(True, 0.0)
        if not self._interval:
            return Admission(True, 0.0)
        # One second's worth may go at once, then one each interval.
        due = max(self._next_at, now - self._burst)
        wait = max(0.0, due - now)
        if wait > _SHORT_SECONDS:
            return Admission(False, wait)
        self._next_at = due + self._interval
        return Admission(True, wait)

    def passed(self) -> None:
        """The provider did what was asked: all is well."""
        self._outages = self._closures = 0
        self._closed_until = None
        self._trial = False

    def left(self) -> None:
        """The job ended without a word about the provider's health."""
        self._trial = False

    def met_outage(self, now: float, after: float | None) -> bool:
        """The provider serves nobody, and may have said for how long; True when this has closed the lane."""
        self._trial = False
        self._outages += 1
        if self._closed_until is not None and now < self._closed_until:
            return False  # a job that was under way when the lane was closed
        if self._closed_until is None and self._outages < _TOLERATED:
            return False
        self._closures += 1
        self._closed_until = now + min(max(_CLOSED.ceiling(self._closures), after or 0.0), _LONGEST_CLOSED)
        return True


class Lanes:
    """All lanes of a worker, made when they are first needed."""

    def __init__(self, rates: Mapping[str, float] | None = None) -> None:
        self._rates = DEFAULT_RATES if rates is None else rates
        self._lanes: dict[str, Lane] = {}

    def of(self, kind: str, context: Json) -> Lane | None:
        """The lane of a job; None when it leads nowhere outside."""
        name = _name(kind, context)
        if name is None:
            return None
        provider = name.partition(" ")[0]
        return self._lanes.setdefault(name, Lane(provider, self._rates.get(provider, 0.0)))

    def closed(self, provider: str) -> int:
        """How many lanes of a provider are closed."""
        return sum(lane.is_closed for lane in self._lanes.values() if lane.provider == provider)


def parse_rates(text: str) -> dict[str, float]:
    """Read `provider=number[,provider=number]`; raises ValueError."""
    rates: dict[str, float] = {}
    for entry in text.split(","):
        name, _, number = entry.strip().partition("=")
        try:
            rate = float(number)
        except ValueError:
            rate = -1.0
        if name not in _PROVIDERS or not 0 <= rate <= 10_000:
            raise ValueError(f"expected provider=number, providers: {', '.join(sorted(_PROVIDERS))}")
        rates[name] = rate
    return rates


def _name(kind: str, context: Json) -> str | None:
    if kind in ("mail", "sms"):
        return kind
    connection = context.get("connection")
    if not isinstance(connection, dict) or connection.get("provider") not in _PROVIDERS:
        return None
    provider = str(connection["provider"])
    return f"{provider} {_host(connection.get('calendar_id'))}" if provider == "caldav" else provider


def _host(address: object) -> str:
    try:
        return urlsplit(str(address)).netloc.rpartition("@")[2]
    except ValueError:
        return ""
