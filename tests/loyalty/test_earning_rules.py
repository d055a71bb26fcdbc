"""Earning rules: which count, how they add up, and what a faulty one is told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.database import Database
from loyalty.audit import findings
from loyalty.birthdays import set_birthday
from loyalty.budgets import budget_events, budget_states
from loyalty.customers import Identity, resolve
from loyalty.earning import points_for_many
from loyalty.errors import KeyReused
from loyalty.orders import Item, OrderIn, record, record_many
from loyalty.programme import Programme
from loyalty.rulebook import OrderFacts, in_birthday

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
COFFEE = Item(sku="QH-30", name="挂耳咖啡30包", quantity=2, amount_fen=19_800)
MILK = Item(sku="OAT", name="燕麦奶", amount_fen=1_590, category="milk")


def brand(*rules: dict[str, Any], **more: Any) -> Programme:
    """One point a yuan, a doubled second tier, these rules."""
    return Programme.model_validate({
        "name": "青禾", "earning": {"points_per_yuan": 1, "rules": [{"name": rule["id"], **rule} for rule in rules]},
        "tiers": [{"id": "seed", "name": "青芽", "from_amount_fen": 0},
                  {"id": "leaf", "name": "青叶", "from_amount_fen": 1_000_000, "factor": 2}],
        "products": [{"sku": "QH-30", "name": "挂耳咖啡30包", "category": "coffee"}]} | more)


def an_order(number: str = "T1", *items: Item, buyer: str = "wang", **more: Any) -> OrderIn:
    """An order of the till at noon."""
    return OrderIn.model_validate({
        "source": "pos", "external_id": number, "identities": (Identity("openid", buyer),), "paid_at": NOON,
        "amount_fen": sum(item.amount_fen for item in items), "items": items} | more)


def points(programme: Programme, order: OrderIn, **facts: Any) -> int:
    """What the rules alone give for it."""
    known = OrderFacts(order.amount_fen, order.paid_at, order.source, order.shop, order.items, **facts)
    return points_for_many(programme, [known])[0]


@pytest.mark.parametrize(("rule", "extra"), [
    ({"points": 10}, 10),
    ({"points": 10, "from_amount_fen": 21_390}, 10),
    ({"points": 10, "from_amount_fen": 21_391}, 0),
    ({"points": 10, "sources": ["pos", "tmall"]}, 10),
    ({"points": 10, "sources": ["tmall"]}, 0),
    ({"points": 10, "shops": ["SH01"]}, 10),
    ({"points": 10, "shops": ["BJ01"]}, 0),
    ({"points_per_piece": 5, "skus": ["QH-30"]}, 10),
    ({"points_per_yuan": "0.5", "categories": ["coffee"]}, 99),
    ({"points_per_yuan": "0.5", "categories": ["milk"]}, 7),
    ({"points": 10, "categories": ["tea"]}, 0),
    ({"times": 2}, 213),
    ({"times": 3, "skus": ["OAT"]}, 31),
    ({"points": 10, "first_order": True}, 10),
    ({"points": 10, "tiers": ["seed"]}, 10),
    ({"points": 10, "tiers": ["leaf"]}, 0),
    ({"points": 100, "most_per_order": 30}, 30),
    ({"points": 10, "when": 'amount_yuan > 200 and "OAT" in skus and weekday == 2 and hour == 12'}, 10),
    ({"points": 10, "when": 'shop == "BJ01" or orders_before > 0'}, 0),
])
def test_a_rule_gives_where_its_filters_hold(rule: dict[str, Any], extra: int) -> None:
    """¥213.90 in a shop in Shanghai: 213 by the base rate, and what the rule adds."""
    order = an_order("T1", COFFEE, MILK, shop="SH01")
    assert points(brand({"id": "extra", **rule}), order, tier="seed") == 213 + extra


def test_the_tiers_factor_multiplies_base_and_what_asks_for_it() -> None:
    """青叶 earns double: base 426, times 2 once more as much, a fixed gift only where it says so."""
    order = an_order("T1", COFFEE, MILK)
    assert points(brand({"id": "double", "times": 2}), order, tier="leaf") == 427 + 427
    assert points(brand({"id": "gift", "points": 10}), order, tier="leaf") == 427 + 10
    assert points(brand({"id": "gift", "points": 10, "with_tier_factor": True}), order, tier="leaf") == 427 + 20


def test_rules_add_up_unless_they_share_a_group_or_one_is_last() -> None:
    """Of one group the one with the highest priority counts; after a last one nothing does, not even the base."""
    order = an_order("T1", COFFEE)
    small, big = {"id": "small", "points": 1, "group": "gift"}, {"id": "big", "points": 50, "group": "gift"}
    assert points(brand(small, big), order) == 198 + 1
    assert points(brand(small, big | {"priority": 5}), order) == 198 + 50
    assert points(brand(small, big | {"priority": 5, "skus": ["OAT"]}), order) == 198 + 1
    assert points(brand(small, {"id": "only", "points": 7, "priority": 9, "last": True}), order) == 7
    assert points(brand({"id": "late", "points": 7, "last": True}, small), order) == 198 + 7


def test_the_most_of_an_order_cuts_what_comes_last() -> None:
    """200 at most: the base rate is full, the gift is cut."""
    programme = brand(earning={"points_per_yuan": 1, "most_per_order": 200,
                               "rules": [{"id": "gift", "name": "礼", "points": 10}]})
    [base, gift] = programme.rulebook.shares(OrderFacts(19_800, NOON))
    assert (base.amount, gift.amount) == (198, 2)


@pytest.mark.parametrize(("rule", "message"), [
    ({"when": "amont_fen > 1"}, "did you mean amount_fen"),
    ({"when": "amount_fen > "}, "syntax error"),
    ({"when": "shop"}, "not yes or no"),
    ({"when": "amount_fen ** 9 > 1"}, "powers"),
    ({"when": 'shop =~ "(a+)+"'}, "patterns"),
    ({"when": "__import__ > 1"}, "no fact"),
    ({"when": "amount_fen > 1 " * 100}, "at most 500"),
    ({"points": None}, "exactly one of"),
    ({"times": 2}, "exactly one of"),
    ({"campaign": "spring"}, "not among campaigns"),
    ({"tiers": ["gold"]}, "not among tiers"),
    ({"id": "base"}, "choose another id"),
])
def test_a_faulty_rule_is_refused_with_its_mend(rule: dict[str, Any], message: str) -> None:
    """Unknown facts, nonsense, dangling names and what could run for ever do not load."""
    with pytest.raises(ValidationError, match=message):
        brand({"id": "extra", "points": 5, **rule})


def test_a_faulty_condition_names_its_place() -> None:
    """The place leads to the line of the file."""
    with pytest.raises(ValidationError) as refusal:
        brand({"id": "good", "points": 5}, {"id": "bad", "points": 5, "when": "sum > 3"})
    assert refusal.value.errors()[0]["loc"] == ("earning", "rules", 1, "when")


@pytest.mark.parametrize(("born", "day", "span", "is_in"), [
    ((3, 10), date(2026, 3, 10), "day", True), ((3, 11), date(2026, 3, 10), "day", False),
    ((3, 15), date(2026, 3, 9), "week", True), ((3, 16), date(2026, 3, 15), "week", False),
    ((1, 1), date(2025, 12, 29), "week", True), ((3, 31), date(2026, 3, 1), "month", True),
    ((2, 29), date(2026, 2, 28), "day", True), ((2, 29), date(2028, 2, 28), "day", False),
    (None, NOON.date(), "day", False),
])
def test_birthdays_by_day_week_and_month(born: tuple[int, int] | None, day: date, span: str, is_in: bool) -> None:
    """Weeks run from Monday to Sunday, also over New Year; 29 February moves to the 28th."""
    assert in_birthday(born, day, span) is is_in


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=5), st.integers(1, 500), st.integers(1, 5))
def test_what_is_given_is_never_above_the_most(amounts: list[int], most: int, times: int) -> None:
    """Whatever the lines, an order gives at most the most, and never below nothing."""
    lines = tuple(Item(sku=f"S{n}", name="物", amount_fen=fen) for n, fen in enumerate(amounts))
    programme = brand(earning={"points_per_yuan": times, "most_per_order": most,
                               "rules": [{"id": "x", "name": "x", "times": 2, "skus": ["S0"]}]})
    shares = programme.rulebook.shares(OrderFacts(sum(amounts), NOON, items=lines))
    assert 0 <= sum(share.amount for share in shares) <= most
    assert all(share.amount > 0 for share in shares)


SPRING = {"id": "spring", "name": "春日", "open_from": "2026-03-01T00:00:00+08:00",
          "open_to": "2026-04-01T00:00:00+08:00"}


def test_first_order_and_birthday_hang_on_the_member(database: Database) -> None:
    """The first order gets the welcome, the second does not; on the birthday there is more, in the zone's day."""
    programme = brand({"id": "welcome", "points": 50, "first_order": True},
                      {"id": "born", "points": 88, "birthday": "day"})
    with database.transaction() as session:
        member = resolve(session, [("openid", "wang")], NOON)["openid", "wang"]
        set_birthday(session, member, 3, 11, NOON)
        orders = [an_order(f"T{n}", MILK, paid_at=NOON + timedelta(hours=n)) for n in (0, 1, 13)]
        earned = [record(session, order, programme, NOON).earned for order in orders]
        assert earned == [15 + 50, 15, 15 + 88]
        assert findings(session) == []


