"""Finding the reward a customer means: name, alias, part of a name, number in the list just shown, a slip."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from typing import Final

from handlers.talk.answers import read_places
from intents import sounds
from intents.text import normalise
from loyalty.programme import Reward
from loyalty.rewards import Offer

CLOSE: Final = 0.66
"""How alike two short names must be to pass for a slip (保问杯 / 保温杯 is 0.67)."""
SOUND_CLOSE: Final = 0.86
"""How alike typed pinyin must be to the sound of a name (baowenbie / baowenbei is 0.89)."""
LEAST_LETTERS: Final = 5
MOST_WANTED: Final = 12

_FILLER: Final = re.compile(
    r"对了|(?<=.)不$|积分|兑换|能不能|可不可以|可以|我想|想要|想|我要|要|帮我|给我|麻烦|请|用|换成|换|兑|领|礼品|奖品|礼物|东西|一下|"
    r"那个|这个|刚才|就|还是|哎呀?|不对|错了|那|先|再|来|看看|改成|改|吧|呀|啊|呢|吗|嘛|的|了|我|[\s,，。.!！?？~～]|"
    r"(?:\d+|[一二两俩三仨四五六七八九十百千万]+)\s*(?:个|份|只|套|杯(?!子)|张|盒|袋|件|瓶|包|条)"
)
_ASKING: Final = re.compile(
    r"什么|啥|哪些|哪个|哪种|有没有|有些|现在|目前|看看|看下|瞧瞧|查查|查下|商城|列表|清单|目录|好东西|好物|多少|"
    r"怎么|如何|"
    r"送人|送礼|送给?(?:朋友|老公|老婆|妈妈?|爸爸?|同事|闺蜜|孩子)|等等|哎|仲|咩|乜|嘢|边个|都|点|能|有|可|来|分|拿|把|花掉|花|掉|全部|全|所有|剩下|快过期|随便|推荐|为|去|到|么|呗|哈|哦|咯|啦|个$|^个"
)
_NEGATED: Final = re.compile(r"(?:不要|不换|别换|不想要|不想换|不是|不用|取消)(?!了)")
_LEAST: Final = re.compile(r"最(?:便宜|低|少|小)|便宜(?:点|些|一点)?的?(?:那|这)")
_MOST: Final = re.compile(r"最(?:贵|高|好|多|大|值钱|豪华|高级)|顶配|贵(?:点|些|一点)?的?(?:那|这)")
_BEST: Final = re.compile(r"最(?:划算|值|超值|合算|合适|实惠|抵)|性价比")
_LAST: Final = re.compile(r"(?:最后|末尾|最下面|最末)(?:那|这|面|边)?的?(?:一|那)?(?:个|项|款|样|份)|倒数第一")
_LAST_BUT: Final = re.compile(r"倒数第([二两三四])")


def find(text: str, offers: Sequence[Offer], shown: Sequence[str] = ()) -> list[Reward]:
    """The rewards a message may mean, best first: one is a hit, several want a question, none is unknown.

    `shown` are the ids of the list the customer has just seen; a bare number means a place in it. What a message
    says it does not want is left out.
    """
    text = normalise(text)
    by_id = {offer.reward.id: offer.reward for offer in offers}
    places = _places(text, len(shown)) if shown else []
    if places:
        ids = [shown[place - 1] for place in places if 1 <= place <= len(shown)]
        return [by_id[reward_id] for reward_id in ids if reward_id in by_id]
    rewards = [offer.reward for offer in offers]
    named = named_in(text, rewards)
    if named:
        return named
    part = wanted(text)
    first = [by_id[one] for one in shown if one in by_id]
    found = _first_found((_partly_named, _sounding, _misspelt), part, first, rewards)
    return found or _first_found((_partly_named,), asked_for(text), first, rewards)


def named_in(text: str, rewards: Sequence[Reward]) -> list[Reward]:
    """The rewards whose name or alias stands in a message; a longer name hides a shorter one within it."""
    text = re.sub(r"\s", "", normalise(text))
    spans = [
        (match.start(), match.end(), reward)
        for reward in rewards
        for word in _words(reward)
        for match in re.finditer(re.escape(word), text)
    ]
    kept = [
        (start, end, reward)
        for start, end, reward in spans
        if not any((s <= start and end <= e and e - s > end - start) for s, e, _ in spans)
    ]
    refused = {match.end() for match in _NEGATED.finditer(text)}
    hits = [(start, end, reward) for start, end, reward in kept if start not in refused]
    # Two names that overlap say one thing: the longer one wins (随行杯套装 is not 随行杯).
    clear = [
        one for one in hits if not any(o[0] < one[1] and one[0] < o[1] and o[1] - o[0] > one[1] - one[0] for o in hits)
    ]
    return list({reward.id: reward for _, _, reward in sorted(clear, key=lambda hit: hit[0])}.values())


def superlative(text: str, offers: Sequence[Offer]) -> list[Reward] | None:
    """The cheapest, dearest or best worth of what is offered, where a message asks for one; None where it does not."""
    text = normalise(text)
    if _LEAST.search(text):
        return _at(offers, min, lambda reward: reward.cost_points)
    if _BEST.search(text):
        return _at(offers, max, lambda reward: reward.value_fen / reward.cost_points)
    return _at(offers, max, lambda reward: reward.cost_points) if _MOST.search(text) else None


def wanted(text: str) -> str:
    """What remains of a message when the words of asking are taken away: 积分换个杯子 is about 杯子."""
    return _FILLER.sub("", text.lower()).removeprefix("个").removeprefix("张")


def asked_for(text: str) -> str:
    """The thing a message names, fit to be repeated to the customer; nothing where it names none."""
    rest = _ASKING.sub("", wanted(normalise(text)))
    return rest if 2 <= len(rest) <= MOST_WANTED and re.search(r"[\w]", rest) and not rest.isdigit() else ""


def _places(text: str, length: int) -> list[int]:
    but = _LAST_BUT.search(text)
    if but:
        return [length + 1 - {"二": 2, "两": 2, "三": 3, "四": 4}[but[1]]]
    return [length] if _LAST.search(text) else read_places(text)


def _first_found(
    ways: Iterable[Callable[[str, Sequence[Reward]], list[Reward]]], part: str, *shelves: Sequence[Reward]
) -> list[Reward]:
    """What the first way finds that finds anything; what was just shown goes before the rest."""
    return next((found for way in ways for shelf in shelves if (found := way(part, shelf))), [])


def _words(reward: Reward) -> tuple[str, ...]:
    return tuple(normalise(word) for word in (reward.name, *reward.aliases))


def _at(
    offers: Sequence[Offer], which: Callable[[list[float]], float], measure: Callable[[Reward], float]
) -> list[Reward]:
    if not offers:
        return []
    edge = which([measure(offer.reward) for offer in offers])
    return [offer.reward for offer in offers if measure(offer.reward) == edge]


def _partly_named(part: str, rewards: Sequence[Reward]) -> list[Reward]:
    if not part or (part.isascii() and len(part) < 2) or part.isdigit():
        return []
    return [reward for reward in rewards if any(part in word for word in _words(reward))]


def _sounding(part: str, rewards: Sequence[Reward]) -> list[Reward]:
    """Rewards whose name sounds like what was said, or whose pinyin was typed, whole, in part or by first letters."""
    typed = sounds.typed(part)
    if len(typed) >= 3 and len(typed) > len(part) / 2:
        return _typed(typed, rewards)
    said = sounds.syllables(part)
    if len(said) < 2:
        return []
    whole = [reward for reward in rewards if any(said == sounds.syllables(word) for word in _words(reward))]
    return whole or [
        reward for reward in rewards for sound in [[sounds.syllables(word) for word in _words(reward)]]
        if any((len(one) >= 3 and sounds.holds(said, one)) or sounds.holds(one, said) for one in sound)
    ]  # fmt: skip


def _typed(letters: str, rewards: Sequence[Reward]) -> list[Reward]:
    best: dict[float, list[Reward]] = {}
    for reward in rewards:
        score = max(_typed_score(letters, sounds.syllables(word)) for word in _words(reward))
        if score >= SOUND_CLOSE:
            best.setdefault(score, []).append(reward)
    return best[max(best)] if best else []


def _typed_score(letters: str, sound: sounds.Syllables) -> float:
    joined = "".join(sound)
    if letters == joined:
        return 2.0
    if len(sound) >= 3 and letters == sounds.initials(sound):
        return 1.5
    if len(letters) < LEAST_LETTERS:
        return 0.0
    if letters in joined or (len(sound) >= 3 and joined in letters):
        return 1.0
    return SequenceMatcher(None, letters, joined).ratio()


def _misspelt(part: str, rewards: Sequence[Reward]) -> list[Reward]:
    if len(part) < 2:
        return []
    scored = [(max(SequenceMatcher(None, part, word).ratio() for word in _words(r)), r) for r in rewards]
    best = max((score for score, _ in scored), default=0.0)
    return [reward for score, reward in scored if score >= CLOSE and score == best]
