"""Accepted message to committed effect: one worker over a full inbox, beside a hand-written chain in the same run.

    python benchmarks/bench_pipeline.py [--rounds 3] [--messages 12000] [--floor SCRIPT]

Mix: 70 % chatter in a group, 20 % points questions in 微信客服, 10 % running out in a group (each by another member,
so that each makes a card). The floor (floor_pipeline.py, or --floor) claims, decrypts, classifies, posts a transfer and
writes an outbox row by hand-written SQL, 100 messages a transaction. Both alternate; medians are printed.
PostgreSQL: HUITOU_TEST_POSTGRES or the local server; an own database is made and dropped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from own_database import own_postgres
from prometheus_client import CollectorRegistry
from sqlalchemy import func, insert, select, text

from bot.brands import load_brand, read_corpus, read_programme
from bot.database import Database
from bot.logs import set_up_logging
from bot.migrations import migrate
from bot.settings import Log, Work, load_settings
from bot.work_metrics import WorkMetrics
from bot.worker import Worker
from handlers.brand import Brand
from handlers.talk import inbox
from handlers.talk.messages import Incoming
from handlers.talk.tables import InboxRow, OutboxRow, ServingRow, VerdictRow
from loyalty import customers, ledger
from loyalty.rewards import sync_stock

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
MEMBERS = 5000
QUERIES = ("我有多少积分", "查一下我的积分", "我还剩多少积分呀", "积分余额是多少")
RUNNING_OUT = ("快吃完了", "又见底了", "最后两包啦", "快喝完了")
HERE = Path(__file__).parent


def seed(database: Database, brand: Brand) -> None:
    """Members with points and a rep each."""
    migrate(database)
    with database.transaction() as session:
        sync_stock(session, brand.programme, NOW)
        names = [("external_userid", f"wmBENCH{n:06d}") for n in range(MEMBERS)]
        for start in range(0, MEMBERS, 500):
            members = customers.resolve(session, names[start : start + 500], NOW)
            movements = [
                ledger.earning(member, 500, f"seed:{member}", "seed", "", expires_at=NOW + timedelta(days=200))
                for member in members.values()
            ]
            ledger.post(session, movements, NOW)
        session.execute(text("UPDATE members SET name = 'bench'"))
        rows = [
            {"userid": f"rep{n % 50}", "external_userid": value, "since": NOW} for n, (_, value) in enumerate(names)
        ]
        session.execute(insert(ServingRow), rows)


def messages(count: int, chatter: list[str], run: int) -> list[Incoming]:
    """The mix, shuffled by a fixed seed; every key is new."""
    rng = random.Random(20261122 + run)
    found = []
    fresh = itertools.count(run * count // 10)
    for number in range(count):
        place = number % 10
        if place < 7:
            channel, said, who = "group", rng.choice(chatter), rng.randrange(MEMBERS)
        elif place < 9:
            channel, said, who = "kf", rng.choice(QUERIES), rng.randrange(MEMBERS)
        else:
            channel, said, who = "group", rng.choice(RUNNING_OUT), next(fresh) % MEMBERS
        chat = "kf:wkBENCH" if channel == "kf" else f"wrBENCH{who % 40}"
        sender = f"wmBENCH{who:06d}"
        found.append(
            Incoming(key=f"bench:{run}:{number}", channel=channel, kind="text", sender=sender, chat=chat, text=said,
                     at=NOW, staff=("rep1",) if channel == "group" else (), trace=f"{run:x}-{number:x}")
        )  # fmt: skip
    rng.shuffle(found)
    return found


def drain(database: Database, brand: Brand, batch: list[Incoming], now: datetime) -> tuple[float, float]:
    """Fill the inbox, then time one worker until it is empty; messages a second, and CPU µs a message."""
    with database.transaction() as session:
        for start in range(0, len(batch), 1000):
            inbox.store(session, batch[start : start + 1000], now)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")
    metrics = WorkMetrics(CollectorRegistry(), lambda _what: None)
    worker = Worker(database, lambda: brand, Work(), lambda: now, metrics, lambda: None)
    started, cpu = time.perf_counter(), time.process_time()
    while worker.step():
        pass
    took = time.perf_counter() - started
    return len(batch) / took, (time.process_time() - cpu) / len(batch) * 1e6


def effects(database: Database) -> dict[str, int]:
    """What the messages have come to."""
    with database.reading() as session:
        waiting = session.scalar(select(func.count()).select_from(InboxRow).where(InboxRow.state != inbox.DONE)) or 0
        verdicts = session.scalar(select(func.count()).select_from(VerdictRow)) or 0
        kinds = session.execute(select(OutboxRow.kind, func.count().label("rows")).group_by(OutboxRow.kind))
        return {"not_done": waiting, "verdicts": verdicts, **{row.kind: row.rows for row in kinds}}


def floor_rate(script: Path, dsn: str, seconds: float) -> float:
    """One run of the hand-written chain, one worker, batches of 100."""
    command = [sys.executable, script.name, "--db", "pg", "--dsn", dsn, "--batch", "100", "--workers", "1",
               "--seconds", str(seconds), "--rows", str(int(seconds * 15000))]  # fmt: skip
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["rate"])


def main() -> None:
    """Alternate floor and worker, print medians and the ratio, and what the messages have come to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--floor", type=Path, default=HERE / "floor_pipeline.py")
    parser.add_argument("--floor-schema", type=Path, help="SQL the --floor script wants to find loaded")
    options = parser.parse_args()
    settings = load_settings()
    set_up_logging(Log(level="ERROR"))
    brand = load_brand(settings)
    chatter = list(read_corpus(settings.paths.config, read_programme(settings.paths.config)).none)
    with own_postgres() as dsn, own_postgres() as floor_dsn, tempfile.TemporaryDirectory() as folder:
        if options.floor_schema:
            subprocess.run(["psql", "-q", "-v", "accounts=100000", "-f", options.floor_schema, floor_dsn], check=True)
        postgres, sqlite = Database(dsn), Database(f"sqlite:///{folder}/bench.db")
        for database in (postgres, sqlite):
            seed(database, brand)
        rates: dict[str, list[float]] = {"floor": [], "postgresql": [], "sqlite": []}
        cpu: dict[str, list[float]] = {"postgresql": [], "sqlite": []}
        for run in range(options.rounds):
            now = NOW + timedelta(days=8 * run)
            rates["floor"].append(floor_rate(options.floor.resolve(), floor_dsn, 4))
            for name, database in (("postgresql", postgres), ("sqlite", sqlite)):
                rate, cpu_us = drain(database, brand, messages(options.messages, chatter, run), now)
                rates[name].append(rate)
                cpu[name].append(cpu_us)
        report(rates, cpu)
        for name, database in (("postgresql", postgres), ("sqlite", sqlite)):
            print(f"{name} effects of {options.rounds * options.messages} messages: {effects(database)}")
            database.dispose()


def report(rates: dict[str, list[float]], cpu: dict[str, list[float]]) -> None:
    """Medians, and the ratio round by round, because neighbours of this machine come and go."""
    floor = statistics.median(rates["floor"])
    print(f"floor (hand-written chain, PostgreSQL, 1 worker, batch 100): {floor:.0f} messages/s")
    for name in ("postgresql", "sqlite"):
        ratio = statistics.median(a / b for a, b in zip(rates[name], rates["floor"], strict=True))
        print(
            f"{name}: {statistics.median(rates[name]):.0f} messages/s, {ratio:.2f} of the floor, "
            f"{statistics.median(cpu[name]):.0f} us of CPU a message, rounds {[round(r) for r in rates[name]]}"
        )


if __name__ == "__main__":
    main()
