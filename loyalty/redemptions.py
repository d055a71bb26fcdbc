"""Points for a reward: checked again at the commit, settled from lots, undone or verified at most once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Row, and_, bindparam, cast, func, or_, select, update
from sqlalchemy.orm import Session

from loyalty import coupons
from loyalty.accounts import CHANCES, lock_member
from loyalty.balances import balance_of
from loyalty.codes import (
    CODE_LENGTH,
    CODE_LETTERS,
    is_well_typed,
    new_code,
    plain_code,
    reserve_codes,
    take_codes,
)
from loyalty.customers import profiles
from loyalty.days import local_day, midnight_after, month_start
from loyalty.errors import (
    CodeLapsed,
    CodeUsed,
    KeyReused,
    LimitReached,
    LoyaltyError,
    MistypedCode,
    NotEnough,
    NotUndoable,
    RewardClosed,
    TierTooLow,
    UnknownCode,
)
from loyalty.handover import Links, check_link, sentence
from loyalty.ledger import earn, reverse, spend
from loyalty.plans import buy
from loyalty.programme import Programme, Reward
from loyalty.red_packets import cancel_packet, order_packet
from loyalty.rewards import return_pieces, take_back, take_pieces
from loyalty.storage import among
from loyalty.tables import Redemption, Transfer, table_of
from loyalty.writing import body_hash, insert_new

__all__ = ["CODE_LENGTH", "CODE_LETTERS", "Redeemed", "RedemptionEntry", "Undone", "Verified", "grant", "lapse_due",
           "of_member", "redeem", "ship", "undo", "verify"]

_HANDED_IN = and_(Redemption.kind.not_in(["coupon", "lottery"]), Redemption.way.not_in(["red_packet", "exchange"]))
"""Redemptions whose code is handed in; the others gave something else."""

_ROWS = table_of(Redemption).c
_OF_MEMBER = (  # asked at every look at the rewards: building it would cost more than running it
    select(_ROWS.id, _ROWS.code, _ROWS.reward_id, _ROWS.name, _ROWS.quantity, _ROWS.cost, _ROWS.state, _ROWS.at,
           _ROWS.undo_until)
    .where(_ROWS.member_id == bindparam("member")).order_by(_ROWS.id.desc()).limit(bindparam("most", type_=Integer))
)


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
    """One redemption in a member's list; state is issued, delivered, verified, shipped, undone, lapsed or failed."""

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
           at: datetime, links: Links | None = None) -> Redeemed:
    """Take the points and one piece each, and hand over as the reward says; the same key again gives the same.

    `links` signs the tokens of jump links and pages. Raises UnknownReward, RewardClosed, TierTooLow, LimitReached,
    NotEnough, OutOfStock, UnknownMember, KeyReused, what a coupon's type refuses, and ProgrammeError where a link
    needs a key; then nothing was written.
    """
    lock_member(session, member_id, "points")
    known = _one(session, Redemption.key == key)
    if known is not None:
        return _redeemed_before(session, known, member_id, reward_id, quantity, at, links)
    reward = programme.reward(reward_id)
    check_link(reward, links)
    _check(session, member_id, reward, quantity, programme, at)
    cost = reward.cost_points * quantity
    available = balance_of(session, member_id, at).available
    if available < cost:
        raise NotEnough(cost - available, available)
    row = _hand_over(session, member_id, reward, quantity, key, programme, at, cost)
    return _redeemed(session, row, available - cost, links)


def grant(session: Session, member_id: int, reward_id: str, key: str, programme: Programme, at: datetime,
          links: Links | None = None) -> Redeemed:
    """Hand over one piece of a reward for nothing, as a prize: stock counts, limits, tiers and dates do not.

    Raises UnknownReward, OutOfStock, UnknownMember, KeyReused, and what a coupon's type refuses; then nothing was
    written.
    """
    lock_member(session, member_id, "points")
    known = _one(session, Redemption.key == key)
    if known is not None:
        return _redeemed_before(session, known, member_id, reward_id, 1, at, links)
    reward = programme.reward(reward_id)
    check_link(reward, links)
    row = _hand_over(session, member_id, reward, 1, key, programme, at, 0)
    return _redeemed(session, row, balance_of(session, member_id, at).available, links)


def undo(session: Session, redemption_id: int, member_id: int, key: str, programme: Programme, at: datetime) -> Undone:
    """Give the points back to their lots and the pieces to the stock; the same key again gives the same answer.

    Raises UnknownCode where the member has no such redemption, NotUndoable where it is late, was a prize, has been
    verified, shipped, delivered or undone, or where what it gave is used. Points whose lot has lapsed meanwhile are
    lapsed.
    """
    lock_member(session, member_id, "points")
    mine = (Redemption.id == redemption_id) & (Redemption.member_id == member_id)
    row = _one(session, mine)
    if row is None:
        raise UnknownCode(redemption_id)
    if row.state != "undone" or row.ended_key != key:
        _check_undo(row, at)
        _withdraw(session, row, at)
        if not take_back(session, mine, "undone", key, at, "undo"):
            raise NotUndoable(_state(session, redemption_id))
    return Undone(row.id, row.name, row.quantity, row.cost, balance_of(session, member_id, at).available)


