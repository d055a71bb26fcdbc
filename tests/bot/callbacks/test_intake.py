"""The intake: stored before it returns, together where many come, and honest when the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.database import Database
from bot.intake import Intake, IntakeRefused, IntakeUnavailable, Signal
from bot.tables import METADATA
from handlers.talk import inbox
from handlers.talk.messages import Incoming

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
Run = Callable[[Any], Any]


def message(key: str, sender: str = "wmA", words: str = "快吃完了 \"']]>\\ 😀") -> Incoming:
    """One text."""
    return Incoming(key=key, channel="kf", kind="text", sender=sender, at=NOW, text=words)


def stored(database: Database) -> list[Any]:
    """Every row as the table has it."""
    with database.reading() as session:
        return list(session.execute(text("SELECT key, shard, sender, body, received_at, state FROM inbox ORDER BY id")))


def intake_of(database: Database, **more: Any) -> Intake:
    """An intake whose clock stands."""
    return Intake(database, lambda: NOW, **more)


@contextmanager
def write_lock(database: Database) -> Any:
    """Somebody else holds the inbox."""
    with database.engine.connect() as connection, connection.begin():
        if not database.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
        yield


def test_rows_are_those_of_the_ordinary_way(database: Database, run: Run) -> None:
    """The fast insert stores exactly what `inbox.store` stores, byte by byte and moment by moment."""
    messages = [message(f"k{n}", f"wm{n}") for n in range(20)]

    async def story() -> None:
        intake = intake_of(database)
        await intake.start()
        await intake.accept(messages)
        await intake.stop()

    run(story())
    fast = stored(database)
    with database.transaction() as session:
        session.execute(text("DELETE FROM inbox"))
        inbox.store(session, messages, NOW)
    assert fast == stored(database)
    assert [row.key for row in fast] == [f"k{n}" for n in range(20)], "in the order they came"


def test_many_callers_share_commits(database: Database, run: Run) -> None:
    """200 callers at once are committed in a few batches, each is stored once, and the listener hears of all."""
    batches: list[float] = []
    told: list[int] = []

    async def story() -> None:
        intake = intake_of(database, observe_batch=batches.append, on_stored=lambda count, _: told.append(count))
        await intake.start()
        await asyncio.gather(*(intake.accept([message(f"k{n % 100}")]) for n in range(200)))
        await intake.stop()

    run(story())
    assert len(stored(database)) == 100
    assert sum(batches) == sum(told) == 200
    assert len(batches) < 20


def test_two_processes_get_the_same_three_times_at_once(database: Database, run: Run) -> None:
    """The same message delivered three times at once to two intakes is one row, and every caller is answered."""

    async def story() -> None:
        first, second = intake_of(database), intake_of(database)
        await first.start()
        await second.start()
        for turn in range(20):
            same = [message(f"k{turn}"), message(f"l{turn}")]
            await asyncio.gather(first.accept(same), second.accept(same[::-1]), first.accept(same))
        await first.stop()
        await second.stop()

    run(story())
    assert len(stored(database)) == 40


def test_signals_are_stored_with_the_messages(database: Database, run: Run) -> None:
    """A signal makes or wakes the cursor of its source, keeps its position, and the last token counts."""
    woken: list[frozenset[str]] = []

    async def story() -> None:
        intake = intake_of(database, on_stored=lambda _, sources: woken.append(sources))
        await intake.start()
        await intake.accept([], [Signal("kf:wk1", "t1"), Signal("kf:wk1", "t2"), Signal("archive")])
        with database.transaction() as session:
            session.execute(text("UPDATE cursors SET position = '42' WHERE source = 'kf:wk1'"))
        await intake.accept([message("k1")], [Signal("kf:wk1", "t3")])
        await intake.stop()

    run(story())
    with database.reading() as session:
        rows = session.execute(text("SELECT source, position, token FROM cursors ORDER BY source")).all()
    assert [tuple(row) for row in rows] == [("archive", "", ""), ("kf:wk1", "42", "t3")]
    assert len(stored(database)) == 1
    assert woken == [frozenset({"kf:wk1", "archive"}), frozenset({"kf:wk1"})]


def test_locked_database_is_told_in_time_and_recovers(database: Database, run: Run) -> None:
    """A database that does not take it within the wait is an IntakeUnavailable; afterwards all goes on."""

    async def story() -> None:
        intake = intake_of(database, wait_s=0.4)
        await intake.start()
        await intake.accept([message("before")])
        with write_lock(database):
            waiting = [intake.accept([message(f"k{n}")]) for n in range(3)]
            for done in waiting:
                with pytest.raises(IntakeUnavailable):
                    await asyncio.wait_for(asyncio.shield(done), 2)
        for _ in range(50):
            try:
                await intake.accept([message("after")])
                break
            except IntakeUnavailable:
                await asyncio.sleep(0.05)
        await intake.stop()

    run(story())
    assert {"before", "after"} <= {row.key for row in stored(database)}


def test_lost_connection_is_made_anew(database: Database, run: Run) -> None:
    """The server cutting the writer's connection costs no message."""
    if database.is_sqlite:
        pytest.skip("SQLite has no connection to lose")
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"

    async def story() -> None:
        intake = intake_of(database)
        await intake.start()
        await intake.accept([message("k1")])
        with database.engine.connect() as connection:
            connection.execute(text(cut))
        await intake.accept([message("k2")])
        await intake.stop()

    database.engine.dispose()
    run(story())
    assert [row.key for row in stored(database)] == ["k1", "k2"]


