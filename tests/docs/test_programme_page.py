"""The page on programmes is enough to set one up: its examples load, and the whole one is a sound design."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from loyalty import designs
from loyalty.behaviours import KINDS
from loyalty.programme import Programme

PAGE = (Path(__file__).resolve().parents[2] / "docs/howto/programme.md").read_text(encoding="utf-8")
BLOCKS: list[dict[str, Any]] = [
    YAML(typ="safe").load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
]


def whole() -> Programme:
    """The example that is said to be whole."""
    [found] = [block for block in BLOCKS if {"name", "tiers", "rewards"} <= block.keys()]
    return Programme.model_validate(found)


def test_the_whole_example_is_three_tiers_two_campaigns_and_five_rewards() -> None:
    """As it is promised, and with nothing that the lint would warn of."""
    programme = whole()
    assert (len(programme.tiers), len(programme.campaigns), len(programme.rewards)) == (3, 2, 5)
    assert designs.lint(programme) == []


def test_all_examples_together_are_a_programme() -> None:
    """Each fragment fits, and what one names another has."""
    together: dict[str, Any] = {}
    for block in BLOCKS:
        if block.keys() >= {"name", "tiers"}:
            continue
        together |= block
    programme = Programme.model_validate(together)
    assert programme.earning.rules and programme.plans and programme.lotteries and programme.rewards


def test_every_part_of_a_programme_is_told_of() -> None:
    """Whatever key the file takes stands on the page, and so does every kind of behaviour."""
    missing = [name for name in Programme.model_fields if not re.search(rf"\b{name}\b", PAGE)]
    missing += [kind for kind in KINDS if f"`{kind}`" not in PAGE]
    assert missing == []
