"""The only writer of points. Every call brings its key; the same key again gives the first answer and moves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from loyalty.accounts import AVAILABLE, AccountName, lock_accounts
from loyalty.earnings import Gain, earn_many
from loyalty.errors import UnknownTransfer
from loyalty.movements import Movement, Posted, earning, holding, lapsing, releasing, settling, spending
from loyalty.posting import post
from loyalty.tables import Account, Hold, Lot, LotUse, Transfer

__all__ = ["Gain", "Movement", "Posted", "earn", "earn_many", "earning", "expire_due", "hold", "holding", "post",
           "release", "release_due_holds", "reverse", "settle", "spend", "spending"]


def earn(session: Session, member_id: int, amount: int, *, key: str, reason: str, at: datetime, ref: str = "",
         expires_at: datetime | None = None, available_from: datetime | None = None,
         asset: str = "points") -> Posted:
    """Give a member points as one lot, pending before `available_from`; raises KeyReused, UnknownMember."""
    return _one(session, earning(member_id, amount, key, reason, ref, expires_at=expires_at,
                                 available_from=available_from, asset=asset), at)


def spend(session: Session, member_id: int, amount: int, *, key: str, reason: str, at: datetime, ref: str = "",
          asset: str = "points") -> Posted:
    """Take points from the lots that lapse first; raises NotEnough, KeyReused, UnknownMember."""
    return _one(session, spending(member_id, amount, key, reason, ref, asset=asset), at)


def hold(session: Session, member_id: int, amount: int, *, key: str, reason: str, until: datetime, at: datetime,
         ref: str = "", asset: str = "points") -> Posted:
    """Set points aside until settled, released or timed out; raises NotEnough, KeyReused, UnknownMember."""
    return _one(session, holding(member_id, amount, key, reason, ref, until=until, asset=asset), at)


def settle(session: Session, hold_key: str, *, key: str, at: datetime, reason: str = "settle", ref: str = "") -> Posted:
    """Spend the points of a hold; raises UnknownTransfer, HoldClosed (also when it timed out), KeyReused."""
    pending = _holds(session, Transfer.key == hold_key)
    if not pending:
        raise UnknownTransfer(hold_key)
    held = pending[0]
    return _one(session, settling(held.id, held.member_id, held.amount, key, reason, ref, held.asset), at)


def release(session: Session, hold_key: str, *, key: str, at: datetime, reason: str = "release",
            ref: str = "") -> Posted:
    """Give the points of a hold back to their lots; raises UnknownTransfer, HoldClosed, KeyReused."""
    pending = _holds(session, Transfer.key == hold_key)
    if not pending:
        raise UnknownTransfer(hold_key)
    held = pending[0]
    return _one(session, releasing(held.id, held.member_id, held.amount, key, reason, ref, held.asset), at)


def reverse(session: Session, transfer_id: int, *, key: str, at: datetime, reason: str = "reverse", ref: str = "",
            amount: int | None = None) -> Posted:
    """Take an earn or a spend back, whole or by `amount`.

    A spend goes back to the lots it burned, which keep their first expiry: what has lapsed meanwhile lapses again.
    An earn is taken from its own lot first. Raises UnknownTransfer, NotReversible, NotEnough, KeyReused.
    """
    debit, credit, whole = _sides(session, transfer_id)
    back_to = AccountName(debit.owner, debit.asset, AVAILABLE) if debit.of_member else debit
    part = whole if amount is None else amount
    return _one(session, Movement(key, credit, back_to, part, reason, ref, reverses=transfer_id), at)


def expire_due(session: Session, now: datetime, limit: int = 1000) -> int:
    """Sweep lots whose time is over, soonest first, at most `limit`; how many lapsed. Safe to run twice at once."""
    lot_ids = session.scalars(
        select(Lot.id).where(Lot.remaining > 0, Lot.expires_at <= now).order_by(Lot.expires_at, Lot.id).limit(limit)
    ).all()
    if not lot_ids:
        return 0
    lock_accounts(session, session.scalars(select(Lot.account_id).where(Lot.id.in_(lot_ids)).distinct()).all())
    uses = select(func.count()).where(LotUse.lot_id == Lot.id).scalar_subquery()
    rows = session.execute(
        select(Lot.id, Lot.remaining, Account.owner, Account.asset, uses.label("uses"))
        .join(Account, Account.id == Lot.account_id)
        .where(Lot.id.in_(lot_ids), Lot.remaining > 0)
        .order_by(Lot.expires_at, Lot.id)
    )
    # A lot lapses again when points come back to it later: the number of its uses tells one lapse from the next.
    due = [lapsing(row.owner, row.id, row.remaining, f"lapse:{row.id}:{row.uses}", row.asset) for row in rows]
    return sum(posted.new for posted in post(session, due, now))


def release_due_holds(session: Session, now: datetime, limit: int = 1000) -> int:
    """Release holds whose time is over, soonest first, at most `limit`; how many were released."""
    due = _holds(session, Hold.state == "pending", Hold.expires_at <= now, limit=limit)
    rows = [releasing(held.id, held.member_id, held.amount, f"timeout:{held.id}", "hold timed out", "", held.asset)
            for held in due]
    return sum(posted.new for posted in post(session, rows, now))


@dataclass(frozen=True, slots=True)
class _Held:
    id: int
    member_id: int
    amount: int
    asset: str


def _one(session: Session, movement: Movement, at: datetime) -> Posted:
    posted = post(session, [movement], at)[0]
    if posted.error is not None:
        raise posted.error
    return posted


def _holds(session: Session, *conditions: ColumnElement[bool], limit: int = 1) -> list[_Held]:
    rows = session.execute(
        select(Transfer.id, Account.owner, Transfer.amount, Transfer.asset)
        .join(Hold, Hold.transfer_id == Transfer.id)
        .join(Account, Account.id == Transfer.credit_id)
        .where(*conditions)
        .order_by(Hold.expires_at, Transfer.id)
        .limit(limit)
    )
    return [_Held(*row) for row in rows]


def _sides(session: Session, transfer_id: int) -> tuple[AccountName, AccountName, int]:
    debit, credit = aliased(Account), aliased(Account)
    row = session.execute(
        select(Transfer.asset, Transfer.amount, debit.owner, debit.kind, credit.owner, credit.kind)
        .join(debit, debit.id == Transfer.debit_id)
        .join(credit, credit.id == Transfer.credit_id)
        .where(Transfer.id == transfer_id)
    ).first()
    if row is None:
        raise UnknownTransfer(transfer_id)
    asset, amount, giver, from_kind, taker, to_kind = row
    return AccountName(giver, asset, from_kind), AccountName(taker, asset, to_kind), amount
