"""Points move by keyed transfers, from lots that lapse first."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import ledger
from loyalty.accounts import HELD, AccountName
from loyalty.audit import findings
from loyalty.balances import Balance, Lapse, Lapses, balance_of, balances, lapses
from loyalty.customers import resolve
from loyalty.errors import HoldClosed, KeyReused, NotEnough, NotReversible, UnknownMember, UnknownTransfer
from loyalty.ledger import Movement, earn, earning, expire_due, post, release_due_holds, spend, spending
from loyalty.tables import Lot, Transfer


def person(session: Session, at: datetime, name: str = "openid-王芳") -> int:
    """Member id of somebody new or known."""
    return resolve(session, [("openid", name)], at)["openid", name]


def lots(session: Session) -> list[int]:
    """What remains in each lot, oldest first."""
    return list(session.scalars(select(Lot.remaining).order_by(Lot.id)))


def test_earned_points_are_available_with_the_day_they_lapse(database: Database, noon: datetime) -> None:
    """An earn shows at once, with the last day it can be spent."""
    midnight = noon.replace(hour=16) + timedelta(days=9)
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 120, key="o-1", reason="order", ref="T1001", at=noon, expires_at=midnight)
        earn(session, member, 30, key="o-2", reason="order", at=noon)
        assert balance_of(session, member, noon) == Balance(150, 0)
        assert lapses(session, member, noon) == Lapses((Lapse(date(2026, 3, 19), 120),), whole=True)
        assert findings(session) == []


def test_what_lapses_first_is_spent_first(database: Database, noon: datetime) -> None:
    """A spend empties the lot that lapses soonest, whatever order the lots came in; never-lapsing goes last."""
    with database.transaction() as session:
        member = person(session, noon)
        for key, days in (("never", None), ("late", 90), ("soon", 10)):
            expiry = noon + timedelta(days=days) if days else None
            earn(session, member, 100, key=key, reason="order", at=noon, expires_at=expiry)
        spend(session, member, 150, key="s", reason="redeem", at=noon)
        assert lots(session) == [100, 50, 0]
        spend(session, member, 100, key="s2", reason="redeem", at=noon)
        assert lots(session) == [50, 0, 0]


def test_nobody_spends_more_than_they_have(database: Database, noon: datetime) -> None:
    """An overdraft is refused with what is missing, and nothing moves."""
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 80, key="e", reason="order", at=noon)
        with pytest.raises(NotEnough) as refusal:
            spend(session, member, 100, key="s", reason="redeem", at=noon)
        assert (refusal.value.missing, refusal.value.available) == (20, 80)
        assert balance_of(session, member, noon).available == 80
        spend(session, member, 80, key="s", reason="redeem", at=noon)


def test_the_same_key_moves_once(database: Database, noon: datetime) -> None:
    """A repeated call answers with the first transfer; another body under the key is refused by name."""
    with database.transaction() as session:
        member = person(session, noon)
        first = earn(session, member, 50, key="o-1", reason="order", at=noon)
    with database.transaction() as session:
        again = earn(session, member, 50, key="o-1", reason="order", at=noon + timedelta(hours=1))
        assert (again.id, again.new) == (first.id, False)
        with pytest.raises(KeyReused) as refusal:
            earn(session, member, 51, key="o-1", reason="order", at=noon)
        assert refusal.value.key == "o-1" and refusal.value.first_hash != refusal.value.other_hash
        assert balance_of(session, member, noon).available == 50


def test_a_batch_is_decided_row_by_row(database: Database, noon: datetime) -> None:
    """In one batch an earn feeds a later spend, an overdraft stops alone, a doubled key counts once."""
    with database.transaction() as session:
        a, b = person(session, noon, "a"), person(session, noon, "b")
        answers = post(session, [
            earning(a, 100, "1", "order", expires_at=None),
            spending(a, 70, "2", "redeem"),
            spending(a, 70, "3", "redeem"),
            earning(b, 5, "4", "order", expires_at=None),
            earning(b, 5, "4", "order", expires_at=None),
            earning(b, 6, "4", "order", expires_at=None),
            spending(a, 30, "5", "redeem"),
        ], noon)
        assert [answer.new for answer in answers] == [True, True, False, True, False, False, True]
        assert [type(answer.error) for answer in answers if answer.error] == [NotEnough, KeyReused]
        assert answers[3].id == answers[4].id > 0 and answers[2].id == 0
        found = balances(session, [a, b, 999], noon)
        assert [found[id].available for id in (a, b, 999)] == [0, 5, 0]
        assert findings(session) == []


def test_lapsed_points_are_gone_before_and_after_the_sweep(database: Database, noon: datetime) -> None:
    """From the moment of expiry a lot neither counts nor can be spent; the sweep books it once."""
    gone = noon + timedelta(days=1)
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 100, key="a", reason="order", at=noon, expires_at=gone)
        earn(session, member, 7, key="b", reason="order", at=noon)
        assert balance_of(session, member, gone - timedelta(seconds=1)).available == 107
        assert balance_of(session, member, gone).available == 7
        with pytest.raises(NotEnough):
            spend(session, member, 8, key="s", reason="redeem", at=gone)
        assert expire_due(session, gone - timedelta(seconds=1)) == 0
        assert expire_due(session, gone) == 1
        assert expire_due(session, gone) == 0
        assert lots(session) == [0, 7]
        assert balance_of(session, member, gone).available == 7
        assert findings(session) == []


def test_the_sweep_takes_at_most_its_limit(database: Database, noon: datetime) -> None:
    """A long queue of lapsed lots is worked off piece by piece."""
    with database.transaction() as session:
        member = person(session, noon)
        post(session, [earning(member, 1, f"e{n}", "order", expires_at=noon) for n in range(5)], noon)
        assert [expire_due(session, noon, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_held_amount_is_neither_spendable_nor_lost(database: Database, noon: datetime) -> None:
    """A hold leaves available and shows as held; released it is back in the lot it came from."""
    midnight = noon + timedelta(days=3)
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 100, key="e", reason="order", at=noon, expires_at=midnight)
        ledger.hold(session, member, 60, key="h", reason="draw", until=noon + timedelta(hours=1), at=noon)
        assert balance_of(session, member, noon) == Balance(40, 60)
        assert lapses(session, member, noon).days == (Lapse(date(2026, 3, 13), 40),)
        assert findings(session) == []
        ledger.release(session, "h", key="r", at=noon)
        assert balance_of(session, member, noon).available == 100
        assert lots(session) == [100]
        with pytest.raises(HoldClosed) as refusal:
            ledger.settle(session, "h", key="x", at=noon)
        assert refusal.value.state == "released"
        assert ledger.release(session, "h", key="r", at=noon).new is False
        assert findings(session) == []


def test_a_settled_hold_is_spent(database: Database, noon: datetime) -> None:
    """Settling burns what was held and says where it hangs; reversed, it is back in its lot."""
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 100, key="e", reason="order", at=noon)
        held = ledger.hold(session, member, 60, key="h", reason="draw", until=noon + timedelta(hours=1), at=noon)
        settled = ledger.settle(session, "h", key="s", at=noon)
        assert balance_of(session, member, noon) == Balance(40, 0)
        assert session.scalar(select(Transfer.pending_of).where(Transfer.id == settled.id)) == held.id
        ledger.reverse(session, settled.id, key="v", at=noon)
        assert balance_of(session, member, noon) == Balance(100, 0)
        assert lots(session) == [100]
        assert findings(session) == []


def test_a_hold_that_nobody_ends_times_out(database: Database, noon: datetime) -> None:
    """After its time a hold cannot be settled, and the ticker gives the points back once."""
    late = noon + timedelta(hours=1)
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 100, key="e", reason="order", at=noon)
        ledger.hold(session, member, 60, key="h", reason="draw", until=late, at=noon)
        assert release_due_holds(session, late - timedelta(seconds=1)) == 0
        with pytest.raises(HoldClosed):
            ledger.settle(session, "h", key="s", at=late)
        assert release_due_holds(session, late) == 1
        assert release_due_holds(session, late) == 0
        assert balance_of(session, member, late) == Balance(100, 0)


def test_a_reversed_spend_keeps_the_first_expiry(database: Database, noon: datetime) -> None:
    """Points return to their own lots; what has lapsed meanwhile does not come alive again."""
    soon, later = noon + timedelta(days=1), noon + timedelta(days=20)
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 50, key="a", reason="order", at=noon, expires_at=soon)
        earn(session, member, 50, key="b", reason="order", at=noon, expires_at=later)
        spent = spend(session, member, 80, key="s", reason="redeem", at=noon)
        after = soon + timedelta(hours=1)
        ledger.reverse(session, spent.id, key="v", at=after)
        assert balance_of(session, member, after) == Balance(50, 0)
        assert lapses(session, member, after).days == (Lapse(date(2026, 3, 30), 50),)
        assert lots(session) == [50, 50]
        assert expire_due(session, after) == 1
        assert balance_of(session, member, after).available == 50
        assert findings(session) == []


def test_points_that_come_back_to_a_swept_lot_lapse_again(database: Database, noon: datetime) -> None:
    """A lot may be swept twice: once for what was left, once for what was given back later."""
    soon = noon + timedelta(days=1)
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 50, key="a", reason="order", at=noon, expires_at=soon)
        spent = spend(session, member, 20, key="s", reason="redeem", at=noon)
        assert expire_due(session, soon) == 1
        ledger.reverse(session, spent.id, key="v", at=soon)
        assert expire_due(session, soon) == 1
        assert expire_due(session, soon) == 0
        assert findings(session) == []


def test_a_transfer_is_never_reversed_beyond_itself(database: Database, noon: datetime) -> None:
    """Parts can be taken back until nothing is left; the last to lapse is returned first."""
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 50, key="a", reason="order", at=noon, expires_at=noon + timedelta(days=1))
        earn(session, member, 50, key="b", reason="order", at=noon)
        spent = spend(session, member, 90, key="s", reason="redeem", at=noon)
        ledger.reverse(session, spent.id, key="v1", amount=60, at=noon)
        assert lots(session) == [20, 50]
        with pytest.raises(NotReversible):
            ledger.reverse(session, spent.id, key="v2", amount=31, at=noon)
        ledger.reverse(session, spent.id, key="v2", amount=30, at=noon)
        assert lots(session) == [50, 50]
        assert findings(session) == []


def test_an_earn_is_clawed_back_from_its_own_lot(database: Database, noon: datetime) -> None:
    """A refund takes the order's points where they are, and refuses what has been spent."""
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 50, key="soon", reason="order", at=noon, expires_at=noon + timedelta(days=1))
        late = earn(session, member, 50, key="late", reason="order", at=noon, expires_at=noon + timedelta(days=9))
        ledger.reverse(session, late.id, key="v", amount=20, at=noon)
        assert lots(session) == [50, 30]
        spend(session, member, 60, key="s", reason="redeem", at=noon)
        with pytest.raises(NotEnough):
            ledger.reverse(session, late.id, key="v2", amount=30, at=noon)
        assert findings(session) == []


