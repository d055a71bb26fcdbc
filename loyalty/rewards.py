"""What can be redeemed right now, and how many pieces are left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from loyalty.balances import balance_of
from loyalty.codes import free_codes
from loyalty.customers import profiles
from loyalty.errors import OutOfStock
from loyalty.ledger import reverse
from loyalty.programme import Programme, Reward
from loyalty.tables import Redemption, Stock, table_of
from loyalty.writing import insert_new


@dataclass(frozen=True, slots=True)
class Offer:
    """A reward that is open, with the pieces left; none means without limit."""

    reward: Reward
    stock: int | None

    def in_stock(self, quantity: int = 1) -> bool:
        """Whether so many pieces are left."""
        return self.stock is None or self.stock >= quantity


def sync_stock(session: Session, programme: Programme, at: datetime) -> int:
    """Give new rewards their stock row; what is there already stays as it is. How many were new."""
    rows = [{"reward_id": reward.id, "pieces": reward.stock, "synced_at": at}
            for reward in sorted(programme.rewards, key=lambda reward: reward.id)]
    return len(insert_new(session, Stock, rows, ["reward_id"]))


def availability(session: Session, programme: Programme, now: datetime) -> list[Offer]:
    """Every reward that is open now, in the programme's order, also where nothing is left."""
    left = {row.reward_id: row.pieces for row in session.execute(select(Stock.reward_id, Stock.pieces))}
    pools = {reward.pool for reward in programme.rewards if reward.pool is not None}
    free = free_codes(session, pools, now) if pools else {}
    return [Offer(reward, _least(left.get(reward.id, reward.stock), free.get(reward.pool or "")))
            for reward in programme.rewards if reward.is_open(now)]


def affordable(session: Session, programme: Programme, member_id: int, now: datetime) -> list[Offer]:
    """Rewards this member could redeem one piece of now: in stock, cost covered, tier reached; cheapest first."""
    available = balance_of(session, member_id, now).available
    profile = profiles(session, [member_id]).get(member_id)
    rank = programme.tier_rank(profile.tier if profile else None)
    offers = [
        offer for offer in availability(session, programme, now)
        if offer.in_stock() and offer.reward.cost_points <= available and programme.tier_rank(offer.reward.tier) <= rank
    ]
    return sorted(offers, key=lambda offer: offer.reward.cost_points)


def take_pieces(session: Session, reward: Reward, quantity: int, at: datetime) -> None:
    """Take pieces off the stock in one guarded statement; raises OutOfStock and takes nothing."""
    if _took(session, reward, quantity):
        return
    insert_new(session, Stock, [{"reward_id": reward.id, "pieces": reward.stock, "synced_at": at}], ["reward_id"])
    if not _took(session, reward, quantity):
        raise OutOfStock(reward.id, session.scalar(select(Stock.pieces).where(Stock.reward_id == reward.id)) or 0)


def return_pieces(session: Session, reward_id: str, quantity: int) -> None:
    """Put pieces back on the stock."""
    stock = table_of(Stock)
    session.execute(update(stock).where(stock.c.reward_id == reward_id).values(pieces=stock.c.pieces + quantity))


def take_back(session: Session, which: ColumnElement[bool], state: str, key: str, at: datetime, reason: str,
              points: bool = True) -> int:
    """End issued redemptions: their points go back to the lots, unless `points` is False, their pieces to the stock.

    Answers how many ended; of any number of callers at once, one succeeds with each.
    """
    r = Redemption
    rows = session.execute(
        update(table_of(r)).where(which, r.state == "issued").values(state=state, ended_key=key, ended_at=at)
        .returning(r.id, r.reward_id, r.quantity, r.member_id, r.transfer_id)).all()
    for row in sorted(rows, key=lambda row: row.member_id):
        if points and row.transfer_id is not None:
            reverse(session, row.transfer_id, key=f"undo:{row.id}", reason=reason, ref=row.reward_id, at=at)
    pieces: Counter[str] = Counter()
    for row in rows:
        pieces[row.reward_id] += row.quantity
    for reward_id, quantity in sorted(pieces.items()):
        return_pieces(session, reward_id, quantity)
    return len(rows)


def _least(stock: int | None, free: int | None) -> int | None:
    return min((left for left in (stock, free) if left is not None), default=None)


def _took(session: Session, reward: Reward, quantity: int) -> bool:
    stock = table_of(Stock)
    statement = (
        update(stock)
        .where(stock.c.reward_id == reward.id, or_(stock.c.pieces.is_(None), stock.c.pieces >= quantity))
        .values(pieces=stock.c.pieces - quantity)
        .returning(stock.c.reward_id)
    )
    return session.execute(statement).first() is not None
