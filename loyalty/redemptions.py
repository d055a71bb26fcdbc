"""Points for a reward: checked again at the commit, settled from lots, undone or verified at most once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, cast, func, select, update
from sqlalchemy.orm import Session

from loyalty.accounts import lock_member
from loyalty.balances import balance_of
from loyalty.customers import profiles
from loyalty.errors import (
    CodeUsed,
    KeyReused,
    LimitReached,
    LoyaltyError,
    NotEnough,
    NotUndoable,
    RewardClosed,
    TierTooLow,
    UnknownCode,
)
from loyalty.ledger import Posted, reverse, spend
from loyalty.programme import Programme, Reward
from loyalty.rewards import return_pieces, take_pieces
from loyalty.tables import Redemption, table_of
from loyalty.writing import body_hash, insert_new

CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without 0/O, 1/I/L and U: a code is read aloud over a counter."""
CODE_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A redemption that went through; `balance` is what is available now."""

    id: int
    code: str
    reward_id: str
    name: str
    quantity: int
    cost: int
    balance: int
    handover: str
    undo_until: datetime


@dataclass(frozen=True, slots=True)
class Undone:
    """A redemption taken back: `returned` points went to their lots, `balance` is what is available now."""

    id: int
    name: str
    quantity: int
    returned: int
    balance: int


@dataclass(frozen=True, slots=True)
class Verified:
    """A code that was handed in: what to give the customer."""

    id: int
    code: str
    member_id: int
    reward_id: str
    name: str
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True)
class RedemptionEntry:
    """One redemption in a member's list; state is issued, verified, shipped or undone."""

    id: int
    code: str
    reward_id: str
    name: str
    quantity: int
    cost: int
    state: str
    at: datetime
    undo_until: datetime


def redeem(session: Session, member_id: int, reward_id: str, quantity: int, key: str, programme: Programme,
           at: datetime) -> Redeemed:
    """Take the points and one piece each, and issue a code; the same key again gives the same redemption.

    Raises UnknownReward, RewardClosed, TierTooLow, LimitReached, NotEnough, OutOfStock, UnknownMember, KeyReused;
    then nothing was written.
    """
    lock_member(session, member_id, "points")
    known = _one(session, Redemption.key == key)
    if known is not None:
        return _redeemed_before(session, known, member_id, reward_id, quantity, at)
    reward = programme.reward(reward_id)
    _check(session, member_id, reward, quantity, programme, at)
    cost = reward.cost_points * quantity
    available = balance_of(session, member_id, at).available
    if available < cost:
        raise NotEnough(cost - available, available)
    take_pieces(session, reward, quantity, at)
    paid = _pay(session, member_id, reward, quantity, key, at)
    row = _new_row(key, member_id, reward, quantity, paid.id, at, at + timedelta(minutes=programme.undo_within_min))
    made = _insert_with_code(session, row)
    return Redeemed(made.id, made.code, reward.id, reward.name, quantity, cost, available - cost, reward.handover,
                    row["undo_until"])


def undo(session: Session, redemption_id: int, member_id: int, key: str, programme: Programme, at: datetime) -> Undone:
    """Give the points back to their lots and the pieces to the stock; the same key again gives the same answer.

    Raises UnknownCode where the member has no such redemption, NotUndoable where it is late, verified, shipped or
    undone before. Points whose lot has lapsed meanwhile are lapsed.
    """
    lock_member(session, member_id, "points")
    row = _one(session, (Redemption.id == redemption_id) & (Redemption.member_id == member_id))
    if row is None:
        raise UnknownCode(redemption_id)
    again = row.state == "undone" and row.ended_key == key
    if not again:
        if row.state == "issued" and at > row.undo_until:
            raise NotUndoable("late")
        if not _end(session, Redemption.id == redemption_id, "undone", key, at):
            raise NotUndoable(_state(session, redemption_id))
        reverse(session, row.transfer_id, key=f"undo:{redemption_id}", reason="undo", ref=row.reward_id, at=at)
        return_pieces(session, row.reward_id, row.quantity)
    return Undone(row.id, row.name, row.quantity, row.cost, balance_of(session, member_id, at).available)