def test_refused_message_takes_nobody_down(database: Database, run: Run) -> None:
    """A message the database will never take fails alone; the others of its batch are stored."""
    if database.is_sqlite:
        pytest.skip("SQLite takes any text")

    async def story() -> None:
        intake = intake_of(database)
        await intake.start()
        callers = [intake.accept([message(f"k{n}" if n != 3 else "x" * 300)]) for n in range(6)]
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(result) for result in results if result] == [IntakeRefused]
        await intake.stop()

    run(story())
    assert [row.key for row in stored(database)] == ["k0", "k1", "k2", "k4", "k5"]


def test_stop_drains_and_then_refuses(database: Database, run: Run) -> None:
    """What was offered before the stop is stored; what comes later is refused at once."""

    async def story() -> None:
        intake = intake_of(database)
        await intake.start()
        callers = [intake.accept([message(f"k{n}")]) for n in range(300)]
        await intake.stop()
        assert all(done.done() and done.exception() is None for done in callers)
        with pytest.raises(IntakeUnavailable):
            await intake.accept([message("late")])
        assert intake.waiting == 0

    run(story())
    assert len(stored(database)) == 300


def test_a_caller_who_left_harms_nobody(database: Database, run: Run) -> None:
    """A request that is cancelled while it waits does not disturb the others of its batch."""

    async def story() -> None:
        intake = intake_of(database)
        await intake.start()
        leaving, staying = intake.accept([message("k1")]), intake.accept([message("k2")])
        leaving.cancel()
        await staying
        await intake.stop()

    run(story())
    assert "k2" in {row.key for row in stored(database)}


def test_a_slow_or_busy_disk_does_not_hold_up_the_loop(tmp_path: Path, run: Run) -> None:
    """While somebody else writes, the loop goes on turning and the message is stored as soon as it can be."""
    database = Database(f"sqlite:///{tmp_path}/inbox.db")
    METADATA.create_all(database.engine)
    turns: list[float] = []

    async def turn() -> None:
        while True:
            turns.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.01)

    async def story() -> None:
        intake, turning = intake_of(database), asyncio.create_task(turn())
        await intake.start()
        with write_lock(database):
            waiting = intake.accept([message("k1")])
            await asyncio.sleep(0.5)
            assert not waiting.done()
        await waiting
        turning.cancel()
        await intake.stop()

    run(story())
    assert [row.key for row in stored(database)] == ["k1"]
    database.dispose()
    assert max(later - earlier for earlier, later in pairwise(turns)) < 0.4
