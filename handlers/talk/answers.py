"""Short answers inside a dialog: yes, no, a number, a quantity. A yes is never guessed."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

YES_NO: Final = (("yes", "确认"), ("no", "算了"))
"""The entries to tap under a prompt."""


class Answer(Enum):
    """What a short answer means."""

    YES = "yes"
    NO = "no"
    NEITHER = "neither"


_YES: Final = frozenset(
    """
    嗯 恩 en 好 好的 好滴 好哒 好嘞 好呀 好啊 好吧 好哦 好噢 好喔 ok okay okok 可以 可以的 行 行吧 行的 中 成 要
    要的 换 换吧 换了 我换 确认 确认吧 确定 确认兑换 确认换 确定换 确定兑换 兑换 兑换吧 兑 兑吧 是 是的 对 对的
    没错 没问题 没问题的 yes y yep 就这个 就它 就换这个 那就换吧 那换吧 好的换 好换吧 嗯换 嗯嗯换吧 来吧 换了吧
    冇问题 得 要得 妥 妥了 👌 👍 ✅ 🆗 🙆 🙆‍♀ 🙆‍♂ [ok] [强] [好的] 1⃣确认 安排 安排吧 安排上 给我安排 冲 冲鸭
    走起 走你 搞起 整 整吧 整上 可 可以呢 可以滴 阔以 阔以的 行叭 好叭 好得 好勒 好咧 好咯 好滴呀 好好好 嗯呐
    嗯那 嗯好 嗯行 嗯可以 昂 昂昂 是滴 是哒 对滴 要滴 必须 必须的 当然 当然要 当然可以 没毛病 没意见 同意 我同意
    同意的 就换它 就要这个 就要它 就这个吧 就它了 就它吧 那就它 那就这个 那就这个吧 换这个 要这个 我要换 我要
    我确认 我确定 确认换吧 确认了 确定了 确认无误 帮我换 帮我换吧 给我换 给我换吧 那换 那就换 换呀 换啊 直接换
    直接换吧 赶紧换 赶紧的 快换 换换换 兑了 兑了吧 我兑 兑它 换它 欧克 欧了 欧啦 okk okie okey okla oklah sure
    yeah yup yea 好嘅 係 系嘅 得啦 得咯 成交 中嘞 中中 妥妥的 巴适 要嘞 整起 ✔ ☑ [okay] [打勾] 行嘞 行呀 行啊
    行哒 行滴 ok的 ok滴 ok换 ok换吧 行换 行换吧 好换 好的换吧 可以换 可以换了 对换
    先换 先换吧 先换了 那好 那好吧 那好的 那行 那行吧 那可以 系 就系佢 系佢 就佢 就要佢 好啦
    """.split()
)
_NO: Final = frozenset(
    """
    不 不要 不要了 不换 不换了 不用 不用了 算了 算了吧 先不 先不要 先不要了 先不换 先不换了 先不了 先算了 取消
    取消吧 取消兑换 不了 不行 不兑 不兑了 再想想 我再想想 再看看 再说 再说吧 下次 下次吧 下次再说 等等 等一下
    等下 别 别换 别换了 放弃 no nope n 不可以 不确认 不确定 唔要 不得行 没事了 不需要 暂时不用 不需要了 改天
    改天吧 🙅 🙅‍♀ 🙅‍♂ ❌ ❎ ✖ 🚫 👎 ✋ [no] [弱] 拜拜 [打叉] [再见] 还是不要了 还是不换了 还是算了 还是算了吧
    还是别换了 那算了 那算了吧 那不要了 那不换了 那就算了 就算了 算啦 算嘞 我不换 我不换了 我不要 我不要了
    我不想换了 不想换 不想换了 不想要了 不考虑 不考虑了 先不考虑 先放着 先放放 先放一放 先这样 先留着 先攒着
    先存着 留着吧 攒着吧 再攒攒 我再攒攒 以后再说 以后吧 过几天再说 过两天再说 回头再说 回头吧 晚点再说 改天再说
    改日 下回 下回吧 下次再换 暂时不要 暂时不换 暂时算了 暂不 没兴趣 不感兴趣 不必 不必了 不用换了 不用换 免了
    拒绝 退出 停 停止 pass stop cancel nah nono nonono 我考虑一下 考虑 考虑一下 考虑考虑 我考虑考虑 考虑下 想想
    我想想 我想一下 想一想 我想一想 等会 等会儿 等会再说 等等再说 等一等 等我想想 再等等 再考虑 再考虑考虑
    再考虑一下 再想想吧 再看看吧 缓缓 唔使 唔使了 唔换 唔换了 唔好 莫换 莫要 莫得必要 不中 不成 不妥 不同意
    我不同意 不乐意 不愿意 没必要 都不要 都不要了 都不换 都不换了 都不想要 一个都不要 一个也不要 全都不要
    """.split()
)
_GIVES_UP: Final = re.compile(r"(?:哦|嗯|那|哎|唉|还是)*(?:算了[吧啦]?|不了|不用了|不要了|不换了|不想要了|先不了)")
_AGREES: Final = re.compile(r"那?(?:嗯+|好[的滴呀啊]?|行[吧的]?|可以的?|没问题|是的|对的|ok)", re.IGNORECASE)
"""What often stands right before another no or yes, with nothing between: 算了不换了, 好的换吧."""
_PUTS_OFF: Final = re.compile(
    r"(?:那|嗯+|哦|噢|额|呃|哎|诶|欸|你|您|麻烦|请|让|容|给|别急|不急|唔急|我|俺|偶|先|再|还|要|得|去|多)*"
    r"(?:等(?:一|等|下|会|儿|待|阵|哈|我|先|片刻|几?分钟)*|稍(?:等|候|后|微|一|下|等下|会|儿|待|片刻)+|慢着|"
    r"缓(?:一|缓|下)*|(?:想|谂|琢磨|考虑|犹豫|寻思|合计|商量|纠结)(?:想|谂|琢磨|考虑|商量|合计|一|下|会|儿|先)*|"
    r"[看睇](?:看|睇|一|下|会|儿)+|(?:问|跟|和|同)[^换兑]{0,5}(?:问|商量|说|讲|合计|确认)(?:问|一|下|声)*|"
    r"等.{1,6}(?:再说|再定|再看|商量)|问(?:问|一|下|声)+[^换兑么吗什哪怎几多]{0,4}|wait|holdon){1,3}(?:一?下下?|先|再说吧?)?"
)
"""Words that decide nothing yet: 等下, 我再想想, 让我问问老公."""
_COURTESY: Final = frozenset(
    """
    唔该 唔该晒 谢谢 谢谢你 谢谢啦 多谢 感谢 thx thanks 3q 辛苦了 好 好的 好滴 好吧 嗯 恩 哦 哦哦 噢
    喔 ok 收到 知道了 明白 明白了 了解 哈哈 呵呵 嘻嘻 嘿嘿 再见 拜拜 晚安 早 早安 早上好 没事
    没事了 不客气 行 可以 好嘞 👌 👍 🙏 🌹 ❤ 😊 [ok] [强] [玫瑰] [微笑]
    """.split()
)
_GREETING: Final = re.compile(
    r"(?:(?:你|您|大家|客服)?好|hi|hello|hey|嗨|哈[喽啰罗]|喂|早|早安|[早中晚]上?好|[上中下]午好|晚安|在吗|在么|在不在?|在嘛|"
    r"有人(?:吗|么|在吗|不)?|亲+|客服|小助手|老板)+[啊呀哦呢哈]*"
)
_PARTICLES: Final = "啊呀哦呢啦喇嘛哈哟喔噢呗咯哇的吧哒滴嘞咧叭~"
_AFTER_YES: Final = re.compile(r"(?:[啊呀啦哟呗咯]+|哈)$")
"""What may follow a yes. 吧, 嘛, 哇 and 呢 make a question of it (对吧, 可以嘛), 哈哈 makes light of it."""
_THANKS: Final = re.compile(r"(?:谢谢|多谢|感谢|唔该)[你您啦了晒]?$")
_PLEASE: Final = re.compile(r"^(?:唔该晒?|麻烦(?:你|您)?|请)")
_REALLY: Final = re.compile(r"^真的?(?=[不别算])")
_LAUGH: Final = re.compile(r"[哈呵嘻嘿h]{2,}")
_NOISE: Final = re.compile(r"[\s,，。.!！~～…、;；:：\"'“”‘’]+")
_SIMPLIFIED: Final = str.maketrans(
    "確認換兌問題對沒這個來兩點謝過還無誤慮順隨單張號錯說後別開準",
    "确认换兑问题对没这个来两点谢过还无误虑顺随单张号错说后别开准",
)
_SKIN_TONE: Final = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f]")
_DIGITS: Final = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "俩": 2, "三": 3, "仨": 3, "四": 4, "五": 5, "六": 6,
                  "七": 7, "八": 8, "九": 9}  # fmt: skip
_TENS: Final = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
NUMBER_LETTERS: Final = "零〇一二两俩三仨四五六七八九十百千万"
"""The letters Chinese numerals are written with; `to_number` reads them."""
_PLACE: Final = r"(\d{1,3}|[一二三四五六七八九]?十[一二三四五六七八九]?|[一二三四五六七八九])"
_NUMBER: Final = rf"(?<![\d.])(\d{{1,9}}|[一二两俩三仨四五六七八九十百千万][{NUMBER_LETTERS}]{{0,7}})"
_UNIT: Final = r"(?:个(?!月|半|小时|钟头|星期|礼拜|人|亿)|份|只|套|杯|张|盒|袋|件|瓶|包|条)"
_QUANTITY: Final = re.compile(_NUMBER + r"\s*" + _UNIT)
_PAIR: Final = re.compile(r"(?<![们他她咱你我])(俩|仨)(?!人)")
_MENDED: Final = re.compile(r"不对|不是|错了|[哦噢额啊]不|[个份]不(?=[一二两三四五六七八九十\d])|还是|算了|改成|改为")
"""Behind these stands what is meant: 两个, 不对, 三个."""
_LOTS: Final = re.compile(r"([一二两三四五六七八九十]|\d{1,3})?(半打|一打|打|对|双)(?![一二折算话方比])")
_LOT_SIZES: Final = {"半打": 6, "一打": 12, "打": 12, "对": 2, "双": 2}
_MORE: Final = re.compile(rf"(?:再|多|加)(?:来|加|要|换|兑|给我)?{_NUMBER}?\s*{_UNIT}")
_ODD_ALONE: Final = re.compile(r"[-−－负]\s*\d+|0+|\d{3,}|\d+\.\d+|[一二两三四五六七八九十]个?半")
"""A bare number that answers how many, and nobody can be given."""
_ODD: Final = re.compile(
    rf"(?:[-−－负]\s*(?:\d|[一二两三四五六七八九十])[^月号]*?{_UNIT})|(?<!\d)0+{_UNIT}|零{_UNIT}|\d+\.\d+\s*{_UNIT}"
    rf"|半{_UNIT}|[一二两三四五六七八九十]{_UNIT}半|\d{{10,}}\s*{_UNIT}|亿"
)
_ORDINAL: Final = re.compile(
    rf"^(?:我?(?:要|选|换|就|兑)?(?:第)?){_PLACE}(?:号|个|项|款|种|样)?(?:吧|呀|啊|的|了|哈)?$"
)
_ORDINALS: Final = re.compile(rf"第{_PLACE}(?:号|个|项|款|种|样)?|(?<![\d.]){_PLACE}号")
_TWICE: Final = re.compile(r"^(.{2,6}?)\1+$")
"""What is said twice over: 算了算了."""
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
    yes, words = _THANKS.sub("", bare), [token for token in tokens if not _THANKS.fullmatch(token)]
    if (yes and _says_yes(yes)) or (words and all(map(_says_yes, words))):
        return Answer.YES
    return Answer.NEITHER


def puts_off(text: str) -> bool:
    """Whether a message only asks for time, neither taking what is offered nor giving it up: 稍等, 我再想想."""
    clauses = [clause.rstrip(_PARTICLES) for clause in _tokens(text)]
    later = [bool(clause) and bool(_PUTS_OFF.fullmatch(clause)) for clause in clauses]
    return any(later) and all(is_later or is_courtesy(clause) for clause, is_later in zip(clauses, later, strict=True))


def is_courtesy(text: str) -> bool:
    """Whether a message only says thanks, goodbye or I see: nobody needs an answer to that."""
    bare = _bare(text)
    if not bare or _LAUGH.fullmatch(bare):
        return True
    head = _AGREES.match(bare)
    if head is not None and bare[head.end() :].rstrip(_PARTICLES) in _COURTESY:
        return True
    return bare in _COURTESY or _undouble(bare) in _COURTESY or bare.rstrip(_PARTICLES) in _COURTESY


def is_greeting(text: str) -> bool:
    """Whether a message only says hello or asks whether somebody is there."""
    bare = _bare(text)
    return bool(_GREETING.fullmatch(bare) or _GREETING.fullmatch(_undouble(bare)))


def read_number(text: str) -> int | None:
    """The place in a list that a message names (2, 第二个, 选3号), or None."""
    found = _ORDINAL.match(_bare(text))
    return to_number(found.group(1)) if found else None


def is_answer(text: str) -> bool:
    """Whether a message by itself says yes, no or a place in a list."""
    return read_answer(text) is not Answer.NEITHER or read_number(text) is not None


def read_places(text: str) -> list[int]:
    """Every place in a list that a longer message names: 第二个要两份, 1号和3号."""
    number = read_number(text)
    if number is not None:
        return [number]
    found = [to_number(one or other) for one, other in _ORDINALS.findall(_bare(text))]
    return list(dict.fromkeys(found))


def read_quantity(text: str) -> int | None:
    """How many pieces a message asks for (两个, 3份, 来俩, 半打), or None where it does not say."""
    bare = _bare(text).replace("第一个", "").replace("这一个", "").replace("哪个", "")
    mended = _MENDED.split(bare)[-1]
    bare = mended if _QUANTITY.search(mended) or _PAIR.search(mended) else bare
    bare = re.sub(rf"(?:第|[前后]){_NUMBER}(?:个|款|项|号)", "", bare)  # places in the list, not how many
    lot = _LOTS.search(bare)
    if lot and (lot[1] or lot[2] in {"半打", "一打"}):
        return (1 if lot[2] in {"半打", "一打"} else to_number(lot[1])) * _LOT_SIZES[lot[2]]
    found = _QUANTITY.search(bare) or _PAIR.search(bare) or re.search(r"[x×*](\d{1,3})$", bare)
    return (to_number(found.group(1)) or None) if found else None


def counts_several(text: str) -> bool:
    """Whether a message says more than one number of pieces: 两个保温杯和一个随行杯."""
    return len(_QUANTITY.findall(_bare(text))) > 1


def read_more(text: str) -> int | None:
    """How many more pieces than before a message asks for (再加一个, 多来两份), or None."""
    found = _MORE.search(_bare(text))
    return to_number(found[1] or "一") if found else None


def asks_odd_quantity(text: str) -> bool:
    """Whether a message asks for a quantity nobody can be given: none, less than none, a half."""
    return bool(_ODD.search(re.sub(r"\s", "", text)))


def is_odd_quantity(text: str) -> bool:
    """Whether a message is nothing but such a number: an answer to how many, where that was asked."""
    return bool(_ODD_ALONE.fullmatch(text.strip("!！。~ ")))


def to_number(word: str) -> int:
    """Digits or Chinese numerals below a hundred million as an int."""
    if word.isdigit():
        return int(word)
    if not any(letter in _TENS for letter in word):
        return int("".join(str(_DIGITS[letter]) for letter in word))
    whole = section = digit = 0
    for letter in word:
        if letter in _DIGITS:
            digit = _DIGITS[letter]
        elif letter == "万":
            whole, section, digit = (whole + section + digit) * 10_000, 0, 0
        else:
            section, digit = section + (digit or 1) * _TENS[letter], 0
    return whole + section + digit


def _bare(text: str) -> str:
    return _SKIN_TONE.sub("", _NOISE.sub("", _plain(text))).replace("？", "").replace("?", "")


def _tokens(text: str) -> list[str]:
    """The words, signs and emoji between spaces and marks, each bare."""
    return _TOKEN.findall(_SKIN_TONE.sub("", _NOISE.sub(" ", _plain(text))))


def _plain(text: str) -> str:
    return text.strip().lower().translate(_SIMPLIFIED)


def _says_no(bare: str) -> bool:
    bare = _TWICE.sub(r"\1", _REALLY.sub("", bare))
    head = _GIVES_UP.match(bare)
    if head is not None and head.end() < len(bare) and _says_no(bare[head.end() :]):
        return True
    single = _undouble(bare)
    return not _NO.isdisjoint({bare, single, bare.rstrip(_PARTICLES), single.rstrip(_PARTICLES)})


def _says_yes(bare: str) -> bool:
    bare = _TWICE.sub(r"\1", _PLEASE.sub("", bare))
    single = re.sub(r"([^哈])\1+", r"\1", bare)
    after_hm = bare.lstrip("嗯恩")
    head = _AGREES.match(bare)
    after_head = bare[head.end() :] if head is not None else bare
    shapes = {bare, single, _AFTER_YES.sub("", bare), _AFTER_YES.sub("", single), after_hm, after_head}
    return not _YES.isdisjoint(shapes)


def _undouble(text: str) -> str:
    return re.sub(r"(.)\1+", r"\1", text)
