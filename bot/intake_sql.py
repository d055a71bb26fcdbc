"""How a batch gets into the inbox: one statement on PostgreSQL, one short transaction on SQLite; driver calls only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from sqlalchemy import PoolProxiedConnection

from bot.database import Database
from handlers.talk.messages import Incoming, encode
from handlers.talk.tables import InboxRow


class Signal(msgspec.Struct, frozen=True):
    """A source (kf:<open_kfid>, archive) says that there is something to pull; `token` may speed the call up."""

    source: str
    token: str = ""


class Writing(Protocol):
    """An own connection that stores batches."""

    def write(self, messages: Sequence[Incoming], signals: Sequence[Signal], now: datetime) -> None:
        """Commit all of it or nothing; what is known changes nothing. Raises the driver's errors."""

    def close(self) -> None:
        """Close the connection; what was not committed is gone."""


def connect(database: Database, wait_s: float) -> Writing:
    """A connection of the writer's own, outside the pool; no statement of it waits longer than `wait_s`."""
    proxied = database.engine.raw_connection()
    proxied.detach()
    wait_ms = int(wait_s * 1000)
    return _Sqlite(proxied, database, wait_ms) if database.is_sqlite else _Postgres(proxied, wait_ms)


def _driver(proxied: PoolProxiedConnection) -> Any:
    return proxied.dbapi_connection  # a detached one no longer knows its driver_connection


def _latest(signals: Sequence[Signal]) -> dict[str, str]:
    return {signal.source: signal.token for signal in signals}


_SQLITE_INBOX = "INSERT INTO inbox (key, shard, sender, body, received_at) VALUES {} ON CONFLICT (key) DO NOTHING"
_SQLITE_MAX_ROWS = 500
"""SQLite takes 32,766 parameters; a statement of this many rows stays far below."""
_SQLITE_CURSORS = """
INSERT INTO cursors (source, token, signalled_at) VALUES (?, ?, ?)
ON CONFLICT (source) DO UPDATE SET token = excluded.token, signalled_at = excluded.signalled_at"""


class _Sqlite:
    def __init__(self, proxied: PoolProxiedConnection, database: Database, wait_ms: int) -> None:
        self._proxied = proxied
        self._connection = _driver(proxied)
        self._connection.execute(f"PRAGMA busy_timeout={wait_ms}")
        dialect = database.engine.dialect
        moment = InboxRow.__table__.c.received_at.type.dialect_impl(dialect).bind_processor(dialect)
        assert moment is not None
        self._moment = moment

    def write(self, messages: Sequence[Incoming], signals: Sequence[Signal], now: datetime) -> None:
        """See `Writing.write`."""
        run = self._connection
        at = self._moment(now)
        if not signals and len(messages) <= _SQLITE_MAX_ROWS:  # the usual case: the statement commits by itself
            self._insert(messages, at)
            return
        run.execute("BEGIN IMMEDIATE")
        for start in range(0, len(messages), _SQLITE_MAX_ROWS):
            self._insert(messages[start : start + _SQLITE_MAX_ROWS], at)
        run.executemany(_SQLITE_CURSORS, [(source, token, at) for source, token in _latest(signals).items()])
        run.execute("COMMIT")

    def _insert(self, messages: Sequence[Incoming], at: object) -> None:
        """One statement, however many rows: between two of them the driver would hand the interpreter to the loop."""
        if messages:
            values: list[object] = []
            for one in messages:
                values += (one.key, one.shard, one.sender, encode(one).decode(), at)
            self._connection.execute(_SQLITE_INBOX.format(", ".join(["(?, ?, ?, ?, ?)"] * len(messages))), values)

    def close(self) -> None:
        """See `Writing.close`."""
        self._proxied.close()


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
    """A statement commits by itself: one round trip a batch."""

    def __init__(self, proxied: PoolProxiedConnection, wait_ms: int) -> None:
        self._proxied = proxied
        self._connection = _driver(proxied)
        self._connection.autocommit = True
        self._connection.execute(f"SET statement_timeout = {wait_ms}")

    def write(self, messages: Sequence[Incoming], signals: Sequence[Signal], now: datetime) -> None:
        """See `Writing.write`."""
        rows = [_Row(one.key, one.shard, one.sender, msgspec.Raw(encode(one))) for one in messages]
        values = {"now": now, "rows": _rows(rows).decode()}
        if not signals:
            self._connection.execute(_POSTGRES_INBOX, values)
            return
        latest = sorted(_latest(signals).items())  # in one order everywhere, so that two processes do not deadlock
        values["signals"] = _rows([{"source": source, "token": token} for source, token in latest]).decode()
        self._connection.execute(_POSTGRES_BOTH, values)

    def close(self) -> None:
        """See `Writing.close`."""
        self._proxied.close()
