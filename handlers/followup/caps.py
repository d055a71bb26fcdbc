"""Restraint: whether a prompt may go now, later or not at all, and the reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from handlers.brand import Restraint

SELLING: Final = frozenset({"running_out", "buying_for_friend"})
URGENT: Final = frozenset({"complaint", "human_agent", "opt_out"})
ANSWER_AGAIN: Final = timedelta(minutes=30)
"""How long the same question of the same person is one question."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What restraint says: `sent`, `deferred` until a moment, or `skipped`; always with the reason."""

    outcome: str
    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Touched:
    """A touch of the past that counts: which follow-up, when."""

    sop: str
    at: datetime


def decide(
    sop: str,
    opted_out: bool,
    touches: Sequence[Touched],
    rules: Restraint,
    now: datetime,
    last_at: datetime | None = None,
) -> Decision:
    """May a prompt about this person go now? `touches` are those that were sent; `last_at` when it was last started."""
    if sop in URGENT:
        return Decision("sent", "紧急, 立即提醒")
    again = _refuse_selling(sop, opted_out, touches, rules, now) if sop in SELLING else _refuse_answer(last_at, now)
    if again is not None:
        return again
    until = quiet_until(rules, now)
    if until is not None:
        hours = f"{rules.quiet_from_h}:00–{rules.quiet_to_h}:00"
        return Decision("deferred", f"安静时段 {hours}, 推迟到 {until.astimezone(rules.zone):%m-%d %H:%M}", until)
    return Decision("sent", "在允许的时间和次数之内")


def quiet_until(rules: Restraint, now: datetime) -> datetime | None:
    """The end of the quiet hours that hold now, or None outside of them; they may run over midnight."""
    local = now.astimezone(rules.zone)
    start, end, hour = rules.quiet_from_h, rules.quiet_to_h, local.hour
    is_quiet = start <= hour < end if start < end else hour >= start or hour < end
    if not is_quiet:
        return None
    day = local.date() if hour < end else local.date() + timedelta(days=1)
    return datetime.combine(day, time(end), rules.zone).astimezone(now.tzinfo)


def _refuse_selling(
    sop: str, opted_out: bool, touches: Sequence[Touched], rules: Restraint, now: datetime
) -> Decision | None:
    if opted_out:
        return Decision("skipped", "客户已选择勿扰")
    angry_since = now - rules.no_selling_after_complaint
    if any(touch.sop == "complaint" and touch.at > angry_since for touch in touches):
        return Decision(
            "skipped", f"客户 {rules.no_selling_after_complaint // timedelta(hours=1)} 小时内投诉过, 不做推荐"
        )
    if any(touch.sop == sop and touch.at > now - rules.same_within for touch in touches):
        return Decision("skipped", f"同一场景 {rules.same_within.days} 天内已提醒过")
    today = now.astimezone(rules.zone).date()
    count = sum(1 for t in touches if t.sop in SELLING and t.at.astimezone(rules.zone).date() == today)
    if count >= rules.per_day:
        return Decision("skipped", f"今天已提醒 {count} 次, 达到每日上限 {rules.per_day}")
    return None


def _refuse_answer(last_at: datetime | None, now: datetime) -> Decision | None:
    if last_at is not None and last_at > now - ANSWER_AGAIN:
        return Decision("skipped", "同样的问题刚提醒过导购")
    return None