def verify(session: Session, code: str, key: str, at: datetime) -> Verified:
    """Use up a code (核销), once even under a race; the same key again gives the same answer.

    Spaces, dashes and small letters do not matter. Raises UnknownCode, CodeUsed.
    """
    wanted = "".join(letter for letter in code.upper() if letter.isalnum())
    _end(session, Redemption.code == wanted, "verified", key, at)
    row = _one(session, Redemption.code == wanted)
    if row is None:
        raise UnknownCode(code)
    if row.state != "verified" or row.ended_key != key:
        raise CodeUsed(row.code, row.state, row.ended_at)
    return Verified(row.id, row.code, row.member_id, row.reward_id, row.name, row.quantity, row.ended_at)


def of_member(session: Session, member_id: int, limit: int = 10) -> list[RedemptionEntry]:
    """The member's redemptions, newest first."""
    r = Redemption
    rows = session.execute(
        select(r.id, r.code, r.reward_id, r.name, r.quantity, r.cost, r.state, r.at, r.undo_until)
        .where(r.member_id == member_id).order_by(r.id.desc()).limit(limit)
    )
    return [RedemptionEntry(*row) for row in rows]


def new_code() -> str:
    """A code nobody can guess, of letters nobody can mix up."""
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))


def _check(session: Session, member_id: int, reward: Reward, quantity: int, programme: Programme, at: datetime) -> None:
    if quantity < 1:
        raise ValueError(f"quantity {quantity}: redeem at least 1")
    if not reward.is_open(at):
        raise RewardClosed(reward.id, reward.open_from, reward.open_to)
    if reward.tier is not None:
        tier = profiles(session, [member_id])[member_id].tier
        if programme.tier_rank(tier) < programme.tier_rank(reward.tier):
            raise TierTooLow(reward.id, reward.tier, tier)
    if reward.per_member is not None:
        taken = _taken(session, member_id, reward.id)
        if taken + quantity > reward.per_member:
            raise LimitReached(reward.id, reward.per_member, taken)


def _pay(session: Session, member_id: int, reward: Reward, quantity: int, key: str, at: datetime) -> Posted:
    """Spend the points; where somebody else takes the key in this very moment, the pieces go back first."""
    cost = reward.cost_points * quantity
    try:
        return spend(session, member_id, cost, key=f"redeem:{key}", reason="redeem", ref=reward.id, at=at)
    except LoyaltyError:
        return_pieces(session, reward.id, quantity)
        raise


def _taken(session: Session, member_id: int, reward_id: str) -> int:
    pieces = func.coalesce(cast(func.sum(Redemption.quantity), BigInteger), 0)
    mine = (Redemption.member_id == member_id, Redemption.reward_id == reward_id, Redemption.state != "undone")
    return session.scalar(select(pieces).where(*mine)) or 0


def _redeemed_before(session: Session, row: Row[Any], member_id: int, reward_id: str, quantity: int,
                     at: datetime) -> Redeemed:
    first, other = (row.member_id, row.reward_id, row.quantity), (member_id, reward_id, quantity)
    if first != other:
        raise KeyReused(row.key, body_hash(first), body_hash(other))
    return Redeemed(row.id, row.code, row.reward_id, row.name, row.quantity, row.cost,
                    balance_of(session, member_id, at).available, row.handover, row.undo_until)


def _new_row(key: str, member_id: int, reward: Reward, quantity: int, transfer_id: int, at: datetime,
             undo_until: datetime) -> dict[str, Any]:
    return {
        "key": key, "member_id": member_id, "reward_id": reward.id, "name": reward.name, "handover": reward.handover,
        "quantity": quantity, "cost": reward.cost_points * quantity, "state": "issued", "transfer_id": transfer_id,
        "at": at, "undo_until": undo_until,
    }


def _insert_with_code(session: Session, row: dict[str, Any]) -> Row[Any]:
    for _ in range(5):
        made = insert_new(session, Redemption, [row | {"code": new_code()}], ["id", "code"])
        if made:
            return made[0]
    raise RuntimeError("five random codes in a row were taken: the random source is broken")


def _end(session: Session, which: ColumnElement[bool], state: str, key: str, at: datetime) -> bool:
    """Move an issued redemption to its end state; of any number at once, one succeeds."""
    statement = (
        update(table_of(Redemption)).where(which, Redemption.state == "issued")
        .values(state=state, ended_key=key, ended_at=at).returning(Redemption.id)
    )
    return session.execute(statement).first() is not None


def _one(session: Session, which: ColumnElement[bool]) -> Row[Any] | None:
    return session.execute(select(table_of(Redemption)).where(which)).first()


def _state(session: Session, redemption_id: int) -> str:
    return session.scalar(select(Redemption.state).where(Redemption.id == redemption_id)) or "gone"
