"""Short answers: what counts as yes, as no, as a number; and that a yes is never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.talk.answers import Answer, is_courtesy, read_answer, read_number, read_quantity

pytestmark = pytest.mark.either_engine

YES = """嗯 嗯嗯 恩 好 好的 好滴 好哒 好呀 好吧 ok OK Okay 可以 可以的 行 行吧 行的 中 要 要的 换 换! 换吧 换了吧
    我换 确认 确认! 确认。 “确认” 确定 确认兑换 兑换 是 是的 对 对的 没错 没问题 yes Y 就这个 那就换吧 来吧
    👌 👌🏻 👌👌 👍 👍🏽 🆗 ✅ [OK] [强] 得 要得 妥妥 冇问题""".split()
YES += """安排 安排吧 安排上 冲 冲! 走起 可以呀 可以啊 行呀 行叭 好叭 好嘞 好咧 好滴呀 嗯呐 昂 是滴 要滴 要的要的
    好的好的 确认确认 必须的 当然 没毛病 同意 就它了 就换它 就要这个 我要换 我确认 给我换 那换 换呀 换它 快换
    欧克 okk okok okey yeah yup sure 阔以 中嘞 要嘞 得啦 巴适 整 成交 確認 兌換 沒問題 OKLA ok啦 🆗👌 好👌
    👌！ 嗯~ 嗯… 换换换""".split()
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
YES_LONG += ["好的谢谢", "嗯嗯 谢谢", "可以，谢谢你"]
NO += """还是不要了 还是算了 那算了 算啦 算了算了 算啦算啦 我不换 我不要了 不想换了 不考虑了 先放着 先攒着 以后再说
    过几天再说 回头再说 下回吧 暂时不要 没兴趣 不感兴趣 不必了 不用换了 免了 pass cancel nah nonono 我考虑一下
    考虑考虑 想想 我想想 等会 等会儿 缓缓 唔使 莫换 不中 不成 不同意 没必要 先这样 🙅🏻 🙅🏼‍♀️ 🙅‍♂️ ❎ 👎🏻
    [NO] 不换啦 不要嘛 算了嘛 下次吧~ 不了不了""".split()
NO_LONG = ["算了，不换了", "不用了，谢谢", "不用了谢谢", "嗯 算了", "好的，算了", "先不要了"]
NEITHER = """哈哈 可以吗 可以么 可以嘛 行嘛 对吧 是吧 可以吧 没问题吧 好贵 行不行 好不好
    可以不 换不换 好了没 是吗 对吗 嗯? 确认？ 确认?! ?确认 换？~
    换好的 要好的 好像不对 可以便宜点吗 好的吗 多少 杯子 换个别的 要是不够呢 好烦 对面 行李 确认什么 确认不了
    要不 要不要 中午 好久 不是 好奇 兑换什么 换什么 2 两个 嗯哼哼 哦 谢谢 可是 等我看看""".split()
NEITHER += """好像不用 好但是换两个 可以是可以 嗯哼 嗯?? 换吗 要吗 都行 随便 看情况 也许 可能吧 应该可以 多少钱来着 好多
    好看吗 行不行啊 能换吗 换哪个 换别的 要红色的 同样的 确认一下地址 等我确认 没确认 我没说换 不一定 不是很想
    好吃吗 1 呵呵 嘻嘻 喂 在吗 你好 谢谢啊 嗯但是 对不起 对了 好奇怪 可惜 行程 中奖 要命 换货 兑现 冲突
    安排不了 必须吗 当然不 没毛病吧? 成都 准备""".split()
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


KNOWN = set("".join([*YES, *YES_LONG]).lower()) | set("噢喔啊呀哦呢啦哈哟呗咯的吧了哒嘞谢多感你您okaynsyep")


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
