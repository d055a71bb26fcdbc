"""In which rhythm members buy, altogether and each product: one maintained row each, from their own history.

Writers of orders pay nothing: `refresh` follows orders and refunds by id, and looks again at the whole history of
those it met. `rebuild` makes the same rows from nothing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import BigInteger, Select, cast, delete, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from loyalty.days import local_day
from loyalty.insight_tables import InsightMark, ProductRhythm, PurchaseRhythm, RhythmChange
from loyalty.programme import Programme
from loyalty.storage import among
from loyalty.tables import Order, Refund, table_of
from loyalty.writing import insert_into, insert_many

SETTLED: Final = timedelta(seconds=60)
"""A transaction that commits later than this after its neighbours would be missed; rows younger are read again."""
DAY_S: Final = 86_400
FAR: Final = timedelta(days=3650)
"""Nothing is expected later than this after the last purchase."""

_MARKS = table_of(InsightMark)
_BACK = select(Refund.order_id, cast(func.sum(Refund.amount_fen), BigInteger).label("fen")).group_by(Refund.order_id)


@dataclass(frozen=True, slots=True)
class Bought:
    """An order that counts: when it was paid, what stayed paid of it, pieces by product."""

    at: datetime
    amount_fen: int
    pieces: dict[str, int]


@dataclass(frozen=True, slots=True)
class Cycle:
    """How long a piece of a product lasts those who bought it again: measured, beside what the programme says."""

    sku: str
    members: int
    pieces: int
    days_per_piece: float
    programme_days: int | None


def refresh(session: Session, programme: Programme, at: datetime, limit: int = 1000) -> list[int]:
    """Bring the rows of members whose orders changed up to date, at most about `limit`; who they were.

    After the first start, and when the programme's rhythms change, everybody is walked through, a page a call.
    One sweep at a time: another that runs meanwhile does nothing.
    """
    upto = take_mark(session, "rhythms", at)
    if upto is None:
        return []
    changed = _followed(session, "orders", Order.id, Order.recorded_at,
                        select(Order.id, Order.member_id), at, limit)
    changed |= _followed(session, "refunds", Refund.id, Refund.at, select(Refund.id, Order.member_id).join(
        Order, Order.id == Refund.order_id), at, limit)
    changed |= _handed_over(session, limit)
    walked = _walk(session, programme, at, limit)
    recompute(session, programme, changed | walked)
    return sorted(changed | walked)


def rebuild(session: Session, programme: Programme, page: int = 5000) -> int:
    """Make every row from the orders alone; how many members were looked at."""
    session.execute(delete(table_of(PurchaseRhythm)))
    session.execute(delete(table_of(ProductRhythm)))
    last = count = 0
    while members := _buyers_after(session, last, page):
        recompute(session, programme, members)
        last, count = members[-1], count + len(members)
    return count


def recompute(session: Session, programme: Programme, member_ids: Collection[int]) -> None:
    """Make the rows of these members from their orders; who has none has no row."""
    if not member_ids:
        return
    members = sorted(member_ids)
    for entity in (PurchaseRhythm, ProductRhythm):
        table = table_of(entity)
        session.execute(delete(table).where(among(table.c.member_id, members)))
    cycles = {product.sku: product.cycle_days for product in programme.products if product.cycle_days}
    history = _history(session, members)
    insert_many(session, PurchaseRhythm, [rhythm_of(programme, cycles, id, bought) for id, bought in history.items()],
                ["member_id"])
    insert_many(session, ProductRhythm, [row for id, bought in history.items()
                                         for row in product_rhythms_of(programme, cycles, id, bought)], ["member_id"])


def rhythm_of(programme: Programme, cycles: Mapping[str, int], member_id: int, bought: Sequence[Bought]
              ) -> dict[str, Any]:
    """The row of a member from their orders, oldest first.

    The rhythm is the mean gap between occasions, drawn towards what their products last (or the programme's
    `rhythm_days`) by the weight of `prior_weight` gaps. A gap beyond `lost_factor` rhythms is a break: it counts as
    that many and no more, and whoever came back by it has returned.
    """
    policy = programme.insights
    occasions = _occasions(bought, programme)
    gaps = [_days(after - before) for before, after in pairwise(occasions)]
    weight, total = policy.prior_weight, policy.prior_weight * _expected_days(programme, cycles, bought)
    returned = False
    for gap in gaps:
        most = policy.lost_factor * total / weight
        returned = gap > most
        weight, total = weight + 1, total + min(gap, most)
    rhythm, last = total / weight, bought[-1].at
    return {
        "member_id": member_id, "first_at": bought[0].at, "last_at": last, "orders": len(bought),
        "occasions": len(occasions), "amount_fen": sum(each.amount_fen for each in bought),
        "span_days": _days(occasions[-1] - occasions[0]),
        "last_gap_days": gaps[-1] if gaps else None, "earlier_gap_days": gaps[-2] if len(gaps) > 1 else None,
        "rhythm_days": rhythm, "returned": returned, "due_at": _after(last, rhythm),
        "cooling_at": _after(last, rhythm * policy.cooling_factor),
        "lost_at": _after(last, rhythm * policy.lost_factor),
    }


def product_rhythms_of(programme: Programme, cycles: Mapping[str, int], member_id: int, bought: Sequence[Bought]
                       ) -> list[dict[str, Any]]:
    """A row for each product a member bought: days a piece lasts them, drawn towards the programme's cycle."""
    by_sku: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for order in bought:
        for sku, pieces in order.pieces.items():
            by_sku[sku].append((order.at, pieces))
    weight = programme.insights.prior_weight
    return [_product_row(weight, cycles.get(sku), member_id, sku, times) for sku, times in sorted(by_sku.items())]


