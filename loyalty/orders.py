"""Paid orders: stored once, points earned once, the member's purchase summary kept with each."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from loyalty.accounts import AVAILABLE, POINTS, AccountName, lock_accounts, open_accounts
from loyalty.balances import Balance, balances
from loyalty.bulk import BULK, cell_of_moments, load, next_ids, on_sqlite
from loyalty.buyers import Named, buyers
from loyalty.customers import PRINTABLE, Identity
from loyalty.days import local_day, midnight_after
from loyalty.earning import Earner
from loyalty.errors import KeyReused
from loyalty.expiry import expires_at
from loyalty.ledger import Gain, earn_many
from loyalty.programme import Programme
from loyalty.rulebook import OrderFacts, Share
from loyalty.storage import among
from loyalty.tables import Order, PurchaseSummary, table_of
from loyalty.writing import insert_many, upsert_many

LONGEST, MOST_FEN, MOST_PIECES, MOST_LINES, MOST_IDENTITIES = 200, 10**12, 1_000_000, 500, 20
Name = Annotated[str, Field(pattern=PRINTABLE, max_length=LONGEST)]
Fen = Annotated[int, Field(ge=0, le=MOST_FEN)]
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
    quantity: Annotated[int, Field(ge=1, le=MOST_PIECES)] = 1
    amount_fen: Fen = 0
    category: Annotated[str, Field(max_length=LONGEST, exclude_if=_empty)] = ""


class OrderIn(BaseModel):
    """A paid order as its source tells it; `external_id` is the source's own id, `amount_fen` what was paid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Name
    external_id: Name
    identities: Annotated[tuple[Identity, ...], Field(min_length=1, max_length=MOST_IDENTITIES)]
    paid_at: PlausibleMoment
    amount_fen: Fen
    items: Annotated[tuple[Item, ...], Field(max_length=MOST_LINES)] = ()
    shop: Annotated[str, Field(max_length=LONGEST, exclude_if=_empty)] = ""


class Line(NamedTuple):
    """One line of an order that is ready."""

    sku: str
    name: str
    quantity: int
    amount_fen: int
    category: str


class Ready(NamedTuple):
    """An order as recording needs it: checked, its body hashed, its items as JSON; travels well between processes."""

    source: str
    external_id: str
    body: str
    identities: tuple[Identity, ...]
    paid_at: datetime
    amount_fen: int
    shop: str
    lines: tuple[Line, ...]
    items: str


class OrderOutcome(NamedTuple):
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
_encode = msgspec.json.Encoder().encode
_text = re.compile(rf"[^\x00-\x1f\x7f]{{1,{LONGEST}}}").fullmatch


def _last_statement() -> Select[*tuple[Any, ...]]:
    newest = func.row_number().over(partition_by=Order.member_id, order_by=(Order.paid_at.desc(), Order.id.desc()))
    ranked = (select(Order.member_id, Order.paid_at, Order.items, newest.label("place"))
              .where(among(Order.member_id, "members")).subquery())
    return (select(ranked).where(ranked.c.place <= bindparam("limit"))
            .order_by(ranked.c.member_id, ranked.c.place))


_LAST = _last_statement()
_ORDERS = table_of(Order).c
_BY_NAME = select(_ORDERS.source, _ORDERS.external_id, _ORDERS.id, _ORDERS.member_id, _ORDERS.earned,
                  _ORDERS.body_hash).where(among(_ORDERS.source, "sources"), among(_ORDERS.external_id, "numbers"))
_COLUMNS = ("id", "source", "external_id", "body_hash", "member_id", "paid_at", "amount_fen", "items", "state",
            "earned", "recorded_at")


def ready(order: OrderIn) -> Ready:
    """Make an order ready; what needs no database is done here, on whatever processor."""
    return _ready(order.source, order.external_id, order.identities, order.paid_at, order.amount_fen, order.shop,
                  lines_of(order.items))


def lines_of(items: Sequence[Item]) -> tuple[Line, ...]:
    """Items as plain lines."""
    return tuple([Line(item.sku, item.name, item.quantity, item.amount_fen, item.category) for item in items])


def checked(source: str, external_id: str, identities: tuple[Identity, ...], paid_at: datetime, amount_fen: int,
            shop: str, lines: tuple[Line, ...]) -> Ready:
    """An order made ready of plain values, at a third of the price of a model; raises ValidationError as OrderIn does.

    The caller answers for the moment and for each identity alone; whatever else looks odd is left to OrderIn.
    """
    if (_text(source) and _text(external_id) and 0 < len(identities) <= MOST_IDENTITIES and len(shop) <= LONGEST
            and 0 <= amount_fen <= MOST_FEN and len(lines) <= MOST_LINES and all(map(_fits, lines))):
        try:
            return _ready(source, external_id, identities, paid_at, amount_fen, shop, lines)
        except UnicodeEncodeError:  # bytes that are no text are a matter of one field, which OrderIn names
            pass
    return ready(OrderIn.model_validate({
        "source": source, "external_id": external_id, "identities": identities, "paid_at": paid_at,
        "amount_fen": amount_fen, "items": [line._asdict() for line in lines], "shop": shop}))


