"""From labelled sentences to a model: features, one learner a label, calibration, thresholds.

The same examples, corrections, lexicon and seed give the same arrays to the bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from intents.classes import class_words
from intents.errors import TrainingRefused
from intents.features import BLOCKS
from intents.lookup import Lookup
from intents.model import LinearModel
from intents.pipeline import analysers, learner
from intents.scenarios import SCENARIO_IDS, Labelled
from intents.text import normalise_all
from intents.thresholds import group_threshold, private_threshold
from intents.words import Cutter, base_dictionary

FOLDS = 5
CORRECTION_WEIGHT = 3.0
CLASS_WORD_FREQUENCY = 2000
FEWEST_PER_LABEL = 3
_PROCESSES = 2
# The solver draws from one generator per process, so threads would mix their draws; few rows do not pay a process.
_FEWEST_ROWS_FOR_PROCESSES = 4000

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
    weights: NDArray[Any]
    intercepts: NDArray[Any]

    def margins(self, features: Any) -> NDArray[Any]:
        return np.asarray(features @ self.weights + self.intercepts)


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
    labels, texts = _labels(rows), [row.text for row in rows]
    cutter = Cutter(_with_classes(dictionary or base_dictionary()), sorted(set(lexicon)))
    tell = progress or (lambda done, steps: None)
    steps = FOLDS + 3
    vocabulary = vocabulary_of(texts, cutter)
    idf = _idf(texts, vocabulary, cutter)
    features = _features(texts, vocabulary, idf, cutter)
    truth, weights = _truth(rows, labels), np.array([row.weight for row in rows])
    tell(1, steps)
    margins = np.zeros((len(rows), len(labels) + 1))
    folds = [sorted(held) for held in _folds(len(rows), seed)]
    kept = [np.setdiff1d(np.arange(len(rows)), held) for held in folds] + [np.arange(len(rows))]
    parallel = Parallel(
        n_jobs=_PROCESSES if len(rows) >= _FEWEST_ROWS_FOR_PROCESSES else 1, return_as="generator", max_nbytes=None
    )
    fits = []
    for fitted in parallel(delayed(_fit)(features[own], truth[own], weights[own], seed) for own in kept):
        fits.append(fitted)
        tell(len(fits) + 1, steps)
    for held, fitted in zip(folds, fits, strict=False):
        margins[held] = fitted.margins(features[held])
    fitted = fits[-1]
    stacked = _stack(margins, truth, labels)
    tell(steps, steps)
    return _compile(fitted, labels, vocabulary, idf, cutter, stacked)


def _with_classes(dictionary: Mapping[str, int]) -> dict[str, int]:
    whole = dict(dictionary)
    for word in class_words():
        whole[word] = max(whole.get(word, 0), CLASS_WORD_FREQUENCY)
    return whole


def _rows(examples: Sequence[Labelled], corrections: Sequence[Labelled]) -> list[_Row]:
    rows: dict[str, _Row] = {}
    # A correction is the last word on a sentence.
    for items, weight in ((examples, 1.0), (corrections, CORRECTION_WEIGHT)):
        for item, text in zip(items, normalise_all([item.text for item in items]), strict=True):
            rows[text] = _Row(text, item.labels, weight)
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
    return max(1, min(3, size // 1000))


def vocabulary_of(texts: Sequence[str], cutter: Cutter) -> tuple[dict[str, int], ...]:
    """Per block the features of normalised texts that stand in enough of them, numbered through all blocks."""
    fewest, start, vocabulary = fewest_messages(len(texts)), 0, []
    for block, analyse in zip(BLOCKS, analysers(cutter).values(), strict=True):
        messages = Counter(name for text in texts for name in set(analyse(text)))
        names = sorted(name for name, count in messages.items() if count >= fewest or not block.scaled)
        vocabulary.append({name: start + at for at, name in enumerate(names)})
        start += len(names)
    return tuple(vocabulary)


def _idf(texts: Sequence[str], vocabulary: Sequence[dict[str, int]], cutter: Cutter) -> NDArray[np.float32]:
    """ln((1 + messages) / (1 + messages with it)) + 1, scikit-learn's smoothed form; 1 for what is not weighed."""
    size = sum(map(len, vocabulary))
    rows_of = Lookup(vocabulary, np.ones(size, np.float32), cutter).read(texts).rows
    idf = np.log((1 + len(texts)) / (1 + np.bincount(rows_of, minlength=size))) + 1
    weighed = np.repeat([block.idf for block in BLOCKS], [len(block) for block in vocabulary])
    return np.where(weighed, idf, 1.0).astype(np.float32)


def _scale(vocabulary: Sequence[dict[str, int]], idf: NDArray[np.float32]) -> NDArray[np.float64]:
    shares = np.repeat([block.share for block in BLOCKS], [len(block) for block in vocabulary])
    return np.asarray(idf * shares, np.float64)


def _features(
    texts: Sequence[str], vocabulary: Sequence[dict[str, int]], idf: NDArray[np.float32], cutter: Cutter
) -> Any:
    """What serving will see of the texts, as one sparse row each."""
    present = Lookup(vocabulary, idf, cutter).read(texts)
    values = present.values * _scale(vocabulary, idf)[present.rows]
    return csr_matrix((values, present.rows, present.starts), shape=(len(texts), len(idf)))


def _fit(features: Any, truth: NDArray[np.bool_], weights: NDArray[Any], seed: int) -> _Fitted:
    # One learner more than labels: does the message carry anything at all?
    columns = np.column_stack([truth, truth.any(axis=1)]).T

    def fit_column(column: NDArray[np.bool_]) -> Any:
        positives = max(1.0, float(weights[column].sum()))
        # The square root keeps rare labels audible without drowning the none class.
        weight = max(1.0, float(np.sqrt(weights.sum() / positives) / 2.0))
        return learner(seed, weight).fit(features, column, sample_weight=weights)

    fitted = [fit_column(column) for column in columns]
    return _Fitted(np.array([one.coef_[0] for one in fitted]).T, np.array([float(one.intercept_[0]) for one in fitted]))


def _stack(margins: NDArray[Any], truth: NDArray[np.bool_], labels: Sequence[str]) -> _Stacked:
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
        group=np.array([group_threshold(labels[at], scores[:, at], truth[:, at], none) for at in places]),
        private=np.array([private_threshold(scores[:, at], truth[:, at]) for at in places]),
    )


def _compile(
    fitted: _Fitted,
    labels: tuple[str, ...],
    vocabulary: tuple[dict[str, int], ...],
    idf: NDArray[np.float32],
    cutter: Cutter,
    stacked: _Stacked,
) -> LinearModel:
    # The gate is linear too: folded into each label's weights it costs nothing when serving.
    weights = fitted.weights[:, :-1] + fitted.weights[:, -1:] * stacked.gates
    intercepts = fitted.intercepts[:-1] + fitted.intercepts[-1] * stacked.gates
    return LinearModel(
        labels=labels,
        vocabulary=vocabulary,
        dictionary=cutter.dictionary,
        idf=idf,
        weights=np.ascontiguousarray(weights * _scale(vocabulary, idf)[:, None], np.float32),
        intercepts=intercepts.astype(np.float32),
        slopes=stacked.slopes.astype(np.float32),
        offsets=stacked.offsets.astype(np.float32),
        group=stacked.group.astype(np.float32),
        private=stacked.private.astype(np.float32),
    )
