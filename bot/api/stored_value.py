"""/stored-value: money paid ahead, paid with, and given back; all amounts in fen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.cursors import cursor_of, read_cursor
from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.people import MemberRef, member_of
from bot.api.points import Amount, Ref
from loyalty import stored_value
from loyalty.errors import NotEnough, RefundTooHigh, TopUpRefused, UnknownMember
from loyalty.orders import Name

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
BODY_PARTS = {UnknownMember: "member", NotEnough: "amount_fen", TopUpRefused: "amount_fen",
              RefundTooHigh: "amount_fen"}


class TopUpIn(Asked):
    """Money paid ahead; the bonus is what the programme says."""

    member: MemberRef
    amount_fen: Amount
    ref: Ref = ""


class PayIn(Asked):
    """An order paid from stored value; `payment_id` is the caller's own number, by which it is given back."""

    member: MemberRef
    amount_fen: Amount
    payment_id: Name


class AmountIn(Asked):
    """How much."""

    amount_fen: Amount


class PaymentAddress(Asked):
    """Which payment, by the caller's own number."""

    payment_id: Name


class TopUpAddress(Asked):
    """Which top-up."""

    top_up_id: Id


class DormantQuery(Asked):
    """Whose value has not moved for so many days."""

    days: Annotated[int, Field(ge=1, le=3650)] = 180
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(max_length=60, description="next_cursor of the page before")] | None = None


class WalletShown(Told):
    """What a member can pay with now."""

    member_id: int
    principal_fen: int
    bonus_fen: int
    total_fen: int


class ToppedUp(Told):
    """A top-up that went through, and what the member has now."""

    id: int
    amount_fen: int
    bonus_fen: int
    principal_left_fen: int
    bonus_left_fen: int


class Paid(Told):
    """What was taken from (or came back to) principal and bonus, and what is left."""

    principal_fen: int
    bonus_fen: int
    principal_left_fen: int
    bonus_left_fen: int


class PaidBack(Told):
    """Principal paid back, bonus clawed back, principal kept for bonus that was spent, and what is left."""

    paid_back_fen: int
    bonus_clawed_fen: int
    charged_fen: int
    principal_left_fen: int
    bonus_left_fen: int


class DormantShown(Told):
    """A member whose stored value did not move for long."""

    member_id: int
    principal_fen: int
    bonus_fen: int
    last_moved_at: datetime


class DormantPage(Told):
    """Members by id; `next_cursor` is null on the last page."""

    members: list[DormantShown]
    next_cursor: str | None


def top_up(session: Session, call: Call[Nothing, Nothing, TopUpIn]) -> tuple[int, Told]:
    """Take in money paid ahead."""
    member_id = member_of(session, call.body.member)
    done = stored_value.top_up(session, member_id, call.body.amount_fen, call.key, call.programme, call.at,
                               call.body.ref)
    return 201, ToppedUp.model_validate(done)


def pay(session: Session, call: Call[Nothing, Nothing, PayIn]) -> tuple[int, Told]:
    """Pay an order from principal and bonus."""
    member_id = member_of(session, call.body.member)
    done = stored_value.pay(session, member_id, call.body.amount_fen, _key(call.client, call.body.payment_id),
                            call.programme, call.at, call.body.payment_id)
    return 201, Paid.model_validate(done)


def return_payment(session: Session, call: Call[PaymentAddress, Nothing, AmountIn]) -> tuple[int, Told]:
    """Give a payment back, or a part of it, to where it came from."""
    done = stored_value.return_payment(session, _key(call.client, call.path.payment_id), call.body.amount_fen,
                                       call.key, call.at)
    return 200, Paid.model_validate(done)


def refund(session: Session, call: Call[TopUpAddress, Nothing, AmountIn]) -> tuple[int, Told]:
    """Pay a top-up back, or a part of it."""
    done = stored_value.refund(session, call.path.top_up_id, call.body.amount_fen, call.key, call.programme, call.at)
    return 200, PaidBack.model_validate(done)


def show(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """What a member can pay with now."""
    member_id = member_of(session, call.path)
    has = stored_value.wallet(session, member_id, call.at)
    return 200, WalletShown(member_id=member_id, principal_fen=has.principal_fen, bonus_fen=has.bonus_fen,
                            total_fen=has.total_fen)


def show_dormant(session: Session, call: Call[Nothing, DormantQuery, None]) -> tuple[int, Told]:
    """Whose stored value has not moved for long."""
    page = call.query
    found = stored_value.dormant(session, call.at - timedelta(days=page.days), page.limit + 1,
                                 read_cursor(page.cursor) or 0)
    shown = found[:page.limit]
    return 200, DormantPage(members=[DormantShown.model_validate(item) for item in shown],
                            next_cursor=cursor_of(shown[-1].member_id) if len(found) > page.limit else None)


def _key(client: str, payment_id: str) -> str:
    return f"api:{client}:{payment_id}"


ENDPOINTS = (
    Endpoint("POST", "/api/v1/stored-value/top-ups", "stored_value:write", "Take in money paid ahead", top_up,
             ToppedUp, body=TopUpIn, statuses=(201,), parts=BODY_PARTS),
    Endpoint("POST", "/api/v1/stored-value/top-ups/{top_up_id}/refunds", "stored_value:write",
             "Pay a top-up back, whole or in part", refund, PaidBack, params=TopUpAddress, body=AmountIn,
             part="top_up_id", parts=BODY_PARTS),
    Endpoint("POST", "/api/v1/stored-value/payments", "stored_value:write", "Pay from stored value", pay, Paid,
             body=PayIn, statuses=(201,), part="payment_id", parts=BODY_PARTS),
    Endpoint("POST", "/api/v1/stored-value/payments/{payment_id}/returns", "stored_value:write",
             "Give a payment back, whole or in part", return_payment, Paid, params=PaymentAddress, body=AmountIn,
             part="payment_id", parts=BODY_PARTS),
    Endpoint("GET", "/api/v1/stored-value/dormant", "stored_value:read", "Whose stored value has not moved for long",
             show_dormant, DormantPage, query=DormantQuery),
    Endpoint("GET", "/api/v1/members/{kind}/{value}/stored-value", "stored_value:read",
             "What a member can pay with now", show, WalletShown, params=MemberRef, part="value"),
)
