"""/plans: memberships that are bought: sold, renewed, cancelled, and what they are good for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.coupons import LineIn
from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.people import MemberRef, member_of
from loyalty import plans
from loyalty.baskets import Basket, Line
from loyalty.errors import LimitReached, PlanRefused, UnknownMember
from loyalty.orders import Name
from loyalty.programme import Slug


class PlanAddress(Asked):
    """Which plan."""

    plan_id: Slug


class BuyIn(Asked):
    """Who bought it and what was paid; 0 for a gift."""

    member: MemberRef
    paid_fen: Annotated[int, Field(ge=0, le=10**12)]


class OwnerIn(Asked):
    """Whose plan."""

    member: MemberRef


class TrialIn(Asked):
    """Who tries which new product this month."""

    member: MemberRef
    sku: Name


class OfferIn(Asked):
    """What is in the order."""

    member: MemberRef
    lines: Annotated[tuple[LineIn, ...], Field(min_length=1, max_length=500)]


class PlanShown(Told):
    """A plan that can be bought."""

    id: str
    name: str
    months: int
    price_fen: int
    percent_off: int | None
    most_off_fen: int | None


class PlansShown(Told):
    """The programme's plans."""

    plans: list[PlanShown]


class TermShown(Told):
    """A stretch of a plan that was bought; `ends_at` is the first moment it is over."""

    id: int
    member_id: int
    plan_id: str
    name: str
    paid_fen: int
    starts_at: datetime
    ends_at: datetime


class CancelledShown(Told):
    """A plan that was cancelled, and what is to be paid back for it."""

    member_id: int
    plan_id: str
    refund_fen: int
    at: datetime


class StandingPlan(Told):
    """A plan a member has; `until` counts the renewals that follow without a gap."""

    plan_id: str
    name: str
    since: datetime
    until: datetime


class MemberPlans(Told):
    """The plans a member has now."""

    member_id: int
    plans: list[StandingPlan]


class AddOnShown(Told):
    """A product that may be added to the order at this price."""

    sku: str
    name: str
    price_fen: int
    from_order_fen: int
    per_order: int


class OfferShown(Told):
    """What a member's plans do for an order: the best discount, and what may be added at its price."""

    plan_id: str | None
    discount_fen: int
    addons: list[AddOnShown]


class TrialShown(Told):
    """A new product to try, taken in a local month; `left` is how many are left in it."""

    plan_id: str
    sku: str
    month: str
    left: int


def show_plans(_session: Session, call: Call[Nothing, Nothing, None]) -> tuple[int, Told]:
    """What can be bought."""
    return 200, PlansShown(plans=[PlanShown.model_validate(plan) for plan in call.programme.plans])


def buy(session: Session, call: Call[PlanAddress, Nothing, BuyIn]) -> tuple[int, Told]:
    """Start a plan, or renew it behind its last term."""
    member_id = member_of(session, call.body.member)
    term = plans.buy(session, member_id, call.path.plan_id, call.body.paid_fen, call.key, call.programme, call.at)
    return 201, TermShown.model_validate(term)


def cancel(session: Session, call: Call[PlanAddress, Nothing, OwnerIn]) -> tuple[int, Told]:
    """End a plan now, renewals included."""
    member_id = member_of(session, call.body.member)
    return 200, CancelledShown.model_validate(plans.cancel(session, member_id, call.path.plan_id, call.key, call.at))


def take_trial(session: Session, call: Call[PlanAddress, Nothing, TrialIn]) -> tuple[int, Told]:
    """Take this month's new product."""
    member_id = member_of(session, call.body.member)
    taken = plans.take_trial(session, member_id, call.path.plan_id, call.body.sku, call.key, call.programme, call.at)
    return 201, TrialShown.model_validate(taken)


def show(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """The plans a member has."""
    member_id = member_of(session, call.path)
    return 200, MemberPlans(member_id=member_id, plans=[
        StandingPlan(plan_id=one.plan.id, name=one.plan.name, since=one.since, until=one.until)
        for one in plans.standing(session, member_id, call.at)])


def offer(session: Session, call: Call[Nothing, Nothing, OfferIn]) -> tuple[int, Told]:
    """What the member's plans do for this order; writes nothing beside the answer."""
    basket = Basket(lines=tuple(Line(**line.model_dump()) for line in call.body.lines))
    return 200, OfferShown.model_validate(plans.offer(session, member_of(session, call.body.member), basket, call.at))


_PARTS = {UnknownMember: "member", PlanRefused: "member", LimitReached: "sku"}
ENDPOINTS = (
    Endpoint("GET", "/api/v1/plans", "plans:read", "Paid plans that can be bought", show_plans, PlansShown),
    Endpoint("POST", "/api/v1/plans/offers", "plans:write", "What a member's plans do for an order", offer, OfferShown,
             body=OfferIn, parts=_PARTS),
    Endpoint("POST", "/api/v1/plans/{plan_id}/terms", "plans:write", "Sell or renew a paid plan", buy, TermShown,
             params=PlanAddress, body=BuyIn, statuses=(201,), part="plan_id", parts=_PARTS),
    Endpoint("POST", "/api/v1/plans/{plan_id}/cancel", "plans:write", "End a paid plan; tells what to pay back", cancel,
             CancelledShown, params=PlanAddress, body=OwnerIn, part="plan_id", parts=_PARTS),
    Endpoint("POST", "/api/v1/plans/{plan_id}/trials", "plans:write", "Take this month's new product to try",
             take_trial, TrialShown, params=PlanAddress, body=TrialIn, statuses=(201,), part="plan_id", parts=_PARTS),
    Endpoint("GET", "/api/v1/members/{kind}/{value}/plans", "plans:read", "The paid plans a member has", show,
             MemberPlans, params=MemberRef, part="value"),
)