def test_holds_and_lapses_are_not_reversed(database: Database, noon: datetime) -> None:
    """A hold is released, not reversed; a transfer nobody knows is named."""
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 50, key="e", reason="order", at=noon)
        held = ledger.hold(session, member, 10, key="h", reason="draw", until=noon + timedelta(hours=1), at=noon)
        with pytest.raises(NotReversible):
            ledger.reverse(session, held.id, key="v", at=noon)
        with pytest.raises(UnknownTransfer):
            ledger.reverse(session, 10_000, key="v", at=noon)
        with pytest.raises(UnknownTransfer):
            ledger.settle(session, "no such hold", key="v", at=noon)


def test_one_members_reversal_cannot_feed_another(database: Database, noon: datetime) -> None:
    """A hand-made movement whose accounts do not match what it reverses or ends is refused."""
    with database.transaction() as session:
        a, b = person(session, noon, "a"), person(session, noon, "b")
        earn(session, a, 50, key="e", reason="order", at=noon)
        spent = spend(session, a, 50, key="s", reason="redeem", at=noon)
        theirs = spending(b, 50, "x", "redeem")
        forged = Movement("x", theirs.credit, theirs.debit, 50, "reverse", reverses=spent.id)
        assert isinstance(post(session, [forged], noon)[0].error, NotReversible)
        assert balance_of(session, b, noon).available == 0


