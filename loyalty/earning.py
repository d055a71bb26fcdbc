"""What paid orders earn: base rate and rules, then what caps and budgets leave of them, then the tier they reach."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from loyalty.accounts import AVAILABLE, GROWTH
from loyalty.budgets import Allowance
from loyalty.campaign_tables import Birthday
from loyalty.programme import Programme
from loyalty.rulebook import OrderFacts, Share
from loyalty.rules import BASE
from loyalty.storage import among
from loyalty.tables import Account, AccountBalance, Member, PurchaseSummary, table_of
from loyalty.tier_figures import Figures, figures
from loyalty.tiers import Step, counted_from, reach, settle_due, write_steps

_MEMBERS, _SUMMARIES, _BIRTHDAYS = table_of(Member), table_of(PurchaseSummary), table_of(Birthday)
_ACCOUNTS, _BALANCES = table_of(Account), table_of(AccountBalance)
# One statement for all there is to know of a buyer: on PostgreSQL its trip costs more than what it looks up.
_BUYERS = (
    select(_MEMBERS.c.id, _MEMBERS.c.tier, func.coalesce(_SUMMARIES.c.orders, 0),
           func.coalesce(_SUMMARIES.c.amount_fen, 0), func.coalesce(_BALANCES.c.balance, 0),
           _BIRTHDAYS.c.month, _BIRTHDAYS.c.day)
    .select_from(
        _MEMBERS.outerjoin(_SUMMARIES, _SUMMARIES.c.member_id == _MEMBERS.c.id)
        .outerjoin(_BIRTHDAYS, _BIRTHDAYS.c.member_id == _MEMBERS.c.id)
        .outerjoin(_ACCOUNTS, and_(_ACCOUNTS.c.owner == _MEMBERS.c.id, _ACCOUNTS.c.asset == GROWTH,
                                   _ACCOUNTS.c.kind == AVAILABLE))
        .outerjoin(_BALANCES, _BALANCES.c.account_id == _ACCOUNTS.c.id))
    .where(among(_MEMBERS.c.id, "members"))
)
_NEVER = 1 << 62


def points_for(programme: Programme, amount_fen: int, tier_id: str | None) -> int:
    """Points for an order of `amount_fen` by the base rate; rounded down once, after the tier's factor."""
    points = programme.rulebook.base_points(amount_fen, tier_id)
    most = programme.earning.most_per_order
    return points if most is None else min(points, most)


def points_for_many(programme: Programme, orders: Sequence[OrderFacts]) -> list[int]:
    """Points of each order by the base rate and all rules, before the caps and budgets that hang on history."""
    shares = programme.rulebook.shares
    return [sum(share.amount for share in shares(order) if share.asset == "points") for order in orders]


@dataclass(slots=True)
class _Buyer:
    """What a buyer has bought so far, and what of it counts for a tier."""

    tier: str | None
    orders: int
    amount_fen: int
    held_fen: int
    growth: int
    birthday: tuple[int, int] | None


class Earner:
    """Lets orders earn one after the other in memory, each seeing what the ones before it did; then `write`."""

    def __init__(self, session: Session, programme: Programme, member_ids: Collection[int], at: datetime,
                 paid: Collection[datetime]) -> None:
        self.session, self.programme, self.at, self.steps = session, programme, at, list[Step]()
        self._book, self._counted_from = programme.rulebook, counted_from(programme, at)
        settle_due(session, programme, member_ids, at)
        grows = any(tier.from_growth is not None for tier in programme.tiers)
        self._buyers = {id: _Buyer(tier, orders, fen, fen, growth if grows else 0, month and (month, day))
                        for id, tier, orders, fen, growth, month, day in
                        session.execute(_BUYERS, {"members": sorted(member_ids)}).all()}
        if programme.tiers and self._counted_from:
            for id, held in figures(session, programme, member_ids, at).items():
                self._buyers[id].held_fen, self._buyers[id].growth = held
        self._above = {None if tier is None else tier.id: _least(programme, tier.id if tier else None)
                       for tier in (None, *programme.tiers)}
        first, last = min(paid), max(paid)
        open_now = {id for id in self._book.budgeted if (campaign := programme.campaign(id))
                    and (campaign.open_from is None or campaign.open_from <= last)
                    and (campaign.open_to is None or first < campaign.open_to)}
        self.allowance = Allowance(session, programme, at)
        if self._book.capped or open_now:
            self.allowance.load(member_ids, open_now, self._book.capped)

    def earn(self, member_id: int, order: OrderFacts, order_key: int) -> list[Share]:
        """What the order gives after caps and budgets; the buyer counts it, and may reach a tier by it."""
        buyer = self._buyers[member_id]
        order.tier, order.birthday = buyer.tier, buyer.birthday
        order.orders_before, order.paid_before_fen = buyer.orders, buyer.amount_fen
        given = []
        for share in self._book.shares(order):
            if share.rule_id != BASE:
                share = self._allowed(member_id, share, order, order_key)
            if share.amount:
                given.append(share)
                if share.asset == GROWTH:
                    buyer.growth += share.amount
        self._count(member_id, buyer, order)
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

    def _count(self, member_id: int, buyer: _Buyer, order: OrderFacts) -> None:
        buyer.orders += 1
        buyer.amount_fen += order.amount_fen
        if self._counted_from is None or order.paid_at > self._counted_from:
            buyer.held_fen += order.amount_fen
        least_fen, least_growth = self._above.get(buyer.tier) or self._above[None]
        if buyer.held_fen < least_fen and buyer.growth < least_growth:
            return
        step = reach(self.programme, member_id, buyer.tier, Figures(buyer.held_fen, buyer.growth), self.at)
        if step is not None:
            buyer.tier = step.new_tier
            self.steps.append(step)


def _least(programme: Programme, tier_id: str | None) -> tuple[int, int]:
    """The fen and the growth below which no tier above this one is reached."""
    above = programme.tiers[programme.tier_rank(tier_id) + 1:]
    return (min([tier.from_amount_fen for tier in above], default=_NEVER),
            min([tier.from_growth for tier in above if tier.from_growth is not None], default=_NEVER))
