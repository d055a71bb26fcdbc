"""Audit and rebuild of a million sealed transfers on PostgreSQL: wanted within a minute.

    python benchmarks/bench_audit.py [--transfers 1000000]

The ledger is filled by SQL (four earns to one redeem), sealed by `seal` as the ticker does it, and audited whole; then
every balance and every lot is falsified and rebuilt from the rows alone. An own database is made and dropped.
"""

from __future__ import annotations

import argparse
import time

import psycopg
from bench_ledger import ASSETS, MEMBERS, NOW, SEED, fill
from own_database import own_postgres

from bot.database import Database
from loyalty.audit import CHECKS
from loyalty.blocks import head, seal
from loyalty.rebuild import DERIVED, rebuild
from loyalty.storage import Base

SPEND = """
WITH chosen AS (SELECT id, account_id, row_number() OVER (ORDER BY id) AS n FROM lots WHERE id % 4 = 0 LIMIT {spends}),
made AS (INSERT INTO transfers (key, body_hash, debit_id, credit_id, amount, asset, reason, ref, at)
  SELECT 'spend:' || id, md5(id::text) || md5(id::text), account_id, {burned}, 100, 'points', 'redeem', '', now()
  FROM chosen ORDER BY id RETURNING id, key),
used AS (INSERT INTO lot_uses (transfer_id, lot_id, spend_id, amount)
  SELECT made.id, chosen.id, made.id, 100 FROM made JOIN chosen ON made.key = 'spend:' || chosen.id),
less AS (UPDATE lots SET remaining = remaining - 100 FROM chosen WHERE lots.id = chosen.id)
UPDATE balances b SET balance = b.balance - gone.amount
FROM (SELECT account_id, 100 * count(*) AS amount FROM chosen GROUP BY account_id) gone
WHERE b.account_id = gone.account_id
"""


def main() -> None:
    """Fill, seal, audit, falsify, rebuild, audit again; seconds are printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transfers", type=int, default=1_000_000)
    options = parser.parse_args()
    with own_postgres() as dsn:
        database = Database(dsn)
        Base.metadata.create_all(database.engine)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(SEED.format(members=MEMBERS, assets=ASSETS))
            fill(dsn, 1, options.transfers * 4 // 5)
            [burned] = connection.execute(
                "SELECT id FROM accounts WHERE owner = 0 AND asset = 'points' AND kind = 'burned'").fetchone() or [0]
            connection.execute(SPEND.format(spends=options.transfers // 5, burned=burned))
            connection.execute("VACUUM ANALYZE")
        started = time.perf_counter()
        sealed = 0
        while sealed < options.transfers:
            with database.transaction() as session:
                sealed += seal(session, NOW)
        print(f"sealed {sealed} transfers in {time.perf_counter() - started:.1f} s")
        with database.reading() as session:
            print(f"head: {head(session)}")
        audit(database, options.transfers)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("UPDATE balances SET balance = balance + 1")
            connection.execute("UPDATE lots SET remaining = 0")
        started = time.perf_counter()
        with database.transaction() as session:
            changed = rebuild(session)
        print(f"rebuilt {changed} in {time.perf_counter() - started:.1f} s")
        audit(database, options.transfers)
        database.dispose()


def audit(database: Database, transfers: int) -> None:
    """Every check with its time, and what was found."""
    began, found = time.perf_counter(), []
    with database.reading() as session:
        for check in CHECKS:
            started = time.perf_counter()
            found += list(check(session))
            print(f"  {check.__name__.strip('_')}: {time.perf_counter() - started:.1f} s", flush=True)
    print(f"audit of {transfers} transfers: {time.perf_counter() - began:.1f} s, {len(found)} findings "
          f"(wanted: within 60 s, of {len(DERIVED)} derived kinds too)")


if __name__ == "__main__":
    main()
