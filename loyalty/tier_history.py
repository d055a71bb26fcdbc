"""Why a member has their tier: what happened, the figures of each step, and the same found again from the rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from loyalty.campaign_tables import TierEvent
from loyalty.customers import profiles
from loyalty.expiry import last_day
from loyalty.programme import Programme
from loyalty.storage import among
from loyalty.tables import Order, Refund
from loyalty.tier_figures import Figures, figures, growth_rows
from loyalty.tiers import (
    DROPPED,
    GRACE,
    KEPT,
    REACHED,
    Distance,
    Standing,
    Step,
    distance,
    judge,
    lower,
    reach,
    standing_after,
    write_steps,
)


class Fact(NamedTuple):
    """Something that counts for tiers: known since `at`, counting for the day of `counts_at`."""

    at: datetime
    counts_at: datetime
    amount_fen: int
    growth: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """A member's tier with its story; `agrees` is whether the rows alone lead to the same tier."""

    tier: str | None
    steps: tuple[Step, ...]
    lines: tuple[str, ...]
    now: Figures
    next: Distance | None
    agrees: bool


def explain(session: Session, programme: Programme, member_id: int, at: datetime) -> Explanation:
    """Why the member has this tier: every step up to a moment with its figures, and whether a replay agrees."""
    profile = profiles(session, [member_id]).get(member_id)
    steps = tuple(steps_of(session, member_id, at))
    # As of then: the last step says which tier it was; a tier without steps was set by hand.
    tier = steps[-1].new_tier if steps else (profile.tier if profile else None)
    again = replay(programme, member_id, facts_of(session, [member_id], at).get(member_id, []), at)
    return Explanation(tier, steps, tuple(_line(programme, step) for step in steps),
                       figures(session, programme, [member_id], at)[member_id],
                       distance(session, programme, member_id, at), (again[-1].new_tier if again else None) == tier)


def steps_of(session: Session, member_id: int, upto: datetime) -> list[Step]:
    """The events of a member's tier, oldest first."""
    names = Step._fields
    rows = session.execute(select(*(getattr(TierEvent, name) for name in names))
                           .where(TierEvent.member_id == member_id, TierEvent.at <= upto).order_by(TierEvent.id))
    return [Step(*row) for row in rows]


def rebuild_tiers(session: Session, programme: Programme, member_ids: Collection[int],
                  at: datetime) -> dict[int, str | None]:
    """Make the tiers of these members anew from orders, refunds and the ledger; those that changed, with their tier.

    The first steps stay in the history; a step that corrects carries the kind of the last one found again.
    """
    steps = []
    for id, (noted, again) in _compared(session, programme, member_ids, at).items():
        last = again[-1] if again else Step(id, DROPPED, None, None, 0, 0, None, None, at)
        steps.append(last._replace(old_tier=noted))
    write_steps(session, steps)
    return {step.member_id: step.new_tier for step in steps}


def differing_tiers(session: Session, programme: Programme, member_ids: Collection[int],
                    at: datetime) -> dict[int, tuple[str | None, str | None]]:
    """Members whose noted tier is not what the rows lead to: noted and found, for the audit."""
    compared = _compared(session, programme, member_ids, at)
    return {id: (noted, again[-1].new_tier if again else None) for id, (noted, again) in compared.items()}


def _compared(session: Session, programme: Programme, member_ids: Collection[int],
              at: datetime) -> dict[int, tuple[str | None, list[Step]]]:
    """Noted tier and steps found again of the members where they differ."""
    facts, has = facts_of(session, member_ids, at), profiles(session, member_ids)
    found = {id: replay(programme, id, facts.get(id, []), at) for id in sorted(has)}
    return {id: (has[id].tier, again) for id, again in found.items()
            if has[id].tier != (again[-1].new_tier if again else None)}


def replay(programme: Programme, member_id: int, facts: Sequence[Fact], upto: datetime) -> list[Step]:
    """The steps that these facts make, in the order they became known, with every period that ended by then.

    What becomes known in the same moment counts together: an order and the growth it gave.
    """
    steps: list[Step] = []
    seen: list[Fact] = []
    standing = Standing(member_id, None, upto, False, None)
    days = programme.tier_policy.counting_days
    by_moment = [(at, list(group)) for at, group in groupby(sorted(facts), key=lambda fact: fact.at)]
    for at, group in [*by_moment, (upto, [])]:
        while standing.due_at is not None and standing.due_at <= at:
            steps.append(judge(programme, standing, _held(seen, standing.since, standing.due_at)))
            standing = standing_after(steps[-1])
        seen += group
        held = _held(seen, None if days is None else at - timedelta(days=days), at)
        back = Figures(-sum(fact.amount_fen for fact in group if fact.amount_fen < 0),
                       -sum(fact.growth for fact in group if fact.growth < 0))
        step = (lower(programme, member_id, standing.tier, held, back, at) if back.amount_fen
                else reach(programme, member_id, standing.tier, held, at) if group else None)
        if step is not None:
            steps.append(step)
            standing = standing_after(step)
    return steps


def facts_of(session: Session, member_ids: Collection[int], upto: datetime) -> dict[int, list[Fact]]:
    """What counts for the tiers of these members, from orders, refunds and growth transfers known by then."""
    wanted = sorted(member_ids)
    orders = select(Order.member_id, Order.recorded_at, Order.paid_at, Order.amount_fen).where(
        among(Order.member_id, wanted), Order.recorded_at <= upto)
    refunds = (select(Order.member_id, Refund.at, Order.paid_at, Refund.amount_fen)
               .join(Order, Order.id == Refund.order_id).where(among(Order.member_id, wanted), Refund.at <= upto))
    growth = growth_rows().subquery()
    facts: dict[int, list[Fact]] = {}
    for member_id, at, paid_at, amount_fen in session.execute(orders):
        facts.setdefault(member_id, []).append(Fact(at, paid_at, amount_fen, 0))
    for member_id, at, paid_at, amount_fen in session.execute(refunds):
        facts.setdefault(member_id, []).append(Fact(at, paid_at, -amount_fen, 0))
    for member_id, at, amount in session.execute(select(growth).where(growth.c.at <= upto), {"members": wanted}):
        facts.setdefault(member_id, []).append(Fact(at, at, 0, amount))
    return facts


def _held(seen: Sequence[Fact], since: datetime | None, upto: datetime) -> Figures:
    counting = [fact for fact in seen if (since is None or fact.counts_at > since)
                and (since is None or fact.counts_at <= upto)]
    return Figures(sum(fact.amount_fen for fact in counting), sum(fact.growth for fact in counting))


def _line(programme: Programme, step: Step) -> str:
    """The step as a sentence for whoever looks after the programme."""
    names = {tier.id: tier.name for tier in programme.tiers}
    day = step.at.astimezone(programme.zone).date()
    figures = f"消费{step.amount_fen / 100:.2f}元、成长值{step.growth}"
    new = names.get(step.new_tier or "", step.new_tier or "无等级")
    old = names.get(step.old_tier or "", step.old_tier or "无等级")
    until = f",有效至{last_day(step.due_at, programme.zone)}" if step.due_at else ""
    told = {REACHED: f"达到{new}", KEPT: f"保住{new}", GRACE: f"未达保级要求,{new}进入宽限期",
            DROPPED: f"由{old}降为{new}"}
    return f"{day} {figures}:{told[step.kind]}{until}"
