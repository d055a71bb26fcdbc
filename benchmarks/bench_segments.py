"""Audiences over a million members, on PostgreSQL and SQLite: wanted below 2 s each, all ids in hand.

    python benchmarks/bench_segments.py [--members 1000000] [--only sqlite] [--orders 200000]

The maintained rows are filled by SQL (seeded by the row's number): nine of ten members bought, a third have a tag, all
have scores and points. Each condition is asked three times, the median counts. Then the sweep itself: so many real
orders of a tenth as many members are stored, and `rhythms.refresh` follows them; its rate is printed. Own databases are
made and dropped.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from own_database import own_postgres
from sqlalchemy import text

from bot.database import Database
from bot.tables import METADATA
from loyalty import rhythms, scores, segments
from loyalty.programme import Programme

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
BRAND = Programme.model_validate({
    "name": "青禾", "earning": {"points_per_yuan": 1},
    "tiers": [{"id": "seed", "name": "青芽", "from_amount_fen": 0}, {"id": "leaf", "name": "青叶",
                                                                      "from_amount_fen": 90_000}],
    "insights": {"rfm": {"recency_days": [14, 30, 60, 120], "frequency": [2, 4, 8, 15],
                         "amount_fen": [5000, 20_000, 50_000, 90_000]}}})
CONDITIONS = (
    'stage == "lost" and spent_yuan >= 900',
    "days_since_order >= 60 and days_since_order < 90 and orders >= 3 and not opted_out",
    'tier == "leaf" and "vip" in tags and churn > 0.5',
    'stage in ["cooling", "lost"] and rfm_amount >= 4 and not ("vip" in tags)',
    "days_overdue >= 0 and days_overdue < 3 and joined",
    "days_since_order > 1.5 * own_cycle_days and points > 100",
    "value_score >= 80 or orders == 0",
    "orders >= 1",
)
NUMBERS = {"postgresql": "SELECT n FROM generate_series(CAST({first} AS bigint), {last}) n",
           "sqlite": "WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) "
                     "SELECT n FROM s"}
AGO = {"postgresql": "CAST('{now}+00' AS timestamptz) - make_interval(secs => {s})",
       "sqlite": "strftime('%Y-%m-%d %H:%M:%S.000000', '{now}', (-({s})) || ' seconds')"}


def fill(database: Database, members: int) -> None:
    """Members and what is known of them, half a million at a time."""
    kind = "sqlite" if database.is_sqlite else "postgresql"
    now = NOW.strftime("%Y-%m-%d %H:%M:%S")

    def ago(seconds: str) -> str:
        return AGO[kind].format(now=now, s=seconds)

    since, rhythm = "(n * 7919 % 400) * 86400 + n % 86400", "(5 + n * 31 % 60)"
    on, off = ("1", "0") if database.is_sqlite else ("true", "false")
    statements = [
        "INSERT INTO members (id, tier, created_at, joined_at, opted_out_at) SELECT n, "
        "CASE WHEN n % 5 = 0 THEN 'leaf' "
        f"ELSE 'seed' END, {ago('0')}, CASE WHEN n % 3 > 0 THEN {ago('86400')} END, CASE WHEN n % 11 = 0 THEN "
        f"{ago('0')} END FROM ({{numbers}}) x",
        "INSERT INTO purchase_rhythms (member_id, first_at, last_at, orders, occasions, amount_fen, span_days, "
        "rhythm_days, returned, due_at, cooling_at, lost_at) "
        f"SELECT n, {ago('500 * 86400')}, {ago(since)}, 1 + n * 13 % 20, 1 + n * 13 % 20, 1000 + n * 37 % 100000, 100, "
        f"{rhythm}, CASE WHEN n % 17 = 0 THEN {on} ELSE {off} END, "
        + ", ".join(ago(f"{since} - {factor} * {rhythm} * 86400") for factor in ("1", "1.5", "3"))
        + " FROM ({numbers}) x WHERE n % 10 > 0",
        "INSERT INTO member_scores (member_id, churn, purchases_ahead, value_ahead_fen, value_score, brand_score, "
        f"retention_score, scored_at) SELECT n, (n * 53 % 1000) / 1000.0, 1, 100, n * 29 % 101, 1, 1, {ago('0')} "
        "FROM ({numbers}) x WHERE n % 10 > 0",
        f"INSERT INTO member_tags (member_id, tag, source, set_at) SELECT n, 'vip', 'seed', {ago('0')} "
        "FROM ({numbers}) x WHERE n % 3 = 0",
        "INSERT INTO accounts (id, owner, asset, kind) SELECT n, n, 'points', 'available' FROM ({numbers}) x",
        "INSERT INTO balances (account_id, balance) SELECT n, n * 17 % 1000 FROM ({numbers}) x",
    ]
    for first in range(1, members + 1, 500_000):
        numbers = NUMBERS[kind].format(first=first, last=min(first + 499_999, members))
        with database.transaction() as session:
            for statement in statements:
                session.execute(text(statement.format(numbers=numbers)))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE")


def ask(database: Database) -> None:
    """Every condition, three times."""
    with database.transaction() as session:
        scores.fitted(session, BRAND, NOW)
    for condition in CONDITIONS:
        taken, found = [], []
        for _ in range(3):
            with database.reading() as session:
                started = time.perf_counter()
                found = segments.audience(session, condition, NOW, BRAND)
                taken.append(time.perf_counter() - started)
        print(f"  {statistics.median(taken):5.2f} s  {len(found):7d} members  {condition}", flush=True)


def follow(database: Database, orders: int) -> None:
    """The sweep behind so many new orders."""
    kind = "sqlite" if database.is_sqlite else "postgresql"
    told = AGO[kind].format(now=NOW.strftime("%Y-%m-%d %H:%M:%S"), s="3600 + n % 86400 * 100")
    items = '[{"sku": "A", "name": "A", "quantity": 1, "amount_fen": 100}]'
    with database.transaction() as session:
        session.execute(text("DELETE FROM purchase_rhythms"))
        rhythms.refresh(session, BRAND, NOW)
        session.execute(text(
            "INSERT INTO orders (source, external_id, body_hash, member_id, paid_at, amount_fen, items, state, earned, "
            f"recorded_at) SELECT 'b', CAST(n AS text), '', 1 + n / 10, {told}, 1000, '{items}', 'paid', 0, "
            f"{told} "
            f"FROM ({NUMBERS[kind].format(first=1, last=orders)}) x"))
    started, members = time.perf_counter(), 0
    while True:
        with database.transaction() as session:
            seen = rhythms.refresh(session, BRAND, NOW + timedelta(days=1), 5000)
        if not seen:
            break
        members += len(seen)
    took = time.perf_counter() - started
    print(f"  refresh after {orders} orders: {took:.1f} s, {members} rows made, {members / took:.0f} rows/s "
          f"(histories of 10 orders)", flush=True)


def main() -> None:
    """Both kinds of database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    options = parser.parse_args()

    def run(url: str) -> None:
        database = Database(url, sqlite_synchronous="OFF")
        METADATA.create_all(database.engine)
        print(f"{'SQLite' if database.is_sqlite else 'PostgreSQL'}, {options.members} members:", flush=True)
        fill(database, options.members)
        ask(database)
        follow(database, options.orders)
        database.dispose()

    if options.only != "sqlite":
        with own_postgres() as dsn:
            run(dsn)
    if options.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            run(f"sqlite:///{Path(folder) / 'bench.db'}")


if __name__ == "__main__":
    main()
