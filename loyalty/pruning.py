"""What was kept for a while and is not needed any more: answers given to writes, events that were told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from loyalty.storage import among
from loyalty.tables import ApiAnswer, table_of
from loyalty.webhook_tables import WebhookDelivery, WebhookEvent
from loyalty.webhooks import WAITING

_ANSWERS, _EVENTS, _DELIVERIES = table_of(ApiAnswer), table_of(WebhookEvent), table_of(WebhookDelivery)


def prune_answers(session: Session, before: datetime, limit: int = 5000) -> int:
    """Drop about so many of the answers older than this; how many. The ledger still knows what was done under a key."""
    old = _ANSWERS.c.at < before
    upto = session.scalar(select(_ANSWERS.c.at).where(old).order_by(_ANSWERS.c.at).offset(limit - 1).limit(1))
    gone = session.execute(delete(_ANSWERS).where(old if upto is None else _ANSWERS.c.at <= upto))
    return gone.rowcount  # type: ignore[attr-defined,no-any-return]


def prune_events(session: Session, before: datetime, now: datetime, limit: int = 5000) -> int:
    """Drop webhook events older than this with their deliveries, at most so many; how many.

    One that is on its way stays, and so does a notice of points whose lapse is to come: it would be told again.
    """
    # The first by number are the oldest: a look for old ones among all would read the whole table to find none.
    first = select(_EVENTS.c.id, _EVENTS.c.at, _EVENTS.c.lapses_at).order_by(_EVENTS.c.id).limit(limit).subquery()
    waiting = select(_DELIVERIES.c.id).where(_DELIVERIES.c.event_id == first.c.id, _DELIVERIES.c.state == WAITING)
    ids = list(session.scalars(
        select(first.c.id).where(first.c.at < before, ~waiting.exists(),
                                 or_(first.c.lapses_at.is_(None), first.c.lapses_at <= now))))
    drop_events(session, ids)
    return len(ids)


def drop_events(session: Session, ids: list[int]) -> None:
    """Forget these events and what became of telling them."""
    if ids:
        session.execute(delete(_DELIVERIES).where(among(_DELIVERIES.c.event_id, ids)))
        session.execute(delete(_EVENTS).where(among(_EVENTS.c.id, ids)))
