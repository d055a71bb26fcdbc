"""Points become a reward once, and can be taken back within the hour."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import errors
from loyalty.audit import findings
from loyalty.balances import balance_of
from loyalty.customers import resolve, set_tier
from loyalty.ledger import earn
from loyalty.programme import Programme
from loyalty.redemptions import CODE_LENGTH, CODE_LETTERS, of_member, redeem, undo, verify
from loyalty.rewards import affordable, availability, sync_stock
from loyalty.tables import Redemption, Stock, Transfer


def rich(session: Session, at: datetime, points: int = 250, name: str = "oWangFang") -> int:
    """Member id of somebody who has so many points, half of them lapsing in ten days."""
    member = resolve(session, [("openid", name)], at)["openid", name]
    soon = at + timedelta(days=10)
    earn(session, member, points - points // 2, key=f"first {name}", reason="order", at=at)
    if points // 2:
        earn(session, member, points // 2, key=f"second {name}", reason="order", at=at, expires_at=soon)
    return member


def pieces(session: Session, reward_id: str) -> int | None:
    """Pieces left of a reward."""
    return session.scalar(select(Stock.pieces).where(Stock.reward_id == reward_id))


def test_a_redemption_takes_points_and_a_piece_and_gives_a_code(database: Database, noon: datetime,
                                                                programme: Programme) -> None:
    """Two mugs: 200 points, two pieces, one readable code, and the sentence how to get it."""
    with database.transaction() as session:
        sync_stock(session, programme, noon)
        member = rich(session, noon)
        done = redeem(session, member, "mug", 2, "wish-1", programme, noon)
        assert (done.name, done.quantity, done.cost, done.balance) == ("陶瓷马克杯", 2, 200, 50)
        assert len(done.code) == CODE_LENGTH and set(done.code) <= set(CODE_LETTERS)
        assert not set("0O1ILU") & set(CODE_LETTERS)
        assert (pieces(session, "mug"), balance_of(session, member, noon).available) == (3, 50)
        assert redeem(session, member, "coupon", 1, "wish-2", programme, noon).handover == "到网店结账时填券码"
        assert [line.code for line in of_member(session, member)][1] == done.code
        assert of_member(session, member, limit=1)[0].reward_id == "coupon"
        assert findings(session) == []


def test_the_same_wish_is_granted_once(database: Database, noon: datetime, programme: Programme) -> None:
    """A repeated key gives the same code and takes nothing; another wish under the key is refused."""
    with database.transaction() as session:
        member = rich(session, noon)
        first = redeem(session, member, "mug", 1, "wish", programme, noon)
    with database.transaction() as session:
        assert redeem(session, member, "mug", 1, "wish", programme, noon) == first
        with pytest.raises(errors.KeyReused):
            redeem(session, member, "mug", 2, "wish", programme, noon)
        assert pieces(session, "mug") == 4
        assert session.scalar(select(func.count()).select_from(Redemption)) == 1


def test_everything_is_checked_again_and_a_refusal_leaves_no_trace(database: Database, noon: datetime,
                                                                   programme: Programme) -> None:
    """Reward, dates, tier, limit, points and stock each refuse by name; the session stays usable and clean."""
    with database.transaction() as session:
        sync_stock(session, programme, noon)
        member = rich(session, noon, points=400)
        before = session.scalar(select(func.count()).select_from(Transfer))

        def refused(error: type[errors.LoyaltyError], reward: str, quantity: int = 1, at: datetime = noon) -> None:
            with pytest.raises(error):
                redeem(session, member, reward, quantity, "wish", programme, at)

        refused(errors.UnknownReward, "teapot")
        refused(errors.RewardClosed, "spring")
        refused(errors.RewardClosed, "spring", at=noon.replace(month=5))
        refused(errors.TierTooLow, "kettle")
        refused(errors.LimitReached, "mug", 3)
        refused(errors.NotEnough, "coupon", 21)
        refused(errors.NotEnough, "coupon", 15, noon + timedelta(days=10))
        set_tier(session, member, "leaf")
        refused(errors.OutOfStock, "kettle", 4)
        assert session.scalar(select(func.count()).select_from(Transfer)) == before
        assert (pieces(session, "kettle"), balance_of(session, member, noon).available) == (3, 400)
        assert redeem(session, member, "kettle", 3, "wish", programme, noon).balance == 250
        refused(errors.KeyReused, "kettle", 1)


def test_the_limit_counts_what_was_taken_before(database: Database, noon: datetime, programme: Programme) -> None:
    """Two mugs a member, over all redemptions; an undone one does not count."""
    with database.transaction() as session:
        member = rich(session, noon, points=900)
        first = redeem(session, member, "mug", 1, "1", programme, noon)
        redeem(session, member, "mug", 1, "2", programme, noon)
        with pytest.raises(errors.LimitReached) as refusal:
            redeem(session, member, "mug", 1, "3", programme, noon)
        assert (refusal.value.limit, refusal.value.taken) == (2, 2)
        undo(session, first.id, member, "u", programme, noon)
        redeem(session, member, "mug", 1, "3", programme, noon)


def test_an_undo_restores_lots_with_their_first_expiry(database: Database, noon: datetime,
                                                       programme: Programme) -> None:
    """Within the hour points return to their lots, the piece to the stock; once more is the same answer."""
    with database.transaction() as session:
        member = rich(session, noon)
        before = balance_of(session, member, noon)
        done = redeem(session, member, "mug", 2, "wish", programme, noon)
        later = noon + timedelta(minutes=60)
        undone = undo(session, done.id, member, "undo", programme, later)
        assert (undone.name, undone.returned, undone.balance) == ("陶瓷马克杯", 200, 250)
        assert undo(session, done.id, member, "undo", programme, later) == undone
        assert balance_of(session, member, later) == before and before.lapsing[0].amount == 125
        assert pieces(session, "mug") == 5
        assert of_member(session, member)[0].state == "undone"
        with pytest.raises(errors.NotUndoable, match="undone"):
            undo(session, done.id, member, "another key", programme, later)
        with pytest.raises(errors.CodeUsed):
            verify(session, done.code, "till", later)
        assert findings(session) == []


def test_an_undo_has_its_time(database: Database, noon: datetime, programme: Programme) -> None:
    """After the hour, after the code was used, or by somebody else, there is nothing to undo."""
    with database.transaction() as session:
        member, other = rich(session, noon), rich(session, noon, name="oLiLei")
        late = redeem(session, member, "mug", 1, "1", programme, noon)
        with pytest.raises(errors.NotUndoable, match="late"):
            undo(session, late.id, member, "u", programme, noon + timedelta(minutes=60, seconds=1))
        verify(session, late.code, "till", noon)
        with pytest.raises(errors.NotUndoable, match="verified"):
            undo(session, late.id, member, "u", programme, noon)
        with pytest.raises(errors.UnknownCode):
            undo(session, late.id, other, "u", programme, noon)
        assert balance_of(session, member, noon).available == 150


def test_a_code_is_used_once(database: Database, noon: datetime, programme: Programme) -> None:
    """Typed in small letters with dashes it is known; a second use is refused with the moment of the first."""
    with database.transaction() as session:
        done = redeem(session, rich(session, noon), "mug", 2, "wish", programme, noon)
        spelled = f" {done.code[:5].lower()}-{done.code[5:]} "
        first = verify(session, spelled, "till-7", noon)
        assert (first.name, first.quantity, first.at) == ("陶瓷马克杯", 2, noon)
        assert verify(session, done.code, "till-7", noon + timedelta(minutes=1)) == first
        with pytest.raises(errors.CodeUsed) as refusal:
            verify(session, done.code, "till-8", noon + timedelta(minutes=1))
        assert refusal.value.at == noon
        with pytest.raises(errors.UnknownCode):
            verify(session, "2222222222", "till", noon)


def test_stock_is_given_once_and_then_kept(database: Database, noon: datetime, programme: Programme) -> None:
    """A new reward gets its first stock; a restart or a changed file leaves what is there."""
    with database.transaction() as session:
        assert sync_stock(session, programme, noon) == 4
        redeem(session, rich(session, noon), "mug", 1, "wish", programme, noon)
        assert sync_stock(session, programme, noon) == 0
        offers = {offer.reward.id: offer.stock for offer in availability(session, programme, noon)}
        assert offers == {"mug": 4, "coupon": None, "kettle": 3}


def test_only_what_can_be_had_is_affordable(database: Database, noon: datetime, programme: Programme) -> None:
    """Too dear, too high a tier, not open or gone: none of it is offered; cheapest first."""
    with database.transaction() as session:
        member, poor = rich(session, noon, points=120), rich(session, noon, points=30, name="oLiLei")
        names = [offer.reward.id for offer in affordable(session, programme, member, noon)]
        assert names == ["coupon", "mug"]
        assert [offer.reward.id for offer in affordable(session, programme, poor, noon)] == ["coupon"]
        assert affordable(session, programme, 999, noon) == []


def test_a_redemption_of_nothing_is_a_mistake(database: Database, noon: datetime, programme: Programme) -> None:
    """A quantity below 1 would give points; it never reaches the ledger."""
    with database.transaction() as session, pytest.raises(ValueError, match="at least 1"):
        redeem(session, rich(session, noon), "mug", -1, "wish", programme, noon)
