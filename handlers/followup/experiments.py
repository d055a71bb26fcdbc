"""Experiments in follow-ups: who is in which variant, for good, and what came of it, told per follow-up.

Everybody counts who was let in, in the variant they were given, whatever happened to the run afterwards (intention to
treat): leaving out those whom restraint kept back would compare the lucky of one variant with all of another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby
from typing import Final

from sqlalchemy import ColumnElement, and_, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from handlers.followup.definition import Sop
from handlers.followup.tables import AssignmentRow, RunRow, TouchRow
from handlers.followup.trials import HOLD_OUT, Arm, Experiment, Verdict, is_mismatched, judge
from handlers.talk.tables import VerdictRow
from loyalty.reward_tables import PlanTerm
from loyalty.storage import among
from loyalty.tables import Order, Redemption
from loyalty.writing import write_rows

HELD_OUT: Final = "对照组, 不打扰"


def name_of(sop: Sop) -> str:
    """The name people are assigned under: its own, else the follow-up's; the same name gives the same people."""
    return (sop.experiment.name if sop.experiment else "") or sop.id


def variant_of(experiment: Experiment, name: str, member_id: int) -> str:
    """The variant a person falls to: by a hash salted with the experiment's name, so two experiments never go together.

    Who is held out is decided by a hash of its own: changing weights moves nobody in or out of the hold-out.
    """
    if _share(f"{name}:hold_out:{member_id}") < experiment.hold_out:
        return HOLD_OUT
    left = _share(f"{name}:variant:{member_id}") * sum(experiment.variants.values())
    for variant, weight in experiment.variants.items():
        left -= weight
        if left < 0:
            return variant
    return variant


