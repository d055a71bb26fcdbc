"""Migrations: from an empty database to the schema of this version, on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import handlers.followup.tables
import handlers.talk.tables  # noqa: F401
import loyalty.tables  # noqa: F401
from bot.database import Database
from handlers.talk.inbox import ensure_shards
from loyalty.storage import Base

FOLDER = Path(__file__).parent


class SchemaError(Exception):
    """The database has another schema than this version needs; the message says what to run."""


def migrate(database: Database) -> str:
    """Bring the schema to this version; gives its revision. Safe to run again."""
    config = _config(database)
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    with database.transaction() as session:
        ensure_shards(session)
    return head()


def head() -> str:
    """The revision this version needs."""
    return ScriptDirectory(str(FOLDER)).get_current_head() or ""


def revision_of(database: Database) -> str:
    """The revision the database is at; empty for an empty database."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() or ""


def check_schema(database: Database) -> None:
    """Raise `SchemaError` unless the database is at the revision this version needs."""
    found, needed = revision_of(database), head()
    if found == needed:
        return
    known = {script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()}
    if found and found not in known:
        raise SchemaError(f"the database is at revision {found}, newer than this version ({needed}): upgrade Huitou")
    raise SchemaError(f"the database is at revision {found or 'none'}, this version needs {needed}: run huitou migrate")


def differences(database: Database) -> list[object]:
    """What the tables of the code and those of the database differ in; empty after a migration."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        return list(compare_metadata(context, Base.metadata))


def _config(database: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["database"] = database
    return config
