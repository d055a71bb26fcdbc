"""What happened that a brand's system may want to hear of, read off the ledger and the tiers after the fact.

Nothing is written for it where points move: whoever moves them (API, chat, import, sweep) pays nothing and forgets
nothing. Ids are given out before they are committed, so a reader that goes by the highest one could pass over a row.
A horizon prevents that: the highest id seen is read up to only when every transaction of that moment has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, cast, func, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from loyalty.accounts import AVAILABLE, BURNED, HELD, ISSUED, LAPSED
from loyalty.balances import balances
from loyalty.campaign_tables import TierEvent
from loyalty.expiry import last_day
from loyalty.programme import Programme
from loyalty.tables import Account, Lot, Transfer, table_of
from loyalty.webhook_tables import WebhookCursor, WebhookDelivery, WebhookEvent, WebhookSubscription
from loyalty.writing import insert_new

KINDS: Final = {
    "points.earned": "a member was given points",
    "points.spent": "a member spent points, for a reward or otherwise",
    "points.returned": "a spend was taken back, the points are the member's again",
    "points.taken_back": "an earn was taken back",
    "points.lapsed": "points lapsed",
    "points.about_to_lapse": "points lapse within the notice time",
    "tier.reached": "a member reached a tier",
    "tier.dropped": "a member fell to a lower tier, or to none",
}
_OF_MOVE: Final = {
    (ISSUED, AVAILABLE): "points.earned", (AVAILABLE, BURNED): "points.spent", (HELD, BURNED): "points.spent",
    (BURNED, AVAILABLE): "points.returned", (AVAILABLE, ISSUED): "points.taken_back",
    (AVAILABLE, LAPSED): "points.lapsed",
}
TRANSFERS, TIERS = "transfers", "tier_events"


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell, once under `key`."""

    key: str
    kind: str
    member_id: int
    data: dict[str, Any]
    at: datetime
    lapses_at: datetime | None = None


def gather(session: Session, programme: Programme, now: datetime, notice_days: int = 7, limit: int = 1000) -> int:
    """Write what happened since the last time, and a delivery for everyone who listens to it; how many events.

    Any number may call it at once: they take turns. Who subscribes hears of what happens from then on.
    """
    cursors = _cursors(session)
    listening = _listening(session)
    wanted = {kind for _, kinds in listening for kind in kinds}
    events: list[Event] = []
    for source, column in ((TRANSFERS, Transfer.id), (TIERS, TierEvent.id)):
        low, high = _readable(session, cursors[source], column)
        if wanted and high > low:
            found, high = (_moves if source == TRANSFERS else _tier_steps)(session, low, high, limit)
            events += found
        _move_on(session, source, high, column)
    if "points.about_to_lapse" in wanted:
        events += _lapses(session, programme, now, notice_days, limit)
    return _write(session, [event for event in events if event.kind in wanted], listening, now)


def _cursors(session: Session) -> dict[str, WebhookCursor]:
    """Both cursors, locked until the transaction ends; they begin where the sources end now."""
    rows = [{"source": source, "done_id": session.scalar(select(func.max(column))) or 0, "to_id": 0, "xid": 0}
            for source, column in ((TIERS, TierEvent.id), (TRANSFERS, Transfer.id))]
    wanted = select(WebhookCursor).order_by(WebhookCursor.source).with_for_update()
    found = {row.source: row for row in session.scalars(wanted)}
    if len(found) < len(rows):
        insert_new(session, WebhookCursor, rows, ["source"])
        found = {row.source: row for row in session.scalars(wanted)}
    return found