def test_a_campaign_counts_by_the_day_paid(database: Database) -> None:
    """An order that was paid in the campaign and comes later still counts; one paid after it does not."""
    programme = brand({"id": "double", "times": 2, "campaign": "spring"}, campaigns=[SPRING])
    late = NOON + timedelta(days=40)
    with database.transaction() as session:
        assert record(session, an_order("T1", COFFEE), programme, late).earned == 396
        assert record(session, an_order("T2", COFFEE, paid_at=late), programme, late).earned == 198


def test_caps_hold_by_day_and_in_all_also_inside_a_batch(database: Database) -> None:
    """Twice a day, 25 points in all: the third of a day gets the base alone, the next day gets what is left."""
    programme = brand({"id": "visit", "points": 10, "caps": {"times_per_day": 2, "points_per_member": 25}})
    orders = [an_order(f"T{n}", MILK) for n in range(3)]
    orders += [an_order(f"N{n}", MILK, paid_at=NOON + timedelta(days=1)) for n in range(2)]
    with database.transaction() as session:
        earned = [outcome.earned for outcome in record_many(session, orders, programme, NOON)]
        assert earned == [25, 25, 15, 20, 15]
    with database.transaction() as session:
        assert record(session, an_order("L", MILK, paid_at=NOON + timedelta(days=2)), programme, NOON).earned == 15


