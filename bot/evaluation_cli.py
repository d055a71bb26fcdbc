"""`huitou evaluate`: how good a model is, on a file, on what was held out, in folds, on other people's sets."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import quantiles
from typing import Annotated, Any

import typer
from rich.progress import Progress

from bot.brands import read_corpus, read_programme, read_scenarios
from bot.clock import monotonic_s
from bot.command import FINDINGS, FINE, WRONG_USE, command, err, say, settings_in_force
from bot.evaluation_text import general_lines, report_lines
from bot.labelled_files import read_messages, read_sentences
from bot.settings import Settings
from bot.understanding_cli import CHATS
from intents import shelf
from intents.assessment import Message, assess, judge
from intents.classifier import Classifier
from intents.model import LinearModel

_SINGLES, _BATCH, _WARM = 500, 1000, 20


@command
def evaluate(
    file: Annotated[Path | None, typer.Argument(help="Objects with text, labels and, if wanted, chat.")] = None,
    chat: Annotated[str, typer.Option(help="Whose thresholds hold where a line names no chat.")] = "group",
    model: Annotated[int | None, typer.Option(help="Which model; without it the one in force.")] = None,
    folds: Annotated[
        int | None, typer.Option("--cross-validate", min=2, max=20, help="Judge config/scenarios in so many folds.")
    ] = None,
    train: Annotated[Path | None, typer.Option(help="Learn from objects with text and label; needs --test.")] = None,
    test: Annotated[Path | None, typer.Option(help="Judge by these; needs --train.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as one JSON object.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a report with pictures there too.")] = None,
) -> int:
    """Judge the model in force: on FILE, or on config/heldout (synthetic); bad lines are named, status 1."""
    if wrong := _wrong_use(file, chat, model, folds, train, test, html):
        err.print(wrong, markup=False)
        return WRONG_USE
    if train is not None and test is not None:
        return _evaluate_general(train, test, as_json)
    settings = settings_in_force()
    folder = shelf.current(settings.paths.models) if model is None else shelf.folder(settings.paths.models, model)
    if folder is None and folds is None:
        err.print("no model is in force; run huitou train")
        return FINDINGS
    problems: list[str] = []
    if folds is not None:
        figures = _cross_validated(settings, folds, chat)
    else:
        messages, source = _messages(settings, file, chat, problems)
        figures = _judged(settings, folder or Path(), messages, source)
    for problem in problems:
        err.print(problem, markup=False)
    _show(figures, settings, as_json, html)
    return FINDINGS if problems else FINE


def _wrong_use(
    file: Path | None, chat: str, model: int | None, folds: int | None, train: Path | None, test: Path | None,
    html: Path | None,
) -> str:  # fmt: skip
    if chat not in CHATS:
        return f"no such chat: {chat}; choose from {', '.join(CHATS)}"
    if (train is None) != (test is None):
        return "--train and --test go together; name both files"
    if sum([file is not None, folds is not None, train is not None]) > 1:
        return "FILE, --cross-validate and --train exclude each other; choose one"
    if train is not None and (html is not None or model is not None):
        return "--train makes a model of its own and no pages; leave out --model and --html"
    if folds is not None and model is not None:
        return "--cross-validate makes models of its own; leave out --model"
    return ""


def _messages(settings: Settings, file: Path | None, chat: str, problems: list[str]) -> tuple[list[Message], str]:
    if file is not None:
        messages, found = read_messages(file, read_scenarios(settings.paths.config), chat)
        problems += found
        return messages, str(file)
    corpus = read_corpus(settings.paths.config, read_programme(settings.paths.config))
    return [Message(item.text, item.labels, chat) for item in corpus.heldout], "config/heldout (synthetic)"


def _judged(settings: Settings, folder: Path, messages: Sequence[Message], source: str) -> dict[str, Any]:
    from bot.brands import read_lexicon

    model = LinearModel.load(folder, read_lexicon(settings.paths.config, read_programme(settings.paths.config)))
    figures = assess(judge(model, messages)).as_dict() if messages else {"messages": 0}
    speed = _speed(Classifier(model, folder.name), messages) if messages else None
    return {"source": source, "model": int(folder.name), **figures, "speed": speed}


def _cross_validated(settings: Settings, folds: int, chat: str) -> dict[str, Any]:
    from bot.trainings import cross_validate

    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("training", total=None)
        judged = cross_validate(
            settings, folds, chat, lambda done, steps: bar.update(task, completed=done, total=steps)
        )
    source = f"config/scenarios (synthetic) in {folds} folds"
    return {"source": source, "model": None, **assess(judged).as_dict(), "speed": None}


def _speed(classifier: Classifier, messages: Sequence[Message]) -> dict[str, float]:
    """Milliseconds of single messages and the rate of batches, on this machine as busy as it is."""
    texts, chats = [item.text for item in messages], [item.chat for item in messages]
    classifier.classify(texts[:_WARM], chats[:_WARM])
    singles = []
    for text, chat in list(zip(texts, chats, strict=True))[:_SINGLES]:
        started = monotonic_s()
        classifier.classify([text], [chat])
        singles.append(1000 * (monotonic_s() - started))
    many = -(-_BATCH // len(texts))
    started = monotonic_s()
    classifier.classify(texts * many, chats * many)
    rate = many * len(texts) / max(monotonic_s() - started, 1e-9)
    cuts = quantiles(singles, n=100, method="inclusive") if len(singles) > 1 else singles * 99
    return {"single_p50_ms": cuts[49], "single_p99_ms": cuts[98], "batch_per_s": rate}


def _show(figures: dict[str, Any], settings: Settings, as_json: bool, html: Path | None) -> None:
    if html is not None:
        from bot.evaluation_report import page

        titles = {name: scenario.title for name, scenario in read_scenarios(settings.paths.config).items()}
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(figures, titles), encoding="utf-8")
        err.print(f"report written to {html}", markup=False)
    if as_json:
        sys.stdout.write(json.dumps(figures, ensure_ascii=False, indent=1) + "\n")
        return
    for line in report_lines(figures):
        say(line)


def _evaluate_general(train: Path, test: Path, as_json: bool) -> int:
    from bot.trainings import SEED
    from intents import general

    learnt, problems = read_sentences(train)
    asked, further = read_sentences(test)
    for problem in (*problems, *further):
        err.print(problem, markup=False)
    started = monotonic_s()
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("training", total=None)
        model = general.fit(learnt, SEED, lambda done, steps: bar.update(task, completed=done, total=steps))
    took_s = monotonic_s() - started
    texts = [item.text for item in asked]
    model.predict(texts[:_WARM])
    singles = []
    for text in texts[:_SINGLES]:
        started = monotonic_s()
        model.predict([text])
        singles.append(1000 * (monotonic_s() - started))
    started = monotonic_s()
    told = model.predict(texts)
    rate = len(texts) / max(monotonic_s() - started, 1e-9)
    cuts = quantiles(singles, n=100, method="inclusive") if len(singles) > 1 else (singles or [0.0]) * 99
    figures = {
        "train": {"file": str(train), "sentences": len(learnt), "labels": len(model.labels)},
        "test": {"file": str(test), **asdict(general.score_of([item.label for item in asked], told))},
        "features": model.features,
        "training_s": took_s,
        "speed": {"single_p50_ms": cuts[49], "single_p99_ms": cuts[98], "batch_per_s": rate},
    }
    if as_json:
        sys.stdout.write(json.dumps(figures, ensure_ascii=False, indent=1) + "\n")
    else:
        for line in general_lines(figures):
            say(line)
    return FINDINGS if problems or further else FINE
