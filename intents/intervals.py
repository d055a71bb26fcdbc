"""How far a figure may be off because another hundred messages would have been others: 95 % intervals.

Shares have Wilson's interval, which stays honest at 0 and at 1. F1 is no share: messages are drawn again, with
replacement and a fixed seed, and the middle 95 % of what comes out is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

ROUNDS = 1000
SEED = 95
_Z = 1.959963984540054
_TAILS = (2.5, 97.5)
_AT_ONCE = 2_000_000


class Interval(NamedTuple):
    """Between which two values the figure lies with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Intervals of F1: per column of truth, over all decisions together, and of the columns' mean."""

    each: tuple[Interval, ...]
    micro: Interval
    macro: Interval


def wilson(hits: int, of: int) -> Interval:
    """Wilson's interval of a share; the whole range where nothing was counted."""
    if of == 0:
        return Interval(0.0, 1.0)
    share, squared = hits / of, _Z * _Z
    middle = (share + squared / (2 * of)) / (1 + squared / of)
    half = _Z * np.sqrt(share * (1 - share) / of + squared / (4 * of * of)) / (1 + squared / of)
    return Interval(max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def f1_spread(truth: Bools, told: Bools, rounds: int = ROUNDS, seed: int = SEED) -> Spread:
    """Bootstrap over messages (rows); the same seed gives the same intervals."""
    if not len(truth):
        nothing = Interval(0.0, 1.0)
        return Spread((nothing,) * truth.shape[1], nothing, nothing)
    counted = np.hstack([truth & told, truth ^ told]).astype(np.float32)
    draw = np.random.default_rng(seed)
    size, share = len(truth), np.full(len(truth), 1 / len(truth))
    step = max(1, _AT_ONCE // size)
    sums = np.vstack([
        draw.multinomial(size, share, min(step, rounds - at)).astype(np.float32) @ counted
        for at in range(0, rounds, step)
    ])  # fmt: skip
    right, wrong = np.hsplit(sums.astype(np.float64), 2)
    present = truth.any(axis=0)
    each = _f1(right, wrong)
    macro = each[:, present].mean(axis=1) if present.any() else np.ones(rounds)
    lows, highs = np.percentile(each, _TAILS, axis=0)
    return Spread(
        tuple(Interval(float(low), float(high)) for low, high in zip(lows, highs, strict=True)),
        _middle(_f1(right.sum(axis=1), wrong.sum(axis=1))),
        _middle(macro),
    )


def _f1(right: Floats, wrong: Floats) -> Floats:
    """2 right / (2 right + wrong); 1 where there was nothing to tell and nothing was told."""
    whole = 2 * right + wrong
    return np.where(whole > 0, 2 * right / np.maximum(whole, 1), 1.0)


def _middle(values: NDArray[Any]) -> Interval:
    low, high = np.percentile(values, _TAILS)
    return Interval(float(low), float(high))
