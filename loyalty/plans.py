"""Paid plans: bought, renewed behind each other, cancelled with a refund pro rata, and what they are good for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from loyalty.accounts import lock_member
from loyalty.answers import answer_once
from loyalty.baskets import Basket, percent_of
from loyalty.days import local_day, midnight, midnight_after, months_later
from loyalty.errors import LimitReached, PlanRefused
from loyalty.programme import Programme
from loyalty.reward_parts import AddOn, PaidPlan
from loyalty.reward_tables import PlanTerm, PlanTrial
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import insert_new

_TERMS = table_of(PlanTerm)


@dataclass(frozen=True, slots=True)
class Term:
    """A stretch of a plan that was bought; `ends_at` is the first moment it is over."""

    id: int
    member_id: int
    plan_id: str
    name: str
    paid_fen: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A plan that was cancelled, and what is to be paid back for it."""

    member_id: int
    plan_id: str
    refund_fen: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """A plan a member has at a moment; `until` counts the renewals that follow without a gap."""

    plan: PaidPlan
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """What plans do for a basket: the best discount, and the products that may be added at their price."""

    plan_id: str | None
    discount_fen: int
    addons: tuple[AddOn, ...]


@dataclass(frozen=True, slots=True)
class TrialTaken:
    """A new product to try, taken in a local month (2026-03)."""

    plan_id: str
    sku: str
    month: str
    left: int


def buy(session: Session, member_id: int, plan_id: str, paid_fen: int, key: str, programme: Programme,
        at: datetime) -> Term:
    """Start a plan, or renew it: a renewal begins where the last term ends. Once per key.

    Ends at the local midnight after its months are over. Raises UnknownOffer, UnknownMember, KeyReused.
    """
    def work() -> Term:
        plan = programme.plan(plan_id)
        lock_member(session, member_id, "points")
        last = session.scalar(select(func.max(PlanTerm.ends_at)).where(*_standing(member_id, plan_id, at)))
        starts_at = max(last, at) if last else at
        ends_at = _end(plan, starts_at, programme)
        row = {
            "key": key, "member_id": member_id, "plan_id": plan_id, "terms": plan.model_dump(mode="json"),
            "paid_fen": paid_fen, "starts_at": starts_at, "ends_at": ends_at,
            "bought_at": at,
        }
        [made] = insert_new(session, PlanTerm, [row], ["id"])
        return Term(made.id, member_id, plan_id, plan.name, paid_fen, starts_at, ends_at)

    if paid_fen < 0:
        raise ValueError(f"paid_fen {paid_fen}: give what was paid, 0 for a gift")
    return answer_once(session, f"plan:{key}", ["buy", member_id, plan_id, paid_fen], Term, work, at)


def cancel(session: Session, member_id: int, plan_id: str, key: str, at: datetime) -> Cancelled:
    """End a plan now, renewals that have not begun included; answers what to pay back under the terms of purchase.

    A term that has not begun is paid back whole, the running one by the time left, rounded down to the fen.
    Raises PlanRefused (the member does not have it), UnknownMember, KeyReused.
    """
    def work() -> Cancelled:
        lock_member(session, member_id, "points")
        rows = session.execute(select(_TERMS).where(*_standing(member_id, plan_id, at))).all()
        if not rows:
            raise PlanRefused(plan_id, f"member {member_id} does not have it; nothing to cancel")
        refunds = {row.id: _refund_fen(row, at) for row in rows}
        for id, refund_fen in refunds.items():
            session.execute(update(_TERMS).where(PlanTerm.id == id).values(cancelled_at=at, refund_fen=refund_fen))
        return Cancelled(member_id, plan_id, sum(refunds.values()), at)

    return answer_once(session, f"plan:{key}", ["cancel", member_id, plan_id], Cancelled, work, at)


def standings(session: Session, member_ids: Collection[int], at: datetime) -> dict[int, list[Standing]]:
    """The plans each of these members has at a moment, under the terms they were bought with."""
    rows = session.execute(
        select(_TERMS).where(among(PlanTerm.member_id, member_ids), PlanTerm.ends_at > at, _alive(at))
        .order_by(PlanTerm.member_id, PlanTerm.plan_id, PlanTerm.starts_at))
    found: dict[int, list[Standing]] = {id: [] for id in member_ids}
    for row in rows:
        mine = found[row.member_id]
        if row.starts_at <= at:
            mine.append(Standing(PaidPlan.model_validate(row.terms), row.starts_at, row.ends_at))
        elif mine and mine[-1].plan.id == row.plan_id and mine[-1].until == row.starts_at:
            mine[-1] = Standing(mine[-1].plan, mine[-1].since, row.ends_at)
    return found


def standing(session: Session, member_id: int, at: datetime) -> list[Standing]:
    """The plans one member has at a moment."""
    return standings(session, [member_id], at)[member_id]


