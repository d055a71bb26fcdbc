"""Migrations: from an empty database to the schema of this version, on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from bot.database import Database
from bot.schema import SchemaError, check_schema, head, revision_of
from bot.tables import METADATA
from handlers.talk.inbox import ensure_shards
from loyalty.ledger_sql import POST_ONE

__all__ = ["SchemaError", "check_schema", "differences", "head", "migrate", "revision_of"]
FOLDER = Path(__file__).parent


def migrate(database: Database) -> str:
    """Bring the schema to this version; gives its revision. Safe to run again."""
    config = _config(database)
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if not database.is_sqlite:
            connection.execute(POST_ONE)  # a function has no history: each migration puts this version's in place
    with database.transaction() as session:
        ensure_shards(session)
    return head()


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
