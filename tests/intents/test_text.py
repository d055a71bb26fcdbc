from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intents.text import normalise


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("我還有多少積分？", "我还有多少积分?"),
        ("ＡＢＣ　　１２３", "abc 123"),
        ("快吃完了！！！！", "快吃完了!!"),
        ("好喝😂😂😂", "好喝[笑哭]"),
        ("👍🏻赞", "[强]赞"),
        ("  转\n人工\t", "转 人工"),
        ("哈哈哈哈哈", "哈哈"),
        ("充1000送多少", "充1000送多少"),
        ("快\u200b吃完\ufe0f了", "快吃完了"),
        ("坏\ud83d了", "坏了"),
        ("麻煩幫我轉接專人", "麻烦帮我转接专人"),
        ("", ""),
    ],
)
def test_one_written_form(typed: str, written: str) -> None:
    """Width, case, script, emoji, space and long runs come into one form; amounts stay what they are."""
    assert normalise(typed) == written


@given(st.text(st.characters(codec=None), max_size=60))
def test_normalising_twice_changes_nothing(text: str) -> None:
    """Any string, broken ones too, has one form and keeps it."""
    once = normalise(text)
    assert normalise(once) == once
