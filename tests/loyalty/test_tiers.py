"""Tiers: reached on two tracks, kept or lost when their period ends, explained and found again from rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty.balances import balance_of
from loyalty.budgets import budget_states
from loyalty.costs import campaign_cost
from loyalty.customers import Identity, profiles, resolve, set_tier
from loyalty.designs import lint
from loyalty.ledger import earn
from loyalty.orders import OrderIn, record
from loyalty.programme import Programme
from loyalty.refunds import refund
from loyalty.tables import PurchaseSummary
from loyalty.tier_figures import Figures
from loyalty.tier_history import Fact, differing_tiers, explain, rebuild_tiers, replay
from loyalty.tiers import distance, evaluate_due, lift, refund_lowers

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
TIERS = [{"id": "seed", "name": "青芽", "from_amount_fen": 0, "benefits": ["积分"]},
         {"id": "leaf", "name": "青叶", "from_amount_fen": 100_000, "from_growth": 100, "benefits": ["试饮"]},
         {"id": "grove", "name": "青林", "from_amount_fen": 500_000, "from_growth": 500, "benefits": ["礼"]}]
YEAR = {"valid_days": 365, "grace_days": 30}


def brand(policy: dict[str, Any] | None = None, **more: Any) -> Programme:
    """Three tiers on two tracks."""
    return Programme.model_validate({"name": "青禾", "earning": {"points_per_yuan": 1, "growth_per_yuan": "0.1"},
                                     "tiers": TIERS, "tier_policy": policy or {}} | more)


def buy(session: Session, programme: Programme, fen: int, at: datetime) -> int:
    """An order by the one customer; their member id."""
    order = OrderIn(source="pos", external_id=f"T{at.timestamp()}", identities=(Identity("openid", "wang"),),
                    paid_at=at, amount_fen=fen)
    return record(session, order, programme, at).member_id


def tier(session: Session, member: int) -> str | None:
    """The tier the member has now."""
    return profiles(session, [member])[member].tier


def test_either_track_reaches_a_tier(database: Database) -> None:
    """¥1000 paid or 100 growth: whichever comes first; the distance tells both."""
    programme = brand()
    with database.transaction() as session:
        member = buy(session, programme, 40_000, NOON)
        away = distance(session, programme, member, NOON)
        assert away and (away.tier.id, away.missing_fen, away.missing_growth) == ("leaf", 60_000, 60)
        earn(session, member, 60, key="g", reason="check_in", at=NOON, asset="growth")
        [step] = lift(session, programme, [member], NOON)
        assert (step.old_tier, step.new_tier, step.amount_fen, step.growth) == ("seed", "leaf", 40_000, 100)
        assert tier(session, member) == "leaf"
        buy(session, programme, 500_000, NOON + timedelta(days=1))
        assert tier(session, member) == "grove" and distance(session, programme, member, NOON) is None


def test_a_tier_is_kept_graced_and_dropped_one_step(database: Database) -> None:
    """A year without enough: 30 days of grace, then one step down; a purchase within the grace saves it."""
    programme = brand(YEAR)
    with database.transaction() as session:
        member = buy(session, programme, 500_000, NOON)
        due = NOON + timedelta(days=366)
        assert evaluate_due(session, programme, NOON + timedelta(days=364)) == []
        [grace] = evaluate_due(session, programme, due)
        assert (grace.kind, grace.new_tier) == ("grace", "grove") and tier(session, member) == "grove"
        assert evaluate_due(session, programme, due) == []
        [drop] = evaluate_due(session, programme, due + timedelta(days=31))
        assert (drop.kind, drop.old_tier, drop.new_tier, tier(session, member)) == ("dropped", "grove", "leaf", "leaf")
        told = explain(session, programme, member, due + timedelta(days=31))
        assert [step.kind for step in told.steps] == ["reached", "grace", "dropped"] and told.agrees
        assert told.lines[2].endswith("由青林降为青叶,有效至2028-04-07")


def test_enough_in_the_grace_keeps_the_tier(database: Database) -> None:
    """Keeping may ask for less than reaching; the period begins anew."""
    tiers = [TIERS[0], TIERS[1] | {"keep_amount_fen": 20_000}, TIERS[2]]
    programme = brand(YEAR, tiers=tiers)
    with database.transaction() as session:
        member = buy(session, programme, 100_000, NOON)
        evaluate_due(session, programme, NOON + timedelta(days=366))
        buy(session, programme, 20_000, NOON + timedelta(days=380))
        [kept] = evaluate_due(session, programme, NOON + timedelta(days=397))
        assert (kept.kind, kept.amount_fen, tier(session, member)) == ("kept", 20_000, "leaf")


def test_a_late_run_decides_as_one_in_time(database: Database) -> None:
    """A ticker that was away for years makes up every period in order; so does the next order."""
    programme = brand(YEAR)
    with database.transaction() as session:
        member = buy(session, programme, 500_000, NOON)
        late = NOON + timedelta(days=1000)
        buy(session, programme, 1_000, late)
        assert tier(session, member) == "seed"
        told = explain(session, programme, member, late)
        assert [step.kind for step in told.steps] == ["reached", "grace", "dropped", "grace", "dropped"] and told.agrees


def test_only_the_last_days_count_where_the_policy_says_so(database: Database) -> None:
    """With counts_days an order of last year does not help to reach a tier today."""
    programme = brand({"counts_days": 365})
    with database.transaction() as session:
        member = buy(session, programme, 60_000, NOON)
        buy(session, programme, 60_000, NOON + timedelta(days=366))
        assert tier(session, member) == "seed"
        buy(session, programme, 60_000, NOON + timedelta(days=367))
        assert tier(session, member) == "leaf"
        assert explain(session, programme, member, NOON + timedelta(days=367)).agrees


def test_a_refund_takes_back_what_it_had_reached(database: Database) -> None:
    """Buying a tier and giving the goods back does not keep it; a refund that changes nothing takes nothing."""
    programme = brand(earning={"points_per_yuan": 1})
    with database.transaction() as session:
        member = buy(session, programme, 120_000, NOON)

        def give_back(fen: int) -> str | None:
            session.execute(update(PurchaseSummary).values(amount_fen=PurchaseSummary.amount_fen - fen))
            refund_lowers(session, programme, {member: Figures(fen, 0)}, NOON)
            return tier(session, member)

        assert [give_back(20_000), give_back(1)] == ["leaf", "seed"]


def test_tiers_are_rebuilt_from_rows(database: Database) -> None:
    """A tier that somebody wrote into the row is found by the comparison and put right."""
    programme = brand(YEAR)
    with database.transaction() as session:
        member = buy(session, programme, 100_000, NOON)
        other = resolve(session, [("openid", "li")], NOON)["openid", "li"]
        assert differing_tiers(session, programme, [member, other], NOON) == {}
        set_tier(session, member, "grove")
        set_tier(session, other, "leaf")
        assert differing_tiers(session, programme, [member, other], NOON) == {
            member: ("grove", "leaf"), other: ("leaf", None)}
        assert rebuild_tiers(session, programme, [member, other], NOON) == {member: "leaf", other: None}
        assert (tier(session, member), tier(session, other)) == ("leaf", None)
        assert differing_tiers(session, programme, [member, other], NOON) == {}


FACTS = st.lists(st.builds(lambda days, fen, growth: Fact(NOON + timedelta(days=days), NOON + timedelta(days=days), fen,
                                                          growth), st.integers(0, 900), st.integers(0, 300_000),
                           st.integers(0, 200)), max_size=8)


@given(FACTS, st.randoms())
def test_a_replay_does_not_depend_on_the_order_of_rows(facts: list[Fact], chance: Any) -> None:
    """Shuffled rows lead to the same tier, and every step begins where the one before it ended."""
    programme = brand(YEAR)
    until = NOON + timedelta(days=1500)
    steps = replay(programme, 1, facts, until)
    mixed = list(facts)
    chance.shuffle(mixed)
    assert [(s.kind, s.new_tier, s.at) for s in replay(programme, 1, mixed, until)] == [
        (s.kind, s.new_tier, s.at) for s in steps]
    assert [step.old_tier for step in steps[1:]] == [step.new_tier for step in steps[:-1]]


@pytest.mark.parametrize(("changes", "place"), [
    ({"tiers": TIERS[:2]}, "tiers"),
    ({"tiers": [{"id": f"t{n}", "name": f"级{n}", "from_amount_fen": n * 1000, "benefits": [f"礼{n}"]}
                for n in range(9)]}, "tiers"),
    ({"tiers": [TIERS[0] | {"benefits": []}]}, "tiers.seed.benefits"),
    ({"tiers": [TIERS[0] | {"from_amount_fen": 100_000}]}, "tiers.seed.from_amount_fen"),
    ({"tiers": [TIERS[0], TIERS[1], {"id": "top", "name": "顶", "from_amount_fen": 100_000_000, "benefits": ["礼"]}]},
     "tiers.top.from_amount_fen"),
    ({"earning": {"points_per_yuan": 1}}, "tiers.leaf.from_growth"),
    ({"tier_policy": {"grace_days": 30}}, "tier_policy.grace_days"),
    ({"behaviours": [{"id": "s", "kind": "share", "name": "分享", "gain": {"points": 5}}]}, "behaviours.s.campaign"),
    ({"behaviours": [{"id": "s", "kind": "share", "name": "分享", "gain": {"chances": 1},
                      "caps": {"times_per_day": 1}}]}, "lotteries"),
    ({"earning": {"points_per_yuan": 1, "growth_per_yuan": 1, "rules": [{"id": "r", "name": "礼", "points": 9}]}},
     "earning.rules.r.campaign"),
    ({"campaigns": [{"id": "c", "name": "空"}]}, "campaigns.c"),
])
def test_a_poor_design_is_warned_of(changes: dict[str, Any], place: str) -> None:
    """Even numbers, too many, nothing to gain, out of reach, hard to enter, open-ended: each has place and mend."""
    assert lint(brand()) == []
    found = lint(brand(**changes))
    assert place in [finding.place for finding in found] and all(finding.mend for finding in found)


def test_a_refund_undoes_tier_growth_and_campaign(database: Database) -> None:
    """Half of an order given back: half of its growth and campaign points, the tier, the budget; a replay agrees."""
    rule = {"id": "gift", "name": "礼", "points": 100, "campaign": "spring"}
    programme = brand(earning={"points_per_yuan": 1, "growth_per_yuan": "0.1", "rules": [rule]},
                      campaigns=[{"id": "spring", "name": "春日", "budget": {"points": 1000}}])
    with database.transaction() as session:
        member = buy(session, programme, 100_000, NOON)
        assert (tier(session, member), balance_of(session, member, NOON).available) == ("leaf", 1100)
        later = NOON + timedelta(days=1)
        refund(session, "pos", f"T{NOON.timestamp()}", 50_000, key="R1", programme=programme, at=later)
        assert tier(session, member) == "seed"
        assert balance_of(session, member, later).available == 550
        assert balance_of(session, member, later, "growth").available == 50
        assert [state.used for state in budget_states(session, programme)] == [50]
        told = explain(session, programme, member, later)
        assert [step.kind for step in told.steps] == ["reached", "dropped"] and told.agrees
        refund(session, "pos", f"T{NOON.timestamp()}", 50_000, key="R2", programme=programme, at=later)
        assert [state.used for state in budget_states(session, programme)] == [0]
        assert campaign_cost(session, programme, "spring", later).revenue_fen == 0
