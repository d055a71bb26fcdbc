"""Sealed transfers: writers do not wait, what is not complete is not sealed, whatever is changed later shows."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import blocks, ledger
from loyalty.audit import findings
from loyalty.blocks import FIRST_HASH, SealNeedsOwnTransaction, chain_findings, head, seal
from loyalty.customers import resolve
from loyalty.tables import Block, Transfer

FIELDS = {
    "key": "'other'", "body_hash": "'other'", "debit_id": "debit_id + 7", "credit_id": "credit_id + 7",
    "amount": "amount + 1", "asset": "'growth'", "reason": "'gift'", "ref": "'T2'", "at": "'2020-01-01 00:00:00+00'",
    "pending_of": "1", "reverses": "1",
}
ELSEWHERE = [
    "DELETE FROM transfers WHERE id = (SELECT max(id) FROM transfers)",
    "DELETE FROM transfers",
    "UPDATE lots SET expires_at = '2030-01-01 00:00:00+00' WHERE id = 1",
    "UPDATE lots SET available_from = '2030-01-01 00:00:00+00' WHERE id = 1",
    "UPDATE lots SET amount = amount + 1 WHERE id = 1",
    "UPDATE lot_uses SET amount = amount - 1",
    "DELETE FROM lot_uses",
    "UPDATE holds SET expires_at = '2030-01-01 00:00:00+00'",
    "UPDATE blocks SET hash = 'f' || substr(hash, 2) WHERE id = 1",
    "DELETE FROM blocks WHERE id = 1",
]


def member(session: Session, at: datetime) -> int:
    """Somebody."""
    return resolve(session, [("openid", "openid-王芳")], at)["openid", "openid-王芳"]


def tick(database: Database, at: datetime) -> int:
    """What one tick seals."""
    with database.transaction() as session:
        return seal(session, at)


def seal_all(database: Database, at: datetime) -> int:
    """What ticks seal until nothing is left; writers of other databases on the same server may hold them up."""
    sealed = 0
    for _ in range(500):
        sealed += tick(database, at)
        with database.reading() as session:
            if head(session).to_id >= (session.scalar(select(func.max(Transfer.id))) or 0):
                return sealed
        time.sleep(0.02)
    raise AssertionError("something on this server writes without an end")


def lively(database: Database, at: datetime) -> None:
    """Three transfers of every kind that leaves rows elsewhere, sealed in two blocks."""
    with database.transaction() as session:
        who = member(session, at)
        ledger.earn(session, who, 100, key="e", reason="order", ref="T1", at=at, expires_at=at + timedelta(days=9))
        ledger.spend(session, who, 20, key="s", reason="redeem", at=at)
    seal_all(database, at)
    with database.transaction() as session:
        ledger.hold(session, who, 10, key="h", reason="draw", until=at + timedelta(hours=1), at=at)
    seal_all(database, at)


def test_blocks_follow_each_other(database: Database, noon: datetime) -> None:
    """Each block stands on the hash of the one before; nothing is sealed twice, and the books are sound."""
    lively(database, noon)
    with database.reading() as session:
        first, second = session.execute(select(Block).order_by(Block.id)).scalars()
        assert (first.from_id, first.to_id, first.prev_hash, first.transfers) == (1, 2, FIRST_HASH, 2)
        assert (second.from_id, second.prev_hash, second.transfers) == (3, first.hash, 1)
        assert head(session).hash == second.hash
        assert findings(session) == []
    assert seal_all(database, noon) == 0


@pytest.mark.parametrize("tampering", [f"UPDATE transfers SET {name} = {value} WHERE id = 2"
                                       for name, value in FIELDS.items()] + ELSEWHERE)
def test_what_was_sealed_cannot_change_unseen(database: Database, noon: datetime, tampering: str) -> None:
    """Any field of a transfer, a transfer taken out, a lot's dates, a use, a block: the chain tells the block."""
    lively(database, noon)
    with database.transaction() as session:
        assert list(chain_findings(session)) == []
        if database.is_sqlite:
            session.execute(text("PRAGMA defer_foreign_keys = ON"))
        else:
            session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text(tampering))
        found = list(chain_findings(session))
        assert found and found[0].startswith("block "), tampering
        session.rollback()


def test_a_hash_covers_every_field_of_a_transfer() -> None:
    """A column added to transfers is tampered with above, too."""
    assert FIELDS.keys() == {column.key for column in Transfer.__table__.columns} - {"id"}


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_an_id_that_commits_late_is_not_passed_over(database: Database, noon: datetime) -> None:
    """A slow writer holds a low id while a fast one commits a higher: neither is sealed until the slow one has ended,
    and nobody waits."""
    with database.transaction() as session:
        slow_one, fast_one = resolve(session, [("openid", "a"), ("openid", "b")], noon).values()
        ledger.earn(session, slow_one, 5, key="first", reason="order", at=noon)
    assert seal_all(database, noon) == 1
    with database.transaction() as slow:
        low = ledger.earn(slow, slow_one, 5, key="slow", reason="order", at=noon).id
        with database.transaction() as fast:
            high = ledger.earn(fast, fast_one, 5, key="fast", reason="order", at=noon).id
        assert low < high
        assert [tick(database, noon) for _ in range(3)] == [0, 0, 0]
    assert seal_all(database, noon) == 2
    with database.reading() as session:
        assert session.scalar(select(func.sum(Block.transfers))) == 3
        assert findings(session) == []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_sealing_asks_for_its_own_transaction(database: Database, noon: datetime) -> None:
    """After other writes of the same transaction the horizon could not be trusted: refused, with the mend."""
    with database.transaction() as session:
        ledger.earn(session, member(session, noon), 5, key="e", reason="order", at=noon)
        with pytest.raises(SealNeedsOwnTransaction, match="its own"):
            seal(session, noon)


def test_a_long_queue_is_sealed_block_by_block(database: Database, noon: datetime,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """One call seals so many blocks of so many transfers; the next goes on where it ended."""
    monkeypatch.setattr(blocks, "MOST_PER_BLOCK", 10)
    with database.transaction() as session:
        who = member(session, noon)
        ledger.post(session, [ledger.earning(who, 1, f"e{n}", "order", expires_at=None) for n in range(35)], noon)
    for _ in range(2 if not database.is_sqlite else 1):
        with database.transaction() as session:
            assert seal(session, noon, most_blocks=1) <= 10
    assert seal_all(database, noon) >= 25
    with database.reading() as session:
        assert list(session.scalars(select(Block.transfers).order_by(Block.id))) == [10, 10, 10, 5]
        assert findings(session) == []
