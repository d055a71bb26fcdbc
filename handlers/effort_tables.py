"""The table of effort: what a conversation cost the customer and what the company did for them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Float, Index, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import Base, Id


class EffortRow(Base):
    """One service step of one customer in one chat, from the first message about it to the last; lower is better."""

    __tablename__ = "efforts"
    id: Mapped[Id]
    message_key: Mapped[str] = mapped_column(String(200), unique=True)
    member_id: Mapped[int]
    chat: Mapped[str] = mapped_column(String(160))
    channel: Mapped[str] = mapped_column(String(16))
    step: Mapped[str] = mapped_column(String(40))
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    messages: Mapped[int] = mapped_column(SmallInteger)
    repeats: Mapped[int] = mapped_column(SmallInteger)
    wait_min: Mapped[int] = mapped_column(SmallInteger)
    transfers: Mapped[int] = mapped_column(SmallInteger)
    reentries: Mapped[int] = mapped_column(SmallInteger)
    prefilled: Mapped[int] = mapped_column(SmallInteger)
    proactive: Mapped[int] = mapped_column(SmallInteger)
    at_once: Mapped[int] = mapped_column(SmallInteger)
    score: Mapped[float] = mapped_column(Float)
    __table_args__ = (Index("ix_efforts_step", "step", "began_at"), Index("ix_efforts_member", "member_id", "began_at"))
