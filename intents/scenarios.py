"""What a scenario file says, and what is wrong with a set of them (labelling rules: docs, scenarios)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from intents.text import normalise

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

FEWEST_EXAMPLES = 20
FEWEST_NONE = 300


@dataclass(frozen=True, slots=True)
class Labelled:
    """One message and every scenario it carries; an empty set means none."""

    text: str
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in the data: where, what, and how to mend it."""

    place: str
    what: str
    mend: str


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


def conflicts(
    scenarios: Sequence[Scenario], none: Sequence[str], heldout: Sequence[Labelled]
) -> list[Finding]:
    """Everything that would make training or its report lie; an empty list is a clean set."""
    return [
        *_thin(scenarios, none),
        *_strange_labels(scenarios, heldout),
        *_contradictions(scenarios, none),
        *_leaks(scenarios, none, heldout),
    ]


def _thin(scenarios: Sequence[Scenario], none: Sequence[str]) -> Iterable[Finding]:
    for scenario in scenarios:
        distinct = len({normalise(example.text) for example in scenario.examples})
        if distinct < FEWEST_EXAMPLES:
            what = f"{distinct} distinct examples, at least {FEWEST_EXAMPLES} are needed"
            yield Finding(f"scenario {scenario.id}", what, "write more examples in different voices")
    distinct = len({normalise(text) for text in none})
    if distinct < FEWEST_NONE:
        what = f"{distinct} distinct none messages, at least {FEWEST_NONE} are needed"
        yield Finding("scenario none", what, "add everyday chatter and traps that use the scenarios' words")


def _strange_labels(scenarios: Sequence[Scenario], heldout: Sequence[Labelled]) -> Iterable[Finding]:
    known = {scenario.id for scenario in scenarios}
    seen: set[str] = set()
    for scenario in scenarios:
        if scenario.id in seen:
            yield Finding(f"scenario {scenario.id}", "two files carry this id", "merge or rename one of them")
        seen.add(scenario.id)
        for example in scenario.examples:
            for label in sorted(set(example.also) - known):
                yield _strange(f"scenario {scenario.id}: {example.text}", label)
    for message in heldout:
        for label in sorted(message.labels - known):
            yield _strange(f"held-out: {message.text}", label)


def _strange(place: str, label: str) -> Finding:
    return Finding(place, f"label {label!r} is no scenario", "correct the id or add a file for the scenario")


def _contradictions(scenarios: Sequence[Scenario], none: Sequence[str]) -> Iterable[Finding]:
    claims: dict[str, dict[str, frozenset[str]]] = {}

    def claim(place: str, text: str, labels: frozenset[str]) -> None:
        claims.setdefault(normalise(text), {}).setdefault(place, labels)

    for scenario in scenarios:
        for example in scenario.examples:
            claim(f"scenario {scenario.id}", example.text, frozenset((scenario.id, *example.also)))
        for text in scenario.unlike:
            claim(f"scenario {scenario.id}, unlike", text, frozenset())
    for text in none:
        claim("scenario none", text, frozenset())
    for text, places in claims.items():
        if len(set(places.values())) > 1:
            said = "; ".join(f"{place} says {_names(labels)}" for place, labels in places.items())
            yield Finding(f"“{text}”", said, "keep it in one place, with `also` for further scenarios")


def _names(labels: frozenset[str]) -> str:
    return "+".join(sorted(labels)) or "none"


def _leaks(
    scenarios: Sequence[Scenario], none: Sequence[str], heldout: Sequence[Labelled]
) -> Iterable[Finding]:
    taught = {normalise(item.text) for item in training_set(scenarios, none)}
    seen: set[str] = set()
    for message in heldout:
        text = normalise(message.text)
        if text in taught:
            yield Finding(
                f"held-out: {message.text}", "also stands in the examples", "take it out of the held-out file"
            )
        if text in seen:
            yield Finding(f"held-out: {message.text}", "stands there twice", "keep one of them")
        seen.add(text)
