"""Tables of people beside members and identities: merges, hints, tags, acquisition, erasures, imports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.storage import PERSONAL, Base, Id, Moment


class Merge(Base):
    """Two members found to be one person: `other_id` became part of `keep_id`; undone when `undone_at` is set.

    `before` is what the two were, `after` what the kept one became, so that undoing restores both.
    """

    __tablename__ = "merges"
    __table_args__ = (
        Index("uq_merges_standing", "other_id", unique=True,
              postgresql_where=text("undone_at IS NULL"), sqlite_where=text("undone_at IS NULL")),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    keep_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    other_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    evidence: Mapped[str]
    at: Mapped[Moment]
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    after: Mapped[dict[str, Any]] = mapped_column(JSON)
    undone_key: Mapped[str | None] = mapped_column(unique=True)
    undone_at: Mapped[datetime | None]


class MergeMove(Base):
    """A row that a merge moved from one member to the other, by its primary key; undoing reads this."""

    __tablename__ = "merge_moves"
    __table_args__ = (Index(None, "table_name", "row_key"),)

    merge_id: Mapped[int] = mapped_column(ForeignKey("merges.id"), primary_key=True, autoincrement=False)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    column_name: Mapped[str] = mapped_column(primary_key=True)
    row_key: Mapped[str] = mapped_column(primary_key=True)


class Hint(Base):
    """Something a person shares with others at times (an unverified phone, name and address): never an identity."""

    __tablename__ = "hints"
    __table_args__ = (UniqueConstraint("kind", "value", "member_id"), {"info": PERSONAL})

    id: Mapped[Id]
    kind: Mapped[str]
    value: Mapped[str]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    evidence: Mapped[str]
    created_at: Mapped[Moment]


class MemberTag(Base):
    """A tag on a member as one source set it; sources do not overwrite each other."""

    __tablename__ = "member_tags"
    __table_args__ = (Index(None, "tag", "member_id"), {"info": PERSONAL})

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    tag: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    set_at: Mapped[Moment]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)


class Acquisition(Base):
    """Where a member came from at a moment: source and channel code; the first and the last one are what counts."""

    __tablename__ = "acquisitions"
    __table_args__ = (UniqueConstraint("member_id", "at", "source", "channel_code"),)

    id: Mapped[Id]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    source: Mapped[str] = mapped_column(index=True)
    channel_code: Mapped[str]
    at: Mapped[Moment]


class Erasure(Base):
    """A member whose person was forgotten; the member stays as the nameless owner of their ledger rows."""

    __tablename__ = "erasures"

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(index=True)
    at: Mapped[Moment]


class ErasedIdentity(Base):
    """Digest of an identity that was forgotten, so that no old file brings it back."""

    __tablename__ = "erased_identities"

    digest: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[Moment]


class ImportRun(Base):
    """How far a file was imported; the same content is known again by its digest."""

    __tablename__ = "imports"
    __table_args__ = (UniqueConstraint("kind", "digest"),)

    id: Mapped[Id]
    kind: Mapped[str]
    digest: Mapped[str]
    name: Mapped[str]
    rows: Mapped[int]
    new: Mapped[int]
    known: Mapped[int]
    rejected: Mapped[int]
    points: Mapped[int]
    rejected_bytes: Mapped[int]
    started_at: Mapped[Moment]
    finished_at: Mapped[datetime | None]
