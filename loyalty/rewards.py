"""What can be redeemed right now, and how many pieces are left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from loyalty.balances import balance_of
from loyalty.customers import profiles
from loyalty.errors import OutOfStock
from loyalty.programme import Programme, Reward
from loyalty.tables import Stock, table_of
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
    return [Offer(reward, left.get(reward.id, reward.stock)) for reward in programme.rewards if reward.is_open(now)]


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


def _took(session: Session, reward: Reward, quantity: int) -> bool:
    stock = table_of(Stock)
    statement = (
        update(stock)
        .where(stock.c.reward_id == reward.id, or_(stock.c.pieces.is_(None), stock.c.pieces >= quantity))
        .values(pieces=stock.c.pieces - quantity)
        .returning(stock.c.reward_id)
    )
    return session.execute(statement).first() is not None