def test_points_for_nobody_are_refused(database: Database, noon: datetime) -> None:
    """An account is never opened for a member that does not exist."""
    with database.transaction() as session, pytest.raises(UnknownMember):
        earn(session, 4711, 10, key="e", reason="order", at=noon)


@pytest.mark.parametrize("amount", [0, -5])
def test_nothing_and_less_cannot_be_moved(amount: int) -> None:
    """An amount is above 0; a movement the other way is another movement."""
    with pytest.raises(ValueError, match="above 0"):
        spending(1, amount, "k", "redeem")


def test_a_batch_ends_and_reverses_once(database: Database, noon: datetime) -> None:
    """Within one batch too, a hold ends once and a spend comes back once: the second row is refused."""
    with database.transaction() as session:
        member = person(session, noon)
        earn(session, member, 50, key="e", reason="order", at=noon)
        held = ledger.hold(session, member, 10, key="h", reason="draw", until=noon + timedelta(hours=1), at=noon)
        spent = spend(session, member, 40, key="s", reason="redeem", at=noon)
        taken, freed = spending(member, 40, "x", "redeem"), AccountName(member, "points", HELD)
        answers = post(session, [
            Movement("v1", taken.credit, taken.debit, 30, "reverse", reverses=spent.id),
            Movement("v2", taken.credit, taken.debit, 30, "reverse", reverses=spent.id),
            Movement("r1", freed, taken.debit, 10, "release", pending_of=held.id),
            Movement("r2", freed, taken.debit, 10, "release", pending_of=held.id),
        ], noon)
        assert [type(answer.error) for answer in answers] == [type(None), NotReversible, type(None), HoldClosed]
        assert balance_of(session, member, noon) == Balance(40, 0)
        assert findings(session) == []
