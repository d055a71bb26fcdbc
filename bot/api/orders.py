"""/orders: what was bought, and what it earned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.problems import Problem
from loyalty.errors import KeyReused, LoyaltyError, RefundTooHigh
from loyalty.orders import Item, Name, OrderIn, record, record_many
from loyalty.refunds import refund
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


class RefundIn(Asked):
    """What was paid back; `refund_id` is the source's own number of the refund, so that it counts once."""

    amount_fen: Annotated[int, Field(ge=1, le=10**12)]
    refund_id: Name | None = None


class OrderRefunded(Told):
    """What a refund did: points that came back to their lots, points taken back, of these still owed, points that were
    waived, fen taken from stored value for them, and what is available now."""

    order_id: int
    member_id: int
    amount_fen: int
    restored: int
    clawed_back: int
    owed: int
    waived: int
    stored_value_fen: int
    balance: int


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
    """A paid order, recorded for itself."""
    outcome = record(session, call.body, call.programme, call.at)
    return (201 if outcome.new else 200), OrderTaken.model_validate(outcome)


def take_many(
    session: Session, calls: Sequence[Call[Nothing, Nothing, OrderIn]]
) -> list[tuple[int, Told] | LoyaltyError]:
    """Orders that came together, under the rules of the moment the last one came."""
    last = calls[-1]
    outcomes = record_many(session, [call.body for call in calls], last.programme, last.at)
    return [outcome.error or (201 if outcome.new else 200, OrderTaken.model_validate(outcome)) for outcome in outcomes]


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


def give_back(session: Session, call: Call[OrderAddress, Nothing, RefundIn]) -> tuple[int, Told]:
    """Give an order back, or a part of it."""
    path, body = call.path, call.body
    key = call.key if body.refund_id is None else f"{path.source}/{path.external_id}/{body.refund_id}"
    done = refund(session, path.source, path.external_id, body.amount_fen, key=key, programme=call.programme,
                  at=call.at)
    return 200, OrderRefunded.model_validate(done)


ENDPOINTS = (
    Endpoint("POST", "/api/v1/orders", "orders:write", "Record a paid order; the answer shows what it earned", take,
             OrderTaken, body=OrderIn, statuses=(201, 200), part="external_id", together=take_many),
    Endpoint("GET", "/api/v1/orders/{source}/{external_id}", "orders:read", "Show an order", show, OrderShown,
             params=OrderAddress),
    Endpoint("POST", "/api/v1/orders/{source}/{external_id}/refunds", "orders:write",
             "Give an order back, whole or in part", give_back, OrderRefunded, params=OrderAddress, body=RefundIn,
             part="external_id", parts={RefundTooHigh: "amount_fen", KeyReused: "refund_id"}),
)
