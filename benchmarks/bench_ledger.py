"""The ledger on PostgreSQL beside pgbench's built-in TPC-B-like, 8 clients each, in turns in one run.

    python benchmarks/bench_ledger.py [--rounds 3] [--seconds 3] [--sizes 100000 1000000]   (10000000 for the long run)

One earn or redeem is one call of `teller.post_alone`, committed by itself, each client a process with one connection;
`earn in a session` is `ledger.earn` inside `database.transaction()`, which makes three round trips of it; a batch is
`ledger.post` of 100 (half earns, half redeems). `spread` is the same earn over 64 assets, so that no two clients share
a programme account; `one account` is all of them on one. Medians are printed, ratios are of neighbouring turns.
PostgreSQL: HUITOU_TEST_POSTGRES or the local server; own databases are made and dropped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from typing import Any

import psycopg
from own_database import own_postgres
from sqlalchemy.engine import make_url

import loyalty.tables  # noqa: F401 - the tables to be made
from bot.database import Database
from bot.teller import post_alone
from loyalty import ledger
from loyalty.balances import available, balance_of, lapses
from loyalty.storage import Base

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=100)
MEMBERS, CLIENTS, BATCH, ASSETS = 100_000, 8, 100, 64
SEED = """
INSERT INTO members (id, created_at) SELECT n, now() FROM generate_series(1, {members}) n;
INSERT INTO accounts (owner, asset, kind)
  SELECT 0, asset, kind FROM unnest(ARRAY['issued', 'burned']) kind,
    (SELECT 'points' AS asset UNION ALL SELECT 'a' || n FROM generate_series(0, {assets} - 1) n) assets;
INSERT INTO accounts (owner, asset, kind) SELECT n, 'points', 'available' FROM generate_series(1, {members}) n;
INSERT INTO accounts (owner, asset, kind)
  SELECT n, 'a' || n % {assets}, 'available' FROM generate_series(1, {members}) n;
INSERT INTO balances SELECT id, 0 FROM accounts WHERE owner > 0
"""
FILL = """
WITH theirs AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM accounts
                WHERE owner > 0 AND asset = 'points'),
made AS (INSERT INTO transfers (key, body_hash, debit_id, credit_id, amount, asset, reason, ref, at)
  SELECT 'seed:' || n, md5(n::text) || md5(n::text), 1, theirs.id, 1000, 'points', 'seed', '', now()
  FROM generate_series({first}, {last}) n JOIN theirs ON theirs.place = n % {members}
  RETURNING id, credit_id, amount),
lots AS (INSERT INTO lots (account_id, transfer_id, amount, remaining, expires_at)
  SELECT credit_id, id, amount, amount, now() + (id % 700 || ' days')::interval FROM made RETURNING account_id, amount)
UPDATE balances b SET balance = b.balance + came.amount
FROM (SELECT account_id, sum(amount)::bigint AS amount FROM lots GROUP BY account_id) came
WHERE b.account_id = came.account_id
"""


def fill(dsn: str, first: int, last: int) -> None:
    """Ledger rows `first` to `last`, one earn each, spread over the members."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for start in range(first, last + 1, 500_000):
            connection.execute(FILL.format(first=start, last=min(start + 499_999, last), members=MEMBERS))
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def pgbench(dsn: str, *options: str) -> str:
    """pgbench against this database."""
    url = make_url(dsn)
    where = ["-h", url.host or "", "-p", str(url.port or 5432), "-U", url.username or "postgres"]
    done = subprocess.run(["pgbench", *where, *options, str(url.database)], capture_output=True, text=True, check=True,
                          env={**os.environ, "PGPASSWORD": url.password or ""})
    return done.stdout


def tpcb(dsn: str, seconds: int) -> float:
    """Transactions a second of the built-in TPC-B-like."""
    said = pgbench(dsn, "-c", str(CLIENTS), "-j", "2", "-T", str(seconds))
    return float(next(line for line in said.splitlines() if line.startswith("tps")).split()[2])


def _act(kind: str, database: Database, rng: random.Random, name: str) -> Callable[[int], int]:
    def earn(number: int) -> int:
        gain = ledger.earning(rng.randint(1, MEMBERS), 5, f"{name}:{number}", "order", expires_at=LATER)
        post_alone(database, gain, NOW)
        return 1

    def spread(number: int) -> int:
        who = rng.randint(1, MEMBERS)
        post_alone(database, ledger.earning(who, 5, f"{name}:{number}", "order", expires_at=LATER,
                                            asset=f"a{who % ASSETS}"), NOW)
        return 1

    def in_session(number: int) -> int:
        with database.transaction() as session:
            ledger.earn(session, rng.randint(1, MEMBERS), 5, key=f"{name}:{number}", reason="order", at=NOW,
                        expires_at=LATER)
        return 1

    def redeem(number: int) -> int:
        post_alone(database, ledger.spending(rng.randint(1, MEMBERS), 5, f"{name}:{number}", "redeem"), NOW)
        return 1

    def batch(number: int) -> int:
        rows = [ledger.earning(rng.randint(1, MEMBERS), 5, f"{name}:{number}:{place}", "order", expires_at=LATER)
                if place % 2 else
                ledger.spending(rng.randint(1, MEMBERS), 5, f"{name}:{number}:{place}", "redeem")
                for place in range(BATCH)]
        with database.transaction() as session:
            posted = ledger.post(session, rows, NOW)
        return sum(each.new for each in posted)

    return {"earn": earn, "earn in a session": in_session, "one account": earn, "spread": spread, "redeem": redeem,
            "batch of 100": batch}[kind]


