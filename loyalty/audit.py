"""Looks at the whole ledger and tells everything that does not add up; never raises, never mends."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SQLColumnExpression,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from loyalty.accounts import AVAILABLE, HELD
from loyalty.tables import PROGRAMME_OWNER, Account, AccountBalance, Hold, Lot, LotUse, Stock, Transfer

MOST_PER_CHECK = 100
"""A ledger that is broken all over is told by its first hundred findings of each kind."""


def findings(session: Session) -> list[str]:
    """Everything found wrong, in sentences; empty where the books are right."""
    return [finding for check in CHECKS for finding in check(session)]


def _assets_sum_to_zero(session: Session) -> Iterator[str]:
    moved = _moved().subquery()
    member = select(Account.asset, AccountBalance.balance.label("delta")).join_from(
        AccountBalance, Account, Account.id == AccountBalance.account_id)
    programme = (select(Account.asset, moved.c.delta).join_from(moved, Account, Account.id == moved.c.account_id)
                 .where(Account.owner == PROGRAMME_OWNER))
    both = union_all(member, programme).subquery()
    total = _sum(both.c.delta)
    for row in session.execute(select(both.c.asset, total.label("total")).group_by(both.c.asset).having(total != 0)):
        yield f"asset {row.asset}: the sum over all accounts is {row.total}, not 0"


def _balances_follow_transfers(session: Session) -> Iterator[str]:
    moved = _per_account(_moved())
    for id, owner, kind, stored, rebuilt in _against_balance(session, moved, Account.owner != PROGRAMME_OWNER):
        yield f"account {id} ({kind} of member {owner}): balance {stored}, transfers give {rebuilt}"


def _lots_follow_balances(session: Session) -> Iterator[str]:
    lots = _per_account(select(Lot.account_id.label("account_id"), Lot.remaining.label("delta")))
    for id, owner, _, stored, rebuilt in _against_balance(session, lots, Account.kind == AVAILABLE):
        yield f"account {id} (available of member {owner}): balance {stored}, lots hold {rebuilt}"


def _holds_follow_held(session: Session) -> Iterator[str]:
    pending = _per_account(
        select(Transfer.credit_id.label("account_id"), Transfer.amount.label("delta"))
        .join(Hold, Hold.transfer_id == Transfer.id).where(Hold.state == "pending"))
    for id, owner, _, stored, rebuilt in _against_balance(session, pending, Account.kind == HELD):
        yield f"account {id} (held of member {owner}): balance {stored}, pending holds sum to {rebuilt}"


def _lots_follow_uses(session: Session) -> Iterator[str]:
    used = select(LotUse.lot_id, _sum(LotUse.amount).label("used")).group_by(LotUse.lot_id).subquery()
    left = Lot.amount - func.coalesce(used.c.used, 0)
    rows = session.execute(
        select(Lot.id, Lot.remaining, left.label("left")).outerjoin(used, used.c.lot_id == Lot.id)
        .where(left != Lot.remaining).limit(MOST_PER_CHECK))
    for row in rows:
        yield f"lot {row.id}: remaining {row.remaining}, its uses leave {row.left}"


def _transfers_follow_uses(session: Session) -> Iterator[str]:
    """What left available came from lots in full; what came to available made a lot or went back to lots."""
    used = select(LotUse.transfer_id, _sum(LotUse.amount).label("used")).group_by(LotUse.transfer_id).subquery()
    debit, credit = aliased(Account), aliased(Account)
    took = func.coalesce(used.c.used, 0)
    made = func.coalesce(Lot.amount, 0)
    wrong = or_(
        (debit.kind == AVAILABLE) & (took != Transfer.amount),
        (credit.kind == AVAILABLE) & (debit.kind != AVAILABLE) & (made - took != Transfer.amount),
    )
    rows = session.execute(
        select(Transfer.id, Transfer.amount, took.label("took"), made.label("made"))
        .join(debit, debit.id == Transfer.debit_id).join(credit, credit.id == Transfer.credit_id)
        .outerjoin(used, used.c.transfer_id == Transfer.id).outerjoin(Lot, Lot.transfer_id == Transfer.id)
        .where(wrong).limit(MOST_PER_CHECK))
    for row in rows:
        yield f"transfer {row.id} of {row.amount}: its lot has {row.made}, its uses sum to {row.took}"


def _sides_share_the_asset(session: Session) -> Iterator[str]:
    rows = session.execute(
        select(Transfer.id, Transfer.asset, Account.id.label("account_id"), Account.asset.label("other"))
        .join(Account, or_(Account.id == Transfer.debit_id, Account.id == Transfer.credit_id))
        .where(Account.asset != Transfer.asset).limit(MOST_PER_CHECK))
    for row in rows:
        yield f"transfer {row.id} moves {row.asset}, account {row.account_id} holds {row.other}"


def _ends_follow_holds(session: Session) -> Iterator[str]:
    """A hold that is settled or released has exactly one transfer that ended it; a pending one has none."""
    ends = (select(Transfer.pending_of, func.count().label("ends")).where(Transfer.pending_of.is_not(None))
            .group_by(Transfer.pending_of).subquery())
    count = func.coalesce(ends.c.ends, 0)
    wrong = or_((Hold.state == "pending") & (count != 0), (Hold.state != "pending") & (count != 1))
    rows = session.execute(
        select(Hold.transfer_id, Hold.state, count.label("ends"))
        .outerjoin(ends, ends.c.pending_of == Hold.transfer_id).where(wrong).limit(MOST_PER_CHECK))
    for row in rows:
        yield f"hold {row.transfer_id} is {row.state}, {row.ends} transfers ended it"


def _stock_not_negative(session: Session) -> Iterator[str]:
    for row in session.execute(select(Stock.reward_id, Stock.pieces).where(Stock.pieces < 0)):
        yield f"reward {row.reward_id}: stock {row.pieces}"


CHECKS: tuple[Callable[[Session], Iterator[str]], ...] = (
    _assets_sum_to_zero, _balances_follow_transfers, _lots_follow_balances, _holds_follow_held, _lots_follow_uses,
    _transfers_follow_uses, _sides_share_the_asset, _ends_follow_holds, _stock_not_negative,
)


def _sum(column: SQLColumnExpression[int]) -> ColumnElement[int]:
    return cast(func.sum(column), BigInteger)


def _moved() -> Select[int, int]:
    """Every transfer twice: what it took from its debit account and gave to its credit account."""
    came = select(Transfer.credit_id.label("account_id"), Transfer.amount.label("delta"))
    went = select(Transfer.debit_id, -Transfer.amount)
    both = union_all(came, went).subquery()
    return select(both.c.account_id, both.c.delta)


def _per_account(rows: Select[int, int]) -> Select[int, int]:
    each = rows.subquery()
    return select(each.c.account_id, _sum(each.c.delta).label("total")).group_by(each.c.account_id)


def _against_balance(session: Session, rebuilt: Select[int, int],
                     which: ColumnElement[bool]) -> Iterator[tuple[int, int, str, int, int]]:
    """Accounts whose balance row differs from what was rebuilt: id, owner, kind, stored, rebuilt."""
    sums = rebuilt.subquery()
    total = func.coalesce(sums.c.total, literal(0))
    stored = func.coalesce(AccountBalance.balance, literal(0))
    rows = session.execute(
        select(Account.id, Account.owner, Account.kind, stored, total)
        .outerjoin(AccountBalance, AccountBalance.account_id == Account.id)
        .outerjoin(sums, sums.c.account_id == Account.id)
        .where(which, stored != total).limit(MOST_PER_CHECK))
    for row in rows:
        yield (row[0], row[1], row[2], row[3], row[4])
