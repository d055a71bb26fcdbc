"""/rewards and /redemptions: what can be had, had, taken back and handed out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.people import MemberRef, member_of
from loyalty import redemptions
from loyalty.balances import balance_of
from loyalty.customers import PRINTABLE
from loyalty.errors import LimitReached, NotEnough, OutOfStock, UnknownCode, UnknownMember, UnknownReward
from loyalty.programme import Slug
from loyalty.rewards import Offer, affordable, availability
from loyalty.tables import Redemption


class RewardShown(Told):
    """A reward that is open now; `stock` is null where there is no limit."""

    id: str
    name: str
    cost_points: int
    value_fen: int
    stock: int | None
    per_member: int | None
    tier: str | None
    way: str
    description: str


class RewardsShown(Told):
    """Rewards."""

    rewards: list[RewardShown]


class RedeemIn(Asked):
    """Points for a reward."""

    member: MemberRef
    reward_id: Slug
    quantity: Annotated[int, Field(ge=1, le=1000)] = 1


class RedemptionAddress(Asked):
    """Which redemption."""

    redemption_id: Annotated[int, Field(ge=1, le=2**63 - 1)]


class CodeAddress(Asked):
    """The code the customer shows."""

    code: Annotated[str, Field(pattern=PRINTABLE, max_length=200)]


class Redeemed(Told):
    """A redemption that went through; `balance` is what is available now."""

    id: int
    code: str
    reward_id: str
    name: str
    quantity: int
    cost: int
    balance: int
    handover: str
    undo_until: datetime


class Cancelled(Told):
    """A redemption taken back; `balance` is what is available now."""

    id: int
    name: str
    quantity: int
    returned: int
    balance: int


class Verified(Told):
    """A code that was handed in: what to give the customer."""

    id: int
    code: str
    member_id: int
    reward_id: str
    name: str
    quantity: int
    at: datetime
    balance: int


class RedemptionShown(Told):
    """One redemption; state is issued, verified, shipped or undone."""

    id: int
    code: str
    reward_id: str
    name: str
    quantity: int
    cost: int
    state: str
    at: datetime
    undo_until: datetime


class RedemptionsShown(Told):
    """A member's redemptions, newest first."""

    redemptions: list[RedemptionShown]


class FewQuery(Asked):
    """How many."""

    limit: Annotated[int, Field(ge=1, le=200)] = 20


def show_rewards(session: Session, call: Call[Nothing, Nothing, None]) -> tuple[int, Told]:
    """Every reward that is open, with what is left of it."""
    return 200, _rewards(availability(session, call.programme, call.at))


def show_affordable(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """What this member could redeem now, cheapest first."""
    return 200, _rewards(affordable(session, call.programme, member_of(session, call.path), call.at))


def redeem(session: Session, call: Call[Nothing, Nothing, RedeemIn]) -> tuple[int, Told]:
    """Take the points and the pieces, and issue a code."""
    body = call.body
    done = redemptions.redeem(session, member_of(session, body.member), body.reward_id, body.quantity, call.key,
                              call.programme, call.at, call.links)
    return 201, Redeemed.model_validate(done)


def cancel(session: Session, call: Call[RedemptionAddress, Nothing, None]) -> tuple[int, Told]:
    """Give points and pieces back."""
    redemption_id = call.path.redemption_id
    member_id = session.scalar(select(Redemption.member_id).where(Redemption.id == redemption_id))
    if member_id is None:
        raise UnknownCode(redemption_id)
    done = redemptions.undo(session, redemption_id, member_id, call.key, call.programme, call.at)
    return 200, Cancelled.model_validate(done)


def verify(session: Session, call: Call[CodeAddress, Nothing, None]) -> tuple[int, Told]:
    """Use up a code, once even under a race."""
    done = redemptions.verify(session, call.path.code, call.key, call.at)
    return 200, Verified(
        id=done.id, code=done.code, member_id=done.member_id, reward_id=done.reward_id, name=done.name,
        quantity=done.quantity, at=done.at, balance=balance_of(session, done.member_id, call.at).available)


def show_redemptions(session: Session, call: Call[MemberRef, FewQuery, None]) -> tuple[int, Told]:
    """What a member has redeemed."""
    found = redemptions.of_member(session, member_of(session, call.path), call.query.limit)
    return 200, RedemptionsShown(redemptions=[RedemptionShown.model_validate(entry) for entry in found])


def _rewards(offers: list[Offer]) -> RewardsShown:
    return RewardsShown(rewards=[
        RewardShown(id=offer.reward.id, name=offer.reward.name, cost_points=offer.reward.cost_points,
                    value_fen=offer.reward.value_fen, stock=offer.stock, per_member=offer.reward.per_member,
                    tier=offer.reward.tier, way=offer.reward.way, description=offer.reward.description)
        for offer in offers
    ])


ENDPOINTS = (
    Endpoint("GET", "/api/v1/rewards", "rewards:read", "Rewards that are open now", show_rewards, RewardsShown),
    Endpoint("GET", "/api/v1/members/{kind}/{value}/rewards", "rewards:read", "What a member could redeem now",
             show_affordable, RewardsShown, params=MemberRef, part="value"),
    Endpoint("GET", "/api/v1/members/{kind}/{value}/redemptions", "redemptions:read", "What a member has redeemed",
             show_redemptions, RedemptionsShown, params=MemberRef, query=FewQuery, part="value"),
    Endpoint("POST", "/api/v1/redemptions", "redemptions:write", "Redeem a reward", redeem, Redeemed, body=RedeemIn,
             statuses=(201,), part="reward_id",
             parts={UnknownMember: "member", UnknownReward: "reward_id", OutOfStock: "quantity",
                     LimitReached: "quantity", NotEnough: "quantity"}),
    Endpoint("POST", "/api/v1/redemptions/{redemption_id}/cancel", "redemptions:write", "Take a redemption back",
             cancel, Cancelled, params=RedemptionAddress, part="redemption_id"),
    Endpoint("POST", "/api/v1/redemptions/{code}/verify", "redemptions:write", "Use up a code (核销)", verify, Verified,
             params=CodeAddress, part="code"),
)
