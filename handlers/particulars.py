"""Particulars of a reward: what is written about it, how it is handed over, how many one may have."""

from __future__ import annotations

import re
from typing import Final

from handlers import offers
from handlers.talk.turn import Say, Scene, Turn
from loyalty.programme import Reward

_DETAIL: Final = re.compile(
    r"多大|多高|多重|多少毫升|容量|材质|材料|什么样|长啥样|啥样|颜色|尺寸|介绍|详情|保温(?:多久|几)|怎么用|"
    r"(?:怎么|在哪里?|去哪里?|到哪里?|哪里|哪儿|哪)(?:能|可以|去|个?门?店)?(?:领|取|用|拿)|几天到|多久(?:能)?(?:到|寄|发)|什么时候(?:发|寄|到)|啥时候(?:发|寄|到)|包邮|邮费|运费|寄到(?:哪|什么|啥|吗)|有效期|"
    r"多久有效|几天有效|能退|"
    r"可以退|能撤|值多少|(?<!还)要多少|多少钱|能装多少|原价|是什么|是啥|怎么样|贵不贵|好不好|好用|质量|值不值|值得"
)
_RESTOCK: Final = re.compile(
    r"补货|(?:什么时候|啥时候|几时|多久|哪天|几号|还会).{0,4}(?:有货|到货|上架|再有)|还有(?:货|吗|没)|有货"
)
_HOW_MANY: Final = re.compile(r"(?:能|可以|最多|还能).{0,3}(?:换|兑).{0,3}几|每人(?:限|几|最多)|限(?:换|兑|几)")


def asks(text: str) -> bool:
    """Whether a message asks something about a reward itself."""
    return bool(_DETAIL.search(text) or _RESTOCK.search(text) or _HOW_MANY.search(text))


def tell(turn: Turn, reward: Reward) -> Scene:
    """What is written about a reward, and nothing else; no day is promised for what is out of stock."""
    offer = offers.offer_of(turn, reward)
    others = [one.reward.name for one in offers.affordable(turn) if one.reward.id != reward.id]
    yield Say(
        turn.reply(
            "redeem_detail", item=reward.name, cost=reward.cost_points, description=reward.description,
            handover=_plain_handover(reward), is_out=offer.stock == 0, limit=reward.per_member,
            minutes=turn.brand.programme.undo_within_min, others=others[: offers.OTHERS_NAMED],
            asks_restock=bool(_RESTOCK.search(turn.text)), asks_most=bool(_HOW_MANY.search(turn.text)),
            most=offers.most_of(turn, offer),
        )
    )  # fmt: skip


def _plain_handover(reward: Reward) -> str:
    return "" if re.search(r"\{\w+\}", reward.handover) else reward.handover


def asks_restock(text: str) -> bool:
    """Whether a message asks when something is to be had again."""
    return bool(_RESTOCK.search(text))