def assign(session: Session, sop: Sop, members: Collection[int], now: datetime) -> dict[int, str]:
    """The variant of each member, the stored one where there is one; new ones are stored."""
    experiment, name = sop.experiment, name_of(sop)
    assert experiment is not None
    fresh = [
        {"experiment": name, "member_id": member, "sop": sop.id, "variant": variant_of(experiment, name, member),
         "at": now, "until": now + timedelta(days=experiment.within_days)}
        for member in sorted(set(members))
    ]  # fmt: skip
    write_rows(session, AssignmentRow, fresh)
    stored = session.execute(
        select(AssignmentRow.member_id, AssignmentRow.variant).where(
            AssignmentRow.experiment == name, among(AssignmentRow.member_id, sorted(set(members)))
        )
    )
    return {row.member_id: row.variant for row in stored}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of an experiment at a moment; `arms` are all people whose time is over, for information only."""

    experiment: Experiment
    people: int
    needed: int
    arms: Mapping[str, Arm]
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    is_mismatched: bool = False


def outcome(session: Session, sop: Sop, now: datetime) -> Outcome:
    """Count the goal for everybody whose time is over, and judge at the looks that have been reached."""
    experiment = sop.experiment
    assert experiment is not None
    needed, shares = experiment.people, experiment.shares
    control, *others = shares
    arms: dict[str, Arm] = {}
    looks: dict[str, list[tuple[Arm, Arm]]] = {name: [] for name in others}
    people = 0
    for variant, reached in _results(session, name_of(sop), experiment.goal, now):
        people += 1
        known = arms.get(variant, Arm())
        arms[variant] = Arm(known.people + 1, known.reached + reached)
        # The first so many people make a look, whoever asks and when.
        if people <= needed and people * experiment.looks // needed > (people - 1) * experiment.looks // needed:
            for name in others:
                looks[name].append((arms.get(control, Arm()), arms.get(name, Arm())))
    found = {name: judge(looks[name], experiment.strictness, experiment.looks) for name in others}
    assigned = session.execute(
        select(AssignmentRow.variant, func.count().label("people"))
        .where(AssignmentRow.experiment == name_of(sop)).group_by(AssignmentRow.variant)
    )  # fmt: skip
    is_odd = is_mismatched({row.variant: row.people for row in assigned}, shares)
    return Outcome(experiment, people, needed, arms, found, is_odd)


def report(session: Session, sop: Sop, now: datetime) -> Iterator[str]:
    """A follow-up in numbers: who entered and how it ended, what went and what not and why, then the experiment."""
    runs = dict(session.execute(
        select(RunRow.state, func.count()).where(RunRow.sop == sop.id).group_by(RunRow.state)
    ).all())  # fmt: skip
    yield f"{sop.title} ({sop.id}): {sum(runs.values())} 人次进入"
    if runs:
        yield "  " + ", ".join(f"{STATES.get(state, state)} {count}" for state, count in sorted(runs.items()))
    yield from _touches(session, sop)
    if sop.experiment is not None:
        yield from _say(outcome(session, sop, now), name_of(sop))


STATES: Final = {
    "open": "等时间", "waiting": "等事件", "prompted": "等导购", "done": "完成", "dismissed": "导购认为不合适",
    "skipped": "未触达", "held_out": "对照组", "stopped": "条件停止",
}  # fmt: skip
GOALS: Final = {"bought": "下单", "redeemed": "兑换", "replied": "回复", "renewed": "续费"}
VERDICTS: Final = {
    "early": "还没到第一次检视", "open": "尚无定论, 继续", "better": "更好", "worse": "更差",
    "no_difference": "人数已够, 看不出约定大小的差别",
}  # fmt: skip


def _touches(session: Session, sop: Sop) -> Iterator[str]:
    rows = session.execute(
        select(TouchRow.decision, TouchRow.reason, func.count().label("many"))
        .where(TouchRow.sop == sop.id).group_by(TouchRow.decision, TouchRow.reason)
        .order_by(TouchRow.decision, func.count().desc())
    ).all()  # fmt: skip
    for decision, found in groupby(rows, key=lambda row: row.decision):
        reasons = list(found)
        most = "; ".join(f"{row.reason} {row.many}" for row in reasons[:3])
        yield f"  {decision} {sum(row.many for row in reasons)}: {most}"


def _say(found: Outcome, name: str) -> Iterator[str]:
    experiment = found.experiment
    yield (
        f"  实验 {name}: {experiment.within_days} 天内{GOALS[experiment.goal]}, 要看出 {experiment.effect:+.0%} "
        f"(把握 {experiment.power:.0%}) 需 {found.needed} 人, 已到期 {found.people} 人, 共检视 {experiment.looks} 次"
    )
    for variant in experiment.shares:
        arm = found.arms.get(variant, Arm())
        yield f"    {variant}: {arm.people} 人, {arm.reached} 人达成, {arm.rate:.2%}"
    control = next(iter(experiment.shares))
    for variant, verdict in found.verdicts.items():
        sure = f"{1 - experiment.strictness:.4g}"
        interval = (
            f", 差 {verdict.difference:+.2%} [{verdict.low:+.2%}, {verdict.high:+.2%}] (置信度 {sure})"
            if verdict.look else ""
        )  # fmt: skip
        yield f"    {variant} 对 {control}: {VERDICTS[verdict.state]}, 第 {verdict.look} 次检视{interval}"
    if found.is_mismatched:
        yield "    注意: 各组人数和设定的比例不符, 分组本身可能有问题, 结论不可用"


def _results(session: Session, name: str, goal: str, now: datetime) -> Iterator[tuple[str, bool]]:
    reached = exists().where(_reached(goal, AssignmentRow.member_id)).label("reached")
    rows = session.execute(
        select(AssignmentRow.variant, reached)
        .where(AssignmentRow.experiment == name, AssignmentRow.until <= now)
        .order_by(AssignmentRow.until, AssignmentRow.member_id),
        execution_options={"yield_per": 5000},
    )
    for variant, is_reached in rows:
        yield variant, bool(is_reached)


def _reached(goal: str, member_id: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    def between(at: InstrumentedAttribute[datetime]) -> ColumnElement[bool]:
        return and_(at > AssignmentRow.at, at <= AssignmentRow.until)

    if goal == "bought":
        return and_(Order.member_id == member_id, between(Order.paid_at))
    if goal == "redeemed":
        return and_(Redemption.member_id == member_id, between(Redemption.at), Redemption.state != "undone")
    if goal == "replied":
        return and_(VerdictRow.member_id == member_id, between(VerdictRow.at))
    return and_(PlanTerm.member_id == member_id, between(PlanTerm.bought_at), PlanTerm.cancelled_at.is_(None))


def _share(text: str) -> float:
    """A number from 0 to 1 that depends on nothing but the text."""
    return int.from_bytes(sha256(text.encode()).digest()[:8]) / 2**64
