"""How many points a paid order earns."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from loyalty.programme import Programme


def points_for(programme: Programme, amount_fen: int, tier_id: str | None) -> int:
    """Points for an order of `amount_fen` by a member of this tier; rounded down once, after the tier's factor."""
    rule = programme.earning
    if amount_fen < rule.from_amount_fen:
        return 0
    rank = programme.tier_rank(tier_id)
    factor = programme.tiers[rank].factor if rank >= 0 else Decimal(1)
    points = int((Decimal(amount_fen) / 100 * rule.points_per_yuan * factor).to_integral_value(ROUND_FLOOR))
    return points if rule.most_per_order is None else min(points, rule.most_per_order)
