"""The inbox: a key once, order per sender, no message in two hands, failures put off or aside."""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from bot.database import Database
from handlers.talk import inbox
from handlers.talk.messages import SHARDS, Incoming
from handlers.talk.tables import InboxRow, InboxShard

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


def said(key: str, sender: str, text: str = "在吗") -> Incoming:
    """A message in 微信客服."""
    return Incoming(key=key, channel="kf", kind="text", sender=sender, at=NOW, chat="kf:wk1", text=text)


def put(database: Database, *messages: Incoming) -> None:
    """Store messages, with the lanes there."""
    with database.transaction() as session:
        inbox.ensure_shards(session)
        inbox.store(session, messages, NOW)


def claim(database: Database, now: datetime = NOW, limit: int = 100, done: bool = True) -> list[str]:
    """The keys one worker gets; marked done unless it dies before."""
    with database.transaction() as session:
        claimed = inbox.claim(session, limit, now)
        if done:
            inbox.finish(session, [item.id for item in claimed], now)
        return [item.message.key for item in claimed]


def ids(database: Database) -> dict[str, int]:
    """Row ids by key."""
    with database.reading() as session:
        return {row.key: row.id for row in session.execute(select(InboxRow.key, InboxRow.id))}


def test_a_message_comes_out_as_it_went_in(database: Database) -> None:
    """Every field survives the table, emoji, quotes and long texts too."""
    message = Incoming(
        key="k", channel="private", kind="text", sender="wmA", at=NOW, chat="liuyang|wmA",
        text="快吃完了🥲'\"" * 700,
        identity="external_userid", staff=("liuyang", "wangli"), data={"msgid": "1"}, trace="t1",
    )  # fmt: skip
    put(database, message)
    with database.transaction() as session:
        claimed = inbox.claim(session, 10, NOW)
    assert [item.message for item in claimed] == [message]
    assert (claimed[0].attempts, claimed[0].received_at) == (0, NOW)


def test_the_same_key_is_stored_once(database: Database) -> None:
    """Twice in one batch, and again later with another body: the first stands, nothing is added."""
    put(database, said("k1", "wmA", "一"), said("k1", "wmA", "二"))
    put(database, said("k1", "wmA", "三"))
    with database.transaction() as session:
        assert [item.message.text for item in inbox.claim(session, 10, NOW)] == ["一"]


def test_a_done_message_does_not_come_back(database: Database) -> None:
    """Done is done, also when the platform delivers it again."""
    put(database, said("k1", "wmA"))
    assert claim(database) == ["k1"]
    put(database, said("k1", "wmA"))
    assert claim(database) == []


def test_each_sender_is_heard_in_order(database: Database) -> None:
    """Whatever the size of the batches, the words of one person come in the order they were stored."""
    senders = [f"wm{number}" for number in range(7)]
    put(database, *(said(f"{sender}-{turn}", sender) for turn in range(5) for sender in senders))
    heard: dict[str, list[str]] = defaultdict(list)
    while keys := claim(database, limit=4):
        for key in keys:
            heard[key.partition("-")[0]].append(key)
    assert heard == {sender: [f"{sender}-{turn}" for turn in range(5)] for sender in senders}


def test_a_worker_that_dies_lets_go(database: Database) -> None:
    """Claimed and never finished: the next worker gets the same messages at once."""
    put(database, said("k1", "wmA"), said("k2", "wmA"))
    assert claim(database, done=False) == ["k1", "k2"]
    assert claim(database) == ["k1", "k2"]


def test_a_message_put_off_holds_back_its_sender_only(database: Database) -> None:
    """While one waits for its second try, others are served and this sender's later words wait behind it."""
    put(database, said("a1", "wmA"), said("b1", "wmB"), said("a2", "wmA"))
    number = ids(database)["a1"]
    with database.transaction() as session:
        inbox.put_off(session, number, "boom", NOW + timedelta(seconds=2))
    assert claim(database) == ["b1"]
    assert claim(database, NOW + timedelta(seconds=1)) == []
    assert claim(database, NOW + timedelta(seconds=2)) == ["a1", "a2"]


