"""Tables behind rewards: codes, red packets, coupons, paid plans, top-ups, lotteries, and answers given once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import Base, Id, Moment


class FirstAnswer(Base):
    """The answer a write gave the first time its key came."""

    __tablename__ = "first_answers"

    key: Mapped[str] = mapped_column(primary_key=True)
    body_hash: Mapped[str]
    answer: Mapped[Any | None] = mapped_column(JSON)
    at: Mapped[Moment] = mapped_column(index=True)


class PoolCode(Base):
    """An exchange code of somebody else's shop, imported; taken by one redemption."""

    __tablename__ = "pool_codes"
    __table_args__ = (
        UniqueConstraint("pool", "code"),
        Index("ix_pool_codes_free", "pool", "id",
              postgresql_where=text("redemption_id IS NULL"), sqlite_where=text("redemption_id IS NULL")),
    )

    id: Mapped[Id]
    pool: Mapped[str]
    code: Mapped[str]
    expires_at: Mapped[datetime | None]
    redemption_id: Mapped[int | None] = mapped_column(ForeignKey("redemptions.id"), index=True)
    imported_at: Mapped[Moment]
    taken_at: Mapped[datetime | None]


class RedPacket(Base):
    """Money to be paid to a member through the platform; state is pending, claimed, sent, failed or cancelled."""

    __tablename__ = "red_packets"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        Index("ix_red_packets_due", "due_at", "id",
              postgresql_where=text("state IN ('pending', 'claimed')"),
              sqlite_where=text("state IN ('pending', 'claimed')")),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    bill: Mapped[str] = mapped_column(unique=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    redemption_id: Mapped[int | None] = mapped_column(ForeignKey("redemptions.id"), unique=True)
    amount_fen: Mapped[int]
    wish: Mapped[str]
    state: Mapped[str]
    tries: Mapped[int]
    due_at: Mapped[Moment]
    at: Mapped[Moment]
    receipt: Mapped[str | None]
    error: Mapped[str | None]
    ended_at: Mapped[datetime | None]


class Coupon(Base):
    """A coupon a member has, with the terms it was issued under; state is issued, locked, used, lapsed or void."""

    __tablename__ = "coupons"
    __table_args__ = (
        Index(None, "member_id", "state"),
        Index(None, "order_ref"),
        Index(None, "source"),
        Index("ix_coupons_due", "expires_at", "id",
              postgresql_where=text("state = 'issued'"), sqlite_where=text("state = 'issued'")),
        Index("ix_coupons_locks", "locked_until", "id",
              postgresql_where=text("state = 'locked'"), sqlite_where=text("state = 'locked'")),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    body_hash: Mapped[str]
    code: Mapped[str] = mapped_column(unique=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    type_id: Mapped[str] = mapped_column(index=True)
    terms: Mapped[dict[str, Any]] = mapped_column(JSON)
    source: Mapped[str]
    state: Mapped[str]
    issued_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    order_ref: Mapped[str | None]
    discount_fen: Mapped[int | None]
    locked_until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class CouponIssue(Base):
    """How many coupons of a type were issued, counted where the programme limits them."""

    __tablename__ = "coupon_issues"

    type_id: Mapped[str] = mapped_column(primary_key=True)
    issued: Mapped[int]


class PlanTerm(Base):
    """A paid plan of a member from one moment to another; renewals stand behind each other."""

    __tablename__ = "plan_terms"
    __table_args__ = (
        CheckConstraint("starts_at < ends_at", name="ends_after_start"),
        Index(None, "member_id", "ends_at"),
        Index(None, "plan_id", "ends_at"),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    plan_id: Mapped[str]
    terms: Mapped[dict[str, Any]] = mapped_column(JSON)
    paid_fen: Mapped[int]
    starts_at: Mapped[Moment]
    ends_at: Mapped[Moment]
    bought_at: Mapped[Moment]
    cancelled_at: Mapped[datetime | None]
    refund_fen: Mapped[int | None]


class PlanTrial(Base):
    """A new product a plan's member took to try, in one local month."""

    __tablename__ = "plan_trials"
    __table_args__ = (UniqueConstraint("member_id", "plan_id", "month", "place"),)

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    plan_id: Mapped[str]
    month: Mapped[str]
    place: Mapped[int]
    sku: Mapped[str]
    at: Mapped[Moment]


class TopUp(Base):
    """Money a member paid ahead, the bonus on it, and what of both went back."""

    __tablename__ = "top_ups"
    __table_args__ = (
        CheckConstraint("refunded_fen >= 0 AND refunded_fen <= amount_fen", name="refund_in_range"),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    amount_fen: Mapped[int]
    bonus_fen: Mapped[int]
    ref: Mapped[str]
    transfer_id: Mapped[int] = mapped_column(ForeignKey("transfers.id"))
    bonus_transfer_id: Mapped[int | None] = mapped_column(ForeignKey("transfers.id"))
    refunded_fen: Mapped[int]
    bonus_owed_fen: Mapped[int]
    charged_fen: Mapped[int]
    at: Mapped[Moment]


class LotterySeed(Base):
    """A secret seed of a lottery: its hash is shown before the first draw, the seed itself after the last."""

    __tablename__ = "lottery_seeds"
    __table_args__ = (
        Index("uq_lottery_seeds_open", "lottery_id", unique=True,
              postgresql_where=text("revealed_at IS NULL"), sqlite_where=text("revealed_at IS NULL")),
    )

    id: Mapped[Id]
    lottery_id: Mapped[str]
    seed: Mapped[str]
    seed_hash: Mapped[str] = mapped_column(unique=True)
    committed_at: Mapped[Moment]
    revealed_at: Mapped[datetime | None]


class OddsTable(Base):
    """Odds as they stood for a draw, by their hash, so that a changed programme cannot hide them."""

    __tablename__ = "odds_tables"

    odds_hash: Mapped[str] = mapped_column(primary_key=True)
    lottery_id: Mapped[str]
    odds: Mapped[list[Any]] = mapped_column(JSON)
    consolation: Mapped[str]


class Draw(Base):
    """One draw: where the roll landed, what was given, and why where the two differ.

    `rolled_for` is the member id that went into the roll: a merge changes `member_id`, never this.
    """

    __tablename__ = "draws"
    __table_args__ = (Index(None, "lottery_id", "odds_hash"), Index(None, "member_id", "lottery_id", "day"))

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    rolled_for: Mapped[int]
    lottery_id: Mapped[str]
    seed_id: Mapped[int] = mapped_column(ForeignKey("lottery_seeds.id"), index=True)
    odds_hash: Mapped[str] = mapped_column(ForeignKey("odds_tables.odds_hash"))
    roll: Mapped[int]
    landed: Mapped[str]
    prize_id: Mapped[str]
    why: Mapped[str]
    given: Mapped[str]
    day: Mapped[str]
    at: Mapped[Moment]


class PrizeCount(Base):
    """How often a prize was given: in all under the empty day, and per local day."""

    __tablename__ = "prize_counts"

    lottery_id: Mapped[str] = mapped_column(primary_key=True)
    prize_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(primary_key=True)
    given: Mapped[int]
