"""Refunds: what an order earned goes back pro rata, what it burned comes back, spent points go by the policy."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import ledger
from loyalty.audit import findings
from loyalty.balances import available, balance_of, lapses
from loyalty.cash import put_on_order
from loyalty.errors import KeyReused, NotEnough, RefundTooHigh, UnknownOrder
from loyalty.orders import OrderIn, record
from loyalty.programme import Programme
from loyalty.refunds import refund
from loyalty.statement import statement
from loyalty.tables import Order, PurchaseSummary


def brand(programme: Programme, **more: Any) -> Programme:
    """One point a yuan, and a cash reward of 10 points for 1 yuan."""
    cash = {"id": "cash", "name": "1元抵现", "cost_points": 10, "kind": "cash", "value_fen": 100, "most_percent": 100}
    return Programme.model_validate({"name": "青禾", "earning": {"points_per_yuan": 1, **more.pop("earning", {})},
                                     "expiry": {"rule": "after_days", "days": 30}, "rewards": [cash], **more})


def buy(session: Session, rules: Programme, at: datetime, number: str = "T1", fen: int = 10_000) -> int:
    """An order of somebody; gives the member."""
    order = OrderIn(source="pos", external_id=number, identities=(("openid", "a"),), paid_at=at, amount_fen=fen)
    return record(session, order, rules, at).member_id


def test_points_go_back_pro_rata(database: Database, noon: datetime, programme: Programme) -> None:
    """Parts of an order take back their part; the last part takes the rest, nothing is lost by rounding."""
    rules = brand(programme)
    with database.transaction() as session:
        who = buy(session, rules, noon, fen=9_999)
        assert available(session, [who], noon) == {who: 99}
        first = refund(session, "pos", "T1", 3_333, key="r1", programme=rules, at=noon)
        assert (first.clawed_back, first.owed, first.waived, first.balance) == (33, 0, 0, 66)
        assert refund(session, "pos", "T1", 3_333, key="r1", programme=rules, at=noon) == first
        with pytest.raises(KeyReused):
            refund(session, "pos", "T1", 3_334, key="r1", programme=rules, at=noon)
        with pytest.raises(RefundTooHigh):
            refund(session, "pos", "T1", 6_667, key="r2", programme=rules, at=noon)
        assert refund(session, "pos", "T1", 6_666, key="r3", programme=rules, at=noon).balance == 0
        assert session.scalar(select(Order.state)) == "refunded"
        assert session.scalar(select(PurchaseSummary.amount_fen)) == 0
        with pytest.raises(UnknownOrder, match="send the order first"):
            refund(session, "pos", "T9", 1, key="r4", programme=rules, at=noon)
        assert findings(session) == []


def test_spent_points_are_owed_and_repaid_first(database: Database, noon: datetime, programme: Programme) -> None:
    """`negative`: the balance goes below 0, nothing can be spent, the next order pays the debt before it counts."""
    rules = brand(programme)
    with database.transaction() as session:
        who = buy(session, rules, noon)
        ledger.spend(session, who, 70, key="s", reason="redeem", at=noon)
        done = refund(session, "pos", "T1", 10_000, key="r", programme=rules, at=noon)
        assert (done.clawed_back, done.owed, done.waived, done.balance) == (100, 70, 0, -70)
        assert balance_of(session, who, noon).available == available(session, [who], noon)[who] == -70
        with pytest.raises(NotEnough):
            ledger.spend(session, who, 1, key="s2", reason="redeem", at=noon)
        buy(session, rules, noon, "T2", 5_000)
        assert available(session, [who], noon)[who] == -20
        buy(session, rules, noon, "T3", 5_000)
        assert available(session, [who], noon)[who] == 30
        assert lapses(session, who, noon).days[0].amount == 30
        assert sum(entry.delta for entry in statement(session, who)) == 30
        ledger.spend(session, who, 30, key="s3", reason="redeem", at=noon)
        assert findings(session) == []


def test_a_spend_that_comes_back_repays_too(database: Database, noon: datetime, programme: Programme) -> None:
    """Whatever comes to a member who owes pays that first: also points returned from a redemption or a hold."""
    rules = brand(programme)
    with database.transaction() as session:
        who = buy(session, rules, noon)
        spent = ledger.spend(session, who, 60, key="s", reason="redeem", at=noon)
        ledger.hold(session, who, 40, key="h", reason="draw", until=noon + timedelta(hours=1), at=noon)
        refund(session, "pos", "T1", 10_000, key="r", programme=rules, at=noon)
        ledger.release(session, "h", key="free", at=noon)
        assert available(session, [who], noon)[who] == -60
        ledger.reverse(session, spent.id, key="undo", at=noon)
        assert available(session, [who], noon)[who] == 0
        assert findings(session) == []


def test_spent_points_are_waived(database: Database, noon: datetime, programme: Programme) -> None:
    """`zero`: what is there is taken, the rest is waived for good, also by the next part."""
    rules = brand(programme, refunds={"spent_points": "zero"})
    with database.transaction() as session:
        who = buy(session, rules, noon)
        ledger.spend(session, who, 90, key="s", reason="redeem", at=noon)
        done = refund(session, "pos", "T1", 5_000, key="r", programme=rules, at=noon)
        assert (done.clawed_back, done.waived, done.balance) == (10, 40, 0)
        buy(session, rules, noon, "T2", 6_000)
        done = refund(session, "pos", "T1", 5_000, key="r2", programme=rules, at=noon)
        assert (done.clawed_back, done.waived, done.balance) == (50, 0, 10)
        assert findings(session) == []


def test_spent_points_are_taken_from_stored_value(database: Database, noon: datetime, programme: Programme) -> None:
    """`stored_value`: missing points cost their price in fen as far as there is stored value, the rest is waived."""
    rules = brand(programme, refunds={"spent_points": "stored_value", "fen_per_point": "1.5"})
    with database.transaction() as session:
        who = buy(session, rules, noon)
        ledger.spend(session, who, 100, key="s", reason="redeem", at=noon)
        ledger.earn(session, who, 100, key="top-up", reason="top_up", asset="stored_value", at=noon)
        done = refund(session, "pos", "T1", 4_000, key="r", programme=rules, at=noon)
        assert (done.clawed_back, done.waived, done.stored_value_fen) == (40, 0, 60)
        done = refund(session, "pos", "T1", 6_000, key="r2", programme=rules, at=noon)
        assert (done.clawed_back, done.waived, done.stored_value_fen) == (26, 34, 40)
        assert available(session, [who], noon, "stored_value") == {who: 0} == available(session, [who], noon)
        assert findings(session) == []


def test_burned_lots_come_back_with_their_first_expiry(database: Database, noon: datetime,
                                                        programme: Programme) -> None:
    """Points put on the order return to the very lots they came from, in whole pieces; lapsed ones stay lapsed."""
    rules = brand(programme)
    soon, later = noon + timedelta(days=2), noon + timedelta(days=90)
    with database.transaction() as session:
        who = buy(session, rules, noon, fen=10_000)
        ledger.earn(session, who, 20, key="old", reason="gift", at=noon, expires_at=soon)
        ledger.earn(session, who, 20, key="long", reason="gift", at=noon, expires_at=later)
        put_on_order(session, who, "cash", 4, "T1", 10_000, "k", rules, noon)
        part = refund(session, "pos", "T1", 5_000, key="half", programme=rules, at=noon)
        assert (part.restored, part.clawed_back) == (20, 50)
        rest = refund(session, "pos", "T1", 5_000, key="rest", programme=rules, at=noon + timedelta(days=3))
        assert (rest.restored, rest.clawed_back, rest.balance) == (20, 50, 20)
        assert [entry.amount for entry in lapses(session, who, noon + timedelta(days=3)).days] == [20]
        assert findings(session) == []


def test_pending_points_are_taken_back_first(database: Database, noon: datetime, programme: Programme) -> None:
    """Within the return window an order's points are seen, not spendable; a refund takes them where they lie."""
    rules = brand(programme, earning={"pending_days": 7})
    with database.transaction() as session:
        who = buy(session, rules, noon)
        buy(session, rules, noon, "T2", 3_000)
        balance = balance_of(session, who, noon)
        assert (balance.available, balance.pending) == (0, 130)
        with pytest.raises(NotEnough):
            ledger.spend(session, who, 1, key="s", reason="redeem", at=noon)
        assert refund(session, "pos", "T1", 10_000, key="r", programme=rules, at=noon).clawed_back == 100
        balance = balance_of(session, who, noon + timedelta(days=8))
        assert (balance.available, balance.pending) == (30, 0)
        ledger.spend(session, who, 30, key="s", reason="redeem", at=noon + timedelta(days=8))
        assert findings(session) == []
