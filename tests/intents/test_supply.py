"""Facts: how far a customer is through what they bought settles what 差不多了 leaves open, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench_facts import Pair, judge, learnt, read_pairs
from bot.brands import read_lexicon, read_programme
from intents import shelf
from intents.classifier import Classifier, Scored, Verdict
from intents.supply import Supply, learn_odds, open_words, settle, settled
from tests.conftest import CONFIG

NEAR, SURE = Scored("running_out", 0.36), Scored("running_out", 0.97)
OTHER = Scored("points_query", 0.8)


def verdict(*scenarios: Scored, near: tuple[Scored, ...] = (), degraded: bool = False) -> Verdict:
    """What the model said."""
    return Verdict(scenarios, bool(near), (), near, "0001", degraded)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """The pairs of config/heldout/histories."""
    return read_pairs()


@pytest.fixture(scope="module")
def classifier(models: Path) -> Classifier:
    """The sample brand's classifier."""
    folder = shelf.current(models)
    assert folder is not None
    return Classifier.load(folder, read_lexicon(CONFIG, read_programme(CONFIG)))


def test_a_late_history_brings_in_what_was_nearly_heard() -> None:
    """差不多了 on day 28 of 30 is running out; the reason tells days and share, and nothing is unsure any more."""
    found = settle(verdict(near=(NEAR,)), Supply(28, 30), 0.5, "差不多了")
    assert [one.id for one in found.scenarios] == ["running_out"]
    assert not found.unsure and found.near == ()
    assert "28 天" in found.reasons[-1] and "93%" in found.reasons[-1]


def test_an_early_history_takes_out_what_was_barely_heard() -> None:
    """The same words on day 3 are none; another need in the same message stays."""
    found = settle(verdict(OTHER, Scored("running_out", 0.55)), Supply(3, 30), 0.5, "差不多了")
    assert [one.id for one in found.scenarios] == ["points_query"]


def test_a_clear_word_outweighs_any_history() -> None:
    """最后一包了 counts on day 9 as well: a family may have drunk with them."""
    found = settle(verdict(Scored("running_out", 0.99)), Supply(9, 30), 0.5, "最后一包了")
    assert [one.id for one in found.scenarios] == ["running_out"]


@pytest.mark.parametrize("supply", [None, Supply(28)])
def test_without_a_history_nothing_changes(supply: Supply | None) -> None:
    """No order, or a product nobody knows a cycle of: the text stands alone."""
    before = verdict(near=(NEAR,))
    assert settle(before, supply, 0.5, "差不多了") is before


def test_keywords_are_left_alone() -> None:
    """A score that keywords made up says nothing about odds."""
    before = verdict(SURE, degraded=True)
    assert settle(before, Supply(3, 30), 0.5, "快了") is before


def test_the_own_rhythm_counts_for_more_than_the_cycle() -> None:
    """Who buys every 60 days is halfway on day 28 of a 30-day pack; who buys every 14 is due on day 14."""
    slow, fast = Supply(28, 30, 60).used, Supply(14, 30, 14).used
    assert slow is not None and fast is not None
    assert slow < 0.6 and fast > 0.75


@pytest.mark.parametrize(
    "text", ["快了", "差不多啦😂", "該補了吧", "嗯 快了", "没多少了", "我看看哈……嗯,不多了", "孩子说不多了"]
)
def test_words_that_name_nothing_are_open(text: str) -> None:
    """A short answer that may mean a supply, whatever stands around it in small words."""
    assert open_words(text)


@pytest.mark.parametrize(
    "text",
    ["快了快了,在路上了", "差不多了,马上下班", "时间不多了,赶紧出门", "停车位没几个了", "好的", "这两天", "快" * 400],
)
def test_words_about_another_thing_are_not(text: str) -> None:
    """As soon as something is named, the model alone decides."""
    assert not open_words(text)


def test_odds_move_the_middle_and_hardly_the_ends() -> None:
    """The same history moves an even score far and a sure one little."""
    assert abs(settled(0.5, 0.1) - 0.5) > 0.4 > 0.1 > abs(settled(0.99, 1.0) - 0.99)


def test_few_examples_move_the_odds_little() -> None:
    """No example leaves a share at 1; one moves it less than ten of the same kind; the labels give the direction."""
    one, ten = learn_odds([(0.5, 0.1, False)]), learn_odds([(0.5, 0.1, False)] * 10)
    assert set(one[1:]) == {1.0}
    assert ten[0] < one[0] < 1 < learn_odds([(0.5, 1.0, True)])[4]


def test_the_pairs_are_as_many_and_as_apart_as_they_say(pairs: list[Pair]) -> None:
    """At least 260 distinct pairs, half of them to judge by, no text in both parts, open texts with both labels."""
    assert len({(p.text, p.days_since, p.cycle_days, p.rhythm_days) for p in pairs}) == len(pairs) >= 260
    parts = {name: [pair for pair in pairs if pair.part == name] for name in ("tune", "judge")}
    assert abs(len(parts["tune"]) - len(parts["judge"])) <= 4
    assert not {p.text for p in parts["tune"]} & {p.text for p in parts["judge"]}
    both = {p.text for p in pairs if p.running_out} & {p.text for p in pairs if not p.running_out}
    assert len(both) >= 65


def test_facts_are_worth_having(classifier: Classifier, pairs: list[Pair]) -> None:
    """On pairs nothing was learnt from, F1 and accuracy of running_out rise with 95 % confidence."""
    report = judge(classifier, [pair for pair in pairs if pair.part == "judge"])
    assert report.f1.gain > 0.05 and report.f1.low > 0
    assert report.accuracy.gain > 0.05 and report.accuracy.low > 0


def test_the_odds_in_force_are_of_the_kind_the_pairs_teach(classifier: Classifier, pairs: list[Pair]) -> None:
    """Early speaks against, the end of the supply for it, with the model of today as with that of the day."""
    odds = learnt(classifier, [pair for pair in pairs if pair.part == "tune"])
    assert max(odds[:3]) < 1 < odds[4]
