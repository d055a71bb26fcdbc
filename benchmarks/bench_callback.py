"""Durable callbacks against bare aiohttp on uvloop, in one run: rate as a ratio, and p99 at 500 callbacks/s.

Verify, decrypt, parse, committed insert, answer; 64 connections; server on CPU 0, load on CPU 1; every request is a
callback of its own (a repeated one would be recognised and cost less). Rounds alternate: floor, SQLite, PostgreSQL,
floor, … and medians count. Needs wrk (Debian, Ubuntu: apt-get install wrk) and a PostgreSQL that may create databases
(HUITOU_TEST_POSTGRES). Run from the root of the checkout: python benchmarks/bench_callback.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from callback_load import callbacks, pace
from own_database import own_postgres
from sqlalchemy import text

from bot.database import Database
from bot.tables import METADATA

HERE = Path(__file__).parent
CONNECTIONS = 64
MIN_RATIO, MAX_P99_MS = 0.40, 50.0


@dataclass
class Subject:
    """One server under test and what was measured of it."""

    name: str
    port: int
    database: Database | None = None
    process: int = 0
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    answered: int = 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(*command: str, port: int) -> Iterator[int]:
    """The process of a server pinned to CPU 0, until the block ends."""
    process = subprocess.Popen(["taskset", "-c", "0", sys.executable, *command])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_s(process: int) -> float:
    """CPU seconds a server has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prepared(url: str) -> Database:
    database = Database(url)
    METADATA.create_all(database.engine)
    return database


def load(subject: Subject, seconds: int, max_rate: int) -> dict[str, float]:
    """One round of wrk; the bodies are made just before, so that none is stale."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        for query, body in callbacks(seconds * max_rate):
            file.write(f"{query}\t{body.decode()}\n")
        file.flush()
        command = f"taskset -c 1 wrk -t1 -c{CONNECTIONS} -d{seconds}s -s {HERE}/callback.lua"
        out = subprocess.run(
            [*command.split(), f"http://127.0.0.1:{subject.port}"],
            env=os.environ | {"BODIES": file.name},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"JSON (\{.*\})", out)
    if not found:
        raise SystemExit(f"wrk said: {out}")
    result: dict[str, float] = json.loads(found[1])
    if result["errors"] or result["seconds"] < seconds * 0.95:
        raise SystemExit(f"{subject.name}: errors, or the callbacks ran out ({result}); raise --max-rate")
    return result


def counted(subject: Subject) -> dict[str, float]:
    """What the server itself says it has accepted, and in how many commits."""
    with urllib.request.urlopen(f"http://127.0.0.1:{subject.port}/counted") as answer:
        found: dict[str, float] = json.loads(answer.read())
        return found


def rows(database: Database) -> int:
    with database.reading() as session:
        return int(session.execute(text("SELECT count(*) FROM inbox")).scalar_one())


def percentile_ms(latencies: list[float], percent: int) -> float:
    return statistics.quantiles(latencies, n=100)[percent - 1] * 1000


def judge(subject: Subject, floor: float, seconds: float) -> bool:
    """Print one subject's figures; True when it holds all of them."""
    assert subject.database
    latencies = asyncio.run(pace(subject.port, 500, seconds))
    subject.answered += len(latencies)
    p99_ms = percentile_ms(latencies, 99)
    rate = statistics.median(subject.rates)
    own, stored = counted(subject), rows(subject.database)
    missed = stored - subject.answered
    print(f"{subject.name:<11} {rate:8.0f} /s   ratio {rate / floor:.2f} (at least {MIN_RATIO})")
    print(f"{'':<11} {statistics.median(subject.cpu_us):8.0f} us of the server's CPU a callback")
    print(f"{'':<11} at 500/s: p50 {percentile_ms(latencies, 50):.1f} ms, p99 {p99_ms:.1f} ms (below {MAX_P99_MS:.0f})")
    print(
        f"{'':<11} rows {stored}, answered by the server {own['accepted']:.0f}, {stored / own['batches']:.1f} a commit;"
    )
    print(
        f"{'':<11} the clients read {subject.answered} answers and hung up on {missed} (at most {CONNECTIONS} a round)"
    )
    whole = stored == own["accepted"] and 0 <= missed <= CONNECTIONS * (len(subject.rates) + 1)
    return rate / floor >= MIN_RATIO and p99_ms < MAX_P99_MS and whole


def main() -> int:
    """Exit status 0 when every figure holds, 1 when one does not, 2 without wrk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--max-rate", type=int, default=40_000, help="callbacks prepared per second of a round")
    parser.add_argument("--directory", type=Path, default=Path("var"), help="on a real disk: SQLite syncs there")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        print("wrk is missing; install it: apt-get install wrk", file=sys.stderr)
        return 2
    arguments.directory.mkdir(exist_ok=True)
    os.sched_setaffinity(0, {1})
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.directory))
        urls = {"sqlite": f"sqlite:///{folder}/bench.db", "postgresql": stack.enter_context(own_postgres())}
        floor = Subject("floor", free_port())
        floor.process = stack.enter_context(started(str(HERE / "floor_callback.py"), str(floor.port), port=floor.port))
        subjects = [floor]
        for name, url in urls.items():
            subject = Subject(name, free_port(), prepared(url))
            stack.callback(subject.database.dispose)
            subject.process = stack.enter_context(
                started(str(HERE / "callback_server.py"), str(subject.port), url, port=subject.port)
            )
            subjects.append(subject)
        for subject in subjects:
            subject.answered += int(load(subject, 1, arguments.max_rate)["answered"])
        for turn in range(arguments.rounds):
            for subject in subjects:
                before_s = cpu_s(subject.process)
                result = load(subject, arguments.seconds, arguments.max_rate)
                subject.cpu_us.append((cpu_s(subject.process) - before_s) / result["answered"] * 1e6)
                subject.answered += int(result["answered"])
                subject.rates.append(result["answered"] / result["seconds"])
                print(f"round {turn + 1} {subject.name:<11} {subject.rates[-1]:8.0f} /s  p99 {result['p99_ms']:.1f} ms")
        floor_rate = statistics.median(floor.rates)
        print(f"\nfloor       {floor_rate:8.0f} /s   bare aiohttp on uvloop, answers at once")
        print(f"{'':<11} {statistics.median(floor.cpu_us):8.0f} us of the server's CPU a request")
        good = [judge(subject, floor_rate, 10) for subject in subjects[1:]]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
