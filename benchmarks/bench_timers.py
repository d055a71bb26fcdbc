"""Timers that are due at once, drained by worker processes on PostgreSQL, among many that are not due.

    python benchmarks/bench_timers.py [--pending 500000] [--due 100000] [--workers 2] [--kill 0] [--profile]

Every due timer is a step of `cycle_refill`: stop facts are looked at, then restraint over the touches of the last
weeks, then a card goes into the outbox with its touch and its next timer. One in twenty has bought meanwhile, one in
twenty has opted out, one in ten has had the day's two touches. `--pending 5000000` is the size the product promises.
`--kill N` kills and replaces a worker N times at random. Afterwards it is counted that every due timer was fired once,
that none of the others was, and that everybody who may be touched has one card. PostgreSQL: HUITOU_TEST_POSTGRES or the
local server; a database of the run's own is made and dropped.
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import os
import pstats
import random
import resource
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
from followup_stage import sample_brand
from own_database import own_postgres

from bot.database import Database
from bot.tables import METADATA
from handlers.followup import sop
from handlers.followup.runs import SLOTS
from handlers.talk import outbox

NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)  # noon in Shanghai
CLAIM = 1000

SEED = """
INSERT INTO members (id, name, created_at, joined_at, opted_out_at)
    SELECT n, 'bench' || n, %(now)s, %(now)s, CASE WHEN n %% 20 = 1 THEN %(now)s END FROM generate_series(1, %(due)s) n;
INSERT INTO identities (kind, value, member_id, evidence, created_at)
    SELECT 'external_userid', 'wm' || n, n, 'bench', %(now)s FROM generate_series(1, %(due)s) n;
INSERT INTO reps (userid, name) SELECT 'rep' || n, 'rep' || n FROM generate_series(0, 199) n;
INSERT INTO servings (userid, external_userid, since)
    SELECT 'rep' || n %% 200, 'wm' || n, %(now)s FROM generate_series(1, %(due)s) n;
INSERT INTO purchase_summaries (member_id, first_at, last_at, orders, amount_fen, last_items)
    SELECT n, %(now)s - interval '100 days', %(now)s - CASE WHEN n %% 20 = 2 THEN interval '1 hour'
           ELSE interval '28 days' END, 4, 40000, '[{"sku": "QH-DRIP-30", "name": "x"}]'
    FROM generate_series(1, %(due)s) n;
INSERT INTO touches (task, sop, member_id, decision, reason, at, channel, weighs)
    SELECT 'old-' || n || '-' || k, 'birthday', n, 'sent', '', %(now)s - CASE WHEN n %% 10 = 3 THEN interval '1 hour'
           ELSE interval '20 days' END, 'rep', 1 FROM generate_series(1, %(due)s) n, generate_series(1, 2) k;
INSERT INTO runs (sop, member_id, task, rep, state, facts, started_at, changed_at, step, moves)
    SELECT 'cycle_refill', n, 'cycle_refill-' || lpad(to_hex(n), 16, '0'), '', 'open', %(facts)s::text
               || n || ',"message_key":"bench:' || n || '"}', %(now)s - interval '1 day', %(now)s, '0', 1
    FROM generate_series(1, %(due)s) n;
INSERT INTO timers (key, slot, task, due_at)
    SELECT task || '@1', member_id %% 8, task, %(now)s - (member_id %% 60) * interval '1 second' FROM runs;
INSERT INTO timers (key, slot, task, due_at)
    SELECT 'later-' || n || '@1', n %% 8, 'later-' || n, %(now)s + interval '1 second' + (n %% 2592000) * interval '1 s'
    FROM generate_series(1, %(later)s) n;
