"""/webhooks: who listens to what happens, and what became of each message."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from sqlalchemy.orm import Session

from bot.api.cursors import cursor_of, read_cursor
from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.problems import Problem
from loyalty import webhooks

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Kind = Literal["points.earned", "points.spent", "points.returned", "points.taken_back", "points.lapsed",
               "points.about_to_lapse", "tier.reached", "tier.dropped"]


def _listening_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        port_fits, parts = False, urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits or parts.username:
        raise ValueError("write an address such as https://shop.example/huitou, without user and password")
    return url


class SubscribeIn(Asked):
    """Where to send what kinds of event. Without https anybody on the way can read along."""

    url: Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=500), AfterValidator(_listening_url)]
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1, max_length=20)]


class SubscriptionShown(Told):
    """A listener; `ended_at` stands where nothing is sent any more."""

    id: int
    url: str
    kinds: list[str]
    created_at: datetime
    ended_at: datetime | None
    end_reason: str | None


class Subscribed(SubscriptionShown):
    """A new listener, with the secret its messages are signed with; keep it, it is not shown again."""

    secret: str


class SubscriptionsShown(Told):
    """The listeners of the calling system."""

    webhooks: list[SubscriptionShown]


class DeliveryShown(Told):
    """A message; state is waiting, delivered or failed, `answer` is the last thing the listener said."""

    id: int
    event_id: int
    kind: str
    state: str
    attempts: int
    due_at: datetime
    ended_at: datetime | None
    answer: str


class DeliveriesPage(Told):
    """Messages newest first; `next_cursor` is null on the last page."""

    deliveries: list[DeliveryShown]
    next_cursor: str | None


class Waiting(Told):
    """A message that is on its way once more."""

    id: int
    state: str


class WebhookAddress(Asked):
    """Which listener."""

    webhook_id: Id


class DeliveryAddress(Asked):
    """Which message."""

    delivery_id: Id


class DeliveriesQuery(Asked):
    """Which messages."""

    limit: Annotated[int, Field(ge=1, le=200)] = 20
    cursor: Annotated[str, Field(max_length=60, description="next_cursor of the page before")] | None = None
    state: Literal["waiting", "delivered", "failed"] | None = None


def subscribe(session: Session, call: Call[Nothing, Nothing, SubscribeIn]) -> tuple[int, Told]:
    """Listen from now on."""
    made, secret = webhooks.subscribe(session, call.client, call.body.url, call.body.kinds, call.at)
    return 201, Subscribed(id=made, url=call.body.url, kinds=sorted(set(call.body.kinds)), created_at=call.at,
                           ended_at=None, end_reason=None, secret=secret)


def show(session: Session, call: Call[Nothing, Nothing, None]) -> tuple[int, Told]:
    """The caller's own listeners."""
    found = webhooks.subscriptions(session, call.client)
    return 200, SubscriptionsShown(webhooks=[SubscriptionShown.model_validate(item) for item in found])


def end(session: Session, call: Call[WebhookAddress, Nothing, None]) -> tuple[int, Told]:
    """Listen no more."""
    wanted = call.path.webhook_id
    webhooks.end(session, wanted, "ended by its owner", call.at, call.client)
    found = [item for item in webhooks.subscriptions(session, call.client) if item.id == wanted]
    if not found:
        raise _unknown("webhook_id")
    return 200, SubscriptionShown.model_validate(found[0])


def show_deliveries(session: Session, call: Call[WebhookAddress, DeliveriesQuery, None]) -> tuple[int, Told]:
    """What was sent to a listener, and what it said."""
    page = call.query
    found = webhooks.deliveries(session, call.path.webhook_id, call.client, page.limit + 1,
                                read_cursor(page.cursor), page.state)
    shown = found[:page.limit]
    return 200, DeliveriesPage(deliveries=[DeliveryShown.model_validate(item) for item in shown],
                               next_cursor=cursor_of(shown[-1].id) if len(found) > page.limit else None)


def send_again(session: Session, call: Call[DeliveryAddress, Nothing, None]) -> tuple[int, Told]:
    """Send a message once more that was delivered or has failed."""
    if not webhooks.send_again(session, call.path.delivery_id, call.client, call.at):
        raise _unknown("delivery_id")
    return 200, Waiting(id=call.path.delivery_id, state=webhooks.WAITING)


def _unknown(part: str) -> Problem:
    return Problem(404, "UnknownWebhook", "this system has no such webhook or message in that state",
                   [(part, "look it up with GET /api/v1/webhooks and its deliveries")])


ENDPOINTS = (
    Endpoint("POST", "/api/v1/webhooks", "webhooks:write", "Listen to what happens", subscribe, Subscribed,
             body=SubscribeIn, statuses=(201,)),
    Endpoint("GET", "/api/v1/webhooks", "webhooks:read", "Your listeners", show, SubscriptionsShown),
    Endpoint("DELETE", "/api/v1/webhooks/{webhook_id}", "webhooks:write", "Listen no more", end, SubscriptionShown,
             params=WebhookAddress),
    Endpoint("GET", "/api/v1/webhooks/{webhook_id}/deliveries", "webhooks:read", "What was sent to a listener",
             show_deliveries, DeliveriesPage, params=WebhookAddress, query=DeliveriesQuery),
    Endpoint("POST", "/api/v1/webhooks/deliveries/{delivery_id}/retry", "webhooks:write", "Send a message once more",
             send_again, Waiting, params=DeliveryAddress),
)
