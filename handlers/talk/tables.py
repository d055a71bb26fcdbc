"""Tables of talk: inbox, cursors, verdicts, corrections, dialogs, outbox, reps and whom they serve, pauses."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import PERSONAL, Base, Id


class InboxRow(Base):
    """A message as it was accepted; `state` 0 waits, 1 is done, 2 was put aside with its error."""

    __tablename__ = "inbox"
    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(200), unique=True)
    shard: Mapped[int] = mapped_column(SmallInteger)
    sender: Mapped[str] = mapped_column(String(128))
    body: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime]
    state: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    due_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    __table_args__ = (
        Index("ix_inbox_waiting", "shard", "id", sqlite_where=text("state = 0"), postgresql_where=text("state = 0")),
    )


class InboxShard(Base):
    """A lane of the inbox; whoever holds its row lock is the only one who works on it."""

    __tablename__ = "inbox_shards"
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)


class Cursor(Base):
    """How far a source (a kf account, the archive) was read, and whether it has said that there is more."""

    __tablename__ = "cursors"
    source: Mapped[str] = mapped_column(String(100), primary_key=True)
    position: Mapped[str] = mapped_column(String(200), server_default="")
    token: Mapped[str] = mapped_column(String(200), server_default="")
    signalled_at: Mapped[datetime | None]
    pulled_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]


class VerdictRow(Base):
    """What was understood of a message and what was decided: acted, answered, deferred or silent, and why."""

    __tablename__ = "verdicts"
    id: Mapped[Id]
    message_key: Mapped[str] = mapped_column(String(200), unique=True)
    member_id: Mapped[int | None] = mapped_column(index=True)
    channel: Mapped[str] = mapped_column(String(16))
    chat: Mapped[str] = mapped_column(String(160))
    text: Mapped[str] = mapped_column(Text, info=PERSONAL)
    scenarios: Mapped[str] = mapped_column(Text)
    reasons: Mapped[str] = mapped_column(Text, info=PERSONAL)
    decision: Mapped[str] = mapped_column(String(16))
    why: Mapped[str] = mapped_column(String(200))
    model: Mapped[str] = mapped_column(String(32), server_default="")
    at: Mapped[datetime]
    trace: Mapped[str] = mapped_column(String(40), server_default="")


class CorrectionRow(Base):
    """A person's word that a verdict was wrong; it flows into the next training."""

    __tablename__ = "corrections"
    id: Mapped[Id]
    message_key: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    scenario: Mapped[str] = mapped_column(String(40))
    is_right: Mapped[bool]
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    __table_args__ = (Index("uq_corrections_one", "message_key", "scenario", "by", unique=True),)


class DialogRow(Base):
    """The open dialog of one person in one chat; it belongs to nobody else."""

    __tablename__ = "dialogs"
    member_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chat: Mapped[str] = mapped_column(String(160), primary_key=True)
    step: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime]
    __table_args__ = {"info": PERSONAL}


class OutboxRow(Base):
    """Something to be done on the platform; `state` 0 waits, 1 was sent, 2 failed for good, 3 was withdrawn.

    `was_unanswered` stays once a try has ended without an answer: it may have taken effect.
    """

    __tablename__ = "outbox"
    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(24))
    recipient: Mapped[str] = mapped_column(String(160))
    payload: Mapped[str] = mapped_column(Text)
    member_id: Mapped[int | None]
    is_follow_up: Mapped[bool] = mapped_column(server_default=text("false"))
    trace: Mapped[str] = mapped_column(String(40), server_default="")
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    state: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    leased_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    was_unanswered: Mapped[bool] = mapped_column(server_default=text("false"))
    platform_id: Mapped[str] = mapped_column(String(200), server_default="")
    error_class: Mapped[str] = mapped_column(String(16), server_default="")
    error: Mapped[str] = mapped_column(Text, server_default="")
    __table_args__ = (
        Index("ix_outbox_waiting", "due_at", "id", sqlite_where=text("state = 0"), postgresql_where=text("state = 0")),
        Index("ix_outbox_order", "recipient", "id", sqlite_where=text("state = 0"), postgresql_where=text("state = 0")),
    )


class RepRow(Base):
    """A member of staff whom the service may prompt."""

    __tablename__ = "reps"
    userid: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), server_default="")
    left_at: Mapped[datetime | None]


class ServingRow(Base):
    """Who serves whom: a contact between a rep and a customer, until one of them deletes it."""

    __tablename__ = "servings"
    userid: Mapped[str] = mapped_column(String(64), primary_key=True)
    external_userid: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    since: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str] = mapped_column(String(16), server_default="")
    channel_code: Mapped[str] = mapped_column(String(64), server_default="")


class ChatRow(Base):
    """A customer group and the name it goes by."""

    __tablename__ = "chats"
    chat: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), server_default="")
    owner: Mapped[str] = mapped_column(String(64), server_default="")


class ChatMemberRow(Base):
    """Who sits in a customer group, as the join and leave events tell."""

    __tablename__ = "chat_members"
    chat: Mapped[str] = mapped_column(String(64), primary_key=True)
    person: Mapped[str] = mapped_column(String(64), primary_key=True)
    joined_at: Mapped[datetime]
    left_at: Mapped[datetime | None]


class PauseRow(Base):
    """The bot keeps still towards this customer here: a person has taken over."""

    __tablename__ = "pauses"
    member_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chat: Mapped[str] = mapped_column(String(160), primary_key=True)
    until: Mapped[datetime]
    why: Mapped[str] = mapped_column(String(64))
