"""Membership: the tier and what it gives, how far the next is, paid plans and their end, joining and the phone."""

from __future__ import annotations

import re
from typing import Any, Final

from handlers import joining
from handlers.offers import yuan
from handlers.talk.turn import Prompt, Say, Scene, Turn
from loyalty.days import local_day
from loyalty.expiry import last_day
from loyalty.programme import Tier

_PHONE: Final = re.compile(
    r"(?:绑|绑定|登记|关联|换|改|更换|修改|填).{0,4}(?:手机|电话|号码|号)|(?:手机|电话)号?.{0,4}(?:绑|怎么填|换了|"
    r"改)|换号"
)
_JOIN: Final = re.compile(
    r"入会|加入|成为.{0,3}会员|注册|办(?:理|个|张|一[个张])?(?:会员|卡)|开(?:个|张|通)?会员|(?:想|要|怎么|"
    r"如何)(?:当|做|成|办)会员|不是会员"
)
_PLAN: Final = re.compile(
    r"付费|年卡|月卡|季卡|周卡|续费|续约|怎么续|自动续|到期|过期|期限|会员费|会籍|有效期|什么时候到|几号到|plus",
    re.IGNORECASE,
)
_BENEFITS: Final = re.compile(r"权益|好处|福利|待遇|特权|有什么用|有啥用|着数|什么优惠|享受|有什么|有啥|能干(?:嘛|啥)")
_NEXT: Final = re.compile(r"升级|升到|升成|升钻|升金|怎么升|还差|差多少|距离|下一级|下个等级|保级|再买多少|再消费")
_RISES: Final = re.compile(
    r"(?:怎么|如何|咋|怎样)(?:样)?(?:才)?(?:能|可以)?(?:升级|升到|达到|够到|变成|成为).{0,6}(?:会员|级|$)"
)
_STAFF: Final = re.compile(
    r"注销|退会|销户|转让|暂停|冻结|改名|名字|生日.{0,3}(?:改|错)|刷不出|验证码|收不到|已被注册|丢了|补卡|关掉|"
    r"怎么关|取消自动|(?:取消|退掉?|不要)(?:我的?)?[年月季周]卡|[年月季周]卡.{0,4}(?:取消|能退|可以退|退款)|关闭自动|降级|停车|"
    r"共用|孩子|家里人|带人|带朋友|生日礼|会员日|专属客服|电子|会员码"
)


def tell(turn: Turn) -> Scene:
    """我是什么等级: what was asked first; in a group the rep gets the prepared answer."""
    text = turn.text
    if not turn.is_automatic:
        why = "客户问了会员等级或权益, 只可私聊告知"
        yield Prompt("membership", why, describe(turn), private=True)
    elif joining.read_phone(text) or _PHONE.search(text):
        yield from joining.bind(turn)
    elif not turn.facts.is_member(turn.member_id):
        if _BENEFITS.search(text) or _tier_named(turn):
            yield Say(_benefits(turn))
        yield from joining.invite(turn)
    else:
        yield Say(describe(turn))


def describe(turn: Turn) -> str:
    """The answer in words, for the member or for the rep to send."""
    text = turn.text
    if not turn.facts.is_member(turn.member_id):
        return turn.reply("membership_stranger")
    if _STAFF.search(text):
        return turn.reply("membership_staff", tier=_tier_name(turn))
    if _PLAN.search(text) and (turn.brand.programme.plans or not _NEXT.search(text)):
        return _plans(turn)
    if _NEXT.search(text) or _RISES.search(text):
        return describe_next(turn)
    if _BENEFITS.search(text) or _tier_named(turn) is not None:
        return _benefits(turn)
    if _JOIN.search(text):
        return turn.reply("membership_joined", tier=_tier_name(turn))
    return turn.reply("membership_tier", tier=_tier_name(turn), **_next(turn), benefits=_of(_tier(turn)))


def speaks_of_tier(turn: Turn) -> bool:
    """Whether a message asks about a tier by its name, or how one rises: 怎么升级到青叶, 青林有什么好处."""
    if _tier_named(turn) is not None and (_NEXT.search(turn.text) or _BENEFITS.search(turn.text)):
        return True
    return bool(_RISES.search(turn.text))


def describe_next(turn: Turn) -> str:
    """How far the next tier is, or that there is none above."""
    return turn.reply("membership_next", tier=_tier_name(turn), **_next(turn))


def _tier(turn: Turn) -> Tier | None:
    programme = turn.brand.programme
    rank = programme.tier_rank(turn.facts.profile(turn.member_id).tier)
    # Nobody has reached anything, and the first tier asks for nothing: that is theirs.
    if rank < 0 and programme.tiers and not programme.tiers[0].from_amount_fen:
        rank = 0
    return programme.tiers[rank] if rank >= 0 else None


def _tier_name(turn: Turn) -> str:
    tier = _tier(turn)
    return tier.name if tier else ""


def _next(turn: Turn) -> dict[str, Any]:
    programme, mine = turn.brand.programme, _tier(turn)
    rank = programme.tier_rank(mine.id if mine else None) + 1
    named = _tier_named(turn)
    rank = max(rank, programme.tier_rank(named.id)) if named is not None else rank
    if rank >= len(programme.tiers):
        return {"next": ""}
    above, now = programme.tiers[rank], turn.facts.figures(turn.member_id)
    growth = None if above.from_growth is None else max(0, above.from_growth - now.growth)
    return {"next": above.name, "missing_yuan": yuan(max(0, above.from_amount_fen - now.amount_fen)),
            "missing_growth": growth}  # fmt: skip


def _tier_named(turn: Turn) -> Tier | None:
    return next(
        (tier for tier in turn.brand.programme.tiers if tier.name in turn.text or tier.name[:2] in turn.text), None
    )


def _benefits(turn: Turn) -> str:
    named = _tier_named(turn)
    tier = named or _tier(turn)
    is_mine = named is None or named == _tier(turn)
    return turn.reply("membership_benefits", tier=tier.name if tier else "", benefits=_of(tier), is_mine=is_mine)


def _of(tier: Tier | None) -> list[str]:
    return list(tier.benefits) if tier else []


def _plans(turn: Turn) -> str:
    """Paid plans the member has and until when; else what there is to buy; else that the tier asks for no fee."""
    zone = turn.brand.programme.zone
    mine = [
        {"name": one.plan.name, "until": f"{last_day(one.until, zone):%Y年%-m月%-d日}",
         "days": (last_day(one.until, zone) - local_day(turn.now, zone)).days, "price": yuan(one.plan.price_fen)}
        for one in turn.facts.plans(turn.member_id)
    ]  # fmt: skip
    offered = [
        {"name": plan.name, "months": plan.months, "price": yuan(plan.price_fen)} for plan in turn.brand.programme.plans
    ]
    return turn.reply("membership_plans", plans=mine, offered=offered, tier=_tier_name(turn))
