"""Whether a score of 0.8 is right eight times in ten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Scores between two bounds: how many, their mean, and how many of them in 1 were right."""

    low: float
    high: float
    count: int
    mean_score: float
    share_true: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """A table of bins without the empty ones, and the expected calibration error over it."""

    bins: tuple[Bin, ...]
    error: float


def reliability(scores: NDArray[np.floating], truth: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Scores against what was true, in bins of equal width; both of any one shape."""
    flat, right = np.asarray(scores, np.float64).ravel(), truth.ravel().astype(np.float64)
    if not len(flat):
        return Reliability((), 0.0)
    places = np.clip((flat * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums, rights = np.bincount(places, flat, bins), np.bincount(places, right, bins)
    table = tuple(
        Bin(at / bins, (at + 1) / bins, int(counts[at]), float(sums[at] / counts[at]), float(rights[at] / counts[at]))
        for at in np.flatnonzero(counts).tolist()
    )
    return Reliability(table, float(np.abs(sums - rights).sum() / len(flat)))


def best_of(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The best score of each message and whether that scenario was true."""
    best = scores.argmax(axis=1)[:, None]
    return np.take_along_axis(scores, best, 1)[:, 0], np.take_along_axis(truth, best, 1)[:, 0]
