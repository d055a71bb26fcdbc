"""kill -9 of web, worker and delivery at random moments under load, on both databases."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.books import Books
from tests.acceptance.crowd import Crowd
from tests.acceptance.fleet import Fleet

pytestmark = [pytest.mark.faults, pytest.mark.sockets]
KILLS = 20
VICTIMS = ("web1", "work1", "deliver1")


async def _storm(fleet: Fleet, crowd: Crowd, seed: int) -> list[str]:
    """Kill at random moments; each victim is started again at once and may be hit again when it works."""
    choice = random.Random(seed)
    killed: list[str] = []
    rising: dict[str, asyncio.Task[None]] = {}
    started = time.monotonic()
    while len(killed) < KILLS:
        await asyncio.sleep(choice.uniform(0.3, 3.0))
        standing = [name for name in VICTIMS if name not in rising or rising[name].done()]
        if not standing:
            continue
        name = choice.choice(standing)
        fleet.assert_alive()
        if name in rising:
            rising[name].result()
        rising[name] = asyncio.create_task(fleet.restart(name))
        killed.append(name)
        print(f"  {time.monotonic() - started:6.2f} s: kill -9 {name} after {crowd.record.messages} messages")
    await asyncio.gather(*rising.values())
    return killed


@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_or_done_twice(fleet_database: str, models: Path, tmp_path: Path) -> None:
    """20 kills at random moments: each message one effect, each outbox row delivered, no code told twice."""
    seed = random.randrange(10**6)

    async def story() -> None:
        print(f"\nseed {seed}, {fleet_database.partition(':')[0]}")
        async with Fleet(tmp_path, models, fleet_database) as fleet:
            crowd, books = Crowd(fleet, 8, seed, flood_per_s=8), Books(fleet)
            await crowd.settle_in()
            crowd.start()
            killed = await _storm(fleet, crowd, seed)
            await crowd.stop()
            fleet.assert_alive()
            print(f"  {len(killed)} kills {dict(Counter(killed))}; {await books.close_with(crowd)}")

    asyncio.run(story())
