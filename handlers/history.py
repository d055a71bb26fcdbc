"""What was exchanged before: the last redemptions with their codes, and coupons that wait to be used."""

from __future__ import annotations

import re
from typing import Final

from handlers.talk.turn import Turn
from loyalty.days import local_day
from loyalty.expiry import last_day

STATES: Final = {
    "issued": "待使用", "delivered": "已发放", "verified": "已核销", "shipped": "已寄出", "undone": "已撤销",
    "lapsed": "已过期", "failed": "未成功",
}  # fmt: skip
_ASKS: Final = re.compile(
    r"(?:兑换|换|兑)(?:的)?(?:记录|历史|明细|订单)|(?:换|兑)过(?:什么|啥|哪些|几|吗|没|的)|(?:之前|以前|上次|最近|"
    r"都)(?:我)?"
    r"(?:换|兑)(?:了|的)(?:什么|啥|哪些|东西)|(?:我的|那个)?(?:兑换码|核销码)(?:在哪|呢|是(?:多少|什么|啥)|找不到|"
    r"忘|丢|没了)|查.{0,3}兑换码|(?<!证)码.{0,4}(?:再|重新|重).{0,3}[发给看]|(?:再|重新|重)发.{0,6}(?<!证)码"
)

_COUPONS: Final = re.compile(
    r"我(?:的|有)?.{0,3}(?:几张)?(?:优惠|代金)?[券卷].{0,4}(?:在哪|哪|有|几|呢|找|怎么看|查)|(?:几张|哪些)(?:优惠|"
    r"代金)?券"
)
_PARCEL: Final = re.compile(
    r"(?:换|兑)(?:的|了的|到的).{0,10}(?:发货|寄|到哪|到了|没到|没收到|几天|什么时候|多久|物流|快递)"
)


def asks(text: str) -> bool:
    """Whether a message asks for what was exchanged before, or for a code that was mislaid."""
    return any(words.search(text) for words in (_ASKS, _COUPONS, _PARCEL))


def describe(turn: Turn) -> str:
    """The last redemptions, newest first; a code that can still be used stands with its own."""
    if _COUPONS.search(turn.text):
        return _coupons(turn)
    zone = turn.brand.programme.zone
    lines = [
        {"on": _day(local_day(entry.at, zone)), "name": entry.name, "quantity": entry.quantity, "cost": entry.cost,
         "state": "待寄出" if ways.get(entry.reward_id) == "ship" and entry.state == "issued" else STATES[entry.state],
         "code": entry.code if entry.state == "issued" else ""}
        for ways in [{reward.id: reward.way for reward in turn.brand.programme.rewards}]
        for entry in turn.facts.redemptions(turn.member_id)
    ]  # fmt: skip
    return turn.reply("points_history", lines=lines, asks_parcel=bool(_PARCEL.search(turn.text)))


def _coupons(turn: Turn) -> str:
    """Coupons that wait to be used, also those whose code came with a redemption."""
    zone = turn.brand.programme.zone
    lines = [
        {"name": one.name, "code": one.code, "until": _day(last_day(one.expires_at, zone))}
        for one in turn.facts.coupons(turn.member_id)
    ]
    ways = {reward.id: reward.way for reward in turn.brand.programme.rewards if reward.kind != "coupon"}
    lines += [
        {"name": one.name, "code": one.code, "until": ""}
        for one in turn.facts.redemptions(turn.member_id)
        if ways.get(one.reward_id) == "coupon" and one.state == "issued"
    ]
    return turn.reply("coupons_mine", lines=lines)


def _day(day: object) -> str:
    return f"{day:%-m月%-d日}"
