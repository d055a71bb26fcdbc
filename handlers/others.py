"""Somebody else's points, money or tier: nobody is told what is not theirs, nor their own as if it were another's."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from handlers import points
from handlers.talk.turn import Hush, Say, Scene, Silent, Turn

PERSONAL: Final = frozenset({"points_query", "stored_value", "membership", "points_redeem"})
"""What only the person themselves is told or may spend."""
_CLOSE: Final = (
    "老公|老婆|爱人|男朋友|女朋友|男票|女票|对象|(?:老|我)?[妈爸]妈?爸?|母亲|父亲|儿子|女儿|闺女|孩子|小孩|婆婆|公公|岳母|"
    "岳父|丈母娘|丈人|奶奶|爷爷|[外阿]婆|外公|姥姥|姥爷|姑[姑妈]|姨妈|小姨|舅[舅妈]|媳妇|嫂子|闺蜜|朋友|同事|同学|室友|"
    "舍友|邻居|家人|家里人|亲戚|表[姐妹哥弟]|堂[姐妹哥弟]"
)
_CALLED: Final = (
    "[一-龥]{0,2}(?:姐姐?|哥哥?|妹妹?|弟弟?|姨|叔叔?|婶|嫂|阿姨|老师|女士|先生|小姐|经理|店长|老板|领导|师傅|总)"
)
_THEY: Final = (
    "(?<![其吉])[他她](?:们)?|(?<![a-z])ta(?![a-z])|别人|别个|人家|其他人|旁人|群主|那[个位](?:人|女士|先生|姐|哥)"
)
_SURNAMED: Final = (
    "[王李张刘陈杨赵吴徐孙胡朱郭罗郑梁谢宋唐邓冯韩曹彭萧蔡潘董袁叶蒋杜苏魏吕沈姚卢姜崔谭陆汪范廖贾韦傅邹孟秦薛侯段郝邵顾赖贺]"
    "[一-龥]{1,2}"
)
_THEIRS: Final = (
    r"(?:的|那边的?|那儿的?|名下的?|账[号户]里?上?的?|手机号?的?|会员卡?里?的?|卡里?上?的?|自己)*"
    r"(?:现在|目前|一共|总共|还|到底|大概|今年|都|这个?月)*"
)
_OWNS: Final = (
    r"(?:有|剩|余|攒|积分|分(?![享开钟])|余额|储值|多少|几|什么(?:等级|级别|会员)|是(?:什么|啥|几|哪)|等级|[券卡会])"
)
_SOMEBODY: Final = re.compile(
    rf"(?<![推荐邀请介绍拉送带给让叫喊帮和跟])(?:(?:{_CLOSE})|我(?:们)?(?:家|的)?(?:{_CALLED}|客户)|{_THEY}|"
    rf"(?<![一-龥])(?:{_CALLED}|[小老阿][一-龥]))(?:的?(?:{_CALLED}|{_CLOSE}))?{_THEIRS}{_OWNS}|"
    rf"(?:^|[查看问]一?下?|用|隔壁|楼上|群里)(?:{_CALLED}|[小老阿][一-龥])的?{_THEIRS}{_OWNS}|^{_SURNAMED}(?:的积?分|的余额|还?有多少|还?剩多少|还?有几)|"
    rf"(?<!\d)1[3-9]\d{{9}}的?{_THEIRS}{_OWNS}|@\S+?[ \u2005]?{_THEIRS}{_OWNS}"
)
_SPENDS: Final = re.compile(
    rf"(?:用|拿|扣|刷|花)(?:了|掉)?(?:我(?:们)?(?:家|的)?)?(?:{_CLOSE}|{_CALLED}|{_THEY}|[小老阿][一-龥])"
    r"(?:的|那边的?|名下的?|账[号户]里?上?的?|卡里?上?的?)*(?:积?分|余额|储值|钱|卡)"
)
_OWN: Final = re.compile(
    rf"(?:我|俺|咱|本人)(?!(?:们)?(?:家|的)?(?:{_CLOSE}|{_CALLED}|客户))(?:自己|现在|目前|还|一共|总共|的|能|是|也)*"
    r"(?:有|剩|积分|分|余额|卡|什么|多少|几|级)"
)
_ADDRESSED: Final = re.compile(r"小程序|小票|老会员|老客|老用户|老顾客|小伙伴|小店|小红书|阿里|小时|小组|老样|老规")


def asks(text: str, found: Collection[str]) -> bool:
    """Whether a message is after what another person has, or would spend it."""
    bare = _ADDRESSED.sub("", re.sub(r"\s+", " ", text.lower()))
    if "points_redeem" in found:
        return bool(_SPENDS.search(bare))
    return not PERSONAL.isdisjoint(found) and bool(_SOMEBODY.search(bare)) and not _OWN.search(bare)


def decline(turn: Turn) -> Scene:
    """Say kindly that only one's own can be seen here; in a group say nothing."""
    if turn.is_automatic:
        yield Hush(points.LATELY, turn.now + turn.brand.dialog.silence)
        yield Say(turn.reply("only_own"))
    else:
        yield Silent("asks for what another person has")
