"""Which schema the database has and which this version needs; light, because every start asks."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text

from bot.database import Database

VERSIONS = Path(__file__).parent / "migrations" / "versions"


class SchemaError(Exception):
    """The database has another schema than this version needs; the message says what to run."""


def revisions() -> list[str]:
    """Every revision of this version, oldest first: the numbers the migration files begin with."""
    return sorted(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))


def head() -> str:
    """The revision this version needs."""
    return revisions()[-1]


def revision_of(database: Database) -> str:
    """The revision the database is at; empty for an empty database."""
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return connection.scalar(text("SELECT version_num FROM alembic_version")) or ""


def check_schema(database: Database) -> None:
    """Raise `SchemaError` unless the database is at the revision this version needs."""
    found, needed = revision_of(database), head()
    if found == needed:
        return
    if found and found not in revisions():
        raise SchemaError(f"the database is at revision {found}, newer than this version ({needed}): upgrade Huitou")
    raise SchemaError(f"the database is at revision {found or 'none'}, this version needs {needed}: run huitou migrate")
