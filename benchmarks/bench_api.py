"""Paid orders through /api/v1/orders on PostgreSQL: what is sustained, the latency at the promised rate, and a floor.

Every request is an order of its own with an Idempotency-Key of its own, by one of --members people who have bought
before, with the earning rules of config/programme.yaml; the answer comes after the commit (synchronous_commit is on).
The floor is a bare aiohttp that reads the same JSON and answers at once. First each is loaded by 64 connections as fast
as it answers, in turns; then the API is sent the promised rate by the clock, latencies counted from the planned moment.
Server on CPU 0, load on CPU 1, PostgreSQL wherever it likes. Needs a PostgreSQL that may create databases
(HUITOU_TEST_POSTGRES). Run from the root of the checkout: python benchmarks/bench_api.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from api_server import KEY
from bench_callback import cpu_s, free_port, percentile_ms, started
from own_database import own_postgres
from sqlalchemy import text

from bot.brands import read_programme
from bot.clock import system_clock
from bot.database import Database
from loyalty.audit import findings
from loyalty.orders import OrderIn, record_many
from loyalty.storage import Base

HERE = Path(__file__).parent
CONNECTIONS = 64
MIN_PER_S, MAX_P95_MS = 930, 100.0
MEMBERS = 10_000
_serial = itertools.count(1)


def an_order(members: int) -> tuple[int, bytes]:
    """An order and its number; every member buys again and again."""
    serial = next(_serial)
    paid_at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=serial % 2_000_000)
    return serial, json.dumps({
        "source": "pos", "external_id": f"T{serial}",
        "identities": [{"kind": "card", "value": f"C{serial * 7919 % members:07d}"}],
        "paid_at": paid_at.isoformat(), "amount_fen": 1000 + serial % 30_000,
        "items": [{"sku": "QH-DRIP-30", "name": "挂耳咖啡30包", "quantity": 1, "amount_fen": 1000 + serial % 30_000}],
    }, ensure_ascii=False).encode()


def a_request(members: int) -> bytes:
    """The order with a key of its own."""
    serial, body = an_order(members)
    head = (f"POST /api/v1/orders HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\n"
            f"Idempotency-Key: k{serial}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


async def converse(port: int, due_s: Callable[[], float | None], members: int) -> list[float]:
    """Send and read over CONNECTIONS connections; seconds from the planned moment to the whole answer."""
    latencies: list[float] = []

    async def run() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (planned_s := due_s()) is not None:
            await asyncio.sleep(max(0.0, planned_s - time.perf_counter()))
            writer.write(a_request(members))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 201"):
                raise SystemExit(f"refused: {head!r} {await reader.read(2000)!r}")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - planned_s)
        writer.close()

    await asyncio.gather(*(run() for _ in range(CONNECTIONS)))
    return latencies


def flat_out(port: int, seconds: float, members: int) -> float:
    """Orders a second as fast as they are answered."""
    until_s = time.perf_counter() + seconds
    answered = uvloop.run(converse(port, lambda: now if (now := time.perf_counter()) < until_s else None, members))
    return len(answered) / seconds


def paced(port: int, seconds: float, per_s: int, members: int) -> tuple[list[float], float]:
    """Latencies at a fixed rate, and the rate that was kept."""
    start_s = time.perf_counter() + 0.2
    turns = iter(range(int(seconds * per_s)))
    latencies = uvloop.run(converse(
        port, lambda: None if (turn := next(turns, None)) is None else start_s + turn / per_s, members))
    return latencies, len(latencies) / (time.perf_counter() - start_s)


def bought_before(url: str, members: int) -> Database:
    """A database in which everybody has bought once, with the statistics the planner of a running one has."""
    database = Database(url)
    Base.metadata.create_all(database.engine)
    programme = read_programme(Path("config"))
    for _ in range(0, members, 500):
        with database.transaction() as session:
            orders = [OrderIn.model_validate_json(an_order(members)[1]) for _ in range(500)]
            record_many(session, orders, programme, system_clock(), with_balances=False)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return database


def main() -> int:
    """Exit status 0 when both figures hold, 1 when one does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="how long the promised rate is kept")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=MEMBERS)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {1})
    ports = {"floor": free_port(), "api": free_port()}
    server = str(HERE / "api_server.py")
    with ExitStack() as stack:
        url = stack.enter_context(own_postgres())
        database = bought_before(url, arguments.members)
        stack.callback(database.dispose)
        stack.enter_context(started(server, str(ports["floor"]), "floor", port=ports["floor"]))
        process = stack.enter_context(started(server, str(ports["api"]), url, port=ports["api"]))
        flat_out(ports["api"], 2, arguments.members)
        rates: dict[str, list[float]] = {"floor": [], "api": []}
        for turn, name in itertools.product(range(arguments.rounds), rates):
            rates[name].append(flat_out(ports[name], 2, arguments.members))
            print(f"round {turn + 1} {name:<6}{rates[name][-1]:8.0f} /s")
        floor, api = (statistics.median(rates[name]) for name in rates)
        before_s, before = cpu_s(process), time.perf_counter()
        latencies, kept = paced(ports["api"], arguments.seconds, MIN_PER_S, arguments.members)
        busy = (cpu_s(process) - before_s) / (time.perf_counter() - before)
        p95_ms = percentile_ms(latencies, 95)
        with database.reading() as session:
            orders = session.execute(text("SELECT count(*) FROM orders")).scalar_one()
            wrong = findings(session)
        print(f"\nfloor   {floor:7.0f} orders/s: bare aiohttp on uvloop, reads the JSON and answers")
        print(f"api     {api:7.0f} orders/s flat out, {api / floor:.2f} of the floor")
        print(f"at {MIN_PER_S}/s for {arguments.seconds:.0f} s: kept {kept:.0f}/s, server {busy:.0%} of a CPU")
        print(f"        p50 {percentile_ms(latencies, 50):.1f} ms, p95 {p95_ms:.1f} ms (below {MAX_P95_MS:.0f}), "
              f"p99 {percentile_ms(latencies, 99):.1f} ms")
        print(f"{orders} orders stored, {len(wrong)} findings of the audit")
    return 0 if api >= MIN_PER_S and kept >= 0.99 * MIN_PER_S and p95_ms < MAX_P95_MS and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
