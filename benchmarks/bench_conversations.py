"""Answer time inside the service: callback accepted (committed to the inbox) to answer handed to the gateway.

    python benchmarks/bench_conversations.py [--people 100] [--turns 9] [--think-s 2]

Everybody reads an answer for about --think-s seconds and then writes again: points, a redemption prompt, 算了. A second
round is without a moment's thought (0 s): as many answers as the machine gives. Intake, worker and delivery are the
service's own on PostgreSQL; only the network behind the gateway is left out. The floor of the same run: three commits
of one row each, one after the other, by as many at once without a pause.
PostgreSQL: HUITOU_TEST_POSTGRES or the local server; an own database is made and dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from own_database import own_postgres
from prometheus_client import CollectorRegistry

from bot.brands import load_brand
from bot.cache import INBOX, OUTBOX, LocalCache
from bot.clock import system_clock
from bot.database import Database
from bot.delivery import Deliverer
from bot.delivery_metrics import DeliveryMetrics
from bot.intake import Intake
from bot.logs import set_up_logging
from bot.sending import Gateways
from bot.settings import Deliver, Log, Work, load_settings
from bot.tables import METADATA
from bot.work_metrics import WorkMetrics
from bot.worker import Worker
from handlers.talk import inbox
from handlers.talk.messages import Incoming
from loyalty import customers, ledger
from loyalty.ledger_sql import POST_ONE
from loyalty.rewards import sync_stock

SAID = ("我有多少积分", "积分换随行杯", "算了", "查一下我的积分")
GOAL_MS = 300.0


class Ear:
    """Stands where the gateway stands: hears what is handed to it."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[float]] = {}

    async def call(self, method: str, path: str, body: dict[str, Any], **_more: Any) -> dict[str, Any]:
        """The moment of an answer."""
        heard = self.waiting.get(body.get("touser", ""))
        if heard is not None and not heard.done():
            heard.set_result(time.perf_counter())
        return {"errcode": 0}


async def talk(database: Database, people: int, turns: int, think_s: float) -> list[float]:
    """Milliseconds of every answer."""
    brand, cache, ear, registry = load_brand(load_settings()), LocalCache(system_clock), Ear(), CollectorRegistry()
    with database.transaction() as session:
        inbox.ensure_shards(session)
        sync_stock(session, brand.programme, system_clock())
        names = [("external_userid", f"wmBENCH{n:04d}") for n in range(people)]
        for member in customers.resolve(session, names, system_clock()).values():
            customers.set_name(session, member, "bench")
            ledger.earn(session, member, 3000, key=f"seed:{think_s}:{member}", reason="seed", ref="", at=system_clock(),
                        expires_at=None)  # fmt: skip
    loop = asyncio.get_running_loop()
    work_wake, send_wake = cache.subscribe(INBOX), cache.subscribe(OUTBOX)

    def wake(channel: str) -> None:
        asyncio.run_coroutine_threadsafe(cache.publish(channel), loop)

    intake = Intake(database, system_clock, lambda _messages, _sources: wake(INBOX))
    metrics = WorkMetrics(registry, lambda _what: None)
    worker = Worker(database, lambda: brand, Work(), system_clock, metrics, lambda: wake(OUTBOX))
    gateways = Gateways(ear, None, 1)  # type: ignore[arg-type]
    deliverer = Deliverer(
        database, gateways, cache, Deliver(), system_clock, send_wake, DeliveryMetrics(registry)
    )
    await intake.start()
    tasks = [asyncio.create_task(worker.run(work_wake)), asyncio.create_task(deliverer.run())]

    async def person(number: int) -> list[float]:
        took = []
        for turn in range(turns):
            await asyncio.sleep(random.uniform(0.5, 1.5) * think_s)
            sender = f"wmBENCH{number:04d}"
            heard = ear.waiting[sender] = loop.create_future()
            said = Incoming(key=f"b:{think_s}:{number}:{turn}", channel="kf", kind="text", sender=sender,
                            chat="kf:wkBENCH", text=SAID[turn % len(SAID)], at=system_clock())  # fmt: skip
            await intake.accept([said])
            accepted = time.perf_counter()
            took.append((await asyncio.wait_for(heard, 20) - accepted) * 1000)
        return took

    found = await asyncio.gather(*(person(number) for number in range(people)))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await intake.stop()
    return [one for took in found for one in took[1:]]  # the first warms the connections


def floor(dsn: str, people: int, turns: int) -> list[float]:
    """Milliseconds of three commits of one row each, one after the other, at the same concurrency."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("CREATE TABLE IF NOT EXISTS floor (id bigserial PRIMARY KEY, body text)")

    def person(_number: int) -> list[float]:
        took = []
        with psycopg.connect(dsn, autocommit=True) as connection:
            for _ in range(turns):
                started = time.perf_counter()
                for _ in range(3):
                    connection.execute("INSERT INTO floor (body) VALUES (%s)", ("x" * 400,))
                took.append((time.perf_counter() - started) * 1000)
        return took

    with ThreadPoolExecutor(min(people, 80)) as pool:
        return [one for took in pool.map(person, range(people)) for one in took[1:]]


def main() -> None:
    """Play, print percentiles beside the floor's, and say whether the goal was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--think-s", type=float, default=2.0)
    options = parser.parse_args()
    set_up_logging(Log(level="ERROR"))
    with own_postgres() as dsn:
        database = Database(dsn)
        METADATA.create_all(database.engine)
        with database.engine.begin() as connection:
            connection.execute(POST_ONE)
        ground = floor(dsn, options.people, options.turns)
        rounds = {
            f"answers, {think_s:g} s of thought": asyncio.run(talk(database, options.people, options.turns, think_s))
            for think_s in (options.think_s, 0.0)
        }
        database.dispose()
    for name, figures in {"floor, 3 commits": ground, **rounds}.items():
        cuts = statistics.quantiles(figures, n=100)
        print(f"{name}: {len(figures)} at {options.people} at once, "
              f"p50 {cuts[49]:.0f} ms, p95 {cuts[94]:.0f} ms, p99 {cuts[98]:.0f} ms")  # fmt: skip
    p95 = statistics.quantiles(next(iter(rounds.values())), n=100)[94]
    print(f"p95 {p95:.0f} ms, goal {GOAL_MS:.0f} ms: {'met' if p95 < GOAL_MS else 'missed'}")



if __name__ == "__main__":
    main()
