from __future__ import annotations

import warnings

from hypothesis import given
from hypothesis import strategies as st

from intents.model import LinearModel
from intents.words import Cutter


def test_cuts_as_jieba_cuts(model: LinearModel) -> None:
    """On the same dictionary our path is jieba's most probable path, word for word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba
    oracle = jieba.Tokenizer()
    oracle.FREQ = dict(model.dictionary)
    for word in model.dictionary:
        for size in range(1, len(word)):
            oracle.FREQ.setdefault(word[:size], 0)
    oracle.total, oracle.initialized = sum(model.dictionary.values()), True
    cutter = Cutter(model.dictionary)
    texts = ("同事过来问这是什么牌子", "快喝完了顺便看下我还有多少积分", "客服半天不理人这也太差了吧")
    for text in texts:
        assert cutter.cut(text) == list(oracle.cut(text, HMM=False))


def test_a_brand_word_stays_whole_in_its_own_cutter_only(model: LinearModel) -> None:
    """One brand's words do not leak into another's."""
    plain, brand = Cutter({"冻": 9, "干": 9, "咖啡": 9}), Cutter({"冻": 9, "干": 9, "咖啡": 9}, ["冻干咖啡"])
    assert brand.cut("来两盒冻干咖啡")[-1] == "冻干咖啡"
    assert "冻干咖啡" not in plain.cut("来两盒冻干咖啡")


@given(st.text(alphabet="快吃完了积分abc12,。 ", max_size=30))
def test_nothing_said_is_lost(text: str) -> None:
    """Words put together again are the text without marks and spaces."""
    cutter = Cutter({"吃完": 50, "积分": 80, "快": 5, "了": 100})
    assert "".join(cutter.cut(text)) == "".join(sign for sign in text if sign not in ",。 ")
