"""Tables of what campaigns, behaviours and tiers leave behind."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import PERSONAL, Base, Id, Moment


class Activity(Base):
    """Something a member did; state is counted, granted, pending, rejected or refused, `reason` says why.

    `subject` is the value that counts once (a link, a form), `streak_days` the days in a row of a check-in.
    """

    __tablename__ = "activities"
    __table_args__ = (Index(None, "member_id", "behaviour_id", "id"), Index(None, "state", "id"))

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    body_hash: Mapped[str]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    behaviour_id: Mapped[str]
    kind: Mapped[str]
    subject: Mapped[str]
    friend_id: Mapped[int | None] = mapped_column(ForeignKey("members.id"))
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str]
    reason: Mapped[str]
    streak_days: Mapped[int]
    day: Mapped[date]
    at: Mapped[Moment]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]


class Grant(Base):
    """What a rule or behaviour gave beside the base rate, below 0 where a refund took it back: caps, budgets and costs
    are counted from these rows."""

    __tablename__ = "grants"
    __table_args__ = (
        Index(None, "member_id", "rule_id", "day"),
        Index(None, "campaign_id", "at"),
    )

    id: Mapped[Id]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"), index=True)
    activity_id: Mapped[int | None] = mapped_column(ForeignKey("activities.id"), index=True)
    rule_id: Mapped[str]
    campaign_id: Mapped[str | None]
    asset: Mapped[str]
    amount: Mapped[int]
    cost_fen: Mapped[int]
    day: Mapped[date]
    at: Mapped[Moment]


class Referral(Base):
    """Who brought whom; a person is brought once."""

    __tablename__ = "referrals"

    friend_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    activity_id: Mapped[int] = mapped_column(ForeignKey("activities.id"))
    at: Mapped[Moment]


class BudgetUse(Base):
    """How much of a campaign's budget is used; the row every grant of the campaign locks."""

    __tablename__ = "budget_uses"

    campaign_id: Mapped[str] = mapped_column(primary_key=True)
    points: Mapped[int]
    direct_fen: Mapped[int]
    grants: Mapped[int]


class BudgetEvent(Base):
    """A budget that reached its alert, or stopped; once for each limit it was given."""

    __tablename__ = "budget_events"
    __table_args__ = (UniqueConstraint("campaign_id", "kind", "unit", "most"),)

    id: Mapped[Id]
    campaign_id: Mapped[str]
    kind: Mapped[str]
    unit: Mapped[str]
    used: Mapped[int]
    most: Mapped[int]
    at: Mapped[Moment]


class TierStanding(Base):
    """A tier that ends: its period runs from `since`, `due_at` is when it is looked at next, `grace` if late."""

    __tablename__ = "tier_standings"

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    tier: Mapped[str | None]
    since: Mapped[Moment]
    grace: Mapped[bool]
    due_at: Mapped[datetime | None] = mapped_column(index=True)


class TierEvent(Base):
    """Why a member's tier changed or stayed: kind is reached, kept, grace or dropped, with the figures it hung on."""

    __tablename__ = "tier_events"
    __table_args__ = (Index(None, "member_id", "id"),)

    id: Mapped[Id]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    kind: Mapped[str]
    old_tier: Mapped[str | None]
    new_tier: Mapped[str | None]
    amount_fen: Mapped[int]
    growth: Mapped[int]
    counted_from: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    at: Mapped[Moment]


class Birthday(Base):
    """The day a member celebrates; the year is nobody's business."""

    __tablename__ = "birthdays"
    __table_args__ = {"info": PERSONAL}

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    month: Mapped[int]
    day: Mapped[int]
    changed_at: Mapped[Moment]
