"""Restraint: whether a touch may go now, later or not at all, and the reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal

from handlers.brand import Restraint
from handlers.talk.windows import MOST as WINDOW_MOST

Kind = Literal["selling", "care", "service", "urgent"]
KINDS: Final[dict[str, Kind]] = {
    "running_out": "selling", "buying_for_friend": "selling",
    "complaint": "urgent", "human_agent": "urgent", "opt_out": "urgent",
}  # fmt: skip
"""What a scenario's prompt is where no file in config/followups says it; everything else answers a question."""
COMPLAINT: Final = "complaint"
ANSWER_AGAIN: Final = timedelta(minutes=30)
"""How long the same question of the same person is one question."""
CHATS: Final = {"kf": "客服会话", "oa": "公众号"}


@dataclass(frozen=True, slots=True)
class Decision:
    """What restraint says: `sent`, `deferred` until a moment, or `skipped`; always with the reason."""

    outcome: str
    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Touched:
    """A touch of the past: which follow-up, when, over which channel, and whether it weighs on the budget."""

    sop: str
    at: datetime
    weighs: bool = True
    channel: str = "rep"


@dataclass(frozen=True, slots=True)
class Ask:
    """A touch that would go now; `rests` asks that the same follow-up has been silent for a while."""

    sop: str
    kind: Kind
    opted_out: bool = False
    channel: str = "rep"
    rests: bool = False
    external_userid: str = ""
    last_at: datetime | None = None


def decide(ask: Ask, touches: Sequence[Touched], rules: Restraint, now: datetime) -> Decision:
    """May this touch go now? `touches` are those that were sent to the person; `ask.last_at` the last of this one."""
    refused = _refuse_quota(ask, touches, rules, now)
    if ask.kind == "urgent":
        return refused or Decision("sent", "紧急, 立即提醒")
    if ask.kind == "service":
        refused = refused or _refuse_answer(ask, now)
    else:
        person = _refuse_person(ask, rules) or _refuse_selling(ask, touches, rules, now)
        refused = person or _refuse_budget(touches, rules, now) or refused
    return refused or _put_off(ask, rules, now) or Decision("sent", "在允许的时间和次数之内")


def refuse_window(channel: str, used: int, more: int, rules: Restraint) -> Decision | None:
    """Why `more` messages may not go where the platform takes few after each of the customer's and `used` are gone.

    Answers and follow-ups draw on the same few (wecom.md §6.5, §9.2); follow-ups stop early, so that answers still go.
    """
    if used + more <= rules.kf_per_window:
        return None
    where = CHATS[channel]
    return Decision("skipped", f"客户上次说话后{where}已发 {used} 条 (平台最多 {WINDOW_MOST}), 余下的留给回答")


def quiet_until(rules: Restraint, now: datetime) -> datetime | None:
    """The end of the quiet hours that hold now, or None outside of them; they may run over midnight.

    Where they end in the hour they begin in there are none.
    """
    local = now.astimezone(rules.zone)
    start, end, hour = rules.quiet_from_h, rules.quiet_to_h, local.hour
    is_quiet = start <= hour < end if start < end else hour >= start or hour < end
    if not is_quiet or start == end:
        return None
    day = local.date() if hour < end else local.date() + timedelta(days=1)
    return _morning(rules, day).astimezone(now.tzinfo)


def weekend_until(rules: Restraint, now: datetime) -> datetime | None:
    """The Monday morning that ends a quiet weekend, or None on a working day and where weekends are as usual."""
    local = now.astimezone(rules.zone)
    if not rules.quiet_weekends or local.weekday() < 5:
        return None
    return _morning(rules, local.date() + timedelta(days=7 - local.weekday())).astimezone(now.tzinfo)


def _morning(rules: Restraint, day: date) -> datetime:
    return datetime.combine(day, time(rules.quiet_to_h), rules.zone)


def _put_off(ask: Ask, rules: Restraint, now: datetime) -> Decision | None:
    until = quiet_until(rules, now)
    if until is not None:
        hours = f"{rules.quiet_from_h}:00–{rules.quiet_to_h}:00"
        if ask.kind != "service":
            until = weekend_until(rules, until) or until
        return Decision("deferred", f"安静时段 {hours}, 推迟到 {until.astimezone(rules.zone):%m-%d %H:%M}", until)
    until = weekend_until(rules, now) if ask.kind != "service" else None
    if until is not None:
        return Decision("deferred", f"周末不打扰, 推迟到 {until.astimezone(rules.zone):%m-%d %H:%M}", until)
    return None


def _refuse_person(ask: Ask, rules: Restraint) -> Decision | None:
    if ask.opted_out:
        return Decision("skipped", "客户已选择勿扰")
    if ask.external_userid in rules.deny:
        return Decision("skipped", "客户在黑名单里, 不打扰")
    if rules.allow and ask.external_userid not in rules.allow:
        return Decision("skipped", "客户不在白名单里, 试运行期间不打扰")
    return None


def _refuse_selling(ask: Ask, touches: Sequence[Touched], rules: Restraint, now: datetime) -> Decision | None:
    angry_since = now - rules.no_selling_after_complaint
    if ask.kind == "selling" and any(touch.sop == COMPLAINT and touch.at > angry_since for touch in touches):
        return Decision(
            "skipped", f"客户 {rules.no_selling_after_complaint // timedelta(hours=1)} 小时内投诉过, 不做推荐"
        )
    if ask.rests and any(touch.sop == ask.sop and touch.at > now - rules.same_within for touch in touches):
        return Decision("skipped", f"同一场景 {rules.same_within.days} 天内已提醒过")
    return None


def _refuse_budget(touches: Sequence[Touched], rules: Restraint, now: datetime) -> Decision | None:
    today = now.astimezone(rules.zone).date()
    days = [touch.at.astimezone(rules.zone).date() for touch in touches if touch.weighs]
    per_day = sum(1 for day in days if day == today)
    if per_day >= rules.per_day:
        return Decision("skipped", f"今天已提醒 {per_day} 次, 达到每日上限 {rules.per_day}")
    per_week = sum(1 for day in days if day.isocalendar()[:2] == today.isocalendar()[:2])
    if per_week >= rules.per_week:
        return Decision("skipped", f"本周已提醒 {per_week} 次, 达到每周上限 {rules.per_week}")
    per_month = sum(1 for day in days if (day.year, day.month) == (today.year, today.month))
    if per_month >= rules.per_month:
        return Decision("skipped", f"本月已提醒 {per_month} 次, 达到每月上限 {rules.per_month}")
    return None


def _refuse_quota(ask: Ask, touches: Sequence[Touched], rules: Restraint, now: datetime) -> Decision | None:
    """What the platform would refuse anyway (wecom.md §4.7, §6.5), found before it is asked."""
    if ask.channel == "mass":
        month = now.astimezone(rules.zone).strftime("%Y-%m")
        sent = sum(1 for t in touches if t.channel == "mass" and t.at.astimezone(rules.zone).strftime("%Y-%m") == month)
        if sent >= rules.mass_per_month:
            return Decision("skipped", f"客户本月已收到 {sent} 次群发, 达到平台上限 {rules.mass_per_month}")
    return None


def _refuse_answer(ask: Ask, now: datetime) -> Decision | None:
    if ask.last_at is not None and ask.last_at > now - ANSWER_AGAIN:
        return Decision("skipped", "同样的问题刚提醒过导购")
    return None
