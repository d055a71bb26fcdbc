"""Looks at the whole ledger and tells everything that does not add up, or was changed after it was sealed.

Never raises, never mends: `rebuild` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import (
    ColumnElement,
    Select,
    case,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from loyalty.accounts import AVAILABLE, HELD, OWED
from loyalty.blocks import chain_findings
from loyalty.rebuild import differences, moved, whole
from loyalty.tables import PROGRAMME_OWNER, Account, AccountBalance, Hold, Lot, LotUse, Stock, Transfer

MOST_PER_CHECK = 100
"""A ledger that is broken all over is told by its first hundred findings of each kind."""


def findings(session: Session) -> list[str]:
    """Everything found wrong, in sentences; empty where the books are right."""
    return [finding for check in CHECKS for finding in check(session)]


def _assets_sum_to_zero(session: Session) -> Iterator[str]:
    all_moved = moved().subquery()
    member = select(Account.asset, AccountBalance.balance.label("delta")).join_from(
        AccountBalance, Account, Account.id == AccountBalance.account_id)
    programme = (select(Account.asset, all_moved.c.delta)
                 .join_from(all_moved, Account, Account.id == all_moved.c.account_id)
                 .where(Account.owner == PROGRAMME_OWNER))
    both = union_all(member, programme).subquery()
    total = whole(both.c.delta)
    for row in session.execute(select(both.c.asset, total.label("total")).group_by(both.c.asset).having(total != 0)):
        yield f"asset {row.asset}: the sum over all accounts is {row.total}, not 0"


def _values_follow_rows(session: Session) -> Iterator[str]:
    told = {"balance": "account {0.id}: balance {0.stored}, transfers give {0.rebuilt}",
            "lot": "lot {0.id}: remaining {0.stored}, its uses leave {0.rebuilt}",
            "hold": "hold {0.id} is {0.stored}, its rows make it {0.rebuilt}"}
    for each in differences(session, most=MOST_PER_CHECK):
        yield told[each.what].format(each)


def _nothing_below_zero(session: Session) -> Iterator[str]:
    """Only what is owed is below 0, and it is never above."""
    wrong = case((Account.kind == OWED, AccountBalance.balance > 0), else_=AccountBalance.balance < 0)
    rows = session.execute(
        select(Account.id, Account.owner, Account.kind, AccountBalance.balance)
        .join(AccountBalance, AccountBalance.account_id == Account.id)
        .where(Account.owner != PROGRAMME_OWNER, wrong).limit(MOST_PER_CHECK))
    for row in rows:
        yield f"account {row.id} ({row.kind} of member {row.owner}) stands at {row.balance}"


def _nothing_hangs_in_the_air(session: Session) -> Iterator[str]:
    """What foreign keys would hold on rows that are not written every day: hot rows have none."""
    for name, column, needed in (
        ("transfer", Transfer.debit_id, Account.id), ("transfer", Transfer.credit_id, Account.id),
        ("lot", Lot.account_id, Account.id), ("lot", Lot.transfer_id, Transfer.id),
        ("use of a lot", LotUse.lot_id, Lot.id), ("use of a lot", LotUse.transfer_id, Transfer.id),
        ("use of a lot", LotUse.spend_id, Transfer.id),
    ):
        rows = session.execute(select(column).where(~select(needed).where(needed == column).exists())
                               .distinct().limit(MOST_PER_CHECK))
        for row in rows:
            yield f"{name} with {column.key} {row[0]}: there is no such {needed.class_.__tablename__[:-1]}"


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


def _transfers_follow_uses(session: Session) -> Iterator[str]:
    """What left available came from lots in full; what came to available made a lot or went back to lots."""
    used = select(LotUse.transfer_id, whole(LotUse.amount).label("used")).group_by(LotUse.transfer_id).subquery()
    debit, credit = aliased(Account), aliased(Account)
    took = func.coalesce(used.c.used, 0)
    made = func.coalesce(Lot.amount, 0)
    wrong = or_(
        (debit.kind == AVAILABLE) & (took != Transfer.amount),
        (credit.kind == AVAILABLE) & (debit.kind != AVAILABLE) & (made - took != Transfer.amount),
        (credit.kind == AVAILABLE) & (debit.kind == AVAILABLE) & (made != Transfer.amount),
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
    _assets_sum_to_zero, _values_follow_rows, _nothing_below_zero, _lots_follow_balances, _holds_follow_held,
    _transfers_follow_uses, _sides_share_the_asset, _ends_follow_holds, _nothing_hangs_in_the_air, _stock_not_negative,
    chain_findings,
)


def _per_account(rows: Select[int, int]) -> Select[int, int]:
    each = rows.subquery()
    return select(each.c.account_id, whole(each.c.delta).label("total")).group_by(each.c.account_id)


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