def _fits(line: Line) -> bool:
    sku, name, quantity, amount_fen, category = line
    return bool(_text(sku) and _text(name) and 0 < quantity <= MOST_PIECES and 0 <= amount_fen <= MOST_FEN
                and len(category) <= LONGEST)


def _ready(source: str, external_id: str, identities: tuple[Identity, ...], paid_at: datetime, amount_fen: int,
           shop: str, lines: tuple[Line, ...]) -> Ready:
    items = _encode(_plain(lines)) if lines else b"[]"
    # The hash is stored and compared: byte for byte what OrderIn.model_dump_json() gives.
    body = {"source": source, "external_id": external_id, "identities": identities, "paid_at": paid_at,
            "amount_fen": amount_fen, "items": msgspec.Raw(items)}
    if shop:
        body["shop"] = shop
    return Ready(source, external_id, hashlib.sha256(_encode(body)).hexdigest(), identities, paid_at.astimezone(UTC),
                 amount_fen, shop, lines, items.decode())


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
    `balance` is 0 and the batch is faster. From BULK new orders on, IntegrityError where another transaction stores one
    of them or makes one of their buyers meanwhile: roll back and do it again.
    """
    return record_ready(session, [ready(order) for order in orders], programme, at, with_balances=with_balances)


def record_ready(session: Session, orders: Sequence[Ready], programme: Programme, at: datetime, *,
                 with_balances: bool = True) -> list[OrderOutcome]:
    """As record_many, of orders that were made ready before."""
    known = _known(session, orders)
    fresh = _first_of_each(orders, known)
    members = dict(zip(fresh, buyers(session, [_named(orders[place]) for place in fresh], at), strict=True))
    if fresh and programme.rulebook.needs_lock and not on_sqlite(session):
        names = [AccountName(id, POINTS, AVAILABLE) for id in {*members.values()}]
        lock_accounts(session, open_accounts(session, names).values())
        known |= _known(session, [orders[place] for place in fresh])
        fresh = [place for place in fresh if (orders[place].source, orders[place].external_id) not in known]
    made = _store(session, orders, {place: members[place] for place in fresh}, programme, at) if fresh else {}
    if len(made) < len(fresh):
        known |= _known(session, [orders[place] for place in fresh if place not in made])
    held: Mapping[int, Balance] = {}
    if with_balances:
        told = {row.member_id for row in known.values()} | {row.member_id for row in made.values()}
        held = balances(session, told, at)
    for place, stored in made.items():
        known[orders[place].source, orders[place].external_id] = stored
    return [_outcome(order, known[order.source, order.external_id], held, place in made)
            for place, order in enumerate(orders)]


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


def _known(session: Session, orders: Sequence[Ready]) -> dict[tuple[str, str], _Stored]:
    wanted = {(order.source, order.external_id) for order in orders}
    rows = session.execute(_BY_NAME, {"sources": sorted({source for source, _ in wanted}),
                                      "numbers": sorted({number for _, number in wanted})})
    return {name: _Stored(row.id, row.member_id, row.earned, row.body_hash) for row in rows
            if (name := (row.source, row.external_id)) in wanted}


def _first_of_each(orders: Sequence[Ready], known: Container[tuple[str, str]]) -> list[int]:
    """Places of the orders that are not known, the first where one stands twice."""
    first: dict[tuple[str, str], int] = {}
    for place, order in enumerate(orders):
        name = (order.source, order.external_id)
        if name not in known:
            first.setdefault(name, place)
    return list(first.values())


def _store(session: Session, orders: Sequence[Ready], members: Mapping[int, int], programme: Programme,
           at: datetime) -> dict[int, _Stored]:
    """Store these orders of these members with all they bring; by place those that nobody stored meanwhile."""
    earner = Earner(session, programme, {*members.values()}, at, [orders[place].paid_at for place in members])
    shares = {place: earner.earn(member_id, _facts(orders[place]), place) for place, member_id in members.items()}
    sold = [(orders[place], member_id, _points(shares[place])) for place, member_id in members.items()]
    ids = _insert(session, sold, at)
    made = {place: _Stored(id, member_id, earned, order.body)
            for place, id, (order, member_id, earned) in zip(members, ids, sold, strict=True) if id is not None}
    _post(session, [(orders[place], stored.member_id, shares[place]) for place, stored in made.items()], programme, at)
    _keep_summaries(session, [(stored.member_id, orders[place]) for place, stored in made.items()])
    earner.write({place: stored.id for place, stored in made.items()})
    return made


def _insert(session: Session, sold: Sequence[tuple[Ready, int, int]], at: datetime) -> list[int | None]:
    """Ids of the orders in the order given, none where somebody else stored one meanwhile."""
    if len(sold) >= BULK:
        cell = cell_of_moments(session)
        now, ids = cell(at), next_ids(session, Order, len(sold))
        rows = [(id, order.source, order.external_id, order.body, member_id, cell(order.paid_at), order.amount_fen,
                 order.items, "paid", earned, now) for id, (order, member_id, earned) in zip(ids, sold, strict=True)]
        load(session, Order, _COLUMNS, rows)
        return [*ids]
    made = {(row.source, row.external_id): row.id for row in insert_many(
        session, Order, [_order_row(*each, at) for each in sold], ["id", "source", "external_id"])}
    return [made.get((order.source, order.external_id)) for order, _, _ in sold]


def _post(session: Session, earned: Sequence[tuple[Ready, int, Sequence[Share]]], programme: Programme,
          at: datetime) -> None:
    lapse, days = expires_at(programme, at), programme.earning.pending_days
    free = midnight_after(local_day(at, programme.zone) + timedelta(days=days - 1), programme.zone) if days else None
    gains = []
    for order, member_id, shares in earned:
        key = f"order:{order.source}:{order.external_id}"
        for asset, amount in _by_asset(shares):
            of_points = asset == POINTS
            gains.append(Gain(member_id, amount, key if of_points else f"{key}:{asset}", order.external_id, asset,
                              lapse if of_points else None, free if of_points else None))
    earn_many(session, gains, "order", at)


_SUMMING = {
    "first_at": "CASE WHEN old.first_at > excluded.first_at THEN excluded.first_at ELSE old.first_at END",
    "last_at": "CASE WHEN old.last_at <= excluded.last_at THEN excluded.last_at ELSE old.last_at END",
    "orders": "old.orders + excluded.orders",
    "amount_fen": "old.amount_fen + excluded.amount_fen",
    "last_items": "CASE WHEN old.last_at <= excluded.last_at THEN excluded.last_items ELSE old.last_items END",
}


def _keep_summaries(session: Session, bought: Sequence[tuple[int, Ready]]) -> None:
    """Add the orders to the summary of their members: one row each, whatever order they came in."""
    rows: dict[int, dict[str, Any]] = {}
    last: dict[int, Ready] = {}
    for member_id, order in bought:
        paid_at = order.paid_at
        row = rows.get(member_id)
        if row is None:
            rows[member_id] = {"member_id": member_id, "first_at": paid_at, "last_at": paid_at, "orders": 1,
                               "amount_fen": order.amount_fen, "last_items": None}
            last[member_id] = order
            continue
        row["orders"] += 1
        row["amount_fen"] += order.amount_fen
        if paid_at < row["first_at"]:
            row["first_at"] = paid_at
        if paid_at >= row["last_at"]:
            row["last_at"], last[member_id] = paid_at, order
    plain = on_sqlite(session)
    for member_id, row in rows.items():
        items = last[member_id].items
        row["last_items"] = items if plain else msgspec.Raw(items.encode())
    if rows:
        upsert_many(session, PurchaseSummary, [rows[id] for id in sorted(rows)], "member_id", _SUMMING)


def _outcome(order: Ready, stored: _Stored, held: Mapping[int, Balance], new: bool) -> OrderOutcome:
    error = None
    if stored.body_hash != order.body:
        error = KeyReused(f"{order.source}/{order.external_id}", stored.body_hash, order.body)
    balance = held[stored.member_id].available if held else 0
    return OrderOutcome(stored.id, stored.member_id, stored.earned, balance, new and error is None, error)


def _named(order: Ready) -> Named:
    return Named(order.identities, f"order {order.source}/{order.external_id}")


def _facts(order: Ready) -> OrderFacts:
    return OrderFacts(order.amount_fen, order.paid_at, order.source, order.shop, order.lines)


def _points(shares: Sequence[Share]) -> int:
    return sum([amount for asset, amount in _by_asset(shares) if asset == POINTS])


def _by_asset(shares: Sequence[Share]) -> Collection[tuple[str, int]]:
    """What an order gives of each asset, in the order of the rules; most give one thing by one rule."""
    if len(shares) == 1:
        return [(shares[0].asset, shares[0].amount)]
    sums: dict[str, int] = {}
    for _, _, asset, amount in shares:
        sums[asset] = sums.get(asset, 0) + amount
    return sums.items()


def _order_row(order: Ready, member_id: int, earned: int, at: datetime) -> dict[str, Any]:
    return {
        "source": order.source, "external_id": order.external_id, "body_hash": order.body, "member_id": member_id,
        "paid_at": order.paid_at, "amount_fen": order.amount_fen, "items": msgspec.Raw(order.items.encode()),
        "state": "paid", "earned": earned, "recorded_at": at,
    }


def _plain(items: Sequence[Line]) -> list[dict[str, Any]]:
    return [{"sku": item.sku, "name": item.name, "quantity": item.quantity, "amount_fen": item.amount_fen}
            | ({"category": item.category} if item.category else {}) for item in items]
