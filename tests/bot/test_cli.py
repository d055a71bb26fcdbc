"""The command: what a person or a script types, what comes out, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from typer.testing import CliRunner

from bot.cli import app
from bot.database import Database
from bot.migrations import migrate
from handlers.talk import inbox
from handlers.talk.messages import Incoming
from intents import shelf
from loyalty import customers, ledger

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Types a command in a place of the test's own, with the sample configuration and a model."""
    for name, value in {
        "HUITOU_SETTINGS": ROOT / "config/settings.toml", "HUITOU_PATHS__CONFIG": ROOT / "config",
        "HUITOU_PATHS__MODELS": models, "HUITOU_STORAGE__URL": f"sqlite:///{tmp_path}/huitou.db",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    configured = structlog.get_config()
    runner = CliRunner()
    yield lambda *words, input=None: runner.invoke(app, list(words), input=input, catch_exceptions=False)
    structlog.configure(**configured)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Database]:
    """The database the commands look at, migrated."""
    database = Database(f"sqlite:///{tmp_path}/huitou.db")
    migrate(database)
    yield database
    database.dispose()


def objects(result: Any) -> list[dict[str, object]]:
    """One object a line."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_classify_takes_texts_as_words(run: Run) -> None:
    """One object a text, with the four fields, best first; nothing where there is none."""
    result = run("classify", "快吃完了,帮我查下积分", "周末去哪玩")
    first, second = objects(result)
    assert result.exit_code == 0 and list(first) == ["text", "scenarios", "unsure", "reasons"]
    scenarios = first["scenarios"]
    assert isinstance(scenarios, list)
    assert {one["id"] for one in scenarios} == {"running_out", "points_query"}
    assert [one["score"] for one in scenarios] == sorted((one["score"] for one in scenarios), reverse=True)
    assert second["scenarios"] == [] and first["text"] == "快吃完了,帮我查下积分"


def test_classify_reads_lines(run: Run) -> None:
    """Without words one text a line from standard input; empty lines are passed over."""
    result = run("classify", "--chat", "group", input="快吃完了\n\n我有多少积分\n")
    assert [item["text"] for item in objects(result)] == ["快吃完了", "我有多少积分"]


def test_classify_reads_objects(run: Run) -> None:
    """--jsonl: objects with text and chat."""
    result = run("classify", "--jsonl", input='{"text": "快吃完了", "chat": "group"}\n{"text": "退订"}\n')
    assert result.exit_code == 0
    assert [item["text"] for item in objects(result)] == ["快吃完了", "退订"]


@pytest.mark.parametrize(
    "line", ["快吃完了", '{"chat": "group"}', '["快吃完了"]', "{", '"text"', "3", '{"text": "a", "chat": "wall"}']
)
def test_classify_refuses_a_bad_line(line: str, run: Run) -> None:
    """Exit 2 with the line's number (or the chat's name) on standard error; what came before is out."""
    result = run("classify", "--jsonl", input='{"text": "退订"}\n' + line + "\n")
    assert result.exit_code == 2 and len(objects(result)) == 1
    assert "standard input:2" in result.stderr or "no such chat: wall" in result.stderr


def test_classify_refuses_a_chat_nobody_knows(run: Run) -> None:
    """Exit 2, naming those there are."""
    result = run("classify", "--chat", "wall", "快吃完了")
    assert result.exit_code == 2 and "group, private, kf, oa" in result.stderr


def test_check_is_fine_and_says_so(run: Run) -> None:
    """Exit 0 on what we ship."""
    result = run("check")
    assert (result.exit_code, result.stdout) == (0, "configuration is fine\n")


def test_check_with_findings_is_one(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit 1 with a line a finding and their number."""
    monkeypatch.setenv("HUITOU_PATHS__CONFIG", str(tmp_path))
    result = run("check")
    assert result.exit_code == 1
    assert f"{tmp_path}/programme.yaml: no such file" in result.stdout
    assert result.stdout.rstrip().endswith("findings")


