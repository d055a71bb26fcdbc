"""One movement, committed by itself: the same answers as in a session, and safe to say twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from bot.database import Database
from bot.teller import post_alone
from loyalty import ledger
from loyalty.audit import findings
from loyalty.balances import available
from loyalty.customers import resolve
from loyalty.errors import KeyReused, NotEnough, UnknownMember
from loyalty.movements import earning, holding, settling, spending


@pytest.fixture
def noon() -> datetime:
    """Twelve o'clock in Shanghai."""
    return datetime(2026, 3, 10, 4, tzinfo=UTC)


@pytest.fixture
def member(database: Database, noon: datetime) -> int:
    """Somebody with 100 points."""
    with database.transaction() as session:
        found = resolve(session, [("openid", "openid-林晓")], noon)["openid", "openid-林晓"]
        ledger.earn(session, found, 100, key="first", reason="order", at=noon)
    return found


def has(database: Database, member: int, at: datetime) -> int:
    """What the member has, in a ledger that adds up."""
    with database.reading() as session:
        assert findings(session) == []
        return available(session, [member], at)[member]


def test_a_movement_is_committed_by_itself(database: Database, member: int, noon: datetime) -> None:
    """Earn, spend, hold and settle are there for others at once; a hold's end goes through the planner."""
    assert post_alone(database, earning(member, 20, "e", "order", expires_at=noon + timedelta(days=9)), noon).new
    assert post_alone(database, spending(member, 50, "s", "redeem"), noon).new
    held = post_alone(database, holding(member, 10, "h", "draw", until=noon + timedelta(hours=1)), noon)
    assert has(database, member, noon) == 60
    assert post_alone(database, settling(held.id, member, 10, "settled", "settle", "", "points"), noon).new
    assert has(database, member, noon) == 60


def test_said_twice_it_moves_once(database: Database, member: int, noon: datetime) -> None:
    """The same key gives the first answer; with another body it is refused with both hashes."""
    first, again = (post_alone(database, spending(member, 30, "s", "redeem"), noon) for _ in range(2))
    assert (first.id, first.new, again.new) == (again.id, True, False)
    with pytest.raises(KeyReused, match="s"):
        post_alone(database, spending(member, 31, "s", "redeem"), noon)
    assert has(database, member, noon) == 70


def test_what_is_refused_moves_nothing(database: Database, member: int, noon: datetime) -> None:
    """An overdraft and a stranger raise, and the connection is good for the next one."""
    with pytest.raises(NotEnough) as refused:
        post_alone(database, spending(member, 130, "s", "redeem"), noon)
    assert (refused.value.missing, refused.value.available) == (30, 100)
    with pytest.raises(UnknownMember):
        post_alone(database, earning(member + 1000, 5, "x", "order", expires_at=None), noon)
    with pytest.raises(ValueError, match="time zone"):
        post_alone(database, spending(member, 1, "s", "redeem"), noon.replace(tzinfo=None))
    assert post_alone(database, spending(member, 100, "s", "redeem"), noon).new
    assert has(database, member, noon) == 0


def test_many_at_once_spend_what_is_there(database: Database, member: int, noon: datetime) -> None:
    """Twelve callers with four keys for 30 of 100 points: three keys win, each once."""

    def take(number: int) -> int:
        try:
            return post_alone(database, spending(member, 30, f"s{number % 4}", "redeem"), noon).new
        except NotEnough:
            return 0

    with ThreadPoolExecutor(12) as crowd:
        assert sum(crowd.map(take, range(12))) == 3
    assert has(database, member, noon) == 10


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_call_that_fails_leaves_no_connection_behind(database: Database) -> None:
    """The driver's error comes as SQLAlchemy's, and the pool's next connection begins transactions again."""
    with pytest.raises(ProgrammingError):
        database.call("SELECT nothing_of_the_kind(%s)", (1,))
    assert database.call("SELECT %s::int", (7,)) == (7,)
    with pytest.raises(RuntimeError), database.transaction() as session:
        session.execute(text("CREATE TABLE gone_again (id int)"))
        raise RuntimeError
    assert database.call("SELECT to_regclass('gone_again')", ()) == (None,)
