"""What a scenario file says (labelling rules: docs, scenarios)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

# What the service cannot do without; a brand adds its own as files.
SCENARIO_IDS: tuple[str, ...] = (
    "running_out",
    "buying_for_friend",
    "switch_product",
    "return_exchange",
    "complaint",
    "purchase_intent",
    "promotion_query",
    "product_question",
    "order_logistics",
    "appointment",
    "points_query",
    "points_redeem",
    "points_rules",
    "membership",
    "stored_value",
    "check_in",
    "praise_share",
    "human_agent",
    "opt_out",
)

@dataclass(frozen=True, slots=True)
class Labelled:
    """One message and every scenario it carries; an empty set means none."""

    text: str
    labels: frozenset[str]


class Example(BaseModel):
    """A sentence of a scenario and the further scenarios it carries."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1)
    also: tuple[str, ...] = ()


class Scenario(BaseModel):
    """One file of config/scenarios. A plain string in `examples` is an example without further labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = Field(min_length=1)
    stage: str = Field(min_length=1)
    examples: tuple[Example, ...]
    unlike: tuple[str, ...] = ()
    says: dict[str, str] = {}
    follow: str | None = None

    @field_validator("examples", mode="before")
    @classmethod
    def _accept_plain_strings(cls, value: object) -> object:
        if not isinstance(value, (list, tuple)):
            return value
        return [{"text": entry} if isinstance(entry, str) else entry for entry in value]


def training_set(scenarios: Sequence[Scenario], none: Sequence[str]) -> list[Labelled]:
    """Every sentence with all its labels, in file order; `unlike` and `none` carry none.

    A sentence that stands in several files appears once with the labels joined.
    """
    labels: dict[str, set[str]] = {}
    for scenario in scenarios:
        for example in scenario.examples:
            labels.setdefault(example.text, set()).update((scenario.id, *example.also))
    for text in (*(near for scenario in scenarios for near in scenario.unlike), *none):
        labels.setdefault(text, set())
    return [Labelled(text, frozenset(carried)) for text, carried in labels.items()]
