"""The learnt model as plain arrays: scored by hand, stored without pickle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from intents.errors import ModelBroken, ModelMissing
from intents.features import BLOCKS
from intents.lookup import Lookup, Present
from intents.words import Cutter

Floats = NDArray[np.float32]

FORMAT = 1
ARRAYS_FILE = "weights.npz"
TEXTS_FILE = "model.json"
CHUNK = 128
_MARKS = str.maketrans("", "", "^$ ")


@dataclass(frozen=True)
class LinearModel:
    """One binary linear model per label over the same features.

    `vocabulary`: per block of `BLOCKS`, feature name -> row; rows count through all blocks.
    `idf`: (features,); `weights`: (features, labels) with idf and share multiplied in; `intercepts`, `slopes`,
    `offsets` (a score is sigmoid(slope * margin + offset)), `group`, `private` (thresholds): (labels,).
    """

    labels: tuple[str, ...]
    vocabulary: tuple[dict[str, int], ...]
    dictionary: dict[str, int]
    idf: Floats
    weights: Floats
    intercepts: Floats
    slopes: Floats
    offsets: Floats
    group: Floats
    private: Floats
    lexicon: tuple[str, ...] = ()
    _lookup: Lookup = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lookup = Lookup(self.vocabulary, self.idf, Cutter(self.dictionary, self.lexicon))
        object.__setattr__(self, "_lookup", lookup)

    def score(self, texts: Sequence[str]) -> Floats:
        """Calibrated scores in 0..1, shape (texts, labels); any string will do."""
        return self.calibrate(self.margins(texts))

    def calibrate(self, margins: Floats) -> Floats:
        """Margins turned into probabilities."""
        bent = np.clip(margins * self.slopes + self.offsets, -40.0, 40.0)
        return np.asarray(1.0 / (1.0 + np.exp(-bent)), np.float32)

    def margins(self, texts: Sequence[str]) -> Floats:
        """What the linear models say before calibration, shape (texts, labels)."""
        parts = [self.margins_of(self.read(texts[at : at + CHUNK])) for at in range(0, len(texts), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), np.float32)

    def read(self, texts: Sequence[str]) -> Present:
        """The features of at least one text, for `margins_of` and `explain`."""
        return self._lookup.read(texts)

    def margins_of(self, present: Present) -> Floats:
        """Margins of a batch that was read, shape (texts, labels)."""
        if len(present.lines) == 1:
            margins = (present.values @ self.weights[present.rows])[None, :]
        else:
            margins = np.zeros((len(present.lines), len(self.labels)), np.float32)
            begins, ends = present.starts[:-1], present.starts[1:]
            filled = begins < ends
            if filled.any():
                parts = self.weights[present.rows] * present.values[:, None]
                margins[filled] = np.add.reduceat(parts, begins[filled], axis=0)
        return np.asarray(margins + self.intercepts, np.float32)

    def explain(self, present: Present, pairs: Sequence[tuple[int, int]], most: int) -> list[list[str]]:
        """For pairs (message, place of a label): what spoke for it, strongest first.

        Names of features without boundary marks and spaces, `most` features looked at.
        """
        if not pairs:
            return []
        ats, places = np.array(pairs, np.int64).T
        firsts, sizes = present.starts[ats], present.starts[ats + 1] - present.starts[ats]
        ends = sizes.cumsum()
        pair = np.arange(len(pairs)).repeat(sizes)
        at = np.arange(len(pair)) + (firsts - ends + sizes)[pair]
        rows = present.rows[at]
        parts = present.values[at] * self.weights[rows, places[pair]]
        order = np.lexsort((-parts, pair))
        # Those that speak against it come last.
        found = rows[order].tolist()
        speaking = np.bincount(pair, parts > 0, len(pairs)).astype(np.int64)
        spans = zip((ends - sizes).tolist(), np.minimum(speaking, most).tolist(), strict=True)
        names = self._names
        return [[names[row] for row in found[first : first + count] if names[row]] for first, count in spans]

    @property
    def _names(self) -> list[str]:
        cached: list[str] | None = self.__dict__.get("_name_list")
        if cached is None:
            cached = [name.translate(_MARKS) for block in self.vocabulary for name in block]
            object.__setattr__(self, "_name_list", cached)
        return cached

    def save(self, folder: Path) -> None:
        """Write the model into a folder (made if need be); the same model gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        np.savez(folder / ARRAYS_FILE, **arrays)
        words = {
            "format": FORMAT,
            "labels": self.labels,
            "lexicon": self.lexicon,
            "vocabulary": [list(block) for block in self.vocabulary],
            "dictionary": self.dictionary,
        }
        text = json.dumps(words, ensure_ascii=False, separators=(",", ":"))
        # Broken characters in a name would stop the writing; they never reach a name, see `normalise`.
        (folder / TEXTS_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, lexicon: Sequence[str] = ()) -> LinearModel:
        """Read a model folder, with further brand words. Raises ModelMissing, ModelBroken."""
        if not (folder / TEXTS_FILE).is_file() or not (folder / ARRAYS_FILE).is_file():
            raise ModelMissing(f"no model in {folder}; train one and promote it")
        try:
            words = json.loads((folder / TEXTS_FILE).read_text(encoding="utf-8"))
            if words["format"] != FORMAT:
                raise ValueError(f"format {words['format']}, this version reads {FORMAT}")
            with (folder / ARRAYS_FILE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: np.asarray(stored[name], np.float32) for name in _ARRAYS}
            model = cls(
                labels=tuple(words["labels"]),
                vocabulary=_numbered(words["vocabulary"]),
                dictionary=words["dictionary"],
                lexicon=tuple(dict.fromkeys([*words["lexicon"], *lexicon])),
                **arrays,
            )
            model.check_shapes()
        except (ValueError, KeyError, TypeError, OSError, BadZipFile, EOFError) as error:
            raise ModelBroken(f"the model in {folder} cannot be read ({error}); roll back or retrain") from error
        return model

    def check_shapes(self) -> None:
        """Raises ValueError where arrays, labels and vocabulary do not fit each other."""
        features, labels = sum(map(len, self.vocabulary)), len(self.labels)
        if len(self.vocabulary) != len(BLOCKS):
            raise ValueError(f"{len(self.vocabulary)} blocks of features, {len(BLOCKS)} expected")
        if self.weights.shape != (features, labels) or self.idf.shape != (features,):
            raise ValueError(f"weights {self.weights.shape} for {features} features and {labels} labels")
        for name in ("intercepts", "slopes", "offsets", "group", "private"):
            if getattr(self, name).shape != (labels,):
                raise ValueError(f"{name} has shape {getattr(self, name).shape} for {labels} labels")


_ARRAYS = ("idf", "weights", "intercepts", "slopes", "offsets", "group", "private")


def _numbered(blocks: Sequence[Sequence[str]]) -> tuple[dict[str, int], ...]:
    start, numbered = 0, []
    for names in blocks:
        numbered.append({name: start + at for at, name in enumerate(names)})
        start += len(names)
    return tuple(numbered)
