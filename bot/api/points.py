"""/points: what comes and goes beside orders and rewards, and the statement of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.api.cursors import cursor_of, read_cursor
from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.people import MemberRef, member_of
from loyalty import ledger
from loyalty.balances import balance_of
from loyalty.errors import NotEnough, NotReversible, UnknownMember, UnknownTransfer
from loyalty.expiry import expires_at
from loyalty.orders import Name, PlausibleMoment
from loyalty.statement import statement
from loyalty.tables import Account, Transfer

Amount = Annotated[int, Field(ge=1, le=10**12)]
TransferId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Ref = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=200)]
BODY_PARTS = {UnknownMember: "member", NotEnough: "amount"}


class PointsIn(Asked):
    """Points to give or take; `ref` is the caller's own number of the cause."""

    member: MemberRef
    amount: Amount
    reason: Name
    ref: Ref = ""


class EarnIn(PointsIn):
    """Points to give; they lapse as the programme says unless `expires_at` says otherwise."""

    expires_at: PlausibleMoment | None = None


class HoldIn(PointsIn):
    """Points to set aside, for `timeout_s` seconds at most."""

    timeout_s: Annotated[int, Field(ge=1, le=90 * 86_400)] = 1800


class EndIn(Asked):
    """Why a hold ends; `ref` is the caller's own number of the cause."""

    reason: Name | None = None
    ref: Ref = ""


class ReverseIn(Asked):
    """How much of a transfer is taken back: all that is left of it, or a part."""

    amount: Amount | None = None
    reason: Name = "reverse"
    ref: Ref = ""


class TransferAddress(Asked):
    """Which transfer or hold, by the id that making it gave back."""

    transfer_id: TransferId


class Moved(Told):
    """Points that moved, and what the member has now."""

    transfer_id: int
    member_id: int
    amount: int
    balance: int
    held: int


class Held(Moved):
    """Points that are set aside until settled, released or timed out."""

    until: datetime


class EntryShown(Told):
    """One change of what was available: above 0 came, below 0 went."""

    id: int
    at: datetime
    delta: int
    reason: str
    ref: str


class StatementPage(Told):
    """Entries newest first; `next_cursor` is null on the last page."""

    entries: list[EntryShown]
    next_cursor: str | None


class PageQuery(Asked):
    """Which part of a statement: at most `limit` entries behind `cursor`, from `since` on and before `until`."""

    limit: Annotated[int, Field(ge=1, le=200)] = 20
    cursor: Annotated[str, Field(max_length=60, description="next_cursor of the page before")] | None = None
    since: PlausibleMoment | None = None
    until: PlausibleMoment | None = None


def earn(session: Session, call: Call[Nothing, Nothing, EarnIn]) -> tuple[int, Told]:
    """Give points as one lot."""
    body, member_id = call.body, member_of(session, call.body.member)
    lapses = body.expires_at or expires_at(call.programme, call.at)
    posted = ledger.earn(session, member_id, body.amount, key=call.key, reason=body.reason, ref=body.ref, at=call.at,
                         expires_at=lapses)
    return 201, _moved(session, posted, member_id, call.at)


def spend(session: Session, call: Call[Nothing, Nothing, PointsIn]) -> tuple[int, Told]:
    """Take points from the lots that lapse first."""
    body, member_id = call.body, member_of(session, call.body.member)
    posted = ledger.spend(session, member_id, body.amount, key=call.key, reason=body.reason, ref=body.ref, at=call.at)
    return 201, _moved(session, posted, member_id, call.at)


def hold(session: Session, call: Call[Nothing, Nothing, HoldIn]) -> tuple[int, Told]:
    """Set points aside."""
    body, member_id = call.body, member_of(session, call.body.member)
    until = call.at + timedelta(seconds=body.timeout_s)
    posted = ledger.hold(session, member_id, body.amount, key=call.key, reason=body.reason, ref=body.ref, at=call.at,
                         until=until)
    return 201, Held(**_moved(session, posted, member_id, call.at).model_dump(), until=until)


def settle(session: Session, call: Call[TransferAddress, Nothing, EndIn]) -> tuple[int, Told]:
    """Spend the points of a hold."""
    hold_key, owner = _hold(session, call.path.transfer_id)
    posted = ledger.settle(session, hold_key, key=call.key, at=call.at, reason=call.body.reason or "settle",
                           ref=call.body.ref)
    return 200, _moved(session, posted, owner, call.at)


