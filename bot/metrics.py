"""What is counted and timed, for Prometheus; one object of each kind per process, handed down at start."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCHES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 512.0)


class Tally:
    """A histogram that one thread fills: a tenth of the library's own cost, which a callback would feel."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self, name: str, documentation: str) -> HistogramMetricFamily:
        """The histogram as Prometheus wants it, buckets cumulated."""
        buckets, total = [], 0
        for bound, count in zip([*map(str, self._bounds), "+Inf"], list(self._counts), strict=True):
            total += count
            buckets.append((bound, float(total)))
        return HistogramMetricFamily(name, documentation, buckets, self._sum)


class CallbackMetrics(Collector):
    """Callbacks by receiver and outcome (accepted, or the label of a refusal), how long they took, batch sizes.

    Counted in the event loop and in the intake's thread without locks: each number has one writer.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._seconds = Tally(FAST_S)
        self._batches = Tally(BATCHES)
        self.observe_seconds = self._seconds.observe
        self.observe_batch = self._batches.observe
        registry.register(self)

    def count(self, receiver: str, outcome: str) -> None:
        """One callback more; `receiver` must come from the settings, never from the request."""
        self._outcomes[receiver, outcome] += 1

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        callbacks = CounterMetricFamily(
            "callbacks", "Callbacks by receiver and outcome", labels=["receiver", "outcome"]
        )
        for labels, count in sorted(self._outcomes.items()):
            callbacks.add_metric(labels, count)
        yield callbacks
        yield self._seconds.family("callback_seconds", "From the request to the answer, commit included")
        yield self._batches.family("intake_batch_size", "Callers committed together")
