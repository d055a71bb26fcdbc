"""Event to rep prompt: from the moment an event is due to be stored to the card being handed to the gateway.

    python benchmarks/bench_followups.py [--rate 200] [--seconds 20]

The running service's own ticker and deliverer in one process on PostgreSQL, with a gateway that notes the moment
instead of sending. Events are stored at a steady rate in small transactions and the ticker is called, as the API and
the worker do it; each is about another member, and a follow-up set off by it prompts the rep at once. The floor of the
same run: the storing alone. 200 reps, so that the cards of one rep do not queue. PostgreSQL: HUITOU_TEST_POSTGRES or
the local server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import uvloop
from followup_stage import sample_brand
from own_database import own_postgres
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import func, select

from bot.cache import OUTBOX, TICK, LocalCache
from bot.database import Database
from bot.delivery import Deliverer
from bot.delivery_metrics import DeliveryMetrics
from bot.logs import set_up_logging
from bot.sending import Gateways
from bot.settings import Log, load_settings
from bot.tables import METADATA
from bot.ticker import Ticker
from bot.wecom.gateway import wecom_gateway
from bot.work_metrics import WorkMetrics
from handlers.followup import entries
from handlers.followup.definition import Sop, Sops
from handlers.followup.tables import HappeningRow
from handlers.talk.tables import OutboxRow

TOGETHER = 10
SOP = {
    "id": "service_due", "title": "到店服务到期", "kind": "service", "triggers": [{"event": "service_due"}],
    "steps": [{"prompt": {"text": "{{ name or '您' }}, 该保养了, 给您留了位子"}}],
}  # fmt: skip


class Platform:
    """The transport double: notes when each card arrived, and says yes."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    async def __call__(
        self, method: str, url: str, params: Mapping[str, str], body: object | None
    ) -> tuple[int, bytes]:
        """Note the call and answer it."""
        if "gettoken" in url:
            return 200, json.dumps({"errcode": 0, "errmsg": "ok", "access_token": "t", "expires_in": 7200}).encode()
        said = json.dumps(body, ensure_ascii=False)
        begin = said.find("客户#")
        self.at.setdefault(said[begin : said.find("#", begin + 3)], time.perf_counter())
        return 200, json.dumps({"errcode": 0, "errmsg": "ok", "msgid": "m", "response_code": "r"}).encode()


def at_noon() -> datetime:
    """A clock that never leaves the day: noon in Shanghai, going on."""
    return datetime(2026, 11, 18, 4, 0, tzinfo=UTC) + (datetime.now(UTC) - BEGUN)


BEGUN = datetime.now(UTC)


async def run(url: str, rate: int, seconds: int) -> None:
    count, clock = rate * seconds, at_noon
    loop, cache, platform, registry = asyncio.get_running_loop(), LocalCache(clock), Platform(), CollectorRegistry()
    database, metrics = Database(url), DeliveryMetrics(registry)
    brand = replace(sample_brand(), sops=Sops({"service_due": Sop.model_validate(SOP)}))
    deliver = {"api_per_min": 1_000_000}  # the platform's own limit is not what is measured
    settings = load_settings(deliver=deliver, wecom={"corp_id": "ww1", "secret": SecretStr("s"), "agent_id": 1})
    gateways = Gateways(wecom_gateway(settings, platform, cache, clock, metrics), None, 1)

    def wake(channel: str) -> None:
        loop.call_soon_threadsafe(lambda: loop.create_task(cache.publish(channel)))

    work_metrics = WorkMetrics(registry, lambda _: None)
    ticker = Ticker(database, lambda: brand, clock, work_metrics, lambda: wake(OUTBOX))  # type: ignore[arg-type]
    deliverer = Deliverer(database, gateways, cache, settings.deliver, clock, cache.subscribe(OUTBOX), metrics)
    tasks = [asyncio.create_task(ticker.run(cache.subscribe(TICK))), asyncio.create_task(deliverer.run())]
    stored: dict[int, float] = {}

    def store(first: int, many: int) -> None:
        with database.transaction() as session:
            now = clock()
            entries.note(session, [entries.told("service_due", number, f"e{number}", now, {})
                                   for number in range(first, first + many)], now)  # fmt: skip
        done = time.perf_counter()
        stored.update(dict.fromkeys(range(first, first + many), done))
        wake(TICK)

    cpu, begun, due = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), dict[int, float]()
    for first in range(1, count + 1, TOGETHER):
        many = min(TOGETHER, count + 1 - first)
        due |= {number: begun + number / rate for number in range(first, first + many)}
        await asyncio.sleep(max(0.0, due[first + many - 1] - time.perf_counter()))
        await asyncio.to_thread(store, first, many)
    for _ in range(200):
        if len(platform.at) >= count:
            break
        await asyncio.sleep(0.1)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    show("floor: due to stored", [stored[number] - due[number] for number in due])
    show("due to card at the gateway", [platform.at[f"客户#{number}"] - due[number] for number in due])
    cpu_s = spent.ru_utime + spent.ru_stime - cpu.ru_utime - cpu.ru_stime
    with database.reading() as session:
        decided = session.execute(select(
            func.percentile_cont(0.99).within_group(func.extract("epoch", OutboxRow.created_at - HappeningRow.at)),
            func.percentile_cont(0.99).within_group(func.extract("epoch", OutboxRow.sent_at - OutboxRow.created_at)),
        ).join(HappeningRow, HappeningRow.member_id == OutboxRow.member_id)).one()  # fmt: skip
    print(f"of it, p99: {decided[0] * 1e3:.0f} ms until the tick that decides, {decided[1] * 1e3:.0f} ms from there "
          "until the gateway's answer is noted")  # fmt: skip
    print(f"{len(platform.at)} of {count} prompted; {cpu_s:.1f} s CPU, {cpu_s / count * 1e3:.2f} ms an event")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    database.dispose()


def show(what: str, seconds: list[float]) -> None:
    cuts = statistics.quantiles(seconds, n=100)
    print(f"{what}: p50 {cuts[49] * 1e3:.0f} ms, p95 {cuts[94] * 1e3:.0f} ms, p99 {cuts[98] * 1e3:.0f} ms, "
          f"worst {max(seconds) * 1e3:.0f} ms")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=20)
    asked = parser.parse_args()
    set_up_logging(Log(level="WARNING"))
    with own_postgres() as url:
        database = Database(url)
        METADATA.create_all(database.engine)
        database.dispose()
        with psycopg.connect(url, autocommit=True) as connection:
            people = f"generate_series(1, {asked.rate * max(asked.seconds, 5)}) n"
            connection.execute("INSERT INTO members (id, name, created_at) "
                               f"SELECT n, '客户#' || n || '#', now() FROM {people}")  # fmt: skip
            connection.execute("INSERT INTO identities (kind, value, member_id, evidence, created_at) SELECT "
                               f"'external_userid', 'wm' || n, n, '', now() FROM {people}")  # fmt: skip
            connection.execute("INSERT INTO reps (userid, name) SELECT 'rep' || n, '' FROM generate_series(0, 199) n")
            connection.execute("INSERT INTO servings (userid, external_userid, since) "
                               f"SELECT 'rep' || n % 200, 'wm' || n, now() FROM {people}")  # fmt: skip
            connection.execute("VACUUM ANALYZE")
        uvloop.run(run(url, asked.rate, asked.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
