"""Redemption: nothing is deducted without a prompt that names item, quantity and cost, answered yes (design §6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from handlers import allusions, catalogue, history, joining, knowledge, offers, particulars, shipping, undo
from handlers.talk.answers import (
    YES_NO,
    Answer,
    asks_odd_quantity,
    counts_several,
    is_courtesy,
    is_odd_quantity,
    read_answer,
    read_more,
    read_number,
    read_places,
    read_quantity,
)
from handlers.talk.turn import Ask, Close, Hush, Prompt, Redeem, Say, Scene, Silent, Turn
from loyalty.programme import Reward
from loyalty.redemptions import Redeemed
from loyalty.rewards import Offer

MOST_SHOWN: Final = 8
REFUSED: Final = "redeem_refused"
"""The topic that stands for: what was wanted could not be had, a moment ago."""
CANCELLED: Final = "redeem_cancelled"
"""The topic that stands for: an exchange was given up a moment ago."""
WAYS: Final = frozenset({"ship", "coupon", "link", "page", "exchange", "red_packet"})
"""Ways of handing over with words of their own; the others show a code."""

_ALL_POINTS: Final = re.compile(
    r"能换几个换几个|能换多少换多少|有多少换多少|(?:全部?|都|统统)(?:积?分)?(?:给我)?(?:换|兑|花|用)|最多(?:的|能)?换"
)
_OTHERS: Final = re.compile(
    r"别的|其[他它]的?|还有(?:什么|啥|哪些|没)|换个样|有哪些|列表|清单|都有(?:什么|啥)|返回|上一步|"
    r"(?:能|可以|够)(?:换|兑)(?:点|些)?(?:什么|啥)|商城|便宜(?:点|些|一点|一些)?的(?![那这])"
)
_ALL_OF_THEM: Final = re.compile(
    r"(?:我|两个|俩|三个|全|全部|统统)*(?:都|全部?)(?:要|换|来|给我)|(?:我|要|换|那)*[前后][两二三四五六七八\d](?:个|款|样)"
)
_EVERYTHING: Final = re.compile(r"(?:全部|所有|都有)")
_COST: Final = re.compile(r"^(?!.*(?:剩|我有|我还有|攒)).*(?:多少|几)(?:个)?积?分")
_ANOTHER: Final = re.compile(r"换个|换一个|换成|改|别的|另|其他|不要|不是|不换|或者|还是")
_CONDITIONAL: Final = re.compile(r"[?？吗么]|但|不过|要是|如果|除非")


def start(turn: Turn) -> Scene:
    """积分换个杯子: find the reward, then ask; several or none are shown as a list."""
    if not turn.is_automatic:
        why = f"客户想用{turn.brand.programme.points_name}兑换礼品"
        yield Prompt("points_redeem", why, turn.reply("redeem_prepared"), private=True)
    elif history.asks(turn.text):
        yield Say(history.describe(turn))
    elif shipping.speaks_of(turn):
        yield from shipping.take(turn)
    elif not turn.facts.is_member(turn.member_id):
        yield from joining.invite(turn, turn.text)
    else:
        found = _found(turn)
        if not found and allusions.asks_again(turn.text):
            found = [reward for reward in [allusions.latest(turn)] if reward]
        if not found and particulars.asks_restock(turn.text):
            found = [offer.reward for offer in turn.facts.offers() if offer.stock == 0]
        after = None if found else allusions.asked_after(turn)
        if after is not None:
            yield from particulars.tell(turn, after)
        elif len(found) == 1 and (particulars.asks(turn.text) or _COST.search(turn.text)):
            yield from particulars.tell(turn, found[0])
            yield Ask("considered", {"shown": [found[0].id], "quantity": 1})
        elif asks_odd_quantity(turn.text):
            yield from _ask_quantity(turn, found)
        else:
            yield from _offer(turn, found, _quantity(turn, found) or 1)


def choose(turn: Turn) -> Scene:
    """A list was shown: a number, a name or a part of it picks from it."""
    assert turn.dialog is not None
    state = turn.dialog.state
    if history.asks(turn.text):
        yield Say(history.describe(turn))
        yield Ask("choose", state)
        return
    shown: list[str] = state["shown"]
    if turn.dialog.step == "considered" and particulars.asks(turn.text):
        yield from particulars.tell(turn, turn.brand.programme.reward(shown[0]))
        yield Ask("considered", state)
        return
    if _wants_back(turn.text):
        yield from _take_back(turn)
        return
    found = _found(turn, shown)
    number, answer = read_number(turn.text), read_answer(turn.text)
    # 2个 names the second of the list, so it cannot say how many as well.
    quantity: int = (read_quantity(turn.text) if number is None else None) or state.get("quantity", 1)
    if asks_odd_quantity(turn.text) or (len(shown) == 1 and is_odd_quantity(turn.text)):
        yield from _ask_quantity(turn, found or [turn.brand.programme.reward(one) for one in shown])
    elif len(shown) == 1 and not found and (number or answer is Answer.YES or read_quantity(turn.text)):
        yield from _offer(turn, [turn.brand.programme.reward(shown[0])], number or quantity)
    elif found and particulars.asks(turn.text):
        yield from particulars.tell(turn, found[0])
        yield Ask("choose", state)
    elif found:
        # How many was said of what was shown, not of something else.
        carried = quantity if all(reward.id in shown for reward in found) else 1
        yield from _offer(turn, found, _quantity(turn, found) or carried, shown)
    elif answer is Answer.NO:
        yield from _cancel(turn)
    elif _OTHERS.search(turn.text):
        yield from _list(turn, turn.facts.offers(), "", quantity)
    elif _ALL_OF_THEM.match(turn.text):
        offered = [offer for offer in turn.facts.offers() if offer.reward.id in shown]
        yield from _list(turn, offered, "", quantity, is_choice=True)
    elif answer is Answer.NEITHER and is_courtesy(turn.text):
        yield Ask("choose", state)
        yield Silent("courtesy: the list stays open")
    elif read_quantity(turn.text) and number is None:
        yield Ask("choose", state | {"quantity": quantity})
        yield Say(turn.reply("redeem_which", quantity=quantity))
    else:
        yield Ask("choose", state | {"quantity": quantity})
        yield Say(turn.reply("redeem_unknown", wanted=catalogue.asked_for(turn.text), count=len(shown)))


def confirm(turn: Turn) -> Scene:
    """A prompt is open: yes redeems, no closes, another item or quantity gets a fresh prompt, else ask again."""
    assert turn.dialog is not None
    state = turn.dialog.state
    reward = turn.brand.programme.reward(state["reward"])
    answer = read_answer(turn.text)
    if answer is Answer.YES or (answer is Answer.NEITHER and allusions.is_yes_by_name(turn.text, reward)):
        yield from _settle(turn, state)
        return
    if answer is Answer.NO:
        yield from _cancel(turn)
        return
    if history.asks(turn.text):
        yield Say(history.describe(turn))
        yield Ask("confirm", state)
        yield from remind(turn)
        return
    changed = _changed(turn, state)
    if _wants_back(turn.text):
        yield from _take_back(turn)
    elif asks_odd_quantity(turn.text) or is_odd_quantity(turn.text):
        yield Ask("confirm", state)
        yield Say(turn.reply("redeem_quantity", most=offers.MOST_AT_ONCE, item=reward.name))
    elif changed and changed[0] == [reward]:
        yield from _prompt(turn, reward, changed[1], state.get("shown", ()), state.get("address", ""))
    elif changed and not (len(changed[0]) == 1 and particulars.asks(turn.text)):
        yield from _offer(turn, *changed, state.get("shown", ()))
    elif reward.way == "ship" and shipping.is_address(turn.text):
        address = shipping.address_in(turn)
        yield from _prompt(turn, reward, state["quantity"], state.get("shown", ()), address)
    elif particulars.asks(turn.text) or allusions.asks_of_this(turn):
        yield from particulars.tell(turn, changed[0][0] if changed else reward)
        yield Ask("confirm", state)
        yield from remind(turn)
    elif _OTHERS.search(turn.text) or _ALL_OF_THEM.match(turn.text):
        yield from _list(turn, offers.affordable(turn), "", 1, is_choice=bool(_ALL_OF_THEM.match(turn.text)))
    else:
        yield Ask("confirm", state)
        yield Say(turn.reply("redeem_repeat", **_item(turn, state)))


def is_about(turn: Turn) -> bool:
    """Whether a message in an open dialog speaks of its subject: an answer, a place in the list, a reward."""
    text, state = turn.text, turn.dialog.state if turn.dialog else {}
    if read_answer(text) is not Answer.NEITHER or read_number(text) is not None or asks_odd_quantity(text):
        return True
    if "reward" in state and re.fullmatch(r"(?:能|可以|那|要)?[换兑][^货退]{0,3}", text):
        return True
    if is_odd_quantity(text) or _ALL_OF_THEM.match(text) or _wants_back(text):
        return True
    if "reward" in state and (shipping.is_address(text) or allusions.asks_of_this(turn)):
        return True
    counts = read_quantity(text) or read_more(text)
    if counts and len(text) <= 10 and turn.brand.programme.points_name not in text:
        return True
    known = [offer.reward for offer in turn.facts.offers()]
    if particulars.asks(text) and (catalogue.named_in(text, known) or ("reward" in state and len(text) <= 12)):
        return True
    if catalogue.superlative(text, turn.facts.offers()) is not None and len(text) <= 14:
        return True
    if _OTHERS.search(text) and len(text) <= 12 and turn.brand.programme.points_name not in text:
        return True
    return bool(_found(turn, state.get("shown", ()))) and not text.endswith(("?", "？", "吗"))


def remind(turn: Turn) -> Scene:
    """Something else was asked in between: the open prompt is recalled."""
    assert turn.dialog is not None
    state = turn.dialog.state
    item = turn.brand.programme.reward(state["reward"]).name
    yield Say(turn.reply("redeem_still_open", item=item, quantity=state["quantity"], cost=state["cost"]))


def late(turn: Turn) -> Scene | None:
    """An answer that comes after its time redeems nothing and is told so."""
    is_answer = read_answer(turn.text) is not Answer.NEITHER or read_number(turn.text) is not None
    return _over(turn) if is_answer else None


def show(turn: Turn) -> Scene:
    """积分能换什么: what can be exchanged now, to pick from."""
    if turn.facts.is_member(turn.member_id):
        yield from _list(turn, offers.affordable(turn), "", 1)
    else:
        yield from joining.invite(turn, turn.text)


def asks_for_another(turn: Turn, found: Sequence[str]) -> bool:
    """Whether a message after a refusal means a reward without saying 换: 那最便宜的来两个, 什么时候补货."""
    is_short = len(turn.text) <= 14 and set(found) <= {"promotion_query", "purchase_intent", "switch_product"}
    if is_short and particulars.asks_restock(turn.text):
        return not knowledge.products_named(turn.text, turn.brand.programme)
    return is_short and catalogue.superlative(turn.text, turn.facts.offers()) is not None


def _found(turn: Turn, shown: Sequence[str] = ()) -> list[Reward]:
    """The rewards a message means; the cheapest or dearest is of those the member can have, or of the list shown."""
    known = turn.facts.offers()
    within = [offer for offer in known if offer.reward.id in shown] or offers.affordable(turn) or known
    best = catalogue.superlative(turn.text, within)
    if best is not None:
        return best
    if not shown and not catalogue.wanted(turn.text):
        return []
    return catalogue.find(turn.text, known, shown)


def _quantity(turn: Turn, found: Sequence[Reward]) -> int | None:
    """How many are asked for; all the points for one reward are as many as can be had."""
    if len(found) == 1 and _ALL_POINTS.search(turn.text):
        return max(1, offers.most_of(turn, offers.offer_of(turn, found[0])))
    if len(found) > 1 and counts_several(turn.text):
        return None  # 两个保温杯和一个随行杯: whichever is picked, the other's number is not its own
    return read_quantity(turn.text)


def _changed(turn: Turn, state: dict[str, Any]) -> tuple[list[Reward], int] | None:
    """Another item or quantity in the words of an answer, or None where the words say neither."""
    shown = state.get("shown", ())
    quantity = read_quantity(turn.text)
    more = read_more(turn.text)
    if more:
        quantity = state["quantity"] + more
    place = read_number(turn.text)
    if place is not None and quantity is None and not shown and re.fullmatch(r"\W*\w{1,3}\W*", turn.text):
        quantity = place or None
    asks_place = bool(read_places(turn.text)) and (quantity is None or "第" in turn.text)
    found = _found(turn, shown if asks_place else ())
    if state["reward"] in {one.id for one in found} and not _ANOTHER.search(turn.text):
        found = [turn.brand.programme.reward(state["reward"])]  # 那杯子换吧 is about the cup that is open
    if found and [reward.id for reward in found] != [state["reward"]]:
        return found, _quantity(turn, found) or 1
    mine = turn.brand.programme.reward(state["reward"])
    quantity = _quantity(turn, [mine]) if quantity is None else quantity
    if quantity is not None and quantity != state["quantity"]:
        return [mine], quantity
    return None


def _offer(turn: Turn, found: Sequence[Reward], quantity: int, shown: Sequence[str] = ()) -> Scene:
    if len(found) == 1:
        yield from _prompt(turn, found[0], quantity, shown)
    elif found:
        wanted = {reward.id for reward in found}
        several = [offer for offer in turn.facts.offers() if offer.reward.id in wanted]
        yield from _list(turn, several, "", quantity, is_choice=True)
    else:
        everything = _EVERYTHING.search(turn.text) and not _ALL_POINTS.search(turn.text)
        offered = turn.facts.offers() if everything else offers.affordable(turn)
        yield from _list(turn, offered, catalogue.asked_for(turn.text), quantity)


def _list(turn: Turn, offered: Sequence[Offer], asked: str, quantity: int, is_choice: bool = False) -> Scene:
    balance = turn.facts.balance(turn.member_id).available
    if not offered:
        yield Close()
        cheapest = min((o.reward.cost_points for o in turn.facts.offers() if o.stock != 0), default=None)
        missing = cheapest - balance if cheapest is not None else None
        known = {"balance": balance, "cheapest": cheapest, "missing": missing, "wanted": asked}
        yield Say(turn.reply("redeem_none_affordable", **known))
        return
    shown = sorted(offered, key=lambda offer: offer.reward.cost_points)[:MOST_SHOWN]
    lines = [
        {"number": place, "name": offer.reward.name, "cost": offer.reward.cost_points, "is_out": offer.stock == 0}
        for place, offer in enumerate(shown, 1)
    ]
    yield Ask("choose", {"shown": [offer.reward.id for offer in shown], "quantity": quantity})
    yield Say(turn.reply("redeem_list", lines=lines, balance=balance, wanted=asked, is_choice=is_choice))


def _prompt(turn: Turn, reward: Reward, quantity: int, shown: Sequence[str] = (), address: str = "") -> Scene:
    if quantity > offers.MOST_AT_ONCE:
        yield from _ask_quantity(turn, [reward])
        return
    refusal = offers.refusal(turn, reward, quantity)
    if refusal:
        most = offers.most_of(turn, offers.offer_of(turn, reward))
        # Fewer would do: 那就一个 is understood, and gets a prompt of its own.
        yield Ask("choose", {"shown": [reward.id], "quantity": most}) if 0 < most < quantity else Close()
        yield Hush(REFUSED, turn.now + turn.brand.dialog.silence)
        yield Say(refusal)
        return
    cost = reward.cost_points * quantity
    state = {"reward": reward.id, "quantity": quantity, "cost": cost, "shown": list(shown), "address": address}
    yield Ask("confirm", state)
    yield Say(turn.reply("redeem_confirm", **_item(turn, state)), YES_NO)


def _ask_quantity(turn: Turn, found: Sequence[Reward]) -> Scene:
    reward = found[0] if len(found) == 1 else None
    if reward is not None:
        yield Ask("choose", {"shown": [reward.id], "quantity": 1})
    elif turn.dialog is not None:
        yield Ask(turn.dialog.step, turn.dialog.state)
    yield Say(turn.reply("redeem_quantity", most=offers.MOST_AT_ONCE, item=reward.name if reward else ""))


def _wants_back(text: str) -> bool:
    return undo.asks(text) and not _CONDITIONAL.search(text)


def _take_back(turn: Turn) -> Scene:
    """取消刚才的兑换 while something is open: what was exchanged before, or where there is nothing, what is open."""
    if turn.facts.undoable(turn.member_id):
        yield from undo.ask(turn)
    else:
        yield from _cancel(turn)


def _cancel(turn: Turn) -> Scene:
    yield Close()
    yield Hush(CANCELLED, turn.now + turn.brand.dialog.silence)
    yield Say(turn.reply("redeem_cancelled"))


def _settle(turn: Turn, state: dict[str, Any]) -> Scene:
    yield Close()
    reward = turn.brand.programme.reward(state["reward"])
    outcome = yield Redeem(reward.id, state["quantity"])
    if not isinstance(outcome, Redeemed):
        yield Say(offers.refused(turn, outcome, reward, state["quantity"]))
        return
    address = state.get("address", "")
    is_final = reward.pool is not None or reward.plan is not None
    name = f"redeem_done_{reward.way}" if reward.way in WAYS else "redeem_done"
    yield Say(
        turn.reply(
            name, item=outcome.name, quantity=outcome.quantity, cost=outcome.cost,
            code=outcome.code if reward.handed_in else "", balance=outcome.balance, handover=outcome.handover,
            address=address, is_known=shipping.is_known(turn),
            minutes=0 if is_final else turn.brand.programme.undo_within_min,
        )
    )  # fmt: skip
    yield from shipping.tell_rep(turn, outcome, reward, address)


def _item(turn: Turn, state: dict[str, Any]) -> dict[str, Any]:
    reward = turn.brand.programme.reward(state["reward"])
    return {"item": reward.name, "quantity": state["quantity"], "cost": state["cost"], "reward": reward.id,
            "balance": turn.facts.balance(turn.member_id).available, "is_ship": reward.way == "ship",
            "is_known": shipping.is_known(turn), "address": state.get("address", "")}  # fmt: skip


def _over(turn: Turn) -> Scene:
    yield Say(turn.reply("redeem_over"))
