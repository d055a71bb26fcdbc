"""Each follow-up that comes with the product, watched by pushing the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from handlers.talk.tables import ServingRow
from loyalty import coupons, customers, ledger, plans
from loyalty.people_tables import MemberTag

pytestmark = pytest.mark.either_engine

Play = Callable[..., Any]


def earn(stage: Any, member: int, amount: int, lapses_in_days: int, asset: str = "points") -> None:
    """The member has something that lapses."""
    with stage.database.transaction() as session:
        ledger.earn(session, member, amount, key=f"start:{member}:{asset}", reason="start", at=stage.now, asset=asset,
                    expires_at=stage.now + timedelta(days=lapses_in_days))  # fmt: skip


def buy_plan(stage: Any, member: int, days_ago: int) -> None:
    """The member bought the year's card so many days ago."""
    at = stage.now - timedelta(days=days_ago)
    with stage.database.transaction() as session:
        plans.buy(session, member, "coffee_year", 19_900, f"plan:{member}:{days_ago}", stage.brand.programme, at)


def test_a_new_friend_is_welcomed_within_seconds_and_walked_to_the_first_order(play: Play) -> None:
    """加微 → 欢迎语 at once → 入群 → a gift after a week without order → the order → 售后 a week later."""
    stage = play("new_friend")
    member = stage.member("阿青")
    stage.happen("added", member, welcome_code="WC1", event_code="s31")
    assert [kind for kind, _ in stage.words(stage.take_out())] == ["welcome"]
    (group_card,) = stage.push(days=1)
    assert "会员群" in stage.words([group_card])[0][1]
    stage.tap(group_card, "done")
    (order_card,) = stage.push(days=5, hours=1)
    assert "见面礼" in stage.words([order_card])[0][1]
    stage.tap(order_card, "done")
    assert ("sent", "送“10元无门槛券”") in stage.reasons(member)
    stage.order("阿青", "QH-DRIP-30")
    stage.push(hours=2)
    with stage.database.reading() as session:
        assert list(session.scalars(select(MemberTag.tag))) == ["已转化"]
    (care_card,) = stage.push(days=9)
    assert "挂耳咖啡30包" in stage.words([care_card])[0][1]
    stage.tap(care_card, "done")
    assert stage.states(member) == [("new_friend", "done")]


def test_running_out_by_the_product_cycle(play: Play) -> None:
    """30 days a pack: two days after the end the rep has the bundle on the card; who has bought has none."""
    stage = play("cycle_refill")
    due, bought = stage.member("阿青"), stage.member("小满")
    for name in ("阿青", "小满"):
        stage.order(name, "QH-DRIP-30", days_ago=33)
    stage.order("小满", "QH-DRIP-30", days_ago=1)
    (card,) = stage.push(hours=2)
    assert card.member_id == due and "挂耳咖啡30包×2盒" in stage.words([card])[0][1]
    assert stage.states(bought) == []


def test_running_out_undone_goes_to_the_supervisor(play: Play) -> None:
    """Nobody taps for a day: the supervisor has the card too; 72 hours on, the run goes on by itself."""
    stage = play("cycle_refill")
    member = stage.member("阿青")
    stage.order("阿青", "QH-DRIP-30", days_ago=33)
    rows = stage.push(hours=27)
    assert [row.recipient for row in rows] == ["app:liuyang", "app:wangli"]
    assert stage.push(days=4) == [] and stage.reasons(member)[-1][0] == "lapsed"


def test_buying_for_a_friend_and_the_invitation(play: Play) -> None:
    """The rep is prompted at once; who praised gets a link of the rep's own, and points when the friend is added."""
    stage = play("buying_for_friend", "friend_invite")
    member, friend = stage.member("阿青"), stage.member("小满", rep="")
    stage.hear("buying_for_friend", member, "阿青")
    assert [row.kind for row in stage.take_out()] == ["card"]
    stage.push(days=1)
    stage.hear("praise_share", member, "阿青")
    way, card = stage.push(hours=1)
    assert way.kind == "contact_way"
    assert "https://example.invalid/qr" in stage.words([card])[0][1]
    stage.tap(card, "done")
    stage.happen("friend_added", member, friend_id=friend)
    assert (stage.points(member), stage.points(friend)) == (100, 50)
    assert [row.kind for row in stage.take_out()] == ["card"]  # no channel is open: the rep tells it


