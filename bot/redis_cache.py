"""The cache of many processes, on Redis.

With Redis away each call is answered by this process alone: tokens are fetched once per process, limits count per
process, wake-ups reach this process only and polling does the rest. It is logged once, and Redis is used again as
soon as it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bot.cache import LocalCache, Wake
from bot.clock import Clock, monotonic_s

REDIS_TIMEOUT_S: Final = 0.5
REDIS_PAUSE_S: Final = 1.0
LOCK_POLL_S: Final = 0.02
UNLOCK: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"

T = TypeVar("T")
log = structlog.get_logger("bot.cache")


class RedisCache:
    """The cache of many processes; what this process alone can do stands in while Redis is away."""

    def __init__(self, url: str, clock: Clock, prefix: str = "huitou:", pause_s: float = REDIS_PAUSE_S) -> None:
        once = Retry(NoBackoff(), 0)
        # Any: the client's own types are wider than what we ask and differ from release to release.
        self._redis: Any = Redis.from_url(
            url,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=once,
            decode_responses=True,
        )
        self._listening: Any = Redis.from_url(
            url, socket_timeout=None, socket_connect_timeout=REDIS_TIMEOUT_S, retry=once, decode_responses=True
        )
        self._clock = clock
        self._prefix = prefix
        self._pause_s = pause_s
        self._local = LocalCache(clock)
        self._away_until_s = 0.0
        self._is_away = False
        self._listener: asyncio.Task[None] | None = None

    async def get(self, key: str) -> str | None:
        """The shared value; this process's own while Redis is away."""
        return await self._ask(lambda: self._redis.get(self._prefix + key), lambda: self._local.get(key))

    async def set(self, key: str, value: str, ttl_s: float) -> None:
        """Keep a value here and, when Redis is there, for all."""
        await self._local.set(key, value, ttl_s)
        await self._ask(lambda: self._redis.set(self._prefix + key, value, px=max(1, int(ttl_s * 1000))), _nothing)

    @asynccontextmanager
    async def lock(self, name: str, ttl_s: float) -> AsyncIterator[bool]:
        """Hold the lock among the tasks of this process first, then among processes."""
        async with self._local.lock(name, ttl_s) as held_here:
            key, mark = f"{self._prefix}lock:{name}", secrets.token_hex(8)
            held = held_here and await self._acquire(key, mark, ttl_s)
            try:
                yield held
            finally:
                if held:
                    await self._ask(lambda: self._redis.eval(UNLOCK, 1, key, mark), _nothing)

    async def _acquire(self, key: str, mark: str, ttl_s: float) -> bool:
        until_s = monotonic_s() + ttl_s
        while True:
            # With Redis away the lock of this process is all there is, and it is held.
            if await self._ask(lambda: self._redis.set(key, mark, nx=True, px=int(ttl_s * 1000)), _true):
                return True
            if monotonic_s() >= until_s:
                return False
            await asyncio.sleep(LOCK_POLL_S)

    async def hit(self, key: str, per_s: int, limit: int) -> float:
        """Count one use over all processes; over this one while Redis is away."""
        now_s = self._clock().timestamp()
        window = int(now_s // per_s)
        count = await self._ask(lambda: self._count(f"{self._prefix}hit:{key}:{window}", per_s), _none)
        if count is None:
            return await self._local.hit(key, per_s, limit)
        return 0.0 if count <= limit else (window + 1) * per_s - now_s

    async def _count(self, key: str, per_s: int) -> int | None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.incr(key)
            pipe.expire(key, per_s * 2)
            return int((await pipe.execute())[0])

    async def publish(self, channel: str) -> None:
        """Wake everybody who waits on the channel, here at once."""
        await self._local.publish(channel)
        await self._ask(lambda: self._redis.publish(f"{self._prefix}wake", channel), _nothing)

    def subscribe(self, channel: str) -> Wake:
        """A sleeper on the channel; the first one begins to listen to Redis."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen(), name="redis wake-ups")
        return self._local.subscribe(channel)

    async def close(self) -> None:
        """Stop listening and close the connections."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._redis.aclose()
        await self._listening.aclose()

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with self._listening.pubsub() as channel:
                    await channel.subscribe(f"{self._prefix}wake")
                    async for message in channel.listen():
                        if message["type"] == "message":
                            await self._local.publish(str(message["data"]))
            await asyncio.sleep(self._pause_s)

    async def _ask(self, there: Callable[[], Awaitable[T]], here: Callable[[], Awaitable[T]]) -> T:
        if monotonic_s() < self._away_until_s:
            return await here()
        try:
            answer = await there()
        except (RedisError, OSError, TimeoutError) as error:
            self._note_away(error)
            return await here()
        if self._is_away:
            self._is_away = False
            log.info("redis answers again")
        return answer

    def _note_away(self, error: Exception) -> None:
        # A dead host costs a time-out once a pause, not once a call.
        self._away_until_s = monotonic_s() + self._pause_s
        if not self._is_away:
            self._is_away = True
            log.warning("redis is away, this process stands alone", error=type(error).__name__)


async def _nothing() -> Any:
    return None


async def _none() -> int | None:
    return None


async def _true() -> bool | None:
    return True
