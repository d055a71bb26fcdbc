"""Thousands of rows at once, given to the driver as plain cells: prepared inserts on SQLite, COPY on PostgreSQL.

Nothing here looks for conflicts: a key that is taken raises IntegrityError, and the caller, who began a savepoint,
takes the way that looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Executable, func, select, text
from sqlalchemy.orm import Session

from loyalty.storage import Base
from loyalty.tables import table_of
from loyalty.writing import driver_of, run_each, sqlite_moment

BULK = 500
"""From so many rows on preparing cells by hand is worth its while."""


def on_sqlite(session: Session) -> bool:
    """Whether this transaction is the only one that writes: on SQLite it is, from its first statement on."""
    return session.get_bind().dialect.name == "sqlite"


def cell_of_moments(session: Session) -> Callable[[datetime], Any]:
    """How a moment is written into a cell."""
    return sqlite_moment if on_sqlite(session) else _as_it_is


def next_ids(session: Session, entity: type[Base], count: int) -> list[int]:
    """Ids for rows that are inserted in this transaction, rising."""
    if on_sqlite(session):
        table = table_of(entity)
        last = session.execute(select(func.max(table.c.id))).scalar() or 0
        return list(range(last + 1, last + 1 + count))
    return [*session.execute(_next_ids(entity), {"count": count}).scalars().all()]


def load(session: Session, entity: type[Base], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, cells in the order of the columns; raises IntegrityError where a unique key is taken."""
    if not rows:
        return
    table, names = table_of(entity).name, ", ".join(f'"{name}"' for name in columns)
    if on_sqlite(session):
        marks = ", ".join("?" * len(columns))
        run_each(session, f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)  # noqa: S608 - our own names
        return
    statement = f'COPY "{table}" ({names}) FROM STDIN'
    with driver_of(session, statement) as driver, driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


@cache
def _next_ids(entity: type[Base]) -> Executable:
    sequence = f"pg_get_serial_sequence('{table_of(entity).name}', 'id')"
    return text(f"SELECT nextval({sequence}) FROM generate_series(1, :count)")  # noqa: S608 - our own table's name


def _as_it_is(moment: datetime) -> datetime:
    return moment
