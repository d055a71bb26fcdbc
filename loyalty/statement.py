"""A member's statement: what came, what went, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, cast, func, select, union_all
from sqlalchemy.orm import Session

from loyalty.accounts import AVAILABLE, BURNED, HELD, ISSUED, LAPSED, OWED, AccountName, find_accounts
from loyalty.storage import among
from loyalty.tables import Account, Transfer


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of what was available: `delta` above 0 came, below 0 went; `id` is the transfer."""

    at: datetime
    delta: int
    reason: str
    ref: str
    id: int


def statement(session: Session, member_id: int, asset: str = "points", limit: int = 20, before_id: int | None = None,
              since: datetime | None = None, until: datetime | None = None) -> list[Entry]:
    """Entries newest first, at most `limit`; the next page is before the last `id`; `since` counts, `until` not."""
    accounts = find_accounts(session, [AccountName(member_id, asset, kind) for kind in (AVAILABLE, OWED)]).values()
    if not accounts:
        return []
    # A repayment moves between the two: nothing came and nothing went.
    window: list[ColumnElement[bool]] = [~(among(Transfer.debit_id, accounts) & among(Transfer.credit_id, accounts))]
    if before_id is not None:
        window.append(Transfer.id < before_id)
    if since is not None:
        window.append(Transfer.at >= since)
    if until is not None:
        window.append(Transfer.at < until)
    # Each side has its own index: two short ordered reads instead of one long sort.
    sides = [
        select(Transfer.at, delta.label("delta"), Transfer.reason, Transfer.ref, Transfer.id)
        .where(side == account, *window).order_by(Transfer.id.desc()).limit(limit).subquery().select()
        for side, delta in ((Transfer.credit_id, Transfer.amount), (Transfer.debit_id, -Transfer.amount))
        for account in accounts
    ]
    both = union_all(*sides).subquery()
    rows = session.execute(select(both).order_by(both.c.id.desc()).limit(limit))
    return [Entry(row.at, row.delta, row.reason, row.ref, row.id) for row in rows]


@dataclass(frozen=True, slots=True)
class Totals:
    """What came and went in a time: `used` is what was spent less what came back of it, `taken_back` what returned
    to the programme because an order did."""

    earned: int = 0
    used: int = 0
    taken_back: int = 0
    lapsed: int = 0


def totals(session: Session, member_id: int, since: datetime, until: datetime, asset: str = "points") -> Totals:
    """Sums of a member's movements, `since` counted and `until` not; what moved in a merge is none of them."""
    accounts = find_accounts(session, [AccountName(member_id, asset, kind) for kind in (AVAILABLE, OWED)]).values()
    if not accounts:
        return Totals()
    window = (Transfer.at >= since, Transfer.at < until)
    sums: dict[str, int] = {}
    for mine, other, sign in ((Transfer.credit_id, Transfer.debit_id, 1), (Transfer.debit_id, Transfer.credit_id, -1)):
        rows = session.execute(
            select(Account.kind, cast(func.sum(Transfer.amount), BigInteger)).join(Account, Account.id == other)
            .where(among(mine, accounts), *window).group_by(Account.kind))
        for kind, amount in rows:
            way = f"{kind}{'+' if sign > 0 else '-'}"
            sums[way] = int(amount)

    def summed(*ways: str) -> int:
        return sum(sums.get(way, 0) for way in ways)

    used = summed(f"{BURNED}-", f"{HELD}-") - summed(f"{BURNED}+", f"{HELD}+")
    lapsed = summed(f"{LAPSED}-") - summed(f"{LAPSED}+")
    return Totals(summed(f"{ISSUED}+"), max(0, used), summed(f"{ISSUED}-"), max(0, lapsed))