def offer(session: Session, member_id: int, basket: Basket, at: datetime) -> PlanOffer:
    """What the member's plans do for this basket: the best discount of one plan, and every add-on (加价购)."""
    has = standing(session, member_id, at)
    discounts = [(percent_of(basket.amount_fen, one.plan.percent_off, one.plan.most_off_fen), one.plan.id)
                 for one in has if one.plan.percent_off is not None]
    best_fen, plan_id = max(discounts, default=(0, None), key=lambda pair: pair[0])
    addons = {addon.sku: addon for one in has
              for addon in sorted(one.plan.addons, key=lambda addon: -addon.price_fen)
              if basket.amount_fen >= addon.from_order_fen}
    return PlanOffer(plan_id if best_fen else None, best_fen, tuple(addons.values()))


def take_trial(session: Session, member_id: int, plan_id: str, sku: str, key: str, programme: Programme,
               at: datetime) -> TrialTaken:
    """Take this local month's new product to try; so many a month as the plan says. Once per key.

    Raises PlanRefused, LimitReached, UnknownMember, KeyReused.
    """
    def work() -> TrialTaken:
        lock_member(session, member_id, "points")
        has = next((one for one in standing(session, member_id, at) if one.plan.id == plan_id), None)
        if has is None or has.plan.trial is None:
            raise PlanRefused(plan_id, f"member {member_id} has no trial by it now")
        # What is new changes with the programme; how often does not change for who has paid.
        new = next((plan.trial.skus for plan in programme.plans if plan.id == plan_id and plan.trial),
                   has.plan.trial.skus)
        if sku not in new:
            raise PlanRefused(plan_id, f"{sku!r} is not to try now; choose of {', '.join(new)}")
        month = f"{local_day(at, programme.zone):%Y-%m}"
        taken = session.scalar(select(func.count()).where(
            PlanTrial.member_id == member_id, PlanTrial.plan_id == plan_id, PlanTrial.month == month)) or 0
        if taken >= has.plan.trial.per_month:
            raise LimitReached(f"{plan_id} trial", has.plan.trial.per_month, taken)
        insert_new(session, PlanTrial, [{"key": key, "member_id": member_id, "plan_id": plan_id, "month": month,
                                         "place": taken + 1, "sku": sku, "at": at}], ["id"])
        return TrialTaken(plan_id, sku, month, has.plan.trial.per_month - taken - 1)

    return answer_once(session, f"trial:{key}", [member_id, plan_id, sku], TrialTaken, work, at)


def ending(session: Session, plan_id: str, since: datetime, until: datetime, limit: int = 100_000,
           after_id: int = 0) -> list[Term]:
    """Last terms that end in [since, until) with no renewal behind them, by term id: whom to win back or remind.

    With `since` now it is the crowd that is about to lose the plan, with `until` now the crowd that lost it.
    """
    later = aliased(PlanTerm)
    renewed = select(later.id).where(
        later.member_id == PlanTerm.member_id, later.plan_id == PlanTerm.plan_id,
        later.ends_at > PlanTerm.ends_at, later.cancelled_at.is_(None)).exists()
    rows = session.execute(
        select(_TERMS).where(PlanTerm.plan_id == plan_id, PlanTerm.ends_at >= since, PlanTerm.ends_at < until,
                             PlanTerm.cancelled_at.is_(None), PlanTerm.id > after_id, ~renewed)
        .order_by(PlanTerm.id).limit(limit))
    return [_term(row) for row in rows]


def _end(plan: PaidPlan, starts_at: datetime, programme: Programme) -> datetime:
    """A renewal begins at a midnight and ends at one; a first term is given the rest of its first day on top."""
    day = local_day(starts_at, programme.zone)
    last = months_later(day, plan.months)
    at_midnight = starts_at == midnight(day, programme.zone)
    return midnight(last, programme.zone) if at_midnight else midnight_after(last, programme.zone)


def _standing(member_id: int, plan_id: str, at: datetime) -> tuple[ColumnElement[bool], ...]:
    return PlanTerm.member_id == member_id, PlanTerm.plan_id == plan_id, PlanTerm.ends_at > at, _alive(at)


def _alive(at: datetime) -> ColumnElement[bool]:
    """Not cancelled, or only later: a term that was cancelled before it began never was."""
    return or_(PlanTerm.cancelled_at.is_(None),
               and_(PlanTerm.cancelled_at > at, PlanTerm.cancelled_at > PlanTerm.starts_at))


def _refund_fen(row: Row[Any], at: datetime) -> int:
    plan = PaidPlan.model_validate(row.terms)
    paid: int = row.paid_fen
    if row.starts_at >= at or (at - row.bought_at).days < plan.whole_refund_days:
        return paid
    if plan.refund == "none":
        return 0
    whole, left = row.ends_at - row.starts_at, row.ends_at - at
    return paid * int(left.total_seconds()) // int(whole.total_seconds())


def _term(row: Row[Any]) -> Term:
    return Term(row.id, row.member_id, row.plan_id, row.terms["name"], row.paid_fen, row.starts_at, row.ends_at)
