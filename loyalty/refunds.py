"""Orders given back, whole or in parts: earned points go back pro rata, points paid come back to their lots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from sqlalchemy import BigInteger, Row, cast, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from loyalty.accounts import ASSETS, AVAILABLE, GROWTH, ISSUED, POINTS, STORED_VALUE, lock_member
from loyalty.answers import answer_once
from loyalty.balances import available, balances
from loyalty.budgets import return_grants
from loyalty.cash import return_from_order
from loyalty.errors import ProgrammeError, RefundTooHigh, UnknownOrder
from loyalty.ledger import post
from loyalty.movements import Movement, clawing, owing, spending
from loyalty.programme import Programme
from loyalty.tables import Account, Lot, Order, PurchaseSummary, Redemption, Refund, Transfer, table_of
from loyalty.tier_figures import Figures
from loyalty.tiers import refund_lowers
from loyalty.writing import insert_rows


@dataclass(frozen=True, slots=True)
class Refunded:
    """What a refund did: points that came back to their lots, points taken back, of these still owed, points that
    were waived, fen taken from stored value for them, and what is available now."""

    order_id: int
    member_id: int
    amount_fen: int
    restored: int
    clawed_back: int
    owed: int
    waived: int
    stored_value_fen: int
    balance: int


@dataclass(frozen=True, slots=True)
class _Earned:
    """What an order brought of an asset, what was reversed or settled otherwise before."""

    id: int
    asset: str
    amount: int
    back: int


@dataclass(frozen=True, slots=True)
class _Clawed:
    taken: int = 0
    owed: int = 0
    waived: int = 0
    fen: int = 0


def refund(session: Session, source: str, external_id: str, amount_fen: int, *, key: str, programme: Programme,
           at: datetime) -> Refunded:
    """Give an amount of an order back; the same key again changes nothing and gives the same answer.

    Earned points are taken back so that what stays is what the rest of the order is worth, rounded down; what was
    spent of them goes by `programme.refunds`. Points that were put on the order come back in whole pieces to the lots
    they came from, which keep their first expiry. Raises UnknownOrder, RefundTooHigh, KeyReused, ProgrammeError.
    """
    if amount_fen < 1:
        raise ValueError(f"a refund of {amount_fen} fen: give back at least 1")
    body = [source, external_id, amount_fen]
    return answer_once(session, f"refund:{key}", body, Refunded,
                       lambda: _refund(session, source, external_id, amount_fen, key, programme, at), at)


def _refund(session: Session, source: str, external_id: str, amount_fen: int, key: str, programme: Programme,
            at: datetime) -> Refunded:
    order = _locked(session, source, external_id)
    before = session.execute(
        select(cast(func.coalesce(func.sum(Refund.amount_fen), 0), BigInteger).label("fen"),
               cast(func.coalesce(func.sum(Refund.clawed_back + Refund.waived), 0), BigInteger).label("points"),
               ).where(Refund.order_id == order.id)).one()
    left_fen = order.amount_fen - before.fen - amount_fen
    if left_fen < 0:
        raise RefundTooHigh(amount_fen, order.amount_fen - before.fen)
    restored = _restore(session, order, left_fen, key, at)
    done, growth = _Clawed(), 0
    for earned in _earned(session, order):
        back = before.points if earned.asset == POINTS else earned.back
        part = earned.amount - earned.amount * left_fen // order.amount_fen - back
        if part > 0:
            found = _claw(session, order, earned, part, key, programme, at)
            done = found if earned.asset == POINTS else done
            growth += found.taken if earned.asset == GROWTH else 0
    insert_rows(session, Refund, [{
        "key": key, "order_id": order.id, "amount_fen": amount_fen, "restored": restored, "clawed_back": done.taken,
        "owed": done.owed, "waived": done.waived, "stored_value_fen": done.fen, "at": at,
    }])
    session.execute(update(table_of(Order)).where(Order.id == order.id)
                    .values(state="partly_refunded" if left_fen else "refunded"))
    summary = table_of(PurchaseSummary)
    session.execute(update(summary).where(summary.c.member_id == order.member_id)
                    .values(amount_fen=summary.c.amount_fen - amount_fen))
    return_grants(session, order.id, order.amount_fen, left_fen + amount_fen, left_fen, at)
    refund_lowers(session, programme, {order.member_id: Figures(amount_fen, growth)}, at)
    balance = balances(session, [order.member_id], at)[order.member_id].available
    return Refunded(order.id, order.member_id, amount_fen, restored, done.taken, done.owed, done.waived, done.fen,
                    balance)


def _locked(session: Session, source: str, external_id: str) -> Row[int, int, int, str, str]:
    statement = (select(Order.id, Order.member_id, Order.amount_fen, Order.source, Order.external_id)
                 .where(Order.source == source, Order.external_id == external_id))
    order = session.execute(statement).first()
    if order is None:
        raise UnknownOrder(source, external_id)
    lock_member(session, order.member_id, POINTS)
    return session.execute(statement.with_for_update()).one()  # a merge may have moved it meanwhile


def _earned(session: Session, order: Row[int, int, int, str, str]) -> list[_Earned]:
    """The transfers under the order's own keys: one an asset."""
    key, undoing, giver = f"order:{order.source}:{order.external_id}", aliased(Transfer), aliased(Account)
    back = (select(func.coalesce(cast(func.sum(undoing.amount), BigInteger), 0))
            .where(undoing.reverses == Transfer.id).scalar_subquery())
    rows = session.execute(
        select(Transfer.id, Transfer.asset, Transfer.amount, back.label("back"))
        .join(giver, giver.id == Transfer.debit_id)
        .where(Transfer.key.in_([key, *(f"{key}:{asset}" for asset in ASSETS)]), Transfer.ref == order.external_id,
               giver.kind == ISSUED)
        .order_by(Transfer.id))
    return [_Earned(*row) for row in rows]