"""
FACTS = (
    '{"sop":"cycle_refill","rep":"","title":"周期到期未复购","said":"","where":"","why":"28 天前买的 挂耳咖啡30包, '
    '一般 30 天用完","quote":"","name":"bench","rows":[],"private":false,"trace":"","also_to":"","scenario":"",'
    '"event":{"event_days":28},"member_id":'
)


def seed(url: str, pending: int, due: int) -> None:
    """Everything by the database itself: five million timers in a minute or two."""
    database = Database(url)
    METADATA.create_all(database.engine)
    database.dispose()
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        given = {"now": NOW, "due": due, "later": pending - due, "facts": FACTS}
        for statement in SEED.split(";\n"):
            if statement.strip():
                psycopg.ClientCursor(connection).execute(statement, given)
        # The stored name of a run is made from its occasion; here it is the other way round.
        connection.execute("UPDATE runs SET task = 'cycle_refill-' || substr(encode(sha256(convert_to('bench:' || "
                           "member_id, 'UTF8')), 'hex'), 1, 16)")  # fmt: skip
        connection.execute("UPDATE timers t SET task = r.task, key = r.task || '@1' FROM runs r "
                           "WHERE t.task = 'cycle_refill-' || lpad(to_hex(r.member_id), 16, '0')")  # fmt: skip
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def work(url: str, slots: Sequence[int], told: multiprocessing.Queue[tuple[int, float]], profile: bool) -> None:
    """One worker: claim, decide, write, until nothing is due in its lanes, nor in those of the others."""
    database, brand = Database(url), sample_brand()
    fired, profiler = 0, cProfile.Profile()
    if profile:
        profiler.enable()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for lanes in (slots, range(SLOTS)):
        while True:
            with database.transaction() as session:
                taken, outgoing = sop.fire_due(session, brand, NOW, CLAIM, lanes)
                outbox.add(session, outgoing, NOW)
            fired += taken
            if not taken:
                break
    after = resource.getrusage(resource.RUSAGE_SELF)
    told.put((fired, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def drain(url: str, workers: int, kills: int, profile: bool) -> tuple[float, list[tuple[int, float]]]:
    """Wall seconds until the last worker is done; what each did and the CPU seconds it took."""
    told: multiprocessing.Queue[tuple[int, float]] = multiprocessing.Queue()

    def begin(number: int) -> multiprocessing.Process:
        lanes = [slot for slot in range(SLOTS) if slot % workers == number]
        process = multiprocessing.Process(target=work, args=(url, lanes, told, profile))
        process.start()
        return process

    started = time.perf_counter()
    running, dice = [begin(number) for number in range(workers)], random.Random(11)
    for _ in range(kills):
        time.sleep(0.5 + dice.random())
        victim = dice.randrange(workers)
        if running[victim].is_alive():
            os.kill(running[victim].pid or 0, signal.SIGKILL)
            running[victim].join()
        running[victim] = begin(victim)
    for process in running:
        process.join()
    took_s = time.perf_counter() - started
    return took_s, [] if kills else [told.get(timeout=5) for _ in running]


def check(url: str, pending: int, due: int) -> list[str]:
    """What went wrong: fired twice, too early, not at all, or without its effect."""
    with psycopg.connect(url) as connection:
        def one(question: str) -> int:
            return int(connection.execute(question).fetchone()[0])  # type: ignore[arg-type,index]

        touched = (f"SELECT count(*) FROM generate_series(1, {due}) n "
                   "WHERE n % 20 <> 1 AND n % 20 <> 2 AND n % 10 <> 3")  # fmt: skip
        counts = {
            "due timers that are not fired": one(
                f"SELECT count(*) FROM timers WHERE state = 0 AND due_at <= '{NOW.isoformat()}'"
            ),
            "timers fired too early": one(
                f"SELECT count(*) FROM timers WHERE state <> 0 AND due_at > '{NOW.isoformat()}'"
            ),
            "timers lost": pending - one("SELECT count(*) FROM timers WHERE key NOT LIKE '%@2'"),
            "people with two cards": one("SELECT count(*) FROM (SELECT member_id FROM outbox GROUP BY 1 "
                                         "HAVING count(*) > 1) x"),
            "people with two decisions": one("SELECT count(*) FROM (SELECT member_id FROM touches WHERE task LIKE "
                                             "'cycle%' GROUP BY 1 HAVING count(*) > 1) x"),
            "people without a decision": due - one("SELECT count(DISTINCT member_id) FROM touches "
                                                   "WHERE task LIKE 'cycle%'"),
            "cards too few or too many": one(touched) - one("SELECT count(*) FROM outbox"),
        }  # fmt: skip
    return [f"{count} {what}" for what, count in counts.items() if count]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, default=500_000)
    parser.add_argument("--due", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    with own_postgres() as url:
        started = time.perf_counter()
        seed(url, asked.pending, asked.due)
        print(f"{asked.pending} timers, {asked.due} of them due; made in {time.perf_counter() - started:.0f} s")
        took_s, told = drain(url, asked.workers, asked.kill, asked.profile)
        print(f"drained in {took_s:.1f} s wall by {asked.workers} workers: {asked.due / took_s:.0f} timers a second")
        for number, (fired, cpu_s) in enumerate(told):
            print(f"  worker {number}: {fired} timers, {cpu_s:.1f} s CPU, {cpu_s / max(fired, 1) * 1e6:.0f} µs a timer")
        found = check(url, asked.pending, asked.due)
        print("\n".join(found) or "each fired once, none early, every card once")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
