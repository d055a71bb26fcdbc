"""Tables of follow-ups: runs (one per customer and occasion), timers, touches with reasons, and what feeds them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import Base, Id


class RunRow(Base):
    """A follow-up that was set off for a customer; `task` names it on cards.

    `state` is open (its time has not come), waiting (for an event), prompted, done, dismissed, skipped or stopped.
    `step` is the path of the step it stands at; `moves` counts its timers, so that only the newest one
    counts; `again` counts the prompts of the step it stands at, `effects` what it has done in all.
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
    step: Mapped[str] = mapped_column(String(64), server_default="")
    waits_for: Mapped[str] = mapped_column(String(64), server_default="")
    moves: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    again: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    effects: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    __table_args__ = (Index("ix_runs_member", "member_id", "sop"),)


class TimerRow(Base):
    """A step that is due at a moment; `state` 0 waits, 1 fired, 2 is held back while its follow-up is paused.

    The key makes planning it twice harmless.
    """

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
    """A touch that was made, put off or kept back, and the reason in words.

    `weighs` 1 counts against the person's budget; `channel` is rep, kf, oa, mass, welcome, call or sms.
    """

    __tablename__ = "touches"
    id: Mapped[Id]
    task: Mapped[str] = mapped_column(String(80), index=True)
    sop: Mapped[str] = mapped_column(String(40))
    member_id: Mapped[int]
    rep: Mapped[str] = mapped_column(String(64), server_default="")
    decision: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime]
    step: Mapped[str] = mapped_column(String(64), server_default="")
    channel: Mapped[str] = mapped_column(String(16), server_default="")
    weighs: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    __table_args__ = (Index("ix_touches_member", "member_id", "at"),)


class HappeningRow(Base):
    """Something that happened to a member and may set off or wake follow-ups; `state` 0 waits, 1 was taken."""

    __tablename__ = "happenings"
    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(64))
    member_id: Mapped[int]
    data: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    state: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    __table_args__ = (
        Index("ix_happenings_waiting", "id", sqlite_where=text("state = 0"), postgresql_where=text("state = 0")),
    )


class WatermarkRow(Base):
    """How far a source of happenings was read, or on which day a sweep was made last."""

    __tablename__ = "followup_watermarks"
    source: Mapped[str] = mapped_column(String(100), primary_key=True)
    upto: Mapped[int]
    at: Mapped[datetime]


class AssignmentRow(Base):
    """A person's variant in an experiment, for good; whatever reaches the goal after `at` and up to `until` counts."""

    __tablename__ = "followup_assignments"
    experiment: Mapped[str] = mapped_column(String(40), primary_key=True)
    member_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sop: Mapped[str] = mapped_column(String(40))
    variant: Mapped[str] = mapped_column(String(40))
    at: Mapped[datetime]
    until: Mapped[datetime]
    __table_args__ = (Index("ix_followup_assignments_until", "experiment", "until"),)


class PauseSopRow(Base):
    """A follow-up that was put on hold by a person: nobody enters, what is due waits."""

    __tablename__ = "followup_pauses"
    sop: Mapped[str] = mapped_column(String(40), primary_key=True)
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(64), server_default="")


class InviteRow(Base):
    """A contact-way link that says who brought the friend: `code` comes back as the state of the new contact."""

    __tablename__ = "invites"
    code: Mapped[str] = mapped_column(String(30), primary_key=True)
    member_id: Mapped[int]
    task: Mapped[str] = mapped_column(String(80), unique=True)
    rep: Mapped[str] = mapped_column(String(64))
    link: Mapped[str] = mapped_column(String(512), server_default="")
    config_id: Mapped[str] = mapped_column(String(100), server_default="")
    made_at: Mapped[datetime]
