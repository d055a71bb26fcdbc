"""The command line says what is wrong in one line, and with status 2."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from bot.cli import app


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("models promote 99", "no model 99"),
        ("models rollback", "no model was promoted before"),
        ("evaluate --chat forum", "no such chat: forum; choose from group, private, kf, oa"),
        ("classify 你好 --chat forum", "no such chat: forum"),
        ("serve --only web,cook", "no such part: cook; choose from web, work, deliver, tick"),
        ("emulate --target http://localhost", "no port in http://localhost"),
        ("talk nowhere.yaml", "nowhere.yaml: no such file"),
    ],
)
def test_wrong_use_is_told_in_a_line(line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who mistypes reads what to write instead, not a traceback."""
    monkeypatch.setenv("HUITOU_PATHS__MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HUITOU_STORAGE__URL", f"sqlite:///{tmp_path}/huitou.db")
    ended = CliRunner().invoke(app, line.split())
    assert ended.exit_code == 2
    assert said in ended.stderr.strip().splitlines()[-1]
    assert "Traceback" not in ended.stderr
