"""The one place where transactions begin: engines for SQLite and PostgreSQL and a session per unit of work."""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from loyalty.writing import as_sqlalchemys

SQLITE_BUSY_MS = 30_000


class Database:
    """One database of either kind; `transaction` commits as a whole or not at all.

    `sqlite_synchronous` is FULL wherever a commit must outlive a power cut; only tests may want less.
    """

    def __init__(self, url: str, pool_size: int = 8, sqlite_synchronous: str = "FULL") -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.url.get_backend_name() == "postgresql" and self.url.drivername == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.engine = _sqlite_engine(self, sqlite_synchronous) if self.is_sqlite else _postgres_engine(self, pool_size)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose work is committed when the block ends well and rolled back when it raises."""
        with Session(self.engine, expire_on_commit=False, autoflush=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for looking only: on SQLite it takes no write lock; nothing is committed."""
        engine = self.engine.execution_options(reading=True)
        with Session(engine, autoflush=False) as session:
            yield session

    def call(self, statement: str, parameters: Sequence[Any]) -> Any:
        """The one row of a driver's statement that commits by itself: one round trip instead of three.

        For PostgreSQL; raises SQLAlchemy's errors.
        """
        dialect = self.engine.dialect
        proxied = self.engine.raw_connection()
        driver: Any = proxied.driver_connection
        try:
            driver.autocommit = True
            row = driver.execute(statement, parameters).fetchone()
            driver.autocommit = False
            return row
        except dialect.loaded_dbapi.Error as error:
            told = as_sqlalchemys(error, statement, driver, dialect)  # before the connection is closed for good
            proxied.invalidate(error)
            raise told from error
        finally:
            proxied.close()

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: the server went away, a lock was lost, a deadlock was broken."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, ConnectionError)
    state = str(getattr(error.orig, "sqlstate", "") or "")
    return error.connection_invalidated or isinstance(error, OperationalError) or state[:2] in {"40", "55", "57"}


def _sqlite_engine(database: Database, synchronous: str) -> Engine:
    name = database.url.database
    if name and name != ":memory:":
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(database.url, connect_args={"timeout": SQLITE_BUSY_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def tune(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin by itself: the kind of BEGIN matters
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            f"busy_timeout={SQLITE_BUSY_MS}",
            "foreign_keys=ON",
            "cache_size=-65536",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A write lock taken late can fail with SQLITE_BUSY at once; taken first it waits its turn.
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _postgres_engine(database: Database, pool_size: int) -> Engine:
    engine = create_engine(
        database.url,
        pool_size=pool_size,
        max_overflow=8,
        pool_recycle=1800,
        connect_args={"prepare_threshold": 1, "connect_timeout": 5},
    )

    @event.listens_for(engine, "checkout")
    def ask_only_when_it_spoke(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        # A server that went away has closed the socket, which then is readable: only then a question is worth its trip.
        try:
            spoke = bool(select.select([connection.fileno()], [], [], 0)[0])
            if not spoke or engine.dialect.do_ping(record.dbapi_connection):  # type: ignore[arg-type]
                return
        except (engine.dialect.loaded_dbapi.Error, OSError, ValueError):
            pass
        raise InvalidatePoolError("the database server went away")

    return engine
