"""Paid orders: stored once, points earned once, the member's purchase summary kept with each."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from loyalty.accounts import AVAILABLE, POINTS, AccountName, lock_accounts, open_accounts
from loyalty.balances import Balance, balances
from loyalty.buyers import Named, buyers
from loyalty.customers import PRINTABLE, Identity
from loyalty.days import local_day, midnight_after
from loyalty.earning import Earner
from loyalty.errors import KeyReused
from loyalty.expiry import expires_at
from loyalty.ledger import earning, post
from loyalty.programme import Programme
from loyalty.rulebook import OrderFacts, Share
from loyalty.storage import among
from loyalty.tables import Order, PurchaseSummary
from loyalty.writing import insert_many, upsert_many

Name = Annotated[str, Field(pattern=PRINTABLE, max_length=200)]
Fen = Annotated[int, Field(ge=0, le=10**12)]
PlausibleMoment = Annotated[
    AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))
]


def _empty(value: str) -> bool:
    """What says nothing is left out of the body, so that it stays the same body as before there was such a field."""
    return not value


class Item(BaseModel):
    """One line of an order; `amount_fen` is what was paid for the whole line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sku: Name
    name: Name
    quantity: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    amount_fen: Fen = 0
    category: Annotated[str, Field(max_length=200, exclude_if=_empty)] = ""


class OrderIn(BaseModel):
    """A paid order as its source tells it; `external_id` is the source's own id, `amount_fen` what was paid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Name
    external_id: Name
    identities: Annotated[tuple[Identity, ...], Field(min_length=1, max_length=20)]
    paid_at: PlausibleMoment
    amount_fen: Fen
    items: Annotated[tuple[Item, ...], Field(max_length=500)] = ()
    shop: Annotated[str, Field(max_length=200, exclude_if=_empty)] = ""


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """What an order did; `new` is False where it was known, then `earned` is what it earned the first time."""

    order_id: int
    member_id: int
    earned: int
    balance: int
    new: bool
    error: KeyReused | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a member bought, and when it was paid."""

    at: datetime
    items: tuple[Item, ...]


_ITEMS = TypeAdapter(tuple[Item, ...])


def _last_statement() -> Select[*tuple[Any, ...]]:
    newest = func.row_number().over(partition_by=Order.member_id, order_by=(Order.paid_at.desc(), Order.id.desc()))
    ranked = (select(Order.member_id, Order.paid_at, Order.items, newest.label("place"))
              .where(among(Order.member_id, "members")).subquery())
    return (select(ranked).where(ranked.c.place <= bindparam("limit"))
            .order_by(ranked.c.member_id, ranked.c.place))


_LAST = _last_statement()
_BY_NAME = select(Order.source, Order.external_id, Order.id, Order.member_id, Order.earned, Order.body_hash).where(
    among(Order.source, "sources"), among(Order.external_id, "numbers"))


def record(session: Session, order: OrderIn, programme: Programme, at: datetime) -> OrderOutcome:
    """Store an order and let it earn; the same again changes nothing.

    The identities are one person: the first that is known decides who. Another body under a known id raises KeyReused.
    """
    outcome = record_many(session, [order], programme, at)[0]
    if outcome.error is not None:
        raise outcome.error
    return outcome


def record_many(session: Session, orders: Sequence[OrderIn], programme: Programme, at: datetime, *,
                with_balances: bool = True) -> list[OrderOutcome]:
    """Record a batch as if one after the other, in a few statements; answers in the order given.

    An order that another body is known under carries its `error`, the others go through. Without balances an answer's
    `balance` is 0 and the batch is faster.
    """
    bodies = [hashlib.sha256(order.model_dump_json().encode()).hexdigest() for order in orders]
    known = _known(session, orders)
    fresh = _first_of_each(orders, known)
    members = dict(zip(fresh, buyers(session, [_named(orders[place]) for place in fresh], at), strict=True))
    if fresh and programme.rulebook.needs_lock:
        names = [AccountName(id, POINTS, AVAILABLE) for id in {*members.values()}]
        lock_accounts(session, open_accounts(session, names).values())
        known |= _known(session, [orders[place] for place in fresh])
        fresh = [place for place in fresh if _name(orders[place]) not in known]
    made = _store(session, orders, bodies, {place: members[place] for place in fresh}, programme, at) if fresh else {}
    if len(made) < len(fresh):
        known |= _known(session, [orders[place] for place in fresh if place not in made])
    known |= {_name(orders[place]): stored for place, stored in made.items()}
    held = balances(session, {row.member_id for row in known.values()}, at) if with_balances else {}
    return [_outcome(order, known[_name(order)], body, held, place in made)
            for place, (order, body) in enumerate(zip(orders, bodies, strict=True))]


def purchases(session: Session, member_ids: Collection[int], limit: int = 5) -> dict[int, tuple[Purchase, ...]]:
    """The last `limit` orders of each member that has any, newest first."""
    rows = session.execute(_LAST, {"members": list(member_ids), "limit": limit})
    found: dict[int, list[Purchase]] = defaultdict(list)
    for row in rows:
        found[row.member_id].append(Purchase(row.paid_at, _ITEMS.validate_python(row.items)))
    return {member_id: tuple(bought) for member_id, bought in found.items()}


class _Stored(NamedTuple):
    id: int
    member_id: int
    earned: int
    body_hash: str


def _known(session: Session, orders: Sequence[OrderIn]) -> dict[tuple[str, str], _Stored]:
    wanted = {_name(order) for order in orders}
    rows = session.execute(_BY_NAME, {"sources": sorted({source for source, _ in wanted}),
                                      "numbers": sorted({number for _, number in wanted})})
    return {name: _Stored(row.id, row.member_id, row.earned, row.body_hash) for row in rows
            if (name := (row.source, row.external_id)) in wanted}


