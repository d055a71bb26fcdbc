"""Tags on members, each with its source, time and expiry; every call works on many members at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from loyalty.people_tables import MemberTag
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import insert_into

_TAGS = table_of(MemberTag)


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag as one source set it; none in `expires_at`: it stays until it is removed."""

    tag: str
    source: str
    set_at: datetime
    expires_at: datetime | None


def set_tags(session: Session, pairs: Collection[tuple[int, str]], source: str, at: datetime,
             expires_at: datetime | None = None) -> None:
    """Put tags on members (pairs of member id and tag); again renews the expiry and keeps the first time.

    A tag of the same source that had expired begins anew.
    """
    if expires_at is not None and expires_at <= at:
        raise ValueError(f"tags that expire at {expires_at} when set at {at}; give a later moment, or none")
    rows = [{"member_id": member_id, "tag": tag, "source": source, "set_at": at, "expires_at": expires_at}
            for member_id, tag in sorted(set(pairs))]
    if not rows:
        return
    session.execute(delete(_TAGS).where(among(_TAGS.c.member_id, [row["member_id"] for row in rows]),
                                        _TAGS.c.source == source, _TAGS.c.expires_at <= at))
    statement = insert_into(session, MemberTag)
    session.execute(statement.on_conflict_do_update(
        index_elements=["member_id", "tag", "source"], set_={"expires_at": statement.excluded.expires_at}), rows)


def remove_tags(session: Session, member_ids: Collection[int], tags: Collection[str],
                source: str | None = None) -> int:
    """Take tags off members, of one source or of all; how many were there."""
    mine: list[ColumnElement[bool]] = [among(_TAGS.c.member_id, member_ids), among(_TAGS.c.tag, tags)]
    if source is not None:
        mine.append(_TAGS.c.source == source)
    return len(session.execute(delete(_TAGS).where(*mine).returning(_TAGS.c.member_id)).all())


def tags_of(session: Session, member_ids: Collection[int], now: datetime) -> dict[int, tuple[Tag, ...]]:
    """The tags of each member that has any, in the order they were set."""
    rows = session.execute(
        select(_TAGS).where(among(_TAGS.c.member_id, member_ids), _alive(now))
        .order_by(_TAGS.c.member_id, _TAGS.c.set_at, _TAGS.c.tag, _TAGS.c.source))
    found: dict[int, list[Tag]] = defaultdict(list)
    for row in rows:
        found[row.member_id].append(Tag(row.tag, row.source, row.set_at, row.expires_at))
    return {member_id: tuple(tags) for member_id, tags in found.items()}


def members_with(session: Session, tag: str, now: datetime, limit: int = 1000, after_id: int = 0) -> list[int]:
    """Members that have the tag from any source, by id; the next page is after the last one."""
    return list(session.scalars(
        select(_TAGS.c.member_id).distinct().where(_TAGS.c.tag == tag, _TAGS.c.member_id > after_id, _alive(now))
        .order_by(_TAGS.c.member_id).limit(limit)))


def drop_expired(session: Session, now: datetime) -> int:
    """Delete what has expired, for the ticker; how many tags."""
    return len(session.execute(delete(_TAGS).where(_TAGS.c.expires_at <= now).returning(_TAGS.c.member_id)).all())


def _alive(now: datetime) -> ColumnElement[bool]:
    return or_(_TAGS.c.expires_at.is_(None), _TAGS.c.expires_at > now)
