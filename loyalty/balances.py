"""What members have: available, held, pending, owed, and what of it lapses when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
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
from loyalty.days import midnight_after
from loyalty.expiry import last_day
from loyalty.storage import UtcDateTime, among
from loyalty.tables import Account, AccountBalance, Lot

SHANGHAI = ZoneInfo("Asia/Shanghai")

MOST_LOTS = 100
"""How many lots a look at coming lapses reads, so that it takes the same time for every member."""

# Statements of the hot path are built once: building one costs more than running it.
_PENDING = and_(Lot.available_from.is_not(None), Lot.available_from > bindparam("now"))


def _not_spendable(*where: ColumnElement[bool]) -> ScalarSelect[int]:
    left = select(func.coalesce(cast(func.sum(Lot.remaining), BigInteger), 0))
    return left.where(Lot.account_id == Account.id, Lot.remaining > 0, *where).correlate(Account).scalar_subquery()


# The balance row counts every lot; what has lapsed unswept and what is pending are few, and have indexes.
_KEPT = (
    select(Account.owner, Account.kind, AccountBalance.balance,
           _not_spendable(Lot.expires_at <= bindparam("now")).label("lapsed"),
           _not_spendable(_PENDING, or_(Lot.expires_at.is_(None), Lot.expires_at > bindparam("now"))).label("pending"))
    .join(AccountBalance, AccountBalance.account_id == Account.id)
    .where(among(Account.owner, "members"), Account.asset == bindparam("asset"),
           Account.kind.in_([AVAILABLE, HELD, OWED]))
)
# The account as a value, not joined: else a planner may walk through the lots of everybody in order of their lapse.
_THEIR_ACCOUNT = (
    select(Account.id).where(Account.owner == bindparam("member"), Account.asset == bindparam("asset"),
                             Account.kind == AVAILABLE).scalar_subquery()
)
_NEXT_LOTS = (
    select(Lot.expires_at, Lot.remaining, case((_PENDING, 1), else_=0))
    .where(Lot.account_id == _THEIR_ACCOUNT, Lot.remaining > 0, Lot.expires_at > bindparam("now"))
    .order_by(Lot.account_id, Lot.expires_at).limit(bindparam("most"))
)
_ONE_DAY = (
    select(func.coalesce(cast(func.sum(case((_PENDING, 0), else_=Lot.remaining)), BigInteger), 0))
    .where(Lot.account_id == _THEIR_ACCOUNT, Lot.remaining > 0, Lot.expires_at > bindparam("now"),
           Lot.expires_at <= bindparam("until"))
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
    """A member's points at one moment.

    `available` is below 0 where more was clawed back than there was: later points repay it first. `pending` can be
    seen but not spent yet.
    """

    available: int
    held: int
    pending: int = 0


class Lapses(NamedTuple):
    """What of the available points lapses on which day, soonest first; `whole` is whether that is all of it."""

    days: tuple[Lapse, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Expiry:
    """What of a member's asset is gone from `at` on."""

    member_id: int
    asset: str
    at: datetime
    amount: int


def balances(session: Session, member_ids: Collection[int], now: datetime,
             asset: str = "points") -> dict[int, Balance]:
    """Balance of every member asked for, 0 where nothing is known; a lapsed lot that waits for the sweep is out.

    Takes the same time however many lots they have.
    """
    free: dict[int, int] = defaultdict(int)
    held: dict[int, int] = defaultdict(int)
    waiting: dict[int, int] = defaultdict(int)
    wanted = {"members": list(member_ids), "asset": asset, "now": now}
    for owner, kind, balance, lapsed, pending in session.execute(_KEPT, wanted):
        if kind == HELD:
            held[owner] += balance
        elif kind == OWED:
            free[owner] += balance
        else:
            free[owner] += balance - lapsed - pending
            waiting[owner] += pending
    return {id: Balance(free[id], held[id], waiting[id]) for id in member_ids}


def available(session: Session, member_ids: Collection[int], now: datetime, asset: str = "points") -> dict[int, int]:
    """What every member asked for can spend."""
    return {id: balance.available for id, balance in balances(session, member_ids, now, asset).items()}


def holdings(session: Session, member_id: int, now: datetime) -> dict[str, Balance]:
    """A member's balance of every asset."""
    return {asset: balance_of(session, member_id, now, asset) for asset in ASSETS}


def lapses(session: Session, member_id: int, now: datetime, asset: str = "points", zone: ZoneInfo = SHANGHAI,
           most_lots: int = MOST_LOTS) -> Lapses:
    """The coming days on which something lapses, each with all that lapses on it; reads at most so many lots."""
    wanted = {"member": member_id, "asset": asset, "now": now}
    lots = session.execute(_NEXT_LOTS, wanted | {"most": most_lots}).all()
    days: dict[date, int] = {}
    for at, remaining, is_pending in lots:
        day = last_day(at, zone)
        days[day] = days.get(day, 0) + (0 if is_pending else remaining)
    whole = len(lots) < most_lots
    if not whole:  # the last day read may have more
        last = next(reversed(days))
        if len(days) > 1:
            del days[last]
        else:
            days[last] = session.scalar(_ONE_DAY, wanted | {"until": midnight_after(last, zone)}) or 0
    return Lapses(tuple(Lapse(day, amount) for day, amount in days.items() if amount), whole)


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
