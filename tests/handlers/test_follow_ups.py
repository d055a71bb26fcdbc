"""Follow-ups: set off once, fired once, answered by taps, put off and stopped with a reason."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from handlers.brand import Staff
from handlers.followup import sop
from handlers.followup.tables import RunRow, TimerRow, TouchRow
from handlers.talk import corrections, outbox
from handlers.talk.tables import OutboxRow
from intents.scenarios import Labelled

pytestmark = pytest.mark.either_engine

AQING = "wmAAAA0001"


@pytest.fixture
def shop(counter: Any) -> Any:
    """阿青 is served by 刘阳; 快吃完了 and a friend's question are understood."""
    counter.listener.hears |= {
        "快吃完了": ("running_out",),
        "同事问是什么牌子": ("buying_for_friend",),
        "太差劲了": ("complaint",),
    }
    counter.aqing = counter.member(AQING, rep="liuyang", name="阿青")
    return counter


def prompt(shop: Any, text: str = "快吃完了", **more: Any) -> str:
    """阿青 says it in the group; gives the task of the card it led to."""
    (card,) = [row for row in shop.handle(shop.message(AQING, text, "group", **more)) if row.kind == "card"]
    return str(body(card)["task_id"])


def body(row: OutboxRow) -> dict[str, Any]:
    """What an outbox row asks of the platform."""
    decoded: dict[str, Any] = msgspec.json.decode(row.payload)
    return decoded


def runs(shop: Any) -> list[RunRow]:
    """Every run of a prompt, in order."""
    with shop.database.reading() as session:
        return list(session.scalars(select(RunRow).where(RunRow.sop != "complaint_care").order_by(RunRow.id)))


def touches(shop: Any) -> list[tuple[str, str]]:
    """Decision and reason of every touch, in order."""
    with shop.database.reading() as session:
        rows = session.execute(select(TouchRow.decision, TouchRow.reason).order_by(TouchRow.id))
        return [(row.decision, row.reason) for row in rows]


def timers(shop: Any) -> int:
    """How many timers there are, fired or not."""
    with shop.database.reading() as session:
        prompts = TimerRow.task.not_like("complaint_care%")
        return int(session.scalar(select(func.count()).select_from(TimerRow).where(prompts)) or 0)


def test_the_card_says_who_where_why_and_what_to_send(shop: Any) -> None:
    """The rep sees the person, the words, the place, the reason and a text to send, with three buttons."""
    (card,) = [row for row in shop.handle(shop.message(AQING, "快吃完了", "group")) if row.kind == "card"]
    shown = body(card)
    rows = dict(shown["rows"])
    assert card.recipient == "app:liuyang" and card.is_follow_up and card.member_id == shop.aqing
    assert "阿青" in shown["title"] and "快吃完了" in shown["desc"] and shown["quote"]
    assert rows["客户"] == "阿青" and rows["在哪说的"] == "客户群" and "快吃完了" in rows["为什么"]
    assert [button[0] for button in shown["buttons"]] == ["已发送", "不合适", "稍后提醒"]


def test_the_same_message_sets_off_one_run(shop: Any) -> None:
    """Delivered twice, one run, one touch, one card."""
    message = shop.message(AQING, "快吃完了", "group")
    assert len(shop.handle(message)) == 1
    assert shop.handle(message) == []
    assert len(runs(shop)) == 1 and len(touches(shop)) == 1


def test_done_closes_the_run_once(shop: Any) -> None:
    """已发送 is noted with the rep's name; the second tap only greys the buttons again."""
    task = prompt(shop)
    (update,) = shop.handle(shop.tap("liuyang", task, "done"))
    assert (update.kind, body(update)["replace_name"]) == ("card_update", "已发送")
    assert [row.kind for row in shop.handle(shop.tap("liuyang", task, "done"))] == ["card_update"]
    assert [run.state for run in runs(shop)] == ["done"]
    assert [decision for decision, _ in touches(shop)] == ["sent", "done"]


def test_the_first_tap_decides(shop: Any) -> None:
    """已发送 and then 不合适: done stays done, and nothing becomes a correction."""
    task = prompt(shop)
    shop.handle(shop.tap("liuyang", task, "done"))
    shop.handle(shop.tap("liuyang", task, "no"))
    assert [run.state for run in runs(shop)] == ["done"]
    with shop.database.reading() as session:
        assert corrections.for_training(session) == []


def test_a_colleague_on_an_answered_card_changes_nothing(shop: Any) -> None:
    """Both have the complaint: one has dealt with it, the other's tap greys only their own card."""
    cards = [row for row in shop.handle(shop.message(AQING, "太差劲了", "group")) if row.kind == "card"]
    assert [card.recipient for card in cards] == ["app:liuyang", "app:wangli"]
    mine, theirs = (body(card)["task_id"] for card in cards)
    shop.handle(shop.tap("liuyang", mine, "done"))
    (update,) = shop.handle(shop.tap("wangli", theirs, "later"))
    assert body(update)["touser"] == "wangli"
    assert [run.state for run in runs(shop)] == ["done"] and timers(shop) == 0


def test_a_tap_on_nothing_is_noted(shop: Any) -> None:
    """A card of another system, or a button nobody knows: no error, nothing changes."""
    task = prompt(shop)
    assert shop.handle(shop.tap("liuyang", "other-1@1@0", "done")) == []
    assert shop.handle(shop.tap("liuyang", task, "explode")) == []
    assert [run.state for run in runs(shop)] == ["prompted"]


