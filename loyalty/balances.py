"""What members have: available, held, and what of it lapses when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, bindparam, cast, func, or_, select
from sqlalchemy.orm import Session

from loyalty.accounts import AVAILABLE, HELD
from loyalty.expiry import last_day
from loyalty.storage import among
from loyalty.tables import Account, AccountBalance, Lot

SHANGHAI = ZoneInfo("Asia/Shanghai")

# Statements of the hot path are built once: building one costs more than running it.
_THEIRS = (among(Account.owner, "members"), Account.asset == bindparam("asset"))
_OPEN = (
    select(Account.owner, Lot.expires_at, cast(func.sum(Lot.remaining), BigInteger))
    .join(Lot, Lot.account_id == Account.id)
    .where(*_THEIRS, Account.kind == AVAILABLE, Lot.remaining > 0,
           or_(Lot.expires_at.is_(None), Lot.expires_at > bindparam("now")))
    .group_by(Account.owner, Lot.expires_at)
)
_HELD = (
    select(Account.owner, AccountBalance.balance)
    .join(AccountBalance, AccountBalance.account_id == Account.id)
    .where(*_THEIRS, Account.kind == HELD)
)


@dataclass(frozen=True, slots=True)
class Lapse:
    """An amount and the last local day it can be spent."""

    on: date
    amount: int


@dataclass(frozen=True, slots=True)
class Balance:
    """A member's points at one moment; `lapsing` is soonest first and part of `available`."""

    available: int
    held: int
    lapsing: tuple[Lapse, ...] = ()


def balances(session: Session, member_ids: Collection[int], now: datetime, asset: str = "points",
             zone: ZoneInfo = SHANGHAI) -> dict[int, Balance]:
    """Balance of every member asked for, 0 where nothing is known; a lapsed lot that waits for the sweep is out."""
    wanted = {"members": list(member_ids), "asset": asset}
    available: dict[int, int] = defaultdict(int)
    lapsing: dict[int, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for owner, expires_at, amount in session.execute(_OPEN, wanted | {"now": now}):
        available[owner] += amount
        if expires_at is not None:
            lapsing[owner][last_day(expires_at, zone)] += amount
    held = {row.owner: row.balance for row in session.execute(_HELD, wanted)}
    return {
        id: Balance(available[id], held.get(id, 0), tuple(Lapse(*item) for item in sorted(lapsing[id].items())))
        for id in member_ids
    }


def balance_of(session: Session, member_id: int, now: datetime, asset: str = "points") -> Balance:
    """Balance of one member."""
    return balances(session, [member_id], now, asset)[member_id]
