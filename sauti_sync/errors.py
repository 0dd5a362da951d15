"""What can go wrong in the worker, and what the worker then does.

    SautiError
    ├── ConfigurationError      the environment is wrong: say which variable, exit 2
    ├── LeaseLost               somebody else holds the job: drop it, settle nothing
    ├── Retryable               try the job again after a back-off
    │   ├── Outage              the other side serves nobody: no fault of this job, stop asking for a while
    │   └── QueueUnavailable    the queue did not answer
    ├── QueueRefused            the queue answered no: wrong key, unknown function, malformed argument
    └── Permanent               trying again cannot help: dead letters

Every one of them carries a stable symbol (`smtp_unavailable`) and nothing else. A provider's own text may hold an
address, a name or a token, so it never becomes part of an exception, a log line or an outbox row.
"""

from __future__ import annotations


class SautiError(Exception):
    """Base of all expected failures; `symbol` is stable, lower case, and safe to store and to log."""

    def __init__(self, symbol: str) -> None:
        super().__init__(symbol)
        self.symbol = symbol


class ConfigurationError(SautiError):
    """The environment is incomplete or malformed; `problems` holds one sentence per variable, never a value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("configuration")
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(self.problems)


class LeaseLost(SautiError):
    """The lease token is stale: the job was settled, released, or claimed by another worker."""

    def __init__(self) -> None:
        super().__init__("lease_lost")


class Retryable(SautiError):
    """A failure that may pass; `after` is the earliest useful retry in seconds when the other side named one."""

    def __init__(self, symbol: str, after: float | None = None) -> None:
        super().__init__(symbol)
        self.after = after


class Outage(Retryable):
    """A provider does not answer, answers 5xx, or refuses our own account: every job for it would fail alike."""


class QueueUnavailable(Retryable):
    """The queue could not be reached or did not answer in time."""


class QueueRefused(SautiError):
    """The Data API refused the call; `status` is its HTTP status."""

    def __init__(self, symbol: str, status: int) -> None:
        super().__init__(symbol)
        self.status = status


class Permanent(SautiError):
    """A failure that will repeat; the job goes to the dead letters."""
