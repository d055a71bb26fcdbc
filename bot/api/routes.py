"""The addresses under /api/v1: every endpoint there is, its document, and what is answered where there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache

from aiohttp import web

from bot.api import (
    campaigns,
    coupons,
    events,
    follow_ups,
    fraud,
    handovers,
    identities,
    lotteries,
    members,
    openapi,
    orders,
    plans,
    points,
    privacy,
    redemptions,
    shipments,
    stored_value,
    tiers,
    webhooks,
)
from bot.api.endpoints import Endpoint
from bot.api.keys import KeyRing
from bot.api.problems import Problem
from bot.api.serving import Api
from bot.cache import Cache, LocalCache
from bot.database import Database
from loyalty.handover import Links
from loyalty.identities import Identifier
from loyalty.programme import Programme

ENDPOINTS: tuple[Endpoint, ...] = (
    *orders.ENDPOINTS, *members.ENDPOINTS, *identities.ENDPOINTS, *points.ENDPOINTS,
    *redemptions.ENDPOINTS, *coupons.ENDPOINTS, *stored_value.ENDPOINTS, *tiers.ENDPOINTS, *events.ENDPOINTS,
    *follow_ups.ENDPOINTS,
    *webhooks.ENDPOINTS, *shipments.ENDPOINTS, *plans.ENDPOINTS, *campaigns.ENDPOINTS, *lotteries.ENDPOINTS,
    *handovers.ENDPOINTS, *fraud.ENDPOINTS, *privacy.ENDPOINTS,
)
REQUESTS_PER_S = 200


def add_routes(app: web.Application, database: Database, programme: Callable[[], Programme],
               api_keys: Mapping[str, str], clock: Callable[[], datetime], cache: Cache | None = None,
               requests_per_s: int = REQUESTS_PER_S, identity_secret: str = "",
               on_written: Callable[[], None] = lambda: None, links: Links | None = None) -> None:
    """Hang the API into the application; `programme` and `clock` are asked anew for each request.

    With the secret, identities are brought into their one form and phones are hashed; without it they stay as sent.
    `on_written` is called after every write, from the loop: what was stored may set follow-ups off. `links` signs the
    links of rewards.
    """
    keys = KeyRing(database, api_keys, cache or LocalCache(clock), requests_per_s)
    identifier = Identifier(identity_secret) if identity_secret else None
    api = Api(database, programme, keys, clock, identifier, on_written, links)
    for endpoint in ENDPOINTS:
        app.router.add_route(endpoint.method, endpoint.path, api.handler(endpoint))
    app.router.add_route("GET", openapi.ADDRESS, api.answering(show_document))
    app.router.add_route("*", "/api/v1/{rest:.*}", api.answering(refuse))


async def show_document(_request: web.Request, _client: str) -> web.Response:
    """GET /api/v1/openapi.json."""
    return web.Response(text=document_text(), content_type="application/json", charset="utf-8")


async def refuse(request: web.Request, _client: str) -> web.Response:
    """Whatever leads nowhere: 405 where the address is right and the method is not, else 404."""
    methods = sorted({one.method for one in ENDPOINTS if _matcher(one.path).fullmatch(request.path)})
    if methods:
        raise Problem(405, "Method not allowed", f"{request.method} does nothing here",
                      [("method", f"send {' or '.join(methods)}")], {"Allow": ", ".join(methods)})
    raise Problem(404, "No such address", "nothing is served under this address",
                  [("path", f"look it up in {openapi.ADDRESS}")])


@cache
def document_text() -> str:
    """The OpenAPI document as it is sent."""
    return json.dumps(openapi.document(ENDPOINTS), ensure_ascii=False)


@cache
def _matcher(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
