"""Red packets: money the platform pays to a member; an effect the edge delivers, sent or failed exactly once."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from loyalty.customers import identities_of
from loyalty.programme import Programme
from loyalty.reward_tables import RedPacket
from loyalty.rewards import take_back
from loyalty.storage import among
from loyalty.tables import Redemption, table_of
from loyalty.writing import insert_new

_PACKETS = table_of(RedPacket)
LEASE = timedelta(minutes=5)
RETRY_AFTER = timedelta(minutes=10)
MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class PayRedPacket:
    """What the edge has to pay now; `bill` is the platform's own idempotency key, so paying twice pays once.

    `openid` is empty where the member has none in this account: mark it failed for good.
    """

    id: int
    bill: str
    member_id: int
    openid: str
    amount_fen: int
    wish: str
    tries: int


@dataclass(frozen=True, slots=True)
class Unpaid:
    """A packet that failed for good, for a person to look at; points were given back where points were paid."""

    id: int
    member_id: int
    amount_fen: int
    error: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet as it stands; `error` is the last thing that went wrong, `receipt` the platform's number of the payment.
    """

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


def gives_red_packets(programme: Programme) -> bool:
    """Whether any reward or prize is a red packet."""
    return any(reward.way == "red_packet" for reward in programme.rewards) or any(
        prize.packet_fen for lottery in programme.lotteries for prize in lottery.prizes)


def order_packet(session: Session, member_id: int, amount_fen: int, wish: str, key: str, at: datetime,
                 redemption_id: int | None = None) -> None:
    """Have a red packet paid; once per key."""
    insert_new(session, RedPacket, [{
        "key": key, "bill": f"hp{secrets.token_hex(13)}", "member_id": member_id, "redemption_id": redemption_id,
        "amount_fen": amount_fen, "wish": wish, "state": "pending", "tries": 0, "due_at": at, "at": at,
    }], ["id"])


def claim_due(session: Session, now: datetime, limit: int = 100) -> list[PayRedPacket]:
    """Packets to pay now, claimed for a while so that nobody else pays them; commit before paying.

    A payer who died leaves its claim to run out: the packet comes again, with the same bill.
    """
    due = (select(RedPacket.id).where(RedPacket.state.in_(["pending", "claimed"]), RedPacket.due_at <= now)
           .order_by(RedPacket.due_at, RedPacket.id).limit(limit).with_for_update(skip_locked=True))
    rows = session.execute(
        update(_PACKETS).where(RedPacket.id.in_(list(session.scalars(due))))
        .values(state="claimed", tries=_PACKETS.c.tries + 1, due_at=now + LEASE).returning(*_PACKETS.c)).all()
    openids = identities_of(session, [row.member_id for row in rows], "openid")
    return [PayRedPacket(row.id, row.bill, row.member_id, openids.get(row.member_id, ""), row.amount_fen, row.wish,
                         row.tries) for row in sorted(rows, key=lambda row: row.id)]


def mark_sent(session: Session, packet_id: int, receipt: str, at: datetime) -> bool:
    """Note that the platform paid, with its receipt; the redemption is delivered. False where it had ended before."""
    ended = _end(session, packet_id, "sent", at, receipt=receipt)
    if ended is None:
        return False
    session.execute(update(table_of(Redemption)).where(Redemption.id == ended.redemption_id,
                                                       Redemption.state == "issued")
                    .values(state="delivered", ended_key=f"packet:{packet_id}", ended_at=at))
    return True


def mark_failed(session: Session, packet_id: int, error: str, at: datetime, final: bool = False) -> bool:
    """Note that paying failed: it comes again later, or, when `final` or tried too often, the points go back.

    Answers whether it is over. A packet that had ended before stays as it is.
    """
    tries = session.scalar(select(RedPacket.tries).where(RedPacket.id == packet_id)) or 0
    if not final and tries < MOST_TRIES:
        session.execute(update(_PACKETS).where(RedPacket.id == packet_id, RedPacket.state == "claimed")
                        .values(state="pending", error=error, due_at=at + RETRY_AFTER * tries))
        return False
    ended = _end(session, packet_id, "failed", at, error=error)
    if ended is not None and ended.redemption_id is not None:
        take_back(session, Redemption.id == ended.redemption_id, "failed", f"packet:{packet_id}", at,
                  "red packet failed")
    return True


def cancel_packet(session: Session, redemption_id: int, at: datetime) -> bool:
    """Take back a packet nobody began to pay; False where it is too late."""
    done = session.execute(
        update(_PACKETS).where(RedPacket.redemption_id == redemption_id, RedPacket.state == "pending",
                               RedPacket.tries == 0)
        .values(state="cancelled", ended_at=at).returning(RedPacket.id)).first()
    return done is not None


def listed(session: Session, states: Collection[str], limit: int = 100, after_id: int = 0) -> list[Packet]:
    """Packets in these states, oldest first."""
    p = RedPacket
    rows = session.execute(
        select(p.id, p.bill, p.member_id, p.amount_fen, p.wish, p.state, p.tries, p.due_at, p.error, p.receipt)
        .where(among(p.state, states), p.id > after_id).order_by(p.id).limit(limit))
    return [Packet(*row[:8], row.error or "", row.receipt or "") for row in rows]


def in_hand(session: Session, packet_id: int) -> bool:
    """Whether somebody has claimed it and it has not ended."""
    return session.scalar(select(RedPacket.state).where(RedPacket.id == packet_id)) == "claimed"


def put_off(session: Session, packet_id: int, error: str, due_at: datetime) -> None:
    """It is not known whether it was paid: it stays claimed and comes again with the same bill, for as long as need be.

    To give the points back now could pay twice.
    """
    session.execute(update(_PACKETS).where(RedPacket.id == packet_id, RedPacket.state == "claimed")
                    .values(error=error, due_at=due_at))


def unpaid(session: Session, since: datetime, limit: int = 1000) -> list[Unpaid]:
    """Packets that failed for good since then, newest first."""
    rows = session.execute(
        select(RedPacket.id, RedPacket.member_id, RedPacket.amount_fen, RedPacket.error, RedPacket.ended_at)
        .where(RedPacket.state == "failed", RedPacket.ended_at >= since)
        .order_by(RedPacket.id.desc()).limit(limit))
    return [Unpaid(row[0], row[1], row[2], row[3] or "", row[4] or since) for row in rows]


@dataclass(frozen=True, slots=True)
class _Ended:
    redemption_id: int | None


def _end(session: Session, packet_id: int, state: str, at: datetime, receipt: str | None = None,
         error: str | None = None) -> _Ended | None:
    open_ = or_(RedPacket.state == "claimed", and_(RedPacket.state == "pending", RedPacket.tries > 0))
    row = session.execute(
        update(_PACKETS).where(RedPacket.id == packet_id, open_)
        .values(state=state, ended_at=at, receipt=receipt, error=error).returning(RedPacket.redemption_id)).first()
    return None if row is None else _Ended(row.redemption_id)
