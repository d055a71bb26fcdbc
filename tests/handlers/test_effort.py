"""费力度: what a conversation costs the customer, counted from what is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.database import Database
from handlers import effort
from handlers.effort_tables import EffortRow
from handlers.followup.runs import task_of
from handlers.followup.tables import TouchRow
from handlers.talk.tables import OutboxRow, VerdictRow
from loyalty.tables import Member, PurchaseSummary
from loyalty.writing import insert_rows

pytestmark = pytest.mark.either_engine

NOON = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
LATER = NOON + timedelta(days=30)


class Shop:
    """Conversations as a table of lines: minute, customer, words, scenario, minutes until the answer."""

    def __init__(self, session: Session) -> None:
        self.session, self.serial = session, 0

    def hear(self, *lines: tuple[Any, ...], channel: str = "kf") -> None:
        """Each line is said; an answer of None never comes, "person" hands over, "menu" offers what to tap."""
        for minute, member, text, scenario, answer, *more in lines:
            self.serial += 1
            key, at = f"m{self.serial}", NOON + timedelta(minutes=minute)
            insert_rows(self.session, VerdictRow, [{
                "message_key": key, "member_id": member, "channel": channel, "chat": f"{channel}:1", "text": text,
                "scenarios": f'{{"{scenario}": 0.9}}' if scenario else "{}", "reasons": "[]", "why": "", "at": at,
                "decision": "silent" if answer == "silence" else "acted",
            }])  # fmt: skip
            if isinstance(answer, int | float):
                self.answer(key, at + timedelta(minutes=answer), "kf_menu" if "menu" in more else "kf_text")
            if "person" in more:
                self.answer(key, at, "kf_transfer", f"handover:{key}")
            if "rep" in more:
                insert_rows(self.session, TouchRow, [{
                    "task": task_of(scenario, key), "sop": scenario, "member_id": member, "decision": "done",
                    "reason": "", "at": at + timedelta(minutes=more[more.index("rep") + 1]), "weighs": 0,
                }])  # fmt: skip

    def answer(self, key: str, at: datetime, kind: str, name: str = "") -> None:
        """An answer that left at this moment."""
        insert_rows(self.session, OutboxRow, [{
            "key": name or f"say:{key}:0", "kind": kind, "recipient": "kf:1", "payload": "{}", "created_at": at,
            "due_at": at, "state": 1, "sent_at": at,
        }])  # fmt: skip

    def measured(self, since: datetime = NOON) -> list[EffortRow]:
        """Every conversation with its score, in order."""
        effort.measure(self.session, since, LATER)
        return list(self.session.scalars(select(EffortRow).order_by(EffortRow.began_at, EffortRow.member_id)))


@pytest.fixture
def shop(database: Database) -> Any:
    """A shop whose customers 1 to 3 are known; 1 has spent nine tenths of everything."""
    with database.transaction() as session:
        insert_rows(session, Member, [{"id": n, "created_at": NOON} for n in (1, 2, 3)])
        insert_rows(session, PurchaseSummary, [
            {"member_id": n, "first_at": NOON, "last_at": NOON, "orders": 1, "amount_fen": fen, "last_items": []}
            for n, fen in ((1, 9000), (2, 500), (3, 500))
        ])  # fmt: skip
        yield Shop(session)


def test_one_question_answered_at_once_costs_less_than_nothing(shop: Shop) -> None:
    """我有多少积分? Answered in a moment: one message, less two for at once."""
    shop.hear((0, 1, "我有多少积分", "points_query", 0))
    (row,) = shop.measured()
    assert (row.step, row.messages, row.at_once, row.score) == ("query", 1, 1, -1.0)


def test_a_redemption_by_menu_is_one_conversation(shop: Shop) -> None:
    """换个杯子 → 1 → 是: three messages, two of them answered to a menu; answers are no repetitions."""
    shop.hear((0, 1, "积分换个杯子", "points_redeem", 0, "menu"), (1, 1, "1", "", 0, "menu"), (2, 1, "是", "", 0))
    (row,) = shop.measured()
    assert (row.step, row.messages, row.repeats, row.prefilled, row.score) == ("redeem", 3, 0, 2, 0.0)


def test_a_complaint_that_is_passed_on_and_said_again_costs_much(shop: Shop) -> None:
    """两次说同一件事, 转人工, 等了半小时: 3 messages + 1 repetition + 30 minutes + 1 transfer = 11."""
    shop.hear((0, 2, "咖啡机漏水了, 怎么回事", "complaint", 0, "person"), (2, 2, "在吗", "", "silence"),
              (5, 2, "咖啡机漏水了, 怎么回事啊", "complaint", 30))  # fmt: skip
    (row,) = shop.measured()
    assert (row.messages, row.repeats, row.wait_min, row.transfers, row.at_once) == (3, 1, 30, 1, 0)
    assert row.score == 3 + 2 + 3.0 + 3


def test_a_rep_who_taps_late_is_waiting_too(shop: Shop) -> None:
    """In the group the rep answers: the wait ends with the tap 已发送; talk among customers is nobody's effort."""
    shop.hear((0, 1, "快吃完了", "running_out", "rep", "rep", 40), (1, 2, "今天天气真好", "", "silence"),
              (2, 1, "哈哈", "", "silence"), channel="group")  # fmt: skip
    (row,) = shop.measured()
    assert (row.step, row.messages, row.wait_min, row.score) == ("buy", 1, 40, 5.0)


