from __future__ import annotations

import pytest

from intents.cues import cue_features, find_cues, keywords_verdict


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("还没吃完呢", "negated"),
        ("不急,还早", "negated"),
        ("上周吃完就补了", "over"),
        ("已经下过单", "over"),
        ('他说:"快吃完了"', "quoted"),
        ("听说积分能换杯子", "quoted"),
        ("要是吃完了再说", "hypothetical"),
        ("外卖快吃完了", "other_thing"),
        ("手机快没电了", "other_thing"),
        ("球队积分第几", "other_thing"),
    ],
)
def test_a_cue_is_seen_with_its_words(text: str, kind: str) -> None:
    """Each kind of cue is found and shows words of the message as its proof."""
    words = {cue.kind: cue.words for cue in find_cues(text)}
    assert kind in words
    assert words[kind] in text


@pytest.mark.parametrize("text", ["快吃完了", "又见底了", "最后两包啦", "还够吃三天", "我有多少积分", "转人工"])
def test_a_plain_need_has_no_cue(text: str) -> None:
    """What a customer says plainly is not talked away."""
    assert find_cues(text) == ()


def test_a_keyword_beside_a_cue_is_another_feature() -> None:
    """The model can learn that 快吃完 weighs less beside 外卖."""
    assert "k:running_out+clean" in cue_features("快吃完了")
    assert "k:running_out+other_thing" in cue_features("外卖快吃完了")
    assert "k:running_out+clean" not in cue_features("外卖快吃完了")


@pytest.mark.parametrize(
    ("text", "scenario"),
    [
        ("快吃完了", "running_out"),
        ("又见底了", "running_out"),
        ("最后两包啦", "running_out"),
        ("还够吃三天", "running_out"),
        ("同事问这是什么牌子", "buying_for_friend"),
        ("我有多少积分", "points_query"),
        ("积分换个杯子", "points_redeem"),
        ("转人工", "human_agent"),
        ("别再群发了", "opt_out"),
    ],
)
def test_keywords_alone_know_the_plainest_words(text: str, scenario: str) -> None:
    """Without a model the plainest needs are still heard."""
    found, _ = keywords_verdict(text)
    assert scenario in [name for name, _ in found]


@pytest.mark.parametrize(
    "text", ["外卖快吃完了", "手机快没电了", "上周吃完就补了", "球队积分", "还没吃完", "早上好", ""]
)
def test_keywords_alone_keep_still_at_traps(text: str) -> None:
    """Without a model the known traps are still passed over."""
    found, _ = keywords_verdict(text)
    assert found == []
