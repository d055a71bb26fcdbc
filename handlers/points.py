"""Points: how many, what lapses when, what came and went in a time, the last entries, and the rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from handlers import history, knowledge, membership, periods, redemption
from handlers.offers import affordable, yuan
from handlers.talk.turn import Hush, Prompt, Say, Scene, Silent, Turn
from loyalty.days import local_day
from loyalty.programme import AfterDays, EndOfMonth, EndOfYear

LAST_ENTRIES: Final = 5
MOST_LOTS: Final = 12
_SPENT: Final = re.compile(r"花|用了|用掉|用出|使用|消耗|支出|换掉|扣|减|少了")
_EARNED: Final = re.compile(r"赚|得|攒|挣|获|进账|到账|收入|增加|涨|送了|积了|来了")
_ENTRIES: Final = re.compile(
    r"明细|记录|流水|最近几[笔条]|变动|怎么(?:少|多|没|变)|为什么(?:少|没)|没到账|到账没|少了|多了|不对|对不上|"
    r"怎么来|哪来"
)
_LAST: Final = re.compile(r"(?:最近|最后|上)一?[次笔].{0,6}(?:加|到账|进账|赚|得|扣|花|用|变)")
_OWN_ALONE: Final = re.compile(r"(?:那|就)?我(?:自己)?的?(?:积分)?呢?[?？]?")
_LIST: Final = re.compile(r"明细|记录|流水")
_LAPSES: Final = re.compile(r"过期|到期|清零|失效|作废|有效期|清掉|清空")
_CAN: Final = re.compile(r"(?:能|可以|够)(?:换|兑)(?:点|些)?(?:什么|啥|哪些|哪个|几|吗)|换得起|能换的")
_NEXT: Final = re.compile(r"升级|下一级|下个等级|升到|还差多少(?:升|到)|距离.{0,4}(?:级|卡|会员)")
_WORTH: Final = re.compile(
    r"(?:抵|值|顶|等于|相当于|折|换算|兑换比例|抵现|值钱).{0,6}(?:多少|几|钱|块|元|不)|(?:多少|几)(?:钱|块|元)|"
    r"比例|值钱"
)
_OFFSETS: Final = re.compile(
    r"积?分.{0,6}(?:抵(?!达)|当钱|当现金|代替现金|付款|支付|折现|变现|提现)|(?:抵|当)(?:现|钱|扣).{0,4}积?分"
)
_TIME_ALONE: Final = re.compile(r"[那这]?么?(.{2,10}?)(?:呢|咧|嘞|怎么样)[?？]?")
LATELY: Final = "points"
"""The topic that stands for: the member's points were spoken of a moment ago."""
_GOES_ON_WITHIN: Final = 14
_NEAR: Final = frozenset({"order_logistics", "promotion_query", "product_question", "purchase_intent", "points_rules"})
"""What a few words about points that are not named are easily taken for."""
_EARNING: Final = re.compile(
    r"怎么(?:攒|赚|得|积|获)|怎样|如何|攒|赚|送(?:多少|几|不|分|积)|给(?:多少|几|不|分|积)|几(?:块|元)|算|双倍|"
    r"加倍|翻|途径|办法"
)
REASONS: Final = {
    "order": "下单", "redeem": "兑换", "undo": "撤销兑换", "code lapsed": "兑换码过期退回", "lapse": "过期",
    "lapsed": "过期", "refund": "退款扣回", "check_in": "签到", "join": "入会", "referral": "邀请好友", "ugc": "晒单",
    "share": "分享", "survey": "问卷", "lottery": "抽奖", "merge": "账户合并", "quiz": "答题", "blind_box": "盲盒",
    "start": "期初",
}  # fmt: skip


def tell(turn: Turn) -> Scene:
    """我还有多少积分: what was asked of the member's own points, in private only."""
    if turn.is_automatic and _CAN.search(turn.text) and not history.asks(turn.text):
        yield from redemption.show(turn)
        return
    text = describe(turn)
    if turn.is_automatic:
        yield Hush(LATELY, turn.now + turn.brand.dialog.silence)
        yield Say(text)
        return
    why = f"客户问了自己的{turn.brand.programme.points_name}, 数字只可私聊告知"
    yield Prompt("points_query", why, turn.reply("points_prepared", answer=text), private=True)


