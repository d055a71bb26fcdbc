"""Tables of what is known about members from their history: kept by sweeps, made anew from orders at any time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import Base, Id, Moment


class PurchaseRhythm(Base):
    """One row a member who bought: how often, how much, in which rhythm, and the moments that follow from it.

    An occasion is a local day with a purchase. `due_at` is when the next one is expected, `cooling_at` and `lost_at`
    when the silence becomes long; so a stage is a comparison with now and never out of date.
    """

    __tablename__ = "purchase_rhythms"

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    first_at: Mapped[Moment]
    last_at: Mapped[Moment] = mapped_column(index=True)
    orders: Mapped[int]
    occasions: Mapped[int]
    amount_fen: Mapped[int]
    span_days: Mapped[float]
    last_gap_days: Mapped[float | None]
    earlier_gap_days: Mapped[float | None]
    rhythm_days: Mapped[float]
    returned: Mapped[bool]
    due_at: Mapped[Moment] = mapped_column(index=True)
    cooling_at: Mapped[Moment] = mapped_column(index=True)
    lost_at: Mapped[Moment] = mapped_column(index=True)


class ProductRhythm(Base):
    """How long a piece of a product lasts a member, and when what they have of it is used up."""

    __tablename__ = "product_rhythms"
    __table_args__ = (Index(None, "sku", "due_at"),)

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    sku: Mapped[str] = mapped_column(primary_key=True)
    first_at: Mapped[Moment]
    last_at: Mapped[Moment]
    occasions: Mapped[int]
    pieces: Mapped[int]
    used_pieces: Mapped[int]
    used_days: Mapped[float]
    days_per_piece: Mapped[float | None]
    due_at: Mapped[datetime | None] = mapped_column(index=True)


class RhythmChange(Base):
    """A member whose orders changed hands: the next sweep looks at them again."""

    __tablename__ = "rhythm_changes"

    id: Mapped[Id]
    member_id: Mapped[int]


class InsightMark(Base):
    """How far a sweep of insights has come; `digest` tells under which settings, or on which day."""

    __tablename__ = "insight_marks"

    name: Mapped[str] = mapped_column(primary_key=True)
    upto: Mapped[int]
    digest: Mapped[str]
    at: Mapped[Moment]


class ForecastModel(Base):
    """A model of buying as it was fitted one day, with the brand's typical values at that time."""

    __tablename__ = "forecast_models"

    id: Mapped[Id]
    day: Mapped[str] = mapped_column(unique=True)
    fitted_at: Mapped[Moment]
    members: Mapped[int]
    regularity: Mapped[int]
    r: Mapped[float]
    alpha: Mapped[float]
    a: Mapped[float]
    b: Mapped[float]
    value_half_fen: Mapped[int]
    rfm: Mapped[dict[str, Any]] = mapped_column(JSON)


class MemberScore(Base):
    """What the model of the day says of a member: churn from 0 to 1, scores from 0 to 100."""

    __tablename__ = "member_scores"

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    churn: Mapped[float]
    next_at: Mapped[datetime | None] = mapped_column(index=True)
    purchases_ahead: Mapped[float]
    value_ahead_fen: Mapped[int]
    value_score: Mapped[int]
    brand_score: Mapped[int]
    retention_score: Mapped[int]
    scored_at: Mapped[Moment]


class FraudFinding(Base):
    """Something that looks like abuse; state is open, held, dismissed, released or confiscated.

    `key` is the rule, whom it is about and when, so that looking again finds the same finding.
    """

    __tablename__ = "fraud_findings"
    __table_args__ = (
        Index("ix_fraud_findings_open", "score", "id", postgresql_where=text("state IN ('open', 'held')"),
              sqlite_where=text("state IN ('open', 'held')")),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    rule: Mapped[str]
    score: Mapped[int]
    said: Mapped[str]
    mend: Mapped[str]
    state: Mapped[str]
    found_at: Mapped[Moment]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    note: Mapped[str | None]


class FraudSuspect(Base):
    """A member a finding is about, the points at stake, and the hold upon them."""

    __tablename__ = "fraud_suspects"
    __table_args__ = (UniqueConstraint("finding_id", "member_id"),)

    id: Mapped[Id]
    finding_id: Mapped[int] = mapped_column(ForeignKey("fraud_findings.id"))
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    points: Mapped[int]
    hold_key: Mapped[str | None]
    held: Mapped[int]


class FraudEvidence(Base):
    """A row of another table that a finding rests on, said in words; `row_id` is its number there."""

    __tablename__ = "fraud_evidence"
    __table_args__ = (UniqueConstraint("finding_id", "place"),)

    id: Mapped[Id]
    finding_id: Mapped[int] = mapped_column(ForeignKey("fraud_findings.id"))
    place: Mapped[int]
    table_name: Mapped[str]
    row_id: Mapped[int]
    said: Mapped[str]
    at: Mapped[datetime | None]
