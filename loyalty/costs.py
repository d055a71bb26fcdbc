"""What points, actions, new customers and campaigns cost, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

from sqlalchemy import BigInteger, case, cast, func, select
from sqlalchemy.orm import Session

from loyalty.accounts import POINTS
from loyalty.behaviours import Behaviour, Gain
from loyalty.campaign_tables import Activity, Grant, Referral
from loyalty.programme import Programme
from loyalty.tables import Order, PurchaseSummary, Refund


@dataclass(frozen=True, slots=True)
class CampaignCost:
    """A campaign in figures; `per_new_customer_fen` and `roi` are none where nothing can be divided.

    `revenue_fen` is what its orders brought less refunds; `roi` is (margin of that revenue - cost) / cost.
    """

    campaign_id: str
    grants: int
    members: int
    points: int
    points_fen: int
    direct_fen: int
    cost_fen: int
    new_customers: int
    per_new_customer_fen: int | None
    orders: int
    revenue_fen: int
    roi: Decimal | None


def point_value_fen(programme: Programme) -> Fraction:
    """What a point costs: as set, else what all rewards with a value give for a point together; 0 without any."""
    if programme.costs.point_value_fen is not None:
        return Fraction(programme.costs.point_value_fen)
    valued = [reward for reward in programme.rewards if reward.value_fen and reward.cost_points]
    if not valued:
        return Fraction(0)
    return Fraction(sum(reward.value_fen for reward in valued), sum(reward.cost_points for reward in valued))


def cost_of_points_fen(programme: Programme, points: int) -> int:
    """What so many points cost, rounded up to a fen: a cost is not made smaller."""
    return -(-points * point_value_fen(programme) // 1)


def cost_of_action_fen(programme: Programme, behaviour: Behaviour, friends: int = 0) -> int:
    """What one such action costs: its points, those of the friend, what it costs beside them.

    With `friends`, what so many times of it cost, `every` taken into account.
    """
    times = friends or 1
    points = behaviour.gain.points * (times // behaviour.every if friends else 1) + behaviour.friend.points * times
    return cost_of_points_fen(programme, points) + behaviour.cost_fen * times


def cost_of_gain_fen(programme: Programme, gain: Gain) -> int:
    """What a gain costs in points; growth and chances cost nothing until something is given for them."""
    return cost_of_points_fen(programme, gain.points)


def campaign_cost(session: Session, programme: Programme, campaign_id: str, upto: datetime) -> CampaignCost:
    """What a campaign gave and cost, whom it brought and what they paid, up to a moment.

    New customers are persons its referrals brought and members whose first order it moved. Revenue is the orders it
    gave something for, and what the persons it brought have paid.
    """
    campaign = programme.campaign(campaign_id)
    points = cast(func.coalesce(func.sum(case((Grant.asset == POINTS, Grant.amount), else_=0)), 0), BigInteger)
    theirs = (Grant.campaign_id == campaign_id, Grant.at <= upto)
    given = session.execute(
        select(func.count(func.distinct(func.coalesce(Grant.order_id, -Grant.activity_id))).label("grants"),
               func.count(func.distinct(Grant.member_id)).label("members"), points.label("points"),
               cast(func.coalesce(func.sum(Grant.cost_fen), 0), BigInteger).label("direct")).where(*theirs)).one()
    brought = select(Referral.friend_id).join(Activity, Activity.id == Referral.activity_id).where(
        Referral.at <= upto, Activity.behaviour_id.in_([b.id for b in programme.behaviours
                                                        if b.campaign == campaign_id]))
    moved = select(Grant.order_id).where(*theirs, Grant.order_id.is_not(None))
    first = (select(Order.member_id).join(PurchaseSummary, PurchaseSummary.member_id == Order.member_id)
             .where(Order.id.in_(moved), Order.paid_at == PurchaseSummary.first_at))
    new = len({*session.scalars(brought), *session.scalars(first)})
    sales = session.execute(
        select(func.count(), cast(func.coalesce(func.sum(Order.amount_fen), 0), BigInteger))
        .where(Order.recorded_at <= upto, Order.id.in_(moved) | Order.member_id.in_(brought))).one()
    refunded = session.scalar(
        select(cast(func.coalesce(func.sum(Refund.amount_fen), 0), BigInteger)).join(Order, Order.id == Refund.order_id)
        .where(Refund.at <= upto, Order.recorded_at <= upto, Order.id.in_(moved) | Order.member_id.in_(brought))) or 0
    revenue_fen = sales[1] - refunded
    points_fen = cost_of_points_fen(programme, given.points)
    direct = given.direct + (campaign.cost_fen if campaign else 0)
    cost = points_fen + direct
    roi = (Decimal(revenue_fen) * programme.costs.margin - cost) / cost if cost else None
    return CampaignCost(campaign_id, given.grants, given.members, given.points, points_fen, direct, cost, new,
                        _up(cost, new) if new else None, sales[0], revenue_fen,
                        None if roi is None else roi.quantize(Decimal("0.01")))


def _up(cost: int, over: int) -> int:
    return int((Decimal(cost) / over).to_integral_value(ROUND_CEILING))
