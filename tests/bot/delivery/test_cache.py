"""One set of promises, two caches; and what happens while Redis is away."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.cache import Cache, LocalCache
from bot.redis_cache import RedisCache


class PrivateRedis:
    """A Redis server of this test's own that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it listens."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        self._process = subprocess.Popen([*command, str(self._folder)], stdout=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("redis-server did not start")

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A running server; skipped where redis-server is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server = PrivateRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


Make = Callable[[], Any]


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.sockets)])
def make(request: pytest.FixtureRequest, clock: Any) -> Make:
    """Makes a cache of either kind; two Redis ones are two processes' views of one."""
    if request.param == "local":
        shared = LocalCache(clock)
        return lambda: _closing(shared)
    server = request.getfixturevalue("redis_server")
    prefix = f"{request.node.name}:"
    return lambda: _closing(RedisCache(server.url, clock, prefix))


@asynccontextmanager
async def _closing(cache: Cache) -> AsyncIterator[Cache]:
    try:
        yield cache
    finally:
        await cache.close()


class TestAnyCache:
    """What both caches promise."""

    def test_a_value_is_kept_for_its_time(self, make: Make, run: Any) -> None:
        """What was set is found by everybody; what nobody set is None; a new value replaces the old one."""

        async def go() -> None:
            async with make() as one, make() as other:
                assert await other.get("a") is None
                await one.set("a", "积分", 60)
                assert await other.get("a") == "积分"
                await other.set("a", "b", 60)
                assert await one.get("a") == "b"

        run(go())

    def test_an_old_value_is_gone(self, make: Make, clock: Any, run: Any) -> None:
        """After its time a value is no longer there."""

        async def go() -> None:
            async with make() as cache:
                await cache.set("a", "1", 0.05)
                clock.push(seconds=0.06)
                await asyncio.sleep(0.06)
                assert await cache.get("a") is None

        run(go())

    def test_one_holds_the_lock(self, make: Make, run: Any) -> None:
        """Of many who want the lock one is inside at a time, and all get their turn."""
        inside, most, turns = 0, 0, 0

        async def enter(cache: Cache) -> None:
            nonlocal inside, most, turns
            async with cache.lock("token", 5) as held:
                assert held
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.005)
                inside -= 1
                turns += 1

        async def go() -> None:
            async with make() as one, make() as other:
                await asyncio.gather(*(enter(cache) for cache in (one, other) * 5))

        run(go())
        assert (most, turns) == (1, 10)

    def test_a_lock_that_is_never_given_back_stops_nobody(self, make: Make, run: Any) -> None:
        """Whoever cannot get the lock in its time goes on and is told so; the lock is free after an error inside."""

        async def go() -> None:
            async with make() as one, make() as other:
                async with one.lock("a", 5), other.lock("a", 0.1) as held:
                    assert not held
                with pytest.raises(RuntimeError):
                    async with one.lock("a", 5):
                        raise RuntimeError
                async with other.lock("a", 1) as held:
                    assert held

        run(go())

    def test_a_limit_counts_over_all_and_opens_again(self, make: Make, clock: Any, run: Any) -> None:
        """Three uses a minute are allowed, the fourth is told how long to wait, the next window is open."""

        async def go() -> None:
            async with make() as one, make() as other:
                clock.push(seconds=15)
                allowed = [await cache.hit("api", 60, 3) for cache in (one, other, one, other)]
                assert allowed == [0, 0, 0, 45]
                assert await one.hit("another api", 60, 3) == 0
                clock.push(seconds=45)
                assert await one.hit("api", 60, 3) == 0

        run(go())

    def test_a_wake_up_reaches_the_sleepers_of_its_channel(self, make: Make, run: Any) -> None:
        """Sleepers on the channel wake, others sleep on; one that came before lying down counts."""

        async def go() -> None:
            async with make() as one, make() as other:
                near, far, else_ = one.subscribe("inbox"), other.subscribe("inbox"), other.subscribe("outbox")
                for _ in range(100):  # the listener of another process may need a moment
                    await one.publish("inbox")
                    if await far.wait(0.02):
                        break
                else:
                    raise AssertionError("never woken")
                assert await near.wait(0.5)
                assert not await else_.wait(0.01)

        run(go())


@pytest.mark.sockets
def test_redis_away_and_back(redis_server: PrivateRedis, clock: Any, run: Any) -> None:
    """With Redis stopped each process stands alone at once, says so once, and shares again when it is back."""

    async def go() -> None:
        async with _closing(RedisCache(redis_server.url, clock, "away:", pause_s=0.05)) as cache:
            await cache.set("a", "shared", 60)
            sleeper = cache.subscribe("inbox")
            await asyncio.sleep(0.05)
            redis_server.stop()
            began_s = time.perf_counter()
            assert await cache.get("a") == "shared"
            await cache.set("b", "alone", 60)
            assert await cache.get("b") == "alone"
            assert [await cache.hit("api", 60, 1), await cache.hit("api", 60, 1)] == [0, 60]
            async with cache.lock("token", 5) as held:
                assert held
            await cache.publish("inbox")
            assert await sleeper.wait(1)
            assert time.perf_counter() - began_s < 2
            redis_server.start()
            await asyncio.sleep(0.1)
            await cache.set("c", "shared again", 60)
            async with _closing(RedisCache(redis_server.url, clock, "away:", pause_s=0.05)) as other:
                assert await other.get("c") == "shared again"
                while not await sleeper.wait(0.05):
                    await other.publish("inbox")

    with structlog.testing.capture_logs() as lines:
        run(go())
    assert [line["event"] for line in lines] == ["redis is away, this process stands alone", "redis answers again"]


@pytest.mark.sockets
def test_a_service_may_start_before_redis(clock: Any, run: Any) -> None:
    """With no Redis at its address a cache works from the first call."""

    async def go() -> None:
        async with _closing(RedisCache("redis://127.0.0.1:1/0", clock)) as cache:
            await cache.set("a", "1", 60)
            assert await cache.get("a") == "1"
            assert not await cache.subscribe("inbox").wait(0.01)

    run(go())
