"""Two models on the same messages: what changed for each scenario, which sentences went wrong, and may it go out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from intents.assessment import CHATS, Judged
from intents.evaluation import Report, report_on
from intents.scenarios import Labelled


@dataclass(frozen=True, slots=True)
class Change:
    """A sentence that one model judged rightly and the other did not."""

    text: str
    truth: frozenset[str]
    before: frozenset[str]
    after: frozenset[str]

    def __str__(self) -> str:
        return f"{self.text}: {_names(self.truth)}, was {_names(self.before)}, now {_names(self.after)}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both reports in one kind of chat, and the sentences that changed sides."""

    before: Report
    after: Report
    newly_wrong: tuple[Change, ...]
    newly_right: tuple[Change, ...]

    def f1(self) -> dict[str, tuple[float, float]]:
        """F1 before and after of every scenario that both models were asked for."""
        before = {line.id: line.f1 for line in self.before.lines}
        return {line.id: (before[line.id], line.f1) for line in self.after.lines if line.id in before}


@dataclass(frozen=True, slots=True)
class Gate:
    """Why a model may not go out, one line each, and the sentences of the scenarios that fell; empty lets it pass."""

    refusals: tuple[str, ...]
    newly_wrong: tuple[Change, ...]


def compare(before: Judged, after: Judged, chat: str) -> Comparison:
    """Two models' judgements of the same messages in the same order, as if all were written in one kind of chat."""
    if [item.text for item in before.messages] != [item.text for item in after.messages]:
        raise ValueError("the two models judged different messages; give both the same, in the same order")
    first, second = _sets(before, chat), _sets(after, chat)
    labelled = [Labelled(item.text, item.labels) for item in after.messages]
    changes = [Change(item.text, item.labels, was, now) for item, was, now in zip(labelled, first, second, strict=True)]
    return Comparison(
        before=report_on(labelled, first),
        after=report_on(labelled, second),
        newly_wrong=tuple(one for one in changes if one.before == one.truth != one.after),
        newly_right=tuple(one for one in changes if one.before != one.truth == one.after),
    )


def publish_gate(
    before: Judged, after: Judged, protected: Sequence[str], margin: float, false_triggers_margin: float
) -> Gate:
    """Hold a new model to what the one in force can do, in groups and in private.

    Refused where the F1 of a protected scenario fell by more than `margin`, or where none-messages in groups prompt
    more than `false_triggers_margin` further false triggers per 1,000.
    """
    refusals: list[str] = []
    wrong: dict[Change, None] = {}
    for chat in CHATS:
        compared = compare(before, after, chat)
        fallen = [fall for fall in _falls(compared, protected) if fall[2] - fall[1] > margin]
        refusals += [f"{name} fell from F1 {was:.3f} to {now:.3f} ({chat})" for name, now, was in fallen]
        names = {name for name, _, _ in fallen}
        wrong |= {change: None for change in compared.newly_wrong if names & (change.truth | change.after)}
        was, now = compared.before.false_triggers_per_1000, compared.after.false_triggers_per_1000
        if chat == "group" and now - was > false_triggers_margin:
            refusals.append(f"false triggers per 1,000 rose from {was:.1f} to {now:.1f} (group)")
            wrong |= {change: None for change in compared.newly_wrong if not change.truth}
    return Gate(tuple(refusals), tuple(wrong))


def _falls(compared: Comparison, protected: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    for name, (was, now) in compared.f1().items():
        if name in protected:
            yield name, now, was


def _sets(judged: Judged, chat: str) -> list[frozenset[str]]:
    return [frozenset(judged.labels[at] for at in row.nonzero()[0].tolist()) for row in judged.told[chat]]


def _names(labels: frozenset[str]) -> str:
    return "+".join(sorted(labels)) or "none"