def verify(session: Session, code: str, key: str, at: datetime) -> Verified:
    """Use up a code (核销), once even under a race; the same key again gives the same answer.

    Spaces, dashes and small letters do not matter. Raises UnknownCode (MistypedCode where a letter must be wrong),
    CodeUsed (CodeLapsed where its time is over).
    """
    wanted = plain_code(code)
    _end(session, (Redemption.code == wanted) & _HANDED_IN & _in_time(at), "verified", key, at)
    row = _one(session, (Redemption.code == wanted) & _HANDED_IN)
    if row is None:
        raise UnknownCode(code) if is_well_typed(wanted) else MistypedCode(code)
    if row.state in ("issued", "lapsed"):
        raise CodeLapsed(row.code, "lapsed", row.expires_at)
    if row.state != "verified" or row.ended_key != key:
        raise CodeUsed(row.code, row.state, row.ended_at)
    return Verified(row.id, row.code, row.member_id, row.reward_id, row.name, row.quantity, row.ended_at)


def ship(session: Session, redemption_id: int, key: str, at: datetime) -> None:
    """Note that the parcel left: nothing is undone any more; the same key again changes nothing.

    Raises UnknownCode, CodeUsed.
    """
    _end(session, (Redemption.id == redemption_id) & (Redemption.way == "ship"), "shipped", key, at)
    row = _one(session, (Redemption.id == redemption_id) & (Redemption.way == "ship"))
    if row is None:
        raise UnknownCode(redemption_id)
    if row.state != "shipped" or row.ended_key != key:
        raise CodeUsed(row.code, row.state, row.ended_at)


def lapse_due(session: Session, now: datetime, limit: int = 1000) -> int:
    """End redemptions whose code was not used in time, soonest first, at most `limit`; how many ended.

    Points go back where the reward says so; the pieces go back to the stock either way.
    """
    due = session.execute(
        select(Redemption.id, Redemption.lapse_returns, Redemption.member_id)
        .where(Redemption.state == "issued", Redemption.expires_at <= now)
        .order_by(Redemption.expires_at, Redemption.id).limit(limit).with_for_update(skip_locked=True)).all()
    back, kept = ([row.id for row in due if row.lapse_returns is flag] for flag in (True, False))
    ended = take_back(session, among(Redemption.id, back), "lapsed", "lapse", now, "code lapsed") if back else 0
    if kept:
        ended += take_back(session, among(Redemption.id, kept), "lapsed", "lapse", now, "code lapsed", points=False)
    return ended


def of_member(session: Session, member_id: int, limit: int = 10) -> list[RedemptionEntry]:
    """The member's redemptions, newest first."""
    rows = session.execute(_OF_MEMBER, {"member": member_id, "most": limit})
    return [RedemptionEntry(*row) for row in rows]


def _check(session: Session, member_id: int, reward: Reward, quantity: int, programme: Programme, at: datetime) -> None:
    if quantity < 1:
        raise ValueError(f"quantity {quantity}: redeem at least 1")
    if not reward.is_open(at):
        raise RewardClosed(reward.id, reward.open_from, reward.open_to)
    if reward.tier is not None:
        tier = profiles(session, [member_id])[member_id].tier
        if programme.tier_rank(tier) < programme.tier_rank(reward.tier):
            raise TierTooLow(reward.id, reward.tier, tier)
    month = month_start(at, programme.zone)
    for limit, since in ((reward.per_member, None), (reward.per_member_month, month)):
        if limit is not None:
            taken = _taken(session, member_id, reward.id, since)
            if taken + quantity > limit:
                raise LimitReached(reward.id, limit, taken)


def _hand_over(session: Session, member_id: int, reward: Reward, quantity: int, key: str, programme: Programme,
               at: datetime, cost: int) -> Row[Any]:
    """Take pieces, codes and points and give what the reward gives; a refusal puts everything back first."""
    reserved = reserve_codes(session, reward, quantity, at) if reward.pool is not None else []
    take_pieces(session, reward, quantity, at)
    source = f"redemption:{key}"
    try:
        if reward.coupon is not None:
            for number in range(quantity):
                coupons.issue(session, member_id, reward.coupon, f"{source}:{number}", programme, at, source)
        paid = spend(session, member_id, cost, key=f"redeem:{key}", reason="redeem", ref=reward.id,
                     at=at) if cost else None
    except LoyaltyError:
        # Where somebody else takes the key in this very moment, or the coupon's type refuses.
        coupons.retract(session, source)
        return_pieces(session, reward.id, quantity)
        raise
    row = _insert_with_code(session, _new_row(key, member_id, reward, quantity, cost, programme, at,
                                              paid.id if paid else None))
    if reserved:
        take_codes(session, reserved, row.id, at)
    _fulfil(session, row, reward, programme, at)
    return row


