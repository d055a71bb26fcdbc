"""Stored value: what is on the card, what a top-up brings, and how it is used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from handlers import knowledge
from handlers.offers import yuan
from handlers.talk.answers import NUMBER_LETTERS, to_number
from handlers.talk.turn import Hush, Prompt, Say, Scene, Turn

_TOP_UP: Final = re.compile(r"充|冲|存|续卡|送多少|赠送|赠金|档|活动|优惠|返")
_USE: Final = re.compile(
    r"怎么用|怎样用|咋用|如何用|哪里用|哪用|能买|可以买|能付|抵|先扣|先用|本金|有效|过期|期限|会不会过|线上|到店|"
    r"补微信|不够"
)
_STAFF: Final = re.compile(
    r"退|没到账|未到账|没变|扣了|扣款|多扣|扣错|不对|丢|密码|发票|开票|明细|记录|家里人|转给|转让|充错|核对|"
    r"查不到|挂失"
)
_BALANCE: Final = re.compile(r"还有|还剩|剩多少|多少钱|余额|查")
_GOES_ON: Final = re.compile(
    r"退|提现|取出来|转|过期|有效期|期限|怎么用|咋用|哪里用|哪用|用不完|怎么[充冲]|送多少|发票|明细|密码"
)
_OTHER_THING: Final = re.compile(r"积分|券|货|单|件|快递|会员|年卡|换|兑|预约|课|群")
_NEAR: Final = frozenset({"return_exchange", "points_rules", "product_question", "promotion_query", "order_logistics"})
"""What words about money that is not named are easily taken for."""
LATELY: Final = "stored_value"
"""The topic that stands for: money on the card was spoken of a moment ago."""
_AMOUNT: Final = re.compile(rf"(?:充|冲|存|充值|充个|冲个|续)\D{{0,2}}?(\d{{1,6}}|[{NUMBER_LETTERS}]{{1,6}})(?:块|元)?")


def tell(turn: Turn) -> Scene:
    """卡里还有多少钱, 充500送多少: in private only; in a group the rep gets the prepared answer."""
    text = describe(turn)
    if turn.is_automatic:
        yield Hush(LATELY, turn.now + turn.brand.dialog.silence)
        yield Say(text)
    else:
        yield Prompt("stored_value", "客户问了储值, 金额只可私聊告知", text, private=True)


def goes_on(turn: Turn, found: Sequence[str]) -> bool:
    """Whether a short message that names nothing goes on about the money just spoken of: 能退吗, 会过期吗."""
    text = turn.text
    if len(text) > 10 or not set(found) <= _NEAR or not _GOES_ON.search(text) or _OTHER_THING.search(text):
        return False
    return not knowledge.products_named(text, turn.brand.programme)


def describe(turn: Turn) -> str:
    """The answer in words."""
    text = turn.text
    if _STAFF.search(text):
        return turn.reply("stored_value_staff", **_wallet(turn))
    if _TOP_UP.search(text) and not (_BALANCE.search(text) and not _AMOUNT.search(text)):
        return _top_up(turn)
    if _USE.search(text):
        rules = turn.brand.programme.stored_value
        return turn.reply("stored_value_use", spend_first=rules.spend_first, bonus_days=rules.bonus_days)
    return turn.reply("stored_value_balance", **_wallet(turn))


def _wallet(turn: Turn) -> dict[str, str]:
    wallet = turn.facts.wallet(turn.member_id)
    return {"total": yuan(wallet.total_fen), "principal": yuan(wallet.principal_fen), "bonus": yuan(wallet.bonus_fen),
            "has_bonus": "1" if wallet.bonus_fen else ""}  # fmt: skip


def _top_up(turn: Turn) -> str:
    rules = turn.brand.programme.stored_value
    steps = [{"amount": yuan(step.from_fen), "bonus": yuan(step.bonus_fen)} for step in rules.steps]
    found = _AMOUNT.search(turn.text)
    if found is None:
        return turn.reply("stored_value_steps", steps=steps)
    amount_fen = to_number(found[1]) * 100
    if not rules.least_fen <= amount_fen <= rules.most_fen:
        return turn.reply("stored_value_bounds", least=yuan(rules.least_fen), most=yuan(rules.most_fen))
    above = next((step for step in rules.steps if step.from_fen > amount_fen), None)
    return turn.reply(
        "stored_value_bonus", amount=yuan(amount_fen), bonus=yuan(rules.bonus_for(amount_fen)),
        has_bonus=bool(rules.bonus_for(amount_fen)), above=yuan(above.from_fen) if above else "",
        above_bonus=yuan(above.bonus_fen) if above else "",
    )  # fmt: skip
