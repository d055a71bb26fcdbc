"""What was exchanged before: the last redemptions with their codes, and coupons that wait to be used."""

from __future__ import annotations

import re
from typing import Final

from handlers.talk.turn import Turn
from loyalty.days import local_day

STATES: Final = {
    "issued": "待使用", "delivered": "已发放", "verified": "已核销", "shipped": "已寄出", "undone": "已撤销",
    "lapsed": "已过期", "failed": "未成功",
}  # fmt: skip
_ASKS: Final = re.compile(
    r"(?:兑换|换|兑)(?:的)?(?:记录|历史|明细|订单)|(?:换|兑)过(?:什么|啥|哪些|几|吗|没|的)|(?:之前|以前|上次|最近|"
    r"都)(?:我)?"
    r"(?:换|兑)(?:了|的)(?:什么|啥|哪些|东西)|(?:我的|那个)?(?:兑换码|核销码)(?:在哪|呢|是(?:多少|什么|啥)|找不到|"
    r"忘|丢|没了)|查.{0,3}兑换码"
)


def asks(text: str) -> bool:
    """Whether a message asks for what was exchanged before, or for a code that was mislaid."""
    return bool(_ASKS.search(text))


def describe(turn: Turn) -> str:
    """The last redemptions, newest first; a code that can still be used stands with its own."""
    zone = turn.brand.programme.zone
    lines = [
        {"on": _day(local_day(entry.at, zone)), "name": entry.name, "quantity": entry.quantity, "cost": entry.cost,
         "state": "待寄出" if ways.get(entry.reward_id) == "ship" and entry.state == "issued" else STATES[entry.state],
         "code": entry.code if entry.state == "issued" else ""}
        for ways in [{reward.id: reward.way for reward in turn.brand.programme.rewards}]
        for entry in turn.facts.redemptions(turn.member_id)
    ]  # fmt: skip
    return turn.reply("points_history", lines=lines)


def _day(day: object) -> str:
    return f"{day:%-m月%-d日}"
