from __future__ import annotations

import numpy as np
import pytest

from intents.evaluation import evaluate
from intents.scenarios import Labelled
from intents.thresholds import f_beta, group_threshold, private_threshold

LABELLED = [
    Labelled("快吃完了", frozenset({"running_out"})),
    Labelled("见底了,查积分", frozenset({"running_out", "points_query"})),
    Labelled("早上好", frozenset()),
    Labelled("球队积分", frozenset()),
]


def test_figures_by_hand() -> None:
    """Precision, recall, F1, exact sets and false triggers are what counting by hand gives."""
    told = [{"running_out"}, {"points_query"}, set(), {"points_query"}]
    report = evaluate(lambda texts: [frozenset(ids) for ids in told], LABELLED)
    by_id = {line.id: line for line in report.lines}
    assert (by_id["running_out"].precision, by_id["running_out"].recall) == (1.0, 0.5)
    assert (by_id["points_query"].precision, by_id["points_query"].recall) == (0.5, 1.0)
    assert report.micro_f1 == pytest.approx(4 / 6)
    assert report.macro_f1 == pytest.approx(2 / 3)
    assert report.exact == 0.5
    assert report.false_triggers_per_1000 == 500
    assert [mistake.text for mistake in report.mistakes] == ["见底了,查积分", "球队积分"]
    assert "running_out" in report.table()
    assert "500.0" in report.table()


def test_a_judge_must_answer_each_message() -> None:
    """A judge that loses messages is not graded."""
    with pytest.raises(ValueError, match="give one each"):
        evaluate(lambda texts: [], LABELLED)


def test_a_group_cut_stands_above_the_none_messages() -> None:
    """In a group the cut rises over what none messages score; in private it asks less."""
    draw = np.random.default_rng(3)
    truth = np.array([True] * 60 + [False] * 600)
    scores = np.concatenate([draw.beta(6, 3, 60), draw.beta(2, 7, 600)]).astype(np.float32)
    group, private = group_threshold("check_in", scores, truth, ~truth), private_threshold(scores, truth)
    assert private < group
    assert (scores[~truth] >= group).sum() <= 2
    assert f_beta(scores, truth, private, 1.0) > f_beta(scores, truth, 0.05, 1.0)
