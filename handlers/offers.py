"""What one member can redeem now, and in words why not: tier, limit, stock, points."""

from __future__ import annotations

from typing import Any, Final

from handlers.talk.turn import Turn
from loyalty import errors
from loyalty.programme import Reward
from loyalty.rewards import Offer

MOST_AT_ONCE: Final = 99
OTHERS_NAMED: Final = 3


def affordable(turn: Turn) -> list[Offer]:
    """Rewards the member could have one of now."""
    return [offer for offer in turn.facts.offers() if most_of(turn, offer) >= 1]


def most_of(turn: Turn, offer: Offer) -> int:
    """How many of a reward the member could have now: by points, stock and limits, 0 where the tier is missing."""
    reward = offer.reward
    if not has_tier(turn, reward):
        return 0
    found = min(turn.facts.balance(turn.member_id).available // reward.cost_points, MOST_AT_ONCE)
    if offer.stock is not None:
        found = min(found, offer.stock)
    if found > 0:
        found = min(found, *(left for _, left in _limits(turn, reward)), found)
    return max(0, found)


def offer_of(turn: Turn, reward: Reward) -> Offer:
    """The offer of a reward; nothing in stock where it is not open any more."""
    return next((offer for offer in turn.facts.offers() if offer.reward.id == reward.id), Offer(reward, 0))


def has_tier(turn: Turn, reward: Reward) -> bool:
    """Whether the member has reached the tier a reward asks for."""
    programme = turn.brand.programme
    return reward.tier is None or programme.tier_rank(turn.facts.profile(turn.member_id).tier) >= programme.tier_rank(
        reward.tier
    )


def refusal(turn: Turn, reward: Reward, quantity: int) -> str:
    """Why this cannot be redeemed now, in words; empty when it can. The commit looks at all of it again."""
    offer, balance = offer_of(turn, reward), turn.facts.balance(turn.member_id).available
    known = _known(turn, reward, quantity)
    if not has_tier(turn, reward):
        return turn.reply("redeem_tier", **known, **tier_gap(turn, reward))
    for limit, left in _limits(turn, reward):
        if quantity > left:
            return turn.reply("redeem_limit", limit=limit, left=max(0, left), **known)
    if not offer.in_stock(quantity):
        return turn.reply("redeem_out_of_stock", stock=offer.stock, **known)
    if known["cost"] > balance:
        return turn.reply("redeem_missing", missing=known["cost"] - balance, most=most_of(turn, offer), **known)
    return ""


def refused(turn: Turn, error: errors.LoyaltyError, reward: Reward, quantity: int) -> str:
    """What the commit said against it, in the same words."""
    turn.facts.forget_points()
    known = _known(turn, reward, quantity)
    match error:
        case errors.NotEnough():
            return turn.reply("redeem_missing", missing=error.missing, **known)
        case errors.OutOfStock():
            return turn.reply("redeem_out_of_stock", stock=0, **known)
        case errors.LimitReached():
            return turn.reply("redeem_limit", limit=error.limit, left=max(0, error.limit - error.taken), **known)
        case errors.TierTooLow():
            return turn.reply("redeem_tier", **known, **tier_gap(turn, reward))
        case _:
            return turn.reply("redeem_closed", **known)


def tier_gap(turn: Turn, reward: Reward) -> dict[str, Any]:
    """The tier a reward asks for and what is missing to it."""
    tier = next((tier for tier in turn.brand.programme.tiers if tier.id == reward.tier), None)
    if tier is None:
        return {"tier": reward.tier or ""}
    now = turn.facts.figures(turn.member_id)
    growth = None if tier.from_growth is None else max(0, tier.from_growth - now.growth)
    return {"tier": tier.name, "missing_yuan": yuan(max(0, tier.from_amount_fen - now.amount_fen)),
            "missing_growth": growth}  # fmt: skip


def yuan(fen: int) -> str:
    """Fen as one writes yuan: 12, 12.50."""
    return f"{fen // 100}" if fen % 100 == 0 else f"{fen / 100:.2f}"


def _known(turn: Turn, reward: Reward, quantity: int) -> dict[str, Any]:
    others = [offer.reward for offer in affordable(turn) if offer.reward.id != reward.id]
    named = sorted(others, key=lambda one: -one.cost_points)[:OTHERS_NAMED]
    return {
        "item": reward.name, "quantity": quantity, "cost": reward.cost_points * quantity,
        "balance": turn.facts.balance(turn.member_id).available, "others": [one.name for one in named],
    }  # fmt: skip


def _limits(turn: Turn, reward: Reward) -> list[tuple[int, int]]:
    """Every limit of a reward with what is left of it for the member."""
    member = turn.member_id
    found = []
    if reward.per_member is not None:
        found.append((reward.per_member, reward.per_member - turn.facts.taken(member, reward.id)))
    if reward.per_member_month is not None:
        taken = turn.facts.taken(member, reward.id, this_month=True)
        found.append((reward.per_member_month, reward.per_member_month - taken))
    return found
