"""Where a score begins to count, chosen on sentences the model had not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_GRID = np.linspace(0.1, 0.9, 81)
# Few examples choose poorly: the best cut of the sample is drawn halfway to the plain one.
_PLAIN_PRIVATE = 0.4
_PLAIN_GROUP = 0.55
_GROUP_BETA = 0.5
_PRIVATE_BETA = 1.0


def f_beta(scores: Floats, truth: NDArray[np.bool_], cut: float, beta: float) -> float:
    """F-beta of `scores >= cut` against truth; 0 where nothing is right."""
    told = scores >= cut
    right = float((told & truth).sum())
    squared = beta * beta
    return (1 + squared) * right / max(squared * float(truth.sum()) + float(told.sum()), 1e-9)


def private_threshold(scores: Floats, truth: NDArray[np.bool_]) -> float:
    """A cut for chats with one customer, where a missed need costs more than a needless answer."""
    return _drawn(scores, truth, _PRIVATE_BETA, _PLAIN_PRIVATE)


def group_threshold(scores: Floats, truth: NDArray[np.bool_], none: NDArray[np.bool_]) -> float:
    """A cut for groups, where speaking up at nothing annoys everybody: above nearly all none messages."""
    cut = _drawn(scores, truth, _GROUP_BETA, _PLAIN_GROUP)
    quiet = np.sort(scores[none])
    # At most two of a thousand none messages a scenario, or the third best where there are few.
    allowed = max(1, int(len(quiet) * 0.002))
    if len(quiet) > allowed:
        cut = max(cut, min(float(quiet[-1 - allowed]) + 0.01, 0.8))
    return cut


def _drawn(scores: Floats, truth: NDArray[np.bool_], beta: float, plain: float) -> float:
    values = [f_beta(scores, truth, float(cut), beta) for cut in _GRID]
    best = [float(cut) for cut, value in zip(_GRID, values, strict=True) if value >= max(values) - 1e-9]
    return (best[len(best) // 2] + plain) / 2
