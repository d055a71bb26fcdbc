"""Orders from a CSV file to rows, points and tiers: rows a second, beside the bare reading of the same file.

    python benchmarks/bench_import.py [--orders 60000] [--members 20000] [--rounds 3] [--engine sqlite|postgresql|both]

Synthetic orders of a shop: phone and buyer name, one item, four of five by members seen before. Earning rules of the
demo programme apply. The floor in the same run: the same rows read by the csv module, hashed and written by one
prepared INSERT a table (orders, transfers, lots) in the same transactions, without looking anything up. A file from
some megabytes on is read by a process of its own: the rate is bounded by the slower of the two, so on a busy machine
look at the rows per CPU second, the load average and the ratio to the floor.
PostgreSQL: HUITOU_TEST_POSTGRES or the local server; an own database is made and dropped.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import random
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from own_database import own_postgres

from bot.brands import read_programme
from bot.database import Database
from bot.file_imports import ORDERS, Import
from bot.tables import METADATA
from loyalty.audit import findings
from loyalty.identities import Identifier

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
CONFIG = Path(__file__).resolve().parents[1] / "config"


def write_orders(path: Path, orders: int, members: int, seed: int) -> None:
    dice = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["订单号", "付款时间", "实付金额", "手机号", "买家昵称", "商品编码", "商品名称", "数量"])
        for number in range(orders):
            who = dice.randrange(members)
            paid = NOON - timedelta(minutes=dice.randrange(500_000))
            out.writerow([f"{seed}-{number}", f"{paid:%Y-%m-%d %H:%M:%S}", f"{dice.randint(900, 50_000) / 100:.2f}",
                          f"+86 138{who:08}", f"买家{who}", "QH-30", "挂耳咖啡30包", dice.randint(1, 3)])


@contextmanager
def fresh(engine: str, folder: Path) -> Iterator[Database]:
    with ExitStack() as stack:
        is_sqlite = engine == "sqlite"
        url = f"sqlite:///{folder}/{uuid.uuid4().hex}.db" if is_sqlite else stack.enter_context(own_postgres())
        database = Database(url)
        stack.callback(database.dispose)
        METADATA.create_all(database.engine)
        yield database


def floor(path: Path, folder: Path) -> float:
    """Rows a second of three bare inserts a row on SQLite, FULL, 5,000 rows a transaction."""
    link = sqlite3.connect(folder / f"{uuid.uuid4().hex}.db", isolation_level=None)
    link.execute("PRAGMA journal_mode=WAL")
    link.execute("PRAGMA synchronous=FULL")
    for table in ("orders", "transfers", "lots"):
        link.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, key TEXT UNIQUE, member TEXT, amount INTEGER)")
    began, count = time.perf_counter(), 0
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        batch: list[tuple[str, str, int]] = []
        for row in rows:
            batch.append((row[0], hashlib.sha256(row[3].encode()).hexdigest(), int(float(row[2]) * 100)))
            if len(batch) == 5000:
                count += len(batch)
                _write(link, batch)
                batch = []
        _write(link, batch)
        count += len(batch)
    link.close()
    return count / (time.perf_counter() - began)


def _write(link: sqlite3.Connection, batch: list[tuple[str, str, int]]) -> None:
    link.execute("BEGIN IMMEDIATE")
    for table in ("orders", "transfers", "lots"):
        link.executemany(f"INSERT INTO {table} (key, member, amount) VALUES (?, ?, ?)", batch)
    link.execute("COMMIT")


def children_s() -> float:
    """CPU seconds of the processes that have read files for us."""
    spent = os.times()
    return spent.children_user + spent.children_system


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=60_000)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    programme, names = read_programme(CONFIG), Identifier("a secret of this bench")
    engines = ["sqlite", "postgresql"] if options.engine == "both" else [options.engine]
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(options.rounds):
            path = folder / f"orders{number}.csv"
            write_orders(path, options.orders, options.members, number)
            began = time.perf_counter()
            sheet = ORDERS.read(path.open(encoding="utf-8", newline=""), names, programme.zone, "tmall")
            while sheet.chunk(5000):
                pass
            rates.setdefault("reading and checking alone", []).append(options.orders / (time.perf_counter() - began))
            rates.setdefault("floor (bare inserts, SQLite)", []).append(floor(path, folder))
            for engine in engines:
                with fresh(engine, folder) as database:
                    began, cpu, reader = time.perf_counter(), time.process_time(), children_s()
                    report = Import(ORDERS, path, database, programme, names, lambda: NOON, "tmall").run()
                    rates.setdefault(engine, []).append(options.orders / (time.perf_counter() - began))
                    rates.setdefault(f"{engine}: per CPU second, writer", []).append(
                        options.orders / (time.process_time() - cpu))
                    if children_s() > reader:
                        rates.setdefault(f"{engine}: per CPU second, reader", []).append(
                            options.orders / (children_s() - reader))
                    assert report.new == options.orders, report
                    if number == 0:
                        with database.reading() as session:
                            assert not findings(session)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for label, found in rates.items():
        print(f"{label:32} {statistics.median(found):10,.0f} rows/s   ({', '.join(f'{rate:,.0f}' for rate in found)})")


if __name__ == "__main__":
    main()
