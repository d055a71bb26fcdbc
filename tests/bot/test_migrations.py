"""Migrations: from nothing to the tables of the code on both engines; another schema is refused with the mend."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, inspect, select, text

from bot.database import Database
from bot.migrations import SchemaError, check_schema, differences, head, migrate, migrating, revision_of, upgrade
from bot.tables import METADATA, MODULES
from handlers.talk.messages import SHARDS
from handlers.talk.tables import InboxShard


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with nothing in it, of either kind."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/new/huitou.db")
        yield database
        database.dispose()
        return
    url, name = request.getfixturevalue("postgres_url"), f"huitou_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        database = Database(url.rsplit("/", 1)[0] + "/" + name)
        yield database
        database.dispose()
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_from_nothing_to_the_tables_of_the_code(empty: Database) -> None:
    """Every table, column and index is there, the lanes too, and running it again changes nothing."""
    assert revision_of(empty) == ""
    assert migrate(empty) == head() == revision_of(empty)
    assert differences(empty) == []
    assert set(METADATA.tables) <= set(inspect(empty.engine).get_table_names())
    check_schema(empty)
    migrate(empty)
    with empty.reading() as session:
        assert session.scalar(select(func.count()).select_from(InboxShard)) == SHARDS


def test_indexes_of_the_queues_are_partial(empty: Database) -> None:
    """The hot indexes hold what waits, not all that ever was."""
    migrate(empty)
    with empty.reading() as session:
        source = (
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
            if empty.is_sqlite
            else "SELECT indexdef FROM pg_indexes"
        )
        written = [row[0] for row in session.execute(text(source))]
    for name in ("ix_inbox_waiting", "ix_outbox_waiting", "ix_timers_due"):
        (index,) = [line for line in written if name in line]
        assert "state = 0" in index


def test_an_empty_database_is_refused_with_the_mend(empty: Database) -> None:
    """No tables yet: run huitou migrate."""
    with pytest.raises(SchemaError, match=rf"at revision none, this version needs {head()}: run huitou migrate"):
        check_schema(empty)


def test_a_newer_database_is_refused_with_the_mend(empty: Database) -> None:
    """A revision this version has not heard of: upgrade, do not migrate down."""
    migrate(empty)
    with empty.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match=r"at revision 9999, newer than this version .*upgrade Huitou"):
        check_schema(empty)


def test_a_missing_column_is_a_difference(empty: Database) -> None:
    """What the check compares can fail: a table that lost a column is told."""
    migrate(empty)
    with empty.transaction() as session:
        session.execute(text("ALTER TABLE reps DROP COLUMN name"))
    assert len(differences(empty)) == 1


def test_every_module_with_tables_is_named() -> None:
    """A table that nobody imports would be missing from a fresh database and from every check."""
    root = Path(__file__).parents[2]
    found = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for ring in ("loyalty", "handlers", "bot")
        for path in (root / ring).rglob("*.py")
        if "__tablename__ = " in path.read_text(encoding="utf-8")
    }
    assert found == set(MODULES)


def test_the_first_schema_comes_up_with_its_rows(empty: Database) -> None:
    """A brand that runs the first version keeps every row; new columns get what they mean for old ones."""
    with migrating(empty) as connection:
        upgrade(empty, connection, "0001")
        for line in (
            "INSERT INTO members (id, created_at) VALUES (7, '2026-01-01')",
            "INSERT INTO accounts (id, owner, asset, kind) VALUES (1, 7, 'points', 'available'), "
            "(2, 0, 'points', 'burned')",
            "INSERT INTO transfers (id, key, body_hash, debit_id, credit_id, amount, asset, reason, ref, at) "
            "VALUES (5, 'k', 'h', 1, 2, 100, 'points', 'redeem', '', '2026-01-02')",
            "INSERT INTO redemptions (id, key, code, member_id, reward_id, name, handover, quantity, cost, state, "
            "transfer_id, at, undo_until) VALUES (3, 'r', 'C1', 7, 'latte', '拿铁', '', 1, 100, 'issued', 5, "
            "'2026-01-02', '2026-01-02')",
        ):
            connection.exec_driver_sql(line)
    migrate(empty)
    assert differences(empty) == []
    with empty.reading() as session:
        row = session.execute(text("SELECT kind, way, lapse_returns, transfer_id FROM redemptions")).one()
    assert (row.kind, row.way, bool(row.lapse_returns), row.transfer_id) == ("goods", "verify", False, 5)