def release(session: Session, call: Call[TransferAddress, Nothing, EndIn]) -> tuple[int, Told]:
    """Give the points of a hold back."""
    hold_key, owner = _hold(session, call.path.transfer_id)
    posted = ledger.release(session, hold_key, key=call.key, at=call.at, reason=call.body.reason or "release",
                            ref=call.body.ref)
    return 200, _moved(session, posted, owner, call.at)


def reverse(session: Session, call: Call[TransferAddress, Nothing, ReverseIn]) -> tuple[int, Told]:
    """Take an earn or a spend back; a spend goes back to the lots it burned."""
    body, transfer_id = call.body, call.path.transfer_id
    owner = _points_owner(session, transfer_id)
    posted = ledger.reverse(session, transfer_id, key=call.key, at=call.at, reason=body.reason, ref=body.ref,
                            amount=body.amount)
    return 200, _moved(session, posted, owner, call.at)


def show_statement(session: Session, call: Call[MemberRef, PageQuery, None]) -> tuple[int, Told]:
    """A page of a member's statement; entries that come meanwhile do not move the pages behind the cursor."""
    page = call.query
    found = statement(session, member_of(session, call.path), limit=page.limit + 1,
                      before_id=read_cursor(page.cursor), since=page.since, until=page.until)
    shown = found[:page.limit]
    return 200, StatementPage(entries=[EntryShown.model_validate(entry) for entry in shown],
                              next_cursor=cursor_of(shown[-1].id) if len(found) > page.limit else None)


def _moved(session: Session, posted: ledger.Posted, member_id: int, at: datetime) -> Moved:
    now = balance_of(session, member_id, at)
    return Moved(transfer_id=posted.id, member_id=member_id, amount=posted.amount, balance=now.available, held=now.held)


def _points_owner(session: Session, transfer_id: int) -> int:
    """Member whose points a transfer moved; raises UnknownTransfer, also for other assets."""
    sides = session.execute(
        select(Account.owner).join(Transfer, (Transfer.debit_id == Account.id) | (Transfer.credit_id == Account.id))
        .where(Transfer.id == transfer_id, Transfer.asset == "points").order_by(Account.owner.desc())
    ).first()
    if sides is None:
        raise UnknownTransfer(transfer_id)
    return int(sides.owner)


def _hold(session: Session, transfer_id: int) -> tuple[str, int]:
    """Key and owner of a hold; raises UnknownTransfer."""
    owner = _points_owner(session, transfer_id)
    return session.scalar(select(Transfer.key).where(Transfer.id == transfer_id)) or "", owner


ENDPOINTS = (
    Endpoint("POST", "/api/v1/points/earn", "points:write", "Give points", earn, Moved, body=EarnIn, statuses=(201,),
             parts=BODY_PARTS),
    Endpoint("POST", "/api/v1/points/spend", "points:write", "Take points", spend, Moved, body=PointsIn,
             statuses=(201,), parts=BODY_PARTS),
    Endpoint("POST", "/api/v1/points/holds", "points:write", "Set points aside", hold, Held, body=HoldIn,
             statuses=(201,), parts=BODY_PARTS),
    Endpoint("POST", "/api/v1/points/holds/{transfer_id}/settle", "points:write", "Spend the points of a hold", settle,
             Moved, params=TransferAddress, body=EndIn, part="transfer_id"),
    Endpoint("POST", "/api/v1/points/holds/{transfer_id}/release", "points:write", "Give the points of a hold back",
             release, Moved, params=TransferAddress, body=EndIn, part="transfer_id"),
    Endpoint("POST", "/api/v1/points/transfers/{transfer_id}/reverse", "points:write",
             "Take an earn or a spend back, whole or in part", reverse, Moved, params=TransferAddress, body=ReverseIn,
             part="transfer_id", parts={NotReversible: "amount", NotEnough: "amount"}),
    Endpoint("GET", "/api/v1/members/{kind}/{value}/statement", "points:read", "A member's statement, newest first",
             show_statement, StatementPage, params=MemberRef, query=PageQuery, part="value"),
)
