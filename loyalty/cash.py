"""Points as cash (积分抵现): money off an order that is being paid, and back with the order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from loyalty.accounts import lock_member
from loyalty.answers import answer_once
from loyalty.balances import balance_of
from loyalty.errors import KeyReused, OrderBearsLess, RefundTooHigh, UnknownCode, UnknownOffer
from loyalty.ledger import reverse
from loyalty.programme import Programme, Reward
from loyalty.redemptions import Redeemed, redeem
from loyalty.rewards import return_pieces
from loyalty.tables import Redemption, Transfer, table_of

_REDEMPTIONS = table_of(Redemption)


@dataclass(frozen=True, slots=True)
class Quote:
    """The most of a cash reward a member can put on an order: pieces, their points and fen off."""

    pieces: int
    points: int
    off_fen: int


@dataclass(frozen=True, slots=True)
class Returned:
    """Points that came back with an order; `balance` is what is available now."""

    points: int
    balance: int


def quote(session: Session, member_id: int, reward_id: str, amount_fen: int, programme: Programme,
          now: datetime) -> Quote:
    """What points can take off an order of this amount now; nothing where the reward is closed or the order small.

    Raises UnknownReward, UnknownOffer (not a cash reward).
    """
    reward = _cash(programme, reward_id)
    pieces = min(_most_pieces(reward, amount_fen),
                 balance_of(session, member_id, now).available // reward.cost_points)
    pieces = max(pieces, 0) if reward.is_open(now) else 0
    return Quote(pieces, pieces * reward.cost_points, pieces * reward.value_fen)


def put_on_order(session: Session, member_id: int, reward_id: str, pieces: int, order_ref: str, amount_fen: int,
                 key: str, programme: Programme, at: datetime) -> Redeemed:
    """Spend points on an order at once: the code is used up under its number. Once per key, once per order.

    Raises what `redeem` raises, and OrderBearsLess.
    """
    lock_member(session, member_id, "points")
    known = session.execute(select(Redemption.key, Redemption.order_ref).where(Redemption.key == key)).first()
    if known is not None and known.order_ref != order_ref:
        raise KeyReused(key, f"order {known.order_ref}", f"order {order_ref}")
    if known is None:
        reward = _cash(programme, reward_id)
        used = session.scalar(select(func.count()).where(
            Redemption.member_id == member_id, Redemption.order_ref == order_ref, Redemption.state == "verified")) or 0
        most = 0 if used else _most_pieces(reward, amount_fen)
        if pieces > most:
            raise OrderBearsLess(order_ref, pieces, most)
    done = redeem(session, member_id, reward_id, pieces, key, programme, at)
    session.execute(update(_REDEMPTIONS).where(Redemption.id == done.id, Redemption.state == "issued").values(
        state="verified", order_ref=order_ref, ended_key=f"order:{order_ref}", ended_at=at))
    return done


def return_from_order(session: Session, redemption_id: int, pieces: int, key: str, at: datetime) -> Returned:
    """Give points of so many pieces back, because the order or a part of it was refunded. Once per key.

    Raises UnknownCode, RefundTooHigh, KeyReused.
    """
    def work() -> Returned:
        row = _on_order(session, redemption_id)
        lock_member(session, row.member_id, "points")
        cost = row.cost // row.quantity
        back = session.scalar(select(func.coalesce(func.sum(Transfer.amount), 0))
                              .where(Transfer.reverses == row.transfer_id)) or 0
        if back + pieces * cost > row.cost:
            value_fen = row.value_fen // row.quantity
            raise RefundTooHigh(pieces * value_fen, (row.cost - int(back)) // cost * value_fen)
        reverse(session, row.transfer_id, key=f"cash-back:{key}", reason="order returned", ref=row.order_ref,
                amount=pieces * cost, at=at)
        return_pieces(session, row.reward_id, pieces)
        if back + pieces * cost == row.cost:
            session.execute(update(_REDEMPTIONS).where(Redemption.id == redemption_id).values(state="undone"))
        return Returned(pieces * cost, balance_of(session, row.member_id, at).available)

    if pieces < 1:
        raise ValueError(f"pieces {pieces}: return at least 1")
    return answer_once(session, f"cash-back:{key}", [redemption_id, pieces], Returned, work, at)


def _cash(programme: Programme, reward_id: str) -> Reward:
    reward = programme.reward(reward_id)
    if reward.kind != "cash":
        raise UnknownOffer("reward of kind cash", reward_id)
    return reward


def _most_pieces(reward: Reward, amount_fen: int) -> int:
    if amount_fen < reward.from_amount_fen:
        return 0
    return amount_fen * reward.most_percent // 100 // reward.value_fen


def _on_order(session: Session, redemption_id: int) -> Row[int, str, int, int, int, int | None, str | None]:
    row = session.execute(
        select(Redemption.member_id, Redemption.reward_id, Redemption.quantity, Redemption.cost, Redemption.value_fen,
               Redemption.transfer_id, Redemption.order_ref)
        .where(Redemption.id == redemption_id, Redemption.order_ref.is_not(None))).first()
    if row is None:
        raise UnknownCode(redemption_id)
    return row
