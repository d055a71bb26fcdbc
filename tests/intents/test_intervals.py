"""Intervals: known values, the right width, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from intents.intervals import f1_spread, wilson


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"), [(9, 10, 0.596, 0.982), (10, 10, 0.722, 1.0), (0, 10, 0.0, 0.278), (0, 0, 0, 1)]
)
def test_wilson_gives_the_textbook_interval(hits: int, of: int, low: float, high: float) -> None:
    """Ten of ten is not certainty, and nothing counted says nothing."""
    assert wilson(hits, of) == pytest.approx((low, high), abs=0.001)


def test_more_messages_make_a_narrower_interval_around_the_figure() -> None:
    """F1 of the sample lies inside; ten times as many messages narrow it by about the square root of ten."""
    truth = np.array([[True], [True], [True], [False], [False]] * 40)
    told = np.array([[True], [True], [False], [True], [False]] * 40)
    few, many = f1_spread(truth, told), f1_spread(np.tile(truth, (10, 1)), np.tile(told, (10, 1)))
    for spread in (few, many):
        [own] = spread.each
        assert own.low < 2 / 3 < own.high and own == spread.micro == spread.macro
    assert 2 < (few.micro.high - few.micro.low) / (many.micro.high - many.micro.low) < 5
    assert f1_spread(truth, told) == few
    assert f1_spread(truth, told, seed=1) != few


def test_the_mean_is_over_scenarios_that_occur() -> None:
    """A scenario told at nothing spoils its own F1 and the micro figure, not the mean of those labelled."""
    truth = np.array([[True, False]] * 30)
    spread = f1_spread(truth, np.array([[True, True]] * 30))
    assert spread.macro == (1.0, 1.0) and spread.each[1] == (0.0, 0.0)
    assert spread.micro.high < 1


def test_no_messages_say_nothing() -> None:
    """An empty set has the whole range."""
    assert f1_spread(np.zeros((0, 2), bool), np.zeros((0, 2), bool)).micro == (0.0, 1.0)
