"""/orders: what was bought, and what it earned."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.problems import Problem
from loyalty.orders import Item, Name, OrderIn, record
from loyalty.tables import Order


class OrderAddress(Asked):
    """Which order."""

    source: Name = Field(description="who took the order, as in its body")
    external_id: Name = Field(description="the source's own number of the order")


class OrderTaken(Told):
    """What an order did; `new` is false where it was known, then `earned` is what it earned the first time."""

    order_id: int
    member_id: int
    earned: int
    balance: int
    new: bool


class OrderShown(Told):
    """An order as it is stored."""

    order_id: int
    source: str
    external_id: str
    member_id: int
    paid_at: datetime
    amount_fen: int
    state: str
    earned: int
    items: list[Item]


def take(session: Session, call: Call[Nothing, Nothing, OrderIn]) -> tuple[int, Told]:
    """A paid order, recorded for itself; the service commits those that come together in one go."""
    outcome = record(session, call.body, call.programme, call.at)
    return (201 if outcome.new else 200), OrderTaken.model_validate(outcome)


def show(session: Session, call: Call[OrderAddress, Nothing, None]) -> tuple[int, Told]:
    """The order under its source's own number."""
    order = session.scalars(
        select(Order).where(Order.source == call.path.source, Order.external_id == call.path.external_id)).first()
    if order is None:
        raise Problem(404, "UnknownOrder", "there is no order of this source with this number",
                      [("external_id", "post the order first, or look at source and number again")])
    return 200, OrderShown(
        order_id=order.id, source=order.source, external_id=order.external_id, member_id=order.member_id,
        paid_at=order.paid_at, amount_fen=order.amount_fen, state=order.state, earned=order.earned,
        items=[Item(**item) for item in order.items])


ENDPOINTS = (
    Endpoint("POST", "/api/v1/orders", "orders:write", "Record a paid order; the answer shows what it earned", take,
             OrderTaken, body=OrderIn, statuses=(201, 200), part="external_id", grouped=True),
    Endpoint("GET", "/api/v1/orders/{source}/{external_id}", "orders:read", "Show an order", show, OrderShown,
             params=OrderAddress),
)
