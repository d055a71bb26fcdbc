"""/red-packets and /pools: what must be paid or filled up so that rewards reach their members."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.cursors import cursor_of, read_cursor
from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.problems import Problem
from loyalty import codes, red_packets
from loyalty.customers import PRINTABLE
from loyalty.orders import Name
from loyalty.programme import Slug

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class PacketsQuery(Asked):
    """Red packets in one state."""

    state: Literal["pending", "claimed", "sent", "failed", "cancelled"] = "pending"
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=60, description="next_cursor of the page before")] | None = None


class ClaimIn(Asked):
    """How many red packets to take in hand."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20


class PacketAddress(Asked):
    """Which red packet."""

    packet_id: Id


class SentIn(Asked):
    """The platform's own number of the payment."""

    receipt: Name


class FailedIn(Asked):
    """What the platform said; `final` where it will never pay, so that points go back at once."""

    error: Name
    final: bool = False


class PoolAddress(Asked):
    """Which pool of exchange codes, as rewards name it."""

    pool: Slug


class CodeIn(Asked):
    """An exchange code of another shop, and the last local day it is good where it lapses."""

    code: Annotated[str, Field(pattern=PRINTABLE, max_length=codes.MOST_CODE_LENGTH)]
    last_day: date | None = None


class CodesIn(Asked):
    """Codes for a pool; with `dry_run` they are looked at and not kept."""

    codes: Annotated[tuple[CodeIn, ...], Field(min_length=1, max_length=5000)]
    dry_run: bool = False


class PacketShown(Told):
    """A red packet; `bill` is the key it is paid under, `error` the last thing that went wrong."""

    id: int
    bill: str
    member_id: int
    amount_fen: int
    wish: str
    state: str
    tries: int
    due_at: datetime
    error: str
    receipt: str


class PacketsPage(Told):
    """Oldest first; `next_cursor` is null on the last page."""

    red_packets: list[PacketShown]
    next_cursor: str | None


class PayShown(Told):
    """A red packet to pay now, under its bill; `openid` is empty where the member has none: it cannot be paid."""

    id: int
    bill: str
    member_id: int
    openid: str
    amount_fen: int
    wish: str
    tries: int


class ClaimedShown(Told):
    """Red packets in hand: each must be told sent or failed within five minutes, else it comes again."""

    red_packets: list[PayShown]


class EndedShown(Told):
    """Whether a red packet is over; where not, it comes again."""

    id: int
    ended: bool


class PoolShown(Told):
    """Free codes of a pool; `low` where a reward calls that too few."""

    pool: str
    free: int
    low: bool


class PoolsShown(Told):
    """The pools that rewards hand out from, low ones first."""

    pools: list[PoolShown]


class ImportShown(Told):
    """Codes that went into a pool, or would go; all or none."""

    pool: str
    added: int
    dry_run: bool


def show_packets(session: Session, call: Call[Nothing, PacketsQuery, None]) -> tuple[int, Told]:
    """Red packets in a state."""
    page = call.query
    found = red_packets.listed(session, (page.state,), page.limit + 1, read_cursor(page.cursor) or 0)
    shown = found[:page.limit]
    return 200, PacketsPage(red_packets=[PacketShown.model_validate(one) for one in shown],
                            next_cursor=cursor_of(shown[-1].id) if len(found) > page.limit else None)


def claim(session: Session, call: Call[Nothing, Nothing, ClaimIn]) -> tuple[int, Told]:
    """Take red packets in hand to pay them."""
    taken = red_packets.claim_due(session, call.at, call.body.limit)
    return 200, ClaimedShown(red_packets=[PayShown.model_validate(one) for one in taken])


def tell_sent(session: Session, call: Call[PacketAddress, Nothing, SentIn]) -> tuple[int, Told]:
    """The platform has paid."""
    if not red_packets.mark_sent(session, call.path.packet_id, call.body.receipt, call.at):
        raise _not_in_hand()
    return 200, EndedShown(id=call.path.packet_id, ended=True)


def tell_failed(session: Session, call: Call[PacketAddress, Nothing, FailedIn]) -> tuple[int, Told]:
    """The platform has not paid."""
    if not red_packets.in_hand(session, call.path.packet_id):
        raise _not_in_hand()
    over = red_packets.mark_failed(session, call.path.packet_id, call.body.error, call.at, call.body.final)
    return 200, EndedShown(id=call.path.packet_id, ended=over)


def show_pools(session: Session, call: Call[Nothing, Nothing, None]) -> tuple[int, Told]:
    """How many codes are left."""
    levels = codes.pool_levels(session, call.programme.rewards, call.at)
    return 200, PoolsShown(pools=[PoolShown.model_validate(level) for level in levels])


def import_codes(session: Session, call: Call[PoolAddress, Nothing, CodesIn]) -> tuple[int, Told]:
    """Fill a pool up, with all codes or none."""
    pool, zone, body = call.path.pool, call.programme.zone, call.body
    if all(reward.pool != pool for reward in call.programme.rewards):
        raise Problem(404, "UnknownPool", "no reward hands out from this pool",
                      [("pool", "name a pool of the programme; see GET /api/v1/pools")])
    lines = _lines(body.codes)
    if body.dry_run:
        errors = codes.check_codes(session, pool, lines, call.at, zone)
        added = len(body.codes)
    else:
        try:
            added, errors = codes.import_codes(session, pool, lines, call.key, call.at, zone).added, []
        except codes.BadRows as bad:
            raise _bad_codes(bad.errors) from bad
    if errors:
        raise _bad_codes(errors)
    return 200 if body.dry_run else 201, ImportShown(pool=pool, added=added, dry_run=body.dry_run)


def _lines(given: tuple[CodeIn, ...]) -> list[str]:
    """The codes as the core reads them: a line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("code", "last_day"))
    writer.writerows((one.code, one.last_day or "") for one in given)
    return text.getvalue().split("\n")[:-1]


def _bad_codes(errors: list[codes.RowError] | tuple[codes.RowError, ...]) -> Problem:
    return Problem(422, "BadRows", f"{len(errors)} codes to be mended; none was taken",
                   [(f"codes[{error.line - 2}].{error.field}", error.mend) for error in errors])


def _not_in_hand() -> Problem:
    return Problem(404, "UnknownPacket", "no red packet of this number is in hand",
                   [("packet_id", "claim it first; what has ended stays as it is")])


ENDPOINTS = (
    Endpoint("GET", "/api/v1/red-packets", "red_packets:read", "Red packets that wait, were paid or failed",
             show_packets, PacketsPage, query=PacketsQuery),
    Endpoint("POST", "/api/v1/red-packets/claims", "red_packets:write", "Take red packets in hand to pay them", claim,
             ClaimedShown, body=ClaimIn),
    Endpoint("POST", "/api/v1/red-packets/{packet_id}/sent", "red_packets:write", "Tell that a red packet was paid",
             tell_sent, EndedShown, params=PacketAddress, body=SentIn, part="packet_id"),
    Endpoint("POST", "/api/v1/red-packets/{packet_id}/failed", "red_packets:write",
             "Tell that a red packet was not paid", tell_failed, EndedShown, params=PacketAddress, body=FailedIn,
             part="packet_id"),
    Endpoint("GET", "/api/v1/pools", "pools:read", "How many exchange codes are left", show_pools, PoolsShown),
    Endpoint("POST", "/api/v1/pools/{pool}/codes", "pools:write", "Fill a pool up with exchange codes", import_codes,
             ImportShown, params=PoolAddress, body=CodesIn, statuses=(201, 200), part="codes"),
)
