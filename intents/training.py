"""From labelled sentences to a model: features, one learner a label, calibration, thresholds.

The same examples, corrections, lexicon and seed give the same arrays to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from intents.classes import class_words
from intents.errors import TrainingRefused
from intents.model import LinearModel
from intents.pipeline import Analysers, analysers, learner, vectorisers
from intents.scenarios import SCENARIO_IDS, Labelled
from intents.text import normalise
from intents.thresholds import group_threshold, private_threshold
from intents.words import Cutter, base_dictionary

FOLDS = 5
CORRECTION_WEIGHT = 3.0
CLASS_WORD_FREQUENCY = 2000
FEWEST_PER_LABEL = 3
# Two needs in one message are rare among examples and common in life: pairs are joined to teach them.
JOINED_SHARE = 0.2
_JOINTS = (",", " ", "。", ";", ",对了", ",还有", ",顺便")
_LONGEST_JOINED = 24

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Row:
    text: str
    labels: frozenset[str]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class _Stacked:
    slopes: NDArray[Any]
    gates: NDArray[Any]
    offsets: NDArray[Any]
    group: NDArray[Any]
    private: NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Fitted:
    union: Any
    weights: NDArray[Any]
    intercepts: NDArray[Any]

    def margins(self, texts: Sequence[str]) -> NDArray[Any]:
        return np.asarray(self.union.transform(texts) @ self.weights + self.intercepts)


def train(
    examples: Sequence[Labelled],
    corrections: Sequence[Labelled],
    seed: int,
    lexicon: Sequence[str],
    progress: Progress | None = None,
    dictionary: Mapping[str, int] | None = None,
) -> LinearModel:
    """Learn from examples (labels empty for none) and admins' corrections, which weigh more.

    `progress(done, all)` is told after each of the steps; `dictionary` (word -> frequency) stands in for
    jieba's. Raises TrainingRefused where data is too thin.
    """
    rows = _rows(examples, corrections)
    labels = _labels(rows)
    cutter = Cutter(_with_classes(dictionary or base_dictionary()), sorted(set(lexicon)))
    by_block = analysers(cutter)
    tell = progress or (lambda done, steps: None)
    margins = np.zeros((len(rows), len(labels) + 1))
    for number, held in enumerate(_folds(len(rows), seed)):
        kept = [row for at, row in enumerate(rows) if at not in held]
        own = sorted(held)
        margins[own] = _fit(kept, labels, by_block, seed).margins([rows[at].text for at in own])
        tell(number + 1, FOLDS + 1)
    model = _compile(_fit(rows, labels, by_block, seed), labels, cutter, _stack(margins, _truth(rows, labels)))
    tell(FOLDS + 1, FOLDS + 1)
    return model


def _with_classes(dictionary: Mapping[str, int]) -> dict[str, int]:
    whole = dict(dictionary)
    for word in class_words():
        whole[word] = max(whole.get(word, 0), CLASS_WORD_FREQUENCY)
    return whole


def _rows(examples: Sequence[Labelled], corrections: Sequence[Labelled]) -> list[_Row]:
    rows: dict[str, _Row] = {}
    for item in examples:
        rows[normalise(item.text)] = _Row(normalise(item.text), item.labels)
    # A correction is the last word on a sentence.
    for item in corrections:
        rows[normalise(item.text)] = _Row(normalise(item.text), item.labels, CORRECTION_WEIGHT)
    rows.pop("", None)
    return list(rows.values())


def _labels(rows: Sequence[_Row]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for row in rows:
        for label in row.labels:
            counts[label] = counts.get(label, 0) + 1
    thin = sorted(label for label, count in counts.items() if count < FEWEST_PER_LABEL)
    if thin:
        raise TrainingRefused(f"fewer than {FEWEST_PER_LABEL} examples of {', '.join(thin)}; write more")
    if not counts or all(row.labels for row in rows):
        raise TrainingRefused("training needs examples of scenarios and messages with none; one of them is empty")
    known = [label for label in SCENARIO_IDS if label in counts]
    return (*known, *sorted(set(counts) - set(known)))


def _folds(size: int, seed: int) -> list[frozenset[int]]:
    order = list(range(size))
    Random(seed).shuffle(order)
    return [frozenset(order[number::FOLDS]) for number in range(FOLDS)]


def _truth(rows: Sequence[_Row], labels: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([[label in row.labels for label in labels] for row in rows], np.bool_)


def fewest_messages(size: int) -> int:
    """In how many of `size` messages a feature must stand to be learnt: more of them cost space and mislead."""
    return max(1, min(2, size // 1000))


def joined(rows: Sequence[_Row], seed: int) -> list[_Row]:
    """Pairs of short messages as one, labels united; the same seed gives the same pairs."""
    draw = Random(seed)
    short = [row for row in rows if len(row.text) <= _LONGEST_JOINED]
    carrying = [row for row in short if row.labels]
    if not carrying:
        return []
    pairs = []
    for _ in range(int(len(rows) * JOINED_SHARE)):
        first, second = draw.choice(carrying), draw.choice(short)
        if draw.random() < 0.5:
            first, second = second, first
        text = first.text + draw.choice(_JOINTS) + second.text
        pairs.append(_Row(text, first.labels | second.labels, 0.5))
    return pairs


def _fit(rows: Sequence[_Row], labels: tuple[str, ...], by_block: Analysers, seed: int) -> _Fitted:
    everything = [*rows, *joined(rows, seed)]
    union = vectorisers(by_block, fewest_messages(len(rows)))
    features = union.fit_transform([row.text for row in everything]).tocsr()
    weights_of_rows = np.array([row.weight for row in everything], np.float64)
    truth = _truth(everything, labels)
    # One learner more than labels: does the message carry anything at all?
    truth = np.column_stack([truth, truth.any(axis=1)])
    columns, intercepts = [], []
    for at in range(len(labels) + 1):
        positives = max(1.0, float(weights_of_rows[truth[:, at]].sum()))
        # The square root keeps rare labels audible without drowning the none class.
        weight = float(np.sqrt(weights_of_rows.sum() / positives) / 2.0)
        fitted = learner(seed, max(1.0, weight)).fit(features, truth[:, at], sample_weight=weights_of_rows)
        columns.append(fitted.coef_[0])
        intercepts.append(float(fitted.intercept_[0]))
    return _Fitted(union, np.array(columns).T, np.array(intercepts))


def _stack(margins: NDArray[Any], truth: NDArray[np.bool_]) -> _Stacked:
    """What margins of unseen sentences are worth: how much of its own and of "anything at all" a label takes."""
    own = margins[:, :-1].copy()
    slopes, offsets = [], []
    for at in range(truth.shape[1]):
        fitted = LogisticRegression(C=10.0).fit(margins[:, [at, -1]], truth[:, at])
        slope, gate = (max(float(value), least) for value, least in zip(fitted.coef_[0], (0.1, 0.0), strict=True))
        own[:, at] += gate / slope * margins[:, -1]
        slopes.append((slope, gate / slope))
        offsets.append(float(fitted.intercept_[0]))
    table = np.array(slopes)
    scores = 1.0 / (1.0 + np.exp(-(own * table[:, 0] + offsets)))
    none = np.logical_not(truth.any(axis=1))
    places = range(truth.shape[1])
    return _Stacked(
        slopes=table[:, 0],
        gates=table[:, 1],
        offsets=np.array(offsets),
        group=np.array([group_threshold(scores[:, at], truth[:, at], none) for at in places]),
        private=np.array([private_threshold(scores[:, at], truth[:, at]) for at in places]),
    )


def _compile(fitted: _Fitted, labels: tuple[str, ...], cutter: Cutter, stacked: _Stacked) -> LinearModel:
    start, vocabulary, scales, idfs = 0, [], [], []
    for name, vectoriser in fitted.union.transformer_list:
        names = [str(word) for word in vectoriser.get_feature_names_out()]
        vocabulary.append({word: start + at for at, word in enumerate(names)})
        idf = np.asarray(getattr(vectoriser, "idf_", np.ones(len(names))), np.float64)
        idfs.append(idf)
        scales.append(idf * fitted.union.transformer_weights[name])
        start += len(names)
    # The gate is linear too: folded into each label's weights it costs nothing when serving.
    weights = fitted.weights[:, :-1] + fitted.weights[:, -1:] * stacked.gates
    intercepts = fitted.intercepts[:-1] + fitted.intercepts[-1] * stacked.gates
    return LinearModel(
        labels=labels,
        vocabulary=tuple(vocabulary),
        dictionary=cutter.dictionary,
        idf=np.concatenate(idfs).astype(np.float32),
        weights=np.ascontiguousarray(weights * np.concatenate(scales)[:, None], np.float32),
        intercepts=intercepts.astype(np.float32),
        slopes=stacked.slopes.astype(np.float32),
        offsets=stacked.offsets.astype(np.float32),
        group=stacked.group.astype(np.float32),
        private=stacked.private.astype(np.float32),
    )
