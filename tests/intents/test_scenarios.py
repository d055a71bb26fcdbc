from __future__ import annotations

import pytest
from pydantic import ValidationError

from intents.lint import conflicts, notices
from intents.scenarios import SCENARIO_IDS, Labelled, Scenario, training_set


def scenario(name: str, *examples: object, unlike: tuple[str, ...] = ()) -> Scenario:
    """A scenario file as it is read."""
    content = {"id": name, "title": "题", "stage": "售后", "examples": list(examples), "unlike": list(unlike)}
    return Scenario.model_validate(content)


def many(word: str, count: int) -> list[str]:
    """That many distinct sentences."""
    return [f"{word}{chr(0x4E00 + at)}{chr(0x6000 + at)}" for at in range(count)]


FULL_NONE = many("闲聊", 300)
LONG = "家里那罐燕麦奶我今天早上看了一眼已经快要见底了呢"


def test_strings_and_objects_are_examples() -> None:
    """A plain line is an example; an object names the further scenarios it carries."""
    read = scenario("running_out", "快吃完了", {"text": "快喝完了,查下积分", "also": ["points_query"]})
    assert [(example.text, example.also) for example in read.examples] == [
        ("快吃完了", ()),
        ("快喝完了,查下积分", ("points_query",)),
    ]


@pytest.mark.parametrize(
    "extra",
    [
        {"exmaples": []},
        {"examples": [{"text": "快吃完了", "aslo": []}]},
        {"examples": [3]},
        {"id": "Running Out"},
        {"examples": "快吃完了"},
    ],
)
def test_a_slip_in_the_file_is_refused(extra: dict[str, object]) -> None:
    """A misspelt key, a number for a sentence, a strange id: each is an error, none is passed over."""
    content: dict[str, object] = {"id": "running_out", "title": "题", "stage": "售后", "examples": ["快吃完了"]}
    with pytest.raises(ValidationError):
        Scenario.model_validate(content | extra)


def test_the_training_set_joins_labels() -> None:
    """A sentence of two files carries both labels; near misses and none carry none."""
    running = scenario("running_out", "快吃完了查积分", unlike=("外卖快吃完了",))
    points = scenario("points_query", "快吃完了查积分", "我有多少积分")
    assert training_set([running, points], ["早上好"]) == [
        Labelled("快吃完了查积分", frozenset({"running_out", "points_query"})),
        Labelled("我有多少积分", frozenset({"points_query"})),
        Labelled("外卖快吃完了", frozenset()),
        Labelled("早上好", frozenset()),
    ]


def test_a_clean_set_has_no_findings() -> None:
    """Enough, distinct and consistent sentences are left in peace."""
    read = scenario("running_out", *many("快吃完", 20), unlike=("外卖快吃完了",))
    held = [Labelled("见底啦", frozenset({"running_out"})), Labelled("下班了", frozenset())]
    assert conflicts([read], FULL_NONE, held) == []


@pytest.mark.parametrize(
    ("examples", "unlike", "none", "held", "word"),
    [
        (many("快吃完", 19), (), FULL_NONE, [], "19 distinct examples"),
        (many("快吃完", 20), (), FULL_NONE[:299], [], "299 distinct none"),
        ([*many("快吃完", 20), "见底了！"], ("见底了!",), FULL_NONE, [], "says none"),
        ([*many("快吃完", 20), "早上好"], (), [*FULL_NONE, "早上好"], [], "scenario none says none"),
        ([*many("快吃完", 20), "見底了"], (), FULL_NONE, ["见底了"], "also stands in the examples"),
        (many("快吃完", 20), (), FULL_NONE, ["见底了", "见底了"], "twice"),
        ([*many("快吃完", 20), {"text": "完", "also": ["pionts"]}], (), FULL_NONE, [], "'pionts' is no scenario"),
        ([*many("快吃完", 20), "见底了", "见底了"], (), FULL_NONE, [], "“见底了” stands there twice"),
        ([*many("快吃完", 20), "见底了 真的哦", "见底了,真的哦!"], (), FULL_NONE, [], "nearly the same (1.00)"),
        ([*many("快吃完", 20), LONG], (), [*FULL_NONE, LONG.replace("今天", "昨天")], [], "nearly the same (0.8"),
        ([*many("快吃完", 20), LONG], (), FULL_NONE, [LONG + "吗"], "nearly the same (0.9"),
    ],
)
def test_a_fault_in_the_data_is_named(
    examples: list[object], unlike: tuple[str, ...], none: list[str], held: list[str], word: str
) -> None:
    """Thin, contradicting, leaking and misspelt data each give one finding with place and mend."""
    labelled = [Labelled(text, frozenset({"running_out"})) for text in held]
    [finding] = conflicts([scenario("running_out", *examples, unlike=unlike)], none, labelled)
    assert word in finding.what
    assert finding.place
    assert finding.mend


def test_two_scenarios_that_claim_one_sentence_are_named() -> None:
    """The same sentence under two scenarios is a contradiction unless both say so with `also`."""
    shared = "快吃完了查积分"
    one = scenario("running_out", *many("快吃完", 20), shared)
    other = scenario("points_query", *many("积分", 20), shared)
    agreed = scenario("points_query", *many("积分", 20), {"text": shared, "also": ["running_out"]})
    both = scenario("running_out", *many("快吃完", 20), {"text": shared, "also": ["points_query"]})
    assert len(conflicts([one, other], FULL_NONE, [])) == 1
    assert conflicts([both, agreed], FULL_NONE, []) == []


def test_there_are_nineteen_scenarios() -> None:
    """The list of ids is whole and without doubles."""
    assert len(SCENARIO_IDS) == len(set(SCENARIO_IDS)) == 19


def test_a_set_that_could_grow_is_noticed_and_no_finding() -> None:
    """Enough to train and fewer than teach well: told with the figures, apart from the findings."""
    read = [scenario("running_out", *many("快吃完", 20)), scenario("opt_out", *many("退订", 300))]
    assert conflicts(read, FULL_NONE, []) == []
    assert notices(read, FULL_NONE) == [
        "running_out: 20 examples; 300 teach better",
        "none: 300 examples; 4500 teach better",
    ]
