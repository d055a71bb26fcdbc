"""What can be computed anew from the ledger's rows alone: balances, what is left in lots, states of holds.

Each `Derived` tells where the stored value differs and sets it right; whoever keeps something else that follows from
the ledger (tiers, say) adds theirs to the tuple they pass. `huitou audit` looks with `differences`, a mend rebuilds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Select, SQLColumnExpression, case, cast, func, select, union_all
from sqlalchemy.orm import Session

from loyalty.accounts import BURNED, lock_accounts
from loyalty.storage import Base
from loyalty.tables import PROGRAMME_OWNER, Account, AccountBalance, Hold, Lot, LotUse, Transfer
from loyalty.writing import change_many, insert_new

MOST = 200_000
"""Rows put right in one go."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A stored value that is not what the ledger's rows give."""

    what: str
    id: int
    stored: object
    rebuilt: object


@dataclass(frozen=True, slots=True)
class Derived:
    """Something that follows from the ledger's rows: where it differs (at most so many), and how it is set right."""

    name: str
    differences: Callable[[Session, int], Iterator[Difference]]
    mend: Callable[[Session, Sequence[Difference]], None]


def differences(session: Session, derived: Sequence[Derived] | None = None, most: int = 100) -> Iterator[Difference]:
    """Everything stored that is not what the rows give, at most so many of each kind; writes nothing."""
    for each in DERIVED if derived is None else derived:
        yield from each.differences(session, most)


def rebuild(session: Session, derived: Sequence[Derived] | None = None) -> dict[str, int]:
    """Set right everything that follows from the rows; how many values of each kind were wrong.

    Locks the member accounts it changes; run it while nobody writes where much is wrong.
    """
    changed: dict[str, int] = {}
    for each in DERIVED if derived is None else derived:
        changed[each.name] = 0
        while wrong := list(each.differences(session, MOST)):
            each.mend(session, wrong)
            changed[each.name] += len(wrong)
    return changed


def moved() -> Select[int, int]:
    """Every transfer twice: what it took from its debit account and gave to its credit account."""
    came = select(Transfer.credit_id.label("account_id"), Transfer.amount.label("delta"))
    went = select(Transfer.debit_id, -Transfer.amount)
    both = union_all(came, went).subquery()
    return select(both.c.account_id, both.c.delta)


def whole(column: SQLColumnExpression[int]) -> ColumnElement[int]:
    """A sum as the integer it is; PostgreSQL would make it numeric."""
    return cast(func.sum(column), BigInteger)


def _balances(session: Session, most: int) -> Iterator[Difference]:
    each = moved().subquery()
    sums = select(each.c.account_id, whole(each.c.delta).label("total")).group_by(each.c.account_id).subquery()
    total = func.coalesce(sums.c.total, 0)
    rows = session.execute(
        select(Account.id, AccountBalance.balance, total)
        .outerjoin(AccountBalance, AccountBalance.account_id == Account.id)
        .outerjoin(sums, sums.c.account_id == Account.id)
        .where(Account.owner != PROGRAMME_OWNER, func.coalesce(AccountBalance.balance, 0) != total).limit(most))
    yield from (Difference("balance", *row) for row in rows)


def _lots(session: Session, most: int) -> Iterator[Difference]:
    used = select(LotUse.lot_id, whole(LotUse.amount).label("used")).group_by(LotUse.lot_id).subquery()
    left = Lot.amount - func.coalesce(used.c.used, 0)
    rows = session.execute(select(Lot.id, Lot.remaining, left).outerjoin(used, used.c.lot_id == Lot.id)
                           .where(left != Lot.remaining).limit(most))
    yield from (Difference("lot", *row) for row in rows)


def _holds(session: Session, most: int) -> Iterator[Difference]:
    settled = func.max(case((Account.kind == BURNED, 1), else_=0)).label("settled")
    ends = (select(Transfer.pending_of, settled).join(Account, Account.id == Transfer.credit_id)
            .where(Transfer.pending_of.is_not(None)).group_by(Transfer.pending_of).subquery())
    state = case((ends.c.settled == 1, "settled"), (ends.c.settled == 0, "released"), else_="pending")
    rows = session.execute(select(Hold.transfer_id, Hold.state, state)
                           .outerjoin(ends, ends.c.pending_of == Hold.transfer_id)
                           .where(Hold.state != state).limit(most))
    yield from (Difference("hold", *row) for row in rows)


def _mend_balances(session: Session, wrong: Sequence[Difference]) -> None:
    missing = [{"account_id": each.id, "balance": 0} for each in wrong if each.stored is None]
    insert_new(session, AccountBalance, missing, ["account_id"])
    lock_accounts(session, [each.id for each in wrong])
    _set(AccountBalance, "balance")(session, wrong)


def _set(entity: type[Base], column: str) -> Callable[[Session, Sequence[Difference]], None]:
    def mend(session: Session, wrong: Sequence[Difference]) -> None:
        change_many(session, entity, column, {each.id: each.rebuilt for each in wrong})

    return mend


DERIVED = (
    Derived("balances", _balances, _mend_balances),
    Derived("lots", _lots, _set(Lot, "remaining")),
    Derived("holds", _holds, _set(Hold, "state")),
)
