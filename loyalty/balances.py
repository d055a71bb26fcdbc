"""What members have: available, held, pending, owed, and what of it lapses when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import Session

from loyalty.accounts import ASSETS, AVAILABLE, HELD, OWED
from loyalty.expiry import last_day
from loyalty.storage import UtcDateTime, among
from loyalty.tables import Account, AccountBalance, Lot

SHANGHAI = ZoneInfo("Asia/Shanghai")

# Statements of the hot path are built once: building one costs more than running it.
_THEIRS = (among(Account.owner, "members"), Account.asset == bindparam("asset"))
_ALIVE = (Lot.remaining > 0, or_(Lot.expires_at.is_(None), Lot.expires_at > bindparam("now")))
_PENDING = and_(Lot.available_from.is_not(None), Lot.available_from > bindparam("now"))
_OPEN = (
    select(Account.owner, Lot.expires_at, case((_PENDING, 1), else_=0).label("pending"),
           cast(func.sum(Lot.remaining), BigInteger))
    .join(Lot, Lot.account_id == Account.id)
    .where(*_THEIRS, Account.kind == AVAILABLE, *_ALIVE)
    .group_by(Account.owner, Lot.expires_at, "pending")
)
_KEPT = (
    select(Account.owner, Account.kind, AccountBalance.balance)
    .join(AccountBalance, AccountBalance.account_id == Account.id)
    .where(*_THEIRS, among(Account.kind, "kinds"))
)


def _not_spendable(*where: ColumnElement[bool]) -> ScalarSelect[int]:
    left = select(func.coalesce(cast(func.sum(Lot.remaining), BigInteger), 0))
    return left.where(Lot.account_id == Account.id, Lot.remaining > 0, *where).correlate(Account).scalar_subquery()


# The balance row counts every lot; what has lapsed unswept and what is pending are few, and have indexes.
_AVAILABLE = (
    select(Account.owner, Account.kind, AccountBalance.balance,
           _not_spendable(Lot.expires_at <= bindparam("now")).label("lapsed"),
           _not_spendable(_PENDING, or_(Lot.expires_at.is_(None), Lot.expires_at > bindparam("now"))).label("pending"))
    .join(AccountBalance, AccountBalance.account_id == Account.id)
    .where(*_THEIRS, among(Account.kind, "kinds"))
)
_COMING = (
    select(Account.owner, Account.asset, type_coerce(Lot.expires_at, UtcDateTime()).label("at"),
           cast(func.sum(Lot.remaining), BigInteger))
    .join(Account, Account.id == Lot.account_id)
    .where(Lot.remaining > 0, Lot.expires_at > bindparam("now"), Lot.expires_at <= bindparam("until"))
    .group_by(Account.owner, Account.asset, Lot.expires_at)
    .order_by(Account.asset, Lot.expires_at, Account.owner)
)


@dataclass(frozen=True, slots=True)
class Lapse:
    """An amount and the last local day it can be spent."""

    on: date
    amount: int


@dataclass(frozen=True, slots=True)
class Balance:
    """A member's points at one moment; `lapsing` is soonest first and part of what is available.

    `available` is below 0 where more was clawed back than there was: later points repay it first. `pending` can be
    seen but not spent yet.
    """

    available: int
    held: int
    lapsing: tuple[Lapse, ...] = ()
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Expiry:
    """What of a member's asset is gone from `at` on."""

    member_id: int
    asset: str
    at: datetime
    amount: int


def balances(session: Session, member_ids: Collection[int], now: datetime, asset: str = "points",
             zone: ZoneInfo = SHANGHAI) -> dict[int, Balance]:
    """Balance of every member asked for, 0 where nothing is known; a lapsed lot that waits for the sweep is out."""
    wanted = {"members": list(member_ids), "asset": asset}
    available: dict[int, int] = defaultdict(int)
    pending: dict[int, int] = defaultdict(int)
    held: dict[int, int] = defaultdict(int)
    lapsing: dict[int, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for owner, expires_at, is_pending, amount in session.execute(_OPEN, wanted | {"now": now}):
        if is_pending:
            pending[owner] += amount
            continue
        available[owner] += amount
        if expires_at is not None:
            lapsing[owner][last_day(expires_at, zone)] += amount
    for owner, kind, balance in session.execute(_KEPT, wanted | {"kinds": [HELD, OWED]}):
        (held if kind == HELD else available)[owner] += balance
    return {
        id: Balance(available[id], held[id], tuple(Lapse(*item) for item in sorted(lapsing[id].items())), pending[id])
        for id in member_ids
    }


def available(session: Session, member_ids: Collection[int], now: datetime, asset: str = "points") -> dict[int, int]:
    """What every member asked for can spend; takes the same time however many lots they have."""
    found = dict.fromkeys(member_ids, 0)
    wanted = {"members": list(member_ids), "asset": asset, "kinds": [AVAILABLE, OWED], "now": now}
    for owner, kind, balance, lapsed, pending in session.execute(_AVAILABLE, wanted):
        found[owner] += balance - lapsed - pending if kind == AVAILABLE else balance
    return found


def holdings(session: Session, member_id: int, now: datetime, zone: ZoneInfo = SHANGHAI) -> dict[str, Balance]:
    """A member's balance of every asset."""
    return {asset: balances(session, [member_id], now, asset, zone)[member_id] for asset in ASSETS}


def coming_expiries(session: Session, now: datetime, until: datetime, *, member_ids: Collection[int] | None = None,
                    asset: str | None = None) -> Iterator[Expiry]:
    """Everything that lapses after `now` and up to `until`, by asset, soonest first; of everybody unless told whose."""
    statement = _COMING
    if member_ids is not None:
        statement = statement.where(among(Account.owner, list(member_ids)), Account.kind == AVAILABLE)
    if asset is not None:
        statement = statement.where(Account.asset == asset)
    for row in session.execute(statement, {"now": now, "until": until}, execution_options={"yield_per": 1000}):
        yield Expiry(row[0], row[1], row[2], row[3])


def balance_of(session: Session, member_id: int, now: datetime, asset: str = "points") -> Balance:
    """Balance of one member."""
    return balances(session, [member_id], now, asset)[member_id]
