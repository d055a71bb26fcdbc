"""Which tier a member has: reached by what was paid or by growth value, kept or lost when its period is over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from loyalty.bulk import BULK, cell_of_moments, load
from loyalty.campaign_tables import TierEvent, TierStanding
from loyalty.customers import profiles
from loyalty.days import local_day, midnight_after
from loyalty.programme import Programme, Tier
from loyalty.storage import among
from loyalty.tables import Member, table_of
from loyalty.tier_figures import Figures, figures, figures_between
from loyalty.writing import insert_into, insert_many

_EVENT = ("member_id", "kind", "old_tier", "new_tier", "amount_fen", "growth", "counted_from", "due_at", "at")
REACHED, KEPT, GRACE, DROPPED = "reached", "kept", "grace", "dropped"

_MEMBERS, _STANDING = table_of(Member), table_of(TierStanding)
_STANDINGS = select(TierStanding.member_id, TierStanding.tier, TierStanding.since, TierStanding.grace,
                    TierStanding.due_at).where(among(TierStanding.member_id, "members"))


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's tier and how long it holds; `due_at` is when it is looked at next, none: never."""

    member_id: int
    tier: str | None
    since: datetime
    grace: bool
    due_at: datetime | None


class Step(NamedTuple):
    """One event of a member's tier with the figures it hung on."""

    member_id: int
    kind: str
    old_tier: str | None
    new_tier: str | None
    amount_fen: int
    growth: int
    counted_from: datetime | None
    due_at: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Distance:
    """What is missing to a tier: so many fen, or so much growth value where the tier has that track."""

    tier: Tier
    missing_fen: int
    missing_growth: int | None


def tier_of(programme: Programme, amount_fen: int, growth: int = 0) -> Tier | None:
    """The highest tier that this much paid or this much growth value reaches, or none."""
    reached = [tier for tier in programme.tiers if tier.reached_by(amount_fen, growth)]
    return reached[-1] if reached else None


def next_tier(programme: Programme, amount_fen: int) -> tuple[Tier, int] | None:
    """The next tier by amount and how many fen are missing to it; none at the top."""
    ahead = [tier for tier in programme.tiers if tier.from_amount_fen > amount_fen]
    return (ahead[0], ahead[0].from_amount_fen - amount_fen) if ahead else None


def distance(session: Session, programme: Programme, member_id: int, at: datetime) -> Distance | None:
    """What is missing to the tier above the one the member has; none at the top."""
    profile = profiles(session, [member_id]).get(member_id)
    rank = programme.tier_rank(profile.tier if profile else None) + 1
    if rank >= len(programme.tiers):
        return None
    tier = programme.tiers[rank]
    now = figures(session, programme, [member_id], at)[member_id]
    growth = None if tier.from_growth is None else max(0, tier.from_growth - now.growth)
    return Distance(tier, max(0, tier.from_amount_fen - now.amount_fen), growth)


def reach(programme: Programme, member_id: int, tier: str | None, now: Figures, at: datetime) -> Step | None:
    """The step up that these figures make, or none: by buying a tier is only gained."""
    for reached in reversed(programme.tiers[programme.tier_rank(tier) + 1:]):
        if reached.reached_by(now.amount_fen, now.growth):
            return Step(member_id, REACHED, tier, reached.id, now.amount_fen, now.growth, counted_from(programme, at),
                        _due(programme, at, programme.tier_policy.valid_days), at)
    return None


def lift(session: Session, programme: Programme, member_ids: Collection[int], at: datetime) -> list[Step]:
    """Give each member the tier they reach now, if it is higher than what they have."""
    if not programme.tiers:
        return []
    has = profiles(session, member_ids)
    now = figures(session, programme, member_ids, at)
    steps = [step for id in sorted(has) if (step := reach(programme, id, has[id].tier, now[id], at))]
    write_steps(session, steps)
    return steps


def settle_due(session: Session, programme: Programme, member_ids: Collection[int], at: datetime) -> list[Step]:
    """Keep or take the tiers of these members whose period ended by now; what was missed is made up in order."""
    if programme.tier_policy.valid_days is None or not member_ids:
        return []
    steps: list[Step] = []
    rows = session.execute(_STANDINGS, {"members": sorted(member_ids)})
    due = [Standing(*row) for row in rows if row.due_at is not None and row.due_at <= at]
    while due:
        later: list[Standing] = []
        for standing in due:
            step = _judge(session, programme, standing)
            steps.append(step)
            if step.due_at is not None and step.due_at <= at:
                later.append(standing_after(step))
        due = later
    write_steps(session, steps)
    return steps


def evaluate_due(session: Session, programme: Programme, now: datetime, limit: int = 1000) -> list[Step]:
    """Keep or take the tiers whose period is over, soonest first, at most `limit` members; safe to run twice at once.

    Decisions are made as of the moment the period ended, so a late run decides the same.
    """
    rows = (select(TierStanding.member_id).where(TierStanding.due_at <= now)
            .order_by(TierStanding.due_at, TierStanding.member_id).limit(limit).with_for_update(skip_locked=True))
    return settle_due(session, programme, session.scalars(rows).all(), now)