def product_cycles(session: Session, programme: Programme, from_members: int = 5) -> list[Cycle]:
    """What a piece of each product really lasts, over all members who bought it again; the programme says otherwise
    where the two are far apart."""
    table = table_of(ProductRhythm)
    rows = session.execute(
        select(table.c.sku, func.count(), cast(func.sum(table.c.used_pieces), BigInteger), func.sum(table.c.used_days))
        .where(table.c.used_pieces > 0).group_by(table.c.sku).having(func.count() >= from_members)
        .order_by(table.c.sku))
    known = {product.sku: product.cycle_days for product in programme.products}
    return [Cycle(sku, members, pieces, days / pieces, known.get(sku)) for sku, members, pieces, days in rows]


def take_mark(session: Session, name: str, at: datetime, digest: str = "", begin: int = 0) -> int | None:
    """How far a sweep has come, locked for this transaction; none where another has it."""
    where = select(InsightMark.upto).where(InsightMark.name == name).with_for_update(skip_locked=True)
    mark = session.execute(where).first()
    if mark is None:
        row = {"name": name, "upto": begin, "digest": digest, "at": at}
        session.execute(insert_into(session, InsightMark).on_conflict_do_nothing(), [row])
        mark = session.execute(where).first()
    return None if mark is None else mark.upto


def move_mark(session: Session, name: str, upto: int, at: datetime, digest: str = "") -> None:
    """Note how far a sweep has come."""
    session.execute(_MARKS.update().where(_MARKS.c.name == name).values(upto=upto, at=at, digest=digest))


def _followed(session: Session, name: str, id: InstrumentedAttribute[int], when: InstrumentedAttribute[datetime],
              rows: Select[int, int], at: datetime, limit: int) -> set[int]:
    """Whose rows are new: at once, and once more when what was committed late must be there."""
    found = _page(session, name, id, rows, at, limit)
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer: nothing is committed late
        found |= _page(session, f"{name}:settled", id, rows.where(when < at - SETTLED), at, limit)
    return found


def _page(session: Session, name: str, id: InstrumentedAttribute[int], rows: Select[int, int], at: datetime,
          limit: int) -> set[int]:
    upto = session.scalar(select(_MARKS.c.upto).where(_MARKS.c.name == name))
    if upto is None:  # the walk through everybody sees what was stored before
        last = rows.with_only_columns(func.max(id))
        upto = take_mark(session, name, at, begin=session.scalar(last) or 0) or 0
    fresh = session.execute(rows.where(id > upto).order_by(id).limit(limit)).all()
    if fresh:
        move_mark(session, name, fresh[-1].id, at)
    return {row.member_id for row in fresh}


