"""What members do beside buying: once, within limits, and not for themselves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from bot.database import Database
from loyalty.activities import approve, pending_activities, record_activity, reject, streak_of
from loyalty.audit import findings
from loyalty.balances import balance_of
from loyalty.budgets import budget_events, budget_states
from loyalty.costs import campaign_cost, cost_of_action_fen, point_value_fen
from loyalty.customers import attach, resolve
from loyalty.errors import ActivityDecided, BadActivity, IdentityTaken, KeyReused, UnknownActivity
from loyalty.orders import Item, OrderIn, record
from loyalty.programme import Programme

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
ANSWERS = [{"id": "cup", "name": "杯", "cost_points": 600, "value_fen": 600}]


def brand(*behaviours: dict[str, Any], **more: Any) -> Programme:
    """A programme with these behaviours, in which 600 points buy goods of ¥6."""
    return Programme.model_validate({
        "name": "青禾", "earning": {"points_per_yuan": 1}, "rewards": ANSWERS,
        "behaviours": [{"id": each["kind"], "name": each["kind"], **each} for each in behaviours]} | more)


def people(session: Any, *names: str) -> list[int]:
    """Members by the names of their openids."""
    known = resolve(session, [("openid", name) for name in names], NOON)
    return [known["openid", name] for name in names]


CHECK_IN = {"kind": "check_in", "gain": {"points": 5}, "streaks": [
    {"days": 3, "gain": {"points": 20, "growth": 2}}, {"days": 7, "gain": {"points": 70}, "again": True}]}


def test_a_streak_is_counted_by_the_zones_days(database: Database) -> None:
    """23:50 and 00:10 in Shanghai are two days though one in UTC; the third in a row brings the bonus."""
    programme = brand(CHECK_IN)
    moments = [datetime(2026, 3, 9, 15, 50, tzinfo=UTC), datetime(2026, 3, 9, 16, 10, tzinfo=UTC),
               datetime(2026, 3, 9, 17, 10, tzinfo=UTC), datetime(2026, 3, 11, 15, 59, tzinfo=UTC),
               datetime(2026, 3, 13, 16, 1, tzinfo=UTC)]
    with database.transaction() as session:
        [wang] = people(session, "wang")
        done = [record_activity(session, programme, wang, "check_in", f"k{n}", at)[0]
                for n, at in enumerate(moments)]
        assert [outcome.streak_days for outcome in done if outcome.state == "granted"] == [1, 2, 3, 1]
        assert [outcome.gained for outcome in done] == [
            {wang: {"points": 5}}, {wang: {"points": 5}}, {}, {wang: {"points": 25, "growth": 2}},
            {wang: {"points": 5}}]
        assert (done[2].state, done[2].reason) == ("refused", "rule.times_per_day")
        later = [moments[3] + timedelta(days=days) for days in (0, 1, 2)]
        assert [streak_of(session, programme, wang, at) for at in later] == [3, 3, 0]
        assert balance_of(session, wang, NOON, "growth").available == 2
        assert findings(session) == []


def test_the_same_key_counts_once(database: Database) -> None:
    """A platform that tells twice gets the first answer; other facts under the key are refused."""
    programme = brand({"kind": "survey", "gain": {"points": 30}})
    with database.transaction() as session:
        [wang] = people(session, "wang")
        first = record_activity(session, programme, wang, "survey", "s1", NOON, {"form": "f1"})[0]
        again = record_activity(session, programme, wang, "survey", "s1", NOON + timedelta(days=1), {"form": "f1"})[0]
        assert (first.new, again.new, again.gained, again.activity_id) == (
            True, False, {wang: {"points": 30}}, first.activity_id)
        assert balance_of(session, wang, NOON).available == 30
        with pytest.raises(KeyReused):
            record_activity(session, programme, wang, "survey", "s1", NOON, {"form": "f2"})


def test_what_is_published_waits_for_approval(database: Database) -> None:
    """A 晒单 earns nothing before somebody approves it, once; what was rejected stays so."""
    programme = brand({"kind": "ugc", "gain": {"points": 50}, "when": "pictures >= 1", "caps": {"times_per_day": 2}})
    with database.transaction() as session:
        [wang] = people(session, "wang")
        states = [record_activity(session, programme, wang, "ugc", f"u{n}", NOON, {"pictures": pictures})[0]
                  for n, pictures in enumerate((3, 0, 1, 2))]
        assert [(each.state, each.reason) for each in states] == [
            ("pending", ""), ("refused", "condition"), ("pending", ""), ("refused", "rule.times_per_day")]
        assert balance_of(session, wang, NOON).available == 0
        good, bad = [activity.id for activity in pending_activities(session)]
        assert approve(session, programme, good, "wangli", NOON).gained == {wang: {"points": 50}}
        assert approve(session, programme, good, "liuyang", NOON).new is False
        reject(session, bad, "wangli", "看不清", NOON)
        reject(session, bad, "wangli", "看不清", NOON)
        with pytest.raises(ActivityDecided):
            approve(session, programme, bad, "wangli", NOON)
        with pytest.raises(UnknownActivity):
            reject(session, 10**6, "wangli", "", NOON)
        assert balance_of(session, wang, NOON).available == 50 and not pending_activities(session)


def test_the_same_link_counts_once_and_the_third_share_unlocks(database: Database) -> None:
    """A radar link clicked again gives nothing; sharing gives chances at the third and sixth time."""
    programme = brand({"kind": "radar_click", "gain": {"points": 2}, "once_per": "link"},
                      {"kind": "share", "gain": {"chances": 1}, "every": 3})
    with database.transaction() as session:
        [wang] = people(session, "wang")
        clicks = [record_activity(session, programme, wang, "radar_click", f"c{n}", NOON, {"link": link})[0].state
                  for n, link in enumerate(("a", "a", "b"))]
        assert clicks == ["granted", "refused", "granted"]
        shares = [record_activity(session, programme, wang, "share", f"s{n}", NOON)[0] for n in range(6)]
        assert [share.state for share in shares] == ["counted", "counted", "granted"] * 2
        assert balance_of(session, wang, NOON, "chances").available == 2


def test_nobody_refers_themselves(database: Database) -> None:
    """Not by the same member, not by one who shares an identity, not in a ring, not twice."""
    programme = brand({"kind": "referral", "gain": {"points": 200}, "friend": {"points": 20}})

    def bring(member: int, friend: int, key: str) -> tuple[str, str]:
        outcome = record_activity(session, programme, member, "referral", key, NOON, {"friend": friend})[0]
        return outcome.state, outcome.reason

    with database.transaction() as session:
        wang, li, zhao, twin = people(session, "wang", "li", "zhao", "twin")
        attach(session, wang, "phone", "h138", "form", NOON)
        with pytest.raises(IdentityTaken):
            attach(session, twin, "phone", "h138", "form", NOON)
        assert bring(wang, wang, "r1") == ("refused", "self-referral")
        assert bring(wang, twin, "r2") == ("refused", "self-referral: a shared identity")
        assert bring(wang, li, "r3") == ("granted", "")
        assert bring(zhao, li, "r4") == ("refused", "friend was brought before")
        assert bring(li, wang, "r5") == ("refused", "friend brought the member")
        assert [balance_of(session, id, NOON).available for id in (wang, li, zhao, twin)] == [200, 20, 0, 0]
        assert findings(session) == []


def test_three_friends_are_600_points_are_6_yuan_are_2_yuan_each(database: Database) -> None:
    """Three friends helped = 600 points = ¥6 of goods, so ¥2 per new customer; their orders are the return."""
    programme = brand({"kind": "referral", "gain": {"points": 600}, "every": 3, "campaign": "help"},
                      campaigns=[{"id": "help", "name": "好友助力", "budget": {"money_fen": 100_000}}])
    [referral] = programme.behaviours
    assert point_value_fen(programme) == 1 and cost_of_action_fen(programme, referral, friends=3) == 600
    with database.transaction() as session:
        wang, *friends = people(session, "wang", "a", "b", "c")
        states = [record_activity(session, programme, wang, "referral", f"r{id}", NOON, {"friend": id})[0].state
                  for id in friends]
        assert states == ["counted", "counted", "granted"]
        assert balance_of(session, wang, NOON).available == 600
        record(session, OrderIn(source="pos", external_id="T1", identities=(("openid", "a"),), paid_at=NOON,
                                amount_fen=3000, items=(Item(sku="X", name="豆", amount_fen=3000),)), programme, NOON)
        cost = campaign_cost(session, programme, "help", NOON + timedelta(days=1))
        assert (cost.points, cost.cost_fen, cost.new_customers, cost.per_new_customer_fen) == (600, 600, 3, 200)
        assert (cost.orders, cost.revenue_fen, str(cost.roi)) == (1, 3000, "4.00")
        assert [(state.used, state.most) for state in budget_states(session, programme)] == [(600, 100_000)]


def test_a_closed_campaign_and_a_used_budget_give_nothing(database: Database) -> None:
    """Out of its dates an activity is refused; red packets with a price count against the money at once."""
    campaign = {"id": "packets", "name": "红包雨", "open_to": "2026-03-11T00:00:00+08:00", "budget": {"money_fen": 250}}
    programme = brand({"kind": "red_packet", "gain": {"chances": 1}, "cost_fen": 100, "campaign": "packets"},
                      campaigns=[campaign])
    with database.transaction() as session:
        [wang] = people(session, "wang")
        got = [record_activity(session, programme, wang, "red_packet", f"p{n}", NOON)[0] for n in range(3)]
        got += record_activity(session, programme, wang, "red_packet", "late", NOON + timedelta(days=1))
        assert [(each.state, each.reason) for each in got] == [
            ("granted", ""), ("granted", ""), ("refused", "budget"), ("refused", "campaign closed")]
        assert [(event.kind, event.used) for event in budget_events(session)] == [("alert", 200), ("stop", 200)]


def test_writers_at_once_never_pass_the_budget(database: Database) -> None:
    """Eight members reach for three gifts in the same moment: three get one, and the budget says so."""
    programme = brand({"kind": "quiz", "gain": {"points": 10}, "campaign": "quiz"},
                      campaigns=[{"id": "quiz", "name": "答题", "budget": {"points": 30}}])
    with database.transaction() as session:
        members = people(session, *(f"p{n}" for n in range(8)))
    gate = threading.Barrier(8)

    def act(member: int) -> str:
        gate.wait(10)
        with database.transaction() as session:
            return record_activity(session, programme, member, "quiz", f"q{member}", NOON)[0].state

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(act, members)) == ["granted"] * 3 + ["refused"] * 5
    with database.transaction() as session:
        assert [state.used for state in budget_states(session, programme)] == [30]
        assert sum(balance_of(session, member, NOON).available for member in members) == 30
        assert findings(session) == []


def test_what_cannot_be_used_is_told(database: Database) -> None:
    """Unknown kinds and friends in the wrong place are refused by name; a kind without behaviour stores nothing."""
    with database.transaction() as session:
        [wang] = people(session, "wang")
        with pytest.raises(BadActivity, match="check_in"):
            record_activity(session, brand(), wang, "dance", "k", NOON)
        with pytest.raises(BadActivity, match="without a friend"):
            record_activity(session, brand(), wang, "referral", "k", NOON)
        assert record_activity(session, brand(), wang, "share", "k", NOON) == []
    with pytest.raises(ValidationError, match="did you mean pictures"):
        brand({"kind": "ugc", "gain": {"points": 5}, "when": "picture > 1"})
