"""Finding the reward a customer means: name, alias, part of a name, number in the list just shown, a slip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from handlers.talk.answers import read_number
from loyalty.programme import Reward
from loyalty.rewards import Offer

CLOSE: Final = 0.66
"""How alike two short names must be to pass for a slip (保问杯 / 保温杯 is 0.67)."""

_FILLER: Final = re.compile(
    r"积分|兑换|能不能|可不可以|可以|我想|想要|想|我要|要|帮我|给我|麻烦|请|用|换成|换|兑|领|礼品|奖品|东西|一下|"
    r"那个|这个|刚才|就|还是|改成|改|吧|呀|啊|呢|吗|嘛|的|了|我|[\s,，。.!！?？~～]|"
    r"(?:\d+|[一二两俩三仨四五六七八九十]+)\s*(?:个|份|只|套|杯(?!子)|张|盒|袋|件|瓶|包|条)"
)


def find(text: str, offers: Sequence[Offer], shown: Sequence[str] = ()) -> list[Reward]:
    """The rewards a message may mean, best first: one is a hit, several want a question, none is unknown.

    `shown` are the ids of the list the customer has just seen; a bare number means a place in it.
    """
    number = read_number(text)
    by_id = {offer.reward.id: offer.reward for offer in offers}
    if number is not None and shown:
        place = shown[number - 1 : number] if number >= 1 else ()
        return [by_id[reward_id] for reward_id in place if reward_id in by_id]
    rewards = [offer.reward for offer in offers]
    return _named(text, rewards) or _partly_named(wanted(text), rewards) or _misspelt(wanted(text), rewards)


def wanted(text: str) -> str:
    """What remains of a message when the words of asking are taken away: 积分换个杯子 is about 杯子."""
    return _FILLER.sub("", text.lower()).removeprefix("个").removeprefix("张")


def _words(reward: Reward) -> tuple[str, ...]:
    return tuple(word.lower() for word in (reward.name, *reward.aliases))


def _named(text: str, rewards: Sequence[Reward]) -> list[Reward]:
    # The longest name that stands in the text wins, so that 随行杯套装 is not taken for 随行杯.
    text = re.sub(r"\s", "", text.lower())
    hits = [(max((len(w) for w in _words(r) if w in text), default=0), r) for r in rewards]
    longest = max((length for length, _ in hits), default=0)
    return [reward for length, reward in hits if length == longest and longest > 0]


def _partly_named(part: str, rewards: Sequence[Reward]) -> list[Reward]:
    if not part:
        return []
    return [reward for reward in rewards if any(part in word for word in _words(reward))]


def _misspelt(part: str, rewards: Sequence[Reward]) -> list[Reward]:
    if len(part) < 2:
        return []
    scored = [(max(SequenceMatcher(None, part, word).ratio() for word in _words(r)), r) for r in rewards]
    best = max((score for score, _ in scored), default=0.0)
    return [reward for score, reward in scored if score >= CLOSE and score == best]
