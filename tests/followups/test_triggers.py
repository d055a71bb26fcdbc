"""Every trigger and every step that no ready-made follow-up uses, each set off as the service is told of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from handlers.followup.entries import told
from handlers.followup.tables import RunRow
from loyalty import customers, ledger, plans, redemptions
from loyalty.campaign_tables import TierStanding
from loyalty.people_tables import MemberTag
from loyalty.refunds import refund
from loyalty.tables import Member

pytestmark = pytest.mark.either_engine

Play = Callable[..., Any]
HELLO = {"text": "{{ name or '您' }}好"}
CARD = {"prompt": HELLO}


def file(trigger: dict[str, Any], *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A follow-up that this trigger sets off; without steps it prompts the rep."""
    return {"id": "a", "triggers": [trigger], "steps": list(steps) or [CARD]} | more


def entered(stage: Any) -> list[int]:
    """Who has entered, in order."""
    with stage.database.reading() as session:
        return [row.member_id for row in session.query(RunRow).order_by(RunRow.id)]


@pytest.mark.parametrize(("trigger", "which"), [({"order": "any"}, 3), ({"order": "first"}, 1)])
def test_orders_set_off(play: Play, trigger: dict[str, Any], which: int) -> None:
    """Any order is every order; the first is the first alone; what was bought before is none."""
    stage = play(also=[file(trigger, {"tag": {"add": ["x"]}})])
    member = stage.member("阿青")
    for _ in range(3):
        stage.order("阿青", "QH-DRIP-30")
        stage.push(minutes=2)
    assert entered(stage) == [member] * which


def test_the_third_order_and_a_refund_set_off(play: Play) -> None:
    """n is counted over the person's whole life; a refund is heard with its amount."""
    third = file({"order": "nth", "n": 3}, {"prompt": {"text": "{{ event_name or '商品' }}"}}, id="third")
    back = file({"order": "refund"}, {"prompt": {"text": "退了 {{ event_amount_yuan }} 元"}}, id="back", kind="service")
    stage = play(also=[third, back])
    stage.member("阿青")
    for days_ago in (9, 4):
        stage.order("阿青", "QH-DRIP-30", days_ago=days_ago)
    assert stage.push(minutes=2) == []
    stage.order("阿青", "QH-DRIP-30")
    assert stage.words(stage.push(minutes=2)) == [("card", "挂耳咖啡30包")]
    with stage.database.transaction() as session:
        refund(session, "shop", "o3", 2500, key="r", programme=stage.brand.programme, at=stage.now)
    assert stage.words(stage.push(minutes=2)) == [("card", "退了 25.0 元")]


def test_points_that_came_and_a_redemption_set_off(play: Play) -> None:
    """Both are read in the books, whoever wrote them; what a follow-up gave itself is no news."""
    told_of, swapped = {"text": "到账 {{ event_points }}"}, {"text": "换了{{ event_name or '礼品' }}"}
    gift = {"points": {"amount": 3}}
    came = file({"loyalty": "points_earned"}, gift, {"prompt": told_of}, id="came", kind="service")
    gone = file({"loyalty": "redeemed"}, {"prompt": swapped}, id="gone", kind="service")
    stage = play(also=[came, gone])
    member = stage.member("阿青")
    with stage.database.transaction() as session:
        ledger.earn(session, member, 500, key="k", reason="start", at=stage.now)
    assert stage.words(stage.push(minutes=2)) == [("card", "到账 500")]
    with stage.database.transaction() as session:
        redemptions.redeem(session, member, "sticker", 1, "r", stage.brand.programme, stage.now)
    assert stage.words(stage.push(minutes=2)) == [("card", "换了青禾贴纸包")]


def test_a_tier_at_risk_and_a_plan_that_is_over_set_off(play: Play) -> None:
    """Within so many days before the one, and after the other; too far away is nobody."""
    ahead, behind = {"text": "{{ event_tier or '等级' }}"}, {"text": "到期 {{ event_days }} 天"}
    risk = file({"loyalty": "tier_at_risk", "within_days": 14}, {"prompt": ahead}, id="risk", kind="service")
    over = file({"loyalty": "plan_expired", "after_days": 3}, {"prompt": behind}, id="over", kind="service")
    stage = play(also=[risk, over])
    near, far, gone = (stage.member(name) for name in ("阿青", "小满", "何姐"))
    with stage.database.transaction() as session:
        for member, days in ((near, 10), (far, 40)):
            session.add(TierStanding(member_id=member, tier="leaf", since=stage.now, grace=False,
                                     due_at=stage.now + timedelta(days=days)))  # fmt: skip
        plans.buy(session, gone, "coffee_year", 0, "p", stage.brand.programme, stage.now - timedelta(days=369))
    rows = stage.push(minutes=2)
    assert {row.member_id: text for row, (_, text) in zip(rows, stage.words(rows), strict=True)} == {
        near: "青叶会员", gone: "到期 3 天",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["group_joined", "group_left", "customer_deleted", "rep_deleted"])
def test_contact_events_set_off(play: Play, kind: str) -> None:
    """Joined, left, deleted on either side: whoever it is about enters."""
    stage = play(also=[file({"contact": kind})])
    member = stage.member("阿青")
    stage.happen(kind, member)
    assert [row.member_id for row in stage.take_out()] == [member]


def test_a_channel_code_narrows_who_was_added(play: Play) -> None:
    """The code of the shop window enters, that of the exhibition does not."""
    stage = play(also=[file({"contact": "added", "channel_codes": ["window"]})])
    window, fair = stage.member("阿青"), stage.member("小满")
    for member, code in ((window, "window"), (fair, "fair")):
        stage.happen("added", member, event_code=code)
    assert entered(stage) == [window]


