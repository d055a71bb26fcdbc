"""Where a score begins to count, chosen on sentences the model had not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_GRID = np.linspace(0.1, 0.9, 81)
# Few examples choose poorly: the best cut of the sample is drawn halfway to the plain one. That is above a half
# because the examples hold more traps than life does.
_PLAIN = 0.6
SOUGHT = frozenset({"running_out", "buying_for_friend"})
"""What a rep wants to hear of from a group; everything else is seldom answered there and may be missed."""
_FALSE_SHARE_SOUGHT = 0.006
_FALSE_SHARE = 0.0007
_HIGHEST = 0.98


def f_beta(scores: Floats, truth: NDArray[np.bool_], cut: float, beta: float) -> float:
    """F-beta of `scores >= cut` against truth; 0 where nothing is right."""
    told = scores >= cut
    right = float((told & truth).sum())
    squared = beta * beta
    return (1 + squared) * right / max(squared * float(truth.sum()) + float(told.sum()), 1e-9)


def private_threshold(scores: Floats, truth: NDArray[np.bool_]) -> float:
    """A cut for chats with one customer, where a missed need costs as much as a needless answer."""
    values = [f_beta(scores, truth, float(cut), 1.0) for cut in _GRID]
    best = [float(cut) for cut, value in zip(_GRID, values, strict=True) if value >= max(values) - 1e-9]
    return (best[len(best) // 2] + _PLAIN) / 2


def group_threshold(label: str, scores: Floats, truth: NDArray[np.bool_], none: NDArray[np.bool_]) -> float:
    """A cut for groups, where speaking up at nothing annoys everybody: above nearly all messages with none.

    Of the share of them that may set something off by mistake, the scenarios a group is listened to for get the most.
    """
    cut = private_threshold(scores, truth)
    quiet = np.sort(scores[none])
    allowed = max(1, int(len(quiet) * (_FALSE_SHARE_SOUGHT if label in SOUGHT else _FALSE_SHARE)))
    if len(quiet) <= allowed:
        return max(cut, _PLAIN)
    return max(cut, min(float(quiet[-1 - allowed]) + 0.001, _HIGHEST))
