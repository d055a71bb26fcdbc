"""`huitou fraud`: what a person types, what comes out, and the exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from bot.cli import app
from bot.clock import system_clock
from bot.database import Database
from bot.schema import head
from bot.tables import METADATA
from loyalty.balances import available
from loyalty.customers import Identity
from loyalty.orders import OrderIn, record_many
from loyalty.programme import Programme

ROOT = Path(__file__).resolve().parents[2]
PLAIN = Programme.model_validate({"name": "青禾", "earning": {"points_per_yuan": 1}})


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A shop of whom somebody bought eight times within the last hours."""
    url = f"sqlite:///{tmp_path}/huitou.db"
    for name, value in {"HUITOU_SETTINGS": ROOT / "config/settings.toml", "HUITOU_PATHS__CONFIG": ROOT / "config",
                        "HUITOU_STORAGE__URL": url}.items():
        monkeypatch.setenv(name, str(value))
    configured = structlog.get_config()
    database = Database(url, sqlite_synchronous="OFF")
    METADATA.create_all(database.engine)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (head(),))
    now = system_clock()
    with database.transaction() as session:
        record_many(session, [
            OrderIn(source="pos", external_id=f"{n}", identities=(Identity("openid", "runner"),), amount_fen=1000,
                    paid_at=now - timedelta(minutes=n + 1)) for n in range(8)], PLAIN, now)
    yield database
    database.dispose()
    structlog.configure(**configured)


def run(*words: str) -> Any:
    """Type a command."""
    return CliRunner().invoke(app, ["fraud", *words], catch_exceptions=False)


def points(database: Database) -> int:
    """What the one member can spend."""
    with database.reading() as session:
        return available(session, [1], system_clock())[1]


def test_a_case_from_finding_to_decision(shop: Database) -> None:
    """Look, list, show, hold, take: each says what it did; a second decision is refused with status 1."""
    typed: Callable[..., Any] = run
    assert typed("list").exit_code == 0
    assert "1 new findings" in typed("look").stdout and typed("look").exit_code == 0
    listed = typed("list")
    assert listed.exit_code == 1 and "velocity_orders" in listed.stdout
    assert "80 points held" in typed("hold", "1").stdout and points(shop) == 0
    shown = typed("show", "1").stdout
    assert "member 1: 80 points at stake, 80 held" in shown and shown.count("  orders ") == 8 and "mend: " in shown
    assert "80 points of finding 1 were taken" in typed("confiscate", "1", "--note", "刷单").stdout
    refused = typed("dismiss", "1")
    assert refused.exit_code == 1 and "is confiscated" in refused.stderr
    assert "刷单" in typed("show", "1").stdout and "confiscated" in typed("list", "--all").stdout


def test_points_go_back(shop: Database) -> None:
    """Released or dismissed, the points are there again; a number that is none is told."""
    run("look")
    run("hold", "1")
    assert "80 points of finding 1 went back" in run("release", "1").stdout and points(shop) == 80
    assert run("show", "9").exit_code == 1