def _first_of_each(orders: Sequence[OrderIn], known: Container[tuple[str, str]]) -> list[int]:
    """Places of the orders that are not known, the first where one stands twice."""
    first: dict[tuple[str, str], int] = {}
    for place, order in enumerate(orders):
        if _name(order) not in known:
            first.setdefault(_name(order), place)
    return list(first.values())


def _store(session: Session, orders: Sequence[OrderIn], bodies: Sequence[str], members: Mapping[int, int],
           programme: Programme, at: datetime) -> dict[int, _Stored]:
    """Store these orders of these members with all they bring; by place those that nobody stored meanwhile."""
    earner = Earner(session, programme, {*members.values()}, at, [orders[place].paid_at for place in members])
    shares = {place: earner.earn(member_id, _facts(orders[place]), place) for place, member_id in members.items()}
    rows = {place: _order_row(orders[place], bodies[place], member_id, _sum(shares[place], POINTS), at)
            for place, member_id in members.items()}
    ids = {(row.source, row.external_id): row.id
           for row in insert_many(session, Order, [*rows.values()], ["id", "source", "external_id"])}
    made = {place: _Stored(ids[name], member_id, _sum(shares[place], POINTS), bodies[place])
            for place, member_id in members.items() if (name := _name(orders[place])) in ids}
    _post(session, [(orders[place], stored.member_id, shares[place]) for place, stored in made.items()], programme, at)
    _keep_summaries(session, [(stored.member_id, orders[place], rows[place]["items"])
                              for place, stored in made.items()])
    earner.write({place: stored.id for place, stored in made.items()})
    return made


def _post(session: Session, earned: Sequence[tuple[OrderIn, int, Sequence[Share]]], programme: Programme,
          at: datetime) -> None:
    lapse, days = expires_at(programme, at), programme.earning.pending_days
    free = midnight_after(local_day(at, programme.zone) + timedelta(days=days - 1), programme.zone) if days else None
    movements = []
    for order, member_id, shares in earned:
        key = f"order:{order.source}:{order.external_id}"
        for asset in dict.fromkeys(share.asset for share in shares):
            of_points = asset == POINTS
            movements.append(earning(
                member_id, _sum(shares, asset), key if of_points else f"{key}:{asset}", "order", order.external_id,
                expires_at=lapse if of_points else None, available_from=free if of_points else None, asset=asset))
    for posted in post(session, movements, at):
        if posted.error is not None:
            raise posted.error


_SUMMING = {
    "first_at": "CASE WHEN old.first_at > excluded.first_at THEN excluded.first_at ELSE old.first_at END",
    "last_at": "CASE WHEN old.last_at <= excluded.last_at THEN excluded.last_at ELSE old.last_at END",
    "orders": "old.orders + excluded.orders",
    "amount_fen": "old.amount_fen + excluded.amount_fen",
    "last_items": "CASE WHEN old.last_at <= excluded.last_at THEN excluded.last_items ELSE old.last_items END",
}


def _keep_summaries(session: Session, bought: Sequence[tuple[int, OrderIn, list[dict[str, Any]]]]) -> None:
    """Add the orders to the summary of their members: one row each, whatever order they came in."""
    rows: dict[int, dict[str, Any]] = {}
    for member_id, order, items in bought:
        row = rows.setdefault(member_id, {"member_id": member_id, "first_at": order.paid_at, "last_at": order.paid_at,
                                          "orders": 0, "amount_fen": 0, "last_items": []})
        row["orders"], row["amount_fen"] = row["orders"] + 1, row["amount_fen"] + order.amount_fen
        row["first_at"] = min(row["first_at"], order.paid_at)
        if order.paid_at >= row["last_at"]:
            row["last_at"], row["last_items"] = order.paid_at, items
    if rows:
        upsert_many(session, PurchaseSummary, [rows[id] for id in sorted(rows)], "member_id", _SUMMING)


def _outcome(order: OrderIn, stored: _Stored, body: str, held: Mapping[int, Balance], new: bool) -> OrderOutcome:
    error = None if stored.body_hash == body else KeyReused("/".join(_name(order)), stored.body_hash, body)
    balance = held[stored.member_id].available if held else 0
    return OrderOutcome(stored.id, stored.member_id, stored.earned, balance, new and error is None, error)


def _name(order: OrderIn) -> tuple[str, str]:
    return order.source, order.external_id


def _named(order: OrderIn) -> Named:
    return Named(order.identities, f"order {order.source}/{order.external_id}")


def _facts(order: OrderIn) -> OrderFacts:
    return OrderFacts(order.amount_fen, order.paid_at, order.source, order.shop, order.items)


def _sum(shares: Sequence[Share], asset: str) -> int:
    return sum(share.amount for share in shares if share.asset == asset)


def _order_row(order: OrderIn, body: str, member_id: int, earned: int, at: datetime) -> dict[str, Any]:
    return {
        "source": order.source, "external_id": order.external_id, "body_hash": body, "member_id": member_id,
        "paid_at": order.paid_at, "amount_fen": order.amount_fen, "items": _plain(order.items), "state": "paid",
        "earned": earned, "recorded_at": at,
    }


def _plain(items: Sequence[Item]) -> list[dict[str, Any]]:
    return [{"sku": item.sku, "name": item.name, "quantity": item.quantity, "amount_fen": item.amount_fen}
            | ({"category": item.category} if item.category else {}) for item in items]
