"""Tables of follow-ups: runs (one per customer and occasion), timers, and touches with their reasons."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import Base, Id


class RunRow(Base):
    """A follow-up that was set off for a customer; `task` names it on cards.

    `state` is open (its time has not come), prompted, done, dismissed, skipped or stopped.
    """

    __tablename__ = "runs"
    id: Mapped[Id]
    sop: Mapped[str] = mapped_column(String(40))
    member_id: Mapped[int]
    task: Mapped[str] = mapped_column(String(80), unique=True)
    rep: Mapped[str] = mapped_column(String(64), server_default="")
    state: Mapped[str] = mapped_column(String(16))
    facts: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    prompts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    trace: Mapped[str] = mapped_column(String(40), server_default="")
    __table_args__ = (Index("ix_runs_member", "member_id", "sop"),)


class TimerRow(Base):
    """A step that is due at a moment; `state` 0 waits, 1 fired. The key makes planning it twice harmless."""

    __tablename__ = "timers"
    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(120), unique=True)
    slot: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    task: Mapped[str] = mapped_column(String(80))
    due_at: Mapped[datetime]
    state: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    __table_args__ = (
        Index("ix_timers_due", "slot", "due_at", sqlite_where=text("state = 0"), postgresql_where=text("state = 0")),
    )


class TouchRow(Base):
    """A touch that was made, put off or kept back, and the reason in words."""

    __tablename__ = "touches"
    id: Mapped[Id]
    task: Mapped[str] = mapped_column(String(80), index=True)
    sop: Mapped[str] = mapped_column(String(40))
    member_id: Mapped[int]
    rep: Mapped[str] = mapped_column(String(64), server_default="")
    decision: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime]
    __table_args__ = (Index("ix_touches_member", "member_id", "at"),)