def test_a_wrong_setting_is_wrong_use(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2 naming the variable, and no traceback."""
    monkeypatch.setenv("HUITOU_WEB__PORT", "many")
    result = run("audit")
    assert result.exit_code == 2 and "HUITOU_WEB__PORT" in result.stderr and "Traceback" not in result.output


def test_migrate_and_again(run: Run) -> None:
    """From nothing to this version, and once more with the same word; audit then finds the ledger sound."""
    first, second = run("migrate"), run("migrate")
    assert first.exit_code == second.exit_code == 0
    assert first.stdout == second.stdout and "revision" in first.stdout
    result = run("audit")
    assert (result.exit_code, result.stdout) == (0, "the ledger is sound\n")


@pytest.mark.parametrize("words", [("audit",), ("inbox", "list"), ("inbox", "retry", "1")])
def test_an_empty_database_says_what_to_run(words: tuple[str, ...], run: Run) -> None:
    """Exit 2 with the command that mends it."""
    result = run(*words)
    assert result.exit_code == 2 and "huitou migrate" in result.stderr


def test_audit_finds_what_was_tampered_with(run: Run, shop: Database) -> None:
    """A balance that no row explains is told, exit 1."""
    with shop.transaction() as session:
        member = customers.resolve(session, [("external_userid", "wmA")], NOW)[("external_userid", "wmA")]
        ledger.earn(session, member, 100, key="e", reason="start", ref="", at=NOW, expires_at=None)
        session.execute(text("UPDATE balances SET balance = 500"))
    result = run("audit")
    assert result.exit_code == 1 and "500" in result.stdout and "findings" in result.stdout


def test_set_aside_messages_are_listed_and_retried(run: Run, shop: Database) -> None:
    """list: number, tries and the error's last line, phone masked, exit 1; retry takes one up, once."""
    message = Incoming(key="m1", channel="kf", kind="text", sender="wmA", at=NOW, text="毒药")
    with shop.transaction() as session:
        inbox.store(session, [message], NOW)
        number = session.scalar(text("SELECT id FROM inbox"))
        inbox.put_aside(session, number, "Traceback ...\nValueError: call 13812345678", NOW)
    listed = run("inbox", "list")
    assert listed.exit_code == 1 and "1 set aside" in listed.stdout
    assert f"{number} 2026-11-20 04:00 tried 1 times: ValueError: call 138****5678" in listed.stdout
    assert run("inbox", "retry", str(number)).exit_code == 0
    assert run("inbox", "retry", str(number)).exit_code == 1
    assert run("inbox", "list").exit_code == 0


def test_models_are_listed_promoted_and_rolled_back(
    run: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A star marks the one in force; promote moves it, rollback moves it back."""
    root = tmp_path / "shelf"
    copytree(models / "0001", root / "0001")
    copytree(models / "0001", root / "0002")
    monkeypatch.setenv("HUITOU_PATHS__MODELS", str(root))
    assert [run("models", "promote", number).exit_code for number in ("1", "2")] == [0, 0]
    assert [line[:3] for line in run("models", "list").stdout.splitlines()] == ["  1", "* 2"]
    assert run("models", "rollback").stdout == "model 1 is in force\n"
    assert shelf.current(root) == root / "0001"


@pytest.mark.parametrize("words", [("promote", "99"), ("rollback",)])
def test_a_model_that_is_not_there_is_wrong_use(
    words: tuple[str, ...], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2 with one line that says what there is, and no traceback."""
    monkeypatch.setenv("HUITOU_PATHS__MODELS", str(tmp_path / "nothing"))
    result = run("models", *words)
    assert result.exit_code == 2 and "no model" in result.stderr


def test_talk_plays_a_transcript(run: Run, tmp_path: Path) -> None:
    """A conversation that goes as written is 0; one that does not is 1 with the step; a slip in the file is 2."""
    good = ROOT / "tests/conversations/yes_twice.yaml"
    result = run("talk", str(good))
    assert result.exit_code == 0 and result.stdout == "1 played in one way, 0 went wrong\n"
    written = good.read_text(encoding="utf-8")
    bad = tmp_path / "bad.yaml"
    bad.write_text(written.replace("points: 2500", "points: 2499", 1), encoding="utf-8")
    result = run("talk", str(bad))
    assert result.exit_code == 1 and "1 played in one way, 1 went wrong" in result.stdout
    step, _, difference = result.stdout.partition("2. ")[2].partition("- expected 2499 points")
    assert "确认" in step and "3. " not in step and "+ got 2500 points" in difference
    bad.write_text(written.replace("answered:", "answred:", 1), encoding="utf-8")
    result = run("talk", str(bad))
    assert result.exit_code == 2 and "bad.yaml:6: talk.0.answred" in result.stderr
    assert run("talk", str(tmp_path / "gone.yaml")).exit_code == 2


@pytest.mark.parametrize(
    "words", [("serve", "--only", "nonsense"), ("serve", "--only", "web,wrk"), ("fly",), ("models", "promote", "x")]
)
def test_wrong_use_is_two(words: tuple[str, ...], run: Run) -> None:
    """A part, a command or a number that is none."""
    assert run(*words).exit_code == 2


def test_serve_on_an_old_schema_says_what_to_run(run: Run) -> None:
    """It does not start and names the command."""
    result = run("serve", "--only", "tick")
    assert result.exit_code == 2 and "run huitou migrate" in result.stderr


def test_evaluate_prints_a_table(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scenario stands in it; without a model it says what to run, exit 1; a chat that is none is 2."""
    result = run("evaluate")
    assert result.exit_code == 0 and "running_out" in result.stdout
    assert run("evaluate", "--chat", "wall").exit_code == 2
    monkeypatch.setenv("HUITOU_PATHS__MODELS", str(tmp_path / "nothing"))
    result = run("evaluate")
    assert result.exit_code == 1 and "huitou train" in result.stderr
