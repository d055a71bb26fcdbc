"""The programme is checked whole; what contradicts itself is refused with its place."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from loyalty.earning import points_for
from loyalty.errors import UnknownReward
from loyalty.expiry import expires_at, last_day
from loyalty.programme import Programme
from loyalty.tiers import next_tier, tier_of

SHIPPED = Path(__file__).parents[2] / "config" / "programme.yaml"


def parsed(path: Path) -> Programme:
    """The programme of a file."""
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = False
    return Programme.model_validate(yaml.load(path.read_text(encoding="utf-8")))


def changed(programme: Programme, **changes: object) -> Programme:
    """The programme with some keys written otherwise, checked again."""
    return Programme.model_validate(programme.model_dump() | changes)


def test_the_shipped_programme_is_sound() -> None:
    """The file a newcomer starts from loads, and has what the tour shows: two cups, one empty, one for a tier."""
    programme = parsed(SHIPPED)
    assert sum("杯子" in reward.aliases for reward in programme.rewards) == 2
    assert [reward.name for reward in programme.rewards if reward.stock == 0] == ["帆布袋"]
    assert [reward.name for reward in programme.rewards if reward.tier] == ["烘焙工坊体验"]
    assert len(programme.tiers) % 2 == 1
    coffee = programme.product("QH-DRIP-30")
    assert coffee is not None and coffee.cycle_days == 30 and "2盒" in coffee.bundle
    assert programme.product("no such sku") is None


def test_an_unknown_reward_is_named(programme: Programme) -> None:
    """Asking for a reward that is not there raises with its id."""
    assert programme.reward("mug").name == "陶瓷马克杯"
    with pytest.raises(UnknownReward, match="teapot"):
        programme.reward("teapot")


@pytest.mark.parametrize(("changes", "message"), [
    ({"reward": []}, "Extra inputs"),
    ({"timezone": "Asia/Peking2"}, "no such time zone"),
    ({"rewards": [{"id": "a", "name": "杯", "cost_points": 0}]}, "greater than 0"),
    ({"rewards": [{"id": "a", "name": "杯", "cost_points": 1}] * 2}, "stands twice"),
    ({"rewards": [{"id": "a", "name": "杯", "cost_points": 1, "tier": "gold"}]}, "not among tiers"),
    ({"rewards": [{"id": "a", "name": "杯", "cost_points": 1, "open_from": "2026-05-01T00:00:00+08:00",
                   "open_to": "2026-04-01T00:00:00+08:00"}]}, "open_to must be after"),
    ({"rewards": [{"id": "a", "name": "杯", "cost_points": 1, "open_from": "2026-05-01T00:00:00"}]}, "timezone"),
    ({"tiers": [{"id": "a", "name": "甲", "from_amount_fen": 5}, {"id": "b", "name": "乙", "from_amount_fen": 5}]},
     "must rise"),
    ({"earning": {"points_per_yuan": -1}}, "greater than or equal to 0"),
    ({"expiry": {"rule": "sometimes"}}, "does not match any of the expected tags"),
])
def test_a_faulty_programme_is_refused(programme: Programme, changes: dict[str, object], message: str) -> None:
    """Unknown keys, doubles, impossible values and dangling references do not load."""
    with pytest.raises(ValidationError, match=message):
        changed(programme, **{"rewards": [], **changes})


@pytest.mark.parametrize(("rule", "expected"), [
    ({"rule": "never"}, None),
    ({"rule": "after_days", "days": 1}, "2024-03-01"),
    ({"rule": "after_days", "days": 365}, "2025-02-28"),
    ({"rule": "end_of_month"}, "2024-02-29"),
    ({"rule": "end_of_month", "months": 11}, "2025-01-31"),
    ({"rule": "end_of_year"}, "2024-12-31"),
    ({"rule": "end_of_year", "years": 1}, "2025-12-31"),
])
def test_points_lapse_at_a_local_midnight(programme: Programme, rule: dict[str, object], expected: str | None) -> None:
    """Earned at 01:00 in Shanghai on 29 February, still the 28th in UTC: the last day is counted in Shanghai."""
    at = datetime(2024, 2, 28, 17, 0, tzinfo=UTC)
    moment = expires_at(changed(programme, expiry=rule), at)
    if moment is None or expected is None:
        assert moment is None and expected is None
        return
    assert moment.hour == 16 and last_day(moment, programme.zone).isoformat() == expected


@pytest.mark.parametrize(("fen", "tier", "points"), [
    (0, None, 0), (66, None, 0), (67, None, 1), (10_000, None, 150), (9_999, "seed", 149), (9_999, "leaf", 299),
    (10_000_000, None, 5000), (100, "a tier that is gone", 1),
])
def test_points_are_rounded_down_once(programme: Programme, fen: int, tier: str | None, points: int) -> None:
    """1.5 points a yuan: the whole amount counts, the tier's factor before rounding, then the cap."""
    assert points_for(programme, fen, tier) == points


def test_an_order_below_the_threshold_earns_nothing(programme: Programme) -> None:
    """The smallest paying amount counts itself."""
    rule = changed(programme, earning={"points_per_yuan": 1, "from_amount_fen": 1000})
    assert [points_for(rule, fen, None) for fen in (999, 1000)] == [0, 10]


def test_the_tier_follows_the_amount_paid(programme: Programme) -> None:
    """The threshold itself reaches the tier; above the top there is no next one."""
    tiers = [tier_of(programme, fen) for fen in (0, 49_999, 50_000)]
    assert [tier.id for tier in tiers if tier] == ["seed", "seed", "leaf"]
    ahead = next_tier(programme, 30_000)
    assert ahead is not None and (ahead[0].id, ahead[1]) == ("leaf", 20_000)
    assert next_tier(programme, 50_000) is None
    assert tier_of(changed(programme, rewards=[], tiers=[]), 10**9) is None
