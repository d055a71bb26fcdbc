"""What the order history adds to the text: running_out with and without facts, on pairs nothing was learnt from.

Run: python -m benchmarks.bench_facts [--learn]. Prints F1 and accuracy on the judge part of
config/heldout/histories/running_out.yaml (synthetic), the gain and its 95 % bootstrap interval over texts (fixed seed).
`--learn` prints the odds that intents/supply.py should hold, learnt from the tune part alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from bot.brands import read_lexicon, read_programme
from bot.yaml_files import read
from intents import shelf
from intents.classifier import Classifier, Verdict
from intents.supply import SCENARIO, Supply, heard_in, learn_odds, settle

CONFIG = Path(__file__).resolve().parent.parent / "config"
PAIRS = CONFIG / "heldout" / "histories" / "running_out.yaml"
MODELS = CONFIG.parent / "var" / "models"
CHAT, ROUNDS, SEED = "private", 2000, 95
Bools = NDArray[np.bool_]


class Pair(BaseModel):
    """A message, what the customer last bought, and whether they are running out."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1)
    days_since: float = Field(ge=0)
    cycle_days: float = Field(gt=0)
    rhythm_days: float | None = Field(default=None, gt=0)
    running_out: bool
    part: Literal["tune", "judge"]

    @property
    def supply(self) -> Supply:
        return Supply(self.days_since, self.cycle_days, self.rhythm_days)


class Pairs(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid")
    pairs: list[Pair]


@dataclass(frozen=True)
class Figure:
    """One figure with the text alone, with facts, and the gain with its interval."""

    text: float
    facts: float
    low: float
    high: float

    @property
    def gain(self) -> float:
        return self.facts - self.text

    def __str__(self) -> str:
        gain = f"{self.gain:+.3f} (95 %: {self.low:+.3f} to {self.high:+.3f})"
        return f"text alone {self.text:.3f}   with facts {self.facts:.3f}   gain {gain}"


@dataclass(frozen=True)
class Report:
    """What facts add on some pairs."""

    pairs: int
    f1: Figure
    accuracy: Figure


def read_pairs(path: Path = PAIRS) -> list[Pair]:
    return read(path, Pairs).pairs


def verdicts(classifier: Classifier, pairs: Sequence[Pair]) -> list[Verdict]:
    return classifier.classify([pair.text for pair in pairs], [CHAT] * len(pairs))


def judge(classifier: Classifier, pairs: Sequence[Pair], with_open_words: bool = True) -> Report:
    """Without the open words only what the model has heard by itself is settled."""
    cut = classifier.cut(SCENARIO, CHAT)
    heard = verdicts(classifier, pairs)
    truth = np.array([pair.running_out for pair in pairs])
    text = np.array([is_told(verdict) for verdict in heard])
    words = [pair.text if with_open_words else "" for pair in pairs]
    settled = [settle(one, pair.supply, cut, text) for one, pair, text in zip(heard, pairs, words, strict=True)]
    facts = np.array([is_told(verdict) for verdict in settled])
    _, places = np.unique([pair.text for pair in pairs], return_inverse=True)
    f1_counts = [np.stack([2 * (truth & told), truth.astype(int) + told], axis=1) for told in (text, facts)]
    right_counts = [np.stack([truth == told, np.ones(len(told))], axis=1) for told in (text, facts)]
    return Report(len(pairs), _figure(f1_counts, places), _figure(right_counts, places))


def is_told(verdict: Verdict) -> bool:
    return any(one.id == SCENARIO for one in verdict.scenarios)


def learnt(classifier: Classifier, pairs: Sequence[Pair]) -> tuple[float, ...]:
    """The odds the pairs teach: only those whose text leaves the question open or better, as when serving."""
    examples = []
    for pair, verdict in zip(pairs, verdicts(classifier, pairs), strict=True):
        heard, used = heard_in(verdict, pair.text), pair.supply.used
        if heard is not None and used is not None:
            examples.append((heard.score, used, pair.running_out))
    return learn_odds(examples)


def _figure(counts: Sequence[NDArray[np.generic]], places: NDArray[np.int64]) -> Figure:
    """A ratio of sums for both; texts are drawn again, with both of their histories at once."""
    sums = [np.stack([np.bincount(places, column) for column in count.T], axis=1) for count in counts]
    plain = [_ratio(summed.sum(axis=0)) for summed in sums]
    texts = len(sums[0])
    drawn = np.random.default_rng(SEED).multinomial(texts, np.full(texts, 1 / texts), ROUNDS)
    gains = _ratio(drawn @ sums[1]) - _ratio(drawn @ sums[0])
    low, high = np.percentile(gains, (2.5, 97.5))
    return Figure(float(plain[0]), float(plain[1]), float(low), float(high))


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1e-9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--model", type=int, help="a number of the shelf instead of the model in force")
    parser.add_argument("--learn", action="store_true", help="print the odds the tune part teaches")
    options = parser.parse_args()
    folder = shelf.folder(options.models, options.model) if options.model else shelf.current(options.models)
    if folder is None:
        raise SystemExit(f"no model promoted in {options.models}; run huitou train")
    classifier = Classifier.load(folder, read_lexicon(CONFIG, read_programme(CONFIG)))
    pairs = read_pairs()
    if options.learn:
        print("_ODDS:", learnt(classifier, [pair for pair in pairs if pair.part == "tune"]))
        return
    unseen = [pair for pair in pairs if pair.part == "judge"]
    report, plain = judge(classifier, unseen), judge(classifier, unseen, with_open_words=False)
    print(f"model {folder.name}, {report.pairs} pairs of the judge part, private chat")
    print(f"F1        {report.f1}")
    print(f"accuracy  {report.accuracy}")
    print("without the words that name nothing (快了):")
    print(f"F1        {plain.f1}")
    print(f"accuracy  {plain.accuracy}")


if __name__ == "__main__":
    main()
