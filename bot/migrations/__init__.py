"""Migrations: from an empty database to the schema of this version, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from bot.database import Database
from bot.schema import SchemaError, check_schema, head, revision_of
from bot.tables import METADATA
from handlers.talk.inbox import ensure_shards
from loyalty.ledger_sql import POST_ONE

__all__ = ["SchemaError", "check_schema", "differences", "head", "migrate", "revision_of"]
FOLDER = Path(__file__).parent


def migrate(database: Database) -> str:
    """Bring the schema to this version; gives its revision. Safe to run again."""
    with migrating(database) as connection:
        upgrade(database, connection, "head")
        if not database.is_sqlite:
            connection.execute(POST_ONE)  # a function has no history: each migration puts this version's in place
    with database.transaction() as session:
        ensure_shards(session)
    return head()


@contextmanager
def migrating(database: Database) -> Iterator[Connection]:
    """A transaction in which tables may be made anew: SQLite looks at the rows that point to them only at its end.

    Raises RuntimeError, with everything as it was, where a row would point to nothing.
    """
    with database.engine.connect() as connection:
        if not database.is_sqlite:
            with connection.begin():
                yield connection
            return
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys=OFF")  # has no effect inside a transaction
        try:
            with connection.begin():
                yield connection
                if astray := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
                    raise RuntimeError(f"{len(astray)} rows would point to nothing, the first in {astray[0][0]}")
        finally:
            driver.execute("PRAGMA foreign_keys=ON")


def upgrade(database: Database, connection: Connection, revision: str) -> None:
    """Take the schema to one revision and no further."""
    config = _config(database)
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def differences(database: Database) -> list[object]:
    """What the tables of the code and those of the database differ in; empty after a migration."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        return list(compare_metadata(context, METADATA))


def _config(database: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["database"] = database
    return config
