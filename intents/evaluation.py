"""How good a classifier is on labelled messages: per scenario, overall, and at keeping still."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intents.scenarios import Labelled

Judge = Callable[[Sequence[str]], Sequence[frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Line:
    """Counts of one scenario: told and true, told but false, true but not told."""

    id: str
    right: int
    false: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of told ones that are true; 1 where nothing was told."""
        return self.right / (self.right + self.false) if self.right + self.false else 1.0

    @property
    def recall(self) -> float:
        """Share of true ones that were told; 1 where there were none."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there was nothing to tell and nothing told."""
        whole = 2 * self.right + self.false + self.missed
        return 2 * self.right / whole if whole else 1.0


@dataclass(frozen=True, slots=True)
class Mistake:
    """A message judged otherwise than labelled."""

    text: str
    truth: frozenset[str]
    told: frozenset[str]


@dataclass(frozen=True, slots=True)
class Report:
    """Figures over a labelled set; `lines` only for scenarios that were labelled or told."""

    lines: tuple[Line, ...]
    messages: int
    none: int
    exact: float
    false_triggers_per_1000: float
    mistakes: tuple[Mistake, ...]

    @property
    def micro_f1(self) -> float:
        """F1 over all decisions together."""
        right = sum(line.right for line in self.lines)
        wrong = sum(line.false + line.missed for line in self.lines)
        return 2 * right / (2 * right + wrong) if right + wrong else 1.0

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the scenarios that occur in the labels."""
        values = [line.f1 for line in self.lines if line.right + line.missed]
        return sum(values) / len(values) if values else 1.0

    def table(self) -> str:
        """The figures as text, one scenario a line."""
        head = f"{'scenario':<20}{'n':>5}{'P':>7}{'R':>7}{'F1':>7}"
        body = [
            f"{line.id:<20}{line.right + line.missed:>5}{line.precision:>7.3f}{line.recall:>7.3f}{line.f1:>7.3f}"
            for line in self.lines
        ]
        foot = [
            f"messages {self.messages}, none {self.none}",
            f"micro F1 {self.micro_f1:.3f}  macro F1 {self.macro_f1:.3f}  exact set {self.exact:.3f}",
            f"false triggers per 1,000 none messages: {self.false_triggers_per_1000:.1f}",
        ]
        return "\n".join([head, *body, *foot])


def evaluate(classifier_fn: Judge, labelled: Sequence[Labelled]) -> Report:
    """Judge every message in one call and count; texts in, one set of scenario ids per text out."""
    return report_on(labelled, classifier_fn([item.text for item in labelled]))


def report_on(labelled: Sequence[Labelled], told: Sequence[frozenset[str]]) -> Report:
    """Count what was told of each message against its labels."""
    if len(told) != len(labelled):
        raise ValueError(f"{len(told)} verdicts for {len(labelled)} messages; give one each")
    pairs = list(zip(labelled, told, strict=True))
    names = sorted({name for item, ids in pairs for name in item.labels | ids})
    none = [ids for item, ids in pairs if not item.labels]
    return Report(
        lines=tuple(_line(name, pairs) for name in names),
        messages=len(pairs),
        none=len(none),
        exact=sum(item.labels == ids for item, ids in pairs) / len(pairs) if pairs else 1.0,
        false_triggers_per_1000=1000 * sum(map(bool, none)) / len(none) if none else 0.0,
        mistakes=tuple(Mistake(item.text, item.labels, ids) for item, ids in pairs if item.labels != ids),
    )


def _line(name: str, pairs: Sequence[tuple[Labelled, frozenset[str]]]) -> Line:
    right = sum(name in item.labels and name in ids for item, ids in pairs)
    false = sum(name not in item.labels and name in ids for item, ids in pairs)
    missed = sum(name in item.labels and name not in ids for item, ids in pairs)
    return Line(name, right, false, missed)
