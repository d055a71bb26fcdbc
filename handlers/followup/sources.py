"""Where happenings come from without being told: orders, refunds, redemptions, points, tiers, read as they are stored.

Whoever stores them (the API, an import, the console) need not know of follow-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, Select, String, cast, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from handlers.brand import Brand
from handlers.followup.entries import Happening, note
from handlers.followup.tables import HappeningRow, WatermarkRow
from loyalty.campaign_tables import TierEvent
from loyalty.storage import among
from loyalty.tables import Account, Order, Redemption, Refund, Transfer, table_of
from loyalty.writing import insert_into

SETTLED: Final = timedelta(seconds=60)
"""A transaction that commits later than this after its neighbours would be missed; rows younger are read again."""

LATELY: Final = timedelta(days=2)
"""An order that is recorded later than this after it was paid belongs to the past."""


@dataclass(frozen=True, slots=True)
class Source:
    """A table that grows: what a row of it means, and the kinds of happening it may give."""

    name: str
    kinds: frozenset[str]
    id: InstrumentedAttribute[int]
    at: InstrumentedAttribute[datetime]
    rows: Select[*tuple[Any, ...]]
    read: Callable[[Session, Brand, Sequence[Row[Any]]], list[Happening]]


def follow(session: Session, brand: Brand, now: datetime, limit: int) -> int:
    """Note what was stored since the last time, for the kinds some follow-up cares about; gives how much."""
    wanted, count = brand.sops.waits_for(), 0
    for source in SOURCES:
        if source.kinds & wanted:
            count += _follow(session, brand, source, now, limit)
    return count


def _follow(session: Session, brand: Brand, source: Source, now: datetime, limit: int) -> int:
    mark = session.execute(
        select(WatermarkRow.upto).where(WatermarkRow.source == source.name).with_for_update(skip_locked=True)
    ).first()
    if mark is None:
        # Another process has it, or nobody yet: what was stored before anybody listened sets nothing off.
        newest = session.scalar(select(func.max(source.id))) or 0
        row = {"source": source.name, "upto": newest, "at": now}
        session.execute(insert_into(session, WatermarkRow).on_conflict_do_nothing(), [row])
        return 0
    known = select(HappeningRow.id).where(HappeningRow.key == literal(f"{source.name}:") + cast(source.id, String))
    fresh = session.execute(
        source.rows.where(source.id > mark.upto, ~known.exists()).order_by(source.id).limit(limit)
    ).all()
    if fresh:
        note(session, source.read(session, brand, fresh), now)
    settled = session.scalar(
        select(func.max(source.id)).where(source.id > mark.upto, source.at < now - SETTLED)
        if len(fresh) < limit
        else select(literal(None))
    )
    if settled is not None:
        table = table_of(WatermarkRow)
        session.execute(table.update().where(table.c.source == source.name).values(upto=settled, at=now))
    return len(fresh)


def _orders(session: Session, brand: Brand, rows: Sequence[Row[Any]]) -> list[Happening]:
    place = func.row_number().over(partition_by=Order.member_id, order_by=(Order.paid_at, Order.id))
    counted = select(Order.id, place.label("place")).where(among(Order.member_id, {row.member_id for row in rows}))
    number = {row.id: row.place for row in session.execute(counted)}
    return [
        Happening("order", row.member_id, f"orders:{row.id}", row.at, {
            "event_amount_yuan": row.amount_fen / 100, "event_number": number[row.id],
            "event_name": str(row.items[0]["name"]) if row.items else "", "event_code": row.external_id,
        })
        for row in rows
    ]  # fmt: skip


def _refunds(session: Session, brand: Brand, rows: Sequence[Row[Any]]) -> list[Happening]:
    return [Happening("refund", row.member_id, f"refunds:{row.id}", row.at,
                      {"event_amount_yuan": row.amount_fen / 100}) for row in rows]  # fmt: skip


def _redemptions(session: Session, brand: Brand, rows: Sequence[Row[Any]]) -> list[Happening]:
    return [Happening("redeemed", row.member_id, f"redemptions:{row.id}", row.at,
                      {"event_name": row.name, "event_points": row.cost}) for row in rows]  # fmt: skip


def _tiers(session: Session, brand: Brand, rows: Sequence[Row[Any]]) -> list[Happening]:
    names = {tier.id: tier.name for tier in brand.programme.tiers}
    kinds = {"reached": "tier_reached", "grace": "tier_at_risk"}
    lowest = brand.programme.tiers[0].id if brand.programme.tiers else ""
    since = min((row.at for row in rows), default=None)
    told_late = set() if since is None else {
        (order.member_id, order.recorded_at)
        for order in session.execute(
            select(Order.member_id, Order.recorded_at, Order.paid_at)
            .where(among(Order.member_id, {row.member_id for row in rows}), Order.recorded_at >= since))
        if order.paid_at < order.recorded_at - LATELY
    }  # fmt: skip
    return [
        Happening(kinds.get(row.kind, f"tier_{row.kind}"), row.member_id, f"tier_events:{row.id}", row.at,
                  {"event_tier": names.get(row.new_tier or "", "")})
        for row in rows
        # Everybody begins at the lowest, and what old orders brought when they were imported is no news to anybody.
        if not (row.kind == "reached" and (row.new_tier == lowest or (row.member_id, row.at) in told_late))
    ]  # fmt: skip


def _points(session: Session, brand: Brand, rows: Sequence[Row[Any]]) -> list[Happening]:
    return [Happening("points_earned", row.member_id, f"transfers:{row.id}", row.at, {"event_points": row.amount})
            for row in rows]  # fmt: skip


SOURCES: Final = (
    Source(
        "orders", frozenset({"order"}), Order.id, Order.recorded_at,
        select(Order.id, Order.member_id, Order.recorded_at.label("at"), Order.amount_fen, Order.items,
               Order.external_id), _orders,
    ),
    Source(
        "refunds", frozenset({"refund"}), Refund.id, Refund.at,
        select(Refund.id, Order.member_id, Refund.at.label("at"), Refund.amount_fen)
        .join(Order, Order.id == Refund.order_id), _refunds,
    ),
    Source(
        "redemptions", frozenset({"redeemed"}), Redemption.id, Redemption.at,
        select(Redemption.id, Redemption.member_id, Redemption.at.label("at"), Redemption.name, Redemption.cost),
        _redemptions,
    ),
    Source(
        "tier_events", frozenset({"tier_reached", "tier_at_risk"}), TierEvent.id, TierEvent.at,
        select(TierEvent.id, TierEvent.member_id, TierEvent.at.label("at"), TierEvent.kind, TierEvent.new_tier), _tiers,
    ),
    Source(
        "transfers", frozenset({"points_earned"}), Transfer.id, Transfer.at,
        select(Transfer.id, Account.owner.label("member_id"), Transfer.at.label("at"), Transfer.amount)
        .join(Account, Account.id == Transfer.credit_id)
        .where(Account.asset == "points", Account.kind == "available", Transfer.reason != "sop"), _points,
    ),
)  # fmt: skip
"""Every table that is followed."""
