"""Which tier a member has: the highest whose threshold their purchases reach."""

from __future__ import annotations

from loyalty.programme import Programme, Tier


def tier_of(programme: Programme, amount_fen: int) -> Tier | None:
    """The tier that `amount_fen` paid in all reaches, or none."""
    reached = [tier for tier in programme.tiers if tier.from_amount_fen <= amount_fen]
    return reached[-1] if reached else None


def next_tier(programme: Programme, amount_fen: int) -> tuple[Tier, int] | None:
    """The next tier and how many fen are missing to it; none at the top."""
    ahead = [tier for tier in programme.tiers if tier.from_amount_fen > amount_fen]
    return (ahead[0], ahead[0].from_amount_fen - amount_fen) if ahead else None
