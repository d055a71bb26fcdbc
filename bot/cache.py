"""What processes share for speed: values with an age, locks, rate limits, wake-ups. Never the only copy of anything.

Here the seam and the cache of one process; `bot.redis_cache` has that of many.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Final, Protocol
from weakref import WeakSet, WeakValueDictionary

from bot.clock import Clock

INBOX: Final = "inbox"
OUTBOX: Final = "outbox"
PULL: Final = "pull"
TICK: Final = "tick"
"""Names of wake-ups: something new in the inbox, in the outbox, at a source that is pulled, for the ticker."""

PRUNE_AT: Final = 4096


class Wake(Protocol):
    """Somebody who sleeps until called."""

    async def wait(self, timeout_s: float) -> bool:
        """Sleep until a wake-up (True) or for `timeout_s` (False); one that came meanwhile counts."""
        ...


class Cache(Protocol):
    """What a process shares with its like; two implementations, one test class."""

    async def get(self, key: str) -> str | None:
        """The value, or None when there is none or it is too old."""
        ...

    async def set(self, key: str, value: str, ttl_s: float) -> None:
        """Keep a value for `ttl_s` seconds."""
        ...

    def lock(self, name: str, ttl_s: float) -> AbstractAsyncContextManager[bool]:
        """Wait for the lock at most `ttl_s` and hold it at most as long; False when it had to go on without."""
        ...

    async def hit(self, key: str, per_s: int, limit: int) -> float:
        """Count one use in the current window of `per_s`; 0 when allowed, else seconds until the window ends."""
        ...

    async def publish(self, channel: str) -> None:
        """Wake everybody who waits on the channel."""
        ...

    def subscribe(self, channel: str) -> Wake:
        """A sleeper on the channel; it is forgotten when dropped."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Sleeper:
    """A wake-up of this process."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def call(self) -> None:
        """Wake the sleeper, now or when it next lies down."""
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Sleep until called (True) or for `timeout_s` (False)."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout_s)
        called = self._event.is_set()
        self._event.clear()
        return called


class LocalCache:
    """The cache of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._values: dict[str, tuple[str, datetime]] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._sleepers: dict[str, WeakSet[Sleeper]] = {}

    async def get(self, key: str) -> str | None:
        """The value, or None when there is none or it is too old."""
        value, until = self._values.get(key, ("", self._clock()))
        return value if until > self._clock() else None

    async def set(self, key: str, value: str, ttl_s: float) -> None:
        """Keep a value for `ttl_s` seconds."""
        now = self._clock()
        if len(self._values) >= PRUNE_AT:
            self._values = {name: kept for name, kept in self._values.items() if kept[1] > now}
        self._values[key] = (value, now + timedelta(seconds=ttl_s))

    @asynccontextmanager
    async def lock(self, name: str, ttl_s: float) -> AsyncIterator[bool]:
        """Hold the lock of this process; False when it could not be had within `ttl_s`."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        try:
            await asyncio.wait_for(lock.acquire(), ttl_s)
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    async def hit(self, key: str, per_s: int, limit: int) -> float:
        """Count one use in the current window; 0 when allowed, else seconds until the window ends."""
        now_s = self._clock().timestamp()
        ends_s = (int(now_s // per_s) + 1) * per_s
        last_ends_s, count = self._counts.get(key, (ends_s, 0))
        count = count + 1 if last_ends_s == ends_s else 1
        if len(self._counts) >= PRUNE_AT:
            self._counts = {name: kept for name, kept in self._counts.items() if kept[0] > now_s}
        self._counts[key] = (ends_s, count)
        return 0.0 if count <= limit else ends_s - now_s

    async def publish(self, channel: str) -> None:
        """Wake everybody of this process who waits on the channel."""
        for sleeper in list(self._sleepers.get(channel, ())):
            sleeper.call()

    def subscribe(self, channel: str) -> Wake:
        """A sleeper on the channel."""
        sleeper = Sleeper()
        self._sleepers.setdefault(channel, WeakSet()).add(sleeper)
        return sleeper

    async def close(self) -> None:
        """Nothing to let go of."""
