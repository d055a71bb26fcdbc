"""The learnt model as plain arrays: scored by hand, stored without pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from intents.errors import ModelBroken, ModelMissing
from intents.features import BLOCKS, blocks_of
from intents.text import normalise
from intents.words import Cutter

Floats = NDArray[np.float32]
# Rows of the weights and their values, in step.
Present = tuple[list[int], list[float]]

FORMAT = 1
ARRAYS_FILE = "weights.npz"
TEXTS_FILE = "model.json"
CHUNK = 128
# 1 + ln(count), as scikit-learn's sublinear_tf has it.
_DAMPED = [0.0, *(1.0 + math.log(count) for count in range(1, 1024))]


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
    _cutter: Cutter = field(init=False, repr=False, compare=False)
    _squares: list[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_cutter", Cutter(self.dictionary, self.lexicon))
        object.__setattr__(self, "_squares", (self.idf.astype(np.float64) ** 2).tolist())

    def score(self, texts: Sequence[str]) -> Floats:
        """Calibrated scores in 0..1, shape (texts, labels); any string will do."""
        return self.calibrate(self.margins(texts))

    def calibrate(self, margins: Floats) -> Floats:
        """Margins turned into probabilities."""
        bent = np.clip(margins * self.slopes + self.offsets, -40.0, 40.0)
        return np.asarray(1.0 / (1.0 + np.exp(-bent)), np.float32)

    def margins(self, texts: Sequence[str]) -> Floats:
        """What the linear models say before calibration, shape (texts, labels)."""
        return self.margins_of([self.present(text) for text in texts])

    def margins_of(self, messages: Sequence[Present]) -> Floats:
        """Margins of messages whose features were looked up by `present`, shape (messages, labels)."""
        if len(messages) == 1:
            rows, values = messages[0]
            found = np.array(values, np.float32) @ self.weights[rows] if rows else 0.0
            return np.asarray(found + self.intercepts, np.float32)[None, :]
        parts = [self._chunk(messages[at : at + CHUNK]) for at in range(0, len(messages), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), np.float32)

    def _chunk(self, messages: Sequence[Present]) -> Floats:
        rows: list[int] = []
        values: list[float] = []
        starts: list[int] = []
        for own_rows, own_values in messages:
            starts.append(len(rows))
            # reduceat needs at least one entry a message; a zero changes nothing.
            rows += own_rows or [0]
            values += own_values or [0.0]
        products = self.weights[rows] * np.array(values, np.float32)[:, None]
        return np.asarray(np.add.reduceat(products, starts, axis=0) + self.intercepts, np.float32)

    def present(self, text: str) -> Present:
        """Rows and values of the known features of any string."""
        rows: list[int] = []
        values: list[float] = []
        squares = self._squares
        names = blocks_of(normalise(text), self._cutter)
        for block, vocabulary, found in zip(BLOCKS, self.vocabulary, names, strict=True):
            counts: dict[int, int] = {}
            for name in found:
                row = vocabulary.get(name)
                if row is not None:
                    counts[row] = counts.get(row, 0) + 1
            rows += counts
            if not block.scaled:
                values += [1.0] * len(counts)
                continue
            damped = [_DAMPED[count] for count in counts.values()]
            length = math.sqrt(sum(v * v * squares[r] for r, v in zip(counts, damped, strict=True))) or 1.0
            values += [value / length for value in damped]
        return rows, values

    def explain(self, message: Present, label: str, most: int = 4) -> list[tuple[str, float]]:
        """The features of a message that spoke for a label, strongest first: (name, part of the margin)."""
        rows, values = message
        if not rows:
            return []
        parts = np.array(values, np.float32) * self.weights[rows, self.labels.index(label)]
        order = np.argsort(-parts, kind="stable")[:most]
        names = self._names
        return [(names[rows[at]], float(parts[at])) for at in order if parts[at] > 0]

    @property
    def _names(self) -> list[str]:
        cached: list[str] | None = self.__dict__.get("_name_list")
        if cached is None:
            cached = [name for block in self.vocabulary for name in block]
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
