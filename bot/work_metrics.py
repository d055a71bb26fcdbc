"""What the worker and the ticker count: batches, decisions, failures, and how much waits."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 512)


class WorkMetrics:
    """Batches of the worker, what was decided, what failed, and how much waits."""

    def __init__(self, registry: CollectorRegistry, alarm: Callable[[str], None]) -> None:
        self._decisions = Counter(
            "messages", "Messages by channel and decision", ["channel", "decision"], registry=registry
        )
        self._failed = Counter(
            "messages_failed", "Tries that failed, by what came of them", ["outcome"], registry=registry
        )
        self._seconds = Histogram("batch_seconds", "One batch, commit included", registry=registry, buckets=FAST_S)
        self._sizes = Histogram("batch_size", "Messages a batch", registry=registry, buckets=BATCHES)
        self._depth = Gauge("queue_depth", "Rows by queue and state", ["queue", "state"], registry=registry)
        self._opinions = Counter(
            "second_opinions", "Second opinions by what came of them", ["outcome"], registry=registry
        )
        self._opinion_seconds = Histogram(
            "second_opinion_seconds", "From the question to the answer", registry=registry, buckets=FAST_S
        )
        self._degraded = Counter(
            "messages_degraded", "Messages judged by keywords because no model was at hand", registry=registry
        )
        self._is_degraded = Gauge("model_degraded", "1 while there is no model and keywords judge", registry=registry)
        self._was_degraded = False
        self.alarm = alarm

    def observe_work(self, messages: int, took_s: float) -> None:
        """One batch more."""
        if messages:
            self._sizes.observe(messages)
            self._seconds.observe(took_s)

    def count_decision(self, channel: str, decision: str) -> None:
        """One message was handled."""
        self._decisions.labels(channel, decision).inc()

    def count_failed(self, outcome: str) -> None:
        """One try failed: retry or aside."""
        self._failed.labels(outcome).inc()

    def set_depth(self, queue: str, state: str, rows: int) -> None:
        """How many rows of a queue are in a state."""
        self._depth.labels(queue, state).set(rows)

    def count_opinion(self, outcome: str, took_s: float | None = None) -> None:
        """One message that left the classifier unsure, and what the second opinion made of it."""
        self._opinions.labels(outcome).inc()
        if took_s is not None:
            self._opinion_seconds.observe(took_s)

    def count_degraded(self, messages: int) -> None:
        """So many messages were judged without a model."""
        self._degraded.inc(messages)

    def set_degraded(self, is_degraded: bool) -> None:
        """Whether this process judges without a model; where it begins to, a person must look at it."""
        if is_degraded and not self._was_degraded:
            self.alarm("no model")
        self._was_degraded = is_degraded
        self._is_degraded.set(is_degraded)
