"""Prometheus metrics of one worker, in a registry of its own. Labels are kinds, outcomes and fixed words, never ids."""

from __future__ import annotations

import time
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sauti_sync.events import Json

_ATTEMPT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0)


class Metrics:
    """What an operator watches. See docs/operations.md for what to alert on."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        attempts = Counter(
            "sauti_attempts", "Attempts by what became of them.", ("kind", "outcome"), registry=self.registry
        )
        attempt_seconds = Histogram(
            "sauti_attempt_seconds",
            "From claim to settled.",
            ("kind",),
            buckets=_ATTEMPT_BUCKETS,
            registry=self.registry,
        )
        lag_seconds = Histogram(
            "sauti_lag_seconds",
            "From due to claimed, first attempts only.",
            ("kind",),
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )
        # Finding the series of some labels takes longer than counting in it.
        self._attempts = cache(attempts.labels)
        self._attempt_seconds = cache(attempt_seconds.labels)
        self._lag_seconds = cache(lag_seconds.labels)
        self.paused = Gauge("sauti_provider_paused", "Closed lanes by provider.", ("provider",), registry=self.registry)
        self.running = Gauge("sauti_running", "Jobs in flight.", registry=self.registry)
        self.claims = Counter("sauti_claims", "Claims by answer.", ("answer",), registry=self.registry)
        self.outbox_jobs = Gauge(
            "sauti_outbox_jobs", "Jobs in the outbox, all workers together.", ("state",), registry=self.registry
        )
        self.oldest_pending_seconds = Gauge(
            "sauti_outbox_oldest_pending_seconds", "Age of the oldest pending job.", registry=self.registry
        )
        self.last_claim = Gauge(
            "sauti_last_claim_timestamp_seconds", "Unix time of the last answered claim.", registry=self.registry
        )
        self.doorbell = Gauge("sauti_doorbell_up", "1 while the Realtime channel is joined.", registry=self.registry)
        self.doorbell_losses = Counter(
            "sauti_doorbell_losses", "Lost doorbells by reason.", ("reason",), registry=self.registry
        )
        self.rings = Counter(
            "sauti_doorbell_rings", "Rings heard, the one after each join included.", registry=self.registry
        )

    def attempted(self, kind: str, outcome: str, seconds: float) -> None:
        """An attempt has ended so, so long after its claim."""
        self._attempts(kind, outcome).inc()
        self._attempt_seconds(kind).observe(seconds)

    def lagged(self, kind: str, seconds: float) -> None:
        """A first attempt began so long after the job was due."""
        self._lag_seconds(kind).observe(seconds)

    def claimed(self, answer: str) -> None:
        """A claim was answered: `full`, `partial`, `empty`."""
        self.claims.labels(answer).inc()
        self.last_claim.set(time.time())

    def observe_outbox(self, statistics: Json) -> None:
        """Take over the answer of `outbox_statistics`."""
        for state in ("pending", "running", "dead"):
            value = statistics.get(state)
            if isinstance(value, (int, float)):
                self.outbox_jobs.labels(state).set(value)
        oldest = statistics.get("oldest_pending_seconds")
        self.oldest_pending_seconds.set(oldest if isinstance(oldest, (int, float)) else 0)

    def expose(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)
