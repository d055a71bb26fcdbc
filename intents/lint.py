"""What would make training or its report lie: too few sentences, strange labels, contradictions, repetitions, leaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from intents.duplicates import near_duplicates
from intents.scenarios import Labelled, Scenario, training_set
from intents.text import normalise

FEWEST_EXAMPLES = 20
FEWEST_NONE = 300
PLENTY_OF_EXAMPLES = 300
PLENTY_OF_NONE = 4500
_HELD_OUT = "held-out"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in the data: where, what, and how to mend it."""

    place: str
    what: str
    mend: str


def conflicts(scenarios: Sequence[Scenario], none: Sequence[str], heldout: Sequence[Labelled]) -> list[Finding]:
    """Everything that would make training or its report lie; an empty list is a clean set."""
    return [
        *_thin(scenarios, none),
        *_strange_labels(scenarios, heldout),
        *_contradictions(scenarios, none),
        *_leaks(scenarios, none, heldout),
        *_repetitions(scenarios, none, heldout),
    ]


def notices(scenarios: Sequence[Scenario], none: Sequence[str]) -> list[str]:
    """Where more sentences would help, though nothing is wrong."""
    counts = [(scenario.id, _distinct(_texts(scenario)), PLENTY_OF_EXAMPLES) for scenario in scenarios]
    counts.append(("none", _distinct(none), PLENTY_OF_NONE))
    return [f"{name}: {have} examples; {plenty} teach better" for name, have, plenty in counts if have < plenty]


def _thin(scenarios: Sequence[Scenario], none: Sequence[str]) -> Iterable[Finding]:
    for scenario in scenarios:
        distinct = _distinct(_texts(scenario))
        if distinct < FEWEST_EXAMPLES:
            what = f"{distinct} distinct examples, at least {FEWEST_EXAMPLES} are needed"
            yield Finding(f"scenario {scenario.id}", what, "write more examples in different voices")
    distinct = _distinct(none)
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
            yield _strange(f"{_HELD_OUT}: {message.text}", label)


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


def _leaks(scenarios: Sequence[Scenario], none: Sequence[str], heldout: Sequence[Labelled]) -> Iterable[Finding]:
    taught = {normalise(item.text) for item in training_set(scenarios, none)}
    seen: set[str] = set()
    for message in heldout:
        text = normalise(message.text)
        if text in taught:
            yield Finding(
                f"{_HELD_OUT}: {message.text}", "also stands in the examples", "take it out of the held-out file"
            )
        if text in seen:
            yield Finding(f"{_HELD_OUT}: {message.text}", "stands there twice", "keep one of them")
        seen.add(text)


def _repetitions(scenarios: Sequence[Scenario], none: Sequence[str], heldout: Sequence[Labelled]) -> Iterator[Finding]:
    """Sentences that stand twice in one place, and nearly the same ones anywhere."""
    placed = [(f"scenario {scenario.id}", text) for scenario in scenarios for text in _texts(scenario)]
    placed += [(f"scenario {scenario.id}, unlike", text) for scenario in scenarios for text in scenario.unlike]
    placed += [("scenario none", text) for text in none]
    placed += [(_HELD_OUT, message.text) for message in heldout]
    written = [normalise(text) for _, text in placed]
    for first, second, alike in near_duplicates(written):
        (one, text), (other, again) = placed[first], placed[second]
        if written[first] != written[second]:
            where = one if one == other else f"{one} and {other}"
            what = f"“{text}” and “{again}” are nearly the same ({alike:.2f})"
            yield Finding(where, what, "keep the better one, or write one of them anew")
        elif one == other != _HELD_OUT:
            yield Finding(one, f"“{text}” stands there twice", "keep one of them")


def _texts(scenario: Scenario) -> list[str]:
    return [example.text for example in scenario.examples]


def _distinct(texts: Sequence[str]) -> int:
    return len(set(map(normalise, texts)))
