"""Whether words that the classifier takes for something else speak of a reward to be had for points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from handlers import catalogue, offers, particulars
from handlers.talk.turn import Turn
from loyalty.programme import Reward
from loyalty.rewards import Offer

_SHORT_WISH: Final = re.compile(r"(?:那|就|我|要|想|帮|给)*[换兑](?!货|成).{1,8}$")
_CONDITIONAL: Final = re.compile(r"[?？吗]|(?<![怎什])么|但|不过|要是|如果|除非")


def speaks_of_reward(turn: Turn) -> bool:
    """Whether words the classifier takes for something else name a reward to be had for points."""
    text, programme = turn.text, turn.brand.programme
    known = [offer.reward for offer in turn.facts.offers()]
    products = {word for product in programme.products for word in (product.name, *product.aliases)}
    if re.search(r"取消|撤|退|不要|别|不换", text):
        return False
    # Goods of the brand may be rewards too: a short 换燕麦奶 means the reward where it can be had.
    affordable = {offer.reward.id for offer in offers.affordable(turn)} if _SHORT_WISH.match(text) else set()
    named = [
        one for one in catalogue.named_in(text, known) if one.id in affordable or not _is_product(text, one, products)
    ]
    wants = bool(re.search(r"[换兑]", text)) and not _CONDITIONAL.search(text.rstrip("吗么?？"))
    if _sounds_like_one(text, known) and (wants or text.replace(" ", "").isascii()):
        return True
    if named and (wants or particulars.asks_restock(text)):
        return True
    is_of_rewards = wants or bool(re.search(r"礼品|奖品|兑换|能换", text)) or programme.points_name in text
    if is_of_rewards and catalogue.superlative(text, turn.facts.offers()) is not None:
        return True
    return bool(named or _sounds_like_one(text, known)) and len(catalogue.asked_for(text)) >= len(text) - 2


def names_reward(turn: Turn) -> bool:
    """Whether a message names something that can be had for points."""
    return bool(catalogue.named_in(turn.text, [offer.reward for offer in turn.facts.offers()]))


def _sounds_like_one(text: str, rewards: Sequence[Reward]) -> bool:
    offered = [Offer(reward, reward.stock) for reward in rewards]
    return 3 <= len(text) <= 16 and " " not in text[:2] and len(catalogue.find(text, offered)) == 1


def _is_product(text: str, reward: Reward, products: set[str]) -> bool:
    said = [word for word in (reward.name, *reward.aliases) if word in text]
    return bool(said) and all(word in products for word in said)
