"""The outbox: a key once, order per recipient, leases that end, rows taken back with a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from bot.database import Database
from handlers.talk import effects, outbox
from handlers.talk.outbox import Leased, Outgoing
from handlers.talk.tables import OutboxRow

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
LEASE_S = 60.0


def text(key: str, to: str = "wmA", content: str = "您好") -> Outgoing:
    """An answer in 微信客服."""
    return effects.kf_text(key, to, "wk1", content, f"trace-{key}")


def write(database: Database, *rows: Outgoing, at: datetime = NOW) -> None:
    """Put rows into the outbox."""
    with database.transaction() as session:
        outbox.add(session, rows, at)


def lease(database: Database, now: datetime = NOW, limit: int = 10) -> list[Leased]:
    """What one deliverer gets."""
    with database.transaction() as session:
        return outbox.lease(session, limit, now, LEASE_S)


def keys(leased: list[Leased]) -> list[str]:
    """Their keys, in the order they would leave."""
    return [row.key for row in leased]


def rows(database: Database) -> dict[str, OutboxRow]:
    """The outbox by key."""
    with database.reading() as session:
        return {row.key: row for row in session.scalars(select(OutboxRow))}


def after(**span: float) -> datetime:
    """Some time after the rows were written."""
    return NOW + timedelta(**span)


def test_a_key_is_written_once(database: Database) -> None:
    """The same cause twice, in one batch and again: one row, with the first words."""
    write(database, text("k1", content="一"), text("k1", content="二"))
    write(database, text("k1", content="三"))
    (row,) = lease(database)
    assert row.payload == {"touser": "wmA", "open_kfid": "wk1", "content": "一"}
    assert (row.kind, row.recipient, row.attempts, row.trace) == ("kf_text", "kf:wk1:wmA", 1, "trace-k1")


def test_a_row_in_hand_is_in_nobody_elses(database: Database) -> None:
    """While the lease holds the row is not given out; when it ends somebody else takes it, with the try counted."""
    write(database, text("k1"))
    assert keys(lease(database)) == ["k1"]
    assert lease(database, after(seconds=59.9)) == []
    (again,) = lease(database, after(seconds=60))
    assert (again.key, again.attempts) == ("k1", 2)


def test_one_recipient_hears_in_order(database: Database) -> None:
    """Three texts to one person are given out as they were written, all in one hand."""
    write(database, text("k1"), text("k2"), text("b1", to="wmB"), text("k3"))
    assert [key for key in keys(lease(database)) if key.startswith("k")] == ["k1", "k2", "k3"]


def test_what_follows_a_text_in_hand_waits(database: Database) -> None:
    """A second text written while the first is in hand stays until the first is through; others go."""
    write(database, text("k1"))
    (first,) = lease(database)
    write(database, text("k2"), text("b1", to="wmB"))
    assert keys(lease(database, after(seconds=1))) == ["b1"]
    with database.transaction() as session:
        outbox.mark_sent(session, first.id, "p1", after(seconds=2))
    assert keys(lease(database, after(seconds=3))) == ["k2"]


def test_what_follows_a_text_that_is_tried_again_waits(database: Database) -> None:
    """A text that the platform refused for now holds back the later ones to the same person until its next try."""
    write(database, text("k1"), text("k2"))
    first, second = lease(database)
    with database.transaction() as session:
        outbox.mark_waiting(session, first.id, "retry", "45009", after(seconds=30))
        outbox.release(session, [second.id])
    assert lease(database, after(seconds=29)) == []
    assert [(row.key, row.attempts) for row in lease(database, after(seconds=30))] == [("k1", 2), ("k2", 1)]


def test_a_text_tried_again_goes_before_what_was_written_later_also_one_at_a_time(database: Database) -> None:
    """When its next try has come it goes first, though the later text was due earlier."""
    write(database, text("k1"), text("k2"))
    first, second = lease(database)
    with database.transaction() as session:
        outbox.mark_waiting(session, first.id, "retry", "45009", after(seconds=30))
        outbox.release(session, [second.id])
    assert keys(lease(database, after(seconds=31), limit=1)) == ["k1"]
    assert lease(database, after(seconds=32), limit=1) == []


def test_two_deliverers_at_once_do_not_split_a_persons_texts(database: Database) -> None:
    """One has taken the first text and has not committed: the other leaves the second, and takes what is free."""
    if database.is_sqlite:
        pytest.skip("SQLite has one writer: the second deliverer waits")
    write(database, text("k1"), text("k2"), text("b1", to="wmB"))
    with database.transaction() as one, database.transaction() as two:
        assert keys(outbox.lease(one, 1, NOW, LEASE_S)) == ["k1"]
        assert keys(outbox.lease(two, 10, NOW, LEASE_S)) == ["b1"]


def test_a_row_for_later_waits_for_its_moment_and_blocks_nobody(database: Database) -> None:
    """What is planned for the evening does not keep an answer from leaving now."""
    evening = Outgoing("k1", "kf_text", "kf:wk1:wmA", {"content": "晚上好"}, due_at=after(hours=6))
    write(database, evening, text("k2"))
    assert keys(lease(database)) == ["k2"]
    assert keys(lease(database, after(hours=6))) == ["k1", "k2"]


def test_a_failed_row_is_out_of_the_way_with_its_error(database: Database) -> None:
    """Refused for good: kept with class and error, never given out again, and the next text goes."""
    write(database, text("k1"), text("k2"))
    first, second = lease(database)
    with database.transaction() as session:
        outbox.mark_failed(session, first.id, "permanent", "40003 invalid userid", NOW)
        outbox.release(session, [second.id])
    assert keys(lease(database, after(days=1))) == ["k2"]
    failed = rows(database)["k1"]
    assert (failed.state, failed.error_class, failed.error) == (outbox.FAILED, "permanent", "40003 invalid userid")
    with database.reading() as session:
        assert outbox.depth(session) == {outbox.WAITING: 1, outbox.FAILED: 1}


def test_a_row_is_taken_back_before_it_leaves(database: Database) -> None:
    """Withdrawn with the reason; what was sent already cannot be taken back."""
    write(database, text("k1"), text("k2"))
    first, second = lease(database)
    with database.transaction() as session:
        outbox.mark_sent(session, first.id, "p-1", NOW)
        outbox.withdraw(session, [first.id, second.id], "客户在发送前选择了勿扰", NOW)
    found = rows(database)
    assert (found["k1"].state, found["k1"].platform_id) == (outbox.SENT, "p-1")
    assert (found["k2"].state, found["k2"].error) == (outbox.WITHDRAWN, "客户在发送前选择了勿扰")
    assert lease(database, after(days=1)) == []


def test_a_late_refusal_does_not_undo_a_sending(database: Database) -> None:
    """A deliverer whose lease ran out learns of its failure after another has sent: sent it stays."""
    write(database, text("k1"))
    lease(database)
    (again,) = lease(database, after(seconds=61))
    with database.transaction() as session:
        outbox.mark_sent(session, again.id, "p-1", after(seconds=62))
        outbox.mark_waiting(session, again.id, "retry", "timeout", after(seconds=90))
        outbox.mark_failed(session, again.id, "permanent", "no", after(seconds=90))
    assert rows(database)["k1"].state == outbox.SENT


def test_the_next_moment_is_that_of_the_earliest_that_waits(database: Database) -> None:
    """A deliverer may rest until then; with nothing to do there is no moment."""
    with database.reading() as session:
        assert outbox.next_due_at(session) is None
    write(
        database,
        Outgoing("k1", "kf_text", "a", {}, due_at=after(hours=6)),
        Outgoing("k2", "kf_text", "b", {}, due_at=after(hours=2)),
    )
    with database.reading() as session:
        assert outbox.next_due_at(session) == after(hours=2)
