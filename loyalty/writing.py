"""Set-based writes that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import JSON, ColumnElement, Dialect, Executable, Row, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from loyalty.storage import Base, UtcDateTime
from loyalty.tables import table_of

Rows = Sequence[Mapping[str, Any]]
_encode = msgspec.json.Encoder().encode
_WHOLE_SECONDS = len('"2026-03-10T04:00:00Z"')
MANY = 16
"""From so many rows on they travel as one JSON parameter, which costs a tenth of a parameter a cell."""


def insert_new(session: Session, entity: type[Base], rows: Rows, returning: Sequence[str]) -> list[Row[Any]]:
    """Insert the rows whose unique keys are free, in the order given; the named columns of those inserted."""
    if not rows:
        return []
    if len(rows) >= MANY:
        return insert_many(session, entity, rows, returning)
    return list(session.execute(_insert_new(_dialect(session), entity, tuple(returning)), rows))


def insert_rows(session: Session, entity: type[Base], rows: Rows) -> None:
    """Insert all rows; a doubled key raises the database's own error."""
    if rows:
        session.execute(table_of(entity).insert(), rows)


def upsert_row(
    session: Session,
    entity: type[Base],
    row: Mapping[str, Any],
    on: Sequence[str],
    changes: Mapping[str, ColumnElement[Any]],
) -> None:
    """Insert one row, or apply `changes` to the row that has its key already."""
    statement = insert_of(_dialect(session), entity)
    session.execute(statement.on_conflict_do_update(index_elements=list(on), set_=dict(changes)), row)


def insert_many(session: Session, entity: type[Base], rows: Rows, returning: Sequence[str]) -> list[Row[Any]]:
    """As insert_new, in one statement with one parameter; every row has the same columns, moments come back as text."""
    if not rows:
        return []
    statement = _write_json(_dialect(session), entity, tuple(rows[0]), tuple(returning))
    return list(session.execute(statement, {"rows": _as_json(session, entity, rows)}))


def upsert_many(session: Session, entity: type[Base], rows: Rows, on: str, changes: Mapping[str, str]) -> None:
    """As upsert_row for many rows with one parameter: `changes` are SQL expressions in which `old` is the row that has
    the key and `excluded` the new one. No key twice among the rows."""
    if rows:
        table = table_of(entity).name
        sets = ", ".join(f'"{column}" = {change.replace("old.", table + ".")}' for column, change in changes.items())
        conflict = f'("{on}") DO UPDATE SET {sets}'
        if _dialect(session) == "sqlite":
            names = ", ".join(f'"{name}"' for name in rows[0])
            marks = ", ".join("?" * len(rows[0]))
            run_each(session, f'INSERT INTO "{table}" ({names}) VALUES ({marks}) '  # noqa: S608 - our own names
                              f"ON CONFLICT {conflict}", _cells(entity, rows))
            return
        statement = _write_json("postgresql", entity, tuple(rows[0]), (), conflict)
        session.execute(statement, {"rows": _as_json(session, entity, rows)})


def change_many(session: Session, entity: type[Base], column: str, values: Mapping[int, Any], *,
                adding: bool = False) -> None:
    """Set one column of many rows, known by their number as primary key, or add to it; rows locked before."""
    if not values:
        return
    pairs = sorted(values.items())
    if _dialect(session) == "sqlite":
        table = table_of(entity)
        (key,) = table.primary_key.columns
        old = f'"{column}" + ' if adding else ""
        run_each(session, f'UPDATE "{table.name}" SET "{column}" = {old}? '  # noqa: S608 - our own names
                          f'WHERE "{key.name}" = ?', [(_cell(value), id) for id, value in pairs])
        return
    rows = msgspec.json.encode([{"id": id, "value": value} for id, value in pairs]).decode()
    session.execute(_change(entity, column, adding), {"rows": rows})


def driver_row(session: Session, statement: str, parameters: Sequence[Any]) -> Any:
    """The one row of a statement given to the driver itself, in the session's transaction: half the price."""
    with driver_of(session, statement) as driver:
        return driver.execute(statement, parameters).fetchone()


