"""Tables of what the brand's own systems are told: who listens, what happened, and what each was sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import Base, Id, Moment


class WebhookSubscription(Base):
    """A system that listens: where, to which kinds of event, and the secret its messages are signed with."""

    __tablename__ = "webhook_subscriptions"

    id: Mapped[Id]
    client: Mapped[str]
    url: Mapped[str]
    kinds: Mapped[list[Any]] = mapped_column(JSON)
    secret: Mapped[str]
    created_at: Mapped[Moment]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]


class WebhookEvent(Base):
    """Something that happened, once under `key`; `lapses_at` stands only with points that are about to lapse."""

    __tablename__ = "webhook_events"
    __table_args__ = (Index(None, "member_id", "lapses_at"),)

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    member_id: Mapped[int]
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    lapses_at: Mapped[datetime | None]
    at: Mapped[Moment]


class WebhookDelivery(Base):
    """One event for one subscription; state is waiting, delivered or failed."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("subscription_id", "event_id"),
        Index("ix_webhook_deliveries_due", "due_at",
              postgresql_where=text("state = 'waiting'"), sqlite_where=text("state = 'waiting'")),
    )

    id: Mapped[Id]
    subscription_id: Mapped[int] = mapped_column(ForeignKey("webhook_subscriptions.id"))
    event_id: Mapped[int] = mapped_column(ForeignKey("webhook_events.id"), index=True)
    state: Mapped[str]
    attempts: Mapped[int]
    due_at: Mapped[Moment]
    leased_until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    answer: Mapped[str]


class WebhookCursor(Base):
    """How far one source of events has been read, and the horizon behind which it is complete."""

    __tablename__ = "webhook_cursors"

    source: Mapped[str] = mapped_column(primary_key=True)
    done_id: Mapped[int]
    to_id: Mapped[int]
    xid: Mapped[int]