def _handed_over(session: Session, limit: int) -> set[int]:
    table = table_of(RhythmChange)
    first = select(table.c.id).order_by(table.c.id).limit(limit)
    gone = session.execute(delete(table).where(table.c.id.in_(first)).returning(table.c.member_id))
    return set(gone.scalars())


def _walk(session: Session, programme: Programme, at: datetime, limit: int) -> set[int]:
    """The next page of everybody, until all were seen under these settings."""
    digest = digest_of(programme)
    upto = take_mark(session, "everybody", at, digest)
    if session.scalar(select(_MARKS.c.digest).where(_MARKS.c.name == "everybody")) != digest:
        upto = 0
    members = _buyers_after(session, upto or 0, limit)
    if members or upto == 0:
        move_mark(session, "everybody", members[-1] if members else upto or 0, at, digest)
    return set(members)


def digest_of(programme: Programme) -> str:
    """What of a programme decides the rows."""
    policy = programme.insights
    told = (policy.rhythm_days, policy.prior_weight, policy.cooling_factor, policy.lost_factor, programme.timezone,
            [(product.sku, product.cycle_days) for product in programme.products])
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _buyers_after(session: Session, last: int, limit: int) -> list[int]:
    return list(session.scalars(select(Order.member_id).distinct().where(Order.member_id > last)
                                .order_by(Order.member_id).limit(limit)))


def _history(session: Session, members: Sequence[int]) -> dict[int, list[Bought]]:
    """What each member bought and kept at least in part, oldest first."""
    back = (_BACK.join(Order, Order.id == Refund.order_id).where(among(Order.member_id, members))).subquery()
    rows = session.execute(
        select(Order.member_id, Order.paid_at, (Order.amount_fen - func.coalesce(back.c.fen, 0)).label("fen"),
               Order.items)
        .outerjoin(back, back.c.order_id == Order.id)
        .where(among(Order.member_id, members), Order.state != "refunded")
        .order_by(Order.member_id, Order.paid_at, Order.id))
    found: dict[int, list[Bought]] = defaultdict(list)
    for member_id, paid_at, fen, items in rows:
        pieces: dict[str, int] = {}
        for item in items:
            pieces[item["sku"]] = pieces.get(item["sku"], 0) + item["quantity"]
        found[member_id].append(Bought(paid_at, int(fen), pieces))
    return found


def _occasions(bought: Sequence[Bought], programme: Programme) -> list[datetime]:
    """The first moment of each local day something was bought."""
    zone = programme.zone
    first: dict[Any, datetime] = {}
    for order in bought:
        first.setdefault(local_day(order.at, zone), order.at)
    return list(first.values())


def _expected_days(programme: Programme, cycles: Mapping[str, int], bought: Sequence[Bought]) -> float:
    """What the things of the newest order with a known cycle last at most; else the programme's rhythm."""
    for order in reversed(bought):
        lasts = [cycles[sku] * pieces for sku, pieces in order.pieces.items() if sku in cycles]
        if lasts:
            return float(min(max(lasts), FAR.days))
    return programme.insights.rhythm_days


def _product_row(weight: float, cycle: int | None, member_id: int, sku: str, times: Sequence[tuple[datetime, int]]
                 ) -> dict[str, Any]:
    used_days = _days(times[-1][0] - times[0][0])
    used = sum(pieces for at, pieces in times if at < times[-1][0])
    per_piece: float | None = None
    if cycle:
        per_piece = (weight * cycle + used_days) / (weight + used)
    elif used:
        per_piece = used_days / used
    last, left = times[-1][0], sum(pieces for at, pieces in times if at == times[-1][0])
    return {
        "member_id": member_id, "sku": sku, "first_at": times[0][0], "last_at": last, "occasions": len(times),
        "pieces": sum(pieces for _, pieces in times), "used_pieces": used, "used_days": used_days,
        "days_per_piece": per_piece, "due_at": None if per_piece is None else _after(last, per_piece * left),
    }


def _days(span: timedelta) -> float:
    return span.total_seconds() / DAY_S


def _after(moment: datetime, days: float) -> datetime:
    return moment + timedelta(days=min(days, FAR.days))
