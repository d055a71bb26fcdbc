"""What is counted and timed, for Prometheus; one object of each kind per process, handed down at start."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram

FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 512)


class CallbackMetrics:
    """Callbacks by receiver and outcome (accepted, or the label of a refusal), how long they took, batch sizes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._callbacks = Counter(
            "callbacks", "Callbacks by receiver and outcome", ["receiver", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "callback_seconds", "From the request to the answer, commit included", registry=registry, buckets=FAST_S
        )
        self._batches = Histogram("intake_batch_size", "Callers committed together", registry=registry, buckets=BATCHES)
        self._known: dict[tuple[str, str], Callable[[], None]] = {}
        self.observe_seconds: Callable[[float], None] = self._seconds.observe
        self.observe_batch: Callable[[float], None] = self._batches.observe

    def count(self, receiver: str, outcome: str) -> None:
        """One callback more; `receiver` must come from the settings, never from the request."""
        known = self._known.get((receiver, outcome))
        if known is None:
            known = self._known[receiver, outcome] = self._callbacks.labels(receiver, outcome).inc
        known()


class DeliveryMetrics:
    """Calls of the platform, what became of outbox rows, what was pulled, and what a person must look at."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "platform_calls", "Calls by endpoint and errcode", ["endpoint", "errcode"], registry=registry
        )
        self._call_seconds = Histogram(
            "platform_call_seconds", "From the call to its answer", registry=registry, buckets=(*FAST_S, 10)
        )
        self._outbox = Counter(
            "outbox_rows",
            "Tries of outbox rows by kind, outcome and error class",
            ["kind", "outcome", "error_class"],
            registry=registry,
        )
        self._delay = Histogram(
            "delivery_seconds",
            "From the written row to the platform's yes",
            registry=registry,
            buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
        )
        self._pulled = Counter("pulled_messages", "Messages pulled by source", ["source"], registry=registry)
        self._alarms = Counter("alarms", "What a person must look at", ["what"], registry=registry)
        self.observe_delay: Callable[[float], None] = self._delay.observe

    def count_call(self, endpoint: str, errcode: str, took_s: float) -> None:
        """One call of the platform; `errcode` is its number or the name of what went wrong."""
        self._calls.labels(endpoint, errcode).inc()
        self._call_seconds.observe(took_s)

    def count_row(self, kind: str, outcome: str, error_class: str = "") -> None:
        """One try of an outbox row: sent, waiting, failed, withdrawn or released."""
        self._outbox.labels(kind, outcome, error_class).inc()

    def count_pulled(self, source: str, messages: int) -> None:
        """So many messages came from kf or from the archive."""
        self._pulled.labels(source).inc(messages)

    def alarm(self, what: str) -> None:
        """Something only a person can mend."""
        self._alarms.labels(what).inc()
