"""What is taken for what, with sentences that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from intents.evaluation import Mistake

NONE = "none"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Confusion:
    """A true scenario, what was told in its place, how often, and up to three sentences."""

    truth: str
    told: str
    count: int
    sentences: tuple[str, ...]


def confusions(mistakes: Sequence[Mistake], shown: int = _SHOWN) -> list[Confusion]:
    """Pairs of every mistake, the frequent ones first. `none` as told: missed; as truth: nothing was there."""
    found: dict[tuple[str, str], list[str]] = {}
    for mistake in mistakes:
        for pair in _pairs(mistake):
            found.setdefault(pair, []).append(mistake.text)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [Confusion(*pair, len(texts), tuple(texts[:shown])) for pair, texts in ordered]


def _pairs(mistake: Mistake) -> list[tuple[str, str]]:
    missed, false = sorted(mistake.truth - mistake.told), sorted(mistake.told - mistake.truth)
    # One too many beside the right ones is laid to those: that is whose words it was taken from.
    return list(product(missed or sorted(mistake.truth) or [NONE], false or [NONE]))
