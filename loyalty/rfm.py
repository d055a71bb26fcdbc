"""RFM: how lately, how often and how much somebody bought, each in classes from 1 to 5 (5 is best).

The cuts between classes are the brand's own (`insights.rfm`), or each class has a fifth of those who bought
(Hughes, "Strategic Database Marketing", 1994).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Case, ColumnElement, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from loyalty.insight_parts import RfmPolicy
from loyalty.insight_tables import ForecastModel, PurchaseRhythm

Four = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Cuts:
    """Recency class 5 is a purchase within the first so many days; the others' class 2 begins at the first cut."""

    recency_days: Four
    frequency: Four
    amount_fen: Four

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        """As `as_json` gave them."""
        return cls(*(tuple(told[name]) for name in ("recency_days", "frequency", "amount_fen")))

    def as_json(self) -> dict[str, Any]:
        """In a form a row keeps."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Classes:
    """The three classes of a member."""

    recency: int
    frequency: int
    amount: int


def classes_of(cuts: Cuts, last_at: datetime, orders: int, amount_fen: int, now: datetime) -> Classes:
    """The classes of a member who bought."""
    late = sum(now - last_at > timedelta(days=days) for days in cuts.recency_days)
    return Classes(5 - late, 1 + sum(orders >= cut for cut in cuts.frequency),
                   1 + sum(amount_fen >= cut for cut in cuts.amount_fen))


def recency(cuts: Cuts, now: datetime) -> Case[int]:
    """The class as a column of `purchase_rhythms`; 0 for who never bought."""
    last = PurchaseRhythm.last_at
    steps = [(last >= now - timedelta(days=days), 5 - place) for place, days in enumerate(cuts.recency_days)]
    return case((last.is_(None), 0), *steps, else_=1)


def frequency(cuts: Cuts) -> Case[int]:
    """The class as a column of `purchase_rhythms`; 0 for who never bought."""
    return _rising(PurchaseRhythm.orders, cuts.frequency)


def amount(cuts: Cuts) -> Case[int]:
    """The class as a column of `purchase_rhythms`; 0 for who never bought."""
    return _rising(PurchaseRhythm.amount_fen, cuts.amount_fen)


def measure(session: Session, policy: RfmPolicy, now: datetime) -> Cuts:
    """The brand's own cuts, and for what it leaves open those that make five classes of one size; equal values are
    always in one class, the lower one."""
    row = PurchaseRhythm
    days = policy.recency_days or _fifths(session, row.last_at.desc(), row.last_at)
    orders, fen = policy.frequency, policy.amount_fen
    return Cuts(
        tuple(each if isinstance(each, int) else -((each - now) // timedelta(days=1)) for each in days),  # type: ignore[arg-type]
        orders or tuple(each + 1 for each in _fifths(session, row.orders.asc(), row.orders)),
        fen or tuple(each + 1 for each in _fifths(session, row.amount_fen.asc(), row.amount_fen)))


def cuts_in_force(session: Session, policy: RfmPolicy, now: datetime) -> Cuts:
    """The cuts of the newest model's day with the brand's own put in; measured now where there was none yet."""
    told = session.scalar(select(ForecastModel.rfm).order_by(ForecastModel.id.desc()).limit(1))
    if told is None:
        return measure(session, policy, now)
    known = Cuts.from_json(told)
    return Cuts(policy.recency_days or known.recency_days, policy.frequency or known.frequency,
                policy.amount_fen or known.amount_fen)


def _rising(column: InstrumentedAttribute[int], cuts: Four) -> Case[int]:
    steps = [(column >= cut, 5 - place) for place, cut in enumerate(reversed(cuts))]
    return case((column.is_(None), 0), *steps, else_=1)


def _fifths(session: Session, order: ColumnElement[Any], column: InstrumentedAttribute[Any]) -> list[Any]:
    """The last value of the first four fifths, in one pass."""
    count = session.scalar(select(func.count()).select_from(PurchaseRhythm)) or 0
    if not count:
        return [0, 0, 0, 0]
    ranked = select(column.label("value"), func.row_number().over(order_by=order).label("place")).subquery()
    ranks = [max(count * i // 5, 1) for i in (1, 2, 3, 4)]
    found = {row.place: row.value for row in session.execute(select(ranked).where(ranked.c.place.in_(ranks)))}
    return [found[rank] for rank in ranks]
