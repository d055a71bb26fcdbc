"""Words that point at a reward without naming it: the one that is open, just told of, or just exchanged."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from handlers import catalogue, knowledge, particulars, undo
from handlers.talk.answers import Answer, read_answer, read_quantity
from handlers.talk.turn import Turn
from loyalty.programme import Reward

_AGAIN: Final = re.compile(
    r"(?:那|就|给我)?(?:同样|一样)?的?(?:再|多)(?:来|换|兑|要|加)(?:一|两|俩|三|\d)?(?:个|份|张|杯|瓶)?(?:同样的|"
    r"一样的)?$"
)
_AGREES: Final = re.compile(r"嗯|好|行|可以|可|对|是|确认|确定|ok|没问题|👌|👍", re.IGNORECASE)
_TAKES: Final = re.compile(
    r"(?:那|就|我|也|想|要|还是|给我|帮我|来|先)*(?:换|兑|要|来)(?:这个|它|一个|一份|那个)?[吧了啊呀]*"
)
_OF_GOODS: Final = re.compile(r"订单|快递|包裹|物流|那单|这单|一单|发票|上门|预约|会员|积分|余额|年卡|储值|充")
_OF_SENDING: Final = re.compile(r"寄|到货|几天到|多久|发货|[时么]候|邮费|运费|包邮|能退|可以退")


def picks(turn: Turn) -> bool:
    """Whether a message takes the reward whose particulars were just told: 就换这个, 那来两个."""
    text = turn.text
    if read_answer(text) is Answer.YES or _TAKES.fullmatch(text.strip("!！。~ ")):
        return True
    is_count = bool(read_quantity(text)) and len(text) <= 6
    is_more = particulars.asks(text) and len(text) <= 10 and not _OF_GOODS.search(text)
    if not (is_count or is_more) or _names_one(turn) or knowledge.products_named(text, turn.brand.programme):
        return False
    return turn.brand.programme.points_name not in text


def is_said_again(turn: Turn) -> bool:
    """Whether a message is one more yes on the heels of an exchange, sent before it could be read: 好, 换."""
    if read_answer(turn.text) is not Answer.YES or len(turn.text) > 4:
        return False
    return any(turn.now - one.at < undo.AT_ONCE for one in turn.facts.redemptions(turn.member_id)[:1])


def asked_after(turn: Turn) -> Reward | None:
    """What was just exchanged, where a message asks about it without naming it: 到哪领, 什么时候寄."""
    text = turn.text
    if len(text) > 12 or not particulars.asks(text) or particulars.asks_restock(text) or _OF_GOODS.search(text):
        return None
    known = [offer.reward for offer in turn.facts.offers()]
    named = catalogue.named_in(text, known) or knowledge.products_named(text, turn.brand.programme)
    reward = None if named else latest(turn)
    is_sent = reward is not None and reward.way == "ship"
    return reward if is_sent or not _OF_SENDING.search(text) else None


def asks_again(text: str) -> bool:
    """Whether a message wants more of what was just exchanged."""
    return bool(_AGAIN.match(text.strip("!！。~吧呀啊 ")))


def asks_of_this(turn: Turn) -> bool:
    """Whether a question points at what is open: 贵不贵啊这个, 这款耐用吗."""
    is_question = bool(re.search(r"[?？]|[吗么]|[啥咋怎]|什么|(.)不\1", turn.text))
    points_at = bool(re.search(r"这个|这款|这种|它", turn.text)) and len(turn.text) <= 12
    return is_question and points_at and not knowledge.products_named(turn.text, turn.brand.programme)


def is_yes_by_name(text: str, reward: Reward) -> bool:
    """Whether a yes also names what is open (好的 那杯子换吧). The name with 换 alone may be the wish said twice."""
    bare = text.lower()
    for word in sorted((reward.name, *reward.aliases), key=len, reverse=True):
        bare = bare.replace(word.lower(), "")
    return bare != text.lower() and bool(_AGREES.match(bare.strip())) and read_answer(bare) is Answer.YES


def latest(turn: Turn) -> Reward | None:
    """What was exchanged last, where it was today and still is to be had."""
    last = turn.facts.redemptions(turn.member_id)[:1]
    ids = {entry.reward_id for entry in last if turn.now - entry.at < timedelta(hours=1)}
    return next((offer.reward for offer in turn.facts.offers() if offer.reward.id in ids), None)


def _names_one(turn: Turn) -> bool:
    return bool(catalogue.named_in(turn.text, [offer.reward for offer in turn.facts.offers()]))
