"""A message that cannot be handled: tried again, set aside with its error, and nobody waits behind it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, text

from handlers.talk import inbox
from handlers.talk.tables import InboxRow

POISON = "毒药"


@pytest.fixture
def shop(counter: Any) -> Any:
    """A counter whose listener chokes on one text."""
    counter.listener.chokes_on.add(POISON)
    counter.listener.hears["我有多少积分"] = ("points_query",)
    return counter


def states(shop: Any) -> dict[str, int]:
    """The state of every message by its text."""
    with shop.database.reading() as session:
        rows = session.execute(select(InboxRow.body, InboxRow.state).order_by(InboxRow.id))
        return {inbox.decode(row.body).text: row.state for row in rows}


def count(shop: Any, name: str, **labels: str) -> float:
    """A figure of the worker's metrics."""
    return float(
        shop.registry.get_sample_value(f"huitou_{name}", labels) or shop.registry.get_sample_value(name, labels) or 0
    )


def test_the_others_of_the_batch_are_done(shop: Any) -> None:
    """One poison among five: four people are answered in the same step, one by one."""
    people = [f"wm{number}" for number in range(5)]
    for person in people:
        shop.member(person, points=100)
    shop.store(*(shop.message(person, POISON if place == 2 else "我有多少积分") for place, person in enumerate(people)))
    while shop.worker.step():
        pass
    answered = {row.recipient for row in shop.outbox() if row.kind == "kf_text"}
    assert answered == {f"kf:wkAAA0001:{person}" for place, person in enumerate(people) if place != 2}


def test_it_is_set_aside_after_three_tries_with_its_error(shop: Any) -> None:
    """Tried, 2 s later, 4 s later, then aside: a person sees what it said and where; the alarm is raised once."""
    shop.store(shop.message("wmA", POISON))
    waits = []
    for wait_s in (0, 1.9, 0.1, 3.9, 0.1):
        shop.push(seconds=wait_s)
        waits.append(shop.worker.step())
    assert waits == [1, 0, 1, 0, 1]
    with shop.database.reading() as session:
        (row,) = inbox.set_aside(session)
    assert row.attempts == 3
    assert row.error is not None and "Poisoned: cannot bear to hear 毒药" in row.error and "Traceback" in row.error
    assert shop.alarms == ["message set aside"]
    assert count(shop, "messages_failed_total", outcome="retry") == 2
    assert count(shop, "messages_failed_total", outcome="aside") == 1


def test_the_senders_later_words_wait_and_then_go_on(shop: Any) -> None:
    """Order holds: what came after the poison is not answered before it is given up, and is answered then."""
    shop.member("wmA", points=100)
    shop.store(shop.message("wmA", POISON), shop.message("wmA", "我有多少积分"), shop.message("wmA", "在吗"))
    for wait_s in (0, 2):
        shop.push(seconds=wait_s)
        assert shop.worker.step()
        assert states(shop) == {POISON: 0, "我有多少积分": 0, "在吗": 0}
    shop.push(seconds=4)
    while shop.worker.step():
        pass
    assert states(shop) == {POISON: 2, "我有多少积分": 1, "在吗": 1}
    assert [row.kind for row in shop.outbox()] == ["kf_text", "kf_text"]


def test_nothing_of_a_failed_try_stays(shop: Any) -> None:
    """A batch that fails leaves no half effect: each answer is there once, each verdict once."""
    shop.member("wmA", points=100)
    shop.store(shop.message("wmA", "我有多少积分"), shop.message("wmB", POISON), shop.message("wmC", "我有多少积分"))
    for wait_s in (0, 2, 4):
        shop.push(seconds=wait_s)
        shop.worker.step()
    assert sorted(verdict.text for verdict in shop.verdicts()) == ["我有多少积分", "我有多少积分"]
    keys = [row.key for row in shop.outbox()]
    assert len(keys) == len(set(keys))


def test_a_message_that_is_well_again_is_handled(shop: Any) -> None:
    """The second try may succeed: nothing is set aside and no alarm is raised."""
    shop.member("wmA", points=100)
    shop.listener.chokes_on.add("我有多少积分")
    shop.store(shop.message("wmA", "我有多少积分"))
    shop.worker.step()
    shop.listener.chokes_on.clear()
    shop.push(seconds=2)
    assert shop.worker.step() == 1
    assert states(shop) == {"我有多少积分": 1} and shop.alarms == []


def test_retry_by_a_person_after_the_mend(shop: Any) -> None:
    """Set aside, mended, taken up again: handled with three fresh tries, the error of before still to be read."""
    shop.store(shop.message("wmA", POISON))
    for wait_s in (0, 2, 4):
        shop.push(seconds=wait_s)
        shop.worker.step()
    with shop.database.transaction() as session:
        (row,) = inbox.set_aside(session)
        inbox.retry_aside(session, row.id)
    shop.listener.chokes_on.clear()
    assert shop.worker.step() == 1
    assert states(shop) == {POISON: 1}


def test_a_message_with_broken_words_is_no_poison(shop: Any) -> None:
    """Only spaces, thousands of characters, half an emoji's pair, a zero byte: all are handled."""
    odd = [" \n", "长" * 9000, "a\u0000b", "{{ 7*7 }} %s {0}", "'; DROP TABLE inbox; --", "🧑‍🤝‍🧑" * 50]
    shop.handle(*(shop.message(f"wm{place}", words) for place, words in enumerate(odd)))
    assert set(states(shop).values()) == {inbox.DONE}


def test_an_outage_is_no_fault_of_the_message(shop: Any) -> None:
    """The table is away: the error goes up to the loop, and the message's tries are not counted."""
    shop.store(shop.message("wmA", "在吗"))
    with shop.database.transaction() as session:
        session.execute(text("ALTER TABLE verdicts RENAME TO verdicts_away"))
    try:
        if shop.database.is_sqlite:
            with pytest.raises(Exception, match="verdicts"):
                shop.worker.step()
        else:
            shop.worker.step()
    finally:
        with shop.database.transaction() as session:
            session.execute(text("ALTER TABLE verdicts_away RENAME TO verdicts"))
    shop.push(seconds=2)
    assert shop.worker.step() == 1
    assert states(shop) == {"在吗": inbox.DONE}
