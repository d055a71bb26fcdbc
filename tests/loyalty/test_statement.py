"""The statement tells every change of what was available."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.database import Database
from loyalty import ledger
from loyalty.balances import balance_of
from loyalty.customers import resolve
from loyalty.statement import Totals, statement, totals


def test_a_statement_is_paged_newest_first(database: Database, noon: datetime) -> None:
    """Pages follow each other without gap or double, and all deltas together are the balance."""
    with database.transaction() as session:
        a, b = resolve(session, [("openid", "a"), ("openid", "b")], noon).values()
        for n in range(4):
            at = noon + timedelta(hours=n)
            ledger.earn(session, a, 10 + n, key=f"a{n}", reason="order", ref=f"T{n}", at=at)
            ledger.earn(session, b, 99, key=f"b{n}", reason="order", at=at)
            ledger.spend(session, a, 2, key=f"s{n}", reason="redeem", ref="mug", at=at)
        whole = statement(session, a, limit=100)
        assert [entry.delta for entry in whole] == [-2, 13, -2, 12, -2, 11, -2, 10]
        assert sum(entry.delta for entry in whole) == balance_of(session, a, noon).available
        first = statement(session, a, limit=3)
        assert first + statement(session, a, limit=100, before_id=first[-1].id) == whole
        window = statement(session, a, since=noon + timedelta(hours=1), until=noon + timedelta(hours=2))
        assert [(entry.delta, entry.ref) for entry in window] == [(-2, "mug"), (11, "T1")]


def test_a_hold_shows_going_and_coming_but_not_being_settled(database: Database, noon: datetime) -> None:
    """Settling changes held, not available: one line, not two."""
    with database.transaction() as session:
        member = resolve(session, [("openid", "a")], noon)["openid", "a"]
        until = noon + timedelta(hours=1)
        ledger.earn(session, member, 10, key="e", reason="order", at=noon)
        ledger.hold(session, member, 4, key="h1", reason="draw", until=until, at=noon)
        ledger.settle(session, "h1", key="s", at=noon)
        ledger.hold(session, member, 3, key="h2", reason="draw", until=until, at=noon)
        ledger.release(session, "h2", key="r", at=noon)
        assert [(e.delta, e.reason) for e in statement(session, member)] == [
            (3, "release"), (-3, "draw"), (-4, "draw"), (10, "order")]
        assert statement(session, 99) == []


def test_totals_tell_earned_used_taken_back_and_lapsed(database: Database, noon: datetime) -> None:
    """An undone redemption used nothing, a claw-back is no use, and only the window counts, its end not."""
    later = noon + timedelta(days=1)
    with database.transaction() as session:
        member = resolve(session, [("openid", "a")], noon)["openid", "a"]
        assert totals(session, member, noon, later) == Totals()
        earned = ledger.earn(session, member, 100, key="e1", reason="order", at=noon)
        ledger.earn(session, member, 7, key="e2", reason="order", at=later)
        spent = ledger.spend(session, member, 30, key="s1", reason="redeem", at=noon)
        ledger.spend(session, member, 20, key="s2", reason="redeem", at=noon)
        ledger.reverse(session, spent.id, key="u1", reason="undo", at=noon)
        ledger.reverse(session, earned.id, key="r1", reason="refund", at=noon, amount=40)
        assert totals(session, member, noon, later) == Totals(earned=100, used=20, taken_back=40)
        assert totals(session, member, later, later + timedelta(days=1)) == Totals(earned=7)