def _client(kind: str, dsn: str, seconds: float, number: int, gate: Barrier, told: Any) -> None:
    database = Database(dsn, pool_size=1)
    act = _act(kind, database, random.Random(), uuid.uuid4().hex[:12])
    for place in range(3):
        act(place)
    gate.wait()
    done, place, end, cpu = 0, 3, time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end:
        done, place = done + act(place), place + 1
    told.put((done, time.process_time() - cpu))
    database.dispose()


def rate(kind: str, dsn: str, seconds: float) -> tuple[float, float]:
    """Transfers a second of all clients, and the CPU µs a transfer costs them."""
    context = multiprocessing.get_context("fork")
    gate, told = context.Barrier(CLIENTS), context.Queue()
    clients = [context.Process(target=_client, args=(kind, dsn, seconds, n, gate, told)) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    found = [told.get() for _ in clients]
    for client in clients:
        client.join()
    done = sum(each[0] for each in found)
    return done / seconds, sum(each[1] for each in found) / max(done, 1) * 1e6


def against_tpcb(dsn: str, floor_dsn: str, rounds: int, seconds: int) -> None:
    """Every kind beside a turn of TPC-B-like of its own."""
    wanted = {"earn": "1.0", "redeem": "1.0", "earn in a session": "no figure", "batch of 100": "5.0"}
    for kind, target in wanted.items():
        pairs = []
        for _ in range(rounds):
            floor = tpcb(floor_dsn, seconds)
            pairs.append((floor, *rate(kind, dsn, seconds)))
        ratio = statistics.median(each / floor for floor, each, _ in pairs)
        print(f"{kind}: {statistics.median(each for _, each, _ in pairs):.0f} transfers/s, {ratio:.2f} of TPC-B-like "
              f"({statistics.median(floor for floor, _, _ in pairs):.0f}/s; wanted {target}), "
              f"{statistics.median(cpu for _, _, cpu in pairs):.0f} us of client CPU", flush=True)


def hot_against_spread(dsn: str, rounds: int, seconds: int) -> None:
    """All clients on one programme account, beside 64."""
    pairs = [(rate("spread", dsn, seconds)[0], rate("one account", dsn, seconds)[0]) for _ in range(rounds)]
    print(f"one programme account: {statistics.median(hot / even for even, hot in pairs):.2f} of the rate over "
          f"{ASSETS} accounts (wanted 0.9)", flush=True)


def by_size(dsn: str, floor_dsn: str, sizes: list[int], rounds: int, seconds: int) -> None:
    """An earn and a redeem with more and more rows behind them, as ratios to TPC-B-like: the machine's moods cancel."""
    first: dict[str, float] = {}
    have = sizes[0]
    for size in sizes:
        fill(dsn, have + 1, size)
        have = size
        for kind in ("earn", "redeem"):
            ratio = statistics.median(rate(kind, dsn, seconds)[0] / tpcb(floor_dsn, seconds) for _ in range(rounds))
            first.setdefault(kind, ratio)
            print(f"{kind} with {size} ledger rows: {ratio:.2f} of TPC-B-like, cost {first[kind] / ratio:.2f} of that "
                  f"with {sizes[0]} (wanted 0.8 to 1.2)", flush=True)


def one_balance(dsn: str, lots: int = 10_000) -> None:
    """What a member with so many open lots has."""
    database = Database(dsn, pool_size=1)
    for start in range(0, lots, 1000):
        with database.transaction() as session:
            ledger.post(session, [ledger.earning(1, 1, f"many:{n}", "order", expires_at=NOW + timedelta(days=1 + n))
                                  for n in range(start, start + 1000)], NOW)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE lots")
    with database.reading() as session:
        for name, ask in (("available", lambda: available(session, [1], NOW)),
                          ("balance_of", lambda: balance_of(session, 1, NOW)),
                          ("lapses (the days that come first)", lambda: lapses(session, 1, NOW))):
            taken = []
            for _ in range(100):
                started = time.perf_counter()
                ask()
                taken.append(time.perf_counter() - started)
            wanted = " (wanted < 1)" if name == "balance_of" else ""
            print(f"{name} of a member with {lots} open lots: {statistics.median(taken) * 1e3:.2f} ms{wanted}")
    database.dispose()


def main() -> None:
    """Floor and ledger in turns; ratios are printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    options = parser.parse_args()
    with own_postgres() as dsn, own_postgres() as floor_dsn:
        pgbench(floor_dsn, "-i", "-q", "-s", "50")
        database = Database(dsn)
        Base.metadata.create_all(database.engine)
        database.dispose()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(SEED.format(members=MEMBERS, assets=ASSETS))
        fill(dsn, 1, options.sizes[0])
        against_tpcb(dsn, floor_dsn, options.rounds, options.seconds)
        hot_against_spread(dsn, options.rounds, options.seconds)
        one_balance(dsn)
        if options.sizes[1:]:
            by_size(dsn, floor_dsn, options.sizes, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
