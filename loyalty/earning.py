"""How many points a paid order earns by the base rate; `programme.rulebook` knows the rules on top."""

from __future__ import annotations

from collections.abc import Sequence

from loyalty.programme import Programme
from loyalty.rulebook import OrderFacts


def points_for(programme: Programme, amount_fen: int, tier_id: str | None) -> int:
    """Points for an order of `amount_fen` by a member of this tier; rounded down once, after the tier's factor."""
    points = programme.rulebook.base_points(amount_fen, tier_id)
    most = programme.earning.most_per_order
    return points if most is None else min(points, most)


def points_for_many(programme: Programme, orders: Sequence[OrderFacts]) -> list[int]:
    """Points of each order by the base rate and all rules, before the caps and budgets that hang on history."""
    shares = programme.rulebook.shares
    return [sum(share.amount for share in shares(order) if share.asset == "points") for order in orders]
