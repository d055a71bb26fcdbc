"""Purchase summaries made anew from the orders, where rows changed hands."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import BigInteger, cast, delete, func, insert, select
from sqlalchemy.orm import Session

from loyalty.insight_tables import RhythmChange
from loyalty.storage import among
from loyalty.tables import Order, PurchaseSummary, Refund, table_of


def rebuild_summaries(session: Session, member_ids: Collection[int]) -> None:
    """Make the summary of each of these members from their orders; who has none has no summary."""
    summaries = table_of(PurchaseSummary)
    session.execute(delete(summaries).where(among(summaries.c.member_id, list(member_ids))))
    place = func.row_number().over(partition_by=Order.member_id, order_by=(Order.paid_at.desc(), Order.id.desc()))
    theirs = among(Order.member_id, list(member_ids))
    back = select(Refund.order_id, func.sum(Refund.amount_fen).label("fen")).group_by(Refund.order_id).subquery()
    newest = select(Order.member_id, Order.items, place.label("place")).where(theirs).subquery()
    totals = (
        select(Order.member_id, func.min(Order.paid_at).label("first_at"), func.max(Order.paid_at).label("last_at"),
               func.count().label("orders"),
               cast(func.sum(Order.amount_fen - func.coalesce(back.c.fen, 0)), BigInteger).label("amount_fen"))
        .outerjoin(back, back.c.order_id == Order.id)
        .where(theirs).group_by(Order.member_id).subquery())
    session.execute(insert(summaries).from_select(
        ["member_id", "first_at", "last_at", "orders", "amount_fen", "last_items"],
        select(totals, newest.c["items"]).join(newest, (newest.c.member_id == totals.c.member_id)
                                            & (newest.c.place == 1))))
    session.execute(insert(table_of(RhythmChange)), [{"member_id": id} for id in sorted(member_ids)])
