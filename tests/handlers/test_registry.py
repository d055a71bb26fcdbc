"""The order in which several needs of one message are served."""

from __future__ import annotations

from handlers import registry
from intents.scenarios import SCENARIO_IDS


def test_every_scenario_has_its_place() -> None:
    """None of ours falls among a brand's own by oversight."""
    assert set(registry.ORDER) == {*SCENARIO_IDS, registry.OWN}


def test_a_brand_s_own_scenarios_are_served_too() -> None:
    """After what is urgent and what only tells, before what asks back; several of them by their ids."""
    found = ["points_redeem", "reseller", "running_out", "franchise", "order_logistics", "opt_out"]
    assert sorted(found, key=registry.rank) == [
        "opt_out", "order_logistics", "franchise", "reseller", "running_out", "points_redeem",
    ]  # fmt: skip