def goes_on(turn: Turn, found: Sequence[str]) -> bool:
    """Whether a short message goes on about the points just spoken of: 那上个月呢, 会过期吗, 明细发我看看."""
    text = turn.text
    if len(text) > _GOES_ON_WITHIN or not set(found) <= _NEAR or knowledge.products_named(text, turn.brand.programme):
        return False
    period = periods.find(text, turn.now, turn.brand.programme.zone)
    is_movement = bool(_SPENT.search(text) or _EARNED.search(text)) and period is not None
    if is_movement or (period is not None and _TIME_ALONE.fullmatch(text)):
        return True
    if _OWN_ALONE.fullmatch(text):
        return True
    of_them = _LAPSES.search(text) or _LAST.search(text) or re.search(r"明细|流水|哪来|怎么来", text)
    return bool(of_them) and not re.search(r"[券卡码]", text)


def has_birthday_rule(turn: Turn) -> bool:
    """Whether the programme gives something for orders around a birthday."""
    return any(rule.birthday for rule in turn.brand.programme.earning.rules)


def asks_lapse(turn: Turn) -> bool:
    """Whether a message asks when points lapse: 积分什么时候到期."""
    name = turn.brand.programme.points_name
    return any(_LAPSES.search(part[:10]) for part in turn.text.split(name)[1:])


def asks_movement(turn: Turn) -> bool:
    """Whether a message asks what points came or went in a time it names: 昨天花过积分吗."""
    text = turn.text
    if turn.brand.programme.points_name not in text or not (_SPENT.search(text) or _EARNED.search(text)):
        return False
    return periods.find(text, turn.now, turn.brand.programme.zone) is not None


def asks_worth(text: str) -> bool:
    """Whether a message asks to pay with points instead of exchanging them: 能拿积分抵吗."""
    return bool(_OFFSETS.search(text))


def describe(turn: Turn) -> str:
    """The answer to what was asked: a time, the entries, what was exchanged, what lapses, the tier, the balance."""
    text, programme = turn.text, turn.brand.programme
    if history.asks(text):
        return history.describe(turn)
    period = periods.find(text, turn.now, programme.zone)
    if _LAST.search(text) or (_LIST.search(text) and "最近" in text):
        return _entries(turn)
    moved = _SPENT.search(text) or _EARNED.search(text) or _ENTRIES.search(text) or _TIME_ALONE.fullmatch(text)
    if period is not None and moved and not _LAPSES.search(text):
        return _in_period(turn, period)
    if _LAPSES.search(text):
        return _lapsing(turn)
    if _ENTRIES.search(text) or (moved and re.search(r"最近|上次|刚", text)):
        return _entries(turn)
    if _NEXT.search(text):
        return membership.describe_next(turn)
    return describe_balance(turn)


def describe_balance(turn: Turn) -> str:
    """The balance in words, with all that lapses, soonest first."""
    balance, lapsing = turn.facts.balance(turn.member_id), turn.facts.lapses(turn.member_id).days
    if balance.available <= 0 and not lapsing and not balance.pending:
        name = "points_owed" if balance.available < 0 else "points_none"
        return turn.reply(name, balance=balance.available, owed=-balance.available)
    text = turn.reply("points_balance", balance=balance.available, pending=balance.pending, held=balance.held)
    if lapsing:
        text += "\n" + turn.reply("points_lapsing", lots=_lots(turn))
    return text


def rules(turn: Turn) -> Scene:
    """怎么攒积分, 一积分抵多少钱: the programme in words, what was asked first."""
    if not turn.is_automatic:
        yield Silent("points_rules: heard only; a person answers in this chat")
        return
    text = turn.text
    if _LAPSES.search(text) or re.search(r"多久|清", text):
        yield Say(turn.reply("points_rules_expiry", expiry=_expiry(turn)))
    elif _WORTH.search(text) or asks_worth(text) or re.search(r"有什么用|有啥用|咩用|干什么用|能干", text):
        yield Say(turn.reply("points_rules_worth", examples=_worth(turn)))
    elif re.search(r"签到|打卡", text):
        behaviours = [each for each in _behaviours(turn) if each["kind"] == "check_in"]
        yield Say(turn.reply("points_rules_behaviours", behaviours=behaviours))
    elif re.search(r"晒|评价|点评|邀请|推荐|介绍|拉|生日|朋友|好友", text) and not re.search(r"生日", text):
        yield Say(turn.reply("points_rules_behaviours", behaviours=_behaviours(turn)))
    elif re.search(r"转赠|转给|送给|合(?:并|一起|到)|运费|用券|抹零|实付|原价|退货|提现", text):
        yield Say(turn.reply("points_rules_unknown"))
    else:
        yield Say(turn.reply("points_rules", **_earning(turn), expiry=_expiry(turn)))