def test_a_budget_alerts_at_80_and_stops_at_100_percent(database: Database) -> None:
    """Five times 20 of 100 points: the fourth alerts, the fifth is the last, the sixth gets the base alone."""
    programme = brand({"id": "gift", "points": 20, "campaign": "spring"},
                      campaigns=[SPRING | {"budget": {"points": 100}}])
    earned = []
    for number in range(6):
        with database.transaction() as session:
            earned.append(record(session, an_order(f"T{number}", MILK, buyer=f"p{number}"), programme, NOON).earned)
            told = [(event.kind, event.used) for event in budget_events(session)]
            assert told == [[], [], [], [("alert", 80)], [("alert", 80), ("stop", 100)],
                            [("alert", 80), ("stop", 100)]][number]
    assert earned == [35] * 5 + [15]
    with database.transaction() as session:
        assert [(state.unit, state.used, state.most) for state in budget_states(session, programme)] == [
            ("points", 100, 100)]


def test_a_budget_in_money_counts_what_points_cost(database: Database) -> None:
    """At half a fen a point, 20 fen pay for 40 points."""
    programme = brand({"id": "gift", "points": 20, "campaign": "spring"}, costs={"point_value_fen": "0.5"},
                      campaigns=[SPRING | {"budget": {"money_fen": 20}}])
    with database.transaction() as session:
        outcomes = record_many(session, [an_order(f"T{n}", MILK, buyer=f"p{n}") for n in range(3)], programme, NOON)
        assert [outcome.earned for outcome in outcomes] == [35, 35, 15]


def test_a_batch_is_the_same_as_one_after_the_other(database: Database) -> None:
    """Doubles, another body, shared identities and a tier reached on the way: same answers, same balances."""
    programme = brand({"id": "welcome", "points": 50, "first_order": True})
    big = Item(sku="BIG", name="整箱", amount_fen=1_000_000)
    orders = [an_order("T1", big), an_order("T2", COFFEE), an_order("T1", big), an_order("T2", MILK),
              an_order("T3", MILK, buyer="li", identities=(Identity("openid", "li"), Identity("phone", "h138"))),
              an_order("T4", MILK, identities=(Identity("phone", "h138"),))]
    with database.transaction() as session:
        together = record_many(session, orders, programme, NOON)
        assert [outcome.earned for outcome in together] == [10_050, 396, 10_050, 396, 65, 15]
        assert [outcome.new for outcome in together] == [True, True, False, False, True, True]
        assert [type(outcome.error) for outcome in together] == [*[type(None)] * 3, KeyReused, *[type(None)] * 2]
        assert together[4].member_id == together[5].member_id != together[0].member_id
        assert [outcome.balance for outcome in together] == [10_446] * 4 + [80] * 2
        assert findings(session) == []
        again = record_many(session, orders[:2], programme, NOON)
        assert [(outcome.earned, outcome.new) for outcome in again] == [(10_050, False), (396, False)]


def test_orders_at_once_never_pass_a_cap(database: Database) -> None:
    """Six tills send an order of one new customer in the same moment: one welcome, two visits, every base rate."""
    programme = brand({"id": "welcome", "points": 50, "first_order": True},
                      {"id": "visit", "points": 10, "caps": {"times_per_member": 2}})
    with database.transaction() as session:
        resolve(session, [("openid", "wang")], NOON)
    gate = threading.Barrier(6)

    def act(number: int) -> int:
        gate.wait(10)
        with database.transaction() as session:
            return record(session, an_order(f"T{number}", MILK), programme, NOON).earned

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(act, range(6))) == 6 * 15 + 50 + 2 * 10