def test_a_message_set_aside_holds_nobody_back(database: Database) -> None:
    """What was given up keeps its error and its tries, and the sender's later words go on."""
    put(database, said("a1", "wmA"), said("a2", "wmA"))
    number = ids(database)["a1"]
    with database.transaction() as session:
        inbox.put_aside(session, number, "ValueError: 坏了" + "x" * 5000, NOW)
    assert claim(database) == ["a2"]
    with database.reading() as session:
        (row,) = inbox.set_aside(session)
        assert inbox.depth(session) == {inbox.WAITING: 0, inbox.ASIDE: 1}
    assert (row.key, row.attempts) == ("a1", 1)
    assert row.error is not None and row.error.startswith("ValueError: 坏了") and len(row.error) == 2000


def test_retry_takes_up_what_was_set_aside_and_nothing_else(database: Database) -> None:
    """A person may send it round again, with its tries counted from nought; a done message is left alone."""
    put(database, said("a1", "wmA"), said("b1", "wmB"))
    numbers = ids(database)
    with database.transaction() as session:
        inbox.put_aside(session, numbers["a1"], "boom", NOW)
    assert claim(database) == ["b1"]
    with database.transaction() as session:
        assert inbox.retry_aside(session, numbers["a1"])
        assert not inbox.retry_aside(session, numbers["b1"])
        assert not inbox.retry_aside(session, 10_000)
    with database.transaction() as session:
        assert [(item.message.key, item.attempts) for item in inbox.claim(session, 10, NOW)] == [("a1", 0)]


def test_one_message_alone_is_taken_once(database: Database) -> None:
    """The search for the one that fails takes a message by its number, and not when somebody has done it."""
    put(database, said("a1", "wmA"))
    number = ids(database)["a1"]
    with database.transaction() as session:
        alone = inbox.claim_one(session, number)
        assert alone is not None and alone.message.key == "a1"
        inbox.finish(session, [number], NOW)
    with database.transaction() as session:
        assert inbox.claim_one(session, number) is None
        assert inbox.claim_one(session, 10_000) is None


def test_a_sender_always_walks_in_the_same_lane(database: Database) -> None:
    """The lane is a property of the sender alone, also after a restart, and all lanes are there once."""
    assert said("a", "wmAAAA0001").shard == said("b", "wmAAAA0001").shard == 18
    put(database)
    put(database)
    with database.reading() as session:
        assert sorted(session.scalars(select(InboxShard.shard))) == list(range(SHARDS))


def test_two_workers_at_once_share_no_message_on_postgresql(database: Database) -> None:
    """While one holds its lanes the other gets the rest, and nobody of whom the first holds a message."""
    if database.is_sqlite:
        pytest.skip("SQLite has one writer: the second worker waits")
    people = [f"wm{number}" for number in range(40)]
    put(database, *(said(f"{person}-{turn}", person) for turn in range(2) for person in people))
    with database.transaction() as first, database.transaction() as second:
        mine = inbox.claim(first, 100, NOW, first_lane=0)
        yours = inbox.claim(second, 100, NOW, first_lane=0)
        assert mine and yours
        assert not {item.message.sender for item in mine} & {item.message.sender for item in yours}


@pytest.mark.parametrize("workers", [2, 4])
def test_busy_workers_handle_each_message_once_and_in_order(database: Database, workers: int) -> None:
    """Several workers in a race: every message has one taker, and one person's words keep their order."""
    people, turns = [f"wm{number}" for number in range(12)], 6
    put(database, *(said(f"{person}-{turn}", person) for turn in range(turns) for person in people))
    heard: list[str] = []
    lock, start = threading.Lock(), threading.Barrier(workers)

    def work(lane: int) -> None:
        start.wait()
        misses = 0
        while misses < 3:
            with database.transaction() as session:
                claimed = inbox.claim(session, 5, NOW, lane)
                inbox.finish(session, [item.id for item in claimed], NOW)
                with lock:  # before the commit: the next worker may take the rest only after it
                    heard.extend(item.message.key for item in claimed)
            lane, misses = (lane + 17) % SHARDS, 0 if claimed else misses + 1

    threads = [threading.Thread(target=work, args=(number * 16,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(heard) == sorted(f"{person}-{turn}" for person in people for turn in range(turns))
    for person in people:
        assert [key for key in heard if key.startswith(f"{person}-")] == [f"{person}-{turn}" for turn in range(turns)]