def _in_period(turn: Turn, period: periods.Period) -> str:
    since, until = period.bounds(turn.brand.programme.zone)
    sums = turn.facts.totals(turn.member_id, since, until)
    spent, earned = bool(_SPENT.search(turn.text)), bool(_EARNED.search(turn.text))
    return turn.reply(
        "points_period", period=period.words, earned=sums.earned, used=sums.used, taken_back=sums.taken_back,
        lapsed=sums.lapsed, asks="used" if spent and not earned else "earned" if earned and not spent else "both",
    )  # fmt: skip


def _entries(turn: Turn) -> str:
    zone = turn.brand.programme.zone
    names = {reward.id: reward.name for reward in turn.brand.programme.rewards}
    lines = [
        {"on": f"{local_day(entry.at, zone):%-m月%-d日}", "delta": f"{entry.delta:+d}",
         "what": f"{REASONS.get(entry.reason, '其他')}{names.get(entry.ref, '')}"}
        for entry in turn.facts.entries(turn.member_id, LAST_ENTRIES)
    ]  # fmt: skip
    return turn.reply("points_entries", lines=lines, balance=turn.facts.balance(turn.member_id).available)


def _lapsing(turn: Turn) -> str:
    balance = turn.facts.balance(turn.member_id)
    return turn.reply("points_lapsing_only", lots=_lots(turn), balance=balance.available)


def _lots(turn: Turn) -> list[dict[str, Any]]:
    lapsing, whole = turn.facts.lapses(turn.member_id)
    shown = [{"amount": lapse.amount, "on": f"{lapse.on:%Y年%-m月%-d日}"} for lapse in lapsing[:MOST_LOTS]]
    rest = lapsing[MOST_LOTS:]
    if rest:
        until = "以后" if whole else f"到{rest[-1].on:%Y年%-m月%-d日}"
        shown.append({"amount": sum(one.amount for one in rest), "on": f"{rest[0].on:%Y年%-m月%-d日}{until}陆续"})
    return shown


def _earning(turn: Turn) -> dict[str, Any]:
    programme = turn.brand.programme
    open_now = [
        rule.name
        for rule in programme.earning.rules
        if (campaign := programme.campaign(rule.campaign)) is None or campaign.is_open(turn.now)
    ]
    return {
        "from_yuan": yuan(programme.earning.from_amount_fen), "rules": open_now, "behaviours": _behaviours(turn),
        "factors": [{"tier": tier.name, "factor": f"{tier.factor.normalize():f}"} for tier in programme.tiers
                    if tier.factor != 1],
    }  # fmt: skip


def _behaviours(turn: Turn) -> list[dict[str, Any]]:
    programme = turn.brand.programme
    return [
        {"kind": each.kind, "name": each.name, "points": each.gain.points, "friend": each.friend.points,
         "streaks": [{"days": bonus.days, "points": bonus.gain.points} for bonus in each.streaks]}
        for each in programme.behaviours
        if (each.gain.points or each.streaks)
        and ((campaign := programme.campaign(each.campaign)) is None or campaign.is_open(turn.now))
    ]  # fmt: skip


def _expiry(turn: Turn) -> str:
    match turn.brand.programme.expiry:
        case AfterDays(days=days):
            return f"到账后 {days} 天内有效"
        case EndOfMonth(months=months):
            return "当月月底到期" if not months else f"到账后第 {months} 个月的月底到期"
        case EndOfYear(years=years):
            return "当年年底到期" if not years else "次年年底到期" if years == 1 else f"{years} 年后的年底到期"
        case _:
            return "长期有效"


def _worth(turn: Turn) -> list[dict[str, Any]]:
    """What a point is worth is what it can be exchanged for: money off first, else the cheapest."""
    offers = turn.facts.offers()
    rewards = [offer.reward for offer in offers]
    money = [reward for reward in rewards if reward.way == "coupon" or reward.kind in {"cash", "coupon"}]
    shown = money or sorted([offer.reward for offer in affordable(turn)] or rewards, key=lambda one: one.cost_points)
    return [{"name": reward.name, "cost": reward.cost_points} for reward in shown[:2]]
