"""/tiers: what there is to reach, why somebody has a tier, and what is missing to the next."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from bot.api.endpoints import Call, Endpoint, Nothing, Told
from bot.api.people import MemberRef, member_of
from loyalty.tier_history import explain


class TierShown(Told):
    """A tier of the programme; it is reached by what was paid or by growth value."""

    id: str
    name: str
    from_amount_fen: int
    from_growth: int | None
    benefits: list[str]


class TiersShown(Told):
    """Lowest first."""

    tiers: list[TierShown]


class DistanceShown(Told):
    """What is missing to the next tier: so many fen, or so much growth value where it has that track."""

    tier: str
    missing_fen: int
    missing_growth: int | None


class StepShown(Told):
    """One event of a member's tier with the figures it hung on: reached, kept, grace or dropped."""

    kind: str
    old_tier: str | None
    new_tier: str | None
    amount_fen: int
    growth: int
    due_at: datetime | None
    at: datetime


class StandingShown(Told):
    """A member's tier, how they came to it (`because` in words), what they have, and what is missing to the next."""

    member_id: int
    tier: str | None
    amount_fen: int
    growth: int
    next: DistanceShown | None
    steps: list[StepShown]
    because: list[str]


def show_tiers(_session: Session, call: Call[Nothing, Nothing, None]) -> tuple[int, Told]:
    """The programme's tiers."""
    return 200, TiersShown(tiers=[
        TierShown(id=tier.id, name=tier.name, from_amount_fen=tier.from_amount_fen, from_growth=tier.from_growth,
                  benefits=[str(benefit) for benefit in tier.benefits])
        for tier in call.programme.tiers
    ])


def show(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """A member's tier, explained."""
    member_id = member_of(session, call.path)
    why = explain(session, call.programme, member_id, call.at)
    ahead = None if why.next is None else DistanceShown(
        tier=why.next.tier.id, missing_fen=why.next.missing_fen, missing_growth=why.next.missing_growth)
    return 200, StandingShown(member_id=member_id, tier=why.tier, amount_fen=why.now.amount_fen, growth=why.now.growth,
                              next=ahead, steps=[StepShown.model_validate(step) for step in why.steps],
                              because=list(why.lines))


ENDPOINTS = (
    Endpoint("GET", "/api/v1/tiers", "tiers:read", "The programme's tiers", show_tiers, TiersShown),
    Endpoint("GET", "/api/v1/members/{kind}/{value}/tier", "tiers:read",
             "A member's tier: why they have it, what is missing to the next", show, StandingShown, params=MemberRef,
             part="value"),
)
