"""Where a reward is sent: the address of an order, one that is given, or one that a rep still has to ask for."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final
from zlib import crc32

from handlers import logistics
from handlers.talk.turn import Prompt, Say, Scene, Turn
from loyalty.programme import Reward
from loyalty.redemptions import Redeemed, RedemptionEntry

TITLE: Final = "兑换寄送"
STILL: Final = timedelta(hours=1)
"""So long after a redemption an address that comes alone is taken for it."""
_ADDRESS: Final = re.compile(
    r"(?:[省市区县镇乡村].*(?:路|街|巷|道|村|号|栋|幢|座|室|楼|弄|苑|小区|花园|公寓|大厦))|(?:路|街|弄|"
    r"小区).{0,12}\d+.{0,3}(?:号|栋|室|弄)"
)
_TO: Final = re.compile(
    r"^(?:(?:麻烦|请|帮我|给我|那|要|改|换)*(?:寄|送|发|邮)(?:到|去|给)?|(?:我的)?(?:收货|新)?地址(?:是|改成|"
    r"换成)?|(?:还是|那|帮我)?(?:改|换)(?:成|到|为))[:： ]*"
)
_ORDER: Final = re.compile(r"订单|快递|包裹|那单|这单|一单|发票|上门")


def is_address(text: str) -> bool:
    """Whether a message holds a postal address."""
    return len(text) >= 8 and bool(_ADDRESS.search(text))


def address_in(turn: Turn) -> str:
    """The address a message gives, as it was written."""
    return _TO.sub("", turn.message.text.strip()).strip(" ,，。:：吧哈哦呀~")


def is_known(turn: Turn) -> bool:
    """Whether the member has an order, whose address goods go to unless another is given."""
    return bool(logistics.known_orders(turn))


def tell_rep(turn: Turn, outcome: Redeemed, reward: Reward, address: str) -> Scene:
    """Goods that need more than the address of an order: the rep is told where to, or that it has to be asked for."""
    if not address and (reward.way != "ship" or is_known(turn)):
        return
    where = f"要寄到新地址: {address}" if address else "要寄送, 没有查到下单地址, 请向客户要收货地址"
    quote = turn.reply("rep_redeem_ship" if address else "rep_redeem_address", item=outcome.name)
    why = f"兑换的「{outcome.name}」× {outcome.quantity} {where}"
    yield Prompt(f"redeem_ship:{outcome.id}", why, quote, private=True, title=TITLE)


def speaks_of(turn: Turn) -> bool:
    """Whether a message is the address for what was exchanged a moment ago."""
    return is_address(turn.text) and not _ORDER.search(turn.text) and _waiting(turn) is not None


def take(turn: Turn) -> Scene:
    """The address that came after the redemption goes to the rep."""
    waiting = _waiting(turn)
    assert waiting is not None
    address = address_in(turn)
    yield Say(turn.reply("redeem_ship_to", item=waiting.name, address=address))
    task = f"redeem_ship:{waiting.id}:{crc32(turn.message.key.encode()):08x}"
    why = f"兑换的「{waiting.name}」× {waiting.quantity} 要寄到: {address}"
    yield Prompt(task, why, turn.reply("rep_redeem_ship", item=waiting.name), private=True, title=TITLE)


def _waiting(turn: Turn) -> RedemptionEntry | None:
    """The last redemption of goods that have not left yet."""
    ways = {reward.id: reward.way for reward in turn.brand.programme.rewards}
    return next(
        (one for one in turn.facts.redemptions(turn.member_id)
         if ways.get(one.reward_id) == "ship" and one.state == "issued" and turn.now - one.at < STILL), None
    )  # fmt: skip
