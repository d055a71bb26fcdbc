"""A model held against labelled messages: figures with intervals, confusions, calibration, both kinds of chat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intents.classifier import PRIVATE_CHATS, Classifier
from intents.confusion import Confusion, confusions
from intents.evaluation import Report, report_on
from intents.intervals import Interval, Spread, f1_spread, wilson
from intents.model import LinearModel
from intents.reliability import Reliability, best_of, reliability
from intents.scenarios import Labelled

Bools = NDArray[np.bool_]
CHATS = ("group", "private")


@dataclass(frozen=True, slots=True)
class Message:
    """A labelled message and the kind of chat it was written in."""

    text: str
    labels: frozenset[str]
    chat: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What was true and what was told of messages; columns are `labels`, `told` has a table per kind of chat."""

    messages: tuple[Message, ...]
    labels: tuple[str, ...]
    truth: Bools
    told: dict[str, Bools]
    scores: NDArray[np.float32]

    def told_where_written(self) -> Bools:
        """Each message by the thresholds of its own chat."""
        private = np.array([message.chat in PRIVATE_CHATS for message in self.messages], np.bool_)
        return np.where(private[:, None], self.told["private"], self.told["group"])


@dataclass(frozen=True, slots=True)
class Figures:
    """The overall figures of one kind of chat, as if every message had been written there."""

    micro_f1: float
    macro_f1: float
    exact: float
    false_triggers_per_1000: float
    false_triggers_interval: Interval


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything told about a model on one set. `every`: calibration of all scores, `best`: of each message's best."""

    report: Report
    spread: Spread
    by_chat: dict[str, Figures]
    confusions: tuple[Confusion, ...]
    every: Reliability
    best: Reliability

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values, for JSON and templates."""
        report = self.report
        lines = [
            {
                "id": line.id, "count": line.right + line.missed, "precision": line.precision, "recall": line.recall,
                "f1": line.f1, "right": line.right, "false": line.false, "missed": line.missed,
                "precision_interval": wilson(line.right, line.right + line.false),
                "recall_interval": wilson(line.right, line.right + line.missed), "f1_interval": interval,
            }
            for line, interval in zip(report.lines, self.spread.each, strict=True)
        ]  # fmt: skip
        exact = report.messages - len(report.mistakes)
        return {
            "messages": report.messages, "none": report.none, "scenarios": lines,
            "micro_f1": report.micro_f1, "micro_f1_interval": self.spread.micro,
            "macro_f1": report.macro_f1, "macro_f1_interval": self.spread.macro,
            "exact": report.exact, "exact_interval": wilson(exact, report.messages),
            "false_triggers_per_1000": report.false_triggers_per_1000,
            "by_chat": {chat: asdict(figures) for chat, figures in self.by_chat.items()},
            "confusions": [asdict(confusion) for confusion in self.confusions],
            "calibration": {"every": asdict(self.every), "best": asdict(self.best)},
        }  # fmt: skip


def judge(model: LinearModel, messages: Sequence[Message]) -> Judged:
    """Ask the model for every message, in a group and in private."""
    classifier, texts = Classifier(model, "candidate"), [message.text for message in messages]
    labels = tuple(dict.fromkeys([*model.labels, *sorted({name for item in messages for name in item.labels})]))
    told = {
        chat: _table([{one.id for one in verdict.scenarios} for verdict in verdicts], labels)
        for chat in CHATS
        for verdicts in [classifier.classify(texts, [chat] * len(texts))]
    }
    scores = np.zeros((len(texts), len(labels)), np.float32)
    scores[:, : len(model.labels)] = model.score(texts)
    return Judged(tuple(messages), labels, _table([item.labels for item in messages], labels), told, scores)


def joined(parts: Sequence[Judged]) -> Judged:
    """Several judgements as one, in their order, such as the folds of a cross-validation."""
    labels = tuple(dict.fromkeys(label for part in parts for label in part.labels))

    def stacked(tables: Iterable[NDArray[Any]]) -> NDArray[Any]:
        wide = []
        for part, table in zip(parts, tables, strict=True):
            wide.append(np.zeros((len(table), len(labels)), table.dtype))
            wide[-1][:, [labels.index(label) for label in part.labels]] = table
        return np.vstack(wide)

    return Judged(
        tuple(message for part in parts for message in part.messages),
        labels,
        stacked(part.truth for part in parts),
        {chat: stacked(part.told[chat] for part in parts) for chat in CHATS},
        stacked(part.scores for part in parts),
    )


def assess(judged: Judged) -> Assessment:
    """The figures of what was judged."""
    told = judged.told_where_written()
    report = _report(judged, told)
    places = [judged.labels.index(line.id) for line in report.lines]
    scores, truth = judged.scores, judged.truth
    return Assessment(
        report=report,
        spread=f1_spread(truth[:, places], told[:, places]),
        by_chat={chat: _figures(judged, judged.told[chat]) for chat in CHATS},
        confusions=tuple(confusions(report.mistakes)),
        every=reliability(scores, truth),
        best=reliability(*best_of(scores, truth)) if scores.size else reliability(scores, truth),
    )


def _figures(judged: Judged, told: Bools) -> Figures:
    report = _report(judged, told)
    false = int((told.any(axis=1) & ~judged.truth.any(axis=1)).sum())
    low, high = wilson(false, report.none)
    per_1000 = Interval(1000 * low, 1000 * high)
    return Figures(report.micro_f1, report.macro_f1, report.exact, report.false_triggers_per_1000, per_1000)


def _report(judged: Judged, told: Bools) -> Report:
    sets = [frozenset(judged.labels[place] for place in row.nonzero()[0].tolist()) for row in told]
    return report_on([Labelled(item.text, item.labels) for item in judged.messages], sets)


def _table(sets: Sequence[frozenset[str] | set[str]], labels: Sequence[str]) -> Bools:
    table = np.zeros((len(sets), len(labels)), np.bool_)
    places = {label: at for at, label in enumerate(labels)}
    for at, names in enumerate(sets):
        table[at, [places[name] for name in names]] = True
    return table
