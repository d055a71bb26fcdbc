"""A private question in a group: where the answer is refused by the platform, a rep has it."""

from __future__ import annotations

import msgspec

from bot.delivery import note_refused
from bot.wecom.errors import ApiRefused, ErrorClass
from handlers import elsewhere
from handlers.talk import outbox
from handlers.talk.tables import OutboxRow
from tests.handlers.conftest import Counter


def _refuse(counter: Counter, row: OutboxRow) -> None:
    """The platform says no, for good."""
    with counter.database.transaction() as session:
        leased = next(one for one in outbox.lease(session, 10, counter.now, 60) if one.id == row.id)
        note_refused(session, leased, ApiRefused(95001, "no room", "kf/send_msg", ErrorClass.PERMANENT), counter.now)


def _cards(rows: list[OutboxRow]) -> list[dict[str, str]]:
    return [msgspec.json.decode(row.payload) for row in rows if row.kind == "card"]


def test_an_answer_that_cannot_arrive_is_left_to_the_rep(counter: Counter) -> None:
    """群里问积分, 私下发不出去: the rep gets the figure to send in private, once, and the group hears nothing."""
    counter.member("wmA", points=3000, rep="liuyang")
    counter.listener.hears["我有多少积分"] = ("points_query",)
    counter.handle(counter.message("wmA", "谢谢"))
    asked = counter.message("wmA", "我有多少积分", "group")
    (answer,) = (row for row in counter.handle(asked) if row.kind == "kf_text")
    _refuse(counter, answer)
    (card,) = _cards(counter.handle())
    assert card["touser"] == "liuyang" and "3000" in card["quote"] and "悄悄" not in card["quote"]
    assert "我有多少积分" in msgspec.json.encode(card).decode()
    with counter.database.transaction() as session:  # the deliverer died before it knew that this was noted
        leased = outbox.Leased(answer.id, answer.key, "kf_text", "", {"content": "x"}, None, False, 1, "", counter.now)
        elsewhere.note_refused(session, leased, counter.now)
    assert not counter.handle()


def test_an_answer_refused_in_the_private_chat_itself_is_no_news_for_the_group(counter: Counter) -> None:
    """Asked in private and refused there: nothing is put into anybody's hands twice."""
    counter.member("wmA", points=3000, rep="liuyang")
    counter.listener.hears["我有多少积分"] = ("points_query",)
    (answer,) = (row for row in counter.handle(counter.message("wmA", "我有多少积分")) if row.kind == "kf_text")
    _refuse(counter, answer)
    assert not counter.handle()


def test_a_yes_to_a_prompt_that_never_arrived_charges_nothing(counter: Counter) -> None:
    """The prompt was refused; a 确认 that comes later meets the prompt once more; the next one counts."""
    counter.member("wmA", points=3000, rep="liuyang")
    counter.listener.hears["换保温杯"] = ("points_redeem",)
    (prompt,) = (row for row in counter.handle(counter.message("wmA", "换保温杯")) if row.kind == "kf_menu")
    _refuse(counter, prompt)
    counter.push(minutes=5)
    assert "还等您确认" in counter.handle(counter.message("wmA", "确认"))[0].payload
    counter.push(minutes=1)
    assert "换好啦" in counter.handle(counter.message("wmA", "确认"))[0].payload
