"""Training, judging and comparing models from the command line: what is typed, what comes out, the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from bot.cli import app
from bot.settings import load_settings
from bot.trainings import train_model
from intents import shelf
from tests.bot.small_brand import HELD_OUT, NONE, SENTENCES, write_config

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small brand with a good model in force, one that has unlearnt running_out, and one trained after that."""
    place = tmp_path_factory.mktemp("small")
    settings = load_settings(paths={"config": write_config(place / "config"), "models": place / "models"})
    quiet = lambda _done, _all: None  # noqa: E731
    shelf.promote(place / "models", train_model(settings, quiet))
    unlearnt = {**SENTENCES, "running_out": ["用罄", "弹尽粮绝", "颗粒无存"]}
    write_config(place / "config", unlearnt, (*NONE, *SENTENCES["running_out"]))
    train_model(settings, quiet)
    write_config(place / "config")
    return place


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Types a command with the small brand and a copy of its shelf."""
    copytree(trained / "models", tmp_path / "models")
    for name, value in {
        "HUITOU_SETTINGS": ROOT / "config/settings.toml", "HUITOU_PATHS__CONFIG": trained / "config",
        "HUITOU_PATHS__MODELS": tmp_path / "models", "HUITOU_STORAGE__URL": f"sqlite:///{tmp_path}/huitou.db",
        "HUITOU_LOG__LEVEL": "ERROR",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    configured = structlog.get_config()
    yield lambda *words: CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    structlog.configure(**configured)


def in_force(tmp_path: Path) -> str:
    """The number of the model in force."""
    folder = shelf.current(tmp_path / "models")
    assert folder is not None
    return folder.name


def test_a_worse_model_stays_on_the_shelf(run: Run, tmp_path: Path) -> None:
    """Its card says what fell and which sentences are newly wrong; promote refuses, --force does it and is noted."""
    shown = run("models", "show", 2).stdout
    assert "gate: refused, compared with model 1" in shown
    assert "running_out fell from F1" in shown and "newly wrong: 茶快喝完了: running_out" in shown
    refused = run("models", "promote", 2)
    assert refused.exit_code == 1 and "running_out fell" in refused.stderr and in_force(tmp_path) == "0001"
    assert "! running_out fell" in run("models", "list").stdout
    assert run("models", "promote", 2, "--force").exit_code == 0 and in_force(tmp_path) == "0002"
    assert "note: promoted by force although running_out fell" in run("models", "show").stdout
    assert run("models", "rollback").exit_code == 0 and in_force(tmp_path) == "0001"


@pytest.mark.faults
def test_training_that_makes_it_worse_is_a_finding(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, the card on the screen, the old model in force and the way round it."""
    worse = {**SENTENCES, "running_out": ["用罄", "弹尽粮绝", "颗粒无存"]}
    config = write_config(tmp_path / "config", worse, (*NONE, *SENTENCES["running_out"]))
    monkeypatch.setenv("HUITOU_PATHS__CONFIG", str(config))
    result = run("train")
    assert result.exit_code == 1 and in_force(tmp_path) == "0001"
    assert "gate: refused" in result.stdout and "newly wrong: 茶快喝完了" in result.stdout
    assert "running_out fell" in result.stderr and "huitou models promote 3 --force" in result.stderr


