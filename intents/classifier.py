"""The one door to understanding: texts in, verdicts out, the whole batch in one call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scored:
    """A scenario and its calibrated score between 0 and 1."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one message carries, best first, and why."""

    scenarios: tuple[Scored, ...]
    unsure: bool
    reasons: tuple[str, ...]
    near: tuple[Scored, ...]
    model: str
    degraded: bool
