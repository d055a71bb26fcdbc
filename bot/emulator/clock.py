"""The emulator's clock: real time plus what was pushed, so 48 hours pass in a click."""

from __future__ import annotations

import time


class VirtualClock:
    """Seconds since the epoch that run with real time and can be pushed forward, never back."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self.offset_s = offset_s

    def now(self) -> float:
        """The present virtual time in Unix seconds."""
        return time.time() + self.offset_s

    def push(self, seconds: float) -> float:
        """Move the clock forward by `seconds` (>= 0) and return the new time; ValueError if negative."""
        if seconds < 0:
            raise ValueError(f"the clock goes forward only, not by {seconds} s")
        self.offset_s += seconds
        return self.now()
