"""Product answers, parcels, surveys and reminders: what was written is said, once, and to nobody who declined."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from handlers import cases, parcels, survey
from handlers.knowledge import Answer, Knowledge, find, problems
from handlers.reminders import due_reminders
from handlers.service_tables import SurveyRow
from loyalty import customers, orders
from tests.handlers.conftest import KF, Counter

pytestmark = pytest.mark.either_engine

DRIP = Knowledge(
    sku="QH-DRIP-30",
    answers=(
        Answer(id="shelf", ask=("能放多久", "保质期"), say="12 个月。"),
        Answer(id="open", ask=("开封", "开封+能放多久"), say="开封后 3 天。"),
        Answer(id="sugar", ask=("糖",), say="不加糖。"),
        Answer(id="baby", ask=("孕",), say="孕期请先问医生。", careful=True),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("保质期多久", ["12 个月。"]), ("开封后能放多久", ["开封后 3 天。"]),
        ("含糖吗，保质期呢", ["不加糖。", "12 个月。"]),
        ("孕妇能喝吗", ["孕期请先问医生。"]), ("糖尿病能喝吗", []), ("宝宝能喝吗 含糖吗", []), ("哪里产的", []),
        ("孕妇能喝吗，保质期多久", ["孕期请先问医生。", "12 个月。"]),
    ],
)  # fmt: skip
def test_only_what_is_written_is_said(asked: str, said: list[str]) -> None:
    """Each clause finds the answer that fits best; what touches health only finds a careful one."""
    assert [answer.say for answer in find(asked, DRIP)] == said


def test_knowledge_about_health_has_to_be_marked(counter: Counter) -> None:
    """A file that answers 孕妇 without `careful` is named, and one for goods nobody sells."""
    loose = Knowledge(sku="QH-DRIP-30", answers=(Answer(id="baby", ask=("孕妇",), say="可以。"),))
    stray = Knowledge(sku="QH-NONE", answers=(Answer(id="a", ask=("甲",), say="乙"),))
    found = list(problems({"QH-DRIP-30": loose, "QH-NONE": stray}, counter.brand.programme))
    assert len(found) == 2
    assert "careful: true" in found[0]
    assert "no product QH-NONE" in found[1]


def _order(counter: Counter, member: str = "wmA") -> None:
    order = {
        "source": "shop", "external_id": "QH1", "paid_at": counter.now - timedelta(days=2), "amount_fen": 9900,
        "identities": [{"kind": "external_userid", "value": member}],
        "items": [{"sku": "QH-DRIP-30", "name": "挂耳", "amount_fen": 9900}],
    }  # fmt: skip
    with counter.database.transaction() as session:
        orders.record(session, orders.OrderIn.model_validate(order), counter.brand.programme, counter.now)


def test_older_news_of_a_parcel_change_nothing(counter: Counter) -> None:
    """The newest news stand, whichever comes first; an order that is not known is told so."""
    member = counter.member("wmA")
    _order(counter)
    with counter.database.transaction() as session:
        told: Any = lambda state, h: parcels.record_shipment(  # noqa: E731
            session, "shop", "QH1", "顺丰", "SF1", state, counter.now - timedelta(hours=h)
        )
        assert told("delivered", 1)
        assert told("moving", 9)
        assert not parcels.record_shipment(session, "shop", "QH9", "顺丰", "SF1", "moving", counter.now)
        (order,) = parcels.orders_of(session, [member], counter.now)[member]
    assert order.is_delivered
    assert order.parcels[0].words == "已签收"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("10", 10), ("8分", 8), ("十分", 10), ("我打9分", 9), ("满意", 9), ("非常满意", 10), ("不满意", 2),
        ("不太满意", 2), ("一般吧", 6),
        ("非常不满意!", 0), ("还行", 6), ("0", 0), ("11", None), ("满意吗?", None), ("我的快递到哪了", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_score_in_numbers_or_words(text: str, score: int | None) -> None:
    """不满意 is not 满意, and a sentence about something else is no score."""
    assert survey.read_score(text) == score


def test_a_survey_is_asked_once_within_its_time(counter: Counter) -> None:
    """Once a month at most, not after an opt-out, not where no channel is open; a complaint has its own."""
    member = counter.member("wmA", name="阿青")
    counter.handle(counter.message("wmA", "你好"))
    ask = lambda about, ref: survey.invite(session, counter.brand, member, about, ref, counter.now)  # noqa: E731
    with counter.database.transaction() as session:
        first = ask("nps", "a")
        assert first is not None
        assert first.place == (member, KF)
        assert ask("nps", "a") is None
        assert ask("return", "b") is None
        assert ask("complaint", "c") is not None
        assert session.query(SurveyRow).count() == 2
    counter.push(days=31)
    with counter.database.transaction() as session:
        assert ask("nps", "d") is None, "the window of the chat is closed"
    counter.handle(counter.message("wmA", "在吗"))
    with counter.database.transaction() as session:
        customers.opt_out(session, member, counter.now)
        assert ask("nps", "e") is None
        customers.opt_in(session, member)
        assert ask("nps", "e") is not None


def test_a_case_is_closed_once_and_only_while_open(counter: Counter) -> None:
    """The second tap of a rep closes nothing, and one member's case is not another's."""
    with counter.database.transaction() as session:
        case = cases.put(session, "k", "return", 1, KF, "open", {"reason": "碎了"}, counter.now)
        assert cases.put(session, "k", "return", 1, KF, "open", {"reason": "碎了"}, counter.now).id == case.id
        other = cases.put(session, "k2", "return", 2, KF, "open", {}, counter.now, case_id=case.id)
        assert other.id != case.id
        assert cases.close(session, case.id, counter.now)
        assert not cases.close(session, case.id, counter.now)


def test_no_plan_means_no_reminder(counter: Counter) -> None:
    """A brand without appointments has nothing to remind of."""
    with counter.database.transaction() as session:
        assert due_reminders(session, replace(counter.brand), counter.now) == []