def _fulfil(session: Session, row: Row[Any], reward: Reward, programme: Programme, at: datetime) -> None:
    """Give what needs no code: chances, a plan, a red packet."""
    if reward.chances is not None:
        earn(session, row.member_id, reward.chances * row.quantity, key=f"chances:{row.id}", reason="redeem",
             ref=reward.id, at=at, asset=CHANCES)
    if reward.plan is not None:
        for number in range(row.quantity):
            buy(session, row.member_id, reward.plan, 0, f"redemption:{row.id}:{number}", programme, at)
    if reward.way == "red_packet":
        order_packet(session, row.member_id, reward.value_fen * row.quantity, reward.name, f"redemption:{row.id}", at,
                     row.id)


def _check_undo(row: Row[Any], at: datetime) -> None:
    if row.state != "issued":
        raise NotUndoable(row.state)
    if row.transfer_id is None:
        raise NotUndoable("a prize")
    if at > row.undo_until:
        raise NotUndoable("late")
    if row.expires_at is not None and row.expires_at <= at:
        raise NotUndoable("lapsed")


def _withdraw(session: Session, row: Row[Any], at: datetime) -> None:
    """Take back what was given beside the code; raises NotUndoable where the member has used it."""
    if row.kind == "coupon" and not coupons.void(session, f"redemption:{row.key}", at):
        raise NotUndoable("used")
    if row.way == "red_packet" and not cancel_packet(session, row.id, at):
        raise NotUndoable("sent")
    if row.kind == "lottery":
        given = session.scalar(select(Transfer.id).where(Transfer.key == f"chances:{row.id}"))
        try:
            reverse(session, given or 0, key=f"undo-chances:{row.id}", reason="undo", ref=row.reward_id, at=at)
        except NotEnough as error:
            raise NotUndoable("used") from error


def _in_time(at: datetime) -> ColumnElement[bool]:
    return or_(Redemption.expires_at.is_(None), Redemption.expires_at > at)


def _taken(session: Session, member_id: int, reward_id: str, since: datetime | None) -> int:
    pieces = func.coalesce(cast(func.sum(Redemption.quantity), BigInteger), 0)
    mine = [Redemption.member_id == member_id, Redemption.reward_id == reward_id,
            Redemption.state.not_in(["undone", "failed"]), Redemption.transfer_id.is_not(None)]
    if since is not None:
        mine.append(Redemption.at >= since)
    return session.scalar(select(pieces).where(*mine)) or 0


def _redeemed_before(session: Session, row: Row[Any], member_id: int, reward_id: str, quantity: int,
                     at: datetime, links: Links | None) -> Redeemed:
    first, other = (row.member_id, row.reward_id, row.quantity), (member_id, reward_id, quantity)
    if first != other:
        raise KeyReused(row.key, body_hash(first), body_hash(other))
    return _redeemed(session, row, balance_of(session, member_id, at).available, links)


def _redeemed(session: Session, row: Row[Any], balance: int, links: Links | None) -> Redeemed:
    return Redeemed(row.id, row.code, row.reward_id, row.name, row.quantity, row.cost, balance,
                    sentence(session, row, links, row.at), row.undo_until)


def _new_row(key: str, member_id: int, reward: Reward, quantity: int, cost: int, programme: Programme, at: datetime,
             transfer_id: int | None) -> dict[str, Any]:
    last_day = local_day(at, programme.zone) + timedelta(days=reward.valid_days or 0)
    return {
        "key": key, "member_id": member_id, "reward_id": reward.id, "name": reward.name, "handover": reward.handover,
        "quantity": quantity, "cost": cost, "transfer_id": transfer_id, "kind": reward.kind, "way": reward.way,
        "value_fen": reward.value_fen * quantity, "link": reward.link, "at": at,
        # What was shown or opened cannot be taken back: an exchange code is known, a plan has begun.
        "state": "delivered" if reward.pool is not None or reward.plan is not None else "issued",
        "expires_at": midnight_after(last_day, programme.zone) if reward.valid_days else None,
        "lapse_returns": reward.lapsed == "return",
        "undo_until": at + timedelta(minutes=programme.undo_within_min),
    }


def _insert_with_code(session: Session, row: dict[str, Any]) -> Row[Any]:
    for _ in range(5):
        made = insert_new(session, Redemption, [row | {"code": new_code()}], ["id"])
        if made:
            return session.execute(select(table_of(Redemption)).where(Redemption.id == made[0].id)).one()
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
