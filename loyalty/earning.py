"""What paid orders earn: base rate and rules, then what caps and budgets leave of them, then the tier they reach."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from loyalty.accounts import GROWTH
from loyalty.birthdays import birthdays
from loyalty.budgets import Allowance
from loyalty.customers import profiles
from loyalty.programme import Programme
from loyalty.rulebook import OrderFacts, Share
from loyalty.rules import BASE
from loyalty.storage import among
from loyalty.tables import PurchaseSummary
from loyalty.tier_figures import Figures, figures
from loyalty.tiers import Step, counted_from, reach, settle_due, write_steps

_BOUGHT = select(PurchaseSummary.member_id, PurchaseSummary.orders, PurchaseSummary.amount_fen).where(
    among(PurchaseSummary.member_id, "members"))


def points_for(programme: Programme, amount_fen: int, tier_id: str | None) -> int:
    """Points for an order of `amount_fen` by the base rate; rounded down once, after the tier's factor."""
    points = programme.rulebook.base_points(amount_fen, tier_id)
    most = programme.earning.most_per_order
    return points if most is None else min(points, most)


def points_for_many(programme: Programme, orders: Sequence[OrderFacts]) -> list[int]:
    """Points of each order by the base rate and all rules, before the caps and budgets that hang on history."""
    shares = programme.rulebook.shares
    return [sum(share.amount for share in shares(order) if share.asset == "points") for order in orders]


class Bought(NamedTuple):
    """Orders and fen of a member so far."""

    orders: int
    amount_fen: int


@dataclass(slots=True)
class _Buyer:
    tier: str | None
    bought: Bought
    held: Figures
    birthday: tuple[int, int] | None


class Earner:
    """Lets orders earn one after the other in memory, each seeing what the ones before it did; then `write`."""

    def __init__(self, session: Session, programme: Programme, member_ids: Collection[int], at: datetime,
                 paid: Collection[datetime]) -> None:
        self.session, self.programme, self.at, self.steps = session, programme, at, list[Step]()
        self._book, self._counted_from = programme.rulebook, counted_from(programme, at)
        settle_due(session, programme, member_ids, at)
        people = profiles(session, member_ids)
        bought = {row.member_id: Bought(row.orders, row.amount_fen)
                  for row in session.execute(_BOUGHT, {"members": sorted(member_ids)})}
        held = figures(session, programme, member_ids, at) if programme.tiers else {}
        born = birthdays(session, member_ids) if self._book.asks_birthday else {}
        self._buyers = {id: _Buyer(people[id].tier, bought.get(id, Bought(0, 0)), held.get(id, Figures(0, 0)),
                                   born.get(id)) for id in member_ids}
        open_now = {id for id in self._book.budgeted
                    if (campaign := programme.campaign(id)) and any(campaign.is_open(moment) for moment in paid)}
        self.allowance = Allowance(session, programme, at)
        if self._book.capped or open_now:
            self.allowance.load(member_ids, open_now, self._book.capped)

    def earn(self, member_id: int, order: OrderFacts, order_key: int) -> list[Share]:
        """What the order gives after caps and budgets; the buyer counts it, and may reach a tier by it."""
        buyer = self._buyers[member_id]
        order.tier, order.birthday = buyer.tier, buyer.birthday
        order.orders_before, order.paid_before_fen = buyer.bought
        shares = [share if share.rule_id == BASE else self._allowed(member_id, share, order, order_key)
                  for share in self._book.shares(order)]
        given = [share for share in shares if share.amount]
        self._count(member_id, buyer, order, sum(share.amount for share in given if share.asset == GROWTH))
        return given

    def write(self, order_ids: Mapping[int, int]) -> None:
        """Store grants, budgets and tiers; `order_ids` by the keys that `earn` was given."""
        self.allowance.write(order_ids)
        write_steps(self.session, self.steps)

    def _allowed(self, member_id: int, share: Share, order: OrderFacts, order_key: int) -> Share:
        rule = self._book.by_id[share.rule_id]
        gains, _ = self.allowance.give(member_id, rule.id, rule.campaign, rule.caps, [(share.asset, share.amount)],
                                       self._book.day_of(order), order_key=order_key)
        return share._replace(amount=gains[0][1] if gains else 0)

    def _count(self, member_id: int, buyer: _Buyer, order: OrderFacts, growth: int) -> None:
        buyer.bought = Bought(buyer.bought.orders + 1, buyer.bought.amount_fen + order.amount_fen)
        counts = self._counted_from is None or order.paid_at > self._counted_from
        buyer.held = Figures(buyer.held.amount_fen + (order.amount_fen if counts else 0), buyer.held.growth + growth)
        step = reach(self.programme, member_id, buyer.tier, buyer.held, self.at)
        if step is not None:
            buyer.tier = step.new_tier
            self.steps.append(step)
