"""`huitou sop` as it is typed: what there is, what it would do, what it did and why, holding one back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot import sop_cli
from bot.database import Database
from bot.rehearsal import Rehearsal
from handlers.brand import Brand

NOON = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
Run = Callable[..., str]


@pytest.fixture
def run(database: Database, shop_brand: Brand, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Types a command against this brand and database; gives what it printed."""
    monkeypatch.setattr(sop_cli, "load_brand", lambda _settings: shop_brand)
    monkeypatch.setattr(sop_cli, "ready_database", lambda _settings: database)

    def type_in(*words: Any, status: int = 0) -> str:
        done = CliRunner().invoke(sop_cli.sop_app, [str(word) for word in words], catch_exceptions=False)
        assert done.exit_code == status, done.output
        return done.output

    return type_in


@pytest.mark.either_engine
def test_a_follow_up_from_the_command_line(run: Run, database: Database, shop_brand: Brand, tmp_path: Path) -> None:
    """Listed, shown with its flow, held back and let go; reasons by a name; a misspelt name is told."""
    stage = Rehearsal(database, shop_brand, NOON)
    stage.open()
    stage.hear("running_out", stage.member("阿青"), "阿青")
    assert "running_out" in run("list") and "食用周期结束" in run("list")
    flow = tmp_path / "flow.svg"
    assert "食用周期结束 (running_out)" in run("show", "running_out", "--svg", flow) and "<svg" in flow.read_text()
    assert "running_out is paused" in run("pause", "running_out") and "paused" in run("list")
    assert "goes on" in run("resume", "running_out") and "was not paused" in run("resume", "running_out")
    assert "已发出" in run("why", "阿青")
    run("why", "nobody", status=1)
    assert "running_out" in run("report", "running_out")
    run("show", "runing_out", status=2)


@pytest.mark.either_engine
def test_a_dry_run_from_the_command_line(run: Run, database: Database, shop_brand: Brand) -> None:
    """Ghosts by default, members of then with --past; with nobody known then it says so."""
    ghosts = run("dry-run", "complaint", "--days", 5, "--ghosts", 3, "--from", "2026-11-02")
    assert ghosts.splitlines()[-1].startswith("5 天, 3 位幽灵会员: ")
    past = ("dry-run", "complaint", "--days", 5, "--past", 10, "--from", "2026-11-16")
    run(*past, status=1)
    Rehearsal(database, shop_brand, NOON).member("阿青")
    assert run(*past).splitlines()[-1] == "5 天, 1 位会员: 无人进入"