def test_points_about_to_lapse_are_told_once_where_a_channel_is_open(play: Play) -> None:
    """In 微信客服 a text, else the rep; who redeems meanwhile hears no more; too few points: nobody is bothered."""
    stage = play("points_lapsing")
    rich, poor = stage.member("阿青"), stage.member("小满")
    earn(stage, rich, 500, 10)
    earn(stage, poor, 20, 10)
    stage.talks("阿青", rich)
    (row,) = stage.push(hours=2)
    assert (row.kind, "500 积分快到期" in stage.words([row])[0][1]) == ("kf_text", True)
    assert stage.states(poor) == []
    (card,) = stage.push(days=7)
    assert "到期了" in stage.words([card])[0][1]
    assert stage.push(days=5) == []


def test_a_tier_leap_is_congratulated_unless_they_just_complained(play: Play) -> None:
    """升级 → a message; three days after a complaint nobody cheers."""
    stage = play("tier_leap", "complaint")
    glad, angry = stage.member("阿青"), stage.member("小满")
    stage.hear("complaint", angry, "小满")
    stage.take_out()
    stage.push(hours=1)
    for member in (glad, angry):
        stage.happen("tier_reached", member, event_tier="青叶会员")
    assert [row.member_id for row in stage.take_out()] == [glad]


def test_the_first_tier_and_imported_orders_are_no_leap(play: Play) -> None:
    """The tier everybody begins with is not cheered, nor one that orders of the past bring; one bought now is."""
    stage = play("tier_leap")
    stage.member("阿青"), stage.member("小满")
    stage.push(minutes=5)
    stage.order("阿青", "QH-DRIP-30", amount_yuan=100)
    stage.order("小满", "QH-DRIP-30", days_ago=40, amount_yuan=1200)
    assert stage.push(minutes=5) == []
    stage.order("阿青", "QH-DRIP-30", amount_yuan=1200)
    (row,) = stage.push(minutes=5)
    assert "青叶会员" in row.payload


def test_the_inactive_are_recalled_by_their_own_rhythm_with_a_coupon(play: Play) -> None:
    """Every ten days until now and silent for twenty: a coupon and a 群发; one who comes every month is left alone."""
    stage = play("inactive_recall")
    often, seldom = stage.member("阿青"), stage.member("小满")
    for back in (40, 30, 20):
        stage.order("阿青", "QH-TEA-20", days_ago=back)
    for back in (80, 50, 20):
        stage.order("小满", "QH-TEA-20", days_ago=back)
    (row,) = stage.push(hours=2)
    assert row.kind == "mass_task" and "10 元无门槛券" in stage.words([row])[0][1]
    assert ("sent", "送“10元无门槛券”") in stage.reasons(often) and stage.states(seldom) == []
    with stage.database.reading() as session:
        (coupon,) = coupons.of_member(session, often, stage.now)
    assert (coupon.type_id, coupon.state) == ("ten_off", "issued") and coupon.code in stage.words([row])[0][1]
    assert stage.points(often) == 300  # what the orders earned, no more
    (card,) = stage.push(days=8)
    assert card.kind == "card" and "青" in stage.words([card])[0][1]


@pytest.mark.parametrize(("days_ago", "words"), [(5, "新品试饮"), (90, "提醒您一声")])
def test_a_paid_plan_is_renewed_with_the_text_that_fits(play: Play, days_ago: int, words: str) -> None:
    """Who comes often hears of benefits and the tasting, who does not hears a reminder."""
    stage = play("plan_renewal")
    member = stage.member("阿青")
    stage.order("阿青", "QH-TEA-20", days_ago=days_ago)
    buy_plan(stage, member, days_ago=360)
    (card,) = stage.push(hours=2)
    assert words in stage.words([card])[0][1]


def test_who_renews_before_the_rep_taps_hears_no_more(play: Play) -> None:
    """The card is still open when the plan is renewed: the follow-up ends and says so."""
    stage = play("plan_renewal")
    member = stage.member("阿青")
    buy_plan(stage, member, days_ago=360)
    (card,) = stage.push(hours=2)
    buy_plan(stage, member, days_ago=0)
    stage.talks("阿青", member)
    assert stage.tap(card, "done") == [] and stage.push(days=10) == []
    assert stage.reasons(member)[-1] == ("skipped", "客户已经续费")


