"""/orders/…/shipments: where the parcels of an order are, as the brand's systems or the carrier tell."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.orders import OrderAddress
from bot.api.problems import Problem
from handlers.parcels import State, record_shipment
from loyalty.orders import PlausibleMoment


class ShipmentIn(Asked):
    """News of a parcel; `at` is when the carrier spoke of it (now where it is left out), `note` what it said."""

    carrier: Annotated[str, Field(min_length=1, max_length=64)]
    number: Annotated[str, Field(min_length=1, max_length=64)]
    state: State
    note: Annotated[str, Field(max_length=200)] = ""
    at: PlausibleMoment | None = None


class ShipmentNoted(Told):
    """The parcel the news were of; older news than what is known change nothing."""

    number: str
    state: State


def note(session: Session, call: Call[OrderAddress, Nothing, ShipmentIn]) -> tuple[int, Told]:
    """Keep the newest news of a parcel."""
    path, body = call.path, call.body
    told = (body.carrier, body.number, body.state, body.at or call.at, body.note)
    if not record_shipment(session, path.source, path.external_id, *told):
        raise Problem(404, "UnknownOrder", "there is no order of this source with this number",
                      [("external_id", "post the order first, or look at source and number again")])
    return 200, ShipmentNoted(number=body.number, state=body.state)


ENDPOINTS = (
    Endpoint("POST", "/api/v1/orders/{source}/{external_id}/shipments", "orders:write",
             "Tell where a parcel of an order is", note, ShipmentNoted, params=OrderAddress, body=ShipmentIn,
             part="external_id"),
)
