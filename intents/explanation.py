"""Why a message got its verdict: every scenario worth a word with its score, its threshold and what weighed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from intents.classifier import PRIVATE_CHATS, Classifier, Verdict
from intents.cues import Cue, find_cues
from intents.features import BLOCKS
from intents.lookup import Present
from intents.model import LinearModel

_SHOWN = 4
_MARKS = str.maketrans("", "", "^$ ")
_CUE, _KEYWORD = "c:", "k:"


@dataclass(frozen=True, slots=True)
class Weighed:
    """A scenario, whether it was told, and the words and cues that spoke for and against it, strongest first."""

    id: str
    score: float
    threshold: float
    told: bool
    speaking_for: tuple[str, ...]
    speaking_against: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict on one message and its grounds; `weighed` best first, told ones before near ones."""

    verdict: Verdict
    weighed: tuple[Weighed, ...]
    cues: tuple[Cue, ...]


def explain(model: LinearModel, version: str, text: str, chat: str) -> Explanation:
    """Judge one message and tell the grounds; the scenarios told, those just below, and the best where neither is."""
    [verdict] = Classifier(model, version).classify([text], [chat])
    present = model.read([text])
    scores = model.score([text])[0]
    thresholds = model.private if chat in PRIVATE_CHATS else model.group
    told = {one.id for one in verdict.scenarios}
    ids = [*(one.id for one in (*verdict.scenarios, *verdict.near))] or [model.labels[int(scores.argmax())]]
    weighed = []
    for name in ids:
        place = model.labels.index(name)
        for_it, against = _grounds(model, present, place)
        weighed.append(Weighed(name, float(scores[place]), float(thresholds[place]), name in told, for_it, against))
    return Explanation(verdict, tuple(weighed), find_cues(present.lines[0]))


def _grounds(model: LinearModel, present: Present, place: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    parts = present.values * model.weights[present.rows, place]
    # At the head of a sentence, between others and as a word, the same signs are one ground.
    grounds: dict[str, float] = {}
    for name, part in zip(_names(model, present), parts.tolist(), strict=True):
        grounds[name] = grounds.get(name, 0.0) + part
    ordered = sorted(grounds.items(), key=lambda item: -item[1])
    return (
        _distinct(name for name, part in ordered if part > 0),
        _distinct(name for name, part in reversed(ordered) if part < 0),
    )


def _names(model: LinearModel, present: Present) -> list[str]:
    """What stood for each feature of the message as a person reads it; empty where nobody could."""
    wanted = set(present.rows.tolist())
    frame = present.frames[0]
    found: dict[int, str] = {}
    for block, names in zip(BLOCKS, model.vocabulary, strict=True):
        for name, row in names.items():
            if row in wanted:
                found[row] = _cue_name(name) if block.name == "cues" else _word(name, frame)
    return [found[row] for row in present.rows.tolist()]


def _word(name: str, frame: str) -> str:
    bare = name.translate(_MARKS)
    return bare if bare in frame else ""


def _cue_name(name: str) -> str:
    if name.startswith(_CUE):
        return f"[{name.removeprefix(_CUE)}]"
    return f"[{name.removeprefix(_KEYWORD)}]" if name.startswith(_KEYWORD) else ""


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The first few, without those that stand inside one another."""
    shown: list[str] = []
    for name in names:
        if name and not any(name in other or other in name for other in shown):
            shown.append(name)
        if len(shown) == _SHOWN:
            break
    return tuple(shown)
