"""The lots one batch works on: read in a few statements, decided in memory, soonest to lapse first."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Select, bindparam, case, cast, func, or_, select
from sqlalchemy.orm import Session

from loyalty.storage import among
from loyalty.tables import Lot, LotUse

NEVER = datetime.max.replace(tzinfo=UTC)
UNBORN = 1 << 62

# Statements of the hot path are built once: building one costs more than running it.
_LOTS = select(Lot.id, Lot.account_id, Lot.expires_at, Lot.available_from, Lot.remaining, Lot.transfer_id)
_BY_ID = _LOTS.where(among(Lot.id, "ids"))
_BORN = _LOTS.where(among(Lot.transfer_id, "ids"))
_TAKEN = (
    select(LotUse.spend_id, Lot.id, Lot.account_id, Lot.expires_at, Lot.available_from, Lot.remaining,
           cast(func.sum(LotUse.amount), BigInteger).label("net"))
    .join(Lot, Lot.id == LotUse.lot_id)
    .where(among(LotUse.spend_id, "ids"))
    .group_by(LotUse.spend_id, Lot.id, Lot.account_id, Lot.expires_at, Lot.available_from, Lot.remaining)
)


def _open_statement() -> Select[*tuple[Any, ...]]:
    """Open lots with what lies before each of them in the order of spending, and the totals of their account.

    Pending ones come last: only a claw-back reaches them.
    """
    pending = case((Lot.available_from > bindparam("at"), 1), else_=0)
    soonest = (pending, Lot.expires_at.asc().nulls_last(), Lot.id)
    running = func.sum(Lot.remaining).over(partition_by=Lot.account_id, order_by=soonest)
    total = func.sum(Lot.remaining).over(partition_by=Lot.account_id)
    locked = func.sum(Lot.remaining * pending).over(partition_by=Lot.account_id)
    lots = select(
        Lot.id, Lot.account_id, Lot.expires_at, Lot.available_from, Lot.remaining,
        cast(running - Lot.remaining, BigInteger).label("before"), cast(total, BigInteger).label("total"),
        cast(locked, BigInteger).label("pending"),
    ).where(among(Lot.account_id, "accounts"), Lot.remaining > 0,
            or_(Lot.expires_at.is_(None), Lot.expires_at > bindparam("at"))).subquery()
    return select(lots).where(lots.c.before < bindparam("need"))


_OPEN = _open_statement()


@dataclass(slots=True, eq=False)
class OpenLot:
    """A lot in hand; `id` stays above UNBORN until it is written, `changed` says that it must be."""

    id: int
    account_id: int
    expires_at: datetime | None
    available_from: datetime | None
    remaining: int
    changed: bool = False

    @property
    def order(self) -> tuple[datetime, int]:
        """Where it stands among its like: what lapses first is spent first, older before younger."""
        return (self.expires_at or NEVER, self.id)

    def lapsed(self, at: datetime) -> bool:
        """Whether its points are gone at this moment."""
        return self.expires_at is not None and self.expires_at <= at

    def pending(self, at: datetime) -> bool:
        """Whether its points are not spendable yet at this moment."""
        return self.available_from is not None and self.available_from > at


@dataclass(slots=True)
class Use:
    """Points taken from a lot (above 0) or given back to it (below 0)."""

    lot: OpenLot
    amount: int


@dataclass
class LotBook:
    """All lots a batch may touch at one moment, with what every account has available, pending and owes."""

    at: datetime
    by_id: dict[int, OpenLot] = field(default_factory=dict)
    by_account: dict[int, list[OpenLot]] = field(default_factory=lambda: defaultdict(list))
    available: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    pending: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    owed: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    taken: dict[int, list[Use]] = field(default_factory=lambda: defaultdict(list))
    born_of: dict[int, OpenLot] = field(default_factory=dict)

    def add(self, row: Any) -> OpenLot:
        """Take up a lot as the database has it; the same one twice is one."""
        lot = self.by_id.get(row.id)
        if lot is None:
            lot = self.by_id[row.id] = OpenLot(row.id, row.account_id, row.expires_at, row.available_from,
                                                  row.remaining)
            insort(self.by_account[row.account_id], lot, key=lambda other: other.order)
        return lot

    def bear(self, account_id: int, amount: int, expires_at: datetime | None,
             available_from: datetime | None) -> OpenLot:
        """A new lot, to be written with its transfer; spendable by the rows that follow."""
        lot = OpenLot(UNBORN + len(self.by_id), account_id, expires_at, available_from, amount, changed=True)
        self.by_id[lot.id] = lot
        insort(self.by_account[account_id], lot, key=lambda other: other.order)
        self._count(lot, amount)
        return lot

    def take(self, account_id: int, amount: int) -> list[Use]:
        """Take an amount that is known to be available from what lapses soonest."""
        return self._take([lot for lot in self.by_account[account_id] if not lot.pending(self.at)], amount)

    def claw(self, account_id: int, amount: int, first: OpenLot | None) -> list[Use]:
        """Take an amount that is known to be there, pending or not: from `first`, then as a spend, then pending."""
        lots = sorted(self.by_account[account_id], key=lambda lot: lot.pending(self.at))
        return self._take(([first] if first and first.account_id == account_id else []) + lots, amount)

    def repay(self, lots: Sequence[OpenLot], amount: int) -> list[Use]:
        """Take what is owed, as far as it goes, from lots that have just been filled."""
        return self._take(lots, amount)

    def _take(self, lots: Sequence[OpenLot], amount: int) -> list[Use]:
        uses: list[Use] = []
        for lot in lots:
            part = 0 if lot.lapsed(self.at) else min(amount, lot.remaining)
            if part:
                self._move(lot, -part)
                uses.append(Use(lot, part))
                amount -= part
            if not amount:
                return uses
        raise RuntimeError(f"{amount} more was counted than these lots hold")

    def lapse(self, lot: OpenLot, amount: int) -> list[Use]:
        """Take what is left of a lot whose time is over."""
        self._move(lot, -amount)
        return [Use(lot, amount)]

    def give_back(self, spend_id: int, amount: int) -> list[Use]:
        """Return an amount to the lots a spend took it from; a part goes first to what lapses last."""
        uses: list[Use] = []
        for use in sorted(self.taken[spend_id], key=lambda use: use.lot.order, reverse=True):
            part = min(amount, use.amount)
            if part:
                use.amount -= part
                self._move(use.lot, part)
                uses.append(Use(use.lot, -part))
                amount -= part
        return uses

    def _move(self, lot: OpenLot, delta: int) -> None:
        lot.remaining += delta
        lot.changed = True
        self._count(lot, delta)

    def _count(self, lot: OpenLot, delta: int) -> None:
        if not lot.lapsed(self.at):
            (self.pending if lot.pending(self.at) else self.available)[lot.account_id] += delta


def load_open(session: Session, book: LotBook, needs: Mapping[int, int]) -> None:
    """Read of each account the lots that cover its need, and what it has available in all."""
    if not needs:
        return
    wanted = {"accounts": sorted(needs), "at": book.at, "need": max(needs.values())}
    for row in session.execute(_OPEN, wanted):
        book.add(row)
        book.available[row.account_id] = row.total - row.pending
        book.pending[row.account_id] = row.pending


def load_by_id(session: Session, book: LotBook, lot_ids: Collection[int]) -> None:
    """Read these lots, lapsed or not."""
    if lot_ids:
        for row in session.execute(_BY_ID, {"ids": sorted(lot_ids)}):
            book.add(row)


def load_taken(session: Session, book: LotBook, spend_ids: Collection[int]) -> None:
    """Read what each spend took and was not given back yet."""
    if not spend_ids:
        return
    for row in session.execute(_TAKEN, {"ids": sorted(spend_ids)}):
        book.taken[row.spend_id].append(Use(book.add(row), row.net))


def load_born(session: Session, book: LotBook, transfer_ids: Collection[int]) -> None:
    """Read the lots that these transfers made."""
    if transfer_ids:
        for row in session.execute(_BORN, {"ids": sorted(transfer_ids)}):
            book.born_of[row.transfer_id] = book.add(row)