def test_what_never_comes_counts_until_the_customer_gives_up(shop: Shop) -> None:
    """Asked, asked again after twenty minutes, no answer: the wait is counted, and nothing was solved."""
    shop.hear((0, 1, "我的快递到哪了", "order_logistics", None), (20, 1, "查一下物流", "order_logistics", None))
    (row,) = shop.measured()
    assert (row.step, row.wait_min, row.at_once) == ("parcel", 20, 0)


def test_another_need_or_two_hours_begin_another_conversation_and_coming_back_costs(shop: Shop) -> None:
    """积分 → 退货 at once is two; the same 退货 next day is a re-entry, and ten days later a fresh one."""
    shop.hear(
        (0, 1, "我有多少积分", "points_query", 0), (1, 1, "我要退货", "return_exchange", 0),
        (1440, 1, "退货的事怎么样了", "return_exchange", 0), (1440 * 12, 1, "再退一件", "return_exchange", 0),
    )  # fmt: skip
    rows = shop.measured()
    assert [(row.step, row.reentries) for row in rows] == [("query", 0), ("return", 0), ("return", 1), ("return", 0)]
    assert rows[2].score == 1 + 3 and rows[2].at_once == 0


def test_who_was_met_before_they_asked_has_it_easier(shop: Shop) -> None:
    """A follow-up the day before counts as having come to meet them; one that weighs on nobody does not."""
    insert_rows(shop.session, TouchRow, [
        {"task": f"t{member}", "sop": "cycle_refill", "member_id": member, "decision": "sent", "reason": "",
         "at": NOON - timedelta(days=1), "weighs": weighs} for member, weighs in ((1, 1), (2, 0))
    ])  # fmt: skip
    shop.hear((0, 1, "再来一盒", "purchase_intent", 0), (1, 2, "再来一盒", "purchase_intent", 0))
    assert [row.proactive for row in shop.measured()] == [1, 0]


def test_measuring_again_changes_nothing_and_waits_for_the_end(shop: Shop) -> None:
    """A conversation that goes on is left for later; what was scored keeps its score."""
    shop.hear((0, 1, "我有多少积分", "points_query", 0))
    assert effort.measure(shop.session, NOON, NOON + timedelta(hours=1)) == 0
    assert len(shop.measured()) == 1 == len(shop.measured())


def test_steps_are_reported_with_the_money_behind_them(shop: Shop) -> None:
    """The step that troubles those who spend most stands first; shares and weighted means are of their spending."""
    shop.hear((0, 1, "我要退货", "return_exchange", 50), (300, 2, "我要退货", "return_exchange", 0),
              (600, 3, "你们什么态度", "complaint", 110))  # fmt: skip
    shop.measured()
    returned, complained = effort.by_step(shop.session, NOON, LATER)
    assert (returned.step, returned.conversations, returned.spend_share) == ("return", 2, 0.95)
    assert returned.mean == pytest.approx(2.5) and returned.spend_weighted == pytest.approx((6 * 9000 - 500) / 9500)
    assert (complained.step, complained.mean, complained.parts["wait_min"]) == ("complaint", 12.0, 110)
