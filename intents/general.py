"""The engine on anybody's labelled sentences: one label a sentence, whatever the labels are.

The same kinds of features and learners as for scenarios, without what a shop brings: no classes of words, no cues, no
thresholds. The label with the highest score is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intents.errors import TrainingRefused
from intents.intervals import Interval, wilson
from intents.text import normalise_all
from intents.words import Cutter, base_dictionary

Progress = Callable[[int, int], None]
Names = tuple[list[str], ...]

# How much of a sentence's length each kind of feature may have; chosen by cross-validation, see docs/why.
SHARES = {"chars": 1.0, "words": 0.5, "sounds": 0.5}
STEPS = 3
_COST = 1.0
_DAMPED = np.array([0.0, *(1.0 + math.log(count) for count in range(1, 1024))])


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text and its one label."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Score:
    """How often the right label was told, and the mean F1 of the labels that occur."""

    sentences: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float


class GeneralModel:
    """Learnt weights as plain arrays; answers do not depend on earlier calls."""

    def __init__(
        self,
        labels: Sequence[str],
        cutter: Cutter,
        vocabulary: Sequence[dict[str, int]],
        idf: NDArray[Any],
        weights: NDArray[Any],
        intercepts: NDArray[Any],
    ) -> None:
        self.labels = tuple(labels)
        self._reader = _Reader(cutter)
        self._gets = [block.get for block in vocabulary]
        self._kinds = np.repeat(np.arange(len(vocabulary)), [len(block) for block in vocabulary])
        self._idf = idf.astype(np.float32)
        shares = np.array(list(SHARES.values()), np.float32)[self._kinds]
        self._weights = np.ascontiguousarray(weights * shares[:, None], np.float32)
        self._intercepts = intercepts.astype(np.float32)

    @property
    def features(self) -> int:
        """How many features have a weight."""
        return len(self._idf)

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What speaks for each label, shape (texts, labels); comparable within one text."""
        table = np.empty((len(texts), len(self.labels)), np.float32)
        for at, text in enumerate(normalise_all(texts)):
            table[at] = self._margins(self._reader.names(text))
        return table

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The best label of each text, in order."""
        return [self.labels[at] for at in self.scores(texts).argmax(axis=1)] if texts else []

    def _margins(self, names: Names) -> NDArray[np.float32]:
        found = [row for get, own in zip(self._gets, names, strict=True) for row in map(get, own) if row is not None]
        if not found:
            return self._intercepts
        rows, counts = np.unique(np.array(found), return_counts=True)
        values = _DAMPED[np.minimum(counts, len(_DAMPED) - 1)] * self._idf[rows]
        kinds = self._kinds[rows]
        lengths = np.sqrt(np.bincount(kinds, values * values))
        return np.asarray((values / lengths[kinds]).astype(np.float32) @ self._weights[rows] + self._intercepts)


def fit(
    sentences: Sequence[Sentence],
    seed: int,
    progress: Progress | None = None,
    dictionary: Mapping[str, int] | None = None,
) -> GeneralModel:
    """Learn from sentences; the same ones and seed give the same model. Raises TrainingRefused under two labels.

    `dictionary` (word -> frequency) stands in for jieba's.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion
    from sklearn.svm import LinearSVC

    truth = np.array([item.label for item in sentences])
    labels = sorted(set(truth.tolist()))
    if len(labels) < 2:
        raise TrainingRefused(f"{len(labels)} labels among {len(sentences)} sentences; there must be two or more")
    tell = progress or (lambda done, steps: None)
    cutter = Cutter(dictionary or base_dictionary())
    reader = _Reader(cutter)
    read = [reader.names(text) for text in normalise_all([item.text for item in sentences])]
    union = FeatureUnion(
        [
            (kind, TfidfVectorizer(analyzer=lambda names, at=at: names[at], sublinear_tf=True, dtype=np.float32))
            for at, kind in enumerate(SHARES)
        ],
        transformer_weights=SHARES,
    )
    features = union.fit_transform(read)
    tell(1, STEPS)
    columns = 1 if len(labels) == 2 else len(labels)
    weights, intercepts = np.zeros((features.shape[1], columns)), np.zeros(columns)
    # Two learners that weigh rare labels differently; their mean is no worse than the better on any set tried.
    for number, weight in enumerate((None, "balanced")):
        learnt = LinearSVC(C=_COST, class_weight=weight, random_state=seed).fit(features, truth)
        weights, intercepts = weights + learnt.coef_.T, intercepts + learnt.intercept_
        tell(2 + number, STEPS)
    if len(labels) == 2:
        # For two labels scikit-learn learns one line: for the second of them, against the first.
        weights, intercepts = np.hstack([-weights, weights]), np.concatenate([-intercepts, intercepts])
    return _compiled(labels, cutter, union, weights, intercepts)


def score(model: GeneralModel, sentences: Sequence[Sentence]) -> Score:
    """The model's labels against the right ones."""
    return score_of([item.label for item in sentences], model.predict([item.text for item in sentences]))


def score_of(truth: Sequence[str], told: Sequence[str]) -> Score:
    """Told labels against the right ones, whoever told them."""
    right = sum(one == other for one, other in zip(truth, told, strict=True))
    f1 = []
    for label in set(truth):
        hits = sum(one == other == label for one, other in zip(truth, told, strict=True))
        f1.append(2 * hits / (truth.count(label) + told.count(label)))
    return Score(
        len(truth),
        right / len(truth) if truth else 1.0,
        wilson(right, len(truth)),
        sum(f1) / len(f1) if f1 else 1.0,
    )


def _compiled(
    labels: Sequence[str], cutter: Cutter, union: Any, weights: NDArray[Any], intercepts: NDArray[Any]
) -> GeneralModel:
    start, vocabulary, idfs = 0, [], []
    for _, vectoriser in union.transformer_list:
        names = vectoriser.get_feature_names_out().tolist()
        vocabulary.append({name: start + at for at, name in enumerate(names)})
        idfs.append(vectoriser.idf_)
        start += len(names)
    return GeneralModel(labels, cutter, vocabulary, np.concatenate(idfs), weights, intercepts)


class _Reader:
    """A normalised text as names: characters and their pairs, words, syllables and their pairs, with boundaries."""

    def __init__(self, cutter: Cutter) -> None:
        self._cut = cutter.cut
        self._sounds = _Sounds()

    def names(self, text: str) -> Names:
        chars = ["^", *text, "$"]
        sounds = ["^", *map(self._sounds.__getitem__, text), "$"]
        return [*chars, *_pairs(chars)], self._cut(text), [*sounds, *_pairs(sounds)]


class _Sounds(dict[str, str]):
    """The syllable of a character, asked of pypinyin once; what has none stands for itself."""

    def __missing__(self, sign: str) -> str:
        from pypinyin import lazy_pinyin

        found = lazy_pinyin(sign)
        self[sign] = found[0] if found else sign
        return self[sign]


def _pairs(parts: Sequence[str]) -> Iterator[str]:
    return (f"{left} {right}" for left, right in pairwise(parts))
