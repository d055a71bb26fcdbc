"""What members do beside buying, and what it gives: once under its key, within caps and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from loyalty.accounts import AVAILABLE, POINTS, AccountName, lock_accounts, open_accounts
from loyalty.behaviours import KINDS, Behaviour, Gain
from loyalty.birthdays import birthdays
from loyalty.budgets import Allowance
from loyalty.campaign_tables import Activity, Grant, Referral
from loyalty.campaigns import Campaign
from loyalty.conditions import ACTIVITY_FACTS, Condition
from loyalty.customers import profiles
from loyalty.errors import ActivityDecided, BadActivity, KeyReused, UnknownActivity
from loyalty.expiry import expires_at
from loyalty.ledger import earning, post
from loyalty.programme import Programme
from loyalty.rulebook import calendar_facts, in_birthday
from loyalty.tables import Member, MergeProposal, PurchaseSummary, table_of
from loyalty.tiers import lift, settle_due
from loyalty.writing import body_hash, insert_new

GRANTED, COUNTED, PENDING, REJECTED, REFUSED = "granted", "counted", "pending", "rejected", "refused"
_DONE = (GRANTED, COUNTED, PENDING)

Gained = dict[int, dict[str, int]]
"""What each member got, by asset."""


@dataclass(frozen=True, slots=True)
class ActivityOutcome:
    """What an activity did: `state` is granted, counted (nothing yet), pending, rejected or refused, `reason` says why.

    `gained` is by member and asset: a referral gives to both sides. `new` is False where the key was known.
    """

    activity_id: int
    behaviour_id: str
    state: str
    reason: str
    gained: Gained
    streak_days: int
    new: bool


def record_activity(session: Session, programme: Programme, member_id: int, kind: str, key: str, at: datetime,
                    facts: Mapping[str, Any] | None = None) -> list[ActivityOutcome]:
    """Let every behaviour of this kind count what a member did; the same key again answers the same.

    A referral's facts name the `friend` by member id; the `friend` is who came. Raises UnknownMember, KeyReused, and
    BadActivity where kind or facts cannot be used. Without a behaviour of the kind nothing is stored.
    """
    told = dict(facts or {})
    _check(kind, told)
    friend_id = told.pop("friend", None)
    people = sorted({member_id, friend_id} - {None}) if friend_id is not None else [member_id]
    names = [AccountName(id, POINTS, AVAILABLE) for id in people]
    lock_accounts(session, open_accounts(session, names).values())
    settle_due(session, programme, people, at)
    body = body_hash([member_id, kind, friend_id, told])
    outcomes = []
    for behaviour in programme.behaviours:
        if behaviour.kind == kind:
            outcomes.append(_Doing(session, programme, behaviour, member_id, friend_id, at).record(
                f"{key}:{behaviour.id}", body, told))
    lift(session, programme, people, at)
    return outcomes


def approve(session: Session, programme: Programme, activity_id: int, by: str, at: datetime) -> ActivityOutcome:
    """Give what a pending activity is worth, within the caps of the day it was done; once more changes nothing.

    Raises UnknownActivity, ActivityDecided where it was rejected, BadActivity where its behaviour is gone.
    """
    activity = _pending(session, activity_id, GRANTED)
    behaviour = next((each for each in programme.behaviours if each.id == activity.behaviour_id), None)
    if behaviour is None:
        raise BadActivity(f"behaviour {activity.behaviour_id!r} is not in the programme any more",
                          "add it again or reject the activity")
    doing = _Doing(session, programme, behaviour, activity.member_id, activity.friend_id, at)
    if activity.state != PENDING:
        return doing.known(activity)
    doing.lock()
    outcome = doing.decide(activity, by)
    lift(session, programme, [activity.member_id], at)
    return outcome


def reject(session: Session, activity_id: int, by: str, reason: str, at: datetime) -> None:
    """Decide that a pending activity gives nothing; again changes nothing. Raises as `approve`."""
    activity = _pending(session, activity_id, REJECTED)
    activity.state, activity.reason, activity.decided_by, activity.decided_at = REJECTED, reason, by, at
    session.flush()


def pending_activities(session: Session, after_id: int = 0, limit: int = 100) -> Sequence[Activity]:
    """Activities that wait for a decision, oldest first."""
    return session.scalars(select(Activity).where(Activity.state == PENDING, Activity.id > after_id)
                           .order_by(Activity.id).limit(limit)).all()


def streak_of(session: Session, programme: Programme, member_id: int, at: datetime) -> int:
    """Days in a row the member has checked in, up to today or yesterday; 0 where the chain is broken."""
    today = at.astimezone(programme.zone).date()
    last = session.execute(
        select(Activity.day, Activity.streak_days)
        .where(Activity.member_id == member_id, Activity.kind == "check_in", Activity.state.in_(_DONE),
               Activity.at <= at)
        .order_by(Activity.day.desc(), Activity.id.desc()).limit(1)).first()
    return last.streak_days if last is not None and last.day >= today - timedelta(days=1) else 0


@dataclass(slots=True)
class _Doing:
    session: Session
    programme: Programme
    behaviour: Behaviour
    member_id: int
    friend_id: int | None
    at: datetime

    @property
    def campaign(self) -> Campaign | None:
        return self.programme.campaign(self.behaviour.campaign)

    def record(self, key: str, body: str, told: Mapping[str, Any]) -> ActivityOutcome:
        """Store the activity and what it gives, or the first answer where the key is known."""
        known = self.session.scalar(select(Activity).where(Activity.key == key))
        if known is not None:
            if known.body_hash != body:
                raise KeyReused(key, known.body_hash, body)
            return self.known(known)
        day = self.at.astimezone(self.programme.zone).date()
        streak = self._streak(day) if self.behaviour.kind == "check_in" else 0
        activity = Activity(
            key=key, body_hash=body, member_id=self.member_id, behaviour_id=self.behaviour.id,
            kind=self.behaviour.kind, subject=str(told.get(self.behaviour.once_per or "", "")),
            friend_id=self.friend_id, facts=dict(told), state=COUNTED, reason="", streak_days=streak, day=day,
            at=self.at, decided_by=None, decided_at=None)
        reason = self._refusal(activity, day)
        if reason:
            activity.state, activity.reason = REFUSED, reason
        elif self.behaviour.approval:
            activity.state = PENDING
        self.session.add(activity)
        self.session.flush()
        return self.decide(activity, None) if activity.state == COUNTED else self._told(activity, {}, True)

    def decide(self, activity: Activity, by: str | None) -> ActivityOutcome:
        """Give what it is worth now and note how it went."""
        gained: Gained = {}
        gains = self._gains(activity)
        activity.state, activity.reason = COUNTED, "" if gains else "not yet"
        if any(gain.amounts() for _, gain in gains):
            gained, activity.reason = self._give(activity, gains)
            activity.state = GRANTED if gained else REFUSED
        elif by is not None:
            activity.state = GRANTED
        if activity.state != REFUSED and self.friend_id is not None:
            insert_new(self.session, Referral, [{"friend_id": self.friend_id, "member_id": self.member_id,
                                                 "activity_id": activity.id, "at": self.at}], ["friend_id"])
        if by is not None:
            activity.decided_by, activity.decided_at = by, self.at
        self.session.flush()
        return self._told(activity, gained, True)

    def known(self, activity: Activity) -> ActivityOutcome:
        """The answer an activity had."""
        gained: Gained = {}
        for member_id, asset, amount in self.session.execute(
                select(Grant.member_id, Grant.asset, func.sum(Grant.amount)).where(Grant.activity_id == activity.id)
                .group_by(Grant.member_id, Grant.asset)):
            gained.setdefault(member_id, {})[asset] = int(amount)
        return self._told(activity, gained, False)

    def lock(self) -> None:
        """Make other writers for these members wait."""
        people = [id for id in (self.member_id, self.friend_id) if id is not None]
        names = [AccountName(id, POINTS, AVAILABLE) for id in people]
        lock_accounts(self.session, open_accounts(self.session, names).values())

    def _refusal(self, activity: Activity, day: date) -> str:
        """Why it does not count at all, or nothing."""
        if self.campaign is not None and not self.campaign.is_open(self.at):
            return "campaign closed"
        if self.behaviour.kind == "referral" and (reason := self._bad_friend()):
            return reason
        theirs = (Activity.member_id == self.member_id, Activity.behaviour_id == self.behaviour.id,
                  Activity.state.in_(_DONE))
        if self.behaviour.once_per and self.session.scalar(
                select(func.count()).where(*theirs, Activity.subject == activity.subject)):
            return f"same {self.behaviour.once_per}"
        limits = self.behaviour.limits
        ever = self.session.scalar(select(func.count()).where(*theirs)) or 0
        # Caps by times count what was done, granted or waiting: nobody can queue up more than the cap for approval.
        if limits.times_per_member is not None and ever >= limits.times_per_member * self.behaviour.every:
            return "rule.times_per_member"
        if limits.times_per_day is not None and ever:
            today = self.session.scalar(select(func.count()).where(*theirs, Activity.day == day)) or 0
            if today >= limits.times_per_day * self.behaviour.every:
                return "rule.times_per_day"
        if self.behaviour.when is not None:
            condition = Condition(self.behaviour.when, ACTIVITY_FACTS)
            if not condition.holds(self._facts(activity, day, ever)):
                return "condition"
        return ""

    def _bad_friend(self) -> str:
        """Why this friend does not count: oneself under any name, brought before, or who brought the member."""
        if self.friend_id is None or self.friend_id == self.member_id:
            return "self-referral"
        pair = (self.member_id, self.friend_id)
        shared = select(func.count()).where(MergeProposal.member_id.in_(pair), MergeProposal.other_id.in_(pair))
        if self.session.scalar(shared):
            return "self-referral: a shared identity"
        rows = self.session.execute(
            select(Referral.friend_id, Referral.member_id)
            .where(or_(Referral.friend_id == self.friend_id, Referral.friend_id == self.member_id))).all()
        if any(row.friend_id == self.friend_id for row in rows):
            return "friend was brought before"
        return "friend brought the member" if any(row.member_id == self.friend_id for row in rows) else ""

    def _facts(self, activity: Activity, day: date, times_before: int) -> dict[str, Any]:
        people = [id for id in (self.member_id, self.friend_id) if id is not None]
        orders = {row.member_id: row.orders for row in self.session.execute(
            select(PurchaseSummary.member_id, PurchaseSummary.orders).where(PurchaseSummary.member_id.in_(people)))}
        me = profiles(self.session, [self.member_id])[self.member_id]
        facts = dict(activity.facts) | calendar_facts(self.at.astimezone(self.programme.zone)) | {
            "tier": me.tier or "", "joined": me.joined_at is not None, "orders": orders.get(self.member_id, 0),
            "birthday": in_birthday(birthdays(self.session, [self.member_id]).get(self.member_id), day, "day"),
            "streak_days": activity.streak_days, "times_before": times_before}
        if self.friend_id is not None:
            since = self.session.scalar(select(Member.created_at).where(Member.id == self.friend_id))
            facts |= {"friend_orders": orders.get(self.friend_id, 0),
                      "friend_days": (self.at - since).days if since else 0}
        return facts

    def _streak(self, day: date) -> int:
        last = self.session.execute(
            select(Activity.day, Activity.streak_days)
            .where(Activity.member_id == self.member_id, Activity.behaviour_id == self.behaviour.id,
                   Activity.state.in_(_DONE)).order_by(Activity.day.desc(), Activity.id.desc()).limit(1)).first()
        return last.streak_days + 1 if last is not None and last.day == day - timedelta(days=1) else 1

    def _gains(self, activity: Activity) -> list[tuple[int, Gain]]:
        """Who gets what for it: nothing at all before the time that `every` asks for."""
        gains = []
        if self.behaviour.every > 1:
            done = self.session.scalar(
                select(func.count()).where(Activity.member_id == self.member_id, Activity.id < activity.id,
                                           Activity.behaviour_id == self.behaviour.id,
                                           Activity.state.in_((GRANTED, COUNTED)))) or 0
            unlocked = (done + 1) % self.behaviour.every == 0
        else:
            unlocked = True
        if unlocked:
            gains.append((self.member_id, self.behaviour.gain))
            gains += [(self.member_id, bonus.gain) for bonus in self.behaviour.streaks
                      if bonus.due(activity.streak_days)]
        if self.friend_id is not None and self.behaviour.friend.amounts():
            gains.append((self.friend_id, self.behaviour.friend))
        return gains

    def _give(self, activity: Activity, gains: Sequence[tuple[int, Gain]]) -> tuple[Gained, str]:
        campaigns = [self.behaviour.campaign] if self.behaviour.campaign else []
        allowance = Allowance(self.session, self.programme, self.at).load({id for id, _ in gains}, campaigns, True)
        totals: Gained = {}
        for member_id, gain in gains:
            of_member = totals.setdefault(member_id, {})
            for asset, amount in gain.amounts():
                of_member[asset] = of_member.get(asset, 0) + amount
        gained: Gained = {}
        reasons = []
        for member_id, amounts in totals.items():
            given, reason = allowance.give(
                member_id, self.behaviour.id, self.behaviour.campaign, self.behaviour.limits, [*amounts.items()],
                activity.day, self.behaviour.cost_fen if member_id == self.member_id else 0, activity_id=activity.id)
            reasons.append(reason)
            if given:
                gained[member_id] = dict(given)
        allowance.write()
        self._post(activity, gained)
        return gained, next((reason for reason in reasons if reason), "")

    def _post(self, activity: Activity, gained: Gained) -> None:
        lapse = expires_at(self.programme, self.at)
        movements = [
            earning(member_id, amount, f"activity:{activity.id}:{member_id}:{asset}", self.behaviour.kind,
                    self.behaviour.id, expires_at=lapse if asset == POINTS else None, asset=asset)
            for member_id, amounts in gained.items() for asset, amount in amounts.items() if amount]
        for posted in post(self.session, movements, self.at):
            if posted.error is not None:
                raise posted.error

    def _told(self, activity: Activity, gained: Gained, new: bool) -> ActivityOutcome:
        return ActivityOutcome(activity.id, activity.behaviour_id, activity.state, activity.reason, gained,
                               activity.streak_days, new)


def _check(kind: str, told: Mapping[str, Any]) -> None:
    if kind not in KINDS:
        raise BadActivity(f"no kind of behaviour {kind!r}", f"use one of {', '.join(KINDS)}")
    if kind == "referral" and not isinstance(told.get("friend"), int):
        raise BadActivity("a referral without a friend", "send facts with friend, the member id of who came")
    if kind != "referral" and "friend" in told:
        raise BadActivity(f"a {kind} with a friend", "only a referral has one; leave the fact out")


def _pending(session: Session, activity_id: int, wanted: str) -> Activity:
    """The activity, locked, where it waits or was decided as wanted."""
    # The row is changed by one decision only: who comes second finds it decided.
    session.execute(update(table_of(Activity)).where(table_of(Activity).c.id == activity_id)
                    .values(decided_at=table_of(Activity).c.decided_at))
    activity = session.get(Activity, activity_id, populate_existing=True)
    if activity is None:
        raise UnknownActivity(activity_id)
    decided = REJECTED if activity.state == REJECTED else GRANTED
    if activity.state != PENDING and (decided != wanted or activity.decided_by is None):
        raise ActivityDecided(activity_id, activity.state)
    return activity