def refund_lowers(session: Session, programme: Programme, back: Mapping[int, Figures], at: datetime) -> list[Step]:
    """Take a tier back that only the money now refunded had reached; call it when summaries and growth are lowered.

    `back` is what each member got back and the growth that went with it. A tier reached otherwise stays.
    """
    has, now = profiles(session, back), figures(session, programme, back, at)
    steps = [step for id in sorted(has) if (step := lower(programme, id, has[id].tier, now[id], back[id], at))]
    write_steps(session, steps)
    return steps


def lower(programme: Programme, member_id: int, tier_id: str | None, held: Figures, back: Figures,
          at: datetime) -> Step | None:
    """The step down that a refund makes, or none: the tier is still reached, or the refund did not reach it."""
    rank = programme.tier_rank(tier_id)
    if rank < 0 or programme.tiers[rank].reached_by(*held) or not programme.tiers[rank].reached_by(
            held.amount_fen + back.amount_fen, held.growth + back.growth):
        return None
    left = tier_of(programme, held.amount_fen, held.growth)
    return Step(member_id, DROPPED, tier_id, left.id if left else None, held.amount_fen, held.growth,
                counted_from(programme, at), _due(programme, at, programme.tier_policy.valid_days), at)


def write_steps(session: Session, steps: Sequence[Step]) -> None:
    """Store what happened, and each member's tier as the last step left it."""
    if not steps:
        return
    if len(steps) >= BULK:
        cell = cell_of_moments(session)
        load(session, TierEvent, _EVENT, [
            (step.member_id, step.kind, step.old_tier, step.new_tier, step.amount_fen, step.growth,
             cell(step.counted_from) if step.counted_from else None, cell(step.due_at) if step.due_at else None,
             cell(step.at)) for step in steps])
    else:
        insert_many(session, TierEvent, [step._asdict() for step in steps], ["id"])
    last = {step.member_id: step for step in steps}
    by_tier: dict[str | None, list[int]] = {}
    for id, step in last.items():
        by_tier.setdefault(step.new_tier, []).append(id)
    for tier, ids in sorted(by_tier.items(), key=lambda item: item[0] or ""):
        session.execute(update(_MEMBERS).where(among(_MEMBERS.c.id, sorted(ids))).values(tier=tier))
    dated = [asdict(standing_after(step)) for _, step in sorted(last.items()) if step.due_at is not None]
    ended = [id for id, step in sorted(last.items()) if step.due_at is None and step.kind != REACHED]
    if ended:
        session.execute(delete(_STANDING).where(among(_STANDING.c.member_id, ended)))
    if dated:
        insert = insert_into(session, TierStanding)
        names = ("tier", "since", "grace", "due_at")
        session.execute(insert.on_conflict_do_update(
            index_elements=["member_id"], set_={name: insert.excluded[name] for name in names}), dated)


def counted_from(programme: Programme, at: datetime) -> datetime | None:
    """From when on purchases and growth count for reaching a tier; none: all of them."""
    days = programme.tier_policy.counting_days
    return None if days is None else at - timedelta(days=days)


def judge(programme: Programme, standing: Standing, held: Figures) -> Step:
    """What becomes of a tier whose period or grace ended, by what came after it was reached or kept last."""
    at, policy = standing.due_at or standing.since, programme.tier_policy
    rank = programme.tier_rank(standing.tier)

    def step(kind: str, new: str | None, days: int | None) -> Step:
        return Step(standing.member_id, kind, standing.tier, new, held.amount_fen, held.growth, standing.since,
                    _due(programme, at, days), at)

    if rank < 0 or programme.tiers[rank].kept_by(held.amount_fen, held.growth):
        return step(KEPT, standing.tier, policy.valid_days if rank >= 0 else None)
    if policy.grace_days and not standing.grace:
        return step(GRACE, standing.tier, policy.grace_days)
    down = programme.tiers[rank - 1].id if rank else None
    if policy.drop == "reached":
        reached = [tier for tier in programme.tiers[:rank] if tier.reached_by(held.amount_fen, held.growth)]
        down = reached[-1].id if reached else None
    return step(DROPPED, down, policy.valid_days)


def standing_after(step: Step) -> Standing:
    """How the tier stands after a step; a grace is still of the period before it."""
    since = step.counted_from if step.kind == GRACE and step.counted_from else step.at
    return Standing(step.member_id, step.new_tier, since, step.kind == GRACE, step.due_at)


def _judge(session: Session, programme: Programme, standing: Standing) -> Step:
    upto = standing.due_at or standing.since
    held = figures_between(session, [standing.member_id], standing.since, upto)
    return judge(programme, standing, held[standing.member_id])


def _due(programme: Programme, at: datetime, days: int | None) -> datetime | None:
    if days is None:
        return None
    return midnight_after(local_day(at, programme.zone) + timedelta(days=days - 1), programme.zone)
