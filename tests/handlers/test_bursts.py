"""Short messages of a moment: read together per person and chat, in order, once; nobody waits for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from handlers.brand import DialogRules
from handlers.talk.tables import InboxRow

pytestmark = pytest.mark.either_engine

MOMENT = timedelta(seconds=1.5)


@pytest.fixture
def shop(counter: Any) -> Any:
    """A counter that reads the messages of a moment together."""
    counter.brand = replace(counter.brand, dialog=DialogRules(burst=MOMENT))
    counter.listener.hears = {"我想换，保温杯": ("points_redeem",), "我有多少积分": ("points_query",)}
    return counter


def heard(shop: Any) -> list[str]:
    """Every text that was understood, in order."""
    return [text for batch in shop.listener.batches for text in batch]


def said_after(shop: Any, pieces: Sequence[tuple[str, str]], gap_s: float = 0.3) -> None:
    """Store (sender, text) one after the other, then let the moment pass and work."""
    for sender, text in pieces:
        shop.store(shop.message(sender, text))
        shop.push(seconds=gap_s)
    shop.push(seconds=2)
    while shop.worker.step():
        pass


def test_two_people_are_never_mixed(shop: Any) -> None:
    """Each one's pieces make that one's sentence, however they lie between each other."""
    said_after(shop, [("wmA", "我想换"), ("wmB", "在吗"), ("wmA", "保温杯"), ("wmB", "你好呀")])
    assert sorted(heard(shop)) == ["在吗，你好呀", "我想换，保温杯"]


def test_each_piece_is_done_once_with_its_reason(shop: Any) -> None:
    """The first carries the words, the others say with which they were read; all are done."""
    said_after(shop, [("wmA", "我想换"), ("wmA", "保温杯")])
    assert [verdict.text for verdict in shop.verdicts()] == ["我想换，保温杯", "保温杯"]
    assert shop.verdicts()[1].why == f"read together with {shop.verdicts()[0].message_key}"
    with shop.database.reading() as session:
        assert set(session.scalars(select(InboxRow.state))) == {1}


def test_what_lies_further_apart_is_read_alone(shop: Any) -> None:
    """Two seconds are more than a moment."""
    said_after(shop, [("wmA", "我想换"), ("wmA", "保温杯")], gap_s=2)
    assert heard(shop) == ["我想换", "保温杯"]


def test_another_chat_in_between_ends_a_burst(shop: Any) -> None:
    """Order over all chats holds: what was said in the group meanwhile is not overtaken."""
    shop.store(shop.message("wmA", "我想换"), shop.message("wmA", "早", "group"), shop.message("wmA", "保温杯"))
    shop.push(seconds=2)
    while shop.worker.step():
        pass
    assert heard(shop) == ["我想换", "早", "保温杯"]


def test_a_clear_question_does_not_wait(shop: Any) -> None:
    """What is understood is answered at once; only what may go on is left, and no longer than a moment."""
    shop.member("wmA", points=100)
    assert len(shop.handle(shop.message("wmA", "我有多少积分"))) >= 1
    assert not [row for row in shop.handle(shop.message("wmA", "那个")) if row.kind == "kf_text"]
    shop.push(seconds=1.6)
    assert shop.worker.step() == 1


def test_a_companion_releases_what_waited(shop: Any) -> None:
    """The next message of the same person is what was waited for: both go on together."""
    shop.handle(shop.message("wmA", "我想换"))
    shop.push(seconds=0.4)
    shop.handle(shop.message("wmA", "保温杯"))
    shop.push(seconds=1.6)
    assert shop.worker.step() == 2


def test_one_that_waits_holds_up_nobody_else(shop: Any) -> None:
    """Others are answered meanwhile."""
    shop.member("wmB", points=100)
    shop.handle(shop.message("wmA", "那个"))
    assert [row.kind for row in shop.handle(shop.message("wmB", "我有多少积分"))] == ["kf_text"]
