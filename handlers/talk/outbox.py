"""The outbox: what is to be done on the platform, written with its cause, sent later, at least once and in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import and_, bindparam, func, literal, or_, select, update
from sqlalchemy.orm import Session, aliased

from handlers.talk.tables import OutboxRow
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import write_rows

WAITING, SENT, FAILED, WITHDRAWN = 0, 1, 2, 3
MAX_ERROR_CHARS = 1000
RETRY = "retry"
"""The error class of a try that may have taken effect: no answer, a broken one, or a busy platform."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One thing to do on the platform. `kind` and `payload` are laid down in `handlers.talk.effects`.

    `key` is unique: the same cause writes it once. Rows of one `recipient` leave in the order they were written.
    `is_follow_up` marks what the person did not ask for: consent is looked at again when it is sent.
    """

    key: str
    kind: str
    recipient: str
    payload: dict[str, Any]
    member_id: int | None = None
    is_follow_up: bool = False
    trace: str = ""
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Leased:
    """An outbox row in the hands of one deliverer until its lease ends."""

    id: int
    key: str
    kind: str
    recipient: str
    payload: dict[str, Any] = field(repr=False)
    member_id: int | None
    is_follow_up: bool
    attempts: int
    trace: str
    created_at: datetime
    was_unanswered: bool = False


def add(session: Session, outgoing: Iterable[Outgoing], now: datetime) -> None:
    """Write rows; a key that is known changes nothing."""
    rows = [
        {
            "key": item.key,
            "kind": item.kind,
            "recipient": item.recipient,
            "member_id": item.member_id,
            "payload": msgspec.json.encode(item.payload).decode(),
            "is_follow_up": item.is_follow_up,
            "trace": item.trace,
            "created_at": now,
            "due_at": item.due_at or now,
        }
        for item in outgoing
    ]
    write_rows(session, OutboxRow, rows)


_OUTBOX: Final = table_of(OutboxRow)
# Built once, and on the table itself: for every answer sent, building it would cost more than running it.
_MARK_SENT: Final = (
    update(_OUTBOX)
    .where(_OUTBOX.c.id == bindparam("row"))
    .values(state=SENT, sent_at=bindparam("at"), platform_id=bindparam("platform"), leased_until=None, error="",
            error_class="")
)  # fmt: skip


def lease(session: Session, limit: int, now: datetime, lease_s: float) -> list[Leased]:
    """Take due rows for `lease_s` seconds; a deliverer that dies loses them when the lease ends.

    A row whose recipient has an earlier one that waits for another try or is in other hands is left, so that nobody
    hears the end of a sentence before its beginning.
    """
    earlier = aliased(OutboxRow)
    blocked = (
        select(earlier.id)
        .where(
            earlier.recipient == OutboxRow.recipient,
            earlier.state == WAITING,
            earlier.id < OutboxRow.id,
            or_(and_(earlier.due_at > now, earlier.attempts > 0), earlier.leased_until > now),
        )
        .exists()
    )
    is_free = or_(OutboxRow.leased_until.is_(None), OutboxRow.leased_until <= now)
    ids = list(
        session.scalars(
            select(OutboxRow.id)
            .where(OutboxRow.state == WAITING, OutboxRow.due_at <= now, is_free, ~blocked)
            .order_by(OutboxRow.due_at, OutboxRow.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=OutboxRow)
        )
    )
    ids = _without_gaps(session, ids, now)[:limit]
    if not ids:
        return []
    session.execute(
        update(OutboxRow)
        .where(among(OutboxRow.id, ids))
        .values(
            leased_until=now + timedelta(seconds=lease_s),
            attempts=OutboxRow.attempts + 1,
            # A lease that was never given back: whoever had the row died with it in hand.
            was_unanswered=or_(OutboxRow.was_unanswered, OutboxRow.leased_until.is_not(None)),
        )
    )
    rows = session.scalars(select(OutboxRow).where(among(OutboxRow.id, ids)).order_by(OutboxRow.id))
    return [_leased(row) for row in rows]


def mark_sent(session: Session, row_id: int, platform_id: str, now: datetime) -> None:
    """The platform has taken it."""
    session.execute(_MARK_SENT, {"row": row_id, "at": now, "platform": platform_id[:200]})


def mark_waiting(session: Session, row_id: int, error_class: str, error: str, due_at: datetime) -> None:
    """It will be tried again at `due_at`; the class says why it had to wait. A `retry` may have taken effect."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.id == row_id, OutboxRow.state == WAITING)
        .values(
            due_at=due_at,
            leased_until=None,
            error_class=error_class,
            error=error[:MAX_ERROR_CHARS],
            was_unanswered=or_(OutboxRow.was_unanswered, literal(error_class == RETRY)),
        )
    )


