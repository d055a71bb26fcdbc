"""The inbox: stored before it is acknowledged, claimed in lanes, done in the transaction of its effects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from handlers.talk.messages import SHARDS, Incoming, decode, encode
from handlers.talk.tables import InboxRow, InboxShard
from loyalty.storage import among
from loyalty.writing import write_rows

WAITING, DONE, ASIDE = 0, 1, 2
MAX_ERROR_CHARS = 2000
LANES_PER_CLAIM = 16


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message in the hands of one worker until its transaction ends; fresh when nobody has had it before."""

    id: int
    attempts: int
    received_at: datetime
    message: Incoming
    is_fresh: bool = True


def store(session: Session, messages: Iterable[Incoming], now: datetime) -> int:
    """Insert what is new; a key that is known changes nothing. Returns how many were offered."""
    rows = [inbox_values(message, now) for message in messages]
    write_rows(session, InboxRow, rows)
    return len(rows)


def inbox_values(message: Incoming, now: datetime) -> dict[str, object]:
    """The columns of one message."""
    return {
        "key": message.key,
        "shard": message.shard,
        "sender": message.sender,
        "body": encode(message).decode(),
        "received_at": now,
    }


def ensure_shards(session: Session) -> None:
    """Make the lanes exist; done once at a migration or first start."""
    known = set(session.scalars(select(InboxShard.shard)))
    missing = [{"shard": shard} for shard in range(SHARDS) if shard not in known]
    if missing:
        session.execute(insert(InboxShard), missing)


def claim(session: Session, limit: int, now: datetime, first_lane: int = 0) -> list[Claimed]:
    """Lock free lanes that have work and take their oldest messages, in order per sender.

    A lane's lock lasts as long as the transaction, so a worker that dies lets go by itself. A message that waits
    for another try holds back the later ones of its sender only.
    """
    lanes = _lock_lanes(session, first_lane, now)
    if not lanes:
        return []
    rows = session.execute(
        select(InboxRow.id, InboxRow.sender, InboxRow.attempts, InboxRow.due_at, InboxRow.received_at, InboxRow.body,
               InboxRow.error.is_(None).label("is_fresh"))
        .where(InboxRow.state == WAITING, among(InboxRow.shard, lanes))
        .order_by(InboxRow.id)
        .limit(limit)
    ).all()
    return _in_order(rows, now)


def claim_one(session: Session, message_id: int) -> Claimed | None:
    """Take one message alone, for the search of the one that fails; None when somebody else has done it."""
    shard = session.scalar(select(InboxRow.shard).where(InboxRow.id == message_id))
    session.scalar(select(InboxShard.shard).where(InboxShard.shard == shard).with_for_update())
    row = session.execute(
        select(InboxRow.id, InboxRow.attempts, InboxRow.received_at, InboxRow.body).where(
            InboxRow.id == message_id, InboxRow.state == WAITING
        )
    ).one_or_none()
    return None if row is None else Claimed(row.id, row.attempts, row.received_at, decode(row.body))


def finish(session: Session, ids: Sequence[int], now: datetime) -> None:
    """Mark messages done, in the same transaction as what they caused."""
    session.execute(update(InboxRow).where(among(InboxRow.id, ids)).values(state=DONE, done_at=now))


def wait_for_more(session: Session, ids: Sequence[int], due_at: datetime) -> None:
    """Leave the newest messages of a sender until `due_at`, or until the next one of the same sender comes."""
    session.execute(update(InboxRow).where(among(InboxRow.id, ids)).values(due_at=due_at))


def lease(session: Session, message_id: int, why: str, until: datetime) -> None:
    """Keep a message, and with it the later ones of its sender, for whoever works on it; free again `until` then."""
    session.execute(
        update(InboxRow)
        .where(InboxRow.id == message_id, InboxRow.state == WAITING)
        .values(error=why[:MAX_ERROR_CHARS], due_at=until)
    )


def put_off(session: Session, message_id: int, error: str, due_at: datetime) -> None:
    """Note a failed try; the message is taken again when due."""
    session.execute(
        update(InboxRow)
        .where(InboxRow.id == message_id, InboxRow.state == WAITING)
        .values(attempts=InboxRow.attempts + 1, error=error[:MAX_ERROR_CHARS], due_at=due_at)
    )


def put_aside(session: Session, message_id: int, error: str, now: datetime) -> None:
    """Set a message aside for a person to look at; nothing behind it waits any longer."""
    session.execute(
        update(InboxRow)
        .where(InboxRow.id == message_id, InboxRow.state == WAITING)
        .values(state=ASIDE, attempts=InboxRow.attempts + 1, error=error[:MAX_ERROR_CHARS], done_at=now)
    )


def retry_aside(session: Session, message_id: int) -> bool:
    """Take up a message again that was set aside; False where there is none such."""
    done = session.execute(
        update(InboxRow)
        .where(InboxRow.id == message_id, InboxRow.state == ASIDE)
        .values(state=WAITING, attempts=0, due_at=None, done_at=None)
        .returning(InboxRow.id)
    )
    return done.one_or_none() is not None


def set_aside(session: Session, limit: int = 100) -> Sequence[Row[int, str, int, str | None, datetime]]:
    """The messages that wait for a person: id, key, attempts, error, received_at."""
    return session.execute(
        select(InboxRow.id, InboxRow.key, InboxRow.attempts, InboxRow.error, InboxRow.received_at)
        .where(InboxRow.state == ASIDE)
        .order_by(InboxRow.id.desc())
        .limit(limit)
    ).all()


def depth(session: Session) -> dict[int, int]:
    """How many messages wait (0) and how many were set aside (2)."""
    rows = session.execute(
        select(InboxRow.state, func.count().label("count_"))
        .where(InboxRow.state.in_((WAITING, ASIDE)))
        .group_by(InboxRow.state)
    )
    return {WAITING: 0, ASIDE: 0} | {row.state: row.count_ for row in rows}


def _lock_lanes(session: Session, first_lane: int, now: datetime) -> list[int]:
    # Each worker begins at another lane, so that workers rarely meet and no lane starves.
    is_due = or_(InboxRow.due_at.is_(None), InboxRow.due_at <= now)
    has_work = exists().where(InboxRow.shard == InboxShard.shard, InboxRow.state == WAITING, is_due)
    return list(
        session.scalars(
            select(InboxShard.shard)
            .where(has_work)
            .order_by((InboxShard.shard - first_lane + SHARDS) % SHARDS)
            .limit(LANES_PER_CLAIM)
            .with_for_update(skip_locked=True, of=InboxShard)
        )
    )


def _in_order(rows: Sequence[Row[int, str, int, datetime | None, datetime, str, bool]], now: datetime) -> list[Claimed]:
    held_back: set[str] = set()
    newest = {row.sender: row for row in rows}
    claimed = []
    for row in rows:
        # Left without a failed try it waits for its companions, as long as the newest of them does.
        waits_with = newest[row.sender] if row.is_fresh and not row.attempts else row
        if row.sender in held_back or not (_is_due(row, now) or (waits_with is not row and _is_due(waits_with, now))):
            held_back.add(row.sender)
        else:
            claimed.append(Claimed(row.id, row.attempts, row.received_at, decode(row.body), row.is_fresh))
    return claimed


def _is_due(row: Row[int, str, int, datetime | None, datetime, str, bool], now: datetime) -> bool:
    return row.due_at is None or row.due_at <= now
