"""Redemption: nothing is deducted without a prompt that names item, quantity and cost, answered yes (design §6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from handlers import catalogue
from handlers.talk.answers import Answer, read_answer, read_number, read_quantity
from handlers.talk.turn import Ask, Close, Prompt, Redeem, Say, Scene, Turn, Undo
from loyalty import errors
from loyalty.programme import Reward
from loyalty.redemptions import Redeemed
from loyalty.rewards import Offer

MOST_SHOWN: Final = 8
MOST_AT_ONCE: Final = 99
_UNDO: Final = re.compile(
    r"(撤销|撤回|取消|退掉|退回|不要了|换错|兑错|反悔).{0,6}(兑换|换的|刚)|(刚|兑换).{0,8}(撤销|撤回|取消|退掉|换错|兑错|反悔)"
)


def start(turn: Turn) -> Scene:
    """积分换个杯子: find the reward, then ask; several or none are shown as a list."""
    if not turn.is_automatic:
        why = f"客户想用{turn.brand.programme.points_name}兑换礼品"
        yield Prompt("points_redeem", why, turn.reply("redeem_prepared"), private=True)
        return
    found = catalogue.find(turn.text, turn.facts.offers()) if catalogue.wanted(turn.text) else []
    yield from _offer(turn, found, read_quantity(turn.text) or 1)


def choose(turn: Turn) -> Scene:
    """A list was shown: a number, a name or a part of it picks from it."""
    assert turn.dialog is not None
    shown: list[str] = turn.dialog.state["shown"]
    # 2个 names the second of the list, so it cannot say how many as well.
    said = read_quantity(turn.text) if read_number(turn.text) is None else None
    quantity: int = said or turn.dialog.state.get("quantity", 1)
    found = catalogue.find(turn.text, turn.facts.offers(), shown)
    if found:
        yield from _offer(turn, found, quantity)
    elif read_answer(turn.text) is Answer.NO:
        yield Close()
        yield Say(turn.reply("redeem_cancelled"))
    elif read_answer(turn.text) is Answer.YES and len(shown) == 1:
        reward = turn.brand.programme.reward(shown[0])
        yield from _prompt(turn, reward, quantity)
    else:
        yield Ask("choose", turn.dialog.state | {"quantity": quantity})
        yield Say(turn.reply("redeem_unknown", wanted=catalogue.wanted(turn.text)))


def confirm(turn: Turn) -> Scene:
    """A prompt is open: yes redeems, no closes, another item or quantity gets a fresh prompt, else ask again."""
    assert turn.dialog is not None
    state = turn.dialog.state
    answer = read_answer(turn.text)
    if answer is Answer.YES:
        yield from _settle(turn, state)
        return
    if answer is Answer.NO:
        yield Close()
        yield Say(turn.reply("redeem_cancelled"))
        return
    changed = _changed(turn, state)
    if changed:
        yield from _offer(turn, *changed)
    else:
        yield Ask("confirm", state)
        yield Say(turn.reply("redeem_repeat", **_item(turn, state)))


def ask_undo(turn: Turn) -> Scene:
    """刚才换错了: name what would be taken back, then ask."""
    latest = turn.facts.undoable(turn.member_id)
    if latest is None:
        yield Say(turn.reply("undo_none", minutes=turn.brand.programme.undo_within_min))
        return
    yield Ask("undo", {"id": latest.id, "item": latest.name, "quantity": latest.quantity, "cost": latest.cost})
    yield Say(turn.reply("undo_confirm", item=latest.name, quantity=latest.quantity, cost=latest.cost), YES_NO)


def confirm_undo(turn: Turn) -> Scene:
    """The undo has its own prompt; yes gives the points back to the lots they came from."""
    assert turn.dialog is not None
    state = turn.dialog.state
    answer = read_answer(turn.text)
    if answer is Answer.YES:
        yield Close()
        outcome = yield Undo(state["id"])
        if isinstance(outcome, errors.LoyaltyError):
            yield Say(turn.reply("undo_refused", **state))
        else:
            balance = turn.facts.balance(turn.member_id).available
            yield Say(turn.reply("undo_done", **(state | {"balance": balance})))
    elif answer is Answer.NO:
        yield Close()
        yield Say(turn.reply("undo_kept", **state))
    else:
        yield Ask("undo", state)
        yield Say(turn.reply("undo_confirm", **state), YES_NO)


def asks_undo(text: str) -> bool:
    """Whether a message wants the last redemption back."""
    return bool(_UNDO.search(text))


def is_about(turn: Turn) -> bool:
    """Whether a message in an open dialog speaks of its subject: an answer, a place in the list, a reward."""
    if read_answer(turn.text) is not Answer.NEITHER or read_number(turn.text) is not None:
        return True
    if read_quantity(turn.text) is not None and len(turn.text) <= 8:
        return True
    shown = turn.dialog.state.get("shown", ()) if turn.dialog else ()
    return bool(catalogue.find(turn.text, turn.facts.offers(), shown)) and not turn.text.endswith(("?", "？", "吗"))


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


def _over(turn: Turn) -> Scene:
    yield Say(turn.reply("redeem_over"))


YES_NO: Final = (("yes", "确认"), ("no", "算了"))


def _offer(turn: Turn, found: Sequence[Reward], quantity: int) -> Scene:
    if len(found) == 1:
        yield from _prompt(turn, found[0], quantity)
        return
    offers = {offer.reward.id: offer for offer in turn.facts.offers()}
    several = [offers[reward.id] for reward in found if reward.id in offers]
    asked = "" if found else catalogue.wanted(turn.text)
    yield from _list(turn, several or _affordable(turn), asked, quantity)


def _affordable(turn: Turn) -> list[Offer]:
    available = turn.facts.balance(turn.member_id).available
    return [
        offer
        for offer in turn.facts.offers()
        if offer.reward.cost_points <= available and offer.stock != 0 and _has_tier(turn, offer.reward)
    ]


def _list(turn: Turn, offers: Sequence[Offer], asked: str, quantity: int) -> Scene:
    balance = turn.facts.balance(turn.member_id).available
    if not offers:
        yield Close()
        cheapest = min((o.reward.cost_points for o in turn.facts.offers() if o.stock != 0), default=None)
        yield Say(turn.reply("redeem_none_affordable", balance=balance, cheapest=cheapest, wanted=asked))
        return
    shown = sorted(offers, key=lambda offer: offer.reward.cost_points)[:MOST_SHOWN]
    lines = [
        {"number": place, "name": offer.reward.name, "cost": offer.reward.cost_points, "is_out": offer.stock == 0}
        for place, offer in enumerate(shown, 1)
    ]
    yield Ask("choose", {"shown": [offer.reward.id for offer in shown], "quantity": quantity})
    yield Say(turn.reply("redeem_list", lines=lines, balance=balance, wanted=asked))


def _prompt(turn: Turn, reward: Reward, quantity: int) -> Scene:
    refusal = _refusal(turn, reward, quantity)
    if refusal:
        yield Close()
        yield Say(refusal)
        return
    state = {"reward": reward.id, "quantity": quantity, "cost": reward.cost_points * quantity}
    yield Ask("confirm", state)
    yield Say(turn.reply("redeem_confirm", **_item(turn, state)), YES_NO)


def _refusal(turn: Turn, reward: Reward, quantity: int) -> str:
    """Why this cannot be redeemed now, in words; empty when it can. The commit looks at all of it again."""
    balance = turn.facts.balance(turn.member_id).available
    cost = reward.cost_points * quantity
    stock = next((offer.stock for offer in turn.facts.offers() if offer.reward.id == reward.id), 0)
    others = [offer.reward.name for offer in _affordable(turn) if offer.reward.id != reward.id][:3]
    known = {"item": reward.name, "quantity": quantity, "cost": cost, "balance": balance, "others": others}
    if not _has_tier(turn, reward):
        return turn.reply("redeem_tier", tier=_tier_name(turn, reward), **known)
    if reward.per_member is not None and turn.facts.taken(turn.member_id, reward.id) + quantity > reward.per_member:
        return turn.reply("redeem_limit", limit=reward.per_member, **known)
    if stock is not None and stock < quantity:
        return turn.reply("redeem_out_of_stock", stock=stock, **known)
    if cost > balance or quantity > MOST_AT_ONCE:
        return turn.reply("redeem_missing", missing=cost - balance, **known)
    return ""


def _settle(turn: Turn, state: dict[str, Any]) -> Scene:
    yield Close()
    outcome = yield Redeem(state["reward"], state["quantity"])
    if isinstance(outcome, Redeemed):
        yield Say(
            turn.reply(
                "redeem_done", item=outcome.name, quantity=outcome.quantity, cost=outcome.cost, code=outcome.code,
                balance=outcome.balance, handover=outcome.handover,
                minutes=turn.brand.programme.undo_within_min,
            )
        )  # fmt: skip
        return
    known = _item(turn, state) | {"balance": turn.facts.balance(turn.member_id).available}
    yield Say(_refused(turn, outcome, known))


def _refused(turn: Turn, error: errors.LoyaltyError, known: dict[str, Any]) -> str:
    reward = turn.brand.programme.reward(known["reward"])
    match error:
        case errors.NotEnough():
            return turn.reply("redeem_missing", missing=error.missing, **known)
        case errors.OutOfStock():
            return turn.reply("redeem_out_of_stock", stock=0, **known)
        case errors.LimitReached():
            return turn.reply("redeem_limit", limit=error.limit, **known)
        case errors.TierTooLow():
            return turn.reply("redeem_tier", tier=_tier_name(turn, reward), **known)
        case _:
            return turn.reply("redeem_closed", **known)


def _changed(turn: Turn, state: dict[str, Any]) -> tuple[list[Reward], int] | None:
    """Another item or quantity in the words of an answer, or None where the words say neither."""
    quantity = read_quantity(turn.text)
    found = catalogue.find(turn.text, turn.facts.offers())
    if found and [reward.id for reward in found] != [state["reward"]]:
        return found, quantity or 1
    if quantity is not None and quantity != state["quantity"]:
        return [turn.brand.programme.reward(state["reward"])], quantity
    return None


def _item(turn: Turn, state: dict[str, Any]) -> dict[str, Any]:
    reward = turn.brand.programme.reward(state["reward"])
    return {"item": reward.name, "quantity": state["quantity"], "cost": state["cost"], "reward": reward.id,
            "balance": turn.facts.balance(turn.member_id).available}  # fmt: skip


def _has_tier(turn: Turn, reward: Reward) -> bool:
    programme = turn.brand.programme
    return reward.tier is None or programme.tier_rank(turn.facts.profile(turn.member_id).tier) >= programme.tier_rank(
        reward.tier
    )


def _tier_name(turn: Turn, reward: Reward) -> str:
    return next((tier.name for tier in turn.brand.programme.tiers if tier.id == reward.tier), reward.tier or "")