def mark_failed(session: Session, row_id: int, error_class: str, error: str, now: datetime) -> None:
    """It will never be taken; a person sees it with its error."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.id == row_id, OutboxRow.state == WAITING)
        .values(state=FAILED, sent_at=now, leased_until=None, error_class=error_class, error=error[:MAX_ERROR_CHARS])
    )


def release(session: Session, row_ids: Sequence[int]) -> None:
    """Let go of rows that were not tried; the try is not counted."""
    session.execute(
        update(OutboxRow)
        .where(among(OutboxRow.id, row_ids), OutboxRow.state == WAITING)
        .values(leased_until=None, attempts=OutboxRow.attempts - 1)
    )


def put_off(session: Session, row_id: int, why: str, due_at: datetime) -> None:
    """Let go of a row that shall leave later, with the reason; its tries are forgotten, so that others overtake it."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.id == row_id, OutboxRow.state == WAITING)
        .values(leased_until=None, attempts=0, due_at=due_at, error=why[:MAX_ERROR_CHARS])
    )


def withdraw(session: Session, row_ids: Sequence[int], why: str, now: datetime) -> None:
    """Take rows back before they leave, with the reason."""
    session.execute(
        update(OutboxRow)
        .where(among(OutboxRow.id, row_ids), OutboxRow.state == WAITING)
        .values(state=WITHDRAWN, sent_at=now, leased_until=None, error=why[:MAX_ERROR_CHARS])
    )


def next_due_at(session: Session) -> datetime | None:
    """The moment of the earliest row that waits, so that a deliverer knows how long it may rest."""
    return session.scalar(select(func.min(OutboxRow.due_at)).where(OutboxRow.state == WAITING))


def depth(session: Session) -> dict[int, int]:
    """How many rows wait (0) and how many failed for good (2)."""
    rows = session.execute(
        select(OutboxRow.state, func.count().label("count_"))
        .where(OutboxRow.state.in_((WAITING, FAILED)))
        .group_by(OutboxRow.state)
    )
    return {WAITING: 0, FAILED: 0} | {row.state: row.count_ for row in rows}


def _without_gaps(session: Session, ids: Sequence[int], now: datetime) -> list[int]:
    """These rows and what goes before them to the same recipients, in order, up to the first that others hold.

    An earlier row is left out of `ids` where the limit cut it off (it was put off, and so is due later), or where
    another deliverer has it locked and has not committed yet.
    """
    if not ids:
        return []
    later = aliased(OutboxRow)
    left_out = (
        select(OutboxRow.id, OutboxRow.recipient)
        .join(later, and_(later.recipient == OutboxRow.recipient, later.id > OutboxRow.id))
        .where(among(later.id, ids), OutboxRow.id.not_in(ids), OutboxRow.state == WAITING, OutboxRow.due_at <= now)
    )
    missing = {row.id: row.recipient for row in session.execute(left_out)}
    if not missing:
        return sorted(ids)
    free = select(OutboxRow.id).where(OutboxRow.id.in_(missing)).with_for_update(skip_locked=True, of=OutboxRow)
    held = missing.keys() - set(session.scalars(free))
    holds: dict[str, int] = {}
    for row_id in held:
        holds[missing[row_id]] = min(row_id, holds.get(missing[row_id], row_id))
    rows = session.execute(select(OutboxRow.id, OutboxRow.recipient).where(OutboxRow.id.in_([*ids, *missing])))
    return sorted(row.id for row in rows if row.id < holds.get(row.recipient, row.id + 1))


def _leased(row: OutboxRow) -> Leased:
    return Leased(
        row.id,
        row.key,
        row.kind,
        row.recipient,
        msgspec.json.decode(row.payload),
        row.member_id,
        row.is_follow_up,
        row.attempts,
        row.trace,
        row.created_at,
        row.was_unanswered,
    )
