"""What is counted on the way out and while pulling, for Prometheus; one object per process, handed down at start."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

CALL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
DELAY_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class DeliveryMetrics:
    """Calls of the platform, what became of outbox rows, what was pulled, and what a person must look at."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "platform_calls", "Calls by endpoint and errcode", ["endpoint", "errcode"], registry=registry
        )
        self._call_seconds = Histogram(
            "platform_call_seconds", "From the call to its answer", buckets=CALL_S, registry=registry
        )
        self._rows = Counter(
            "outbox_rows", "Tries of rows by kind and outcome", ["kind", "outcome", "error_class"], registry=registry
        )
        self._delay = Histogram(
            "delivery_seconds", "From the written row to the platform's yes", buckets=DELAY_S, registry=registry
        )
        self._pulled = Counter("pulled_messages", "Messages pulled by source", ["source"], registry=registry)
        self._alarms = Counter("alarms", "What a person must look at", ["what"], registry=registry)

    def count_call(self, endpoint: str, errcode: str, took_s: float) -> None:
        """One call of the platform; `errcode` is its number or the name of what went wrong."""
        self._calls.labels(endpoint, errcode).inc()
        self._call_seconds.observe(took_s)

    def count_row(self, kind: str, outcome: str, error_class: str = "") -> None:
        """One try of an outbox row that ended as sent, waiting, failed or withdrawn."""
        self._rows.labels(kind, outcome, error_class).inc()

    def observe_delay(self, seconds: float) -> None:
        """How long a row took from its writing to the platform's yes."""
        self._delay.observe(seconds)

    def count_pulled(self, source: str, messages: int) -> None:
        """So many messages came from kf or from the archive."""
        self._pulled.labels(source).inc(messages)

    def alarm(self, what: str) -> None:
        """Something that only a person can mend."""
        self._alarms.labels(what).inc()