def test_a_birthday_is_wished_in_the_morning_with_points_once(play: Play) -> None:
    """88 points and words at ten; a second sweep, and the next day, change nothing."""
    stage = play("birthday", now=datetime(2026, 11, 17, 16, 0, tzinfo=UTC))  # midnight before the 18th
    member = stage.member("阿青", birthday=(11, 18))
    rows = stage.push(hours=11)
    assert [row.kind for row in rows] == ["card"] and stage.points(member) == 88
    assert rows[0].created_at.hour == 2  # ten o'clock in Shanghai
    stage.push(days=3)
    assert stage.points(member) == 88


def test_after_a_complaint_the_supervisor_calls_three_days_later(play: Play) -> None:
    """At once to rep and supervisor, three days later the supervisor again."""
    stage = play("complaint", "complaint_care")
    member = stage.member("阿青")
    stage.hear("complaint", member, "阿青")
    assert [row.recipient for row in stage.take_out()] == ["app:liuyang", "app:wangli"]
    rows = stage.push(days=4)
    assert [row.recipient for row in rows] == ["app:wangli"] and "门店负责人" in stage.words(rows)[0][1]


def test_stored_value_that_sleeps_is_woken(play: Play) -> None:
    """50 yuan untouched for 90 days: the rep knows how much; a few cents wake nobody."""
    stage = play("stored_value_wake_up", now=datetime(2026, 8, 1, 4, 0, tzinfo=UTC))
    member, poor = stage.member("阿青"), stage.member("小满")
    earn(stage, member, 5000, 900, "stored_value")
    earn(stage, poor, 100, 900, "stored_value")
    stage.now += timedelta(days=95)
    (card,) = stage.push(hours=2)
    assert card.member_id == member and "50.0 元" in stage.words([card])[0][1]


def test_a_service_that_is_due_becomes_an_appointment(play: Play) -> None:
    """The brand's system tells mileage or time by the API; three days without an appointment the rep asks again."""
    stage = play("service_due")
    member = stage.member("阿青")
    stage.happen("api:service_due", member, event_name="净水滤芯", url="https://book.example/1")
    (card,) = stage.take_out()
    assert "净水滤芯" in stage.words([card])[0][1] and "https://book.example/1" in stage.words([card])[0][1]
    stage.tap(card, "done")
    (again,) = stage.push(days=3, hours=1)
    stage.tap(again, "done")
    assert stage.states(member) == [("service_due", "done")]


def test_double_eleven_goes_to_buyers_and_stops_when_they_buy(play: Play) -> None:
    """Three days before, one task for who bought before; whoever buys meanwhile is not asked on the day."""
    stage = play("double_eleven", now=datetime(2026, 11, 8, 0, 30, tzinfo=UTC))
    for name in ("阿青", "小满"):
        stage.member(name)
        stage.order(name, "QH-DRIP-30", days_ago=60)
    stranger = stage.member("路人")
    rows = stage.push(hours=3)
    assert [row.kind for row in rows] == ["mass_task"] * 2 and stage.states(stranger) == []
    stage.order("小满", "QH-DRIP-30")
    (last,) = stage.push(days=3)
    assert "阿青" in stage.words([last])[0][1]


def test_who_opted_out_gets_none_of_it(play: Play) -> None:
    """勿扰 holds in every follow-up that sells or cares, and the reason stands in words."""
    stage = play()
    member = stage.member("阿青", birthday=(11, 18))
    stage.order("阿青", "QH-DRIP-30", days_ago=33)
    earn(stage, member, 500, 10)
    with stage.database.transaction() as session:
        customers.opt_out(session, member, stage.now)
    assert stage.push(days=10) == []
    assert ("skipped", "客户已选择勿扰") in stage.reasons(member)


def test_a_customer_who_deleted_the_rep_cannot_be_reached_by_mass(play: Play) -> None:
    """Nobody has them as a contact: the 群发 is skipped with the reason, before the platform refuses it."""
    stage = play("double_eleven", now=datetime(2026, 11, 8, 0, 30, tzinfo=UTC))
    member = stage.member("阿青")
    stage.order("阿青", "QH-DRIP-30", days_ago=60)
    with stage.database.transaction() as session:
        session.execute(ServingRow.__table__.update().values(ended_at=stage.now, ended_by="customer"))  # type: ignore[attr-defined]
    assert stage.push(hours=3) == []
    assert "已删除" in stage.reasons(member)[0][1]