def run_each(session: Session, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    """One statement for every row of cells, prepared once; on SQLite there is nothing faster."""
    with driver_of(session, statement) as driver:
        driver.executemany(statement, rows)


@contextmanager
def driver_of(session: Session, statement: str) -> Iterator[Any]:
    """The driver's own connection, in the session's transaction; its errors come as SQLAlchemy's."""
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    dbapi: Any = connection.dialect.loaded_dbapi
    try:
        yield driver
    except dbapi.Error as error:
        raise as_sqlalchemys(error, statement, driver, connection.dialect) from error


def as_sqlalchemys(error: Any, statement: str, driver: Any, dialect: Dialect) -> Exception:
    """A driver's error as SQLAlchemy would raise it, which tells a lost connection from a refused statement."""
    gone = dialect.is_disconnect(error, driver, None)
    told: Exception = DBAPIError.instance(statement, None, error, dialect.loaded_dbapi.Error, dialect=dialect,
                                          connection_invalidated=gone)
    return told


def body_hash(body: object) -> str:
    """SHA-256 over a body's canonical JSON: same meaning, same hash."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def insert_into(session: Session, entity: type[Base]) -> postgresql.Insert:
    """An insert of the session's own dialect, with its conflict clauses; `excluded` names the row that lost."""
    return insert_of(_dialect(session), entity)


@cache
def _insert_new(dialect: str, entity: type[Base], returning: tuple[str, ...]) -> Executable:
    """Built once a kind: building a statement costs more than running it."""
    columns = (table_of(entity).c[name] for name in returning)
    return insert_of(dialect, entity).on_conflict_do_nothing().returning(*columns)


def _dialect(session: Session) -> str:
    return session.get_bind().dialect.name


def insert_of(dialect: str, entity: type[Base]) -> postgresql.Insert:
    """Both dialects' inserts offer the same conflict clauses; only their classes differ."""
    if dialect == "postgresql":
        return postgresql.insert(table_of(entity))
    return sqlite.insert(table_of(entity))  # type: ignore[return-value]


def write_rows(session: Session, entity: type[Base], rows: Rows) -> None:
    """Insert many rows in one statement with one parameter; a row whose unique key is taken is left out.

    Every row has the same columns: numbers, texts, truth values or moments. On PostgreSQL the rows travel as JSON,
    which costs a tenth of a statement a row.
    """
    if not rows:
        return
    dialect = _dialect(session)
    if dialect != "postgresql" and len(rows) < MANY:
        session.execute(_write(dialect, entity), rows)
        return
    session.execute(_write_json(dialect, entity, tuple(rows[0])), {"rows": _as_json(session, entity, rows)})


@cache
def _write(dialect: str, entity: type[Base]) -> Executable:
    return insert_of(dialect, entity).on_conflict_do_nothing()


@cache
def _change(entity: type[Base], column: str, adding: bool) -> Executable:
    table = table_of(entity)
    (key,) = table.primary_key.columns
    kind = table.c[column].type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]
    old = f't."{column}" + ' if adding else ""
    return text(
        f'UPDATE "{table.name}" t SET "{column}" = {old}n.value '  # noqa: S608 - names of our own tables and columns
        f'FROM json_to_recordset(CAST(:rows AS json)) AS n(id bigint, value {kind}) WHERE t."{key.name}" = n.id'
    )


@cache
def _write_json(dialect: str, entity: type[Base], columns: tuple[str, ...], returning: tuple[str, ...] = (),
                conflict: str = "DO NOTHING") -> Executable:
    table = table_of(entity)
    names = ", ".join(f'"{table.c[column].name}"' for column in columns)
    if dialect == "postgresql":
        # Names of our own tables and columns, here and below.
        source = f'SELECT {names} FROM json_populate_recordset(NULL::"{table.name}", CAST(:rows AS json))'  # noqa: S608
    else:
        cells = ", ".join(f"value ->> {place}" for place in range(len(columns)))
        source = f"SELECT {cells} FROM json_each(:rows) WHERE true"  # noqa: S608
    return text(
        f'INSERT INTO "{table.name}" ({names}) {source} ON CONFLICT {conflict}'
        + (f" RETURNING {', '.join(returning)}" if returning else "")
    )


def _cells(entity: type[Base], rows: Rows) -> list[list[Any]]:
    """Rows as the driver of SQLite takes them."""
    cells = [[*row.values()] for row in rows]
    for place, name in enumerate(rows[0]):
        if isinstance(table_of(entity).c[name].type, UtcDateTime | JSON):
            for row in cells:
                if type(row[place]) is not str:
                    row[place] = _cell(row[place])
    return cells


def _as_json(session: Session, entity: type[Base], rows: Rows) -> str:
    """Rows as one parameter: objects for PostgreSQL, lists with moments as SQLite keeps them."""
    if _dialect(session) == "postgresql":
        return msgspec.json.encode(rows).decode()
    kinds = [isinstance(table_of(entity).c[name].type, UtcDateTime) for name in rows[0]]
    lists = [[row[name] for name in rows[0]] for row in rows]
    for place in (place for place, is_moment in enumerate(kinds) if is_moment):
        for row in lists:
            if row[place] is not None:
                row[place] = sqlite_moment(row[place])
    return msgspec.json.encode(lists).decode()


def _cell(value: Any) -> Any:
    """A value as the driver of SQLite takes it."""
    kind = type(value)
    if kind is int or kind is str:
        return value
    if isinstance(value, datetime):
        return sqlite_moment(value)
    return bytes(value).decode() if kind is msgspec.Raw else value


def sqlite_moment(moment: datetime) -> str:
    """A moment as SQLite keeps it: text without the zone, in UTC, so that text order is time order."""
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None:
            raise ValueError(f"a moment without a time zone: {moment!r}; pass datetime(..., tzinfo=UTC)")
        moment = moment.astimezone(UTC)
    # 2026-03-10T04:00:00.000001Z in quotes, the fraction only where there is one: a thirtieth of isoformat's price.
    text = _encode(moment).decode()
    return f"{text[1:11]} {text[12:20]}.000000" if len(text) == _WHOLE_SECONDS else f"{text[1:11]} {text[12:27]}"
