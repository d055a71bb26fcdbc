"""How a batch gets into the inbox: one statement on PostgreSQL, one short transaction on SQLite; driver calls only."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
import psycopg

from bot.clock import monotonic_s
from bot.database import Database
from handlers.talk.messages import Incoming, encode
from handlers.talk.tables import InboxRow


class Signal(msgspec.Struct, frozen=True):
    """A source (kf:<open_kfid>, archive) says that there is something to pull; `token` may speed the call up."""

    source: str
    token: str = ""


class Writing(Protocol):
    """An own connection that stores batches, used by one task of the event loop."""

    async def write(self, messages: Sequence[Incoming], signals: Sequence[Signal], now: datetime) -> None:
        """Commit all of it or nothing; what is known changes nothing. Raises the driver's errors."""

    async def close(self) -> None:
        """Close the connection; what was not committed is gone."""


async def connect(database: Database, wait_s: float) -> Writing:
    """A connection of the writer's own, outside the pool; no statement of it waits longer than `wait_s`."""
    return _Sqlite(database, wait_s) if database.is_sqlite else await _Postgres.connect(database, wait_s)


def _latest(signals: Sequence[Signal]) -> dict[str, str]:
    return {signal.source: signal.token for signal in signals}


_SQLITE_INBOX = "INSERT INTO inbox (key, shard, sender, body, received_at) VALUES {} ON CONFLICT (key) DO NOTHING"
_SQLITE_MAX_ROWS = 500
"""SQLite takes 32,766 parameters; a statement of this many rows stays far below."""
_SQLITE_CURSORS = """
INSERT INTO cursors (source, token, signalled_at) VALUES (?, ?, ?)
ON CONFLICT (source) DO UPDATE SET token = excluded.token, signalled_at = excluded.signalled_at"""


SLOW_S: Final = 0.005
ASIDE_S: Final = 1.0
"""Commits that take SLOW_S on the average, or one that finds the database locked, send those of the next moment to a
thread of their own. One slow commit says little: now and then one has to move the log into the database."""


class _Sqlite:
    """Commits where it stands while the disk is quick and nobody else writes: two threads would take turns at every
    callback for the interpreter, which costs more than the commit. Otherwise a thread waits, and the loop goes on."""

    def __init__(self, database: Database, wait_s: float) -> None:
        self._quick = _own_sqlite(database, 0)
        self._patient = _own_sqlite(database, int(wait_s * 1000))
        self._aside_until_s = 0.0
        self._average_s = 0.0
        dialect = database.engine.dialect
        moment = InboxRow.__table__.c.received_at.type.dialect_impl(dialect).bind_processor(dialect)
        assert moment is not None
        self._moment = moment

    async def write(self, messages: Sequence[Incoming], signals: Sequence[Signal], now: datetime) -> None:
        """See `Writing.write`."""
        began_s = monotonic_s()
        if began_s >= self._aside_until_s and self._write_at_once(messages, signals, now):
            ended_s = monotonic_s()
            self._average_s += (ended_s - began_s - self._average_s) / 8
            if self._average_s > SLOW_S:
                self._aside_until_s, self._average_s = ended_s + ASIDE_S, 0.0
            return
        await asyncio.to_thread(self._write, self._patient, messages, signals, now)

    def _write_at_once(self, messages: Sequence[Incoming], signals: Sequence[Signal], now: datetime) -> bool:
        """False when somebody else is writing: then nothing was written."""
        try:
            self._write(self._quick, messages, signals, now)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            self._aside_until_s = monotonic_s() + ASIDE_S
            return False
        return True

    def _write(self, run: Any, messages: Sequence[Incoming], signals: Sequence[Signal], now: datetime) -> None:
        at = self._moment(now)
        if not signals and len(messages) <= _SQLITE_MAX_ROWS:  # the usual case: the statement commits by itself
            _insert(run, messages, at)
            return
        run.execute("BEGIN IMMEDIATE")
        for start in range(0, len(messages), _SQLITE_MAX_ROWS):
            _insert(run, messages[start : start + _SQLITE_MAX_ROWS], at)
        run.executemany(_SQLITE_CURSORS, [(source, token, at) for source, token in _latest(signals).items()])
        run.execute("COMMIT")

    async def close(self) -> None:
        """See `Writing.close`."""
        self._quick.close()
        self._patient.close()


def _own_sqlite(database: Database, wait_ms: int) -> Any:
    """A connection as the engine makes them, which waits so long for others who write."""
    proxied = database.engine.raw_connection()
    proxied.detach()
    connection: Any = proxied.dbapi_connection  # a detached one no longer knows its driver_connection
    connection.execute(f"PRAGMA busy_timeout={wait_ms}")
    return connection


def _insert(run: Any, messages: Sequence[Incoming], at: object) -> None:
    """One statement, however many rows: between two of them the driver would hand the interpreter over."""
    if messages:
        values: list[object] = []
        for one in messages:
            values += (one.key, one.shard, one.sender, encode(one).decode(), at)
        run.execute(_SQLITE_INBOX.format(", ".join(["(?, ?, ?, ?, ?)"] * len(messages))), values)


_POSTGRES_INBOX = """
INSERT INTO inbox (key, shard, sender, body, received_at)
SELECT key, shard, sender, body::text, %(now)s::timestamptz
FROM json_to_recordset(%(rows)s::json) AS new(key text, shard smallint, sender text, body json)
ON CONFLICT (key) DO NOTHING"""
_POSTGRES_SIGNALS = """
WITH signalled AS (
    INSERT INTO cursors (source, token, signalled_at)
    SELECT source, token, %(now)s::timestamptz
    FROM json_to_recordset(%(signals)s::json) AS new(source text, token text)
    ON CONFLICT (source) DO UPDATE SET token = excluded.token, signalled_at = excluded.signalled_at
)"""
_POSTGRES_BOTH = _POSTGRES_SIGNALS + _POSTGRES_INBOX


class _Row(msgspec.Struct):
    key: str
    shard: int
    sender: str
    body: msgspec.Raw


_rows = msgspec.json.Encoder().encode


class _Postgres:
    """A statement commits by itself: one round trip a batch, during which the loop reads the next callbacks."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], wait_s: float) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._wait_s = wait_s

    @classmethod
    async def connect(cls, database: Database, wait_s: float) -> _Postgres:
        """A connection of its own; raises the driver's errors."""
        places, names = database.engine.dialect.create_connect_args(database.url)
        more = {"autocommit": True, "prepare_threshold": 1, "connect_timeout": 5, **names}
        connection = await psycopg.AsyncConnection.connect(*places, **more)
        await connection.execute(f"SET statement_timeout = {int(wait_s * 1000)}")
        return cls(connection, wait_s)

    async def write(self, messages: Sequence[Incoming], signals: Sequence[Signal], now: datetime) -> None:
        """See `Writing.write`."""
        rows = [_Row(one.key, one.shard, one.sender, msgspec.Raw(encode(one))) for one in messages]
        values: dict[str, object] = {"now": now, "rows": _rows(rows).decode()}
        statement = _POSTGRES_INBOX
        if signals:
            statement = _POSTGRES_BOTH
            latest = sorted(_latest(signals).items())  # in one order everywhere, so that two processes do not deadlock
            values["signals"] = _rows([{"source": source, "token": token} for source, token in latest]).decode()
        async with asyncio.timeout(self._wait_s + 1):  # the server keeps its own time unless the line is dead
            await self._cursor.execute(statement, values)

    async def close(self) -> None:
        """See `Writing.close`."""
        await self._connection.close()
