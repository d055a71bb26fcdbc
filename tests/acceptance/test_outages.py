"""The shared servers go away in the middle: Redis and PostgreSQL stopped, crashed and started again under load."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.acceptance.books import Books
from tests.acceptance.crowd import Crowd
from tests.acceptance.fleet import Fleet
from tests.acceptance.servers import OwnPostgres, OwnRedis

pytestmark = [pytest.mark.faults, pytest.mark.sockets]
PARTS = ("web1", "work1", "deliver1", "tick1")


def _pids(fleet: Fleet) -> list[int]:
    return [program.process.pid for program in fleet.programs.values() if program.process is not None]


@pytest.mark.timeout(480)
def test_redis_goes_and_comes_back(fleet_postgres: str, own_redis: OwnRedis, models: Path, tmp_path: Path) -> None:
    """Redis is killed twice under load, with all it held: nothing is lost, and it is used again afterwards."""
    seed = random.randrange(10**6)

    async def story() -> None:
        print(f"\nseed {seed}")
        async with Fleet(tmp_path, models, fleet_postgres, redis_url=own_redis.url) as fleet:
            crowd, books, pids = Crowd(fleet, 6, seed, flood_per_s=5), Books(fleet), _pids(fleet)
            await crowd.settle_in()
            crowd.start()
            for away_s in (3, 6):
                await asyncio.sleep(5)
                own_redis.stop()
                await asyncio.sleep(away_s)
                own_redis.start()
            await asyncio.sleep(5)
            await crowd.stop()
            fleet.assert_alive()
            print(f"  Redis away twice, 9 s in all; {await books.close_with(crowd)}")
            told = [event["event"] for part in ("web", "deliver") for event in fleet.events(part)]
            assert "redis is away, this process stands alone" in told
            assert "redis answers again" in told
            assert _pids(fleet) == pids

    asyncio.run(story())


@pytest.mark.timeout(480)
def test_postgresql_restarts_and_crashes(own_postgres: OwnPostgres, models: Path, tmp_path: Path) -> None:
    """PostgreSQL stops in order, then crashes under load: what was acknowledged is there, all go on by themselves."""
    seed = random.randrange(10**6)

    async def story() -> None:
        print(f"\nseed {seed}")
        async with Fleet(tmp_path, models, own_postgres.url) as fleet:
            crowd, books, pids = Crowd(fleet, 6, seed, flood_per_s=8), Books(fleet), _pids(fleet)
            await crowd.settle_in()
            crowd.start()
            for mode, away_s in (("fast", 3.0), ("immediate", 0.0), ("immediate", 5.0)):
                await asyncio.sleep(6)
                await asyncio.to_thread(own_postgres.stop, mode)
                await asyncio.sleep(away_s)
                await asyncio.to_thread(own_postgres.start)
                print(f"  {mode} stop, {away_s} s away, after {crowd.record.messages} messages")
            await asyncio.sleep(6)
            await fleet.wait_web(fleet.web_urls[0])
            await crowd.stop()
            fleet.assert_alive()
            books.fleet.database.dispose()
            print(f"  3 restarts; {await books.close_with(crowd)}")
            assert _pids(fleet) == pids

    asyncio.run(story())