@pytest.mark.faults
def test_what_is_not_protected_may_fall(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same examples pass; worse ones pass too where the settings protect something else, or by force."""
    assert run("train").exit_code == 0 and in_force(tmp_path) == "0003"
    worse = {**SENTENCES, "running_out": ["用罄", "弹尽粮绝", "颗粒无存"]}
    config = write_config(tmp_path / "config", worse, (*NONE, *SENTENCES["running_out"]))
    monkeypatch.setenv("HUITOU_PATHS__CONFIG", str(config))
    assert run("train", "--force").exit_code == 0 and in_force(tmp_path) == "0004"
    assert run("models", "rollback").exit_code == 0
    monkeypatch.setenv("HUITOU_TRAINING__PROTECTED", '["opt_out"]')
    assert run("train").exit_code == 0 and in_force(tmp_path) == "0005"


def test_models_are_compared(run: Run) -> None:
    """Figures of both kinds of chat, the fallen scenario first, the sentences; against itself a model is calm."""
    result = run("models", "diff", 1, 2)
    assert result.exit_code == 0 and "group chats, 15 messages: model 1 → model 2" in result.stdout
    assert "private chats" in result.stdout and "茶快喝完了: running_out, was running_out, now none" in result.stdout
    calm = run("models", "diff", 1, 1).stdout
    assert "newly wrong: 0" in calm and "newly right: 0" in calm and "running_out" not in calm
    assert run("models", "diff", 1, 9).exit_code == 2
    assert run("models", "show", 9).exit_code == 2


def test_held_out_messages_are_judged(run: Run) -> None:
    """Without a file; text has each scenario, JSON the same figures; another model by its number."""
    told = run("evaluate")
    assert told.exit_code == 0 and "running_out" in told.stdout and "false triggers per 1,000" in told.stdout
    figures = json.loads(run("evaluate", "--json", "--chat", "private").stdout)
    assert figures["model"] == 1 and figures["messages"] == 15 and figures["none"] == 5
    assert figures["micro_f1"] == figures["by_chat"]["private"]["micro_f1"] > 0.8
    assert 0 < figures["speed"]["single_p50_ms"] <= figures["speed"]["single_p99_ms"]
    worse = json.loads(run("evaluate", "--json", "--chat", "private", "--model", 2).stdout)
    assert worse["model"] == 2 and worse["micro_f1"] < figures["micro_f1"]


def test_a_file_is_judged_and_its_bad_lines_are_named(run: Run, tmp_path: Path) -> None:
    """Good lines count, bad ones stand on standard error with their line, exit 1; the chat of a line goes first."""
    file = tmp_path / "set.jsonl"
    lines = [{"text": text, "labels": ["running_out"], "chat": "private"} for text in HELD_OUT["running_out"]]
    lines += [{"text": "晚上好", "labels": []}, {"text": "完", "labels": ["runing_out"]}]
    file.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n{\n", encoding="utf-8")
    result = run("evaluate", file, "--json")
    figures = json.loads(result.stdout)
    assert result.exit_code == 1 and figures["messages"] == 6
    assert f"{file}:7: labels: no such scenario" in result.stderr and f"{file}:8: " in result.stderr
    [line] = [line for line in figures["scenarios"] if line["id"] == "running_out"]
    private = figures["by_chat"]["private"]
    assert line["count"] == 5 and private["micro_f1"] == figures["micro_f1"]
    file.write_text("", encoding="utf-8")
    empty = run("evaluate", file, "--html", tmp_path / "empty.html")
    assert empty.exit_code == 0 and "0 messages" in empty.stdout


def test_a_report_has_pictures_and_loads_nothing(run: Run, tmp_path: Path) -> None:
    """Bars, heat map and calibration as SVG, Chinese headings, sentences escaped, no address of anything."""
    file, page = tmp_path / "set.jsonl", tmp_path / "out/report.html"
    lines = [{"text": "<script>快喝完了", "labels": []}, {"text": "茶快喝完了", "labels": ["running_out"]}]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert run("evaluate", file, "--chat", "private", "--html", page).exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") == 3 and "识别评测" in html and "混淆" in html and "校准" in html
    assert "http" not in html and "<script" not in html and "src=" not in html
    assert "&lt;script&gt;快喝完了" in html


@pytest.mark.faults
def test_cross_validation_judges_every_example_once(run: Run) -> None:
    """In folds; each example judged by a model that has not seen it."""
    result = run("evaluate", "--cross-validate", 2, "--json")
    figures = json.loads(result.stdout)
    assert result.exit_code == 0 and figures["messages"] == sum(map(len, SENTENCES.values())) + len(NONE)
    assert figures["model"] is None and figures["micro_f1"] > 0.3


def test_other_people_s_sets_are_learnt_and_judged(run: Run, tmp_path: Path) -> None:
    """Text and label, whatever the labels; accuracy, macro F1, times; bad lines are named."""
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    rows = [(text, label) for label, texts in SENTENCES.items() for text in texts]
    train.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in rows), encoding="utf-8")
    asked = [("茶快喝完了", "running_out"), ("我要转人工", "human_agent"), ("叫店长", "running_out")]
    test.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in asked), encoding="utf-8")
    figures = json.loads(run("evaluate", "--train", train, "--test", test, "--json").stdout)
    assert figures["test"]["accuracy"] == pytest.approx(2 / 3) and figures["train"]["labels"] == 2
    with train.open("a", encoding="utf-8") as file:
        file.write('\n{"text": "谁"}')
    result = run("evaluate", "--train", train, "--test", test)
    assert result.exit_code == 1 and f"{train}:{len(rows) + 1}: label: field required" in result.stderr
    assert "accuracy  0.6667" in result.stdout and "macro F1" in result.stdout and "messages/s" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--train", "a.jsonl"), ("--train", "gone.jsonl", "--test", "gone.jsonl"), ("gone.jsonl",),
        ("x.jsonl", "--cross-validate", "5"), ("--cross-validate", "1"), ("--cross-validate", "5", "--model", "1"),
        ("--train", "a", "--test", "b", "--html", "c"), ("--model", "9"), ("--chat", "wall"),
    ],
)  # fmt: skip
def test_wrong_use_of_evaluate_is_two(words: tuple[str, ...], run: Run) -> None:
    """Options that exclude each other, files and models that are not there."""
    result = run("evaluate", *words)
    assert result.exit_code == 2 and result.stderr and "Traceback" not in result.output


def test_why_is_told_in_words(run: Run, tmp_path: Path) -> None:
    """What was told over its threshold, what was not, the cue; without a model by keywords."""
    told = run("classify", "--why", "茶快喝完了", "上周喝完就补了", "--chat", "group").stdout
    assert "茶快喝完了  (group, model 1)" in told and "running_out 题: score" in told
    assert "for: " in told and "cue over: 上周喝完就补了" in told
    for entry in (tmp_path / "models").glob("current.json"):
        entry.unlink()
    assert "by keywords" in run("classify", "--why", "快吃完了").stdout