TRADE = [("618", (6, 18)), ("女神节", (3, 8)), ("双11", (11, 11)), ("12-24", (12, 24))]


@pytest.mark.parametrize(("named", "day"), TRADE)
def test_days_of_the_trade_set_off_once(play: Play, named: str, day: tuple[int, int]) -> None:
    """Three days before, in the morning; not the day before that, and not again the day after."""
    morning = datetime(2027, *day, 1, 0, tzinfo=UTC) - timedelta(days=3)
    stage = play(also=[file({"calendar": named, "days_before": 3})], now=morning - timedelta(hours=22))
    member = stage.member("阿青")
    assert stage.push(hours=21) == [] and len(stage.push(days=3)) == 1
    assert entered(stage) == [member]


def test_an_anniversary_and_a_segment_set_off(play: Play) -> None:
    """A year after joining; who belongs to a segment enters the morning it becomes true, once."""
    year = file({"date": "anniversary"}, {"prompt": {"text": "入会 {{ event_days // 365 }} 年"}}, id="year")
    rich = file({"segment": "orders >= 2 and spent_yuan > 150"}, {"tag": {"add": ["大客户"]}}, id="rich")
    stage = play(also=[year, rich], now=datetime(2026, 11, 17, 12, 0, tzinfo=UTC))
    member, buyer = stage.member("阿青"), stage.member("小满")
    with stage.database.transaction() as session:
        customers.join(session, member, datetime(2025, 11, 18, 4, 0, tzinfo=UTC))
    for days_ago in (9, 3):
        stage.order("小满", "QH-DRIP-30", days_ago=days_ago)
    assert stage.words(stage.push(days=3)) == [("card", "入会 1 年")]
    assert sorted(entered(stage)) == [member, buyer]


def test_a_card_bears_the_name_known_by_then(play: Play) -> None:
    """A new friend's name is learned from their messages after the follow-up has begun: the card has it."""
    stage = play(also=[file({"event": "a"}, {"wait": {"days": 1}}, {"prompt": HELLO})])
    member = stage.member("阿青")
    with stage.database.transaction() as session:
        session.execute(update(Member).where(Member.id == member).values(name=""))
    stage.happen("api:a", member)
    with stage.database.transaction() as session:
        session.execute(update(Member).where(Member.id == member).values(name="阿青"))
    (card,) = stage.push(days=1, hours=1)
    assert msgspec.json.decode(card.payload)["title"].endswith("阿青") and "未留名" not in card.payload


def test_an_undone_card_changes_hands(play: Play) -> None:
    """After four hours the supervisor has the card and the customer; what follows goes to the supervisor too."""
    first = {"prompt": HELLO | {"escalate_after_h": 4, "reassign": True, "go_on_after_h": 1}}
    stage = play(also=[file({"event": "a"}, first, {"prompt": {"text": "第二步"}})])
    member = stage.member("阿青")
    stage.happen("api:a", member)
    assert [row.recipient for row in stage.push(hours=3, minutes=59)] == ["app:liuyang"]
    (card,) = stage.push(minutes=2)
    assert card.recipient == "app:wangli" and "liuyang 4 小时未处理" in card.payload
    assert "escalated" in [decision for decision, _ in stage.reasons(member)]
    (following,) = stage.tap(card, "done", by="wangli")
    assert following.recipient == "app:wangli"


def test_a_wait_until_a_weekday_and_hour(play: Play) -> None:
    """Asked on a Wednesday at noon: Friday at half past ten, not a minute before."""
    step = {"wait": {"until": {"weekday": "fri", "at": "10:30"}}}
    stage = play(also=[file({"event": "a"}, step, CARD)])
    stage.happen("api:a", stage.member("阿青"))
    assert stage.push(days=1, hours=22, minutes=29) == [] and len(stage.push(minutes=1)) == 1


def test_a_call_goes_out_and_its_result_leads_on(play: Play) -> None:
    """The adapter is asked under the run's own key; what the API reports wakes the run and decides the branch."""
    call = {"call": {"adapter": "sms", "way": "call"} | HELLO}
    branch = {"branch": {"when": 'woken_by == "api:call_result" and event_code == "refused"', "then": [CARD]}}
    stage = play(also=[file({"event": "a"}, call, {"wait": {"event": "api:call_result"}}, branch)])
    member = stage.member("阿青")
    stage.happen("api:a", member)
    (asked,) = stage.take_out()
    body = msgspec.json.decode(asked.payload)["body"]
    assert (asked.kind, body["way"], body["text"], body["key"]) == ("adapter", "call", "阿青好", asked.key)
    heard = told("call_result", member, "r", stage.now, {"event_code": "refused"})
    stage.happen(heard.kind, member, **heard.data)
    assert stage.words(stage.take_out()) == [("card", "阿青好")]


def test_a_library_gives_each_segment_its_words(play: Play) -> None:
    """The first text whose condition holds; whoever fits none gets the last."""
    library = [{"when": "spent_yuan > 500", "text": "老朋友好"}, {"when": '"老师" in tags', "text": "老师好"},
               {"text": "您好"}]  # fmt: skip
    stage = play(also=[file({"event": "a"}, {"prompt": {"text": library}})])
    for name, words in (("阿青", "老朋友好"), ("小满", "老师好"), ("路人", "您好")):
        member = stage.member(name)
        if name == "阿青":
            stage.order(name, "QH-GIFT-A", amount_yuan=600)
        if name == "小满":
            with stage.database.transaction() as session:
                session.add(MemberTag(member_id=member, tag="老师", source="hand", set_at=stage.now))
        stage.happen("api:a", member)
        assert stage.words(stage.take_out()) == [("card", words)]
