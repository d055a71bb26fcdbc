"""What is told from the words alone: negation, the past, quotation, supposition, another thing; keywords.

The model takes cues as features and learns what they are worth. Without a model, `keywords_verdict` decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from intents.keywords import KEYWORDS, SHIELDED
from intents.triggers import Triggers

Marks = dict[str, re.Match[str]]


@dataclass(frozen=True, slots=True)
class Cue:
    """A kind (`negated`, `over`, `quoted`, `hypothetical`, `other_thing`) and the words that showed it."""

    kind: str
    words: str


_PAST = "上周|上个?月|上次|上回|昨天|昨晚|前天|前几天|前阵子|去年|早就|早都|刚刚?已经|已经|之前|那天|当时"
_RESTOCKED = "补|买|下单|续|囤|订|拍|换|退|兑|领|查|约|充|解决|处理|收到|搞定"
_USE = "吃|喝|用|擦|抹|刷|洗|喂|穿|看"
_CUES: dict[str, re.Pattern[str]] = {
    "negated": re.compile(
        f"还?(?:没|未)(?:怎么|舍得)?(?:{_USE})(?:完|光|了多少|到|几)|(?:{_USE})不完|还早|还多着?|不着急?|不急|"
        "还有(?:好多|很多|不少|大半|一大|一?半|一整|[两三四五六七八九十几]箱|存货)|够(?:吃|喝|用)(?:好久|很久|到|半年|一个?月|"
        "[两三几]个月)|没打算|不打算|不(?:想|用|需要|必|准备|考虑|会)(?:再)?(?:买|换|退|补|约|下单|囤|要|续)|用不着|没必要|"
        "暂时不|先不|不缺|没说要|没想|又?不是(?:要|想|说|我|来|问)|没(?:有)?(?:坏|碎|问题|毛病|兑|打算|投诉)|谁说"
    ),
    "over": re.compile(
        f"(?:{_PAST}).{{0,10}}(?:{_RESTOCKED}|{_USE}).{{0,3}}[了过]|(?:{_PAST}).{{0,8}}就.{{0,3}}[了过]|"
        "(?:又|刚|都|也)?(?:补|续|囤)(?:了|上了|过了|好了|完货|货了)|买过了|买好了|下过单|刚(?:买|补|囤|到货|收到)|"
        "(?:解决|处理|搞定|换好|退好|约好|到账|兑好|兑完|领完|领过|查到)了|后来|没事了"
    ),
    "quoted": re.compile(
        '["“「『].{2,}["”」』]|[说问喊写讲](?:了句|我)?[:,]?["“「『:]|听说|据说|说是|广告|文案|朋友圈看|视频里|剧里|'
        "电视[里上]|小说|歌词|台词|新闻|别人说|人家说|转发|直播间说|网上(?:说|看)|段子|笑话|标题"
    ),
    "hypothetical": re.compile(
        "如果|要是|假如|假设|万一|的话|倘若|除非|若是|等.{0,6}(?:完|没).{0,2}(?:再|才)|到时候?再|以后再|哪天|"
        "有一天|想象|早知道|下辈子|理论上|打个比方|比如"
    ),
    "other_thing": re.compile(
        "外卖|手机|电量|没电|电池|充电|流量|话费|油箱|汽油|没油|加油站|油价|作业|论文|ppt|球队|球赛|联赛|中超|英超|nba|"
        "积分榜|积分赛|世界杯|欧冠|小组赛|排位|段位|游戏|王者|原神|皮肤|信用卡|花呗|银行卡|航空|里程|驾照|扣分|学分|考试|"
        "落户|居住证|积分入学|积分入户|地铁|公交|高铁|机票|火车|电影|年假|假期|周末|工资|房租|水电|电费|网费|wifi|宽带|"
        "饭|火锅|烧烤|零食|西瓜|冰箱|厕所|耐心|时间|头发|命|孩子学校|学校|老师|幼儿园|医院|淘宝|京东|拼多多|抖音|滴滴|美团|"
        "饿了么|顺便帮我带|小区|物业|股票|基金|彩票|新剧|综艺|演唱会|健康码|电脑|充电宝|打印机|墨盒|车票"
    ),
}
_ASKS = re.compile("[?吗呢么]|怎么|什么|多少|哪|几|咋|如何|能不能|可不可以|有没有|是不是|啥")
_PEER = re.compile("你们(?:都|谁|有|几|家里)|大家|有人|谁家|姐妹们|各位|楼上|隔壁|你家|你呢|@")
_SELF = re.compile("我|俺|咱|本人|偶")
_FEW = re.compile("(?:最后|剩|够).{0,3}[一二两三四五六几半1-7]?.?[天包袋盒瓶片粒勺顿次口条支罐]")


_TRIGGERS = Triggers({
    **_CUES,
    **{"k:" + scenario: pattern for scenario, pattern in KEYWORDS.items()},
    "m:asks": _ASKS, "m:peer": _PEER, "m:self": _SELF, "m:few_left": _FEW,
})  # fmt: skip


def read_marks(text: str) -> Marks:
    """Every cue, keyword and manner of a normalised text with its first match, for the two functions below."""
    return _TRIGGERS.search(text)


def find_cues(text: str, marks: Marks | None = None) -> tuple[Cue, ...]:
    """Cues of a normalised text, one per kind at most, with the words that show it."""
    found = read_marks(text) if marks is None else marks
    return tuple(Cue(name, match.group()) for name, match in found.items() if name in _CUES)


def cue_features(text: str, marks: Marks | None = None) -> list[str]:
    """Feature names of a normalised text: cues, keywords, and keywords with and without a cue beside them."""
    found = read_marks(text) if marks is None else marks
    kinds = [name for name in found if name in _CUES]
    features = ["c:" + kind for kind in kinds]
    for name in found:
        if name[:2] == "k:":
            features.append(name)
            features += [f"{name}+{kind}" for kind in kinds] or [name + "+clean"]
        elif name[:2] == "m:":
            features.append(name)
    size = len(text)
    features.append("m:tiny" if size <= 4 else "m:short" if size <= 10 else "m:long" if size > 40 else "m:middle")
    return features


def keywords_verdict(text: str) -> tuple[list[tuple[str, str]], tuple[Cue, ...]]:
    """Scenarios a normalised text names by keyword, each with the words, and the cues that may veto them.

    A cue vetoes every scenario except those whose own words contain it (`SHIELDED`).
    """
    cues = find_cues(text)
    found = []
    for scenario, pattern in KEYWORDS.items():
        match = pattern.search(text)
        if match and not any(cue.kind not in SHIELDED.get(scenario, ()) for cue in cues):
            found.append((scenario, match.group()))
    return found, cues
