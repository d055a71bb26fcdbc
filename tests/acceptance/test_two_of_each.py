"""Two workers and two deliverers on one PostgreSQL: the order of each sender is kept, and nothing is done twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.acceptance.books import Books
from tests.acceptance.crowd import KF, Crowd, Customer
from tests.acceptance.fleet import Fleet

pytestmark = [pytest.mark.faults, pytest.mark.sockets]
BURST = 5
"""As many as the platform lets us answer to one message in 微信客服."""


async def _burst(crowd: Crowd, customer: Customer, group: str) -> None:
    """Write quickly, without waiting for answers."""
    for number in range(BURST):
        done = await crowd.fleet.phones.say(customer.external_userid, "kf", "我有多少积分", KF)
        crowd.record.note("kf", customer.external_userid, done["msgid"])
        done = await crowd.fleet.phones.say(customer.external_userid, "group", f"第{number}句", group)
        crowd.record.note("group", customer.external_userid, done["msgid"])


@pytest.mark.timeout(480)
def test_order_is_kept_and_none_is_twice(fleet_postgres: str, models: Path, tmp_path: Path) -> None:
    """Under load and bursts both workers and both deliverers take part, in order per person, each thing once."""
    seed = random.randrange(10**6)

    async def story() -> None:
        print(f"\nseed {seed}")
        async with Fleet(tmp_path, models, fleet_postgres, workers=2, deliverers=2) as fleet:
            crowd, books = Crowd(fleet, 10, seed, rest_s=0.05, flood_per_s=15), Books(fleet)
            await crowd.settle_in()
            crowd.start()
            await asyncio.sleep(20)
            await crowd.stop()
            counts = await books.close_with(crowd)
            for customer in crowd.customers:
                await _burst(crowd, customer, "wrLOAD0001")
            await books.wait_quiet([], 30)
            await asyncio.sleep(1)
            await books.wait_quiet([], 30)
            books.check_order(crowd)
            books.check_outbox()
            answered = await books.check_delivery_order(crowd)
            shares = {
                name: sum(1 for line in program.log_path.read_text().splitlines() if f'"event": "{word}"' in line)
                for name, program in fleet.programs.items()
                for word in (("handled",) if name.startswith("work") else ("sent",))
                if name.startswith(("work", "deliver"))
            }
            print(f"  {counts}; then bursts: {answered} answers in 微信客服 in order; taken by {shares}")
            assert all(shares.values()), shares

    asyncio.run(story())
