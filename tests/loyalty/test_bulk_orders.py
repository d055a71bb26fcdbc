"""What thousands of orders leave when they are written at once is what they leave one small batch after another."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import ledger
from loyalty.audit import findings
from loyalty.balances import balance_of
from loyalty.bulk import BULK, load, next_ids
from loyalty.customers import Identity, find, resolve
from loyalty.errors import KeyReused
from loyalty.orders import Item, OrderIn, record_many
from loyalty.programme import Programme
from loyalty.refunds import refund
from loyalty.tables import Member, Order
from loyalty.writing import sqlite_moment

SEED = 20260310
CARD = Identity("card", "C0")
RULES = Programme.model_validate({
    "name": "青禾",
    "earning": {"points_per_yuan": "1.5", "growth_per_yuan": "0.5", "pending_days": 7, "rules": [
        {"id": "welcome", "name": "首单礼", "points": 100, "first_order": True, "caps": {"times_per_member": 1}},
        {"id": "milk", "name": "燕麦奶加倍", "times": 2, "skus": ["OAT"]}]},
    "expiry": {"rule": "after_days", "days": 30},
    "tiers": [{"id": "seed", "name": "青芽", "from_amount_fen": 0},
              {"id": "leaf", "name": "青叶", "from_amount_fen": 60_000, "from_growth": 250, "factor": "2"}],
})
LEFT = {
    "orders": "SELECT o.source, o.external_id, o.body_hash, o.paid_at, o.amount_fen, o.items, o.state, o.earned, "
              "o.recorded_at FROM orders o",
    "transfers": "SELECT t.key, t.amount, t.asset, t.reason, t.ref, t.at, l.amount, l.remaining, l.expires_at, "
                 "l.available_from FROM transfers t LEFT JOIN lots l ON l.transfer_id = t.id",
    "people": "SELECT i.kind, i.value, i.evidence, m.tier, s.first_at, s.last_at, s.orders, s.amount_fen, s.last_items "
              "FROM identities i JOIN members m ON m.id = i.member_id "
              "LEFT JOIN purchase_summaries s ON s.member_id = m.id",
    "balances": "SELECT i.value, a.asset, a.kind, b.balance FROM identities i JOIN accounts a ON a.owner = i.member_id "
                "JOIN balances b ON b.account_id = a.id",
    "steps": "SELECT i.value, e.kind, e.old_tier, e.new_tier, e.amount_fen, e.growth, e.at FROM tier_events e "
             "JOIN identities i ON i.member_id = e.member_id",
    "grants": "SELECT i.value, g.rule_id, g.amount, o.external_id FROM grants g JOIN orders o ON o.id = g.order_id "
              "JOIN identities i ON i.member_id = g.member_id",
}


class _Undo(Exception):
    pass


def orders_of_a_day(noon: datetime, count: int) -> list[OrderIn]:
    """Orders of many people, some of whom come again; some name a phone beside the card, one order stands twice."""
    dice = random.Random(SEED)
    orders = []
    for number in range(count):
        who = dice.randrange(count * 3 // 4)
        also = (Identity("phone", f"hash-{who}"),) if who % 2 else ()
        fen = dice.choice((0, 990, 19_800, 45_000, 61_000))
        bought = Item(sku=dice.choice(("OAT", "QH-30")), name="燕麦奶 \\N \"一升\"", amount_fen=fen)
        items = (bought,) if who % 3 else ()
        orders.append(OrderIn(source="pos", external_id=f"T{number:05}", amount_fen=fen, items=items,
                              identities=(Identity("card", f"C{who}"), *also),
                              paid_at=noon - timedelta(minutes=dice.randrange(10_000))))
    return [*orders, orders[7]]


def what_is_left(session: Session) -> dict[str, list[Any]]:
    """All rows that orders leave, without the numbers the database gave them."""
    return {name: sorted(tuple(str(cell) for cell in row) for row in session.execute(text(query)))
            for name, query in LEFT.items()}


def test_at_once_as_in_small_batches(database: Database, noon: datetime) -> None:
    """Points, growth, lots, tiers, first-order rule, summaries, evidence: the same rows by both ways, also where a
    member owes points; the audit finds nothing."""
    orders = orders_of_a_day(noon, BULK * 2 + 100)
    with database.transaction() as session:
        record_many(session, [orders[0].model_copy(update={
            "external_id": "before", "identities": (CARD,), "amount_fen": 500_000})], RULES, noon)
        member = find(session, *CARD)
        assert member is not None
        ledger.earn(session, member, 10, key="gift", reason="gift", at=noon)
        later = noon + timedelta(days=8)
        ledger.spend(session, member, balance_of(session, member, later).available, key="all", reason="shop", at=later)
        refund(session, "pos", "before", 500_000, key="back", programme=RULES, at=later)
        assert balance_of(session, member, later).available < 0

    def by(size: int) -> tuple[dict[str, list[Any]], list[tuple[int, bool]]]:
        found: list[tuple[int, bool]] = []
        try:
            with database.transaction() as session:
                for start in range(0, len(orders), size):
                    outcomes = record_many(session, orders[start:start + size], RULES, later, with_balances=False)
                    found += [(outcome.earned, outcome.new) for outcome in outcomes]
                left = what_is_left(session)
                assert findings(session) == []
                raise _Undo
        except _Undo:
            return left, found

    at_once, one_by_one = by(len(orders)), by(50)
    assert len(at_once[0]["grants"]) > BULK
    assert at_once[1] == one_by_one[1]
    for name, rows in at_once[0].items():
        assert (name, rows) == (name, one_by_one[0][name])


def test_again_at_once_changes_nothing(database: Database, noon: datetime) -> None:
    """A file that comes twice: the second time every order is known with what it earned."""
    orders = orders_of_a_day(noon, BULK + 10)
    with database.transaction() as session:
        first = record_many(session, orders, RULES, noon)
        before = what_is_left(session)
        again = record_many(session, orders, RULES, noon + timedelta(hours=1))
        assert what_is_left(session) == before
    assert [(each.order_id, each.earned) for each in again] == [(each.order_id, each.earned) for each in first]
    assert not any(each.new for each in again)
    assert sum(each.new for each in first) == BULK + 10


def test_a_key_of_somebody_else_is_refused(database: Database, noon: datetime) -> None:
    """A transfer that took an order's key with another body is not overrun."""
    orders = orders_of_a_day(noon, BULK)
    with database.transaction() as session:
        other = resolve(session, [Identity("card", "other")], noon)
        ledger.earn(session, other["card", "other"], 5, key="order:pos:T00003", reason="gift", at=noon)
    orders[3] = orders[3].model_copy(update={"amount_fen": 20_000})
    with pytest.raises(KeyReused), database.transaction() as session:
        record_many(session, orders, RULES, noon)
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Order)) == 0


def test_rows_that_are_taken_are_an_error(database: Database, noon: datetime) -> None:
    """Loading looks for no conflict: a taken key says so, and the transaction is over."""
    with pytest.raises(IntegrityError), database.transaction() as session:
        ids = next_ids(session, Member, 2)
        assert ids == sorted(set(ids))
        load(session, Member, ("id", "created_at"), [(id, noon.replace(tzinfo=None)) for id in (*ids, ids[0])])


@pytest.mark.parametrize("moment", [
    datetime(2026, 3, 10, 4, 0, tzinfo=UTC), datetime(2026, 3, 10, 4, 5, 6, 7, tzinfo=UTC),
    datetime(2026, 3, 10, 4, 5, 6, 120_000, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=8)))])
def test_a_moment_written_as_a_cell_stands_as_any_other(moment: datetime) -> None:
    """The text of a cell is what the column's own type writes, so that text order stays time order."""
    stored = moment.astimezone(UTC).replace(tzinfo=None)
    assert sqlite_moment(moment) == stored.isoformat(" ", "microseconds")
    with pytest.raises(ValueError, match="without a time zone"):
        sqlite_moment(stored)