def _readable(session: Session, cursor: WebhookCursor, column: InstrumentedAttribute[int]) -> tuple[int, int]:
    """From which id on and up to which a source is complete."""
    if session.get_bind().dialect.name != "postgresql":  # one writer: what is there is in order
        return cursor.done_id, session.scalar(select(func.max(column))) or cursor.done_id
    oldest = session.scalar(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")) or 0
    return cursor.done_id, max(cursor.done_id, cursor.to_id) if oldest >= cursor.xid else cursor.done_id


def _move_on(session: Session, source: str, done_id: int, column: InstrumentedAttribute[int]) -> None:
    cursors = table_of(WebhookCursor)
    change: dict[str, Any] = {"done_id": done_id}
    if session.get_bind().dialect.name == "postgresql":
        row = session.execute(select(
            func.coalesce(func.max(column), 0), text("pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))).one()
        known = session.execute(
            select(WebhookCursor.done_id, WebhookCursor.to_id).where(WebhookCursor.source == source)).one()
        if known.to_id <= done_id:  # the last horizon is read up: set the next one
            change |= {"to_id": row[0], "xid": row[1]}
    session.execute(update(cursors).where(cursors.c.source == source).values(**change))


def _listening(session: Session) -> list[tuple[int, frozenset[str]]]:
    rows = session.execute(select(WebhookSubscription.id, WebhookSubscription.kinds)
                           .where(WebhookSubscription.ended_at.is_(None)))
    return [(row.id, frozenset(row.kinds)) for row in rows]


def _moves(session: Session, low: int, high: int, limit: int) -> tuple[list[Event], int]:
    """Points that moved, and the id they are complete up to."""
    debit, credit = aliased(Account), aliased(Account)
    rows = session.execute(
        select(Transfer.id, Transfer.amount, Transfer.reason, Transfer.ref, Transfer.at, Transfer.asset,
               debit.owner.label("giver"), debit.kind.label("source"), credit.owner.label("taker"),
               credit.kind.label("target"))
        .join(debit, debit.id == Transfer.debit_id).join(credit, credit.id == Transfer.credit_id)
        .where(Transfer.id > low, Transfer.id <= high).order_by(Transfer.id).limit(limit)
    ).all()
    events = [
        Event(f"transfer:{row.id}", _OF_MOVE[row.source, row.target], max(row.giver, row.taker),
              {"transfer_id": row.id, "amount": row.amount, "reason": row.reason, "ref": row.ref}, row.at)
        for row in rows if row.asset == "points" and (row.source, row.target) in _OF_MOVE
    ]
    return events, rows[-1].id if len(rows) == limit else high


def _tier_steps(session: Session, low: int, high: int, limit: int) -> tuple[list[Event], int]:
    """Tiers that changed, and the id they are complete up to."""
    rows = session.execute(
        select(TierEvent.id, TierEvent.member_id, TierEvent.kind, TierEvent.old_tier, TierEvent.new_tier, TierEvent.at)
        .where(TierEvent.id > low, TierEvent.id <= high).order_by(TierEvent.id).limit(limit)).all()
    events = [
        Event(f"tier:{row.id}", f"tier.{row.kind}", row.member_id, {"tier": row.new_tier, "before": row.old_tier},
              row.at)
        for row in rows if f"tier.{row.kind}" in KINDS
    ]
    return events, rows[-1].id if len(rows) == limit else high


def _lapses(session: Session, programme: Programme, now: datetime, notice_days: int, limit: int) -> list[Event]:
    """Points that lapse within the notice time and were not told of; what lapses together is one event."""
    told = select(WebhookEvent.id).where(WebhookEvent.member_id == Account.owner,
                                         WebhookEvent.lapses_at == Lot.expires_at).exists()
    rows = session.execute(
        select(Account.owner, Lot.expires_at, cast(func.sum(Lot.remaining), BigInteger).label("amount"))
        .join(Account, Account.id == Lot.account_id)
        .where(Lot.remaining > 0, Lot.expires_at > now, Lot.expires_at <= now + timedelta(days=notice_days),
               Account.asset == "points", Account.kind == AVAILABLE, ~told)
        .group_by(Account.owner, Lot.expires_at).order_by(Lot.expires_at, Account.owner).limit(limit)
    )
    return [
        Event(f"lapse:{row.owner}:{row.expires_at:%Y-%m-%dT%H:%M:%S}", "points.about_to_lapse", row.owner,
              {"amount": row.amount, "last_day": last_day(row.expires_at, programme.zone).isoformat()}, now,
              row.expires_at)
        for row in rows
    ]


def _write(session: Session, events: Sequence[Event], listening: Sequence[tuple[int, Collection[str]]],
           now: datetime) -> int:
    if not events:
        return 0
    held = balances(session, {event.member_id for event in events}, now)
    made = insert_new(session, WebhookEvent, [
        {"key": event.key, "kind": event.kind, "member_id": event.member_id, "lapses_at": event.lapses_at,
         "at": event.at,
         "body": {"member_id": event.member_id, **event.data, "balance": held[event.member_id].available}}
        for event in events
    ], ["id", "kind"])
    insert_new(session, WebhookDelivery, [
        {"subscription_id": subscription_id, "event_id": row.id, "state": "waiting", "attempts": 0, "due_at": now,
         "leased_until": None, "ended_at": None, "answer": ""}
        for row in made for subscription_id, kinds in listening if row.kind in kinds
    ], ["id"])
    return len(made)
