"""What is told of a model: figures by hand, each message by its own chat, confusions, calibration, comparison, gate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from intents.assessment import Judged, Message, assess, joined, judge
from intents.comparison import compare, publish_gate
from intents.confusion import confusions
from intents.evaluation import Mistake
from intents.model import LinearModel
from intents.reliability import best_of, reliability

LABELS = ("running_out", "points_query")
NOTHING: tuple[str, ...] = ()
ONE, OTHER, BOTH = ("running_out",), ("points_query",), LABELS


def judged(*rows: tuple[str, tuple[str, ...], str, tuple[str, ...], tuple[str, ...]]) -> Judged:
    """Messages with truth, chat, and what was told in a group and in private."""

    def table(sets: list[tuple[str, ...]]) -> np.ndarray:
        return np.array([[label in names for label in LABELS] for names in sets], bool).reshape(len(sets), 2)

    told = {"group": table([row[3] for row in rows]), "private": table([row[4] for row in rows])}
    return Judged(
        tuple(Message(text, frozenset(truth), chat) for text, truth, chat, _, _ in rows),
        LABELS,
        table([row[1] for row in rows]),
        told,
        np.where(told["private"], 0.9, 0.1).astype(np.float32),
    )


SET = judged(
    ("快吃完了", ONE, "group", NOTHING, ONE),
    ("见底了,查积分", BOTH, "kf", ONE, BOTH),
    ("球队积分", NOTHING, "private", NOTHING, OTHER),
    ("早上好", NOTHING, "group", NOTHING, NOTHING),
)


def test_each_message_counts_by_the_thresholds_of_its_chat() -> None:
    """kf and private are bold, a group is not; both kinds are told besides, as if all were written there."""
    figures = assess(SET).as_dict()
    lines = {line["id"]: (line["right"], line["false"], line["missed"]) for line in figures["scenarios"]}
    assert lines == {"running_out": (1, 0, 1), "points_query": (1, 1, 0)}
    assert figures["exact"] == 0.5 and figures["messages"] == 4 and figures["none"] == 2
    group, private = figures["by_chat"]["group"], figures["by_chat"]["private"]
    assert (group["false_triggers_per_1000"], private["false_triggers_per_1000"]) == (0, 500)
    assert group["micro_f1"] == pytest.approx(2 / 4) and private["micro_f1"] == pytest.approx(6 / 7)
    assert private["false_triggers_interval"].low < 500 < private["false_triggers_interval"].high
    [missed, false] = figures["confusions"]
    assert (missed["truth"], missed["told"], missed["sentences"]) == ("none", "points_query", ("球队积分",))
    assert (false["truth"], false["told"]) == ("running_out", "none")
    json.dumps(figures)


def test_intervals_hold_the_figures() -> None:
    """Every figure lies inside its own interval."""
    figures = assess(joined([SET] * 5)).as_dict()
    for line in (figures, *figures["scenarios"]):
        for name in ("precision", "recall", "f1", "micro_f1", "macro_f1", "exact"):
            if name in line:
                low, high = line[f"{name}_interval"]
                assert low <= line[name] <= high


def test_folds_are_joined_though_their_labels_stand_otherwise() -> None:
    """Two halves make the whole, whatever the order of their columns."""
    turned = Judged(
        SET.messages,
        SET.labels[::-1],
        SET.truth[:, ::-1],
        {chat: told[:, ::-1] for chat, told in SET.told.items()},
        SET.scores[:, ::-1],
    )
    assert assess(joined([SET, turned])) == assess(joined([SET, SET]))


def test_a_model_is_asked_in_both_kinds_of_chat(model: LinearModel) -> None:
    """Tables have a row a message; a label the model never learnt is true and never told."""
    messages = [
        Message("咖啡快喝完了", frozenset({"running_out"}), "group"),
        Message("早上好", frozenset(), "group"),
        Message("退订", frozenset({"opt_out"}), "private"),
    ]
    asked = judge(model, messages)
    assert asked.labels == (*model.labels, "opt_out") and asked.scores.shape == (3, 4)
    assert asked.told["private"][0].tolist() == [True, False, False, False]
    assert assess(asked).report.lines[0].missed == 1


def test_nothing_to_judge_is_no_error(model: LinearModel) -> None:
    """An empty set has figures too."""
    assert assess(judge(model, [])).report.messages == 0


def test_mistakes_are_laid_to_somebody() -> None:
    """Missed for nothing, taken for another, told of nothing, one too many beside the right one."""
    found = confusions(
        [
            Mistake("一", frozenset(ONE), frozenset()),
            Mistake("二", frozenset(ONE), frozenset(OTHER)),
            Mistake("三", frozenset(), frozenset(ONE)),
            Mistake("四", frozenset(ONE), frozenset(BOTH)),
        ]
    )
    assert [(one.truth, one.told, one.count, one.sentences) for one in found] == [
        ("running_out", "points_query", 2, ("二", "四")),
        ("none", "running_out", 1, ("三",)),
        ("running_out", "none", 1, ("一",)),
    ]


def test_calibration_by_hand() -> None:
    """Two bins: five scores of 0.9 of which three are right, five of 0.2 of which one is."""
    scores = np.array([0.9] * 5 + [0.2] * 5)
    truth = np.array([True] * 3 + [False] * 2 + [True] + [False] * 4)
    found = reliability(scores, truth)
    assert [(one.count, one.share_true) for one in found.bins] == [(5, 0.2), (5, 0.6)]
    assert found.error == pytest.approx((5 * 0.0 + 5 * 0.3) / 10)
    best, right = best_of(np.array([[0.2, 0.7], [0.6, 0.1]]), np.array([[True, False], [True, False]]))
    assert best.tolist() == [0.7, 0.6] and right.tolist() == [False, True]
    assert reliability(np.array([1.0]), np.array([True])).error == 0


def test_a_comparison_names_what_changed_sides() -> None:
    """Newly wrong and newly right sentences, each with what was and what is told; F1 before and after."""
    after = judged(
        ("快吃完了", ONE, "group", ONE, ONE),
        ("见底了,查积分", BOTH, "kf", ONE, ONE),
        ("球队积分", NOTHING, "private", NOTHING, NOTHING),
        ("早上好", NOTHING, "group", NOTHING, ONE),
    )
    compared = compare(SET, after, "private")
    assert [change.text for change in compared.newly_right] == ["球队积分"]
    assert list(map(str, compared.newly_wrong)) == [
        "见底了,查积分: points_query+running_out, was points_query+running_out, now running_out",
        "早上好: none, was none, now running_out",
    ]
    assert compared.f1()["running_out"] == (1.0, pytest.approx(4 / 5))
    with pytest.raises(ValueError, match="same"):
        compare(SET, joined([SET, SET]), "private")


@pytest.mark.parametrize(
    ("protected", "margin", "false_margin", "refusals", "wrong"),
    [
        (["points_query"], 0.05, 0, ["points_query fell from F1 1.000 to 0.000 (group)"], ["查积分"]),
        (["points_query"], 1.0, 0, [], []),
        (["running_out"], 0.0, 600, [], []),
        ([], 0.0, 500, [], []),
        ([], 0.0, 499, ["false triggers per 1,000 rose from 0.0 to 500.0 (group)"], ["早上好"]),
    ],
)
def test_the_gate_holds_back_what_fell(
    protected: list[str], margin: float, false_margin: float, refusals: list[str], wrong: list[str]
) -> None:
    """Only protected scenarios and false triggers in groups count, only beyond the margin, with their sentences."""
    before = judged(
        ("查积分", OTHER, "group", OTHER, OTHER),
        ("快吃完了", ONE, "group", ONE, ONE),
        ("早上好", NOTHING, "group", NOTHING, NOTHING),
        ("球队", NOTHING, "group", NOTHING, NOTHING),
    )
    worse = judged(
        ("查积分", OTHER, "group", NOTHING, OTHER),
        ("快吃完了", ONE, "group", ONE, ONE),
        ("早上好", NOTHING, "group", OTHER if not protected else NOTHING, NOTHING),
        ("球队", NOTHING, "group", NOTHING, NOTHING),
    )
    gate = publish_gate(before, worse, protected, margin, false_margin)
    assert list(gate.refusals) == refusals
    assert [change.text for change in gate.newly_wrong] == wrong


def test_a_model_that_is_no_worse_passes() -> None:
    """Against itself nothing fell."""
    assert publish_gate(SET, SET, LABELS, 0, 0).refusals == ()
