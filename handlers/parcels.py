"""What is known of orders on their way: parcels as the brand's systems tell them, and each member's last orders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from handlers.service_tables import ShipmentRow
from loyalty.orders import Item
from loyalty.storage import among
from loyalty.tables import Order
from loyalty.writing import insert_into

State = Literal["packed", "shipped", "moving", "delivering", "delivered", "problem", "returned"]
WORDS: Final[dict[str, str]] = {
    "packed": "已打包, 等快递来取", "shipped": "已发出", "moving": "运输途中", "delivering": "正在派送",
    "delivered": "已签收", "problem": "派送遇到问题", "returned": "正在退回",
}  # fmt: skip
LAST_ORDERS: Final = 5
_ITEMS: Final = TypeAdapter(tuple[Item, ...])


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel as it was last told of."""

    carrier: str
    number: str
    state: str
    note: str
    told_at: datetime

    @property
    def words(self) -> str:
        """Its state in words."""
        return WORDS.get(self.state, self.state)


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """One of a member's last orders, with what is known of its parcels, the newest news first."""

    id: int
    number: str
    paid_at: datetime
    amount_fen: int
    state: str
    items: tuple[Item, ...]
    parcels: tuple[Parcel, ...] = ()

    @property
    def is_delivered(self) -> bool:
        """Whether every parcel has arrived."""
        return bool(self.parcels) and all(parcel.state == "delivered" for parcel in self.parcels)


def record_shipment(
    session: Session, source: str, external_id: str, carrier: str, number: str, state: State, at: datetime,
    note: str = "",
) -> bool:  # fmt: skip
    """Keep what is told of a parcel of an order; older news than what is known changes nothing.

    False where no such order is known. The same news twice stands once.
    """
    order_id = session.scalar(select(Order.id).where(Order.source == source, Order.external_id == external_id))
    if order_id is None:
        return False
    values = {"order_id": order_id, "number": number[:64], "carrier": carrier[:64], "state": state,
              "note": note[:200], "told_at": at}  # fmt: skip
    statement = insert_into(session, ShipmentRow).values(**values)
    changed = {name: statement.excluded[name] for name in ("carrier", "state", "note", "told_at")}
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["order_id", "number"], set_=changed, where=ShipmentRow.told_at <= statement.excluded.told_at
        )
    )
    return True


def orders_of(session: Session, members: Collection[int], _now: datetime) -> dict[int, tuple[KnownOrder, ...]]:
    """The last orders of each member that has any, newest first, with their parcels; two statements for all."""
    place = func.row_number().over(partition_by=Order.member_id, order_by=(Order.paid_at.desc(), Order.id.desc()))
    ranked = (
        select(Order.id, Order.member_id, Order.external_id, Order.paid_at, Order.amount_fen, Order.state, Order.items,
               place.label("place"))
        .where(among(Order.member_id, members))
        .subquery()
    )  # fmt: skip
    rows = session.execute(
        select(ranked).where(ranked.c.place <= LAST_ORDERS).order_by(ranked.c.member_id, ranked.c.place)
    ).all()
    parcels = _parcels(session, [row.id for row in rows]) if rows else {}
    found: dict[int, list[KnownOrder]] = defaultdict(list)
    for row in rows:
        items = _ITEMS.validate_python(row.items)
        order = KnownOrder(
            row.id, row.external_id, row.paid_at, row.amount_fen, row.state, items, tuple(parcels.get(row.id, ()))
        )
        found[row.member_id].append(order)
    return {member: tuple(orders) for member, orders in found.items()}


def _parcels(session: Session, orders: Collection[int]) -> dict[int, list[Parcel]]:
    rows = session.execute(
        select(ShipmentRow.order_id, ShipmentRow.carrier, ShipmentRow.number, ShipmentRow.state, ShipmentRow.note,
               ShipmentRow.told_at)
        .where(among(ShipmentRow.order_id, orders))
        .order_by(ShipmentRow.told_at.desc(), ShipmentRow.id.desc())
    )  # fmt: skip
    found: dict[int, list[Parcel]] = defaultdict(list)
    for row in rows:
        found[row.order_id].append(Parcel(row.carrier, row.number, row.state, row.note, row.told_at))
    return found
