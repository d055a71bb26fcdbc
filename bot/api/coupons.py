"""/coupons: issued, locked for an order, used, let go, returned."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.people import MemberRef, member_of
from loyalty import coupons
from loyalty.baskets import Basket, Line
from loyalty.customers import PRINTABLE
from loyalty.errors import CouponRefused, UnknownMember, UnknownOffer
from loyalty.orders import Name
from loyalty.programme import Slug


class IssueIn(Asked):
    """A coupon of a type of the programme for a member; `source` says where it comes from."""

    member: MemberRef
    type_id: Slug
    source: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=200)] = ""


class LineIn(Asked):
    """One product of the order; `amount_fen` is the price of the whole line."""

    sku: Name
    amount_fen: Annotated[int, Field(ge=0, le=10**12)]
    quantity: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    category: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=200)] = ""


class ForOrderIn(Asked):
    """Whose coupon it is and which order it is for, by the caller's own number."""

    member: MemberRef
    order_ref: Name


class UseIn(ForOrderIn):
    """What is in the order."""

    lines: Annotated[tuple[LineIn, ...], Field(min_length=1, max_length=500)]


class LockIn(UseIn):
    """What is in the order, and how long the coupon is set aside for it."""

    hold_for_s: Annotated[int, Field(ge=1, le=7 * 86_400)] = 1800


class CouponAddress(Asked):
    """The coupon's code."""

    code: Annotated[str, Field(pattern=PRINTABLE, max_length=200)]


class CouponsQuery(Asked):
    """Coupons in one state; none: those that can still be used."""

    state: Literal["issued", "locked", "used", "lapsed"] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class CouponShown(Told):
    """A coupon; `order_ref` and `discount_fen` are set while it is locked or used."""

    id: int
    code: str
    member_id: int
    type_id: str
    name: str
    state: str
    issued_at: datetime
    expires_at: datetime
    order_ref: str | None
    discount_fen: int | None


class CouponsShown(Told):
    """A member's coupons, soonest to lapse first."""

    coupons: list[CouponShown]


def issue(session: Session, call: Call[Nothing, Nothing, IssueIn]) -> tuple[int, Told]:
    """Give a member a coupon."""
    member_id = member_of(session, call.body.member)
    made = coupons.issue(session, member_id, call.body.type_id, call.key, call.programme, call.at, call.body.source)
    return 201, CouponShown.model_validate(made)


def lock(session: Session, call: Call[CouponAddress, Nothing, LockIn]) -> tuple[int, Told]:
    """Set a coupon aside for an order that is being paid."""
    body = call.body
    held = coupons.lock(session, call.path.code, member_of(session, body.member), body.order_ref, _basket(body),
                        call.key, call.at, timedelta(seconds=body.hold_for_s))
    return 200, CouponShown.model_validate(held)


def use(session: Session, call: Call[CouponAddress, Nothing, UseIn]) -> tuple[int, Told]:
    """Use a coupon for a paid order."""
    body = call.body
    used = coupons.use(session, call.path.code, member_of(session, body.member), body.order_ref, _basket(body),
                       call.key, call.at)
    return 200, CouponShown.model_validate(used)


def unlock(session: Session, call: Call[CouponAddress, Nothing, ForOrderIn]) -> tuple[int, Told]:
    """Let a locked coupon go: the order was not paid."""
    free = coupons.unlock(session, call.path.code, member_of(session, call.body.member), call.body.order_ref,
                          call.key, call.at)
    return 200, CouponShown.model_validate(free)


def give_back(session: Session, call: Call[CouponAddress, Nothing, ForOrderIn]) -> tuple[int, Told]:
    """Return a used coupon because its order was refunded whole."""
    back = coupons.give_back(session, call.path.code, member_of(session, call.body.member), call.body.order_ref,
                             call.key, call.at)
    return 200, CouponShown.model_validate(back)


def show(session: Session, call: Call[MemberRef, CouponsQuery, None]) -> tuple[int, Told]:
    """A member's coupons."""
    states = ("issued", "locked") if call.query.state is None else (call.query.state,)
    found = coupons.of_member(session, member_of(session, call.path), call.at, states, call.query.limit)
    return 200, CouponsShown(coupons=[CouponShown.model_validate(item) for item in found])


def _basket(body: UseIn) -> Basket:
    return Basket(lines=tuple(Line(**line.model_dump()) for line in body.lines))


_PARTS = {UnknownMember: "member", UnknownOffer: "code", CouponRefused: "code"}
ENDPOINTS = (
    Endpoint("POST", "/api/v1/coupons", "coupons:write", "Give a member a coupon", issue, CouponShown, body=IssueIn,
             statuses=(201,), part="type_id", parts={UnknownMember: "member"}),
    Endpoint("POST", "/api/v1/coupons/{code}/lock", "coupons:write", "Set a coupon aside for an order", lock,
             CouponShown, params=CouponAddress, body=LockIn, part="code", parts=_PARTS),
    Endpoint("POST", "/api/v1/coupons/{code}/use", "coupons:write", "Use a coupon for a paid order", use, CouponShown,
             params=CouponAddress, body=UseIn, part="code", parts=_PARTS),
    Endpoint("POST", "/api/v1/coupons/{code}/unlock", "coupons:write", "Let a locked coupon go", unlock, CouponShown,
             params=CouponAddress, body=ForOrderIn, part="code", parts=_PARTS),
    Endpoint("POST", "/api/v1/coupons/{code}/return", "coupons:write", "Return the coupon of a refunded order",
             give_back, CouponShown, params=CouponAddress, body=ForOrderIn, part="code", parts=_PARTS),
    Endpoint("GET", "/api/v1/members/{kind}/{value}/coupons", "coupons:read", "A member's coupons", show, CouponsShown,
             params=MemberRef, query=CouponsQuery, part="value"),
)
