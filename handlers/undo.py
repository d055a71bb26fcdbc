"""Undo: a redemption that was a mistake is taken back in time, after a prompt of its own."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

from handlers.talk.answers import YES_NO, Answer, read_answer
from handlers.talk.turn import Ask, Close, Say, Scene, Turn, Undo
from loyalty import errors
from loyalty.redemptions import RedemptionEntry

_ASKS: Final = re.compile(
    r"(撤销|撤回|撤掉|取消|退掉|退回|退了|不要了|换错|兑错|反悔|后悔).{0,6}(兑换|换的|兑的|刚)|"
    r"(刚|兑换|换的|兑的).{0,8}(撤销|撤回|撤掉|取消|退掉|退了|退回|换错|兑错|反悔|后悔|不想要|不要了)|"
    r"^.{0,6}撤销.{0,10}$|^(?:我要?)?(?:撤回|反悔了?|换错了|兑错了)[了吧啊呀!！。]*$"
)
_CONFIRMS: Final = re.compile(
    r"^(?:嗯|对|是的?|好的?|确认|那就|要|帮我|能[退撤]就|可以就)?[,， ]?"
    r"(?:撤销?|撤回|退掉?|退了?吧?|撤了?吧?)(?:吧|了|啊|掉)?$"
)
_REGRETS: Final = re.compile(r"(?:算了|还是|那|我|哎)*[,， ]*(?:取消|不要了|不换了|不想要了|退掉|退回去?)[了吧啊呀啦]*")
"""With nothing open, right after an exchange, this is about what was exchanged; its own prompt asks."""
_SLIP: Final = re.compile(
    r"[换兑点选按]错|手滑|手误|(?:能|可以|可不可以|能不能)(?:再)?(?:退|撤)(?:掉|回|了|销)*(?:吗|么|不|嘛)?[?？]?$"
)
"""With something that can still be taken back, a slip or a bare 能退吗 is about that."""
AT_ONCE: Final = timedelta(minutes=1)
_AT_ONCE: Final = re.compile(r"(?:还是|哎|那)*算了[吧啦]?|等一?下|等等|停|别换?")
"""Right on the heels of an exchange even these are about it."""
_OF_GOODS: Final = re.compile(r"订单|快递|包裹|那单|这单|收到|买|货|款|尺码|地址|手机|号")
_KEEPS: Final = re.compile(
    r"^(?:还是|那|就|算了|我)?[,， ]*(?:先不|不用|不要|不想|不|别)再?(?:撤销?|撤回|退|取消)(?:掉|回)?"
    r"(?:兑换)?[了吧啦啊]*$"
)


def ask(turn: Turn) -> Scene:
    """刚才换错了: name what would be taken back, then ask."""
    undoable = turn.facts.undoable(turn.member_id)
    if not undoable:
        latest = turn.facts.redemptions(turn.member_id)[:1]
        done = bool(latest) and latest[0].state in {"delivered", "verified", "shipped"}
        minutes = turn.brand.programme.undo_within_min
        yield Say(turn.reply("undo_refused", item=latest[0].name) if done else turn.reply("undo_none", minutes=minutes))
        return
    yield from _prompt(turn, _named(turn, undoable) or undoable[0])


def confirm(turn: Turn) -> Scene:
    """The undo has its own prompt; yes gives the points back to the lots they came from."""
    assert turn.dialog is not None
    state = turn.dialog.state
    answer = read_answer(turn.text)
    if _CONFIRMS.match(turn.text.strip("!！。~ ")):
        answer = Answer.YES
    elif answer is Answer.YES and re.search(r"[换兑]", turn.text):
        answer = Answer.NEITHER  # 换 is a yes to an exchange, not to taking it back
    other = _named(turn, turn.facts.undoable(turn.member_id))
    if answer is Answer.YES:
        yield from _take_back(turn, state)
    elif _keeps(turn.text) or (answer is Answer.NO and "取消" not in turn.text):
        yield Close()
        yield Say(turn.reply("undo_kept", **state))
    elif other is not None and other.id != state["id"]:
        yield from _prompt(turn, other)
    else:
        yield Ask("undo", state)
        yield Say(turn.reply("undo_confirm", **state), YES_NO)


def asks(text: str) -> bool:
    """Whether a message wants a redemption back."""
    return bool(_ASKS.search(text))


def wants(turn: Turn) -> bool:
    """Whether a message wants a redemption back, or refuses something that was just exchanged by its name."""
    if asks(turn.text):
        return True
    if turn.dialog is None and _REGRETS.fullmatch(turn.text.strip("!！。~ ")) and turn.facts.undoable(turn.member_id):
        return True
    if turn.dialog is None and len(turn.text) <= 12 and _SLIP.search(turn.text) and not _OF_GOODS.search(turn.text):
        return bool(turn.facts.undoable(turn.member_id))
    if turn.dialog is None and _AT_ONCE.fullmatch(turn.text.strip("!！。~ ")):
        return any(turn.now - one.at < AT_ONCE for one in turn.facts.undoable(turn.member_id))
    refuses = re.search(r"取消|退掉|退了|不想要|不要", turn.text)
    return bool(refuses) and _named(turn, turn.facts.undoable(turn.member_id)) is not None


def is_about(turn: Turn) -> bool:
    """Whether a message answers the prompt or names another redemption."""
    return (
        read_answer(turn.text) is not Answer.NEITHER
        or asks(turn.text)
        or bool(_CONFIRMS.match(turn.text.strip("!！。~ ")))
        or _keeps(turn.text)
        or (_named(turn, turn.facts.undoable(turn.member_id)) is not None and len(turn.text) <= 12)
    )


def _keeps(text: str) -> bool:
    return bool(_KEEPS.match(text.strip("!！。~ ")))


def remind(turn: Turn) -> Scene:
    """Something else was asked in between: the open prompt is recalled."""
    assert turn.dialog is not None
    yield Say(turn.reply("undo_still_open", **turn.dialog.state))


def _take_back(turn: Turn, state: dict[str, Any]) -> Scene:
    yield Close()
    outcome = yield Undo(state["id"])
    if isinstance(outcome, errors.LoyaltyError):
        yield Say(turn.reply("undo_refused", **state))
        return
    balance = turn.facts.balance(turn.member_id).available
    yield Say(turn.reply("undo_done", **(state | {"balance": balance})))


def _prompt(turn: Turn, entry: RedemptionEntry) -> Scene:
    state = {"id": entry.id, "item": entry.name, "quantity": entry.quantity, "cost": entry.cost}
    yield Ask("undo", state)
    yield Say(turn.reply("undo_confirm", **state), YES_NO)


def _named(turn: Turn, undoable: list[RedemptionEntry]) -> RedemptionEntry | None:
    """The redemption a message names by the name or an alias of its reward."""
    names = {reward.id: (reward.name, *reward.aliases) for reward in turn.brand.programme.rewards}
    return next(
        (one for one in undoable if any(word in turn.text for word in names.get(one.reward_id, (one.name,)))), None
    )
