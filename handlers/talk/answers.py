"""Short answers inside a dialog: yes, no, a number, a quantity. A yes is never guessed."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Answer(Enum):
    """What a short answer means."""

    YES = "yes"
    NO = "no"
    NEITHER = "neither"


_YES: Final = frozenset(
    """
    嗯 恩 en 好 好的 好滴 好哒 好嘞 好呀 好啊 好吧 好哦 好噢 好喔 ok okay okok 可以 可以的 行 行吧 行的
    中 成 要 要的 换 换吧 换了 我换 确认 确认吧 确定 确认兑换 确认换 确定换 确定兑换 兑换 兑换吧 兑 兑吧 是
    是的 对 对的 没错 没问题 没问题的 yes y yep 就这个 就它 就换这个 那就换吧 那换吧 好的换 好换吧 嗯换
    嗯嗯换吧 来吧 换了吧 冇问题 得 要得 妥 妥了 👌 👍 ✅ 🆗 🙆 🙆‍♀ [ok] [强] [好的]
    1⃣确认
    """.split()
)
_NO: Final = frozenset(
    """
    不 不要 不要了 不换 不换了 不用 不用了 算了 算了吧 先不 先不要 先不要了 先不换 先不换了 先不了 先算了 取消 取消吧
    取消兑换 不了 不行 不兑 不兑了 再想想 我再想想 再看看 再说 再说吧 下次 下次吧 下次再说 等等 等一下
    等下 别 别换 别换了 放弃 no nope n 不可以 不确认 不确定 唔要 不得行 没事了 不需要 暂时不用
    不需要了 改天 改天吧 🙅 🙅‍♀ ❌ 🚫 👎 [no] [弱] 拜拜
    """.split()
)
_COURTESY: Final = frozenset(
    """
    谢谢 谢谢你 谢谢啦 多谢 感谢 thx thanks 3q 辛苦了 好 好的 好滴 好吧 嗯 恩 哦 哦哦 噢
    喔 ok 收到 知道了 明白 明白了 了解 哈哈 呵呵 嘻嘻 嘿嘿 再见 拜拜 晚安 早 早安 早上好 没事
    没事了 不客气 行 可以 好嘞 👌 👍 🙏 🌹 ❤ 😊 [ok] [强] [玫瑰] [微笑]
    """.split()
)
_PARTICLES: Final = "啊呀哦呢啦嘛哈哟喔噢呗咯哇的吧"
_AFTER_YES: Final = re.compile(r"(?:[啊呀啦哟呗咯]+|哈)$")
"""What may follow a yes. 吧, 嘛, 哇 and 呢 make a question of it (对吧, 可以嘛), 哈哈 makes light of it."""
_THANKS: Final = re.compile(r"(?:谢谢|多谢|感谢)[你您啦了]?$")
_LAUGH: Final = re.compile(r"[哈呵嘻嘿h]{2,}")
_NOISE: Final = re.compile(r"[\s,，。.!！~～…、;；:：\"'“”‘’]+")
_SKIN_TONE: Final = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f]")
_DIGITS: Final = {"零": 0, "一": 1, "二": 2, "两": 2, "俩": 2, "三": 3, "仨": 3, "四": 4, "五": 5, "六": 6,
                  "七": 7, "八": 8, "九": 9, "十": 10}  # fmt: skip
_PLACE: Final = r"(\d{1,3}|[一二三四五六七八九]?十[一二三四五六七八九]?|[一二三四五六七八九])"
_NUMBER: Final = r"(?<![\d.])(\d{1,6}|[一二两俩三仨四五六七八九]?十[一二三四五六七八九]?|[一二两俩三仨四五六七八九])"
_QUANTITY: Final = re.compile(_NUMBER + r"\s*(?:个(?!月|半|小时|钟头|星期|礼拜|人)|份|只|套|杯|张|盒|袋|件|瓶|包|条)")
_PAIR: Final = re.compile(r"(?<![们他她咱你我])(俩|仨)(?!人)")
_ORDINAL: Final = re.compile(rf"^(?:我?(?:要|选|换|就)?(?:第)?){_PLACE}(?:号|个|项|款)?(?:吧|呀|啊|的)?$")
_TOKEN: Final = re.compile(r"\[\w+\]|\w+|[^\w\s]\u200d?[♀♂]?")


def read_answer(text: str) -> Answer:
    """Yes or no only when the whole message says so; anything more, and any question, is neither."""
    bare, tokens = _bare(text), _tokens(text)
    if _says_no(bare) or _says_no(_THANKS.sub("", bare)):
        return Answer.NO
    if any(map(_says_no, tokens)) and all(_says_no(token) or is_courtesy(token) for token in tokens):
        return Answer.NO
    if "?" in text or "？" in text:
        return Answer.NEITHER
    if _says_yes(bare) or (tokens and all(map(_says_yes, tokens))):
        return Answer.YES
    return Answer.NEITHER


def is_courtesy(text: str) -> bool:
    """Whether a message only says thanks, goodbye or I see: nobody needs an answer to that."""
    bare = _bare(text)
    if not bare or _LAUGH.fullmatch(bare):
        return True
    return bare in _COURTESY or _undouble(bare) in _COURTESY or bare.rstrip(_PARTICLES) in _COURTESY


def read_number(text: str) -> int | None:
    """The place in a list that a message names (2, 第二个, 选3号), or None."""
    found = _ORDINAL.match(_bare(text))
    return to_number(found.group(1)) if found else None


def read_quantity(text: str) -> int | None:
    """How many pieces a message asks for (两个, 3份, 来俩), or None where it does not say."""
    bare = _bare(text).replace("第一个", "").replace("这一个", "").replace("哪个", "")
    bare = re.sub(rf"第{_NUMBER}(?:个|款|项|号)", "", bare)
    found = _QUANTITY.search(bare) or _PAIR.search(bare) or re.search(r"[x×*](\d{1,3})$", bare)
    return (to_number(found.group(1)) or None) if found else None


def to_number(word: str) -> int:
    """Digits or Chinese numerals below one hundred as an int."""
    if word.isdigit():
        return int(word)
    if "十" in word:
        tens, _, ones = word.partition("十")
        return _DIGITS.get(tens, 1) * 10 + _DIGITS.get(ones, 0)
    return _DIGITS[word]


def _bare(text: str) -> str:
    return _SKIN_TONE.sub("", _NOISE.sub("", text.strip().lower())).replace("？", "").replace("?", "")


def _tokens(text: str) -> list[str]:
    """The words, signs and emoji between spaces and marks, each bare."""
    return _TOKEN.findall(_SKIN_TONE.sub("", _NOISE.sub(" ", text.strip().lower())))


def _says_no(bare: str) -> bool:
    single = _undouble(bare)
    return not _NO.isdisjoint({bare, single, bare.rstrip(_PARTICLES), single.rstrip(_PARTICLES)})


def _says_yes(bare: str) -> bool:
    single = re.sub(r"([^哈])\1+", r"\1", bare)
    after_hm = bare.lstrip("嗯恩")
    shapes = {bare, single, _AFTER_YES.sub("", bare), _AFTER_YES.sub("", single), after_hm}
    return not _YES.isdisjoint(shapes)


def _undouble(text: str) -> str:
    return re.sub(r"(.)\1+", r"\1", text)
