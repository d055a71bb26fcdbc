"""Who listens to what happens, and which messages are on their way to them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.webhook_tables import WebhookDelivery, WebhookEvent, WebhookSubscription
from loyalty.writing import insert_new

WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"
SIGNING_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A system that listens; `ended_at` stands where it does not any more."""

    id: int
    client: str
    url: str
    kinds: tuple[str, ...]
    created_at: datetime
    ended_at: datetime | None
    end_reason: str | None


@dataclass(frozen=True, slots=True)
class Due:
    """A message in the hands of one sender until its lease ends."""

    id: int
    subscription_id: int
    url: str
    secret: str = field(repr=False)
    event_id: int
    kind: str
    body: dict[str, Any] = field(repr=False)
    at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message and what became of it; `answer` is the last thing the listener said."""

    id: int
    event_id: int
    kind: str
    state: str
    attempts: int
    due_at: datetime
    ended_at: datetime | None
    answer: str


def subscribe(session: Session, client: str, url: str, kinds: Collection[str], at: datetime) -> tuple[int, str]:
    """Let a system listen from now on: the number of the subscription, and the secret to check signatures with."""
    secret = SIGNING_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    row = {"client": client, "url": url, "kinds": sorted(set(kinds)), "secret": secret, "created_at": at,
           "ended_at": None, "end_reason": None}
    return insert_new(session, WebhookSubscription, [row], ["id"])[0].id, secret


def subscriptions(session: Session, client: str) -> list[Subscription]:
    """A client's subscriptions, oldest first, ended ones too."""
    s = WebhookSubscription
    rows = session.execute(select(s.id, s.client, s.url, s.kinds, s.created_at, s.ended_at, s.end_reason)
                           .where(s.client == client).order_by(s.id))
    return [Subscription(row.id, row.client, row.url, tuple(row.kinds), *row[4:]) for row in rows]


def end(session: Session, subscription_id: int, reason: str, at: datetime, client: str | None = None) -> bool:
    """Send a listener nothing more; False where there is no such subscription (of this client) in force."""
    table = table_of(WebhookSubscription)
    ends = update(table).where(table.c.id == subscription_id, table.c.ended_at.is_(None))
    if client is not None:
        ends = ends.where(table.c.client == client)
    if session.execute(ends.values(ended_at=at, end_reason=reason).returning(table.c.id)).first() is None:
        return False
    waiting = table_of(WebhookDelivery)
    session.execute(update(waiting).where(waiting.c.subscription_id == subscription_id, waiting.c.state == WAITING)
                    .values(state=FAILED, ended_at=at, answer=reason))
    return True


def lease(session: Session, now: datetime, limit: int, lease_s: float) -> list[Due]:
    """Take due messages for `lease_s` seconds; whoever dies with one in hand loses it when the lease ends."""
    d, e, s = WebhookDelivery, WebhookEvent, WebhookSubscription
    ids = session.scalars(
        select(d.id).where(d.state == WAITING, d.due_at <= now, or_(d.leased_until.is_(None), d.leased_until <= now))
        .order_by(d.due_at, d.id).limit(limit).with_for_update(skip_locked=True)).all()
    if not ids:
        return []
    session.execute(update(d).where(among(d.id, ids)).values(
        attempts=d.attempts + 1, leased_until=now + timedelta(seconds=lease_s)))
    rows = session.execute(
        select(d.id, s.id, s.url, s.secret, e.id, e.kind, e.body, e.at, d.attempts)
        .join(e, e.id == d.event_id).join(s, s.id == d.subscription_id).where(among(d.id, ids)).order_by(d.id))
    return [Due(*row) for row in rows]


def mark_delivered(session: Session, delivery_id: int, answer: str, at: datetime) -> None:
    """The listener has taken it."""
    _mark(session, delivery_id, state=DELIVERED, ended_at=at, answer=answer)


def mark_waiting(session: Session, delivery_id: int, answer: str, due_at: datetime) -> None:
    """It will be sent again at `due_at`."""
    _mark(session, delivery_id, due_at=due_at, answer=answer)


def mark_failed(session: Session, delivery_id: int, answer: str, at: datetime) -> None:
    """It was sent often enough; somebody must look."""
    _mark(session, delivery_id, state=FAILED, ended_at=at, answer=answer)


def deliveries(session: Session, subscription_id: int, client: str, limit: int, before_id: int | None = None,
               state: str | None = None) -> list[Delivery]:
    """Messages of a client's subscription, newest first."""
    d, e, s = WebhookDelivery, WebhookEvent, WebhookSubscription
    wanted = (select(d.id, e.id, e.kind, d.state, d.attempts, d.due_at, d.ended_at, d.answer)
              .join(e, e.id == d.event_id).join(s, s.id == d.subscription_id)
              .where(d.subscription_id == subscription_id, s.client == client).order_by(d.id.desc()).limit(limit))
    if before_id is not None:
        wanted = wanted.where(d.id < before_id)
    if state is not None:
        wanted = wanted.where(d.state == state)
    return [Delivery(*row) for row in session.execute(wanted)]


def send_again(session: Session, delivery_id: int, client: str, at: datetime) -> bool:
    """Put a message that has ended on its way once more; False where the client has no such one to a live listener."""
    live = select(WebhookSubscription.id).where(WebhookSubscription.client == client,
                                                WebhookSubscription.ended_at.is_(None))
    table = table_of(WebhookDelivery)
    again = (update(table).where(table.c.id == delivery_id, table.c.subscription_id.in_(live),
                                 table.c.state != WAITING)
             .values(state=WAITING, attempts=0, due_at=at, ended_at=None, leased_until=None).returning(table.c.id))
    return session.execute(again).first() is not None


def _mark(session: Session, delivery_id: int, **values: Any) -> None:
    table = table_of(WebhookDelivery)
    session.execute(update(table).where(table.c.id == delivery_id, table.c.state == WAITING)
                    .values(leased_until=None, **values))
