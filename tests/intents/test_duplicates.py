"""Sentences that are nearly the same: found as comparing each with each finds them, and much faster."""

from __future__ import annotations

from random import Random
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intents.duplicates import near_duplicates, pairs_of
from intents.text import normalise

sentences = st.lists(st.text("快吃完了见底,! ", min_size=0, max_size=12), max_size=12)


@given(sentences)
def test_every_pair_is_found_and_no_other(texts: list[str]) -> None:
    """The index leaves out nothing that comparing each with each would find."""
    sets = [pairs_of(normalise(text)) for text in texts]
    expected = {
        (one, other): len(sets[one] & sets[other]) / len(sets[one] | sets[other])
        for one in range(len(texts))
        for other in range(one + 1, len(texts))
    }
    found = {(one, other): alike for one, other, alike in near_duplicates(texts)}
    assert found == {pair: alike for pair, alike in expected.items() if alike > 0.8}


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("簽到", "签到", True),
        ("明天", "明天?", False),
        ("签证下来了", "签证下来了!!", True),
        ("语音听不了 在开会", "语音听不了，在开会", True),
        ("快吃完了", "快喝完了", False),
        ("吃瓜", "吃瓜🍉", False),
        ("手机快没电了", "手机快没电了吗", True),
        ("", "", True),
    ],
)
def test_what_counts_as_nearly_the_same(one: str, other: str, near: bool) -> None:
    """Script, width and pauses make no other sentence; another word or emoji does, and a ? behind a word or two."""
    assert bool(list(near_duplicates([one, other]))) is near


def test_twenty_thousand_sentences_take_seconds() -> None:
    """A check that takes minutes is not run; here 20,000 of common characters, as a corpus has them."""
    draw = Random(4)
    signs = "的一是了我不在人们有来他这上着个地到大里说就去子得也和那要下看天时过出小么起你都把好还多没为又可家学只以主"
    texts = ["".join(draw.choices(signs, k=draw.randint(4, 24))) for _ in range(20_000)]
    texts.append(texts[0] + "。")
    started = process_time()
    assert any(pair[:2] == (0, 20_000) for pair in near_duplicates(texts))
    assert process_time() - started < 6