def _restore(session: Session, order: Row[int, int, int, str, str], left_fen: int, key: str, at: datetime) -> int:
    """Whole pieces of points put on the order, so many as the part given back is worth."""
    restored = 0
    rows = session.execute(
        select(Redemption.id, Redemption.quantity, Redemption.cost, Redemption.transfer_id)
        .where(Redemption.member_id == order.member_id, Redemption.order_ref == order.external_id,
               Redemption.state == "verified").order_by(Redemption.id)).all()
    for row in rows:
        back = session.scalar(select(func.coalesce(func.sum(Transfer.amount), 0))
                              .where(Transfer.reverses == row.transfer_id)) or 0
        stay = -(-row.quantity * left_fen // order.amount_fen)
        pieces = row.quantity - stay - int(back) * row.quantity // row.cost
        if pieces > 0:
            restored += return_from_order(session, row.id, pieces, f"{key}:{row.id}", at).points
    return restored


def _claw(session: Session, order: Row[int, int, int, str, str], earned: _Earned, part: int, key: str,
          programme: Programme, at: datetime) -> _Clawed:
    """Take a part of what was earned: what is there by the ledger's rules, the rest by the programme's."""
    policy = programme.refunds
    owner = session.scalar(select(Account.owner).join(Transfer, Transfer.credit_id == Account.id)
                           .where(Transfer.id == earned.id))
    # After a merge the lots are another member's: taken from them all the same, without the link to the earn.
    reverses = earned.id if owner == order.member_id else None
    there = min(part, _in_lots(session, order.member_id, earned.asset, at))
    short = part - there
    owed = short if earned.asset == POINTS and policy.spent_points == "negative" else 0
    fen = covered = 0
    if short and earned.asset == POINTS and policy.spent_points == "stored_value":
        fen, covered = _in_fen(session, order.member_id, short, programme, at)
    name, ref = f"refund:{key}:{earned.id}", order.external_id
    moves: list[Movement] = []
    if there:
        moves.append(clawing(order.member_id, there, name, "refund", ref, reverses=reverses, asset=earned.asset))
    if owed:
        moves.append(owing(order.member_id, owed, f"{name}:owed", "refund", ref, reverses=reverses,
                           asset=earned.asset))
    if fen:
        moves.append(spending(order.member_id, fen, f"{name}:stored_value", "refund", ref, asset=STORED_VALUE))
    for posted in post(session, moves, at):
        if posted.error is not None:
            raise posted.error
    return _Clawed(there + owed + covered, owed, short - owed - covered, fen)


def _in_lots(session: Session, member_id: int, asset: str, at: datetime) -> int:
    """What a claw-back reaches: everything that has not lapsed, pending or not."""
    lock_member(session, member_id, asset)
    alive = or_(Lot.expires_at.is_(None), Lot.expires_at > at)
    return session.scalar(
        select(cast(func.coalesce(func.sum(Lot.remaining), 0), BigInteger)).join(Account, Account.id == Lot.account_id)
        .where(Account.owner == member_id, Account.asset == asset, Account.kind == AVAILABLE, Lot.remaining > 0, alive)
    ) or 0


def _in_fen(session: Session, member_id: int, points: int, programme: Programme, at: datetime) -> tuple[int, int]:
    """Fen of stored value to be taken for points, and how many points that covers."""
    price = programme.refunds.fen_per_point or programme.costs.point_value_fen
    if not price:
        raise ProgrammeError("refunds.fen_per_point", "say how many fen a point is worth, or costs.point_value_fen")
    lock_member(session, member_id, STORED_VALUE)
    has = max(available(session, [member_id], at, STORED_VALUE)[member_id], 0)
    wanted = int((points * price).to_integral_value(ROUND_FLOOR))
    fen = min(wanted, has)
    covered = points if fen == wanted else int((Decimal(fen) / price).to_integral_value(ROUND_FLOOR))
    return fen, covered