def test_later_comes_back_after_two_hours(shop: Any) -> None:
    """稍后提醒 sets one timer however often it is tapped; the card comes again and can be answered."""
    task = prompt(shop)
    shop.handle(shop.tap("liuyang", task, "later"))
    shop.handle(shop.tap("liuyang", task, "later"))
    assert timers(shop) == 1
    shop.push(minutes=119)
    assert shop.fire() == []
    shop.push(minutes=1)
    (card,) = shop.fire()
    assert body(card)["task_id"] != task and "快吃完了" in body(card)["desc"]
    shop.handle(shop.tap("liuyang", body(card)["task_id"], "done"))
    assert [(run.state, run.prompts) for run in runs(shop)] == [("done", 2)]


def test_later_does_not_come_back_for_ever(shop: Any) -> None:
    """After three prompts 稍后提醒 ends with a reason instead of a fourth."""
    task, cards = prompt(shop), 1
    for _ in range(2):
        shop.handle(shop.tap("liuyang", task, "later"))
        shop.push(hours=2)
        (card,) = shop.fire()
        task, cards = body(card)["task_id"], cards + 1
    shop.handle(shop.tap("liuyang", task, "later"))
    shop.push(hours=2)
    assert cards == 3 and shop.fire() == []
    assert touches(shop)[-1] == ("skipped", "已提醒 3 次, 不再打扰")


def test_later_in_the_evening_waits_for_the_morning(shop: Any) -> None:
    """稍后提醒 at 20:00 is due at 22:00, which is quiet: it comes at nine, once."""
    shop.push(hours=8)
    shop.handle(shop.tap("liuyang", prompt(shop), "later"))
    shop.push(hours=2)
    assert shop.fire() == []
    assert touches(shop)[-1][0] == "deferred"
    shop.push(hours=10, minutes=59)
    assert shop.fire() == []
    shop.push(minutes=1)
    assert len(shop.fire()) == 1 and shop.fire() == []


def test_who_opts_out_while_a_card_waits_is_left_alone(shop: Any) -> None:
    """The run stops with the reason when the person says so, and the timer finds nothing to do."""
    shop.listener.hears["别再发了"] = ("opt_out",)
    shop.handle(shop.tap("liuyang", prompt(shop), "later"))
    shop.handle(shop.message(AQING, "别再发了"))
    shop.push(hours=2)
    assert shop.fire() == []
    assert runs(shop)[0].state == "stopped" and ("skipped", "客户选择了勿扰") in touches(shop)


def test_consent_is_looked_at_once_more_when_sending(shop: Any) -> None:
    """A card that waits in the outbox is taken back when its person has opted out meanwhile; answers are not."""
    prompt(shop)
    shop.listener.hears["别再发了"] = ("opt_out",)
    shop.handle(shop.message(AQING, "别再发了"))
    with shop.database.transaction() as session:
        leased = outbox.lease(session, 10, shop.now, 60)
        waiting = [(row.id, row.member_id) for row in leased if row.is_follow_up]
        assert list(sop.withdrawn(session, waiting, shop.now)) == [row.id for row in leased if "running_out" in row.key]


def test_no_rep_at_all_is_said(shop: Any) -> None:
    """Nobody serves the person and nobody is set to: skipped, with what to set."""
    shop.brand = replace(shop.brand, staff=Staff())
    shop.member("wmB")
    assert [row for row in shop.handle(shop.message("wmB", "快吃完了", "group")) if row.kind == "card"] == []
    assert touches(shop) == [("skipped", "没有可提醒的导购: 请设置 wecom.default_rep")]


def test_not_fitting_becomes_an_example_of_nothing(shop: Any) -> None:
    """不合适 flows into training: these words are no running_out; said twice it stands once."""
    task = prompt(shop)
    shop.handle(shop.tap("liuyang", task, "no"))
    shop.handle(shop.tap("liuyang", task, "no"))
    with shop.database.reading() as session:
        assert corrections.for_training(session) == [Labelled("快吃完了", frozenset())]
    assert [run.state for run in runs(shop)] == ["dismissed"]


def test_two_tickers_at_once_fire_a_timer_once(shop: Any) -> None:
    """Whoever takes it fires it; the other finds nothing, and one card is in the outbox."""
    shop.handle(shop.tap("liuyang", prompt(shop), "later"))
    shop.push(hours=2)
    before, fired, start = len(shop.outbox()), [], threading.Barrier(2)

    def tick() -> None:
        start.wait()
        with shop.database.transaction() as session:
            taken, cards = sop.fire_due(session, shop.brand, shop.now, 100)
            outbox.add(session, cards, shop.now)
            fired.append(taken)

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fired) == [0, 1]
    assert len(shop.outbox()) == before + 1


def test_a_ticker_that_dies_has_fired_nothing(shop: Any) -> None:
    """Fired and card written commit together: after a rollback the next ticker fires it."""
    shop.handle(shop.tap("liuyang", prompt(shop), "later"))
    shop.push(hours=2)
    with pytest.raises(KeyboardInterrupt), shop.database.transaction() as session:
        sop.fire_due(session, shop.brand, shop.now, 100)
        raise KeyboardInterrupt
    assert len(shop.fire()) == 1
