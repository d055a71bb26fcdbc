"""The platform answers with quotas, dead tokens, 500, time-outs, broken JSON, and cuts the line after the effect."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.acceptance.books import Books
from tests.acceptance.crowd import Crowd
from tests.acceptance.fleet import Fleet

pytestmark = [pytest.mark.faults, pytest.mark.sockets]
FAULTS = (
    ("errcode", {"errcode": 45009, "times": 1}),
    ("errcode", {"errcode": 42001, "times": 2}),
    ("http", {"errcode": 500, "times": 3}),
    ("timeout", {"seconds": 3.0, "times": 2}),
    ("slow", {"seconds": 3.0, "times": 2}),
    ("broken_json", {"times": 3}),
    ("cut_after_effect", {"times": 3}),
)
"""`slow` takes effect after we have hung up: request_timeout_s is 2."""
PLACES = ("kf/send_msg", "message/send", "kf/sync_msg", "archive/pull")
TOKEN_FAULTS = (
    ("http", {"errcode": 500, "times": 2}),
    ("broken_json", {"times": 2}),
    ("timeout", {"seconds": 3.0, "times": 1}),
)


@pytest.mark.timeout(480)
def test_a_platform_that_misbehaves_for_a_while(fleet_database: str, models: Path, tmp_path: Path) -> None:
    """Every kind of fault on every busy endpoint under load: nothing lost, nothing twice, caught up by itself."""
    seed = random.randrange(10**6)

    async def story() -> None:
        print(f"\nseed {seed}, {fleet_database.partition(':')[0]}")
        async with Fleet(tmp_path, models, fleet_database) as fleet:
            crowd, books = Crowd(fleet, 8, seed), Books(fleet)
            await crowd.settle_in()
            crowd.start()
            await asyncio.sleep(2)
            for place in PLACES:
                for kind, numbers in FAULTS:
                    await fleet.phones.fault(place, kind, **numbers)
            for kind, numbers in TOKEN_FAULTS:
                await fleet.phones.fault("gettoken", kind, **numbers)
            for _ in range(3):
                await asyncio.sleep(5)
                await fleet.phones.act("expire_token")
            await fleet.phones.fault("gettoken", "errcode", errcode=45009, times=1)
            await fleet.phones.act("expire_token", revoke=True)
            await asyncio.sleep(10)
            await crowd.stop()
            fleet.assert_alive()
            counts = await books.close_with(crowd, wait_s=150)
            faults = (await fleet.phones.call("GET", "faults"))["faults"]
            unused = [f"{fault['endpoint']} {fault['kind']}" for fault in faults if fault["hits"] < fault["times"]]
            hits = sum(fault["hits"] for fault in faults)
            print(f"  {hits} faults struck, not used up: {unused or 'none'}; {counts}")
            struck = {(fault["endpoint"], fault["kind"]) for fault in faults if fault["hits"]}
            for endpoint in ("kf/send_msg", "kf/sync_msg"):
                assert {kind for place, kind in struck if place == endpoint} == {kind for kind, _ in FAULTS}
            assert {kind for place, kind in struck if place == "gettoken"} >= {"http", "broken_json", "timeout"}

    asyncio.run(story())
