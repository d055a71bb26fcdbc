"""Paid orders: stored once, points earned once, the member's purchase summary kept with each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from sqlalchemy import JSON, Select, bindparam, case, func, literal, select
from sqlalchemy.orm import Session

from loyalty.balances import balance_of
from loyalty.customers import PRINTABLE, Identity, attach, find_many, profiles, resolve, set_tier
from loyalty.earning import points_for
from loyalty.errors import IdentityTaken, KeyReused
from loyalty.expiry import expires_at
from loyalty.ledger import earn
from loyalty.programme import Programme
from loyalty.storage import UtcDateTime, among
from loyalty.tables import Order, PurchaseSummary, table_of
from loyalty.tiers import tier_of
from loyalty.writing import body_hash, insert_new, upsert_row

Name = Annotated[str, Field(pattern=PRINTABLE, max_length=200)]
Fen = Annotated[int, Field(ge=0, le=10**12)]
PlausibleMoment = Annotated[
    AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))
]


class Item(BaseModel):
    """One line of an order; `amount_fen` is what was paid for the whole line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sku: Name
    name: Name
    quantity: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    amount_fen: Fen = 0


class OrderIn(BaseModel):
    """A paid order as its source tells it; `external_id` is the source's own id, `amount_fen` what was paid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Name
    external_id: Name
    identities: Annotated[tuple[Identity, ...], Field(min_length=1, max_length=20)]
    paid_at: PlausibleMoment
    amount_fen: Fen
    items: Annotated[tuple[Item, ...], Field(max_length=500)] = ()


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """What an order did; `new` is False where it was known, then `earned` is what it earned the first time."""

    order_id: int
    member_id: int
    earned: int
    balance: int
    new: bool


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


def record(session: Session, order: OrderIn, programme: Programme, at: datetime) -> OrderOutcome:
    """Store an order and let it earn; the same again changes nothing.

    The identities are one person: the first that is known decides who. Another body under a known id raises KeyReused.
    """
    body = body_hash(order.model_dump(mode="json"))
    known = _known(session, order, body, at)
    if known is not None:
        return known
    member_id = _buyer(session, order, at)
    earned = points_for(programme, order.amount_fen, profiles(session, [member_id])[member_id].tier)
    row = _order_row(order, body, member_id, earned, at)
    made = insert_new(session, Order, [row], ["id"])
    if not made:
        raced = _known(session, order, body, at)
        if raced is None:
            raise RuntimeError(f"order {order.source}/{order.external_id} neither stored nor found")
        return raced
    if earned:
        key = f"order:{order.source}:{order.external_id}"
        earn(session, member_id, earned, key=key, reason="order", ref=order.external_id, at=at,
             expires_at=expires_at(programme, at))
    _keep_summary(session, member_id, order)
    _lift_tier(session, member_id, programme)
    return OrderOutcome(made[0].id, member_id, earned, balance_of(session, member_id, at).available, True)


def purchases(session: Session, member_ids: Collection[int], limit: int = 5) -> dict[int, tuple[Purchase, ...]]:
    """The last `limit` orders of each member that has any, newest first."""
    rows = session.execute(_LAST, {"members": list(member_ids), "limit": limit})
    found: dict[int, list[Purchase]] = defaultdict(list)
    for row in rows:
        found[row.member_id].append(Purchase(row.paid_at, _ITEMS.validate_python(row.items)))
    return {member_id: tuple(bought) for member_id, bought in found.items()}


def _known(session: Session, order: OrderIn, body: str, at: datetime) -> OrderOutcome | None:
    row = session.execute(
        select(Order.id, Order.member_id, Order.earned, Order.body_hash)
        .where(Order.source == order.source, Order.external_id == order.external_id)
    ).first()
    if row is None:
        return None
    if row.body_hash != body:
        raise KeyReused(f"{order.source}/{order.external_id}", row.body_hash, body)
    return OrderOutcome(row.id, row.member_id, row.earned, balance_of(session, row.member_id, at).available, False)


def _buyer(session: Session, order: OrderIn, at: datetime) -> int:
    """Member behind the order; identities of theirs that are new are attached, foreign ones become a proposal."""
    known = find_many(session, order.identities)
    chosen = next((identity for identity in order.identities if identity in known), order.identities[0])
    member_id = resolve(session, [chosen], at)[chosen]
    for identity in order.identities:
        if known.get(identity) != member_id and identity != chosen:
            _attach_or_propose(session, member_id, identity, order, at)
    return member_id


def _attach_or_propose(session: Session, member_id: int, identity: Identity, order: OrderIn, at: datetime) -> None:
    try:
        attach(session, member_id, identity.kind, identity.value, f"order {order.source}/{order.external_id}", at)
    except IdentityTaken:
        return  # the proposal is noted; the order itself is certain


def _order_row(order: OrderIn, body: str, member_id: int, earned: int, at: datetime) -> dict[str, Any]:
    return {
        "source": order.source, "external_id": order.external_id, "body_hash": body, "member_id": member_id,
        "paid_at": order.paid_at, "amount_fen": order.amount_fen, "items": _plain(order.items), "state": "paid",
        "earned": earned, "recorded_at": at,
    }


def _keep_summary(session: Session, member_id: int, order: OrderIn) -> None:
    old = table_of(PurchaseSummary).c
    row = {"member_id": member_id, "first_at": order.paid_at, "last_at": order.paid_at, "orders": 1,
           "amount_fen": order.amount_fen, "last_items": _plain(order.items)}
    paid_at = literal(order.paid_at, UtcDateTime())
    newer = old.last_at <= paid_at
    upsert_row(session, PurchaseSummary, row, ["member_id"], {
        "first_at": case((old.first_at > paid_at, paid_at), else_=old.first_at),
        "last_at": case((newer, paid_at), else_=old.last_at),
        "orders": old.orders + 1,
        "amount_fen": old.amount_fen + order.amount_fen,
        "last_items": case((newer, literal(row["last_items"], JSON)), else_=old.last_items),
    })


def _lift_tier(session: Session, member_id: int, programme: Programme) -> None:
    """Note the tier the member's purchases reach; a tier is never lost by buying."""
    paid = session.scalar(select(PurchaseSummary.amount_fen).where(PurchaseSummary.member_id == member_id)) or 0
    reached = tier_of(programme, paid)
    has = profiles(session, [member_id])[member_id].tier
    if reached is not None and programme.tier_rank(reached.id) > programme.tier_rank(has):
        set_tier(session, member_id, reached.id)


def _plain(items: Sequence[Item]) -> list[dict[str, Any]]:
    return [item.model_dump() for item in items]
