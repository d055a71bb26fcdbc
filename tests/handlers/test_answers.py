"""Short answers: what counts as yes, as no, as a number; and that a yes is never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.talk.answers import Answer, is_courtesy, read_answer, read_number, read_quantity

YES = """嗯 嗯嗯 恩 好 好的 好滴 好哒 好呀 好吧 ok OK Okay 可以 可以的 行 行吧 行的 中 要 要的 换 换! 换吧 换了吧
    我换 确认 确认! 确认。 “确认” 确定 确认兑换 兑换 是 是的 对 对的 没错 没问题 yes Y 就这个 那就换吧 来吧
    👌 👌🏻 👌👌 👍 👍🏽 🆗 ✅ [OK] [强] 得 要得 妥妥 冇问题""".split()
YES_LONG = [
    "好的，换吧",
    "嗯 确认",
    "嗯嗯好的",
    "可以，换",
    "好的👌",
    "OK 👌",
    " 确认 \n",
    "好 滴",
    "对，就这个",
    "[OK][OK]",
]
NO = """不 不要 不要了 不换 不换了 不用了 算了 算了吧 先不 先不换 先不要 取消 不了 不行 不兑了 我再想想 再说吧
    下次吧 下次再说 别 别换 放弃 no NO 🙅 🙅‍♀️ ❌ [弱] 不需要 改天吧 不！ 不不不 唔要""".split()
NO_LONG = ["算了，不换了", "不用了，谢谢", "不用了谢谢", "嗯 算了", "好的，算了", "先不要了"]
NEITHER = """哈哈 可以吗 可以么 可以嘛 行嘛 对吧 是吧 可以吧 没问题吧 好贵 行不行 好不好
    可以不 换不换 好了没 是吗 对吗 嗯? 确认？ 确认?! ?确认 换？~
    换好的 要好的 好像不对 可以便宜点吗 好的吗 多少 杯子 换个别的 要是不够呢 好烦 对面 行李 确认什么 确认不了
    要不 要不要 中午 好久 不是 好奇 兑换什么 换什么 2 两个 嗯哼哼 哦 谢谢 可是 等我看看""".split()
NEITHER_LONG = [
    "",
    "  ",
    "。。。",
    "算了 换吧",
    "好的 等我看看",
    "嗯 多少",
    "确认 吗",
    "可以 但是要红色的",
    "👌？",
    "[OK]吗",
]


@pytest.mark.parametrize("text", [*YES, *YES_LONG])
def test_yes_in_all_its_shapes(text: str) -> None:
    """Words, dialect, emoji, brackets, marks and doubling that say yes are a yes."""
    assert read_answer(text) is Answer.YES


@pytest.mark.parametrize("text", [*NO, *NO_LONG])
def test_no_in_all_its_shapes(text: str) -> None:
    """Refusals, put-offs and their emoji are a no, also with thanks behind them."""
    assert read_answer(text) is Answer.NO


@pytest.mark.parametrize("text", [*NEITHER, *NEITHER_LONG])
def test_anything_else_is_neither(text: str) -> None:
    """Questions, doubts, other wishes and words that only begin like a yes are no answer."""
    assert read_answer(text) is Answer.NEITHER


BEYOND = """吗 不 没 贵 哪 怎么 多少 再 别的 但是 如果 红色 杯子 明天 三个 先 等 退 差 ? ？ 谁 为什么 要是
    哈哈 假""".split()


@settings(max_examples=150, deadline=None)
@given(
    yes=st.lists(st.sampled_from([*YES, *YES_LONG]), min_size=0, max_size=3),
    beyond=st.sampled_from(BEYOND),
    joint=st.sampled_from(["", " ", "，", "!"]),
    place=st.integers(0, 3),
)
def test_a_yes_is_never_guessed(yes: list[str], beyond: str, joint: str, place: int) -> None:
    """Whatever yes-words stand around it, a word that is none of them makes the message no yes."""
    parts = [*yes[:place], beyond, *yes[place:]]
    assert read_answer(joint.join(parts)) is not Answer.YES


KNOWN = set("".join([*YES, *YES_LONG]).lower()) | set("噢喔啊呀哦呢啦哈哟呗咯的吧了哒嘞okaynsyep")


@settings(max_examples=150, deadline=None)
@given(st.text(min_size=1, max_size=12), st.sampled_from([*YES, ""]))
def test_no_strange_letter_passes_as_yes(text: str, yes: str) -> None:
    """A message with a letter that no yes-word has is never a yes, and no text makes the reader raise."""
    answer = read_answer(yes + text)
    if any(letter.isalpha() and letter.lower() not in KNOWN for letter in text):
        assert answer is not Answer.YES


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("２", 2),
        (" 3。", 3),
        ("第二个", 2),
        ("第2个", 2),
        ("选3号", 3),
        ("我要第一个", 1),
        ("就第三款", 3),
        ("十", 10),
        ("第十二个", 12),
        ("二十三", 23),
        ("1号吧", 1),
        ("换第二个", 2),
        ("0", 0),
    ],
)
def test_a_place_in_the_list_is_read(text: str, number: int) -> None:
    """Digits and Chinese numerals, bare or as an ordinal, name a place."""
    assert read_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "两个", "来俩", "俩", "随行杯", "第二个和第三个", "2块", "我有2个", "12345", "二楼", "要"]
)
def test_what_names_no_place(text: str) -> None:
    """A quantity, a name, a half sentence or a number no list is as long as is no place."""
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("换两个", 2),
        ("3份", 3),
        ("来俩", 2),
        ("来仨", 3),
        ("要十二个", 12),
        ("二十张券", 20),
        ("随行杯x2", 2),
        ("随行杯×3", 3),
        ("两 个 杯子", 2),
        ("给我5套", 5),
        ("２个", 2),
        ("1000个贴纸", 1000),
        ("换一个", 1),
        ("第二个来三个", 3),
    ],
)
def test_a_quantity_is_read(text: str, pieces: int) -> None:
    """Digits, Chinese numerals, 俩 and 仨, and ×2 say how many."""
    assert read_quantity(text) == pieces


@pytest.mark.parametrize(
    "text",
    [
        "积分换个杯子",
        "第二个",
        "第2个",
        "哪个",
        "确认",
        "",
        "0个",
        "零个",
        "攒了三个月",
        "等了两个小时",
        "10元券",
        "两点",
        "俩人",
        "我们俩想换杯子",
    ],
)
def test_what_says_no_quantity(text: str) -> None:
    """An ordinal, a time, a price or nothing at all says no quantity; zero pieces are no wish."""
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    "text", ["谢谢", "谢谢啦", "好的", "哈哈哈哈", "🙏", "收到!", "晚安~", "", "。。", "[玫瑰]", "嗯嗯"]
)
def test_courtesy_needs_no_answer(text: str) -> None:
    """Thanks, goodbye, laughter and I-see are courtesy."""
    assert is_courtesy(text)


@pytest.mark.parametrize("text", ["谢谢 我的积分呢", "在吗", "你好", "好贵", "哈哈 换个杯子"])
def test_courtesy_with_a_wish_is_none(text: str) -> None:
    """Politeness in front of a question does not make the question go away."""
    assert not is_courtesy(text)
