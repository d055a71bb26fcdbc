"""The clock: the only source of the present moment for everything behind the edge."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present moment in UTC. Handed down at start, so that a demo or a test may push it."""


def system_clock() -> datetime:
    """The machine's own clock."""
    return datetime.now(UTC)


def clock_of(seconds: Callable[[], float]) -> Clock:
    """A clock that follows another one's Unix seconds, such as the emulator's."""
    return lambda: datetime.fromtimestamp(seconds(), UTC)


def monotonic_s() -> float:
    """Seconds that never run backwards, for measuring how long something took."""
    return time.monotonic()
